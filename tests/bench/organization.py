"""A large organization's day, or several: 1,000 accounts x 17 regions, 200 events in each.

    python3 tests/bench/organization.py [--accounts 1000] [--regions 17] [--days 1] [--each 200]
                                        [--parts 1] [--rounds 3] [--leave-out WAY]
                                        [--sample DIR] [--keep DIR]

CloudTrail's log files, one for each account, region and day, go through agent, journal
and table: in one go, or in parts of some accounts each, which are deleted when they are in,
as a large organization's history comes. Then `orgtrail compact` merges, indexes and copies
days. Tells what each step took (seconds, CPU seconds, memory, files, bytes an event), and the
six questions of `questions.py` across the organization, asked twice: of the settled partitions
(orgtrail, and DuckDB), and when there are copies of the days (orgtrail, and DuckDB on the
copies). Every way must count the same. (Copies are made of days that are over and have 200
files or more.)
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


WAYS = "orgtrail, partitions", "DuckDB, partitions", "orgtrail", "DuckDB, copies"


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


class Store:
    """What goes in, and what becomes of it."""

    def __init__(self, directory, events):
        self.house, self.events = Deployment(directory), events
        self.path = self.house.store
        self.trail = os.path.join(self.path, "trail", "default")

    def take_in(self, sample, parts=1):
        logs = os.path.join(sample, "logs")
        if parts == 1:
            used = self.house.take_in(logs)
            told("passes and settling", used, self.events, os.path.join(self.trail, "events"))
            return
        accounts = sorted(os.listdir(logs))
        for number in range(parts):
            part = self.house.path(f"part{number}")
            os.makedirs(part)
            for account in accounts[number::parts]:
                shutil.move(os.path.join(logs, account), part)
            used = self.house.take_in(part, f"central{number}")
            events = self.events * (number + 1) // parts
            told(f"passes and settling, part {number + 1}", used, events, os.path.join(self.trail, "events"))
            shutil.rmtree(part)

    def compact(self):
        compact = [program("orgtrail"), "compact", "--keep-replaced-secs", "0", "--store", self.path]
        log = self.house.path("compact.log")
        compacted = Process("compact", compact, log).wait()
        assert compacted.status == 0, log
        with open(log, encoding="utf-8") as file:
            print(file.read().strip())
        told("compacting, indexing, copying", [compacted], self.events, os.path.join(self.trail, "events"))
        for part in "days", "index", "iceberg":
            files, size = tree(os.path.join(self.trail, part))
            print(f"{part:28} {files} files, {size / MIB:.1f} MiB, {size / self.events:.1f} B/event", flush=True)


def fill(sample, directory, events):
    """A store with the sample, compacted, indexed and copied."""
    store = Store(directory, events)
    store.take_in(sample)
    store.compact()
    return store.path


class Answers:
    """What each way of asking took and found."""

    def __init__(self, store, values, rounds, memory_mib):
        self.store, self.values, self.rounds, self.memory_mib = store, values, rounds, memory_mib
        self.ways, self.seconds, self.found, self.read = [], {}, {}, {}

    def ask(self, ways):
        """Ways by name, each the table in DuckDB, or none for orgtrail."""
        self.ways += ways
        for number in range(self.rounds):
            for way in random.Random(number).sample(list(ways), len(ways)):
                for name, template in QUESTIONS:
                    if ways[way] is None:
                        sql = template.format(events="events", text="json_extract_scalar", **self.values)
                        took, rows, self.read[name, way] = by_orgtrail(
                            self.store, name, sql, self.values, self.memory_mib
                        )
                    else:
                        sql = template.format(events=ways[way], text="json_extract_string", **self.values)
                        took, rows, _ = by_duckdb(sql)
                    self.seconds.setdefault((name, way), []).append(took)
                    self.found.setdefault(name, {})[way] = rows

    def tell(self):
        """Prints a table; whether all ways agree."""
        width = max(len(name) for name, _ in QUESTIONS)
        print(" " * width, *(way.rjust(30) for way in self.ways))
        for name, _ in QUESTIONS:
            cells = []
            for way in self.ways:
                cell = f"{statistics.median(self.seconds[name, way]):.2f} s"
                if (name, way) in self.read:
                    megabytes, files = self.read[name, way]
                    cell += f" ({megabytes:.1f} MB, {files} files)"
                cells.append(cell.rjust(30))
            print(name.ljust(width), *cells)
        unlike = {name: found for name, found in self.found.items() if len(set(found.values())) > 1}
        for name, found in unlike.items():
            print(f"  THEY DO NOT AGREE: {name} {found}")
        return not unlike


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, count in ("accounts", 1000), ("regions", 17), ("days", 1), ("each", 200), ("parts", 1), ("rounds", 3):
        parser.add_argument(f"--{name}", type=int, default=count)
    parser.add_argument("--leave-out", action="append", default=[], choices=WAYS, help="a way that is not asked")
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
    store = Store(os.path.join(directory, "run"), events)
    hive = "hive_partitioning = true, hive_types = {'account': VARCHAR}"
    sources = None, f"read_parquet('{store.trail}/events/**/*.parquet', {hive})"
    copies = None, f"read_parquet('{store.trail}/days/**/*.parquet')"
    asked = [way for way in WAYS if way not in arguments.leave_out]
    settled = {way: table for way, table in zip(WAYS[:2], sources) if way in asked}
    copied = {way: table for way, table in zip(WAYS[2:], copies) if way in asked}
    store.take_in(sample, arguments.parts)
    # A question takes some kilobytes for each file that it opens.
    memory_mib = 1024 + counts[0] * counts[1] * counts[2] * 8 // 1024
    answers = Answers(store.path, values_of(store.path, memory_mib), arguments.rounds, memory_mib)
    print(f"looked for: {answers.values}", file=sys.stderr)
    answers.ask(settled)
    store.compact()
    answers.ask(copied)
    agree = answers.tell()
    if not arguments.keep:
        shutil.rmtree(directory)
    sys.exit(0 if agree else 3)


if __name__ == "__main__":
    main()
