//! One text for all spellings of a value that are equal as JSON.
//!
//! The order of an object's members, white space and the escapes in strings do
//! not matter; the digits of a number do (`1.0` is not `1`). Members of one name
//! stay in their order. Half a surrogate pair stays an escape, in lower case.

use std::borrow::Cow;
use std::ops::Range;

use super::text::{plain_key, unescape_lossless};
use super::{Fault, SyntaxError, extent, skip_blank, string_contents, value_end};

/// Appends the canonical text of the one value that `bytes` are.
///
/// # Errors
/// `bytes` are not one value; what was appended is of no use then.
pub fn canonical(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), SyntaxError> {
    let start = skip_blank(bytes, 0);
    let end = value_end(bytes, start)?;
    let rest = skip_blank(bytes, end);
    if rest < bytes.len() {
        return Err(SyntaxError::new(rest, Fault::Byte));
    }
    // The scanner has bounded the depth, and so the recursion.
    write(bytes, start, out)?;
    Ok(())
}

/// Appends the value at `at`; the position after it.
fn write(bytes: &[u8], at: usize, out: &mut Vec<u8>) -> Result<usize, SyntaxError> {
    match bytes.get(at) {
        Some(b'{') => write_object(bytes, at, out),
        Some(b'[') => {
            out.push(b'[');
            let mut at = skip_blank(bytes, at + 1);
            while bytes.get(at) != Some(&b']') {
                if bytes.get(at) == Some(&b',') {
                    out.push(b',');
                    at = skip_blank(bytes, at + 1);
                }
                at = skip_blank(bytes, write(bytes, at, out)?);
            }
            out.push(b']');
            Ok(at + 1)
        }
        _ => {
            let end = extent(bytes, at)?;
            let value = bytes.get(at..end).unwrap_or_default();
            match string_contents(value) {
                Some(contents) => write_string(contents, out)?,
                None => out.extend_from_slice(value),
            }
            Ok(end)
        }
    }
}

fn write_object(bytes: &[u8], at: usize, out: &mut Vec<u8>) -> Result<usize, SyntaxError> {
    out.push(b'{');
    let base = out.len();
    let mut members: Vec<(Cow<'_, [u8]>, Range<usize>)> = Vec::new();
    let mut at = skip_blank(bytes, at + 1);
    while bytes.get(at) != Some(&b'}') {
        if bytes.get(at) == Some(&b',') {
            at = skip_blank(bytes, at + 1);
        }
        let key_end = extent(bytes, at)?;
        let key = bytes.get(at..key_end).and_then(string_contents).unwrap_or_default();
        let start = out.len() - base;
        write_string(key, out)?;
        out.push(b':');
        let colon = skip_blank(bytes, key_end);
        at = skip_blank(bytes, write(bytes, skip_blank(bytes, colon + 1), out)?);
        members.push((plain_key(key), start..out.len() - base));
    }
    // A stable sort: members of one name stay in their order.
    members.sort_by(|one, other| one.0.cmp(&other.0));
    let written = out.split_off(base);
    for (index, (_, range)) in members.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(written.get(range).unwrap_or_default());
    }
    out.push(b'}');
    Ok(at + 1)
}

fn write_string(contents: &[u8], out: &mut Vec<u8>) -> Result<(), SyntaxError> {
    out.push(b'"');
    if contents.contains(&b'\\') {
        unescape_lossless(contents, out)?;
    } else {
        out.extend_from_slice(contents);
    }
    out.push(b'"');
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: &str) -> String {
        let mut out = Vec::new();
        canonical(value.as_bytes(), &mut out).expect("json");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn equal_values_have_one_text_and_others_have_another() {
        for (one, other, equal) in [
            (r#"{"a":1,"b":[true,null]}"#, " {\"b\" : [ true,null ] ,\n\"a\":1}", true),
            (r#"{"a":{"x":1,"y":2}}"#, r#"{"a":{"y":2,"x":1}}"#, true),
            (r#""a\/\u0041\n""#, r#""a/A\u000a""#, true),
            (r#""\u00e9\ud83d\ude00""#, "\"é😀\"", true),
            (r#""\ud800x""#, r#""\uD800x""#, true),
            (r#"{"\u0061":1}"#, r#"{"a":1}"#, true),
            (r#"{"a":1,"a":2}"#, r#"{"a":2,"a":1}"#, false),
            ("1", "1.0", false),
            ("[1,2]", "[2,1]", false),
            (r#""\\ud800""#, r#""\ud800""#, false),
            (r#""a\"b""#, r#""a\\\"b""#, false),
            (r#"{"a":null}"#, "{}", false),
            ("\"1\"", "1", false),
        ] {
            assert_eq!(text(one) == text(other), equal, "{one} {other}");
        }
    }

    #[test]
    fn what_is_not_one_value_has_no_text() {
        for bytes in ["", "{", "1 2", "{\"a\":}", "[1,]"] {
            assert!(canonical(bytes.as_bytes(), &mut Vec::new()).is_err(), "{bytes}");
        }
    }
}
