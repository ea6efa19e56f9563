"""What a store set aside, compared with the files it came from, byte by byte."""

import base64
import glob
import hashlib
import itertools
import json
import os

import pyarrow

from journal import CONTINUATION
from sources import carried
from values import NoJson, decode


class Aside:
    """One line of quarantine."""

    def __init__(self, entry):
        self.reason, self.detail = entry["reason"], entry.get("detail", "")
        self.record, self.row, self.agent = entry["record"], entry["row"], entry["agent"]
        self.mark = entry.get("set_aside")
        text = entry.get("line")
        self.line = text.encode() if text is not None else bytes.fromhex(entry.get("line_hex", ""))

    def is_continuation(self):
        if self.mark:
            # A first part says more than its number.
            return self.mark["part"] > 1 or len(self.mark) == 1
        # What only looks like a later part is counted like one, on all sides.
        return self.line.startswith(CONTINUATION) and not self.line.startswith(CONTINUATION + b"1,")

    def held_record(self):
        """The record in it, if it is one that only had no right to be where it was."""
        raw = base64.b64decode(self.mark.get("bytes") or "") if self.mark else self.line
        try:
            return carried(decode(raw.decode()))
        except (NoJson, UnicodeDecodeError):
            return None


def read(store, trail):
    pattern = os.path.join(store, "trail", trail, "quarantine", "**", "*.ndjson.zst")
    for path in sorted(glob.glob(pattern, recursive=True)):
        with pyarrow.input_stream(path, compression="zstd") as file:
            text = file.read()
        for line in text.splitlines():
            yield Aside(json.loads(line))


def compare(asides, sources, complain):
    """Every unit that is no record is in quarantine, and nothing else is."""
    spans = {}
    for aside in asides:
        mark = aside.mark
        if not mark:
            continue
        source = the_source(sources, mark["source"])
        if source is None:
            complain(f"quarantine names {mark['source']}, which is none of the files")
            continue
        first, last = mark["position"], mark["position"] + mark["length"]
        check_bytes(aside, source, complain)
        spans.setdefault(source.path, []).append((first, last, aside.reason))
    for source in sources:
        ours = sorted(spans.pop(source.path, []))
        compare_one(source, ours, complain)


def the_source(sources, name):
    for source in sources:
        if source.path == name or source.path.endswith("/" + name.lstrip("/")):
            return source
    real = os.path.realpath(name)
    return next((one for one in sources if os.path.realpath(one.path) == real), None)


def check_bytes(aside, source, complain):
    """The bytes kept are those of the source at the place that is told."""
    mark = aside.mark
    first, last = mark["position"], mark["position"] + mark["length"]
    here = f"{source.path} {first}..{last} ({aside.reason})"
    if "bytes" in mark and mark["bytes"] is not None:
        kept = base64.b64decode(mark["bytes"])
        if hashlib.sha256(kept).hexdigest() != mark["sha256"] or len(kept) != mark["length"]:
            complain(f"{here}: kept bytes do not have the length and hash that are told")
        if not source.opaque and kept not in (source.content[first:last], source.raw[first:last]):
            complain(f"{here}: kept bytes are not the file's")
    elif not source.opaque and hashlib.sha256(source.content[first:last]).hexdigest() != mark["sha256"]:
        complain(f"{here}: the hash is not that of the file's bytes")


def compare_opaque(source, spans, complain):
    """Nothing is told twice, and it is as much as the file's maker knows of."""
    for (_, end, _), (start, _, _) in itertools.pairwise(spans):
        if start < end:
            complain(f"{source.path}: {start}..{end} is in quarantine twice")
    told, wanted = sum(last - first for first, last, _ in spans), source.opaque["aside_bytes"]
    if wanted not in (None, told):
        complain(f"{source.path}: {told} bytes are in quarantine, it has {wanted}")


def compare_one(source, spans, complain):
    if source.opaque:
        compare_opaque(source, spans, complain)
        return
    for unit in source.others():
        holes = uncovered(unit.start, unit.end, spans, source.content)
        if holes:
            complain(f"{source.path}: {unit.why} at {unit.start}..{unit.end} is not in quarantine")
    inflated = [span for span in spans if span[2] not in ("foreign_account", "decompress")]
    for unit in source.records():
        if any(first < unit.end and unit.start < last for first, last, _ in inflated):
            complain(f"{source.path}: quarantine has the record at {unit.start}..{unit.end}")
    if not source.whole and not spans:
        complain(f"{source.path}: cut or damaged as a whole, and nothing says so")


def uncovered(first, last, spans, content):
    """Whether some byte that is no blank is in none of the spans."""
    at = first
    for start, end, _ in spans:
        if content[at : min(start, last)].strip(b" \t\r\n,[]") and start > at:
            return True
        at = max(at, end)
        if at >= last:
            return False
    return bool(content[at:last].strip(b" \t\r\n,[]"))
