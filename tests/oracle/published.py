"""Asks published queries of orgtrail and of DuckDB, and compares the answers.

    published.py data SQL EVENTS DIRECTORY    files with events that the queries ask for
    published.py check SQL ORGTRAIL STORE     the table of docs/sql.md, on stdout

SQL is the folder of query packs. orgtrail gets every query as it is published,
but for placeholders such as '####' that its reader has to fill in. DuckDB reads the
store's Parquet through the views of `orgtrail schema --ddl duckdb`, with Trino's
functions as macros, so that the text of a query is the same there; what a
publication lost (a WHERE, a comma, a blank) is put back by hand in REPAIRED.
"""

import collections
import datetime
import glob
import gzip
import json
import os
import re
import subprocess
import sys
import tempfile

PACKS = {
    "cloudtrail_lake_samples": "*.sql",
    "easttimor_athena": "0[0-3]*.sql",
    "sab_athena": "*.sql",
}
# From here on the pack asks VPC flow logs.
FLOW_LOGS_FROM = 33
# AWS Config's items are no audit events.
NO_AUDIT_EVENTS = {0, 1, 57, 58, 59, 60, 61}
# What publishing lost, by pack and number: (as published, as meant).
REPAIRED = {
    ("easttimor_athena", 0): [("\nand year", "\nwhere year")],
    ("easttimor_athena", 1): [("\nand year", "\nwhere year")],
    ("easttimor_athena", 2): [("\nand year", "\nwhere year")],
    ("easttimor_athena", 16): [("'AuthorizeSecurityGroupEgress'", "'AuthorizeSecurityGroupEgress',")],
    ("cloudtrail_lake_samples", 43): [("requestParametersORDER", "requestParameters ORDER")],
    ("cloudtrail_lake_samples", 66): [("MessageORDER", "Message ORDER"), ("DESCLIMIT", "DESC LIMIT")],
    ("cloudtrail_lake_samples", 68): [("eventNameORDER", "eventName ORDER")],
}
# What no engine can read: two statements run into one, or a grouped query that
# selects what it does not group.
BROKEN = {
    ("cloudtrail_lake_samples", 26): "FROM twice",
    ("cloudtrail_lake_samples", 39): "two statements in one",
    ("cloudtrail_lake_samples", 41): "two statements in one",
    ("cloudtrail_lake_samples", 45): "two statements in one",
    ("cloudtrail_lake_samples", 48): "selects what it does not group",
}
MACROS = r"""
CREATE MACRO element_at(holder, key) AS holder[key];
CREATE MACRO json_extract_scalar(j, p) AS json_extract_string(j, p);
CREATE MACRO json_array_get(j, i) AS (j::JSON) -> i::INTEGER;
CREATE MACRO regexp_like(t, p) AS regexp_matches(t, p);
CREATE MACRO day_of_week(t) AS isodow(t);
CREATE MACRO date(t) AS CAST(t AS DATE);
CREATE MACRO date_format(t, f) AS strftime(t, f);
CREATE MACRO date_add(unit, n, t) AS t + to_days(n);
CREATE MACRO ip4(t) AS CASE WHEN regexp_full_match(t, '\d+\.\d+\.\d+\.\d+') THEN
  list_aggregate(list_transform(string_split(t, '.'), lambda x, i: CAST(x AS BIGINT) << (8 * (4 - i))), 'sum') END;
"""


def queries(packs):
    for pack, pattern in PACKS.items():
        for path in sorted(glob.glob(os.path.join(packs, pack, pattern))):
            number = int(os.path.basename(path)[:3])
            if pack == "easttimor_athena" and number >= FLOW_LOGS_FROM:
                continue
            if pack == "cloudtrail_lake_samples" and number in NO_AUDIT_EVENTS:
                continue
            text = filled(open(path).read())
            name = f"{pack.split('_')[0]} {os.path.basename(path)[:-4]}"
            parts = [text]
            if pack == "sab_athena" and number == 8:
                # A file of many statements, a paragraph each.
                parts = [p for p in re.split(r"\n\s*\n(?=--)", text) if re.search(r"^(SELECT|CREATE|INSERT)", p, re.M)]
            for index, part in enumerate(parts):
                yield (pack, number), name if len(parts) == 1 else f"{name} ({index + 1})", part


def filled(text):
    text = text.replace("'${date_filter}'", "'2023-01-01 00:00:00'", 1)
    text = text.replace("'${date_filter}'", "'2023-01-07 00:00:00'")
    for placeholder, value in [
        ("'####'", "'2023'"),
        ("month = '##'", "month = '01'"),
        ("day = '##'", "day = '03'"),
        ("'x.x.x.x'", "'192.0.2.76'"),
        ("AKIAxxxxxxxxxxxxxxxx", "AKIAIOSFODNN7EXAMPLE"),
        ("'xxxxxx'", "'alice'"),
    ]:
        text = text.replace(placeholder, value)
    return text


# --- events that the queries ask for ------------------------------------------------


def make_data(packs, events, directory):
    os.makedirs(directory, exist_ok=True)
    for path in glob.glob(os.path.join(events, "*.ndjson.gz")):
        with open(path, "rb") as source, open(os.path.join(directory, os.path.basename(path)), "wb") as copy:
            copy.write(source.read())
    made = []
    for key, name, text in queries(packs):
        made.extend(wanted(text, len(made)))
    with gzip.open(os.path.join(directory, "wanted.ndjson.gz"), "wt") as file:
        for event in made:
            file.write(json.dumps(event) + "\n")
    print(len(made))


def wanted(text, start):
    """Events that a query's own conditions describe, from three kinds of callers."""
    names = re.findall(r"'([A-Z][A-Za-z0-9]+)'", " ".join(re.findall(r"eventname\s*(?:=|in|like|<>)\s*(\([^)]*\)|'[^']*')", text, re.I)))
    names = names or ["DescribeInstances"]
    sources = re.findall(r"eventsource\s*=\s*'([^']+)'", text, re.I) or ["ec2.amazonaws.com"]
    bounds = re.findall(r"eventtime\s*>=?\s*'(\d{4}-\d\d-\d\d)", text, re.I)
    day = datetime.date.fromisoformat(bounds[0]) if bounds else datetime.date(2023, 1, 2)
    if "2021/07/01" in text:
        day = datetime.date(2021, 7, 4)
    day += datetime.timedelta(days=1)
    request = {
        "name": "trail-1", "bucketName": "demo-20230707", "key": "a/b.txt", "groupId": "sg-1",
        "ipPermissions": {"items": [{"cidrIp": "0.0.0.0/0"}]}, "userData": "c2V0", "userName": "bob",
        "groupName": "site-admins", "roleName": "r", "volumeId": "vol-1", "dBClusterIdentifier": "c1",
        "sourceDBClusterIdentifier": "c0", "dBInstanceIdentifier": "d1", "dBInstanceClass": "db.t3.small",
        "engineVersion": "15", "availabilityZone": "us-east-1a", "policyDocument": "{\"Version\":\"2012-10-17\"}",
        "ModifySecurityGroupRulesRequest": {"GroupId": "sg-2", "SecurityGroupRule": {"CidrIpv4": "0.0.0.0/0"}},
        "CreateSnapshotsRequest": {"InstanceSpecification": {"InstanceId": "i-1"}},
        "PublicAccessBlockConfiguration": {"RestrictPublicBuckets": True, "BlockPublicPolicy": False},
        "evaluations": [{"complianceType": "COMPLIANT", "complianceResourceType": "AWS::EC2::Instance", "complianceResourceId": "i-1"}],
        "resourcesSet": {"items": [{"resourceId": "i-1"}]}, "tagSet": {"items": [{"key": "k", "value": "v"}]},
    }
    for key, value in re.findall(r"element_at\(\s*requestParameters\s*,\s*'(\w+)'\s*\)\s*=\s*'([^']*)'", text, re.I):
        request[key] = value
    response = {
        "instancesSet": {"items": [{"instanceId": "i-b188560f"}]}, "snapshotId": "snap-1", "encrypted": False,
        "user": {"userName": "bob"}, "accessKey": {"userName": "bob", "accessKeyId": "AKIA2"},
    }
    errors = re.findall(r"errorcode\s*(?:=|in)\s*\(?\s*'([^']*)'", text, re.I)
    category = re.findall(r"eventcategory\s*=\s*'([^']*)'", text, re.I)
    agent = re.findall(r"useragent\s*=\s*'([^']*)'", text, re.I)
    address = re.findall(r"sourceipaddress\s*=\s*'([^']*)'", text, re.I)
    arn = re.findall(r"useridentity.arn\s*=\s*'([^']*)'", text, re.I)
    tls = "TLSv1.1" if "<= 1.1" in text else "TLSv1.2"
    identities = [
        {"type": "IAMUser", "principalId": "AIDA1", "arn": (arn or ["arn:aws:iam::111122223333:user/alice"])[0],
         "accountId": "111122223333", "accessKeyId": "AKIAIOSFODNN7EXAMPLE", "userName": "alice"},
        {"type": "AssumedRole", "principalId": "AROA1:alice@example.com",
         "arn": "arn:aws:sts::555555555555:assumed-role/alice/alice@example.com", "accountId": "555555555555",
         "accessKeyId": "ASIA1", "userName": "alice@example.com", "sessionContext": {
             "attributes": {"creationDate": f"{day}T00:00:00Z", "mfaAuthenticated": "false"},
             "sessionIssuer": {"type": "Role", "principalId": "AROA1", "arn": "arn:aws:iam::555555555555:role/alice",
                               "accountId": "555555555555", "userName": "alice"}}},
        {"type": "AWSService", "invokedBy": "config.amazonaws.com"},
    ]
    found = []
    for name in names:
        for index, identity in enumerate(identities):
            number = start + len(found)
            event = {
                "eventVersion": "1.09", "userIdentity": identity,
                "eventTime": f"{day}T0{index}:{number % 60:02}:{number // 60 % 60:02}Z",
                "eventSource": sources[number % len(sources)], "eventName": name, "awsRegion": "us-east-1",
                "sourceIPAddress": (address or ["203.0.113.9", "10.1.2.3", "config.amazonaws.com"])[index % max(1, len(address) or 3)],
                "userAgent": (agent or ["aws-cli/2"])[0], "requestParameters": request, "responseElements": response,
                "additionalEventData": {"MFAUsed": "No", "aclRequired": "Yes", "configRuleName": "rule"},
                "serviceEventDetails": {"account_id": "1", "role_name": "r"}, "requestID": f"r{number}",
                "eventID": f"00000000-0000-4000-8000-{number:012}", "readOnly": index == 2,
                "resources": [{"ARN": "arn:aws:iam::555555555555:role/alice", "accountId": "555555555555", "type": "AWS::IAM::Role"}],
                "eventType": "AwsApiCall", "managementEvent": True, "recipientAccountId": "111122223333",
                "eventCategory": (category or ["Management"])[0], "tlsDetails": {"tlsVersion": tls, "cipherSuite": "x"},
                "sessionCredentialFromConsole": "true", "vpcEndpointId": "vpce-1", "vpcEndpointAccountId": "111122223333",
            }
            if errors and index != 2:
                event["errorCode"], event["errorMessage"] = errors[0], "no"
            elif not errors and "errormessage" in text.lower() and index == 1:
                event["errorCode"], event["errorMessage"] = "AccessDenied", "no"
            found.append(event)
    return found


# --- asking both --------------------------------------------------------------------


def check(packs, orgtrail, store):
    import duckdb

    database = duckdb.connect()
    database.execute("SET TimeZone = 'UTC'")
    ddl = subprocess.run([orgtrail, "schema", "--ddl", "duckdb", "--store", store], check=True, capture_output=True, text=True)
    database.execute(ddl.stdout)
    database.execute(MACROS)
    # The record as Lake has it is put together by our code; the one question that
    # looks into it finds what it needs here.
    lake = re.search(r"VIEW cloudtrail_lake AS\n(SELECT.*?)\nFROM events;", ddl.stdout, re.S)[1]
    more = "json_object('requestParameters', events.requestparameters::JSON)::VARCHAR AS eventjson, NULL::VARCHAR AS eventjsonchecksum"
    # Times without a zone, since DuckDB gives the others to Python by way of a package.
    lake = lake.replace("  eventtime,", "  eventtime AT TIME ZONE 'UTC' AS eventtime,", 1)
    database.execute(f"CREATE VIEW lake AS {lake}, {more} FROM events")
    rows, bad = [], []
    for key, name, text in queries(packs):
        result = one(database, orgtrail, store, key, text)
        rows.append((name, *result))
        if result[1] == "NO" or (result[0] == "no" and key not in BROKEN and "refused" not in result[2]):
            bad.append(f"{name}: {result[2]}")
    runs = sum(row[1] == "yes" for row in rows)
    agree = sum(row[2] == "yes" for row in rows)
    filled_rows = sum(row[3] == "rows" for row in rows)
    print("| query | runs | agrees | |\n|---|---|---|---|")
    for row in rows:
        print("| " + " | ".join(row) + " |")
    print(f"\n{len(rows)} queries: {runs} run, {agree} agree with DuckDB, {filled_rows} of these with rows.")
    for line in bad:
        print(line, file=sys.stderr)
    sys.exit(1 if bad else 0)


def one(database, orgtrail, store, key, text):
    with tempfile.NamedTemporaryFile(suffix=".parquet") as file:
        command = [orgtrail, "query", "--quiet", "--store", store, "-o", "parquet", "--out", file.name,
                   "--table", "cloudtrail_000000000000=cloudtrail_logs", "-"]
        ran = subprocess.run(command, input=text, capture_output=True, text=True)
        if ran.returncode != 0:
            said = ran.stderr.strip().splitlines()[0]
            if "refused" in said:
                return "no", "", "refused: it would change something"
            return "no", "", BROKEN.get(key, said[:160])
        ours = read(file.name)
    meant = text
    for published, repaired in REPAIRED.get(key, []):
        meant = meant.replace(published, repaired, 1)
    meant = re.sub(r"(from|join)\s+(\$EDS_ID|<[^>]+>)", r"\1 lake", meant, flags=re.I)
    meant = meant.replace("cloudtrail_000000000000", "cloudtrail_logs").rstrip().rstrip(";")
    meant = re.sub(r"CAST\(sourceipaddress AS IPADDRESS\)", "ip4(sourceipaddress)", meant)
    meant = re.sub(r"IPADDRESS ('[^']*')", r"ip4(\1)", meant)
    limit = re.search(r"\blimit\s+(\d+)\s*$", meant, re.I)
    try:
        found = database.execute(meant[: limit.start()] if limit else meant)
        skipped = {i for i, column in enumerate(found.description) if column[0].lower() in ("eventjson", "eventjsonchecksum")}
        theirs = [tuple(plain(v) for i, v in enumerate(row) if i not in skipped) for row in found.fetchall()]
    except Exception as error:  # what DuckDB says goes into the table
        return "yes", "NO", f"DuckDB: {str(error).splitlines()[0][:160]}"
    ours, theirs = counted(ours), counted(theirs)
    if limit:
        wanted_rows = min(int(limit[1]), sum(theirs.values()))
        same = sum(ours.values()) == wanted_rows and not ours - theirs
    else:
        same = ours == theirs
    count = sum(ours.values())
    if not same:
        print("OURS", list((ours - theirs).items())[:2], "\nTHEIRS", list((theirs - ours).items())[:2], file=sys.stderr)
        return "yes", "NO", f"{count} rows, DuckDB {sum(theirs.values())}"
    return "yes", "yes", "rows" if count else "no rows"


def counted(rows):
    return collections.Counter(json.dumps(row, sort_keys=True) for row in rows)


def read(path):
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(path)
    kept = [i for i, name in enumerate(table.column_names) if name not in ("eventjson", "eventjsonchecksum")]
    columns = [[plain(v) for v in table.column(i).to_pylist()] for i in kept]
    return list(zip(*columns)) if columns else []


def plain(value):
    """One way to write a value that both readers give in their own."""
    if isinstance(value, datetime.datetime):
        if value.tzinfo is not None:
            value = value.astimezone(datetime.timezone.utc).replace(tzinfo=None)
        return value.isoformat()
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, list):
        if value and all(isinstance(item, tuple) and len(item) == 2 for item in value):
            return plain(dict(value))
        items = [plain(item) for item in value]
        return sorted(items, key=lambda item: json.dumps(item, sort_keys=True))
    if isinstance(value, dict):
        members = {key: plain(member) for key, member in value.items()}
        # A struct of nothing and no struct are told apart by neither view.
        return {key: member for key, member in members.items() if member is not None} or None
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


if __name__ == "__main__":
    {"data": make_data, "check": check}[sys.argv[1]](*sys.argv[2:])
