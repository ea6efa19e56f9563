"""Six questions of a responder, asked of the same events in four ways.

    python3 tests/bench/questions.py [--events 1000000] [--rounds 5] [--sample DIR] [--skip-logs]

`orgtrail query` and `who` on a store that was filled by the walk and compacted
(whole processes, started anew for each question); DuckDB on the Parquet files of
that store; DuckDB on Parquet that it wrote itself of the same rows, partitioned
alike; DuckDB on the original `.json.gz`. One table: median seconds, what orgtrail
read, and orgtrail beside DuckDB on the same files. Every way must count the same.
"""

import argparse
import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

from deployment import MIB, TOP, Deployment, build, program
from peers import duckdb_columns
from walk import python

# A name, SQL with what differs between dialects in braces, and how it is counted.
QUESTIONS = [
    ("count by event name", "SELECT eventname, count(*) AS n FROM {events} GROUP BY 1"),
    (
        "failed console logins",
        "SELECT eventtime, useridentity.arn, sourceipaddress FROM {events}"
        " WHERE eventname = 'ConsoleLogin' AND {text}(responseelements, '$.ConsoleLogin') = 'Failure'",
    ),
    ("all by one access key", "SELECT eventtime, eventname FROM {events} WHERE useridentity.accesskeyid = '{key}'"),
    (
        "who touched one resource",
        "SELECT eventtime, eventname, useridentity.arn FROM {events}"
        " WHERE requestparameters LIKE '%\"{resource}\"%' OR responseelements LIKE '%\"{resource}\"%'",
    ),
    (
        "cross-account AssumeRole",
        "SELECT useridentity.accountid, recipientaccountid, count(*) AS n FROM {events}"
        " WHERE eventname = 'AssumeRole' AND useridentity.accountid <> recipientaccountid GROUP BY 1, 2",
    ),
    (
        "errors by principal, one account and day",
        "SELECT useridentity.arn, errorcode, count(*) AS n FROM {events}"
        " WHERE account = '{account}' AND date = DATE '{day}' AND errorcode IS NOT NULL GROUP BY 1, 2",
    ),
]
NEEDLES = {"all by one access key", "who touched one resource"}


def fill(sample, directory):
    """A store with the sample, settled and compacted."""
    house = Deployment(directory)
    house.take_in(os.path.join(sample, "logs"))
    begun = time.monotonic()
    said = subprocess.run(
        [program("orgtrail"), "compact", "--keep-replaced-secs", "0", "--store", house.store],
        check=True, capture_output=True, text=True,
    ).stdout
    print(f"{said}compacted, indexed and copied in {time.monotonic() - begun:.1f} s", file=sys.stderr)
    return house.store


def by_orgtrail(store, name, sql, values, memory_mib=1024):
    if name == "who touched one resource":
        command = ["who", values["resource"], "--limit", "0", "--fields", "eventtime,eventname"]
    else:
        command = ["query", sql, "--limit", "0"]
    begun = time.monotonic()
    done = subprocess.run(
        [program("orgtrail"), *command, "--memory-mib", str(memory_mib), "--store", store, "-o", "ndjson"],
        check=True, capture_output=True, text=True,
    )
    seconds = time.monotonic() - begun
    read = re.search(r"searched (\d+) of (\d+) files .*?, ([\d.]+) MB read", done.stderr)
    return seconds, len(done.stdout.splitlines()), (float(read[3]), int(read[1]))


DUCK = """
import duckdb, sys, time
database = duckdb.connect()
database.execute("SET enable_progress_bar = false; SET threads = 2")
begun = time.monotonic()
database.execute("CREATE TEMP TABLE answer AS " + sys.argv[1])
seconds = time.monotonic() - begun
print(seconds, database.execute("SELECT count(*) FROM answer").fetchone()[0])
"""


def by_duckdb(sql):
    done = subprocess.run([python(), "-c", DUCK, sql], check=True, capture_output=True, text=True)
    seconds, rows = done.stdout.split()
    return float(seconds), int(rows), None


def sources(store, own, sample):
    """What DuckDB reads in each way, in the place of a table."""
    hive = "hive_partitioning = true, hive_types = {'account': VARCHAR}"
    told = ", ".join(f"'{name}': '{kind}'" for name, kind in duckdb_columns().items())
    records = (
        f"(SELECT r.*, r.recipientAccountId AS account, CAST(r.eventTime AS DATE) AS date FROM"
        f" (SELECT unnest(Records) AS r FROM read_json('{sample}/logs/**/*.json.gz',"
        f" columns = {{'Records': 'STRUCT({struct(told)})[]'}}, maximum_object_size = 100000000)))"
    )
    return {
        "DuckDB, our files": f"read_parquet('{store}/trail/default/events/**/*.parquet', {hive})",
        "DuckDB, its own": f"read_parquet('{own}/**/*.parquet', {hive})",
        "DuckDB, .json.gz": records,
    }


def struct(told):
    """`'a': 'X', 'b': 'Y'` as the members of a STRUCT."""
    return re.sub(r"'(\w+)': '((?:[^']|'')*)'", r'"\1" \2', told)


def values_of(store, memory_mib=1024):
    """What is looked for: of each kind something that is seldom."""
    def ask(sql):
        done = subprocess.run(
            [program("orgtrail"), "query", sql, "--memory-mib", str(memory_mib), "--store", store, "-o", "csv"],
            check=True, capture_output=True, text=True,
        )
        return done.stdout.splitlines()[1].split(",")

    key = ask(
        "SELECT useridentity.accesskeyid, count(*) AS n FROM events WHERE useridentity.accesskeyid LIKE 'A%'"
        " GROUP BY 1 HAVING count(*) BETWEEN 2 AND 50 ORDER BY 2 DESC, 1 LIMIT 1"
    )[0]
    resource = ask(
        "SELECT json_extract_scalar(requestparameters, '$.instancesSet.items[0].instanceId') AS id, count(*) AS n"
        " FROM events WHERE requestparameters LIKE '%instancesSet%' GROUP BY 1"
        " HAVING json_extract_scalar(requestparameters, '$.instancesSet.items[0].instanceId') IS NOT NULL"
        " ORDER BY 2 DESC, 1 LIMIT 1"
    )[0]
    account, day = ask(
        "SELECT account, date, count(*) AS n FROM events WHERE errorcode IS NOT NULL GROUP BY 1, 2"
        " ORDER BY 3 DESC, 1, 2 LIMIT 1"
    )[:2]
    return {"key": key, "resource": resource, "account": account, "day": day}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sample", help="a directory that make-sample has written before")
    parser.add_argument("--skip-logs", action="store_true", help="without DuckDB on .json.gz")
    arguments = parser.parse_args()
    build("orgtrail", "orgtrail-agent", "make-sample")
    sample = arguments.sample or os.path.join(TOP, "target", f"bench-sample-{arguments.events}")
    if not os.path.exists(os.path.join(sample, "events.ndjson")):
        subprocess.run([program("make-sample"), "logs", sample, str(arguments.events)], check=True)
    directory = tempfile.mkdtemp(prefix="orgtrail-questions-")
    store = fill(sample, os.path.join(directory, "run"))
    own = os.path.join(directory, "own")
    os.makedirs(own)
    peers = os.path.join(TOP, "tests", "bench", "peers.py")
    subprocess.run([python(), peers, "duckdb", os.path.join(sample, "events.ndjson"), own], check=True)
    values = values_of(store)
    print(f"looked for: {values}", file=sys.stderr)
    tables = sources(store, own, sample)
    if arguments.skip_logs:
        del tables["DuckDB, .json.gz"]
    seconds, counts, read = {}, {}, {}
    for number in range(arguments.rounds):
        ways = ["orgtrail", *tables]
        # Reading the logs takes half a minute, whatever is asked: once is enough.
        ways = [way for way in ways if number == 0 or "json" not in way]
        for way in random.Random(number).sample(ways, len(ways)):
            for name, template in QUESTIONS:
                if way == "orgtrail":
                    sql = template.format(events="events", text="json_extract_scalar", **values)
                    took, rows, what = by_orgtrail(store, name, sql, values)
                    read[name] = what
                else:
                    sql = template.format(events=tables[way], text="json_extract_string", **values)
                    took, rows, _ = by_duckdb(sql)
                seconds.setdefault((name, way), []).append(took)
                counts.setdefault(name, {})[way] = rows
    ways = ["orgtrail", *tables]
    total = sum(
        os.path.getsize(os.path.join(folder, file))
        for folder, _, files in os.walk(os.path.join(store, "trail", "default", "events"))
        for file in files
    )
    width = max(len(name) for name, _ in QUESTIONS)
    print(" " * width, *(way.rjust(18) for way in ways), "MB read (share)".rjust(18), "files".rjust(6), "/ same files")
    agree = True
    for name, _ in QUESTIONS:
        medians = [statistics.median(seconds[name, way]) for way in ways]
        megabytes, files = read[name]
        share = f"{megabytes:.1f} ({megabytes * 1e6 / total:.1%})"
        print(
            name.ljust(width),
            *(f"{median:16.3f} s" for median in medians),
            share.rjust(18), f"{files:6}", f"{medians[0] / medians[1]:8.2f}",
        )
        if len(set(counts[name].values())) > 1:
            agree = False
            print(f"  THEY DO NOT AGREE: {counts[name]}")
    print(f"{total / MIB:.0f} MiB in partitions, {arguments.events} events")
    shutil.rmtree(directory)
    sys.exit(0 if agree else 3)


if __name__ == "__main__":
    main()
