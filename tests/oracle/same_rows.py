"""Compares the rows of a store's table with Parquet files that others made.

    same_rows.py STORE FOLDER

Every column of every row, and how often each is there; prints the number of rows.
"""

import sys

import duckdb

HIVE = "hive_partitioning = true, hive_types = {'account': VARCHAR, 'region': VARCHAR, 'date': DATE}"


def main():
    store, folder = sys.argv[1:]
    connection = duckdb.connect()
    for name, files in ("ours", f"{store}/trail/default/events"), ("theirs", folder):
        connection.sql(f"CREATE VIEW {name} AS SELECT * FROM read_parquet('{files}/**/*.parquet', {HIVE})")
    columns = [name for name, *_ in connection.sql("DESCRIBE ours").fetchall()]
    named = ", ".join(f'"{name}"' for name in columns)
    for one, other in ("ours", "theirs"), ("theirs", "ours"):
        rest = f"SELECT {named} FROM {one} EXCEPT ALL SELECT {named} FROM {other}"
        (missing,) = connection.sql(f"SELECT count(*) FROM ({rest})").fetchone()
        if missing:
            (first,) = connection.sql(f"{rest} LIMIT 1").fetchall()
            sys.exit(f"{missing} rows of {one} are not in {other}: {dict(zip(columns, first))}")
    print(connection.sql("SELECT count(*) FROM ours").fetchone()[0])


main()
