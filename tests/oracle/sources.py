"""Finds the records in source files, by the words of the design and not by the product's code.

A file is plain, gzip or zstd by its first bytes. What it holds is told by its
content: log files `{"Records":[...]}`, arrays, records one after the other,
EventBridge envelopes (`detail`), LookupEvents (`CloudTrailEvent`). A record is
an object with a string `eventVersion`, or with strings `eventName` and
`eventSource`, and without a member `orgtrail_set_aside`.

Everything is told by its span in the inflated content, so that what was set
aside can be compared byte by byte.
"""

import io
import os
import re
import zlib

import pyarrow

from values import DEPTH_MAX, NoJson, Object, decode, decode_at, depth, is_text

RECORD_LIMIT_BYTES = 1 << 20
MARK = "orgtrail_set_aside"
BLANK = re.compile(r"[ \t\r\n]*")
FILLER = re.compile(r"[ \t\r\n,\[\]]*")
CONTAINER = re.compile(r'\{[ \t\r\n]*"(Records|Events)"[ \t\r\n]*:[ \t\r\n]*\[')
KEY = re.compile(r'"(?:[^"\\]|\\.)*"[ \t\r\n]*:[ \t\r\n]*')
FOLDER = re.compile(r"AWSLogs/(?:o-[a-z0-9]+/)?(\d{12})/CloudTrail[A-Za-z-]*/")


class Unit:
    """A record (with its value) or something that is none (with why)."""

    def __init__(self, start, end, value=None, why=None):
        self.start, self.end, self.value, self.why = start, end, value, why


class Source:
    """One file: its content as far as it inflates, and the units in it.

    Of an opaque file the content is not looked at: its maker tells the records in
    it, and how many bytes are something else.
    """

    def __init__(self, path, opaque=None):
        self.path, self.opaque = path, opaque
        if opaque:
            self.raw, self.content, self.whole = b"", b"", True
            self.units = [Unit(0, 0, value=decode(text)) for text in opaque["records"]]
        else:
            with open(path, "rb") as file:
                self.raw = file.read()
            self.content, self.whole = inflate(self.raw)
            self.units = list(find(self.content))
        folder = FOLDER.search(path.replace(os.sep, "/"))
        self.folder = folder.group(1) if folder else None

    def records(self):
        return [unit for unit in self.units if unit.value is not None]

    def others(self):
        return [unit for unit in self.units if unit.value is None]


def read(root, opaque=None):
    """All files below a directory, or the one file; `opaque` tells of some by name."""
    if os.path.isfile(root):
        yield Source(root)
        return
    for folder, folders, names in os.walk(root):
        folders.sort()
        for name in sorted(names):
            path = os.path.join(folder, name)
            yield Source(path, (opaque or {}).get(os.path.relpath(path, root)))


def inflate(raw):
    """The content, and whether all of it could be had."""
    if raw[:2] == b"\x1f\x8b":
        return inflate_gzip(raw)
    if raw[:4] == b"\x28\xb5\x2f\xfd":
        return inflate_zstd(raw)
    return raw, True


def inflate_gzip(raw):
    content = io.BytesIO()
    rest = raw
    while rest[:2] == b"\x1f\x8b":
        try:
            piece, rest = inflate_member(rest, len(rest))
        except zlib.error:
            # Again byte by byte: what comes before the error is kept.
            piece, _ = inflate_member(rest, 1)
            return content.getvalue() + piece, False
        content.write(piece)
        if rest is None:
            return content.getvalue(), False
    return content.getvalue(), not rest


def inflate_member(raw, step):
    """The content of the first member, and what follows it; `None` if it is cut."""
    stream = zlib.decompressobj(wbits=31)
    content = io.BytesIO()
    for at in range(0, len(raw), step):
        try:
            content.write(stream.decompress(raw[at : at + step]))
        except zlib.error:
            if step > 1:
                raise
            return content.getvalue(), None
        if stream.eof:
            return content.getvalue(), stream.unused_data + raw[at + step :]
    return content.getvalue() + stream.flush(), None


def inflate_zstd(raw):
    content = io.BytesIO()
    stream = pyarrow.CompressedInputStream(pyarrow.BufferReader(raw), "zstd")
    try:
        while piece := stream.read(4096):
            content.write(piece)
    except OSError:
        return content.getvalue(), False
    return content.getvalue(), True


def is_record(value):
    if not isinstance(value, Object) or value.has(MARK):
        return False
    named = is_text(value.last("eventName")) and is_text(value.last("eventSource"))
    return is_text(value.last("eventVersion")) or named


def carried(value):
    """The record that an object is or carries, if any."""
    if is_record(value):
        return value
    if not isinstance(value, Object) or value.has(MARK):
        return None
    detail = value.last("detail")
    if is_record(detail):
        return detail
    text = value.last("CloudTrailEvent")
    if is_text(text):
        try:
            inner = decode(text)
        except NoJson:
            return None
        return inner if is_record(inner) else None
    return None


def is_container(value):
    if not isinstance(value, Object) or carried(value) is not None:
        return False
    held = (value.last(name) for name in ("Records", "Events"))
    return any(isinstance(one, list) and not isinstance(one, Object) for one in held)


def find(content):
    """The units of a file's content, in order."""
    text = content.decode("utf-8", "surrogateescape")
    spans = Offsets(text)
    for unit in find_in_text(text):
        start, end = spans.of(unit.start), spans.of(unit.end)
        piece = text[unit.start : unit.end]
        if unit.value is not None:
            unit.why = too_odd(content[start:end], piece, unit.value)
            if unit.why:
                unit.value = None
        unit.start, unit.end = start, end
        yield unit


def too_odd(raw, piece, value):
    """Why a value that looks like a record is set aside all the same."""
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return "invalid_utf8"
    if len(raw) - raw.count(b"\n") - raw.count(b"\r") > RECORD_LIMIT_BYTES:
        return "too_large"
    if piece.count("{") + piece.count("[") > DEPTH_MAX and depth(value) > DEPTH_MAX:
        return "too_deep"
    return None


def find_in_text(text):
    at = 1 if text.startswith("\ufeff") else 0
    open_objects = 0
    lines = None
    while True:
        at = FILLER.match(text, at).end()
        while open_objects and text[at : at + 1] == "}":
            open_objects -= 1
            at = FILLER.match(text, at + 1).end()
        if at >= len(text):
            return
        if open_objects and (key := KEY.match(text, at)):
            # Another member of a container: its array is entered, the rest is no event.
            holds_records = key.group().startswith(('"Records"', '"Events"'))
            at = key.end()
            if not (holds_records and text[at : at + 1] == "["):
                try:
                    _, at = decode_at(text, at)
                except NoJson:
                    pass
            continue
        try:
            value, end = decode_at(text, at)
        except NoJson:
            container = CONTAINER.match(text, at)
            if container:
                open_objects += 1
                at = container.end()
                continue
            end = damage_end(text, at, bool(lines), open_objects > 0)
            yield Unit(at, len(text[:end].rstrip(" \t\r\n,")) if end < len(text) else end, why="syntax")
            at = end
            continue
        if lines is None:
            lines = "\n" in text[end : end + 2] and open_objects == 0
        if is_container(value):
            open_objects += 1
            at += 1
            continue
        record = carried(value)
        why = None if record is not None else "not_an_event"
        yield Unit(at, end, value=record, why=why)
        at = end


def damage_end(text, start, lines, within):
    """Where the next object surely begins after something that is no JSON."""
    for brace in re.finditer(r"\{", text[start + 1 :]):
        at = start + 1 + brace.start()
        before = text[max(0, at - 64) : at].rstrip(" \t\r")
        at_line = before.endswith("\n")
        if not (at_line or before.endswith("}") or before.endswith(",")):
            continue
        try:
            value, end = decode_at(text, at)
        except NoJson:
            if at_line and CONTAINER.match(text, at):
                return at
            continue
        if carried(value) is not None or is_container(value):
            return at
        if lines and at_line and text[end : end + 1] in ("\n", "\r", ""):
            return at
    return len(text)


class Offsets:
    """Byte offsets of character offsets that only grow."""

    def __init__(self, text):
        self.text, self.plain = text, text.isascii()
        self.at, self.bytes = 0, 0

    def of(self, at):
        if self.plain:
            return at
        if at < self.at:
            self.at, self.bytes = 0, 0
        step = self.text[self.at : at]
        self.bytes += len(step.encode("utf-8", "surrogateescape"))
        self.at = at
        return self.bytes
