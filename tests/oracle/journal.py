"""Reads a journal by its written format and checks every hash in it.

Commit records are JSON objects that name the SHA-256 of the one before; a
segment is NDJSON in zstd frames; leaves, chains and trees are those of
`docs/journal.md`. Nothing here asks the product. Segments that have expired by
retention give no lines; where one is still there, it must have the root that is named.
"""

import base64
import glob
import hashlib
import json
import os
import sys
from datetime import datetime

import pyarrow

CHAIN_DOMAIN = b"orgtrail/chain/1"
LEAF_DOMAIN = b"orgtrail/leaf/1"
CONTINUATION = b'{"orgtrail_set_aside":{"part":'


class Damaged(Exception):
    """The journal is not what its format says."""


class Stream:
    """One spool of one agent, as far as it was delivered."""

    def __init__(self, opened):
        self.account, self.agent = opened["account"], opened["agent"]
        self.spool = opened["spool"]
        self.speaks_for = speaks_for(opened["certificate"])
        name = [self.account.encode(), self.agent.encode(), bytes.fromhex(self.spool)]
        self.name = b"".join(len(part).to_bytes(4, "big") + part for part in name)
        self.chain = hashlib.sha256(CHAIN_DOMAIN + self.name).digest()
        self.watermark = 0

    def is_organization(self):
        return self.speaks_for == "organization"

    def leaf(self, sequence, line):
        number, inner = sequence.to_bytes(8, "big"), hashlib.sha256(line).digest()
        return hashlib.sha256(b"\0" + LEAF_DOMAIN + self.name + number + inner).digest()

    def take(self, line):
        self.watermark += 1
        leaf = self.leaf(self.watermark, line)
        self.chain = hashlib.sha256(b"\2" + self.chain + leaf).digest()
        return leaf


def speaks_for(certificate):
    """"organization", or the one account."""
    told = certificate["speaks_for"]
    return told if told == "organization" else told["account"]


class Line:
    """A delivered line and where it lies."""

    def __init__(self, record, row, stream, committed_at, text):
        self.record, self.row, self.stream = record, row, stream
        self.committed_at, self.text = committed_at, text

    def is_continuation(self):
        rest = self.text.removeprefix(CONTINUATION)
        return rest is not self.text and rest != self.text and not rest.startswith(b"1,")


class Journal:
    def __init__(self, store):
        self.store = store
        self.streams = {}
        self.active = {}
        self.head = 0
        self.expired_to = 0
        self.expired = {}
        self.segment_bytes = 0
        self.inflated_bytes = 0
        self.batches = 0
        self.puts = 0

    def lines(self):
        """Every line in order; raises `Damaged` where anything does not fit."""
        previous = "0" * 64
        log = sorted(glob.glob(os.path.join(self.store, "journal", "log", "*.json")))
        for path in log:
            self.find_expired(path)
        for number, path in enumerate(log, 1):
            with open(path, "rb") as file:
                raw = file.read()
            record = json.loads(raw)
            here = f"record {number}"
            expect(os.path.basename(path) == f"{number:020}.json", f"{here} is missing")
            expect(record["number"] == number, f"{here} calls itself {record['number']}")
            expect(record["previous"] == previous, f"{here} does not follow the one before")
            previous = hashlib.sha256(raw).hexdigest()
            self.head = number
            self.puts += 1
            yield from self.fold(number, record, here)

    def find_expired(self, path):
        with open(path, "rb") as file:
            record = json.load(file)
        if expire := record.get("expire"):
            here = f"record {record['number']}"
            expect(record["version"] == 3, f"{here}: its version")
            expect(expire["from"] == self.expired_to + 1, f"{here}: where expiry begins")
            self.expired_to = expire["to"]
            expect(self.expired_to < record["number"], f"{here}: where expiry ends")
            self.expired.update((named[0], named[1:]) for named in expire["segments"])

    def fold(self, number, record, here):
        if opened := record.get("open"):
            stream = Stream(opened)
            who = stream.account, stream.agent
            replaced = self.active.get(who)
            replaces = replaced.spool if replaced else None
            expect(opened.get("replaces") == replaces, f"{here} replaces another spool")
            others = (other for other in self.streams.values() if (other.account, other.agent) == who)
            spools = [other.spool for other in others]
            expect(stream.spool not in spools, f"{here} opens a spool again")
            self.streams[number] = self.active[who] = stream
        for stream, certificate in record.get("certificates", {}).items():
            self.streams[int(stream)].speaks_for = speaks_for(certificate)
        if segment := record.get("segment"):
            yield from self.segment(number, record, segment, here)

    def segment(self, number, record, segment, here):
        self.puts += 1
        if number <= self.expired_to:
            lines, units, size, root = self.expired.pop(number)
            later_parts = sum(sum(batch[4:5]) for batch in record["batches"])
            counts = sum(batch[2] - batch[1] + 1 for batch in record["batches"])
            expect((lines, units) == (counts, counts - later_parts), f"{here}: what expired of it")
            expect(size == segment["bytes"], f"{here}: the bytes that expired of it")
            if not os.path.exists(os.path.join(self.store, segment["path"])) or root is None:
                for number_of_stream, _, last, chain, *_ in record["batches"]:
                    stream = self.streams[number_of_stream]
                    stream.watermark, stream.chain = last, decoded(chain)
                return
        leaves = []
        with open(os.path.join(self.store, segment["path"]), "rb") as file:
            raw = file.read()
        expect(len(raw) == segment["bytes"], f"{here}: size of its segment")
        expect(hashlib.sha256(raw).hexdigest() == segment["sha256"], f"{here}: its segment's hash")
        self.segment_bytes += len(raw)
        text = inflate(raw, segment["frames"], here)
        self.inflated_bytes += len(text)
        lines = text.split(b"\n")
        expect(lines.pop() == b"", f"{here}: its segment ends inside a line")
        committed_at = datetime.fromisoformat(record["at"].replace("Z", "+00:00"))
        row = 0
        for number_of_stream, first, last, chain, *more in record["batches"]:
            stream = self.streams[number_of_stream]
            expect(self.active[stream.account, stream.agent] is stream, f"{here}: a fenced spool")
            expect(first == stream.watermark + 1, f"{here}: a hole before {first}")
            continuations = 0
            for _ in range(first, last + 1):
                line = Line(number, row, stream, committed_at, lines[row])
                leaves.append(stream.take(line.text))
                continuations += line.is_continuation()
                row += 1
                if number > self.expired_to:
                    yield line
            expect(decoded(chain) == stream.chain, f"{here}: the chain after {last}")
            expect(continuations == (more[0] if more else 0), f"{here}: later parts of units")
            self.batches += 1
        expect(row == len(lines), f"{here}: its batches are not its segment's lines")
        if number <= self.expired_to:
            expect(decoded(root) == tree(leaves), f"{here}: the root by which it expired")


def decoded(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def encoded(hash):
    return base64.urlsafe_b64encode(hash).decode().rstrip("=")


def tree(leaves):
    """The root of RFC 6962, section 2.1, over hashes of leaves."""
    if len(leaves) == 1:
        return leaves[0]
    left = 1
    while left * 2 < len(leaves):
        left *= 2
    return hashlib.sha256(b"\1" + tree(leaves[:left]) + tree(leaves[left:])).digest()


def inflate(raw, frames, here):
    text = b""
    at = 0
    for packed, inflated, lines in frames:
        piece = pyarrow.decompress(raw[at : at + packed], inflated, codec="zstd", asbytes=True)
        expect(len(piece) == inflated, f"{here}: a frame's size")
        expect(piece.count(b"\n") == lines, f"{here}: a frame's lines")
        text += piece
        at += packed
    expect(at == len(raw), f"{here}: its frames are not all of its segment")
    return text


def expect(condition, what):
    if not condition:
        raise Damaged(what)


if __name__ == "__main__":
    journal = Journal(sys.argv[1])
    lines = sum(1 for _ in journal.lines())
    print(json.dumps({"head": journal.head, "lines": lines, "expired_to": journal.expired_to}))
