//! Strings out of their escapes, values out of their line breaks.

use std::borrow::Cow;

use super::{Fault, SyntaxError};

/// The text that stands between a string's quotes as `raw`.
///
/// Borrowed when nothing was escaped. Half a surrogate pair is an error of its
/// own kind, since RFC 8259 allows it as syntax but no text can hold it.
pub fn unescape(raw: &[u8]) -> Result<Cow<'_, str>, SyntaxError> {
    let text = std::str::from_utf8(raw)
        .map_err(|error| SyntaxError::new(error.valid_up_to(), Fault::Utf8))?;
    let Some(first) = text.find('\\') else { return Ok(Cow::Borrowed(text)) };
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut next = Some(first);
    while let Some(backslash) = next {
        let (plain, escape) = rest.split_at(backslash);
        out.push_str(plain);
        let at = text.len() - escape.len();
        let (character, length) =
            escaped(escape.as_bytes()).map_err(|what| SyntaxError::new(at, what))?;
        out.push(character);
        rest = escape.get(length..).unwrap_or_default();
        next = rest.find('\\');
    }
    out.push_str(rest);
    Ok(Cow::Owned(out))
}

/// Appends the text that stands between a string's quotes as `raw`, with as few
/// escapes as JSON allows: quotes, backslashes and control characters, and what
/// is half a surrogate pair, in lower case.
pub(super) fn unescape_lossless(raw: &[u8], out: &mut Vec<u8>) -> Result<(), SyntaxError> {
    let mut at = 0;
    while let Some(rest) = raw.get(at..).filter(|rest| !rest.is_empty()) {
        let plain = rest.iter().position(|byte| *byte == b'\\').unwrap_or(rest.len());
        let (plain, escape) = rest.split_at(plain);
        out.extend_from_slice(plain);
        at += plain.len();
        if escape.is_empty() {
            break;
        }
        match escaped(escape) {
            Ok((character @ ('"' | '\\'), length)) => {
                out.push(b'\\');
                out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                at += length;
            }
            Ok((character, length)) if u32::from(character) < 0x20 => {
                out.extend_from_slice(format!("\\u{:04x}", u32::from(character)).as_bytes());
                at += length;
            }
            Ok((character, length)) => {
                out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                at += length;
            }
            Err(Fault::Surrogate) => {
                out.extend_from_slice(&escape.get(..6).unwrap_or(escape).to_ascii_lowercase());
                at += 6;
            }
            Err(what) => return Err(SyntaxError::new(at, what)),
        }
    }
    Ok(())
}

/// The character that the escape at the start of `bytes` means, and the
/// escape's length.
fn escaped(bytes: &[u8]) -> Result<(char, usize), Fault> {
    let simple = match bytes.get(1).ok_or(Fault::End)? {
        b'"' => '"',
        b'\\' => '\\',
        b'/' => '/',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => return unicode(bytes),
        _ => return Err(Fault::Escape),
    };
    Ok((simple, 2))
}

fn unicode(bytes: &[u8]) -> Result<(char, usize), Fault> {
    let high = hex4(bytes.get(2..6).ok_or(Fault::End)?)?;
    if let Some(character) = char::from_u32(high) {
        return Ok((character, 6));
    }
    let low = match (high, bytes.get(6..12)) {
        (0xd800..=0xdbff, Some([b'\\', b'u', digits @ ..])) => hex4(digits)?,
        _ => return Err(Fault::Surrogate),
    };
    if !(0xdc00..=0xdfff).contains(&low) {
        return Err(Fault::Surrogate);
    }
    let code = 0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00);
    Ok((char::from_u32(code).ok_or(Fault::Surrogate)?, 12))
}

fn hex4(digits: &[u8]) -> Result<u32, Fault> {
    digits.iter().try_fold(0, |code, &digit| {
        char::from(digit).to_digit(16).map(|value| code << 4 | value).ok_or(Fault::Escape)
    })
}

/// The bytes between the quotes, if `value` is a string.
#[must_use]
pub fn string_contents(value: &[u8]) -> Option<&[u8]> {
    value.strip_prefix(b"\"")?.strip_suffix(b"\"")
}

/// The raw key `raw` out of its escapes, if it has any that can be undone.
#[inline]
#[must_use]
pub fn plain_key(raw: &[u8]) -> Cow<'_, [u8]> {
    // A loop and not a search: keys are short.
    if !raw.iter().fold(false, |found, &byte| found | (byte == b'\\')) {
        return Cow::Borrowed(raw);
    }
    match unescape(raw) {
        Ok(key) => Cow::Owned(key.into_owned().into_bytes()),
        Err(_) => Cow::Borrowed(raw),
    }
}

/// Whether the raw key `raw` means `name`, also when it is written with escapes.
#[inline]
#[must_use]
pub fn key_is(raw: &[u8], name: &str) -> bool {
    *plain_key(raw) == *name.as_bytes()
}

/// A valid JSON value without the line breaks between its tokens, so that it
/// is one line.
///
/// Inside strings a line break cannot stand raw, so every one found is between
/// tokens. Borrowed when there is none.
#[must_use]
pub fn compact_line_breaks(bytes: &[u8]) -> Cow<'_, [u8]> {
    let is_break = |byte: &u8| *byte == b'\n' || *byte == b'\r';
    // Chunks of a fixed size without an early end, so that the compiler can use
    // wide registers.
    let (chunks, rest) = bytes.as_chunks::<64>();
    let breaks = |chunk: &[u8; 64]| {
        chunk
            .iter()
            .fold(0u8, |found, &byte| found | u8::from(byte == b'\n') | u8::from(byte == b'\r'))
    };
    if !chunks.iter().any(|chunk| breaks(chunk) > 0) && !rest.iter().any(is_break) {
        return Cow::Borrowed(bytes);
    }
    let mut out = Vec::with_capacity(bytes.len());
    for run in bytes.split(is_break) {
        out.extend_from_slice(run);
    }
    Cow::Owned(out)
}
