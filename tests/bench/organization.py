"""A large organization's day: 1,000 accounts x 17 regions, 200 events in each.

    python3 tests/bench/organization.py [--accounts 1000] [--regions 17] [--days 1] [--each 200]
                                        [--rounds 3] [--sample DIR] [--keep DIR]

CloudTrail's log files, one for each account, region and day, go through agent, journal
and table; then `orgtrail compact` merges, indexes and copies days. Tells what each step
took (seconds, CPU seconds, memory, files, bytes an event), and the six questions of
`questions.py` across the organization: orgtrail, and DuckDB on the partitions and on the
copies. (Copies are made of days that are over and have 200 files or more.)
"""

import argparse
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

from deployment import MIB, TOP, Deployment, Process, build, program
from questions import QUESTIONS, by_duckdb, by_orgtrail, values_of


def tree(folder):
    """Files and bytes below a folder."""
    sizes = [os.path.getsize(os.path.join(at, name)) for at, _, names in os.walk(folder) for name in names]
    return len(sizes), sum(sizes)


def told(what, usages, events, folder=None):
    cpu = sum(usage.cpu() for usage in usages)
    line = f"{what:28} {usages[0].seconds:8.1f} s {cpu:8.1f} CPU s"
    line += "".join(f"  {usage.name} {usage.peak_bytes / MIB:.0f} MiB" for usage in usages)
    if folder:
        files, size = tree(folder)
        line += f"  {files} files, {size / MIB:.1f} MiB, {size / events:.0f} B/event"
    print(line, flush=True)


def fill(sample, directory, events):
    house = Deployment(directory)
    served, agent = house.take_in(os.path.join(sample, "logs"))
    trail = os.path.join(house.store, "trail", "default")
    told("passes and settling", [served, agent], events, os.path.join(trail, "events"))
    compact = [program("orgtrail"), "compact", "--keep-replaced-secs", "0", "--store", house.store]
    log = os.path.join(directory, "compact.log")
    compacted = Process("compact", compact, log).wait()
    assert compacted.status == 0, log
    with open(log, encoding="utf-8") as file:
        print(file.read().strip())
    told("compacting, indexing, copying", [compacted], events, os.path.join(trail, "events"))
    for part in "days", "index", "iceberg":
        files, size = tree(os.path.join(trail, part))
        print(f"{part:28} {files} files, {size / MIB:.1f} MiB, {size / events:.1f} B/event", flush=True)
    return house.store


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, count in ("accounts", 1000), ("regions", 17), ("days", 1), ("each", 200), ("rounds", 3):
        parser.add_argument(f"--{name}", type=int, default=count)
    parser.add_argument("--sample", help="a directory for the log files, or with them")
    parser.add_argument("--keep", help="where the store is made and stays")
    arguments = parser.parse_args()
    build("orgtrail", "orgtrail-agent", "make-sample")
    directory = arguments.keep or tempfile.mkdtemp(prefix="orgtrail-organization-")
    sample = arguments.sample or os.path.join(directory, "sample")
    counts = [arguments.accounts, arguments.regions, arguments.days, arguments.each]
    if not os.path.exists(os.path.join(sample, "logs")):
        subprocess.run([program("make-sample"), "organization", sample, *map(str, counts)], check=True)
    events = counts[0] * counts[1] * counts[2] * counts[3]
    print(f"{events} events in {counts[0] * counts[1] * counts[2]} partitions; as .json.gz"
          f" {tree(sample)[1] / events:.0f} B/event", flush=True)
    store = fill(sample, os.path.join(directory, "run"), events)
    values = values_of(store)
    print(f"looked for: {values}", file=sys.stderr)
    trail = os.path.join(store, "trail", "default")
    hive = "hive_partitioning = true, hive_types = {'account': VARCHAR}"
    tables = {
        "DuckDB, partitions": f"read_parquet('{trail}/events/**/*.parquet', {hive})",
        "DuckDB, days": f"read_parquet('{trail}/days/**/*.parquet')",
    }
    ways = ["orgtrail", *tables]
    seconds, found, read = {}, {}, {}
    for number in range(arguments.rounds):
        for way in random.Random(number).sample(ways, len(ways)):
            for name, template in QUESTIONS:
                if way == "orgtrail":
                    sql = template.format(events="events", text="json_extract_scalar", **values)
                    took, rows, read[name] = by_orgtrail(store, name, sql, values)
                else:
                    sql = template.format(events=tables[way], text="json_extract_string", **values)
                    took, rows, _ = by_duckdb(sql)
                seconds.setdefault((name, way), []).append(took)
                found.setdefault(name, {})[way] = rows
    width = max(len(name) for name, _ in QUESTIONS)
    print(" " * width, *(way.rjust(20) for way in ways), "MB read".rjust(10), "files".rjust(7))
    agree = True
    for name, _ in QUESTIONS:
        medians = [statistics.median(seconds[name, way]) for way in ways]
        megabytes, files = read[name]
        print(name.ljust(width), *(f"{median:18.2f} s" for median in medians), f"{megabytes:10.1f} {files:7}")
        if len(set(found[name].values())) > 1:
            agree = False
            print(f"  THEY DO NOT AGREE: {found[name]}")
    if not arguments.keep:
        shutil.rmtree(directory)
    sys.exit(0 if agree else 3)


if __name__ == "__main__":
    main()
