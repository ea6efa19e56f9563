"""Rebuilds records from rows, by docs/schema.md: its rules and its table of columns.

Of each member of a record, one column has the value; what a column cannot hold
is in `unmapped`, and `nulls` names the members that are null.
"""

import os
import re
from datetime import datetime, timedelta

from values import NoJson, Object, decode

TEXT, JSON, BOOLEAN, TIME = "text", "JSON text", "boolean", "timestamp"
STRUCT, LIST = "struct", "list of struct"
DOCUMENT = os.path.join(os.path.dirname(__file__), "..", "..", "docs", "schema.md")
LINE = re.compile(r"\| `([a-z0-9.]+)` \| ([^|]+) \| `([A-Za-z0-9.\[\]]+)` \|")


def members():
    """The members of a record as the document's table tells them: nested lists of
    (key, column, shape), where a shape is a type's word, a list of members (a
    struct) or a tuple of one such list (a list of structs)."""
    within = {"": []}
    with open(DOCUMENT, encoding="utf-8") as file:
        for column, kind, field in LINE.findall(file.read()):
            outer, _, name = column.rpartition(".")
            shape = kind.strip()
            if shape in (STRUCT, LIST):
                within[column] = inner = []
                shape = inner if shape == STRUCT else (inner,)
            within[outer].append((field.rpartition(".")[2], name, shape))
    return within[""]


RECORD = members()


def rebuild(row):
    """The record of a row, a dict of its columns; `eventtime` in UTC microseconds."""
    unmapped = decode(row["unmapped"]) if row["unmapped"] else Object()
    nulls = set(row["nulls"].split(",")) if row["nulls"] else set()
    return rebuild_object(RECORD, row, unmapped, nulls, "")


def rebuild_object(members, columns, unmapped, nulls, path):
    record = Object()
    used = set()
    for key, column, shape in members:
        value = columns[column]
        held = [other for name, other in unmapped if name == key]
        united = isinstance(shape, list) and len(held) == 1 and isinstance(held[0], Object)
        if held and not united:
            continue
        if united:
            used.add(key)
        if value is not None:
            rest = held[0] if united else Object()
            record.append((key, rebuild_value(shape, value, rest, nulls, path + key)))
        elif path + key in nulls:
            record.append((key, None))
    record.extend((key, value) for key, value in unmapped if key not in used)
    return record


def rebuild_value(shape, value, rest, nulls, path):
    if shape == JSON:
        try:
            return decode(value)
        except NoJson as error:
            raise ValueError(f"{path} is no JSON: {error}") from error
    if shape == TIME:
        return time_text(value)
    if isinstance(shape, list):
        return rebuild_object(shape, value, rest, nulls, path + ".")
    if isinstance(shape, tuple):
        return [rebuild_object(shape[0], one, Object(), set(), "") for one in value]
    return value


def time_text(micros):
    """`YYYY-MM-DDTHH:MM:SSZ`; only such times are in the column alone."""
    when = datetime(1970, 1, 1) + timedelta(microseconds=micros)
    return when.isoformat(timespec="seconds") + "Z"
