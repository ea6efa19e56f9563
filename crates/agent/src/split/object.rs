//! What one object in a source is: a record, something around a record, or
//! something else.

use std::borrow::Cow;
use std::ops::Range;

use event::AccountId;
use event::json::{
    Members, SyntaxError, compact_line_breaks, extent, plain_key, skip_blank, string_contents,
    unescape,
};
use event::record::{Kind, Signs, classify, kind_of};

/// What an object is to the splitter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// A record.
    Record,
    /// An EventBridge envelope: the record is the member `detail`, here.
    Envelope(Range<usize>),
    /// An item of LookupEvents: the record is the text of the string here.
    Lookup(Range<usize>),
    /// An object that holds records in an array `Records` or `Events`.
    Container,
    /// It, or what it carries, has the member that marks what is set aside.
    Mark,
    /// Anything else.
    Other,
}

/// One object that stands whole in the window.
#[derive(Clone, Debug)]
pub(super) struct Inspected {
    pub(super) shape: Shape,
    /// The position after it.
    pub(super) end: usize,
    /// Its own `recipientAccountId`, if that is an account id.
    pub(super) recipient: Option<AccountId>,
}

/// Walks once over the object that `bytes` begin with.
#[inline]
pub(super) fn inspect(bytes: &[u8]) -> Result<Inspected, SyntaxError> {
    let mut members = Members::starting(bytes, 0)?;
    let mut signs = Signs::default();
    let mut recipient = None;
    let mut around = None;
    for member in members.by_ref() {
        let member = member?;
        let key = plain_key(member.key);
        signs.see_plain(&key, member.value);
        match key.as_ref() {
            b"recipientAccountId" => {
                recipient = string_contents(member.value).and_then(AccountId::from_bytes);
            }
            b"detail" | b"CloudTrailEvent" | b"Records" | b"Events" => {
                around = carrier(&key, member.value, member.value_at).or(around);
            }
            _ => {}
        }
    }
    let shape = match (signs.kind(), around) {
        (Kind::Record, _) => Shape::Record,
        (Kind::SetAsideMark, _) => Shape::Mark,
        (Kind::OtherObject, around) => around.unwrap_or(Shape::Other),
    };
    Ok(Inspected { shape, end: members.position(), recipient })
}

/// What an object that is no record is by one of its members.
fn carrier(key: &[u8], value: &[u8], value_at: usize) -> Option<Shape> {
    let range = value_at..value_at + value.len();
    match value.first()? {
        b'{' if key == b"detail" => match kind_of(Members::starting(value, 0).ok()?) {
            Ok(Kind::Record) => Some(Shape::Envelope(range)),
            Ok(Kind::SetAsideMark) => Some(Shape::Mark),
            _ => None,
        },
        b'"' if key == b"CloudTrailEvent" => Some(Shape::Lookup(range)),
        b'[' if holds_records(key, value) => Some(Shape::Container),
        _ => None,
    }
}

/// Whether a member with this key, whose value begins so, holds records: the
/// array `Records`, or an array `Events` of objects.
fn holds_records(key: &[u8], value: &[u8]) -> bool {
    if key == b"Records" {
        return true;
    }
    key == b"Events" && matches!(value.get(skip_blank(value, 1)), Some(b'{' | b']'))
}

/// What the first bytes of an object say about it being a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opening {
    /// It is one, and its array's elements begin so many bytes later.
    Elements(usize),
    /// It is none by its first member.
    Otherwise,
    /// Too few bytes to tell.
    Unknown,
}

/// Looks at the first member of the object that `bytes` begin with.
pub(super) fn opening(bytes: &[u8]) -> Opening {
    member_opening(bytes, 1)
}

/// Looks at the member whose key begins at or after `at`.
pub(super) fn member_opening(bytes: &[u8], at: usize) -> Opening {
    let key_at = skip_blank(bytes, at);
    let Some(rest) = bytes.get(key_at..) else { return Opening::Unknown };
    let longest = b"\"Records\"".len();
    let key =
        [b"\"Records\"".as_slice(), b"\"Events\""].into_iter().find(|key| rest.starts_with(key));
    let Some(key) = key else {
        let short = rest.len() < longest && b"\"Records\"".starts_with(rest)
            || rest.len() < longest && b"\"Events\"".starts_with(rest);
        return if short { Opening::Unknown } else { Opening::Otherwise };
    };
    let colon = skip_blank(bytes, key_at + key.len());
    match bytes.get(colon) {
        Some(b':') => {}
        Some(_) => return Opening::Otherwise,
        None => return Opening::Unknown,
    }
    let array = skip_blank(bytes, colon + 1);
    let first = skip_blank(bytes, array + 1);
    match (bytes.get(array), bytes.get(first)) {
        (Some(b'['), _) if key == b"\"Records\"" => Opening::Elements(array + 1),
        (Some(b'['), Some(b'{' | b']')) => Opening::Elements(array + 1),
        (None, _) | (Some(b'['), None) => Opening::Unknown,
        _ => Opening::Otherwise,
    }
}

/// Whether an object that does not stand whole in the window holds records in
/// a later member that has begun there.
pub(super) fn opens_later(bytes: &[u8]) -> bool {
    let mut at = skip_blank(bytes, 1);
    loop {
        if matches!(member_opening(bytes, at), Opening::Elements(_)) {
            return true;
        }
        let Ok(colon) = extent(bytes, at) else { return false };
        let Ok(value_end) = extent(bytes, skip_blank(bytes, colon) + 1) else { return false };
        let comma = skip_blank(bytes, value_end);
        if bytes.get(comma) != Some(&b',') {
            return false;
        }
        at = skip_blank(bytes, comma + 1);
    }
}

/// The record that stands in `object` by its shape, as one line, and the
/// account it says it is for; an error says why there is none.
pub(super) fn record_of<'a>(
    object: &'a [u8],
    inspected: &Inspected,
) -> Result<(Cow<'a, [u8]>, Option<AccountId>), Kind> {
    match &inspected.shape {
        Shape::Record => Ok((compact_line_breaks(object), inspected.recipient)),
        Shape::Envelope(range) => {
            let detail = object.get(range.clone()).unwrap_or_default();
            let recipient = inspect(detail).ok().and_then(|detail| detail.recipient);
            Ok((compact_line_breaks(detail), recipient))
        }
        Shape::Lookup(range) => {
            let raw = object.get(range.clone()).and_then(string_contents).unwrap_or_default();
            let text = unescape(raw).map_err(|_| Kind::OtherObject)?;
            let text = text.trim_matches([' ', '\t', '\r', '\n']);
            match classify(text.as_bytes()) {
                Ok(Kind::Record) => {
                    let recipient = inspect(text.as_bytes()).ok().and_then(|found| found.recipient);
                    let line = compact_line_breaks(text.as_bytes()).into_owned();
                    Ok((Cow::Owned(line), recipient))
                }
                Ok(kind) => Err(kind),
                Err(_) => Err(Kind::OtherObject),
            }
        }
        Shape::Mark => Err(Kind::SetAsideMark),
        Shape::Container | Shape::Other => Err(Kind::OtherObject),
    }
}
