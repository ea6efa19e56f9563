//! Indicators: the names by which things are looked for across an organization.
//!
//! Access keys, principal ids, ARNs, account ids, addresses and the ids of
//! resources are told by their form alone, wherever in a record they stand. So an
//! index of them can say which files name one: whoever looks for something asks
//! [`is_indicator`] first, and only then believes an index made with
//! [`each_indicator`].
//!
//! # Why form and not place
//! Services put ids into members of their own choosing. A list of members would
//! be incomplete the day it is written, and an index that misses one would make
//! "nothing found" a lie.

use std::net::IpAddr;

/// The longest indicator; longer texts are none.
pub const INDICATOR_BYTES_MAX: usize = 512;

/// The hexadecimal digits that ids of resources end in: EC2 knows both lengths.
const ID_DIGITS: [usize; 2] = [8, 17];

/// Whether a text is an indicator by its form.
#[must_use]
pub fn is_indicator(text: &str) -> bool {
    match text.as_bytes() {
        [] => false,
        bytes if bytes.len() > INDICATOR_BYTES_MAX => false,
        [b'A', ..] => is_unique_id(text),
        [b'a', b'r', b'n', b':', ..] => is_arn(text),
        bytes => is_account(bytes) || is_resource_id(text) || is_address(text),
    }
}

/// Calls `found` with every indicator that a line of a value is, begins or ends
/// with, where `/` and `:` are what parts a value: the instance of
/// `arn:aws:ec2:…:instance/i-0abc…`, the role of `AROA…:session`.
pub fn each_indicator<'a>(value: &'a str, found: &mut impl FnMut(&'a str)) {
    let mut see = |text: &'a str| {
        if is_indicator(text) {
            found(text);
        }
    };
    for line in value.split('\n') {
        see(line);
        for (at, _) in line.match_indices(['/', ':']) {
            see(line.get(at + 1..).unwrap_or_default());
        }
        if let Some((before, _)) = line.split_once(':') {
            see(before);
        }
    }
}

/// Calls `found` with every indicator that a string of a JSON text names, keys
/// included, as it is spelt there and as it is meant.
pub fn each_indicator_in_json<'a>(json: &'a str, found: &mut impl FnMut(&str)) {
    let mut rest = json;
    while let Some((_, from)) = rest.split_once('"') {
        let Some(end) = string_len(from) else { return };
        let (spelt, after) = from.split_at(end);
        each_indicator(spelt, &mut |text: &'a str| found(text));
        if spelt.contains('\\')
            && let Ok(meant) = crate::json::unescape(spelt.as_bytes())
        {
            each_indicator(&meant, &mut |text| found(text));
        }
        rest = after.get(1..).unwrap_or_default();
    }
}

/// The bytes before the quote that ends a string.
fn string_len(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    })
}

/// `AKIA…`, `ASIA…`, `AROA…`: unique ids of IAM, of which access keys are one
/// kind (IAM User Guide, "Understanding unique ID prefixes").
fn is_unique_id(text: &str) -> bool {
    (16..=32).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
}

fn is_arn(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\' | b'*' | b'?');
    text.bytes().filter(|byte| *byte == b':').count() >= 5 && text.bytes().all(plain)
}

fn is_account(bytes: &[u8]) -> bool {
    bytes.len() == 12 && bytes.iter().all(u8::is_ascii_digit)
}

/// `i-0abc…`, `vol-…`, `eni-…`: a word and hexadecimal digits.
fn is_resource_id(text: &str) -> bool {
    let Some((word, digits)) = text.rsplit_once('-') else { return false };
    let hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let in_word = |byte: u8| byte.is_ascii_lowercase() || byte == b'-';
    (1..=24).contains(&word.len())
        && word.bytes().all(in_word)
        && ID_DIGITS.contains(&digits.len())
        && digits.bytes().all(hex)
}

fn is_address(text: &str) -> bool {
    let may_be = text.len() <= 45
        && text.bytes().all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b'.' | b':'));
    may_be && text.contains(['.', ':']) && text.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(value: &str) -> Vec<&str> {
        let mut all = Vec::new();
        each_indicator(value, &mut |text| all.push(text));
        all
    }

    #[test]
    fn keys_arns_accounts_addresses_and_ids_are_indicators() {
        for text in [
            "AKIAIOSFODNN7EXAMPLE",
            "AROACKCEVSQ6C2EXAMPLE",
            "arn:aws:iam::123456789012:user/alice",
            "123456789012",
            "198.51.100.7",
            "2001:db8::1",
            "i-0123456789abcdef0",
            "vol-1234abcd",
            "vpce-svc-0123456789abcdef0",
        ] {
            assert!(is_indicator(text), "{text}");
        }
        for text in [
            "",
            "alice",
            "AssumeRole",
            "12345678901",
            "1234567890123",
            "2026-11-20T10:00:00Z",
            "8a2f1c9e-1111-2222-3333-444455556666",
            "arn:aws:s3:::bucket/*",
            "i-0123",
            "ec2.amazonaws.com",
        ] {
            assert!(!is_indicator(text), "{text}");
        }
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
        let mut all = std::collections::BTreeSet::new();
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
}
