"""Writes source files such as no other data has, and what they must become.

    odd.py SET DIRECTORY EXPECTED

`EXPECTED` becomes a JSON object: of each file how many records it holds, and
which reasons quarantine must give for the rest (`null`: any one).
"""

import copy
import gzip
import itertools
import json
import os
import random
import sys

import pyarrow


class Files:
    def __init__(self, root):
        self.root, self.expected = root, {}
        self.dice = random.Random(20)
        self.numbers = itertools.count(1)

    def write(self, name, content, records, *reasons):
        path = os.path.join(self.root, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(content if isinstance(content, bytes) else content.encode())
        self.expected[name] = {"records": records, "reasons": list(reasons)}

    def record(self, **changes):
        """A record like any other; `changes` replace members, None removes one."""
        number = next(self.numbers)
        account = self.dice.choice(["111122223333", "222233334444", "003344445555"])
        record = {
            "eventVersion": "1.11",
            "userIdentity": {
                "type": "AssumedRole",
                "principalId": f"AROAEXAMPLE{number:08}:odd",
                "arn": f"arn:aws:sts::{account}:assumed-role/odd/{number}",
                "accountId": account,
                "accessKeyId": f"ASIAEXAMPLE{number:08}",
                "sessionContext": {
                    "sessionIssuer": {"type": "Role", "userName": "odd"},
                    "webIdFederationData": {},
                    "attributes": {
                        "creationDate": "2026-11-02T10:00:00Z",
                        "mfaAuthenticated": "false",
                    },
                },
            },
            "eventTime": f"2026-11-{1 + number % 18:02}T{number % 24:02}:05:{number % 60:02}Z",
            "eventSource": "ec2.amazonaws.com",
            "eventName": self.dice.choice(["DescribeInstances", "RunInstances", "StopInstances"]),
            "awsRegion": self.dice.choice(["eu-west-1", "us-east-1"]),
            "sourceIPAddress": "203.0.113.9",
            "userAgent": "aws-cli/2.19",
            "requestParameters": {"instancesSet": {"items": [{"instanceId": f"i-{number:017x}"}]}},
            "responseElements": None,
            "requestID": f"{self.dice.getrandbits(128):032x}",
            "eventID": f"{self.dice.getrandbits(128):032x}",
            "readOnly": True,
            "eventType": "AwsApiCall",
            "managementEvent": True,
            "recipientAccountId": account,
            "eventCategory": "Management",
            "tlsDetails": {"tlsVersion": "TLSv1.3"},
        }
        for key, value in changes.items():
            record[key] = value
            if value is ABSENT:
                del record[key]
        return record

    def records(self, count, **changes):
        return [self.record(**changes) for _ in range(count)]

    def raw(self, member):
        """A record as text with one more member, written as it is."""
        return compact(self.record())[:-1] + "," + member + "}"


ABSENT = object()


def compact(value):
    return json.dumps(value, separators=(",", ":"))


def log_file(records, **options):
    return json.dumps({"Records": records}, **options)


def lines(records, end="\n"):
    texts = (record if isinstance(record, str) else compact(record) for record in records)
    return "".join(text + end for text in texts)


def zstd(content):
    return pyarrow.compress(content.encode(), codec="zstd", asbytes=True)


def nested(depth):
    return '"requestParameters":' + '{"a":' * depth + "1" + "}" * depth


def mixed(files):
    packing(files)
    shapes(files)
    broken(files)
    values(files)
    places(files)
    names(files)


def packing(files):
    text = log_file(files.records(40))
    files.write("packed/plain.json", text, 40)
    files.write("packed/a.json.gz", gzip.compress(log_file(files.records(40)).encode()), 40)
    files.write("packed/gzip-without-suffix", gzip.compress(lines(files.records(9)).encode()), 9)
    files.write("packed/zstd.json.zst", zstd(log_file(files.records(30))), 30)
    files.write("packed/zstd-named.gz", zstd(lines(files.records(11))), 11)
    members = [gzip.compress(lines(files.records(7)).encode()) for _ in range(3)]
    files.write("packed/members.ndjson.gz", b"".join(members), 21)
    frames = [zstd(lines(files.records(7))) for _ in range(3)]
    files.write("packed/frames.ndjson.zst", b"".join(frames), 21)
    whole = gzip.compress(log_file(files.records(60)).encode())
    files.write("packed/cut.json.gz", whole[: len(whole) * 2 // 3], None, None)
    cut = zstd(lines(files.records(4)))
    files.write("packed/cut.ndjson.zst", cut[:-9], None, None)
    files.write("packed/header-only.gz", whole[:11], 0, None)
    hurt = bytearray(gzip.compress(lines(files.records(30)).encode()))
    hurt[-8] ^= 0xFF
    files.write("packed/wrong-sum.ndjson.gz", bytes(hurt), 30, None)
    good, bad = (gzip.compress(lines(files.records(8)).encode()) for _ in range(2))
    no_such_block = bad[:10] + b"\x07" + bad[11:]
    files.write("packed/hurt.ndjson.gz", good + no_such_block, 8, None)
    after = gzip.compress(lines(files.records(5)).encode()) + b"something else\n"
    files.write("packed/followed.ndjson.gz", after, 5, None)


def shapes(files):
    files.write("shapes/pretty.json", log_file(files.records(5), indent=2), 5)
    files.write("shapes/tabs-crlf.json", log_file(files.records(5), indent="\t").replace("\n", "\r\n"), 5)
    files.write("shapes/bom.json", "\ufeff" + log_file(files.records(5)), 5)
    files.write("shapes/bom.ndjson", "\ufeff" + lines(files.records(5)), 5)
    files.write("shapes/empty", "", 0)
    files.write("shapes/blank.json", " \r\n\t\n", 0)
    files.write("shapes/none.json", '{ "Records" : [ ] }\n', 0)
    files.write("shapes/crlf.ndjson", lines(files.records(8), "\r\n"), 8)
    files.write("shapes/unended.ndjson", lines(files.records(8)).rstrip("\n"), 8)
    files.write("shapes/blank-lines.ndjson", lines(files.records(8), "\n\n \n"), 8)
    files.write("shapes/glued.json", lines(files.records(2), ""), 2)
    files.write("shapes/array.json", json.dumps(files.records(6), indent=1), 6)
    files.write("shapes/one.json", json.dumps(files.record(), indent=4), 1)
    files.write("shapes/one-line.json", compact(files.record()), 1)
    files.write("shapes/other-members.json", compact({"version": 3, "Records": files.records(4), "more": [1]}), 4, "not_an_event")
    files.write("shapes/two-logs.json", log_file(files.records(3)) + "\n" + log_file(files.records(3)), 6)

    envelope = {"version": "0", "source": "aws.ec2", "detail-type": "AWS API Call via CloudTrail"}
    wrapped = [envelope | {"detail": record} for record in files.records(4)]
    files.write("shapes/envelopes.ndjson", lines(wrapped), 4)
    files.write("shapes/envelope.json", json.dumps(wrapped[0] | {"detail": files.record()}, indent=3), 1)
    files.write("shapes/state-change.json", compact(envelope | {"detail": {"state": "running"}}), 0, "not_an_event")

    found = [{"EventId": "x", "CloudTrailEvent": compact(record)} for record in files.records(4)]
    files.write("shapes/lookup.json", json.dumps({"Events": found, "NextToken": "t"}, indent=4), 4)
    files.write("shapes/lookup.ndjson", lines([{"CloudTrailEvent": compact(files.record())}]), 1)
    files.write("shapes/lookup-bad.ndjson", lines([{"CloudTrailEvent": "{no"}]), 0, "not_an_event")

    repeated = files.record()
    other = files.record(eventID=repeated["eventID"])
    files.write("shapes/repeated.ndjson", lines([repeated, other, repeated]), 3)


def broken(files):
    files.write("broken/noise.bin", files.dice.randbytes(5_000).replace(b"{", b"x"), 0, None)
    files.write("broken/text.md", "# Logs\n\nSome people keep notes beside them.\n", 0, "syntax")
    files.write("broken/page.html", "<html><body>403 Forbidden</body></html>", 0, "syntax")
    files.write("broken/table.csv", "a,b\n1,2\n", 0, None)
    whole = log_file(files.records(5))
    files.write("broken/cut.json", whole[:-200], 4, "truncated")
    first, second, third = (compact(record) for record in files.records(3))
    files.write("broken/line.ndjson", lines([first, second[:-40], third]), 2, "syntax")
    files.write("broken/middle.json", '{"Records":[' + ",".join([first, '{"a":{{', third]) + "]}", 2, "syntax")
    files.write("broken/scalars.json", '{"Records":[1,"x",null,' + compact(files.record()) + ",[]]}", 1, "not_an_event")
    files.write("broken/object.json", '{"hello":"world"}', 0, "not_an_event")
    files.write("broken/number.json", "42", 0, "not_an_event")
    files.write("broken/records-no-array.json", '{"Records":"none"}', 0, "not_an_event")
    bad = compact(files.record(userAgent="@@")).encode().replace(b"@@", b"\xff\xfe")
    good = compact(files.record()).encode()
    files.write("broken/latin.ndjson", good + b"\n" + bad + b"\n" + good + b"\n", 2, "invalid_utf8")
    mark = compact(files.record(orgtrail_set_aside={"part": 1}))
    files.write("broken/mark.ndjson", lines([mark, files.record()]), 1, "ambiguous_mark")
    files.write("broken/deep.ndjson", lines([files.raw(nested(700)), files.record()]), 1, "too_deep")
    huge = files.record(requestParameters={"blob": "x" * (3 << 20)})
    files.write("broken/huge.ndjson", lines([files.record(), huge, files.record()]), 2, "too_large")
    files.write("broken/huge.json", log_file([files.record(), huge, files.record()]), 2, "too_large")
    files.write("broken/nan.ndjson", lines([files.raw('"x":NaN'), files.record()]), 1, "syntax")
    files.write("broken/control.ndjson", lines([files.raw('"x":"a\tb"'), files.record()]), 1, "syntax")


def values(files):
    big = files.record(requestParameters={"blob": "y" * 900_000})
    kept = [
        files.raw('"requestParameters":{"big":1e400,"small":-0.0e-999,"long":' + "9" * 400 + "}"),
        files.raw('"unknownNumber":12345678901234567890.10'),
        files.raw('"userAgent":"\\ud800 alone"'),
        files.raw('"alone \\udc00 key":"\\ud83d\\ude00"'),
        files.raw('"requestParameters":{"alone":"\\ud800"}'),
        files.raw('"nul":"\\u0000","errorMessage":"a\\u0000b"'),
        files.raw('"eventName":"Again"'),
        files.raw('"userIdentity":{"type":"Root","type":"IAMUser","new":{"a":[1, 2]}}'),
        files.raw('"e\\u0072rorCode":"escaped key"'),
        files.raw('"":"empty key","resources":[]'),
        files.raw(nested(300)),
        files.record(userAgent=["a", "b"], sourceIPAddress=7, readOnly="true", managementEvent=None),
        files.record(userIdentity="root", tlsDetails=[], resources={"ARN": "x"}, requestParameters="text"),
        files.record(userIdentity=None, tlsDetails=None, resources=None, eventID=None),
        files.record(userIdentity={}, tlsDetails={}, requestParameters={}),
        files.record(resources=[{"ARN": "a", "type": "b", "more": 1}, {"ARN": None}, {}, None, "x"]),
        files.record(resources=[{"ARN": "arn:a", "accountId": "1", "type": "T"}, {"ARNPrefix": "p"}]),
        files.record(errorMessage="Zürich — 東京 🚀 \" \\ / \b\f\n\r\t \x7f\u2028"),
        files.record(insightDetails={"state": "Start"}, newMember={"a": [1, {"b": None}]}),
        files.record(sessionCredentialFromConsole="true", vpcEndpointId="AWS Internal"),
        {"eventName": "Alone", "eventSource": "x.amazonaws.com"},
        {"eventVersion": "1.0", "eventId": "aggregated", "accountId": "111122223333", "summary": {}},
        big,
    ]
    files.write("values/all.ndjson", lines(kept), len(kept))
    spread = [json.loads(one) if isinstance(one, str) else one for one in copy.deepcopy(kept[11:20])]
    files.write("values/spread.json", log_file(spread, indent=2, ensure_ascii=False), 9)


def places(files):
    odd_accounts = ["", "1111", "1111222233334", "11112222333a", 111122223333, None, ABSENT, "０" * 12]
    rows = [files.record(recipientAccountId=account) for account in odd_accounts]
    rows += [files.record(recipientAccountId=ABSENT, userIdentity={"accountId": "000000000042"})]
    rows += [files.record(recipientAccountId=ABSENT, userIdentity=who) for who in ("x", {}, None)]
    odd_regions = ["", "x", "EU-WEST-1", "eu_west_1", "../..", "a/b", "a" * 33, None, ABSENT, 5, "aq-pole-9r"]
    rows += [files.record(awsRegion=region) for region in odd_regions]
    odd_times = [
        "", "yesterday", "2026-02-30T00:00:00Z", "2005-12-31T23:59:59Z", "2006-01-01T00:00:00Z",
        "2999-01-01T00:00:00Z", "2026-11-01T23:30:00-02:00", "2026-11-01T00:30:00+02:00",
        "2026-11-01T12:00:00.123Z", "2026-11-01T12:00:00.123456789Z", "2026-11-01t12:00:00z",
        "2026-11-01 12:00:00Z", "2026-11-01T12:00:00", "2026-11-01T12:00:60Z", "0001-01-01T00:00:00Z",
        "9999-12-31T23:59:59Z", "9999-12-31T23:59:59-01:00", 1793534400, None, ABSENT,
    ]
    rows += [files.record(eventTime=time) for time in odd_times]
    files.write("places/odd.ndjson", lines(rows), len(rows))
    many = [files.record(awsRegion=f"r-{at % 90}", recipientAccountId="444455556666") for at in range(300)]
    files.write("places/regions.ndjson", lines(many), len(many))
    folder = "places/AWSLogs/o-odd1234567/111122223333/CloudTrail/eu-west-1/2026/11/02/"
    own = files.records(3, recipientAccountId="111122223333")
    foreign = files.records(2, recipientAccountId="222233334444")
    silent = files.records(2, recipientAccountId=ABSENT)
    name = folder + "111122223333_CloudTrail_eu-west-1_20261102T1005Z_AbCdEfGhIjKlMnOp.json.gz"
    content = gzip.compress(log_file(own + foreign + silent).encode())
    files.write(name, content, 7, "foreign_account")


def names(files):
    for name in ("with space.json", "-dash.json", "ünïcode☃.json", "no suffix", "q'uote\".json", "a=b&c%20.json"):
        files.write("names/" + name, compact(files.record()), 1)
    deep = "/".join(f"d{level}" for level in range(30))
    files.write(f"names/{deep}/log.json", compact(files.record()), 1)


def no_leading_zero(files):
    """Account ids that a reader which guesses takes for numbers."""
    rows = []
    for at in range(60):
        account = ["111122223333", "999988887777", "123456789012"][at % 3]
        rows.append(files.record(recipientAccountId=account))
    files.write("a.json.gz", gzip.compress(log_file(rows).encode()), 60)


def fallbacks(files):
    """Nothing but rows that have no account, region or date of their own."""
    rows = [files.record(recipientAccountId="nobody", awsRegion=None, eventTime="never") for _ in range(20)]
    rows += [files.record(recipientAccountId="000000000007", awsRegion="?") for _ in range(20)]
    files.write("a.ndjson", lines(rows), 40)


def main():
    name, root, expected = sys.argv[1:]
    files = Files(root)
    {"mixed": mixed, "no-leading-zero": no_leading_zero, "fallbacks": fallbacks}[name](files)
    with open(expected, "w", encoding="utf-8") as file:
        json.dump(files.expected, file)


if __name__ == "__main__":
    main()
