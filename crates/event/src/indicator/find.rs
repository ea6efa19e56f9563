//! Where indicators are found: in values, in JSON, at both ends of what parts them.
//!
//! Every string of every record is looked at, so a string is walked over once, eight
//! bytes at a time; what has neither the length nor the first byte of an indicator is
//! left at that.

use std::borrow::Cow;

use super::session::{is_session_name, session_of_arn};
use super::{INDICATOR_BYTES_MAX, is_indicator};
use crate::json::unescape;

/// The member of a request that names a session of a role.
const SESSION_MEMBER: &str = "roleSessionName";

/// Calls `found` with every indicator that a line of a value is, begins or ends
/// with, where `/` and `:` are what parts a value: the instance of
/// `arn:aws:ec2:…:instance/i-0abc…`, the role of `AROA…:session`.
pub fn each_indicator<'a>(value: &'a str, found: &mut impl FnMut(&'a str)) {
    each_line(value, &mut Marks::default(), found);
}

/// Calls `found` with every indicator that a string of a JSON text names, keys
/// included, as it is spelt there and as it is meant.
pub fn each_indicator_in_json<'a>(json: &'a str, found: &mut impl FnMut(Cow<'a, str>)) {
    each_string(json, &mut |string| string.each_indicator(found));
}

/// The same, and every name of a role's session: that of an ARN
/// (`…:assumed-role/ROLE/SESSION`), and what a `roleSessionName` is.
pub fn each_name_in_json<'a>(json: &'a str, found: &mut impl FnMut(Cow<'a, str>)) {
    // Where a value has to begin to be that of the key before.
    let mut session_at = None;
    each_string(json, &mut |string| {
        string.each_indicator(&mut |text| {
            match &text {
                Cow::Borrowed(text) => session_of_arn(text).map(Cow::Borrowed),
                Cow::Owned(text) => session_of_arn(text).map(|name| Cow::Owned(name.to_owned())),
            }
            .into_iter()
            .for_each(&mut *found);
            found(text);
        });
        if session_at.take() == Some(string.start)
            && let Some(name) = string.meant()
            && is_session_name(&name)
        {
            found(name);
        }
        if string.spelt.len() == SESSION_MEMBER.len() && string.spelt == SESSION_MEMBER {
            session_at = value_after(json, string.start + string.spelt.len() + 1);
        }
    });
}

/// Where the contents of the string begin that is the value of a key that ends at `at`.
fn value_after(json: &str, at: usize) -> Option<usize> {
    let rest = json.get(at..)?.trim_ascii_start().strip_prefix(':')?;
    let value = rest.trim_ascii_start().strip_prefix('"')?;
    Some(json.len() - value.len())
}

/// What stands between the quotes of a string.
struct JsonString<'a, 'm> {
    /// Where that begins in the JSON text.
    start: usize,
    spelt: &'a str,
    has_escapes: bool,
    marks: &'m Marks,
}

impl<'a> JsonString<'a, '_> {
    #[inline]
    fn each_indicator(&self, found: &mut impl FnMut(Cow<'a, str>)) {
        // A line feed is escaped, so what is spelt is one line.
        self.marks.each_indicator(self.spelt, &mut |text| found(Cow::Borrowed(text)));
        if self.has_escapes
            && let Some(meant) = self.meant()
        {
            each_line(&meant, &mut Marks::default(), &mut |text| {
                found(Cow::Owned(text.to_owned()));
            });
        }
    }

    fn meant(&self) -> Option<Cow<'a, str>> {
        if !self.has_escapes {
            return Some(Cow::Borrowed(self.spelt));
        }
        unescape(self.spelt.as_bytes()).ok()
    }
}

/// What parts a line: the `/` and `:` in it.
#[derive(Default)]
struct Marks {
    /// The first ones, from the line's beginning.
    first: [usize; Self::FIRST],
    count: usize,
}

impl Marks {
    /// Of an ARN there are five to nine.
    const FIRST: usize = 12;

    #[inline]
    fn add(&mut self, at: usize) {
        if let Some(slot) = self.first.get_mut(self.count) {
            *slot = at;
        }
        self.count += 1;
    }

    /// Calls `found` with what a line is, begins or ends with.
    fn each_indicator<'a>(&self, line: &'a str, found: &mut impl FnMut(&'a str)) {
        let mut see = |text: &'a str| {
            if is_indicator(text) {
                found(text);
            }
        };
        see(line);
        let Some(marks) = self.first.get(..self.count) else {
            return each_of_many(line, &mut see);
        };
        let mut has_colon = false;
        for mark in marks {
            if !has_colon && line.as_bytes().get(*mark) == Some(&b':') {
                has_colon = true;
                see(line.get(..*mark).unwrap_or_default());
            }
            see(line.get(*mark + 1..).unwrap_or_default());
        }
    }
}

/// The same of a line with very many marks, such as a token of a thousand letters: its
/// last bytes are enough.
fn each_of_many<'a>(line: &'a str, see: &mut impl FnMut(&'a str)) {
    let bytes = line.as_bytes();
    // A longer text is none, and one byte more parts it.
    let near = bytes.len().saturating_sub(INDICATOR_BYTES_MAX + 1);
    let head = bytes.get(..=INDICATOR_BYTES_MAX).unwrap_or(bytes);
    if let Some(colon) = head.iter().position(|byte| *byte == b':') {
        see(line.get(..colon).unwrap_or_default());
    }
    let mut at = near;
    loop {
        at = next_of(bytes, at, *b"/:/:") + 1;
        if at > bytes.len() {
            return;
        }
        see(line.get(at..).unwrap_or_default());
    }
}

fn each_line<'a>(value: &'a str, marks: &mut Marks, found: &mut impl FnMut(&'a str)) {
    let bytes = value.as_bytes();
    let mut start = 0;
    loop {
        marks.count = 0;
        let mut at = start;
        let end = loop {
            at = next_of(bytes, at, *b"/:\n\n");
            match bytes.get(at) {
                Some(b'/' | b':') => marks.add(at - start),
                _ => break at,
            }
            at += 1;
        };
        marks.each_indicator(value.get(start..end).unwrap_or_default(), found);
        if end >= bytes.len() {
            return;
        }
        start = end + 1;
    }
}

/// Calls `see` with every string of a JSON text.
fn each_string<'a>(json: &'a str, see: &mut impl FnMut(JsonString<'a, '_>)) {
    let bytes = json.as_bytes();
    let mut marks = Marks::default();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        at += 1;
        if *byte != b'"' {
            continue;
        }
        let start = at;
        let mut has_escapes = false;
        marks.count = 0;
        loop {
            at = next_of(bytes, at, *b"\"\\/:");
            match bytes.get(at) {
                Some(b'"') => break,
                Some(b'\\') => {
                    has_escapes = true;
                    // What is escaped ends nothing, but may part what is spelt.
                    at += usize::from(matches!(bytes.get(at + 1), Some(b'"' | b'\\')));
                }
                Some(_) => marks.add(at - start),
                None => return,
            }
            at += 1;
        }
        let spelt = json.get(start..at).unwrap_or_default();
        see(JsonString { start, spelt, has_escapes, marks: &marks });
        at += 1;
    }
}

/// The first of these bytes at or after `at`, or the end; eight bytes are looked at
/// together.
#[inline]
fn next_of(bytes: &[u8], mut at: usize, wanted: [u8; 4]) -> usize {
    while let Some(chunk) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let marks = marks(u64::from_le_bytes(*chunk), wanted);
        if marks != 0 {
            return at + (marks.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    // The last bytes, once more with those before them, which then are shifted out.
    if let Some(before) = bytes.len().checked_sub(8)
        && let Some(chunk) = bytes.last_chunk::<8>()
        && at < bytes.len()
    {
        let marks = marks(u64::from_le_bytes(*chunk) >> (8 * (at - before)), wanted);
        return if marks == 0 { bytes.len() } else { at + (marks.trailing_zeros() / 8) as usize };
    }
    let rest = bytes.get(at..).unwrap_or_default();
    at + rest.iter().position(|byte| wanted.contains(byte)).unwrap_or(rest.len())
}

/// The high bit of each byte that is one of these, up to the first one: above a true
/// mark, a borrow may have set others.
#[inline]
fn marks(word: u64, wanted: [u8; 4]) -> u64 {
    const LOW: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let marks = wanted.iter().fold(0, |marks, byte| {
        let other = word ^ (LOW * u64::from(*byte));
        marks | (other.wrapping_sub(LOW) & !other)
    });
    marks & HIGH
}

#[cfg(test)]
mod tests;
