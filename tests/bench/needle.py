"""What finding one access key costs in a large organization's store.

    python3 tests/bench/needle.py [--days 90] [--accounts 300] [--regions 17] [--each 2]
                                  [--sample DIR] [--keep DIR]

By default 459,000 partitions: 300 accounts x 17 regions x 90 days, as many as three billion
events have, with a few events in each. All is made as always, by agent, passes and
compaction. Then `orgtrail query` looks for keys (one that is nowhere, and some that few
files hold) in one, thirty and all days, and says in how many requests how much it read:
log, lists, index and files. What depends on the number of days and files is so measured; a
file of a larger store is larger, and the last lines say what it would add.
"""

import argparse
import datetime
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

from deployment import build, program
from organization import fill

# Events of a partition of three billion, and the bytes that one takes there.
EACH_AT_SCALE = 3_000_000_000 // (90 * 300 * 17)
FILE_BYTES_AT_SCALE = EACH_AT_SCALE * 136


def ask(store, *words):
    done = subprocess.run(
        [program("orgtrail"), *words, "--store", store, "--limit", "0"],
        check=True, capture_output=True, text=True,
    )
    return done.stdout, done.stderr


def look(store, key, first):
    sql = f"SELECT eventtime, account, eventname FROM events WHERE useridentity.accesskeyid = '{key}'"
    if first:
        sql += f" AND date >= DATE '{first}'"
    begun = time.monotonic()
    out, told = ask(store, "query", sql, "-o", "csv")
    seconds = time.monotonic() - begun
    read = re.search(r"searched (\d+) of \d+ files .*?, ([\d.]+) MB read in (\d+) request", told)
    rows = max(len(out.splitlines()) - 1, 0)
    return rows, int(read[1]), int(read[3]), float(read[2]), seconds


def keys_of(store):
    """Keys that two to eight events name."""
    out, _ = ask(
        store, "query",
        "SELECT useridentity.accesskeyid, count(*) FROM events WHERE useridentity.accesskeyid LIKE 'A%'"
        " GROUP BY 1 HAVING count(*) BETWEEN 2 AND 8 ORDER BY 2 DESC, 1 LIMIT 3",
        "-o", "csv",
    )
    return [line.split(",")[0] for line in out.splitlines()[1:]]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, count in ("accounts", 300), ("regions", 17), ("days", 90), ("each", 2):
        parser.add_argument(f"--{name}", type=int, default=count)
    parser.add_argument("--sample", help="a directory for the log files, or with them")
    parser.add_argument("--keep", help="where the store is made and stays, or where it is")
    arguments = parser.parse_args()
    build("orgtrail", "orgtrail-agent", "make-sample")
    directory = arguments.keep or tempfile.mkdtemp(prefix="orgtrail-needle-")
    store = os.path.join(directory, "run", "store")
    counts = [arguments.accounts, arguments.regions, arguments.days, arguments.each]
    if not os.path.exists(store):
        sample = arguments.sample or os.path.join(directory, "sample")
        if not os.path.exists(os.path.join(sample, "logs")):
            subprocess.run([program("make-sample"), "organization", sample, *map(str, counts)], check=True)
        fill(sample, os.path.join(directory, "run"), counts[0] * counts[1] * counts[2] * counts[3])
    out, _ = ask(store, "query", "SELECT max(date) FROM events WHERE date > DATE '2006-01-01'", "-o", "csv")
    last = datetime.date.fromisoformat(out.splitlines()[1][:10])
    print(f"{'key':22}{'days':>6}{'rows':>7}{'files':>7}{'requests':>10}{'MB read':>10}{'seconds':>9}")
    for key in ["AKIANOWHERE000000000", *keys_of(store)]:
        for days in sorted({1, min(30, arguments.days), arguments.days}):
            first = last - datetime.timedelta(days=days - 1) if days < arguments.days else None
            rows, files, requests, megabytes, seconds = look(store, key, first)
            print(f"{key:22}{days:6}{rows:7}{files:7}{requests:10}{megabytes:10.2f}{seconds:9.2f}", flush=True)
    print(f"a file of {EACH_AT_SCALE} events, as three billion have, is {FILE_BYTES_AT_SCALE / 1e6:.2f} MB:"
          f" for each that names the key, at most so much more is read, in the same requests")
    if not arguments.keep:
        shutil.rmtree(directory)


if __name__ == "__main__":
    sys.exit(main())
