"""Where a record belongs, by the design's rules ("Partitions")."""

import re
from datetime import date, datetime, timedelta

from values import Object, is_text

ACCOUNT = re.compile(r"[0-9]{12}")
REGION = re.compile(r"[a-z0-9-]{2,32}")
TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:[Zz]|([+-])(\d\d):(\d\d))",
    re.ASCII,
)
ACCOUNT_UNKNOWN = "000000000000"
REGION_UNKNOWN = "unknown"
DATE_UNKNOWN = date(1970, 1, 1)
OLDEST = date(2006, 1, 1)
REGIONS_PER_ACCOUNT_MAX = 64


class Places:
    """Places records in the order of the journal, which decides about regions."""

    def __init__(self):
        self.regions = {}

    def place(self, record, agent_account, is_organization, committed_at):
        """(account, region, date) as text."""
        account = account_of(record, agent_account, is_organization)
        shown = self.regions.setdefault(account, set())
        region = record.last("awsRegion")
        if not (is_text(region) and REGION.fullmatch(region)):
            region = REGION_UNKNOWN
        elif region not in shown:
            if len(shown) >= REGIONS_PER_ACCOUNT_MAX:
                region = REGION_UNKNOWN
            else:
                shown.add(region)
        return account, region, date_of(record, committed_at).isoformat()


def account_of(record, agent_account, is_organization):
    account = record.last("recipientAccountId")
    if account is None:
        if not is_organization:
            return agent_account
        identity = record.last("userIdentity")
        account = identity.last("accountId") if isinstance(identity, Object) else None
    return account if is_text(account) and ACCOUNT.fullmatch(account) else ACCOUNT_UNKNOWN


def date_of(record, committed_at):
    when = instant(record.last("eventTime"))
    if when is None:
        return DATE_UNKNOWN
    latest = (committed_at + timedelta(days=1)).date()
    return when.date() if OLDEST <= when.date() <= latest else DATE_UNKNOWN


def instant(text):
    """The UTC time that an RFC 3339 text names, cut to microseconds."""
    match = TIME.fullmatch(text) if is_text(text) else None
    if not match:
        return None
    *parts, fraction, sign, hours, minutes = match.groups()
    try:
        when = datetime(*map(int, parts), int((fraction or "0")[:6].ljust(6, "0")))
        if not sign:
            return when
        if int(hours) > 23 or int(minutes) > 59:
            return None
        offset = timedelta(hours=int(hours), minutes=int(minutes))
        return when + offset if sign == "-" else when - offset
    except (ValueError, OverflowError):
        return None
