"""Lets go all segments of a journal but the last, by the written formats alone.

    expire.py STORE

Does what retention does when they are old enough: says so in the table's log, names the
segments in the journal's with their roots, and deletes all but one of them. Prints what
has expired.
"""

import glob
import hashlib
import json
import os
import sys
import uuid

import journal


def append(log, version, body):
    """Adds a record; gives its number."""
    last = max(glob.glob(os.path.join(log, "*.json")))
    with open(last, "rb") as file:
        raw = file.read()
    head = json.loads(raw)
    number = head["number"] + 1
    previous = hashlib.sha256(raw).hexdigest()
    record = {"version": version, "number": number, "previous": previous}
    record |= {"id": str(uuid.uuid4()), "at": head["at"], **body}
    with open(os.path.join(log, f"{number:020}.json"), "x") as file:
        json.dump(record, file)
    return number


def main(store):
    leaves, units = {}, {}
    read = journal.Journal(store)
    for line in read.lines():
        leaf = line.stream.leaf(line.stream.watermark, line.text)
        leaves.setdefault(line.record, []).append(leaf)
        units[line.record] = units.get(line.record, 0) + (not line.is_continuation())
    assert len(leaves) > 2, f"{len(leaves)} segments: too few"
    to = sorted(leaves)[-2]
    log = os.path.join(store, "journal", "log")
    segments, paths = [], []
    for number in range(1, to + 1):
        with open(os.path.join(log, f"{number:020}.json"), "rb") as file:
            record = json.load(file)
        if segment := record.get("segment"):
            root = journal.encoded(journal.tree(leaves[number]))
            lines = len(leaves[number])
            segments.append([number, lines, units[number], segment["bytes"], root])
            paths.append(segment["path"])
    table = os.path.join(store, "trail", "default", "table", "log")
    append(table, 1, {"expire_journal": {"to": to, "retention_days": 30}})
    rule = {"retention_days": 30, "from": 1, "to": to, "committed_at": record["at"]}
    append(log, 3, {"expire": {**rule, "segments": segments}})
    for path in paths[:-1]:
        os.remove(os.path.join(store, path))
    append(log, 3, {"deleted": to - 1})
    expired = {"to": to, "segments": len(segments), "lines": sum(one[1] for one in segments)}
    print(json.dumps({**expired, "units": sum(one[2] for one in segments)}))


if __name__ == "__main__":
    main(sys.argv[1])
