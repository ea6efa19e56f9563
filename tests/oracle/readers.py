"""Reads a store's events as people do, with readers that are not ours.

    readers.py STORE ROWS [--trail NAME]

Each way is the one that the README tells, with the option it needs to keep
account ids as text. Fails unless every reader finds ROWS rows and the same
accounts, each a text of 12 digits.
"""

import argparse
import json
import os

import duckdb
import polars
import pyarrow
import pyarrow.dataset


def by_duckdb(events):
    found = duckdb.sql(
        f"SELECT account, count(*) FROM read_parquet('{events}/**/*.parquet',"
        " hive_partitioning=true, hive_types={'account': VARCHAR}) GROUP BY ALL"
    )
    return dict(found.fetchall())


def by_polars(events):
    frame = polars.scan_parquet(
        f"{events}/**/*.parquet",
        hive_partitioning=True,
        hive_schema={"account": polars.String, "region": polars.String, "date": polars.Date},
    )
    return dict(frame.group_by("account").len().collect().iter_rows())


def by_pyarrow(events):
    keys = [("account", pyarrow.string()), ("region", pyarrow.string()), ("date", pyarrow.date32())]
    events = pyarrow.dataset.dataset(
        events, partitioning=pyarrow.dataset.partitioning(pyarrow.schema(keys), flavor="hive")
    )
    table = events.to_table(columns=["account", "date", "useridentity", "eventtime"])
    counted = table.group_by("account").aggregate([([], "count_all")])
    return dict(zip(counted["account"].to_pylist(), counted["count_all"].to_pylist()))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("store")
    parser.add_argument("rows", type=int)
    parser.add_argument("--trail", default="default")
    arguments = parser.parse_args()
    events = os.path.join(arguments.store, "trail", arguments.trail, "events")
    counts = {read.__name__: read(events) for read in (by_duckdb, by_polars, by_pyarrow)}
    print(json.dumps(counts, default=str))
    first = counts["by_duckdb"]
    for name, count in counts.items():
        assert count == first, f"{name} reads {count}, DuckDB {first}"
        for account in count:
            assert isinstance(account, str) and len(account) == 12, f"{name}: {account!r}"
    assert sum(first.values()) == arguments.rows, f"{sum(first.values())} rows"


main()
