"""JSON values, exactly: members in order, repeated ones kept, numbers by their text.

`canonical` gives one text for all spellings of a value that are equal as JSON:
the order of an object's members and the escapes in its strings do not matter,
the digits of its numbers do.
"""

import json
from json.encoder import encode_basestring_ascii as quoted

DEPTH_MAX = 512


class Number(str):
    """A number as it was written."""


class Object(list):
    """An object as its (key, value) pairs."""

    def last(self, key, otherwise=None):
        """The value that counts of a member: the last of that name."""
        for name, value in reversed(self):
            if name == key:
                return value
        return otherwise

    def has(self, key):
        return any(name == key for name, _ in self)


class NoJson(ValueError):
    """What JSON's grammar does not know."""


def _refuse(word):
    raise NoJson(word)


_decoder = json.JSONDecoder(
    object_pairs_hook=Object, parse_int=Number, parse_float=Number, parse_constant=_refuse
)


def decode_at(text, start):
    """The value that begins at `start`, and where it ends."""
    try:
        value, end = _decoder.raw_decode(text, start)
    except (ValueError, RecursionError, StopIteration) as error:
        raise NoJson(str(error)) from error
    return value, end


def decode(text):
    """The one value that `text` is."""
    value, end = decode_at(text, len(text) - len(text.lstrip(" \t\r\n")))
    if text[end:].strip(" \t\r\n"):
        raise NoJson(f"more after {end}")
    return value


def canonical(value):
    if isinstance(value, Number):
        return str(value)
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, Object):
        # A stable sort: members of one name stay in their order.
        members = sorted(value, key=lambda member: member[0])
        return "{" + ",".join(quoted(k) + ":" + canonical(v) for k, v in members) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(canonical, value)) + "]"
    return {None: "null", True: "true", False: "false"}[value]


def depth(value):
    """How deep objects and arrays nest in a value."""
    if isinstance(value, Object):
        return 1 + max((depth(member) for _, member in value), default=0)
    if isinstance(value, list):
        return 1 + max(map(depth, value), default=0)
    return 0


def is_text(value):
    return isinstance(value, str) and not isinstance(value, Number)
