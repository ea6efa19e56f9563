"""Bytes an event takes: our files beside DuckDB's, PyArrow's and the original log files.

    python3 tests/bench/sizes.py LOGS… [--orgtrail PROGRAM]

Each of LOGS is a directory of `.json.gz` log files. `orgtrail demo --from` takes it
in; its settled files, and the same after `orgtrail compact`, are then beside
the very same rows written by DuckDB and PyArrow with zstd: partitioned as ours,
and as one file in our order and in the order of time. Needs duckdb and pyarrow
(tests/oracle/requirements.txt).
"""

import argparse
import json
import os
import subprocess
import tempfile

import duckdb
import pyarrow.parquet

HERE = os.path.dirname(os.path.abspath(__file__))
PROGRAM = os.path.join(HERE, "..", "..", "target", "release", "orgtrail")
ORDER = "eventsource, eventname, useridentity.arn, eventtime"


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout


def size(path, suffix=".parquet"):
    """Bytes and number of the files below a directory, or of one file."""
    if os.path.isfile(path):
        return os.path.getsize(path), 1
    found = [
        os.path.getsize(os.path.join(folder, name))
        for folder, _, names in os.walk(path)
        for name in names
        if name.endswith(suffix)
    ]
    return sum(found), len(found)


def ours(orgtrail, logs, directory):
    """A store with these logs, settled: its directory."""
    home = os.path.join(directory, "demo")
    run(orgtrail, "demo", "--from", logs, "--dir", home, "--json")
    return os.path.join(home, "store")


def measure(orgtrail, logs, directory):
    store = ours(orgtrail, logs, directory)
    events = os.path.join(store, "trail", "default", "events")
    results = [("original .json.gz", *size(logs, ".json.gz"))]
    results.append(("ours, settled", *size(events)))
    run(orgtrail, "compact", "--keep-replaced-secs", "0", "--store", store)
    run(orgtrail, "compact", "--keep-replaced-secs", "0", "--store", store)
    results.append(("ours, compacted", *size(events)))

    database = duckdb.connect()
    database.execute("SET enable_progress_bar = false")
    database.execute(
        f"CREATE TABLE events AS FROM read_parquet('{events}/**/*.parquet',"
        " hive_partitioning = true, hive_types = {'account': VARCHAR, 'region': VARCHAR})"
    )
    (rows,) = database.sql("SELECT count(*) FROM events").fetchone()
    out = os.path.join(directory, "duckdb")
    database.execute(
        f"COPY events TO '{out}' (FORMAT parquet, COMPRESSION zstd, PARTITION_BY (account, region, date))"
    )
    results.append(("DuckDB, partitioned", *size(out)))
    for name, order in (("by time", "eventtime"), ("in our order", ORDER)):
        file = os.path.join(directory, f"duckdb {name}.parquet")
        database.execute(
            f"COPY (SELECT * FROM events ORDER BY {order}) TO '{file}' (FORMAT parquet, COMPRESSION zstd)"
        )
        results.append((f"DuckDB, one file {name}", *size(file)))
        table = database.sql(f"SELECT * FROM events ORDER BY {order}").to_arrow_table()
        file = os.path.join(directory, f"pyarrow {name}.parquet")
        pyarrow.parquet.write_table(table, file, compression="zstd")
        results.append((f"PyArrow, one file {name}", *size(file)))
    return rows, results


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("logs", nargs="+")
    parser.add_argument("--orgtrail", default=PROGRAM)
    arguments = parser.parse_args()
    for logs in arguments.logs:
        with tempfile.TemporaryDirectory() as directory:
            rows, results = measure(arguments.orgtrail, logs, directory)
        print(f"\n{logs}: {rows} events\n{'':34}{'files':>8}{'bytes':>14}{'B/event':>10}")
        for name, size_bytes, files in results:
            print(f"{name:34}{files:>8}{size_bytes:>14}{size_bytes / rows:>10.1f}")


if __name__ == "__main__":
    main()
