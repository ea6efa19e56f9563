"""Rebuilds records from rows, by the rules of docs/schema.md.

Of each member of a record, one column has the value; what a column cannot hold
is in `unmapped`, and `nulls` names the members that are null.
"""

from datetime import datetime, timedelta

from values import NoJson, Object, decode

TEXT, JSON, BOOLEAN, TIME = "text", "json", "boolean", "time"


def names(*keys):
    return [(key, key.lower(), TEXT) for key in keys]


SESSION_CONTEXT = [
    ("attributes", "attributes", names("creationDate", "mfaAuthenticated")),
    (
        "sessionIssuer",
        "sessionissuer",
        names("type", "principalId", "arn", "accountId", "userName"),
    ),
    (
        "webIdFederationData",
        "webidfederationdata",
        [("federatedProvider", "federatedprovider", TEXT), ("attributes", "attributes", JSON)],
    ),
    *names("sourceIdentity", "ec2RoleDelivery", "ec2IssuedInVpc", "assumedRoot"),
]
USER_IDENTITY = [
    *names("type", "principalId", "arn", "accountId", "accessKeyId", "userName"),
    ("sessionContext", "sessioncontext", SESSION_CONTEXT),
    ("invokedBy", "invokedby", TEXT),
    ("invokedByDelegate", "invokedbydelegate", names("accountId")),
    *names("identityProvider", "credentialId"),
    ("onBehalfOf", "onbehalfof", names("userId", "identityStoreArn")),
    (
        "inScopeOf",
        "inscopeof",
        names("sourceArn", "sourceAccount", "issuerType", "credentialsIssuedTo"),
    ),
]
TLS_DETAILS = names("tlsVersion", "cipherSuite", "clientProvidedHostHeader", "keyExchange")
RESOURCE = names("ARN", "ARNPrefix", "accountId", "type")
RECORD = [
    *names("eventVersion", "eventSource", "eventName", "awsRegion", "sourceIPAddress"),
    *names("userAgent", "errorCode", "errorMessage", "requestID", "eventID", "eventType"),
    *names("apiVersion", "recipientAccountId", "sharedEventID", "vpcEndpointId"),
    *names("vpcEndpointAccountId", "eventCategory", "sessionCredentialFromConsole"),
    *names("annotation", "accountId"),
    ("eventId", "aggregatedeventid", TEXT),
    ("userIdentity", "useridentity", USER_IDENTITY),
    ("tlsDetails", "tlsdetails", TLS_DETAILS),
    ("resources", "resources", ("list", RESOURCE)),
    ("eventTime", "eventtime", TIME),
    ("readOnly", "readonly", BOOLEAN),
    ("managementEvent", "managementevent", BOOLEAN),
    *[
        (key, key.lower(), JSON)
        for key in (
            "requestParameters responseElements additionalEventData serviceEventDetails addendum"
            " edgeDeviceDetails eventContext insightDetails timeWindow summary metadata eventData"
        ).split()
    ],
]
# Every column of a partition file that is not of the record itself.
BESIDE = ["unmapped", "nulls", "anomalies", "orgtrail_agent", "orgtrail_record", "orgtrail_row"]


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
        return [rebuild_object(shape[1], one, Object(), set(), "") for one in value]
    return value


def time_text(micros):
    """`YYYY-MM-DDTHH:MM:SSZ`; only such times are in the column alone."""
    when = datetime(1970, 1, 1) + timedelta(microseconds=micros)
    return when.isoformat(timespec="seconds") + "Z"
