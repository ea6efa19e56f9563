//! A line is read: a record with its claims to a place, or the reason why not.

use event::json::{Fault, SyntaxError, key_is, skip_blank, string_contents, unescape};
use event::record::{SET_ASIDE_MEMBER, classify};
use event::set_aside::{Reason, SetAside};
use event::{AccountId, Region};

use super::RowSource;
use super::columns::{Whole, time_of};
use super::object::{Object, Scan};
use crate::partition::{Claim, Claims, account_of};
use crate::schema::{IDENTITY_ACCOUNT, MemberOf, RECORD};

/// Why a line is no row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuarantineReason {
    /// It is no record: whoever read the source set it aside for this reason,
    /// or it should have been.
    NoRecord(Reason),
    /// It is of an account that its agent's certificate does not speak for.
    AccountNotCovered,
}

impl QuarantineReason {
    /// The reason as one stable word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoRecord(reason) => reason.as_str(),
            Self::AccountNotCovered => "account_not_covered",
        }
    }
}

/// A line that goes to quarantine instead of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// Why, in one word.
    pub reason: QuarantineReason,
    /// Why, for a person; may be empty.
    pub detail: String,
}

/// A record that was read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record<'a> {
    pub(super) whole: Whole<'a>,
    /// The record itself among the objects found.
    pub(super) object: Object,
}

impl<'a> Record<'a> {
    /// Reads `line`, if it is a record.
    pub(super) fn read(line: &'a [u8], scan: &'a mut Scan) -> Result<Self, Rejected> {
        let object = walk(line, scan).map_err(|error| unreadable(line, error))?;
        let record = Self { whole: Whole { record: line, scan }, object };
        let mut others = record.whole.scan.others(object, line);
        if others.any(|(key, _)| key_is(key, SET_ASIDE_MEMBER)) {
            return Err(match SetAside::parse(line) {
                Some(aside) => no_record(aside.reason, aside.detail),
                None => {
                    no_record(Reason::AmbiguousMark, "has a member orgtrail_set_aside".to_owned())
                }
            });
        }
        drop(others);
        let is_string =
            |member: MemberOf| record.value(member).is_some_and(|value| value.starts_with(b"\""));
        let is_record = is_string(MemberOf::EVENT_VERSION)
            || (is_string(MemberOf::EVENT_NAME) && is_string(MemberOf::EVENT_SOURCE));
        is_record.then_some(record).ok_or_else(|| {
            let detail = "has neither an eventVersion nor an eventName and an eventSource";
            no_record(Reason::NotAnEvent, detail.to_owned())
        })
    }

    /// What the record says about where it belongs.
    pub(super) fn claims(&self) -> Claims<'a> {
        Claims {
            recipient: claim(self.value(MemberOf::RECIPIENT_ACCOUNT_ID)),
            identity: self.identity_account(),
            region: claim(self.value(MemberOf::AWS_REGION)),
            eventtime: self.value(MemberOf::EVENT_TIME).and_then(time_of),
        }
    }

    fn identity_account(&self) -> Claim<'a> {
        let Whole { record, scan } = self.whole;
        let identity = scan.slot(self.object, MemberOf::USER_IDENTITY.index()).inner;
        claim(identity.and_then(|identity| scan.slot(identity, IDENTITY_ACCOUNT).value(record)))
    }

    fn value(&self, member: MemberOf) -> Option<&'a [u8]> {
        self.whole.scan.slot(self.object, member.index()).value(self.whole.record)
    }
}

/// A record with an eventID, as far as it says which event it is and where it belongs.
#[derive(Clone, Debug)]
pub(crate) struct Identified {
    pub(crate) account: AccountId,
    pub(crate) event_id: String,
    /// The region that it names, if that is one.
    pub(crate) region: Option<Region>,
    /// Its time in UTC microseconds, if it has one.
    pub(crate) eventtime: Option<i64>,
}

/// Which event the record is that `line` is; none if it is no record, or one without
/// an eventID.
pub(crate) fn identify(line: &[u8], source: &RowSource<'_>) -> Option<Identified> {
    let mut scan = Scan::default();
    let record = Record::read(line, &mut scan).ok()?;
    let event_id = match claim(record.value(MemberOf::EVENT_ID)) {
        Claim::Text(id) if !id.is_empty() => id.into_owned(),
        _ => return None,
    };
    let claims = record.claims();
    let region = match &claims.region {
        Claim::Text(text) => text.parse().ok(),
        Claim::Absent | Claim::Other => None,
    };
    let (account, eventtime) = (account_of(&claims, source), claims.eventtime);
    Some(Identified { account, event_id, region, eventtime })
}

/// The whole line as one object.
fn walk(line: &[u8], scan: &mut Scan) -> Result<Object, SyntaxError> {
    if let Err(error) = std::str::from_utf8(line) {
        return Err(SyntaxError { at: error.valid_up_to(), what: Fault::Utf8 });
    }
    scan.clear();
    let (object, end) = scan.object(line, skip_blank(line, 0), RECORD)?;
    match skip_blank(line, end) {
        rest if rest < line.len() => Err(SyntaxError { at: rest, what: Fault::Byte }),
        _ => Ok(object),
    }
}

fn no_record(reason: Reason, detail: String) -> Rejected {
    Rejected { reason: QuarantineReason::NoRecord(reason), detail }
}

fn unreadable(line: &[u8], error: SyntaxError) -> Rejected {
    let reason = match error.what {
        // JSON, but no object.
        _ if classify(line).is_ok() => Reason::NotAnEvent,
        Fault::Utf8 => Reason::InvalidUtf8,
        Fault::Depth => Reason::TooDeep,
        Fault::End => Reason::Truncated,
        _ => Reason::Syntax,
    };
    no_record(reason, error.to_string())
}

fn claim(raw: Option<&[u8]>) -> Claim<'_> {
    match raw {
        None | Some(b"null") => Claim::Absent,
        Some(raw) => match string_contents(raw).map(unescape) {
            Some(Ok(text)) => Claim::Text(text),
            _ => Claim::Other,
        },
    }
}
