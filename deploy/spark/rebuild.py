"""Makes the rows of orgtrail's table from its journal, with Spark.

    spark-submit deploy/spark/rebuild.py --store /var/lib/orgtrail --to /tmp/rebuilt

Reads the journal's segments by their documented format (docs/journal.md), makes rows
of the lines by docs/schema.md, and writes them as Parquet below
TO/account=…/region=…/date=…. They are the rows of the table, to the last column, but
for what has expired, there or in the journal. Nothing of orgtrail runs for it, and
nothing in the store is changed. `--store` and `--to` take whatever Spark's file systems take: a path,
s3a://bucket/prefix, gs://bucket/prefix.

Needs PySpark 3.5 or 4 and, on every worker, PyArrow (which inflates the segments).
"""

import argparse
import hashlib
import ipaddress
import json
import os
import re
import sys
from datetime import date, datetime, timedelta, timezone

from pyspark import StorageLevel
from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

TEXT, JSON, BOOLEAN, TIME = "text", "json", "boolean", "time"

RESOURCE = [("ARN", TEXT), ("ARNPrefix", TEXT), ("accountId", TEXT), ("type", TEXT)]
SESSION_CONTEXT = [
    ("attributes", [("creationDate", TEXT), ("mfaAuthenticated", TEXT)]),
    (
        "sessionIssuer",
        [("type", TEXT), ("principalId", TEXT), ("arn", TEXT), ("accountId", TEXT), ("userName", TEXT)],
    ),
    ("webIdFederationData", [("federatedProvider", TEXT), ("attributes", JSON)]),
    ("sourceIdentity", TEXT),
    ("ec2RoleDelivery", TEXT),
    ("ec2IssuedInVpc", TEXT),
    ("assumedRoot", TEXT),
]
USER_IDENTITY = [
    ("type", TEXT),
    ("principalId", TEXT),
    ("arn", TEXT),
    ("accountId", TEXT),
    ("accessKeyId", TEXT),
    ("userName", TEXT),
    ("sessionContext", SESSION_CONTEXT),
    ("invokedBy", TEXT),
    ("invokedByDelegate", [("accountId", TEXT)]),
    ("identityProvider", TEXT),
    ("credentialId", TEXT),
    ("onBehalfOf", [("userId", TEXT), ("identityStoreArn", TEXT)]),
    (
        "inScopeOf",
        [("sourceArn", TEXT), ("sourceAccount", TEXT), ("issuerType", TEXT), ("credentialsIssuedTo", TEXT)],
    ),
]
TLS_DETAILS = [
    ("tlsVersion", TEXT),
    ("cipherSuite", TEXT),
    ("clientProvidedHostHeader", TEXT),
    ("keyExchange", TEXT),
]
# The members of a record in the order of the columns; a list is a struct, a tuple of one
# list is a list of structs.
RECORD = [
    ("eventVersion", TEXT),
    ("userIdentity", USER_IDENTITY),
    ("eventTime", TIME),
    ("eventSource", TEXT),
    ("eventName", TEXT),
    ("awsRegion", TEXT),
    ("sourceIPAddress", TEXT),
    ("userAgent", TEXT),
    ("errorCode", TEXT),
    ("errorMessage", TEXT),
    ("requestParameters", JSON),
    ("responseElements", JSON),
    ("additionalEventData", JSON),
    ("requestID", TEXT),
    ("eventID", TEXT),
    ("readOnly", BOOLEAN),
    ("resources", (RESOURCE,)),
    ("eventType", TEXT),
    ("apiVersion", TEXT),
    ("managementEvent", BOOLEAN),
    ("recipientAccountId", TEXT),
    ("serviceEventDetails", JSON),
    ("sharedEventID", TEXT),
    ("vpcEndpointId", TEXT),
    ("vpcEndpointAccountId", TEXT),
    ("eventCategory", TEXT),
    ("addendum", JSON),
    ("sessionCredentialFromConsole", TEXT),
    ("edgeDeviceDetails", JSON),
    ("tlsDetails", TLS_DETAILS),
    ("eventContext", JSON),
    ("annotation", TEXT),
    ("insightDetails", JSON),
    ("accountId", TEXT),
    ("eventId", TEXT),
    ("timeWindow", JSON),
    ("summary", JSON),
    ("metadata", JSON),
    ("eventData", JSON),
]
# Two members would have one lower-case name.
COLUMNS = {"eventId": "aggregatedeventid"}

DEPTH_MAX = 512
REGIONS_PER_ACCOUNT_MAX = 64
VARIANTS_MAX = 64
# The first row format in which one event is one row.
KEYS_SINCE = 2

ACCOUNT = re.compile(r"[0-9]{12}")
ACCOUNT_UNKNOWN = "000000000000"
REGION = re.compile(r"[a-z0-9-]{2,32}")
REGION_UNKNOWN = "unknown"
DATE_UNKNOWN = date(1970, 1, 1)
OLDEST = date(2006, 1, 1)
PLAIN_TIME = re.compile(r'"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"', re.ASCII)
ANY_TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:[Zz]|([+-])(\d\d):(\d\d))",
    re.ASCII,
)
EPOCH = datetime(1970, 1, 1)

# The members whose names are listed, of which these hold JSON.
NAMING_JSON = {"requestParameters", "responseElements", "additionalEventData", "serviceEventDetails"}
NAMING = NAMING_JSON | {"userIdentity", "sourceIPAddress", "recipientAccountId", "vpcEndpointId", "resources"}
INDICATOR_BYTES_MAX = 512
LIST_PER_TEXT_MAX = 2
UNIQUE_ID = re.compile(r"A[A-Z0-9]{15,31}")
# Printable, but for `"`, `*`, `?` and the backslash.
ARN = re.compile(r"arn:[!#-)+->@-\[\]-~]*")
RESOURCE_ID = re.compile(r"[a-z-]{1,24}-(?:[0-9a-f]{8}|[0-9a-f]{17})")
ADDRESS = re.compile(r"[0-9a-fB-F:][0-9a-fA-F:.]{1,44}")
SESSION_NAME = re.compile(r"[\w+=,.@-]{2,64}", re.ASCII)
JSON_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
ITS_VALUE = re.compile(r'[ \t\n\f\r]*:[ \t\n\f\r]*"')


# --- the schema -----------------------------------------------------------------------


def column_of(key):
    return COLUMNS.get(key, key.lower())


def spark_type(shape):
    if isinstance(shape, list):
        fields = [T.StructField(key.lower(), spark_type(inner)) for key, inner in shape]
        return T.StructType(fields)
    if isinstance(shape, tuple):
        return T.ArrayType(spark_type(shape[0]))
    return {BOOLEAN: T.BooleanType(), TIME: T.LongType()}.get(shape, T.StringType())


ROW = T.StructType(
    [T.StructField(column_of(key), spark_type(shape)) for key, shape in RECORD]
    + [T.StructField(name, T.StringType()) for name in ("unmapped", "nulls", "anomalies", "orgtrail_agent")]
    + [T.StructField(name, T.LongType()) for name in ("orgtrail_record", "orgtrail_row")]
    + [T.StructField("indicators", T.ArrayType(T.StringType()))]
    + [T.StructField("account", T.StringType()), T.StructField("date", T.DateType())]
    # Read for placing and comparing, and not written.
    + [T.StructField("shown_region", T.StringType()), T.StructField("pass", T.LongType())]
    + [T.StructField("also", T.DateType()), T.StructField("digest", T.StringType())]
)


# --- JSON, with the bytes of values kept ------------------------------------------------


class NoRecord(Exception):
    """The line is no record: it is in quarantine, not in the table."""


class Pairs(list):
    """An object's members, in their order."""


class Number(str):
    """A number as it was written."""


def refuse(word):
    raise ValueError(word)


DECODER = None


def decoder():
    """Made on each worker: it cannot be sent there."""
    global DECODER
    if DECODER is None:
        # 512 levels are a record, and each takes several calls.
        sys.setrecursionlimit(5_000)
        DECODER = json.JSONDecoder(
            object_pairs_hook=Pairs, parse_int=Number, parse_float=Number, parse_constant=refuse
        )
    return DECODER


def skip(text, at):
    while at < len(text) and text[at] in " \t\r\n":
        at += 1
    return at


def value_at(text, at):
    """A value and where it ends."""
    try:
        return decoder().raw_decode(text, at)
    except (ValueError, RecursionError, StopIteration) as error:
        raise NoRecord(str(error)) from error


def depth(value):
    if isinstance(value, Pairs):
        return 1 + max((depth(inner) for _, inner in value), default=0)
    if isinstance(value, list):
        return 1 + max(map(depth, value), default=0)
    return 0


def members_at(text, at):
    """The members of the object at `at`: key, the key between its quotes, the value's
    bytes; and where the object ends."""
    if at >= len(text) or text[at] != "{":
        raise NoRecord("no object")
    members = []
    at = skip(text, at + 1)
    if text[at : at + 1] == "}":
        return members, at + 1
    while True:
        key, end = value_at(text, at)
        if text[at] != '"':
            raise NoRecord("a key is no string")
        raw_key = text[at + 1 : end - 1]
        at = skip(text, end)
        if text[at : at + 1] != ":":
            raise NoRecord("a member has no value")
        at = skip(text, at + 1)
        _, end = value_at(text, at)
        members.append((key, raw_key, text[at:end]))
        at = skip(text, end)
        if text[at : at + 1] == "}":
            return members, at + 1
        if text[at : at + 1] != ",":
            raise NoRecord("no member follows")
        at = skip(text, at + 1)


def canonical(value):
    """One text for all spellings of a value."""
    if isinstance(value, Number):
        return str(value)
    if isinstance(value, str):
        return json.dumps(value)
    if isinstance(value, Pairs):
        members = sorted(value, key=lambda member: member[0])
        return "{" + ",".join(json.dumps(key) + ":" + canonical(inner) for key, inner in members) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(canonical, value)) + "]"
    return {None: "null", True: "true", False: "false"}[value]


def text_of(raw):
    """What a JSON string says; None if it is none, or no text."""
    if raw is None or not raw.startswith('"'):
        return None
    text = json.loads(raw)
    try:
        text.encode()
    except UnicodeEncodeError:
        # Half a surrogate pair.
        return None
    return text


def micros_of(text):
    """The UTC microseconds that an RFC 3339 text names, cut."""
    match = ANY_TIME.fullmatch(text or "")
    if not match:
        return None
    *parts, fraction, sign, hours, minutes = match.groups()
    try:
        when = datetime(*map(int, parts), int((fraction or "0")[:6].ljust(6, "0")))
        if sign:
            if int(hours) > 23 or int(minutes) > 59:
                return None
            offset = timedelta(hours=int(hours), minutes=int(minutes))
            when = when + offset if sign == "-" else when - offset
    except (ValueError, OverflowError):
        return None
    return (when - EPOCH) // timedelta(microseconds=1)


# --- a record becomes a row -------------------------------------------------------------


class Notes:
    """What columns cannot hold."""

    def __init__(self):
        self.unmapped, self.nulls = [], []

    def note(self, raw_key, raw):
        self.unmapped.append('"' + raw_key + '":' + raw)


def convert(members, shape, notes, path):
    """The values of an object's members by its shape, and the notes."""
    by_key = {}
    for key, raw_key, raw in members:
        by_key.setdefault(key, []).append((raw_key, raw))
    values = []
    known = {key for key, _ in shape}
    for key, inner in shape:
        found = by_key.get(key, [])
        if not found:
            values.append(None)
            continue
        # Of a repeated member the column has the last, and all of them are notes.
        aside = notes if len(found) == 1 else Notes()
        values.append(convert_value(key, inner, found[-1][1], aside, path))
    for key, raw_key, raw in members:
        if key not in known or len(by_key[key]) > 1:
            # A repeated member's first key may be spelled otherwise; the second stands for it.
            if key in known and raw is by_key[key][0][1]:
                raw_key = by_key[key][1][0]
            notes.note(raw_key, raw)
    return values


def convert_value(key, shape, raw, notes, path):
    if raw == "null":
        notes.nulls.append(path + key)
        return None
    if shape == JSON:
        return raw
    if shape == TEXT:
        value = text_of(raw)
        fits = value is not None
    elif shape == BOOLEAN:
        value = {"true": True, "false": False, '"true"': True, '"false"': False}.get(raw)
        fits = raw in ("true", "false")
    elif shape == TIME:
        value = micros_of(text_of(raw))
        fits = value is not None and PLAIN_TIME.fullmatch(raw) is not None
    elif isinstance(shape, list):
        fits = raw.startswith("{")
        value = None
        if fits:
            inner = Notes()
            value = convert(members_at(raw, 0)[0], shape, inner, path + key + ".")
            notes.nulls += inner.nulls
            if inner.unmapped:
                notes.note(key, "{" + ",".join(inner.unmapped) + "}")
    else:
        value, fits = convert_list(shape[0], raw)
    if not fits:
        notes.note(key, raw)
    return value


def convert_list(shape, raw):
    if not raw.startswith("["):
        return None, False
    values, fits = [], True
    at = skip(raw, 1)
    while raw[at] != "]":
        at = skip(raw, at + 1) if raw[at] == "," else at
        _, end = value_at(raw, at)
        element = raw[at:end]
        if element.startswith("{"):
            notes = Notes()
            values.append(convert(members_at(element, 0)[0], shape, notes, ""))
            fits = fits and not (notes.unmapped or notes.nulls)
        else:
            values.append(None)
            fits = False
        at = skip(raw, end)
    return values, fits


def last(members, key):
    found = [raw for name, _, raw in members if name == key]
    return found[-1] if found else None


def row_of(line, source):
    """The row of a line as a list in the order of `ROW`; raises `NoRecord`."""
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        raise NoRecord("no UTF-8") from error
    at = skip(text, 0)
    members, end = members_at(text, at)
    if skip(text, end) < len(text):
        raise NoRecord("more after the object")
    whole, _ = value_at(text, at)
    try:
        too_deep = depth(whole) > DEPTH_MAX
    except RecursionError:
        too_deep = True
    if too_deep:
        raise NoRecord("too deep")
    if any(key == "orgtrail_set_aside" for key, _, _ in members):
        raise NoRecord("set aside")
    is_string = lambda key: (last(members, key) or "").startswith('"')  # noqa: E731
    if not (is_string("eventVersion") or (is_string("eventName") and is_string("eventSource"))):
        raise NoRecord("no event")
    notes = Notes()
    values = convert(members, RECORD, notes, "")
    anomalies = []
    account = account_of(members, source, anomalies)
    if source["speaks_for"] not in ("organization", account):
        raise NoRecord("an account that its agent does not speak for")
    region = text_of(last(members, "awsRegion"))
    region = region if region and REGION.fullmatch(region) else None
    if region is None:
        anomalies.append("region_unknown")
    micros = micros_of(text_of(last(members, "eventTime")))
    day, own_day = day_of(micros, source, anomalies)
    event_id = text_of(last(members, "eventID"))
    digest = None
    if event_id and source["keyed"]:
        digest = hashlib.sha256(canonical(whole).encode()).hexdigest()
    return (
        values
        + ["{" + ",".join(notes.unmapped) + "}" if notes.unmapped else None]
        + [",".join(notes.nulls) or None, ",".join(anomalies) or None, source["agent"]]
        + [source["record"], source["row"], names_of(values)]
        + [account, day, region, source["pass"]]
        + [own_day if day == DATE_UNKNOWN else None, digest]
    )


def account_of(members, source, anomalies):
    raw = last(members, "recipientAccountId")
    if raw in (None, "null"):
        if source["speaks_for"] != "organization":
            anomalies.append("account_of_agent")
            return source["agent_account"]
        identity = last(members, "userIdentity")
        inner = members_at(identity, 0)[0] if (identity or "").startswith("{") else []
        raw = last(inner, "accountId")
        departure = "account_of_identity"
    else:
        departure = None
    account = text_of(raw)
    if account and ACCOUNT.fullmatch(account):
        anomalies += [departure] if departure else []
        return account
    anomalies.append("account_unknown")
    return ACCOUNT_UNKNOWN


def day_of(micros, source, anomalies):
    """The date under which a row lies, and its own."""
    if micros is None:
        anomalies.append("date_unknown")
        return DATE_UNKNOWN, None
    try:
        day = (EPOCH + timedelta(microseconds=micros)).date()
    except OverflowError:
        day = None
    latest = (source["committed_at"] + timedelta(days=1)).date()
    if day is not None and OLDEST <= day <= latest:
        return day, day
    anomalies.append("date_out_of_range")
    return DATE_UNKNOWN, day


# --- what a row names -------------------------------------------------------------------


def names_of(values):
    """The list `indicators` of a row whose columns have these values."""
    found, size = set(), 0
    for key, text, is_json in texts_of(RECORD, values, NAMING):
        size += len(text.encode())
        if is_json:
            names_in_json(text, found)
        else:
            names_in_text(text, found)
        if key == "principalId":
            role, _, session = text.partition(":")
            if UNIQUE_ID.fullmatch(role) and SESSION_NAME.fullmatch(session):
                found.add(session)
    if sum(map(len, found)) > LIST_PER_TEXT_MAX * size:
        return None
    return sorted(found)


def texts_of(shape, values, wanted=None):
    """The texts of some members and of what is inside of them: key, text, is it JSON."""
    for (key, inner), value in zip(shape, values):
        if value is None or (wanted is not None and key not in wanted):
            continue
        if isinstance(inner, list):
            yield from texts_of(inner, value)
        elif isinstance(inner, tuple):
            for element in value:
                yield from texts_of(inner[0], element or [])
        elif isinstance(value, str):
            yield key, value, key in NAMING_JSON


def names_in_text(text, found):
    for line in text.split("\n"):
        names_in_line(line, found)


def names_in_line(line, found):
    """What a line is, begins with before its first colon, or ends with after any part."""
    parts = [line] + [line[mark.end() :] for mark in re.finditer("[/:]", line)]
    if ":" in line:
        parts.append(line.split(":", 1)[0])
    for part in filter(is_indicator, parts):
        found.add(part)
        arn = part.split(":", 5)
        if len(arn) == 6 and arn[0] == "arn" and arn[2] == "sts":
            kind, _, rest = arn[5].partition("/")
            session = rest.partition("/")[2]
            if kind == "assumed-role" and SESSION_NAME.fullmatch(session):
                found.add(session)


def names_in_json(text, found):
    """What its strings name, as they are spelt and as they are meant."""
    session_at = None
    for string in JSON_STRING.finditer(text):
        spelt = string[1]
        names_in_line(spelt, found)
        meant = text_of(string[0]) if "\\" in spelt else spelt
        if meant is not None:
            names_in_text(meant, found)
            if string.start(1) == session_at and SESSION_NAME.fullmatch(meant):
                found.add(meant)
        session_at = None
        if spelt == "roleSessionName" and (value := ITS_VALUE.match(text, string.end())):
            session_at = value.end()


def is_indicator(text):
    if not text or len(text.encode()) > INDICATOR_BYTES_MAX:
        return False
    if text[0] == "A":
        return UNIQUE_ID.fullmatch(text) is not None
    if text.startswith("arn:"):
        return text.count(":") >= 5 and ARN.fullmatch(text) is not None
    if ACCOUNT.fullmatch(text) or RESOURCE_ID.fullmatch(text):
        return True
    if not ADDRESS.fullmatch(text):
        return False
    try:
        ipaddress.ip_address(text)
        return True
    except ValueError:
        return False


# --- the journal ------------------------------------------------------------------------


def read_journal(spark, store, trail):
    """What there is to read: a list of segments with what their lines are."""
    log = numbered(spark, f"{store}/journal/log/*.json")
    passes, position = read_passes(spark, store, trail)
    streams, segments, expired = {}, [], 0
    for number, record in enumerate(log, 1):
        if record["number"] != number:
            raise SystemExit(f"journal record {number} is missing")
        if opened := record.get("open"):
            streams[number] = {
                "agent_account": opened["account"],
                "agent": opened["account"] + "/" + opened["agent"],
                "speaks_for": speaks_for(opened["certificate"]),
            }
        for stream, certificate in record.get("certificates", {}).items():
            streams[int(stream)] = {**streams[int(stream)], "speaks_for": speaks_for(certificate)}
        if expire := record.get("expire"):
            expired = expire["to"]
        segment = record.get("segment")
        if not segment or (position is not None and number > position):
            continue
        this_pass = next((one for one in passes if one["from"] <= number <= one["to"]), None)
        batches, row = [], 0
        lost = {first["row"] for first in (this_pass or {}).get("lost", {}).get(number, [])}
        for stream, first, to, *_ in record["batches"]:
            count = to - first + 1
            if row not in lost:
                batches.append((row, count, streams[stream]))
            row += count
        segments.append(
            {
                "record": number,
                "path": segment["path"],
                "sha256": segment["sha256"],
                "frames": segment["frames"],
                "committed_at": instant(record["at"]),
                "pass": this_pass["number"] if this_pass else 0,
                "keyed": this_pass is None or this_pass["row_format"] >= KEYS_SINCE,
                "batches": batches,
            }
        )
    gone = [one for one in segments if one["record"] <= expired]
    if gone:
        lines = sum(count for one in gone for _, count, _ in one["batches"])
        print(
            f"records up to {expired} of the journal have expired by its retention: "
            f"no rows are made of their {len(gone)} segments, {lines} lines"
        )
    return segments[len(gone) :]


def read_passes(spark, store, trail):
    """The ranges that passes have read, and the last journal record of them; the
    whole journal is one where the table's log is not there."""
    log = f"{store}/trail/{trail}/table/log"
    if not is_there(spark, log):
        return [], None
    log = numbered(spark, f"{log}/*.json")
    passes, position = [], 0
    for record in log:
        if intent := record.get("pass_intent"):
            lost = {one["record"]: one["lost"] for one in intent.get("damaged", [])}
            passes.append({**intent, "number": record["number"], "lost": lost})
        if commit := record.get("pass_commit"):
            position = commit["to"]
    return passes, position


def is_there(spark, path):
    """Whether a file system of Spark's has a file or folder."""
    hadoop = spark.sparkContext._jvm.org.apache.hadoop.fs.Path(path)
    return hadoop.getFileSystem(spark.sparkContext._jsc.hadoopConfiguration()).exists(hadoop)


def numbered(spark, pattern):
    rows = spark.read.format("binaryFile").load(pattern).select("path", "content").collect()
    return [json.loads(row.content) for row in sorted(rows, key=lambda row: row.path)]


def speaks_for(certificate):
    told = certificate["speaks_for"]
    return told if told == "organization" else told["account"]


def instant(text):
    return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(timezone.utc)


def rows_of_segment(content, segment):
    """The rows of a segment's lines; lines that are no records are left out."""
    import pyarrow

    if hashlib.sha256(content).hexdigest() != segment["sha256"]:
        raise ValueError(f"{segment['path']} is not what was committed: restore it")
    text, at = [], 0
    for packed, inflated, _lines in segment["frames"]:
        piece = content[at : at + packed]
        text.append(pyarrow.decompress(piece, inflated, codec="zstd", asbytes=True))
        at += packed
    lines = b"".join(text).split(b"\n")
    known = {key: segment[key] for key in ("record", "committed_at", "pass", "keyed")}
    for first, count, stream in segment["batches"]:
        for row in range(first, first + count):
            try:
                yield row_of(lines[row], {**stream, **known, "row": row})
            except NoRecord:
                pass


# --- one event, one row -----------------------------------------------------------------


def judge(rows):
    """Of rows with one account and eventID, which are copies and which share the id
    with another event: (record, row, is a copy, is reused)."""
    rows = sorted(rows, key=lambda row: (row["orgtrail_record"], row["orgtrail_row"]))
    kept = []
    passes = {}
    for row in rows:
        passes.setdefault(row["pass"], []).append(row)
    copies, reused = set(), set()
    for number in sorted(passes, key=lambda number: passes[number][0]["orgtrail_record"]):
        group = passes[number]
        dates = {day for row in group for day in (row["date"], row["also"] or DATE_UNKNOWN)}
        earlier = [row for row in kept[:VARIANTS_MAX] if row["date"] in dates]
        seen = {row["digest"] for row in earlier}
        first, added = None, []
        for row in group:
            at = row["orgtrail_record"], row["orgtrail_row"]
            if row["digest"] in seen:
                copies.add(at)
                continue
            seen.add(row["digest"])
            if len(seen) == 1:
                first = at
            else:
                reused |= {at, first or at}
                together = (one for one in earlier if share_a_day(one, row))
                reused |= {(one["orgtrail_record"], one["orgtrail_row"]) for one in together}
            if len(seen) <= VARIANTS_MAX:
                added.append(row)
        kept += added
    for row in rows:
        at = row["orgtrail_record"], row["orgtrail_row"]
        yield *at, at in copies, at in reused


def share_a_day(one, other):
    """Whether rows of two passes are of one date, or happened on one day."""
    days = [row["also"] or row["date"] for row in (one, other)]
    return one["date"] == other["date"] or days[0] == days[1]


JUDGED = "orgtrail_record long, orgtrail_row long, is_copy boolean, is_reused boolean"


def without_copies(spark, rows):
    """Leaves out copies of events, and marks eventIDs that were used again."""
    key = ["account", "eventid"]
    several = rows.where("digest IS NOT NULL").groupBy(key).count().where("count > 1").select(*key)
    columns = [*key, "orgtrail_record", "orgtrail_row", "pass", "date", "also", "digest"]
    groups = rows.where("digest IS NOT NULL").join(several, key).select(*columns).rdd
    groups = groups.map(lambda row: ((row["account"], row["eventid"]), row.asDict())).groupByKey()
    judged = spark.createDataFrame(groups.flatMap(lambda group: judge(group[1])), JUDGED)
    rows = rows.join(judged, ["orgtrail_record", "orgtrail_row"], "left")
    marked = F.concat_ws(",", "anomalies", F.when(F.col("is_reused"), F.lit("event_id_reused")))
    rows = rows.where("NOT coalesce(is_copy, false)")
    return rows.withColumn("anomalies", F.when(F.length(marked) > 0, marked))


def with_regions(rows):
    """Places rows in regions: an account's first 64, in the order of the journal."""
    at = F.struct("orgtrail_record", "orgtrail_row")
    shown = rows.where("shown_region IS NOT NULL").groupBy("account", "shown_region")
    shown = shown.agg(F.min(at).alias("first"))
    from pyspark.sql.window import Window

    order = F.row_number().over(Window.partitionBy("account").orderBy("first"))
    known = shown.select("account", "shown_region", (order <= REGIONS_PER_ACCOUNT_MAX).alias("known"))
    rows = rows.join(known, ["account", "shown_region"], "left")
    over = F.col("shown_region").isNotNull() & ~F.col("known")
    region = F.when(F.col("known"), F.col("shown_region")).otherwise(F.lit(REGION_UNKNOWN))
    # It stands before what is said of the date.
    parts = F.split(F.coalesce("anomalies", F.lit("")), ",")
    of_date = F.filter(parts, lambda part: part.startswith("date_"))
    others = F.filter(parts, lambda part: ~part.startswith("date_") & (part != ""))
    with_over = F.array_join(F.concat(others, F.array(F.lit("region_over_limit")), of_date), ",")
    anomalies = F.when(over, with_over).otherwise(F.col("anomalies"))
    return rows.withColumn("region", region).withColumn("anomalies", anomalies)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--store", required=True, help="where journal/ and trail/ are")
    parser.add_argument("--to", required=True, help="a folder that is not there yet")
    parser.add_argument("--trail", default="default")
    parser.add_argument("--partitions", type=int, help="tasks that read segments")
    arguments = parser.parse_args()
    # Where everything runs here, workers are what this is.
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder = SparkSession.builder.appName("orgtrail rebuild")
    builder = builder.config("spark.sql.session.timeZone", "UTC")
    builder = builder.config("spark.sql.parquet.outputTimestampType", "TIMESTAMP_MICROS")
    spark = builder.config("spark.sql.parquet.compression.codec", "zstd").getOrCreate()
    store = arguments.store.rstrip("/")
    if not is_there(spark, f"{store}/journal/log"):
        raise SystemExit(f"{store} holds no journal: is it the right store?")
    if is_there(spark, arguments.to):
        raise SystemExit(f"{arguments.to} is there already: name a folder that is not")

    segments = read_journal(spark, store, arguments.trail)
    if not segments:
        raise SystemExit(f"{store} has no journal with events that have not expired")
    by_name = {segment["path"].rsplit("/", 1)[1]: segment for segment in segments}
    known = spark.sparkContext.broadcast(by_name)
    files = spark.read.format("binaryFile").load([f"{store}/{one['path']}" for one in segments])
    files = files.select("path", "content").repartition(arguments.partitions or min(len(segments), 200))

    def read(file):
        return rows_of_segment(bytes(file.content), known.value[file.path.rsplit("/", 1)[1]])

    rows = spark.createDataFrame(files.rdd.flatMap(read), ROW)
    rows = rows.persist(StorageLevel.DISK_ONLY)
    placed = without_copies(spark, with_regions(rows))
    placed = placed.withColumn("eventtime", F.timestamp_micros("eventtime"))
    columns = ROW.fieldNames()
    columns = columns[: columns.index("account")] + ["account", "region", "date"]
    sorted_rows = placed.select(*columns).repartition("account", "region", "date")
    sorted_rows = sorted_rows.sortWithinPartitions(
        "account", "region", "date", "eventsource", "eventname", "useridentity.arn", "eventtime"
    )
    sorted_rows.write.partitionBy("account", "region", "date").parquet(arguments.to)
    written = spark.read.schema(sorted_rows.schema).parquet(arguments.to).count()
    print(f"{written} rows of {len(segments)} segments in {arguments.to}")
    spark.stop()


if __name__ == "__main__":
    main()
