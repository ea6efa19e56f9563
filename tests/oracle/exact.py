"""Reads a store over and over while it is written, settled and compacted.

    exact.py ORGTRAIL STORE ACCOUNT ROWS STOP

ACCOUNT has ROWS rows and gets no more; others do. Through `orgtrail query`, and
through DuckDB with the list of files that `orgtrail files` prints, each reading
must find exactly these rows, and no event twice in the whole table. Ends when the
file STOP is there; prints how often it read.
"""

import json
import os
import subprocess
import sys

import duckdb

QUESTION = """SELECT count(*) AS total, count(DISTINCT eventid) AS events,
  sum(CASE WHEN account = '{account}' THEN 1 ELSE 0 END) AS own FROM events"""


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout


def by_orgtrail(orgtrail, store, question):
    answer = json.loads(run(orgtrail, "query", "--store", store, "-o", "ndjson", question))
    return answer["total"], answer["events"], answer["own"]


def by_duckdb(orgtrail, store, question):
    database = duckdb.connect()
    database.execute(run(orgtrail, "files", "--store", store, "-o", "duckdb"))
    return database.sql(question).fetchone()


def main():
    orgtrail, store, account, rows, stop = sys.argv[1:]
    question = QUESTION.format(account=account)
    reads, missing, most = 0, 0, 0
    while reads < 3 or not os.path.exists(stop):
        for read in (by_orgtrail, by_duckdb):
            try:
                total, events, own = read(orgtrail, store, question)
            except duckdb.IOException:
                # A settled fresh file was deleted between the list and the reading:
                # an error, and never a wrong answer.
                missing += 1
                continue
            assert own == int(rows), f"{read.__name__} sees {own} rows of {account}, not {rows}"
            assert total == events, f"{read.__name__} sees {total} rows of {events} events"
            most = max(most, total)
            reads += 1
    print(json.dumps({"reads": reads, "missing": missing, "rows": most}))


main()
