"""Writes source files that somebody made to do harm, and what must become of them.

    hostile.py SET DIRECTORY EXPECTED

SET is `short` or `long`. `EXPECTED` is as `odd.py` writes it; a file that is too
large or too deep for Python to take apart is told there as a whole (`opaque`):
the records in it by their text, and how many bytes of it must be set aside.
"""

import gzip
import itertools
import json
import os
import struct
import sys
import zlib

from odd import ABSENT, Files, compact, lines, log_file, nested, zstd

MIB = 1 << 20
SIZES = {
    "short": {"bomb": 256 * MIB, "record": 100 * MIB, "regions": 20_000, "cuts": 20},
    "long": {"bomb": 4096 * MIB, "record": 100 * MIB, "regions": 1_000_000, "cuts": 120},
}

# Texts that are meant to become paths, patterns, commands or numbers.
MEANT = [
    "../", "../../../../etc/passwd", "..\\..\\windows", "%2e%2e%2f", "%2e", ".", "..", "/", "//",
    "a/b", "a=b", "account=999999999999", "eu-west-1/date=2026-11-20", "*", "?", "[a-z]", "{a,b}",
    "\x00", "eu-west-1\x00.parquet", "\n", "\r\n", "\x1b[2J\x1b]0;owned\x07", "\u202egpj.exe",
    "\ufeffeu-west-1", " eu-west-1", "eu-west-1 ", "~", "$HOME", "`id`", "$(id)", "'; DROP TABLE events; --",
    "=cmd|' /C calc'!A0", "<script>alert(1)</script>", "con", "nul", ".parquet", "_temporary", ".hidden",
    "__HIVE_DEFAULT_PARTITION__", "٣٣٣٣٤٤٤٤٥٥٥٥", "１１１１２２２２３３３３", "೧೧೧೧೨೨೨೨೩೩೩೩", "0x1111222233",
    "+11122223333", "-11122223333", "1e11", "111122223333.0", "1111 2222 3333", "x" * 10_240, "é" * 5_120,
    "../" * 3_400, "0" * 10_240, "",
]

TIMES = [
    "0001-01-01T00:00:00Z", "0000-00-00T00:00:00Z", "0000-01-01T00:00:00Z", "9999-12-31T23:59:59Z",
    "9999-12-31T23:59:59.999999999Z", "10000-01-01T00:00:00Z", "-0001-01-01T00:00:00Z",
    "1969-12-31T23:59:59Z", "1970-01-01T00:00:00Z", "2005-12-31T23:59:59.999999Z",
    "2026-11-20T24:00:00Z", "2026-11-20T23:59:60Z", "2026-11-20T12:60:00Z", "2026-13-01T00:00:00Z",
    "2026-00-10T00:00:00Z", "2026-02-29T00:00:00Z", "2024-02-29T00:00:00Z", "2026-11-31T00:00:00Z",
    "2026-11-20T00:00:00+23:59", "2026-11-20T00:00:00-23:59", "2026-11-20T00:00:00+24:00",
    "2026-11-20T00:00:00+99:99", "2026-11-20T00:00:00.", "2026-11-20T00:00:00.Z",
    "2026-11-20T00:00:00." + "9" * 10_000 + "Z", "２０２６-１１-２０T00:00:00Z", "2026-11-20T00:00:00Z\x00",
    "../2026-11-20", "2026/11/20", "20261120T000000Z", "1e400", "9" * 10_240,
]

# JSON values that are valid and that some reader takes for something else.
VALUES = {
    "huge-exponent": "1e400", "minus-huge": "-1e400", "tiny": "1e-400", "minus-zero": "-0",
    "zero-exponent": "0e99999", "two-64": "18446744073709551616", "two-63": "9223372036854775808",
    "minus-two-63-1": "-9223372036854775809", "two-128": str(2**128), "digits": "9" * 5_000,
    "fraction": "0." + "1" * 5_000, "exponent-digits": "1e" + "0" * 4_000 + "1",
    "high-surrogate": '"\\ud800"', "low-surrogate": '"\\udc00"', "swapped": '"\\udc00\\ud800"',
    "high-then-text": '"\\ud800x"', "surrogate-key": '{"\\ud800":1,"\\udfff":2}', "nul": '"a\\u0000b"',
    "nul-key": '{"\\u0000":1}', "mark": '"\\ufeff"', "no-character": '"\\uffff\\ufffe"', "bidi": '"\\u202e"',
    "del": '"\x7f\x80"', "separators": '"\u2028\u2029"', "empty-key": '{"":""}', "same-keys": '{"a":1,"a":2,"a":null}',
    "proto": '{"__proto__":{"x":1},"constructor":1}', "escaped-slash": '"\\/\\/"', "deep": "[" * 500 + "]" * 500,
    "wide": "[" + ",".join("0" * 1 for _ in range(100_000)) + "]", "long-key": '{"' + "k" * 700_000 + '":1}',
}

MEMBERS = ["requestParameters", "userAgent", "userIdentity", "resources", "readOnly", "eventID", "tlsDetails", "strange"]

# Bytes that are no UTF-8, wherever they stand.
NO_UTF8 = {
    "ff": b"\xff", "fe": b"\xfe", "alone": b"\x80", "overlong-slash": b"\xc0\xaf", "overlong-nul": b"\xc0\x80",
    "overlong-3": b"\xe0\x80\xaf", "surrogate": b"\xed\xa0\x80", "cut-2": b"\xc3", "cut-3": b"\xe2\x82",
    "cut-4": b"\xf0\x9f\x92", "beyond": b"\xf4\x90\x80\x80", "five": b"\xf8\x88\x80\x80\x80", "latin": b"M\xfcnchen",
}

# What stands where a value should and is none, though some reader takes it.
NO_VALUES = {
    "nan": "NaN", "infinity": "Infinity", "minus-infinity": "-Infinity", "nothing": "", "plus": "+1", "point": ".5",
    "point-end": "5.", "leading-zero": "012", "hex": "0x10", "exponent-only": "1e", "single-quotes": "'a'",
    "undefined": "undefined", "true-upper": "True", "none": "None", "comment": "1/*c*/", "trailing-comma": "[1,]",
    "two-commas": "[1,,2]", "raw-tab": '"a\tb"', "raw-nul": '"a\x00b"', "raw-newline-escape": '"\\\n"',
    "bad-escape": '"\\x41"', "short-escape": '"\\u00"', "unquoted-key": "{a:1}", "no-colon": '{"a" 1}',
    "wrong-close": "[1}", "raw-esc": '"\x1b"',
}


class Hostile(Files):
    """Files of which some cannot be taken apart by Python."""

    def whatever(self, name, content):
        """A file of which only this is known: every byte has one fate."""
        self.write(name, content, None)
        self.expected[name]["reasons"] = None

    def opaque(self, name, content, records, aside_bytes, *reasons):
        """`records` as text; `aside_bytes`: how much of the content must be set aside."""
        path = os.path.join(self.root, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            for piece in [content] if isinstance(content, bytes) else content:
                file.write(piece)
        self.expected[name] = {
            "records": len(records),
            "reasons": list(reasons),
            "opaque": {"records": list(records), "aside_bytes": aside_bytes},
        }


def values(files):
    for (name, value), member in itertools.product(VALUES.items(), MEMBERS):
        text = compact(files.record(**{member: ABSENT}))[:-1] + f',"{member}":{value}}}'
        files.write(f"values/{name}/{member}.ndjson", lines([text, files.record()]), 2)
    twice = [
        '"recipientAccountId":"999999999999"', '"awsRegion":"../.."', '"eventTime":"0001-01-01T00:00:00Z"',
        '"eventVersion":"2"', '"eventName":"Other"', '"eventID":"x"', '"userIdentity":null', '"Records":[]',
    ]
    for at, member in enumerate(twice):
        files.write(f"values/twice-{at}.ndjson", lines([files.raw(member), files.record()]), 2)
    for at, member in enumerate(['"eventVersion":1', '"eventVersion":null', '"eventVersion":["1"]']):
        # The last of two counts: then it is no record by its version, but by its names.
        files.write(f"values/version-{at}.ndjson", lines([files.raw(member)]), 1)
        bare = '{"eventVersion":"1",' + member + "}"
        files.write(f"values/bare-{at}.ndjson", lines([bare, files.record()]), 1, "not_an_event")


def places(files):
    for at, text in enumerate(MEANT):
        rows = [
            files.record(recipientAccountId=text),
            files.record(awsRegion=text),
            files.record(eventTime=text),
            files.record(recipientAccountId=text, awsRegion=text, eventTime=text, eventName=text, eventSource=text),
            files.record(recipientAccountId=ABSENT, userIdentity={"accountId": text}),
        ]
        files.write(f"places/meant-{at:02}.ndjson", lines(rows), len(rows))
    for at, text in enumerate(TIMES):
        files.write(f"places/time-{at:02}.ndjson", lines(files.records(2, eventTime=text)), 2)


def no_json(files):
    good = compact(files.record()).encode()
    for name, raw in NO_UTF8.items():
        inside = compact(files.record(userAgent="@@")).encode().replace(b"@@", raw)
        key = good[:-1] + b',"' + raw + b'":1}'
        files.write(f"utf8/{name}-value.ndjson", good + b"\n" + inside + b"\n" + good + b"\n", 2, "invalid_utf8")
        files.write(f"utf8/{name}-key.ndjson", key + b"\n" + good + b"\n", 1, "invalid_utf8")
        files.write(f"utf8/{name}-line.ndjson", raw + b"\n" + good + b"\n", 1, None)
    for name, value in NO_VALUES.items():
        files.write(f"syntax/{name}.ndjson", lines([files.raw(f'"x":{value}'), files.record()]), 1, "syntax")


def shapes(files):
    for name, blank in {"empty": "", "space": " ", "lines": "\n" * 999, "tabs": "\t" * 5_000, "crlf": "\r\n" * 70_000, "mark": "\ufeff"}.items():
        files.write(f"shapes/blank-{name}.json", blank, 0)
    for name, text in {
        "null": "null", "true": "true", "number": "1e400", "text": '"text"', "array": "[1,2,3]", "arrays": "[[],[[]],[]]",
        "object": "{}", "records-null": '{"Records":null}', "records-object": '{"Records":{}}',
        "records-text": '{"Records":"[]"}', "records-number": '{"Records":1e400}', "events-numbers": '{"Events":[1,2]}',
    }.items():
        reasons = [] if name == "arrays" else ["not_an_event"]
        files.write(f"shapes/{name}.json", text, 0, *reasons)
    arrays = [list(files.record().items()) for _ in range(3)]
    files.write("shapes/arrays-for-objects.ndjson", lines([json.dumps(one) for one in arrays] + [files.record()]), 1, None)
    wide = log_file(files.records(3)).encode("utf-16")
    files.write("shapes/utf-16.json", wide, 0, None)
    files.write("shapes/utf-32.json", log_file(files.records(1)).encode("utf-32"), 0, None)
    files.whatever("shapes/within.json", '{"Records":[{"Records":[' + compact(files.record()) + "]}]}")
    mark = files.record(orgtrail_set_aside={"part": 2, "parts": 9, "reason": "syntax"})
    only = '{"orgtrail_set_aside":{"part":7,"parts":null,"reason":"syntax","position":0,"length":1}}'
    files.write("shapes/marks.ndjson", lines([mark, only, files.record()]), 1, "ambiguous_mark")
    files.write("shapes/quoted.txt", 'He wrote {"eventVersion":"1.11"} there.\n', 0, "syntax")
    files.write("shapes/nul.bin", b"\0" * 300_000, 0, "syntax")
    files.whatever("shapes/nul-between.ndjson", b"\0".join([compact(files.record()).encode()] * 2))


def truncated(files, cuts):
    whole = log_file(files.records(60)).encode()
    packed = {"json": whole, "json.gz": gzip.compress(whole), "json.zst": zstd(whole.decode())}
    for suffix, content in packed.items():
        for at in range(1, cuts):
            end = 1 + (len(content) - 2) * at // cuts
            files.write(f"cut/{at:03}.{suffix}", content[:end], None, None)
    text = lines(files.records(5)).encode()
    for at in range(cuts):
        files.write(f"cut/tail-{at:03}.ndjson", text[: len(text) - 1 - at * 7], None, *([None] if at else []))


def packing(files, size):
    text = compact(files.record())
    good = (text + "\n").encode()
    # One unit of nothing but zeros, in almost no bytes; a record stands behind it.
    files.opaque("bombs/zeros.gz", gzip_of(b"\0", size, b"\n" + good), [text], size + 1, "syntax")
    files.opaque("bombs/blanks.gz", gzip_of(b" ", size, b"\n" + good), [text], 0)
    files.opaque("bombs/text.gz", gzip_of(b"a", size, b'"}\n' + good, b'{"eventVersion":"'), [text], size + 19, "too_large")
    files.opaque("bombs/zeros.zst", zstd_of(b"\0", size, b"\n" + good), [text], size + 1, "syntax")
    files.opaque("bombs/blanks.zst", zstd_of(b" ", size, b"\n" + good), [text], 0)
    files.opaque("bombs/commas.zst", zstd_of(b",", size, b"\n" + good), [text], 0)
    files.opaque("bombs/text.zst", zstd_of(b"a", size, b'"}\n' + good, b'{"eventVersion":"'), [text], size + 19, "too_large")
    # What is packed twice is not unpacked twice.
    inner = b"".join(gzip_of(b"\0", size, b"\n"))
    files.write("bombs/nested.gz", gzip.compress(gzip.compress(inner)), None, None)
    files.write("bombs/nested.zst", zstd(zstd_text(inner)), None, None)
    files.write("bombs/members.gz", gzip.compress(b"") * 20_000 + gzip.compress(good), 1)
    files.write("bombs/frames.zst", zstd("") * 20_000 + zstd(good.decode()), 1)
    skipped = b"\x50\x2a\x4d\x18" + struct.pack("<I", 100_000) + b"\0" * 100_000
    files.write("bombs/skippable.zst", zstd(good.decode()) + skipped * 9, None)
    # A frame that asks for a window of 128 MiB.
    wide = b"\x28\xb5\x2f\xfd\x00" + bytes([17 << 3]) + (5 << 3 | 1).to_bytes(3, "little") + b"hello"
    files.opaque("bombs/window.zst", wide, [], len(wide), "decompress")
    endless = b"\x28\xb5\x2f\xfd\x00\x58" + b"\x00\x00\x00" * 100_000
    files.opaque("bombs/empty-blocks.zst", endless, [], None, None)
    for at, raw in enumerate([b"\x1f\x8b", b"\x1f\x8b\x08\xff" + b"\xff" * 300, b"\x28\xb5\x2f\xfd", b"\x28\xb5\x2f\xfd" + b"\xff" * 300]):
        files.opaque(f"bombs/head-{at}", raw, [], None, None)


def zstd_text(raw):
    # `zstd` takes text; the bytes go through as they are in no text of ours.
    return raw.decode("latin-1")


def gzip_of(byte, size, after, before=b""):
    """gzip, in pieces, of `before`, `size` times `byte`, `after`."""
    pack = zlib.compressobj(1, wbits=31)
    yield pack.compress(before)
    for _ in range(size // MIB):
        yield pack.compress(byte * MIB)
    yield pack.compress(after) + pack.flush()


def zstd_of(byte, size, after, before=b""):
    """One zstd frame, written by hand with run-length blocks of 128 KiB."""

    def block(kind, length, content, last=0):
        return (length << 3 | kind << 1 | last).to_bytes(3, "little") + content

    yield b"\x28\xb5\x2f\xfd\x00" + bytes([7 << 3]) + block(0, len(before), before)
    run = block(1, 128 << 10, byte)
    for _ in range(size // (128 << 10)):
        yield run
    yield block(0, len(after), after, 1)


def large(files, size):
    text = compact(files.record())
    good = (text + "\n").encode()
    head = b'{"eventVersion":"1.11","requestParameters":{"blob":"'
    huge = itertools.chain([good, head], itertools.repeat(b"x" * MIB, size // MIB), [b'"}}\n', good])
    files.opaque("large/line.ndjson", huge, [text, text], len(head) + size + 3, "too_large")
    inside = itertools.chain([b'{"Records":[', text.encode(), b",", head], itertools.repeat(b"x" * MIB, size // MIB), [b'"}},', text.encode(), b"]}"])
    files.opaque("large/records.json", inside, [text, text], len(head) + size + 3, "too_large")
    cut = itertools.chain([good, head], itertools.repeat(b"x" * MIB, 8))
    files.opaque("large/cut.ndjson", cut, [text], len(head) + 8 * MIB, "too_large")
    key = b'{"eventVersion":"1.11","' + b"k" * (2 * MIB) + b'":1}\n'
    files.opaque("large/key.ndjson", key + good, [text], len(key) - 1, "too_large")
    for depth in (513, 5_000, 100_000, 1_000_000):
        for name, opens, closes in (("objects", b'{"a":', b"}"), ("arrays", b"[", b"]"), ("mixed", b'[{"a":', b"}]")):
            deep = b'{"eventVersion":"1.11","requestParameters":' + opens * depth + b"1" + closes * depth + b"}"
            # Where its end is not in the window, the line feed belongs to it as well.
            aside_bytes = len(deep) + (len(deep) > 4 * MIB)
            files.opaque(f"large/{name}-{depth}.ndjson", deep + b"\n" + good, [text], aside_bytes, "too_deep")
    for name, opens in (("objects", b'{"a":'), ("arrays", b"["), ("quotes", b'"'), ("escapes", b'"\\'), ("records", b'{"Records":[')):
        # Never closed; what must be said of it is that, and nothing is told twice.
        files.opaque(f"large/open-{name}.json", opens * 300_000, [], None, None)


def names(files):
    for name in ("new\nline.json", "escape\x1b[2J.json", "quote\"'`.json", "%2e%2e%2f.json", "-rf.json", "a" * 250 + ".json", "\u202eback.json", "tab\t.json", " "):
        files.write("names/" + name, compact(files.record()), 1)
    files.write("names/no-utf8-\udcff\udcfe.json", compact(files.record()), 1)


def regions(files, count):
    rows = (f'{{"eventVersion":"1","recipientAccountId":"555566667777","awsRegion":"r-{at}"}}' for at in range(count))
    files.write("regions/many.ndjson", lines(rows), count)


def main():
    size, root, expected = sys.argv[1:]
    sizes = SIZES[size]
    files = Hostile(root)
    values(files)
    places(files)
    no_json(files)
    shapes(files)
    truncated(files, sizes["cuts"])
    packing(files, sizes["bomb"])
    large(files, sizes["record"])
    names(files)
    regions(files, sizes["regions"])
    with open(expected, "w", encoding="utf-8") as file:
        json.dump(files.expected, file)
    print(len(files.expected))


if __name__ == "__main__":
    main()
