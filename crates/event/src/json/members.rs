//! Walks over the members of an object or the elements of an array.
//!
//! Each step validates exactly the bytes it passes, so one walk to the end is
//! one validation of the whole; the iterator ends at its first error.

use super::scan::{check_utf8, expect, extent, skip_blank, string_end};
use super::{Fault, SyntaxError};

/// One member of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member<'a> {
    /// The key as it stands between its quotes, escapes included.
    pub key: &'a [u8],
    /// The value's bytes, without blanks around them.
    pub value: &'a [u8],
    /// Where the value begins, counted from the start of what was given.
    pub value_at: usize,
}

/// The members of the object that `bytes` begin with (after white space).
///
/// The bytes are checked for UTF-8 first, all of them.
pub fn members(bytes: &[u8]) -> Result<Members<'_>, SyntaxError> {
    check_utf8(bytes, 0, bytes.len())?;
    Members::starting(bytes, 0)
}

/// The elements of the array that `bytes` begin with (after white space).
///
/// The bytes are checked for UTF-8 first, all of them.
pub fn elements(bytes: &[u8]) -> Result<Elements<'_>, SyntaxError> {
    check_utf8(bytes, 0, bytes.len())?;
    let at = skip_blank(bytes, 0);
    expect(bytes, at, b'[')?;
    Ok(Elements(Walk { bytes, at: at + 1, step: Step::First }))
}

/// What a walk expects next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// A first item, or the end.
    First,
    /// A comma and an item, or the end.
    Next,
    /// Nothing: the closing bracket was passed, or an error was told.
    Done,
}

#[derive(Clone, Debug)]
struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
    step: Step,
}

impl Walk<'_> {
    /// Moves to the next item; false at the closing bracket, which is passed.
    #[inline]
    fn item(&mut self, close: u8) -> Result<bool, SyntaxError> {
        let at = skip_blank(self.bytes, self.at);
        let byte = self.bytes.get(at).copied();
        match (byte, self.step) {
            (_, Step::Done) => return Ok(false),
            (Some(byte), _) if byte == close => {
                self.at = at + 1;
                self.step = Step::Done;
                return Ok(false);
            }
            (Some(b','), Step::Next) => self.at = skip_blank(self.bytes, at + 1),
            (Some(_), Step::First) => self.at = at,
            (Some(_), Step::Next) => return Err(SyntaxError::new(at, Fault::Byte)),
            (None, _) => return Err(SyntaxError::new(at, Fault::End)),
        }
        self.step = Step::Next;
        Ok(true)
    }

    /// Passes the value at or after the current position.
    #[inline]
    fn value(&mut self) -> Result<(usize, usize), SyntaxError> {
        let start = skip_blank(self.bytes, self.at);
        self.at = extent(self.bytes, start)?;
        Ok((start, self.at))
    }
}

/// An iterator over an object's members, in their order, repeated keys and all.
#[derive(Clone, Debug)]
pub struct Members<'a>(Walk<'a>);

impl<'a> Members<'a> {
    /// The members of the object that begins at or after `at`, without the
    /// check for UTF-8.
    pub fn starting(bytes: &'a [u8], at: usize) -> Result<Self, SyntaxError> {
        let at = skip_blank(bytes, at);
        expect(bytes, at, b'{')?;
        Ok(Self(Walk { bytes, at: at + 1, step: Step::First }))
    }

    /// The position after what was walked so far: after the closing brace once
    /// the iterator has ended without an error.
    #[must_use]
    pub fn position(&self) -> usize {
        self.0.at
    }

    #[inline]
    fn step(&mut self) -> Result<Option<Member<'a>>, SyntaxError> {
        let walk = &mut self.0;
        if !walk.item(b'}')? {
            return Ok(None);
        }
        expect(walk.bytes, walk.at, b'"')?;
        let key_start = walk.at + 1;
        let key_end = string_end(walk.bytes, key_start)?;
        let colon = skip_blank(walk.bytes, key_end);
        expect(walk.bytes, colon, b':')?;
        walk.at = colon + 1;
        let (value_at, value_end) = walk.value()?;
        let key = walk.bytes.get(key_start..key_end - 1).unwrap_or_default();
        let value = walk.bytes.get(value_at..value_end).unwrap_or_default();
        Ok(Some(Member { key, value, value_at }))
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = Result<Member<'a>, SyntaxError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let step = self.step();
        if step.is_err() {
            self.0.step = Step::Done;
        }
        step.transpose()
    }
}

/// An iterator over an array's elements.
#[derive(Clone, Debug)]
pub struct Elements<'a>(Walk<'a>);

impl<'a> Iterator for Elements<'a> {
    type Item = Result<&'a [u8], SyntaxError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let walk = &mut self.0;
        let element = match walk.item(b']') {
            Ok(true) => walk.value(),
            Ok(false) => return None,
            Err(error) => Err(error),
        };
        if element.is_err() {
            walk.step = Step::Done;
        }
        Some(element.map(|(start, end)| walk.bytes.get(start..end).unwrap_or_default()))
    }
}
