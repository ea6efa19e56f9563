"""Lets engines that are not ours read a store by the statements that orgtrail prints.

    engines.py make FOLDER                     a file of events of many accounts
    engines.py spark STATEMENTS                counts by Spark, with `schema --ddl spark`
    engines.py duckdb STATEMENTS               by DuckDB, with `schema --ddl duckdb`
    engines.py pyiceberg STORE                 by PyIceberg, from the table's metadata
    engines.py duckdb-iceberg STORE            by DuckDB's Iceberg reader
    engines.py polars|pyarrow STORE            by these, from the folders

A count is a JSON object {"account region date": rows} on stdout. Who can ask what a list
contains is asked how many rows name something, too.
"""

import json
import os
import sys

# So many that their days get a copy for the organization at once.
ACCOUNTS = 210
DAYS = ("05", ACCOUNTS), ("06", ACCOUNTS), ("07", 5)
BUCKET = "arn:aws:s3:::bucket"
COUNT = "SELECT account, region, CAST({date} AS VARCHAR(10)) AS day, count(*) AS n FROM {table} GROUP BY 1, 2, 3"


def account_of(number):
    return f"{number * 479_001_599 + 42:012d}"


def names(rows_that_name):
    """Checks how many rows the list of what they name says name a thing."""
    expected = {BUCKET: 3 * sum(accounts for _, accounts in DAYS), account_of(0): 3 * len(DAYS), "i-0": 0}
    found = {thing: rows_that_name(thing) for thing in expected}
    assert found == expected, f"{found}, not {expected}"


def make(folder):
    os.makedirs(folder)
    number = 0
    with open(os.path.join(folder, "events.ndjson"), "w", encoding="utf-8") as file:
        for day, accounts in DAYS:
            for account in map(account_of, range(accounts)):
                for hour in range(3):
                    number += 1
                    record = {
                        "eventVersion": "1.08",
                        "userIdentity": {"type": "IAMUser", "arn": f"arn:aws:iam::{account}:user/u{hour}"},
                        "eventTime": f"2026-01-{day}T0{hour}:00:00Z",
                        "eventSource": "s3.amazonaws.com",
                        "eventName": "GetObject",
                        "awsRegion": "eu-west-1",
                        "eventID": f"id-{number}",
                        "resources": [{"ARN": BUCKET, "accountId": account}],
                        "recipientAccountId": account,
                    }
                    file.write(json.dumps(record) + "\n")
    print(number)


def told(rows):
    print(json.dumps({f"{account} {region} {day}": count for account, region, day, count in rows}))


def statements(path):
    """Those of a file, without its comments."""
    with open(path, encoding="utf-8") as file:
        lines = (line for line in file if not line.startswith("--"))
        return [text.strip() for text in "".join(lines).split(";\n") if text.strip()]


def spark(path):
    from pyspark.sql import SparkSession

    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder = SparkSession.builder.config("spark.sql.session.timeZone", "UTC")
    builder = builder.config("spark.sql.warehouse.dir", os.path.join(os.path.dirname(path), "warehouse"))
    session = builder.getOrCreate()
    for statement in statements(path):
        session.sql(statement)
    sides = [set(session.sql(COUNT.format(date="`date`", table=name)).collect()) for name in both("events")]
    same(*sides)
    for view in "cloudtrail_logs", "cloudtrail_lake":
        rows = session.sql(f"SELECT * FROM {view}").collect()
        assert len(rows) == sum(row[3] for row in sides[0]), f"{view} has {len(rows)} rows"
    for name in both("events"):
        having = f"SELECT count(*) FROM {name} WHERE array_contains(indicators, '{{}}')"
        names(lambda thing, having=having: session.sql(having.format(thing)).collect()[0][0])
    told(sides[0])


def duckdb(path):
    import duckdb as engine

    connection = engine.connect()
    with open(path, encoding="utf-8") as file:
        connection.execute(file.read())
    columns = [name for name, *_ in connection.sql("DESCRIBE events").fetchall()]
    named = ", ".join(f'"{name}"' for name in columns)
    for one, other in ("events", "events_by_day"), ("events_by_day", "events"):
        rest = f"SELECT {named} FROM {one} EXCEPT ALL SELECT {named} FROM {other}"
        (missing,) = connection.sql(f"SELECT count(*) FROM ({rest})").fetchone()
        assert missing == 0, f"{missing} rows of {one} are not in {other}"
        having = f"SELECT count(*) FROM {one} WHERE list_contains(indicators, ?)"
        names(lambda thing, having=having: connection.execute(having, [thing]).fetchone()[0])
    told(connection.sql(COUNT.format(date='"date"', table="events_by_day")).fetchall())


def metadata(store):
    """The newest metadata, as the hint tells."""
    folder = os.path.join(store, "trail", "default", "iceberg", "metadata")
    with open(os.path.join(folder, "version-hint.text"), encoding="utf-8") as hint:
        return os.path.join(folder, f"v{hint.read()}.metadata.json")


def pyiceberg(store):
    from pyiceberg.table import StaticTable

    table = StaticTable.from_metadata("file://" + metadata(store))
    keys = "account", "region", "date"
    rows = table.scan().to_arrow()
    counts = rows.group_by(list(keys)).aggregate([([], "count_all")]).to_pylist()
    told((one["account"], one["region"], one["date"].isoformat(), one["count_all"]) for one in counts)
    # A condition on partition keys, on a column with bounds, and what is inside a struct.
    account, day = counts[0]["account"], counts[0]["date"].isoformat()
    wanted = f"account = '{account}' and date = '{day}'"
    some = table.scan(row_filter=wanted, selected_fields=(*keys, "useridentity.arn")).to_arrow()
    here = [one["count_all"] for one in counts if (one["account"], one["date"].isoformat()) == (account, day)]
    assert some.num_rows == sum(here), f"{some.num_rows} rows where {wanted}"
    later = table.scan(row_filter=f"eventtime >= '{day}T00:00:00+00:00'").to_arrow()
    assert later.num_rows > 0


def duckdb_iceberg(store):
    import glob
    import importlib

    import duckdb as engine

    connection = engine.connect(config={"allow_unsigned_extensions": True})
    for name in "avro", "iceberg":
        folder = os.path.dirname(importlib.import_module(f"duckdb_extension_{name}").__file__)
        (path,) = glob.glob(f"{folder}/extensions/*/{name}.duckdb_extension")
        connection.execute(f"LOAD '{path}'")
    table = f"iceberg_scan('{os.path.join(store, 'trail', 'default', 'iceberg')}')"
    having = f"SELECT count(*) FROM {table} WHERE list_contains(indicators, ?)"
    names(lambda thing: connection.execute(having, [thing]).fetchone()[0])
    told(connection.sql(COUNT.format(date='"date"', table=table)).fetchall())


def events(store):
    return os.path.join(store, "trail", "default", "events")


def polars(store):
    import polars as engine

    schema = {"account": engine.String, "region": engine.String, "date": engine.Date}
    frame = engine.scan_parquet(f"{events(store)}/**/*.parquet", hive_partitioning=True, hive_schema=schema)
    rows = frame.group_by("account", "region", engine.col("date").cast(engine.String)).len()
    has = engine.col("indicators").list
    names(lambda thing: frame.filter(has.contains(thing)).select(engine.len()).collect().item())
    told(rows.collect().iter_rows())


def pyarrow(store):
    import pyarrow as engine
    import pyarrow.dataset as dataset

    keys = engine.schema([("account", engine.string()), ("region", engine.string()), ("date", engine.date32())])
    files = dataset.dataset(events(store), partitioning=dataset.partitioning(keys, flavor="hive"))
    rows = files.to_table(columns=["account", "region", "date"]).group_by(["account", "region", "date"])
    counts = rows.aggregate([([], "count_all")]).to_pylist()
    told((one["account"], one["region"], one["date"].isoformat(), one["count_all"]) for one in counts)


def both(view):
    """The view that reads copies of days, and the table that does not."""
    return view, "orgtrail_events"


def same(one, other):
    assert one == other, f"{sorted(one ^ other)[:3]}"


def main():
    what, *rest = sys.argv[1:]
    ways = make, spark, duckdb, pyiceberg, duckdb_iceberg, polars, pyarrow
    {way.__name__.replace("_", "-"): way for way in ways}[what](*rest)


main()
