//! Where indicators are found: in values, in JSON, at both ends of what parts them.

use std::borrow::Cow;

use super::is_indicator;
use crate::json::{string_end, unescape};

/// Calls `found` with every indicator that a line of a value is, begins or ends
/// with, where `/` and `:` are what parts a value: the instance of
/// `arn:aws:ec2:…:instance/i-0abc…`, the role of `AROA…:session`.
pub fn each_indicator<'a>(value: &'a str, found: &mut impl FnMut(&'a str)) {
    for line in value.split('\n') {
        each_in_line(line, found);
    }
}

/// Calls `found` with every indicator that a string of a JSON text names, keys
/// included, as it is spelt there and as it is meant.
pub fn each_indicator_in_json<'a>(json: &'a str, found: &mut impl FnMut(&str)) {
    each_string(json, &mut |spelt: &'a str| {
        // A line feed is escaped, so what is spelt is one line.
        each_in_line(spelt, found);
        if let Some(meant) = meant(spelt) {
            each_indicator(&meant, &mut |text| found(text));
        }
    });
}

/// What a string that was spelt with escapes means.
fn meant(spelt: &str) -> Option<String> {
    let escaped = spelt.contains('\\');
    escaped.then(|| unescape(spelt.as_bytes()).ok().map(Cow::into_owned)).flatten()
}

fn each_in_line<'a>(line: &'a str, found: &mut impl FnMut(&'a str)) {
    let mut see = |text: &'a str| {
        if is_indicator(text) {
            found(text);
        }
    };
    see(line);
    let mut before_colon = None;
    let mut after = 0;
    while let Some(at) = separator(line.as_bytes(), after) {
        if line.as_bytes().get(at) == Some(&b':') && before_colon.is_none() {
            before_colon = line.get(..at);
        }
        after = at + 1;
        see(line.get(after..).unwrap_or_default());
    }
    if let Some(before) = before_colon {
        see(before);
    }
}

/// Calls `see` with what stands between the quotes of every string of a JSON text.
fn each_string<'a>(json: &'a str, see: &mut impl FnMut(&'a str)) {
    let bytes = json.as_bytes();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        at += 1;
        if *byte == b'"' {
            let Ok(end) = string_end(bytes, at) else { return };
            see(json.get(at..end - 1).unwrap_or_default());
            at = end;
        }
    }
}

/// The first `/` or `:` at or after `at`; eight bytes are looked at together.
fn separator(bytes: &[u8], mut at: usize) -> Option<usize> {
    const LOW: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    while let Some(chunk) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let word = u64::from_le_bytes(*chunk);
        let (slash, colon) = (word ^ (LOW * 0x2f), word ^ (LOW * 0x3a));
        let marks = (slash.wrapping_sub(LOW) & !slash) | (colon.wrapping_sub(LOW) & !colon);
        // A borrow only ever marks bytes above a true one, so the lowest mark is true.
        if marks & HIGH != 0 {
            return Some(at + ((marks & HIGH).trailing_zeros() / 8) as usize);
        }
        at += 8;
    }
    let rest = bytes.get(at..)?;
    rest.iter().position(|byte| matches!(byte, b'/' | b':')).map(|found| at + found)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn found(value: &str) -> Vec<&str> {
        let mut all = Vec::new();
        each_indicator(value, &mut |text| all.push(text));
        all
    }

    #[test]
    fn a_value_names_what_it_is_and_what_it_begins_and_ends_with() {
        let arn = "arn:aws:ec2:eu-west-1:123456789012:instance/i-0123456789abcdef0";
        assert_eq!(found(arn), [arn, "i-0123456789abcdef0"]);
        assert_eq!(
            found("AROACKCEVSQ6C2EXAMPLE:i-1234abcd"),
            ["i-1234abcd", "AROACKCEVSQ6C2EXAMPLE"]
        );
        assert_eq!(found("arn:aws:iam::123456789012:root").len(), 1);
    }

    #[test]
    fn strings_of_json_are_seen_however_they_are_spelt() {
        let json = r#"{"a":{"k":"AKIAIOSFODNN7EXAMPLE"},"b":["x","path\/i-1234abcd"],"123456789012":1,
            "c":"\u0041KIAIOSFODNN7EXAMPLF","d":"say \"i-1234abce\"","e":123456789013}"#;
        let mut all = BTreeSet::new();
        each_indicator_in_json(json, &mut |text| {
            all.insert(text.to_owned());
        });
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        let expected =
            ["123456789012", "AKIAIOSFODNN7EXAMPLE", "AKIAIOSFODNN7EXAMPLF", "i-1234abcd"];
        assert_eq!(all, expected);
    }

    #[test]
    fn text_that_is_no_json_ends_the_search() {
        each_indicator_in_json("\"unfinished i-1234abcd", &mut |_| panic!("nothing ends here"));
        each_indicator_in_json("\"\\", &mut |_| panic!("nothing ends here"));
    }

    #[test]
    fn a_separator_is_found_wherever_it_stands() {
        let text = b"0123456789abcdefghij";
        for at in 0..text.len() {
            for mark in *b"/:" {
                let mut text = *text;
                text[at] = mark;
                for from in 0..=text.len() {
                    assert_eq!(separator(&text, from), (from <= at).then_some(at));
                }
            }
        }
        // Bytes next to them, and a borrow from the byte below.
        assert_eq!(separator(b"......../", 0), Some(8));
        assert_eq!(separator(b"/000000;9", 1), None);
    }
}
