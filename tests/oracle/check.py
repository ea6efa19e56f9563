"""Checks a store against the files that were delivered into it.

    check.py STORE [SOURCE] [--organization] [--trail NAME]
             [--summary FILE] [--status FILE] [--expected FILE]

Finds the records in the files by itself, reads the Parquet with DuckDB, and
compares: count, every eventID, the partition of every row, each record rebuilt
from its row, which events came again; what is in quarantine against the files' bytes; the journal's
hashes, line by line; and the sums that a summary (`orgtrail demo --json`) or
`orgtrail status -o json` tells.
Prints one JSON object; exits with 1 if anything differs.
"""

import argparse
import json
import os
import sys
import threading
from collections import Counter

import duckdb

import duplicates
import journal
import quarantine
import rows
import sources
from placing import Places
from values import NoJson, canonical, decode, is_text

PROBLEMS_MAX = 40
OUTCOME = []
SENTENCE = """SELECT account, eventname, count(*)
FROM read_parquet('{files}', hive_partitioning=true, hive_types={{'account': VARCHAR}})
GROUP BY ALL"""
ROWS = """SELECT * REPLACE (epoch_us(eventtime) AS eventtime, date::VARCHAR AS date),
  typeof(account) AS account_type
FROM read_parquet('{files}', hive_partitioning=true, hive_types={{'account': VARCHAR}})"""


class Check:
    def __init__(self, arguments):
        self.arguments = arguments
        self.store = arguments.store.removeprefix("file://")
        self.problems = Counter()
        self.found = {}
        self.duplicates = []

    def complain(self, problem):
        self.problems[problem] += 1

    def run(self):
        self.expected = self.read_expected()
        opaque = {name: file["opaque"] for name, file in self.expected.items() if "opaque" in file}
        files = list(sources.read(self.arguments.source, opaque)) if self.arguments.source else None
        lines = self.read_journal()
        asides = list(quarantine.read(self.store, self.arguments.trail))
        table = self.read_rows()
        self.compare_rows(table, lines, asides)
        if files is not None:
            self.compare_files(files, table, asides)
        self.found |= {
            "journaled": sum(not line.is_continuation() for line in lines.values()),
            "rows": len(table),
            "duplicates": len(self.duplicates),
            "quarantined": sum(not aside.is_continuation() for aside in asides),
            "reasons": dict(Counter(a.reason for a in asides if not a.is_continuation())),
        }
        parts = ["rows", "quarantined", "duplicates"]
        if self.found["journaled"] != sum(self.found[part] for part in parts):
            self.complain("journaled is not rows + quarantined + duplicates")
        if self.arguments.summary:
            self.compare_summary()
        if self.arguments.status:
            self.compare_status()
        return self.found | {"problems": list(self.problems)[:PROBLEMS_MAX]}

    def read_expected(self):
        if not self.arguments.expected:
            return {}
        with open(self.arguments.expected, encoding="utf-8") as file:
            return json.load(file)

    def read_journal(self):
        """Every delivered line by (record, row); hashes are checked on the way."""
        reader = journal.Journal(self.store)
        lines = {}
        try:
            for line in reader.lines():
                lines[line.record, line.row] = line
        except (journal.Damaged, OSError, KeyError, ValueError) as damage:
            self.complain(f"journal: {type(damage).__name__}: {damage}")
        self.found |= {
            "journal_head": reader.head,
            "segment_bytes": reader.segment_bytes,
            "inflated_bytes": reader.inflated_bytes,
            "streams": len(reader.streams),
        }
        return lines

    def read_rows(self):
        """All rows, as DuckDB reads them with nothing of ours."""
        files = os.path.join(self.store, "trail", self.arguments.trail, "events", "**", "*.parquet")
        database = duckdb.connect()
        database.execute("SET TimeZone='UTC'")
        try:
            groups = database.sql(SENTENCE.format(files=files)).fetchall()
        except duckdb.IOException:
            return []
        table = []
        reader = database.sql(ROWS.format(files=files)).to_arrow_reader(4096)
        for batch in reader:
            table.extend(batch.to_pylist())
        if sum(count for *_, count in groups) != len(table):
            self.complain("DuckDB counts another number of rows than it reads")
        for account, *_ in groups:
            if not (isinstance(account, str) and len(account) == 12):
                self.complain(f"DuckDB reads account {account!r}, which is no text of 12 digits")
        self.found["accounts"] = len({row["account"] for row in table})
        self.found["regions"] = len({row["region"] for row in table})
        return table

    def compare_rows(self, table, lines, asides):
        """Each line of the journal is one row, a line of quarantine or a duplicate, and
        every row is right."""
        places = Places()
        events = duplicates.Events()
        set_aside = Counter((aside.record, aside.row) for aside in asides)
        held = {}
        for row in table:
            at = row["orgtrail_record"], row["orgtrail_row"]
            if at in held or at in set_aside:
                self.complain(f"line {at} is more than once in table and quarantine")
            if at not in lines:
                self.complain(f"a row names line {at}, which the journal does not have")
            held[at] = row
        for at, count in set_aside.items():
            if count > 1 or at not in lines:
                self.complain(f"line {at} is {count} times in quarantine")
        for at in sorted(lines.keys() - set_aside.keys()):
            self.compare_line(lines[at], held.get(at), places, events)
        for problem in events.problems():
            self.complain(problem)
        self.duplicates = events.duplicates

    def compare_line(self, line, row, places, events):
        """A line that is not set aside is a row, or a duplicate of an earlier one."""
        at, stream = (line.record, line.row), line.stream
        try:
            record = decode(line.text.decode())
        except (NoJson, ValueError) as error:
            self.complain(f"line {at} is no JSON and not in quarantine: {error}")
            return
        place = places.place(record, stream.account, stream.is_organization(), line.committed_at)
        text = canonical(record)
        events.see(at, place, record.last("eventID"), text, row)
        if row is None:
            return
        if row["orgtrail_agent"] != f"{stream.account}/{stream.agent}":
            self.complain(f"row {at} is of {row['orgtrail_agent']}, its line is not")
        try:
            rebuilt = rows.rebuild(row)
        except (NoJson, ValueError) as error:
            self.complain(f"row {at}: {error}")
            return
        row["canonical"] = canonical(rebuilt)
        if row["canonical"] != text:
            self.complain(f"row {at} is not its line: {differs(rebuilt, record)}")
        if place != (row["account"], row["region"], row["date"]):
            found = row["account"], row["region"], row["date"]
            self.complain(f"row {at} is in {found}, it belongs into {place}")
        if not stream.is_organization() and row["account"] != stream.speaks_for:
            self.complain(f"row {at} is of an account that its agent does not speak for")

    def compare_files(self, files, table, asides):
        """The records of the files are the rows, beside what had no right to be one."""
        wanted, ids = Counter(), Counter()
        for file in files:
            for unit in file.records():
                wanted[canonical(unit.value)] += 1
                ids[text_of(unit.value.last("eventID"))] += 1
        held, held_ids = Counter(), Counter()
        for row in table:
            held[row.get("canonical")] += 1
            held_ids[row["eventid"]] += 1
        for event_id, text in self.duplicates:
            held[text] += 1
            held_ids[event_id] += 1
        for aside in asides:
            if aside.reason in ("foreign_account", "account_not_covered"):
                record = aside.held_record()
                if record is not None:
                    held[canonical(record)] += 1
                    held_ids[text_of(record.last("eventID"))] += 1
        self.found |= {
            "lost": sum((wanted - held).values()),
            "duplicated": sum(count for text, count in (held - wanted).items() if text in wanted),
        }
        for text, count in (wanted - held).items():
            self.complain(f"{count} x lost: {text[:300]}")
        for text, count in (held - wanted).items():
            self.complain(f"{count} x not in the files: {str(text)[:300]}")
        if not self.problems and ids != held_ids:
            self.complain(f"eventIDs differ: {list(((ids - held_ids) + (held_ids - ids)).items())[:5]}")
        foreign = sum(foreign_account(file, unit) for file in files for unit in file.records())
        told = sum(aside.reason == "foreign_account" for aside in asides)
        if self.arguments.organization and foreign != told:
            self.complain(f"{foreign} records lie in another account's folder, {told} are set aside")
        quarantine.compare(asides, files, self.complain)
        if self.arguments.expected:
            self.compare_expected(files, asides)
        self.found |= {
            "files": len(files),
            "records_in_files": sum(wanted.values()),
            "others_in_files": sum(len(file.others()) for file in files),
            "event_ids": len(ids),
        }

    def compare_expected(self, files, asides):
        """What the maker of the files knows of each: how many records, which reasons."""
        for name, wanted in self.expected.items():
            source = quarantine.the_source(files, os.path.join(self.arguments.source, name))
            count = len(source.records())
            if wanted["records"] not in (None, count):
                self.complain(f"{name}: {count} records were found, it has {wanted['records']}")
            if wanted["reasons"] is None:
                continue
            marks = [aside for aside in asides if aside.mark]
            given = {a.reason for a in marks if source is quarantine.the_source(files, a.mark["source"])}
            missing = [reason for reason in wanted["reasons"] if reason and reason not in given]
            if missing or bool(wanted["reasons"]) != bool(given):
                self.complain(f"{name}: reasons {sorted(given)}, wanted {wanted['reasons']}")

    def compare_summary(self):
        with open(self.arguments.summary, encoding="utf-8") as file:
            told = json.load(file)
        if told["events_read"] != told["journaled"]:
            self.complain("events_read is not journaled")
        parts = ["rows", "quarantined", "duplicates", "unselected"]
        if told["journaled"] != sum(told.get(part, 0) for part in parts):
            self.complain("the summary does not close")
        for key in ("journaled", "rows", "quarantined", "duplicates", "accounts", "regions"):
            if told[key] != self.found.get(key, 0):
                self.complain(f"the summary tells {key} {told[key]}, it is {self.found.get(key)}")


    def compare_status(self):
        """What `orgtrail status -o json` tells of the store is what is in it."""
        with open(self.arguments.status, encoding="utf-8") as file:
            told = json.load(file)
        wanted = {
            ("journal", "head"): self.found["journal_head"],
            ("journal", "journaled"): self.found["journaled"],
            ("journal", "segment_bytes"): self.found["segment_bytes"],
            ("table", "rows"): self.found["rows"],
            ("table", "quarantined"): self.found["quarantined"],
            ("table", "duplicates"): self.found["duplicates"],
            ("table", "reasons"): self.found["reasons"],
        }
        for (part, name), value in wanted.items():
            if told[part][name] != value:
                self.complain(f"status tells {part}.{name} {told[part][name]}, it is {value}")
        if not told["closes"]:
            self.complain("status says that the sum does not close")


def foreign_account(file, unit):
    account = unit.value.last("recipientAccountId")
    is_id = isinstance(account, str) and len(account) == 12 and account.isdigit()
    return bool(file.folder and is_id and account != file.folder)


def text_of(value):
    """The text that a column holds; a lone surrogate is none that it could."""
    try:
        return value if is_text(value) and value.encode() is not None else None
    except UnicodeEncodeError:
        return None


def differs(rebuilt, record):
    """The first member that is not the same."""
    ours, theirs = dict(rebuilt), dict(record)
    for key in theirs.keys() | ours.keys():
        one, other = ours.get(key, "absent"), theirs.get(key, "absent")
        if canonical(one) != canonical(other):
            return f"{key} is {canonical(one)[:120]} instead of {canonical(other)[:120]}"
    return "in the order of repeated members"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("store")
    parser.add_argument("source", nargs="?")
    parser.add_argument("--organization", action="store_true")
    parser.add_argument("--summary")
    parser.add_argument("--expected")
    parser.add_argument("--status")
    parser.add_argument("--trail", default="default")
    found = Check(parser.parse_args()).run()
    print(json.dumps(found, indent=1))
    OUTCOME.append(1 if found["problems"] else 0)


if __name__ == "__main__":
    # Values may nest deep; the interpreter's own stack does not.
    sys.setrecursionlimit(20_000)
    threading.stack_size(512 << 20)
    worker = threading.Thread(target=main)
    worker.start()
    worker.join()
    sys.exit(OUTCOME[0] if OUTCOME else 2)
