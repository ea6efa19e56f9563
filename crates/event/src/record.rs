//! What is a record.
//!
//! A record is a JSON object with a string `eventVersion`, or with strings
//! `eventName` and `eventSource`. Of a repeated member the last one counts, as
//! for most readers. An object that has a member `orgtrail_set_aside` is no
//! record, whatever else it has: it would be taken for our own mark.

use crate::json::{Fault, Member, Members, SyntaxError, plain_key, skip_blank, value_end};

/// The longest record that travels as one, in bytes of its one line.
pub const RECORD_LIMIT_BYTES: usize = 1 << 20;

/// The member that marks a line as set aside.
pub const SET_ASIDE_MEMBER: &str = "orgtrail_set_aside";

/// What a JSON value is to orgtrail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An audit record.
    Record,
    /// An object that has the member `orgtrail_set_aside`.
    SetAsideMark,
    /// Another object, or no object at all.
    OtherObject,
}

/// Says what the one JSON value in `bytes` is; blanks may surround it.
pub fn classify(bytes: &[u8]) -> Result<Kind, SyntaxError> {
    let end = value_end(bytes, 0)?;
    let rest = skip_blank(bytes, end);
    if rest < bytes.len() {
        return Err(SyntaxError::new(rest, Fault::Byte));
    }
    match Members::starting(bytes, 0) {
        Ok(members) => kind_of(members),
        Err(_) => Ok(Kind::OtherObject),
    }
}

/// Says what an object is by its members, walking to its end.
pub fn kind_of<'a>(
    members: impl IntoIterator<Item = Result<Member<'a>, SyntaxError>>,
) -> Result<Kind, SyntaxError> {
    let mut signs = Signs::default();
    for member in members {
        let member = member?;
        signs.see(member.key, member.value);
    }
    Ok(signs.kind())
}

/// The members seen so far that decide what an object is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Signs {
    version: bool,
    name: bool,
    source: bool,
    mark: bool,
}

impl Signs {
    /// Takes note of one member: its key between the quotes, its raw value.
    pub fn see(&mut self, key: &[u8], value: &[u8]) {
        self.see_plain(&plain_key(key), value);
    }

    /// Like [`Signs::see`] for a key that was taken out of its escapes.
    #[inline]
    pub fn see_plain(&mut self, key: &[u8], value: &[u8]) {
        let is_string = value.first() == Some(&b'"');
        match key {
            b"eventVersion" => self.version = is_string,
            b"eventName" => self.name = is_string,
            b"eventSource" => self.source = is_string,
            _ if key == SET_ASIDE_MEMBER.as_bytes() => self.mark = true,
            _ => {}
        }
    }

    /// What an object with the members seen is.
    #[must_use]
    pub fn kind(self) -> Kind {
        if self.mark {
            Kind::SetAsideMark
        } else if self.version || (self.name && self.source) {
            Kind::Record
        } else {
            Kind::OtherObject
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_told_by_its_own_members() {
        let check = |text: &str, kind: Kind| {
            assert_eq!(classify(text.as_bytes()), Ok(kind), "{text}");
        };
        check(r#"{"eventVersion":"1.08"}"#, Kind::Record);
        check(r#" {"event\u0056ersion" : "1.08"} "#, Kind::Record);
        check(r#"{"eventName":"a","eventSource":"b"}"#, Kind::Record);
        check(r#"{"eventName":"a","eventSource":null}"#, Kind::OtherObject);
        check(r#"{"eventVersion":1.08}"#, Kind::OtherObject);
        check(r#"{"eventVersion":"1","eventVersion":1}"#, Kind::OtherObject);
        check(r#"{"detail":{"eventVersion":"1"}}"#, Kind::OtherObject);
        check(r#"{"eventVersion":"1","orgtrail_set_aside":null}"#, Kind::SetAsideMark);
        check(r#"{"eventVersion":"1","\u006frgtrail_set_aside":0}"#, Kind::SetAsideMark);
        check(r#"{"eventVersion":"1","orgtrail_set\u005faside":0}"#, Kind::SetAsideMark);
        check("{}", Kind::OtherObject);
        check("[1]", Kind::OtherObject);
        check("\"x\"", Kind::OtherObject);
        assert!(classify(b"{} {}").is_err());
        assert!(classify(b"{\"a\":\"\xff\"}").is_err());
        assert!(classify(b"").is_err());
    }
}
