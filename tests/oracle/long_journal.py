"""Writes a journal of many records by its written format: long_journal.py STORE RECORDS.

Record 1 opens a spool, each other one keeps what its agent says of itself and
moves a cursor. There are no snapshots, so whoever starts has to read them all.
"""

import hashlib
import json
import os
import sys

ACCOUNT = "111122223333"
AT = "2026-11-18T22:00:00Z"


def body(number):
    if number == 1:
        certificate = {"fingerprint": "11" * 32, "speaks_for": {"account": ACCOUNT}}
        return {"open": {"account": ACCOUNT, "agent": "long", "spool": "22" * 16,
                         "replaces": None, "opened_by": "nobody", "certificate": certificate}}
    caught_up = {"caught_up_at": AT}
    return {
        "cursors": {"1": {"files": {f"file-{number % 16}": number}}},
        "progress": {"1": {"head": number, "heard_at": AT, "sources": {"files": caught_up}}},
    }


def main():
    log = os.path.join(sys.argv[1], "journal", "log")
    os.makedirs(log)
    previous = "00" * 32
    for number in range(1, int(sys.argv[2]) + 1):
        name = hashlib.md5(str(number).encode()).hexdigest()
        name = "-".join([name[:8], name[8:12], name[12:16], name[16:20], name[20:]])
        record = {"version": 1, "number": number, "previous": previous, "id": name, "at": AT}
        text = json.dumps(record | body(number), separators=(",", ":")).encode()
        with open(os.path.join(log, f"{number:020}.json"), "wb") as file:
            file.write(text)
        previous = hashlib.sha256(text).hexdigest()


main()
