//! Walks over one value and says where it ends.

use super::{DEPTH_MAX, Fault, SyntaxError};

const LOW: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// The end of the value that begins at or after `at` (blanks before it are
/// skipped), checked whole: syntax, depth and UTF-8.
pub fn value_end(bytes: &[u8], at: usize) -> Result<usize, SyntaxError> {
    let start = skip_blank(bytes, at);
    let end = extent(bytes, start)?;
    check_utf8(bytes, start, end)?;
    Ok(end)
}

/// Like [`value_end`] without the check for UTF-8, for callers that check a
/// larger piece at once or want the extent of a value whose text is broken.
pub fn extent(bytes: &[u8], at: usize) -> Result<usize, SyntaxError> {
    let start = skip_blank(bytes, at);
    match bytes.get(start) {
        Some(b'{' | b'[') => nested_end(bytes, start),
        _ => plain_end(bytes, start),
    }
}

/// The first position at or after `at` that holds no JSON white space.
#[inline]
#[must_use]
pub fn skip_blank(bytes: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\n' | b'\r' | b'\t') = bytes.get(at) {
        at += 1;
    }
    at
}

/// Checks that `bytes[start..end]` is UTF-8.
pub(super) fn check_utf8(bytes: &[u8], start: usize, end: usize) -> Result<(), SyntaxError> {
    let piece = bytes.get(start..end).unwrap_or_default();
    std::str::from_utf8(piece)
        .map(|_| ())
        .map_err(|error| SyntaxError::new(start + error.valid_up_to(), Fault::Utf8))
}

/// Which containers are open around the innermost one: a bit each, set for an
/// object.
struct Nesting {
    bits: [u64; DEPTH_MAX / 64],
    depth: usize,
}

impl Nesting {
    #[inline]
    fn push(&mut self, is_object: bool) -> bool {
        let Some(word) = self.bits.get_mut(self.depth / 64) else { return false };
        let bit = 1 << (self.depth % 64);
        *word = if is_object { *word | bit } else { *word & !bit };
        self.depth += 1;
        true
    }

    /// Drops the innermost container; whether the one around it is an object.
    #[inline]
    fn pop(&mut self) -> Option<bool> {
        self.depth -= 1;
        let outer = self.depth.checked_sub(1)?;
        self.bits.get(outer / 64).map(|word| word >> (outer % 64) & 1 == 1)
    }
}

/// The end of the object or array that begins exactly at `at`.
fn nested_end(bytes: &[u8], mut at: usize) -> Result<usize, SyntaxError> {
    let mut nesting = Nesting { bits: [0; DEPTH_MAX / 64], depth: 0 };
    let mut in_object = false;
    loop {
        at = skip_blank(bytes, at);
        match bytes.get(at) {
            Some(b'"') => at = string_end(bytes, at + 1)?,
            Some(&open @ (b'{' | b'[')) => {
                in_object = open == b'{';
                if !nesting.push(in_object) {
                    return Err(SyntaxError::new(at, Fault::Depth));
                }
                at = skip_blank(bytes, at + 1);
                match (bytes.get(at), in_object) {
                    // The loop below sees the end of an empty container.
                    (Some(b'}'), true) | (Some(b']'), false) => {}
                    (_, true) => {
                        at = key_end(bytes, at)?;
                        continue;
                    }
                    (_, false) => continue,
                }
            }
            _ => at = plain_end(bytes, at)?,
        }
        loop {
            at = skip_blank(bytes, at);
            match bytes.get(at) {
                Some(b',') if in_object => {
                    at = key_end(bytes, skip_blank(bytes, at + 1))?;
                    break;
                }
                Some(b',') => {
                    at += 1;
                    break;
                }
                Some(b'}') if in_object => {}
                Some(b']') if !in_object => {}
                Some(_) => return Err(SyntaxError::new(at, Fault::Byte)),
                None => return Err(SyntaxError::new(at, Fault::End)),
            }
            at += 1;
            match nesting.pop() {
                Some(outer) => in_object = outer,
                None => return Ok(at),
            }
        }
    }
}

/// The position after the key at `at` and its colon.
#[inline]
pub(super) fn key_end(bytes: &[u8], at: usize) -> Result<usize, SyntaxError> {
    expect(bytes, at, b'"')?;
    let colon = skip_blank(bytes, string_end(bytes, at + 1)?);
    expect(bytes, colon, b':')?;
    Ok(colon + 1)
}

#[inline]
pub(super) fn expect(bytes: &[u8], at: usize, wanted: u8) -> Result<(), SyntaxError> {
    match bytes.get(at) {
        Some(&byte) if byte == wanted => Ok(()),
        Some(_) => Err(SyntaxError::new(at, Fault::Byte)),
        None => Err(SyntaxError::new(at, Fault::End)),
    }
}

/// The end of the string, number or literal that begins exactly at `at`.
#[inline]
fn plain_end(bytes: &[u8], at: usize) -> Result<usize, SyntaxError> {
    match bytes.get(at) {
        Some(b'"') => string_end(bytes, at + 1),
        Some(b'-' | b'0'..=b'9') => number_end(bytes, at),
        Some(b't') => literal_end(bytes, at, b"true"),
        Some(b'f') => literal_end(bytes, at, b"false"),
        Some(b'n') => literal_end(bytes, at, b"null"),
        Some(_) => Err(SyntaxError::new(at, Fault::Byte)),
        None => Err(SyntaxError::new(at, Fault::End)),
    }
}

fn literal_end(bytes: &[u8], at: usize, literal: &[u8]) -> Result<usize, SyntaxError> {
    for (index, &wanted) in literal.iter().enumerate() {
        expect(bytes, at + index, wanted)?;
    }
    Ok(at + literal.len())
}

fn number_end(bytes: &[u8], mut at: usize) -> Result<usize, SyntaxError> {
    if bytes.get(at) == Some(&b'-') {
        at += 1;
    }
    at = if bytes.get(at) == Some(&b'0') { at + 1 } else { digits_end(bytes, at)? };
    if bytes.get(at) == Some(&b'.') {
        at = digits_end(bytes, at + 1)?;
    }
    if let Some(b'e' | b'E') = bytes.get(at) {
        at += 1;
        if let Some(b'+' | b'-') = bytes.get(at) {
            at += 1;
        }
        at = digits_end(bytes, at)?;
    }
    Ok(at)
}

/// The end of the digits at `at`, of which there must be one.
fn digits_end(bytes: &[u8], mut at: usize) -> Result<usize, SyntaxError> {
    match bytes.get(at) {
        Some(b'0'..=b'9') => {}
        Some(_) => return Err(SyntaxError::new(at, Fault::Byte)),
        None => return Err(SyntaxError::new(at, Fault::End)),
    }
    while let Some(b'0'..=b'9') = bytes.get(at) {
        at += 1;
    }
    Ok(at)
}

/// The position after the closing quote of the string whose contents begin at
/// `at`.
///
/// # Errors
/// What ends the string otherwise: a control character, half an escape, the end.
#[inline]
pub fn string_end(bytes: &[u8], mut at: usize) -> Result<usize, SyntaxError> {
    loop {
        at = plain_run_end(bytes, at);
        match bytes.get(at) {
            Some(b'"') => return Ok(at + 1),
            Some(b'\\') => at = escape_end(bytes, at)?,
            Some(byte) if *byte < 0x20 => return Err(SyntaxError::new(at, Fault::Control)),
            Some(_) => at += 1,
            None => return Err(SyntaxError::new(at, Fault::End)),
        }
    }
}

/// The first position at or after `at` that holds a quote, a backslash or a
/// control character, or where fewer than eight bytes are left.
#[inline]
fn plain_run_end(bytes: &[u8], mut at: usize) -> usize {
    while let Some(chunk) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let word = u64::from_le_bytes(*chunk);
        let quote = word ^ (LOW * 0x22);
        let backslash = word ^ (LOW * 0x5c);
        // A borrow only ever marks bytes above a true one, so the lowest mark is true.
        let marks = (quote.wrapping_sub(LOW) & !quote)
            | (backslash.wrapping_sub(LOW) & !backslash)
            | (word.wrapping_sub(LOW * 0x20) & !word);
        let marks = marks & HIGH;
        if marks != 0 {
            return at + (marks.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    at
}

/// The position after the escape whose backslash is at `at`.
fn escape_end(bytes: &[u8], at: usize) -> Result<usize, SyntaxError> {
    match bytes.get(at + 1) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(at + 2),
        Some(b'u') => {
            for digit in at + 2..at + 6 {
                match bytes.get(digit) {
                    Some(byte) if byte.is_ascii_hexdigit() => {}
                    Some(_) => return Err(SyntaxError::new(digit, Fault::Escape)),
                    None => return Err(SyntaxError::new(digit, Fault::End)),
                }
            }
            Ok(at + 6)
        }
        Some(_) => Err(SyntaxError::new(at + 1, Fault::Escape)),
        None => Err(SyntaxError::new(at + 1, Fault::End)),
    }
}
