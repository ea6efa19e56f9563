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

mod find;
mod session;

use std::net::IpAddr;

pub use find::{each_indicator, each_indicator_in_json, each_name_in_json};
pub use session::{is_session_name, session_of_arn, session_of_principal};

/// The longest indicator; longer texts are none.
pub const INDICATOR_BYTES_MAX: usize = 512;

/// The longest address: an IPv6 one that ends in an IPv4 one.
const ADDRESS_BYTES_MAX: usize = 45;

/// The hexadecimal digits that ids of resources end in: EC2 knows both lengths.
const ID_DIGITS: [usize; 2] = [8, 17];

/// Whether a text is an indicator by its form.
#[inline]
#[must_use]
pub fn is_indicator(text: &str) -> bool {
    may_be(text.as_bytes()) && has_form(text)
}

/// What most texts are not: of the length, the beginning and the end of an indicator.
#[inline]
fn may_be(bytes: &[u8]) -> bool {
    let in_address = |byte: u8| byte.is_ascii_hexdigit() || matches!(byte, b'.' | b':');
    let length = bytes.len();
    match *bytes {
        [b'A', ..] => (16..=32).contains(&length),
        [b'a', b'r', b'n', b':', ..] => length <= INDICATOR_BYTES_MAX,
        [b':', next, ..] => next == b':' && length <= ADDRESS_BYTES_MAX,
        [b'0'..=b'9' | b'B'..=b'F', next, ..] => in_address(next) && length <= ADDRESS_BYTES_MAX,
        [b'a'..=b'f', next, ..] if in_address(next) && length <= ADDRESS_BYTES_MAX => true,
        [b'a'..=b'z' | b'-', ..] => ID_DIGITS.iter().any(|digits| {
            length.checked_sub(digits + 1).is_some_and(|dash| bytes.get(dash) == Some(&b'-'))
        }),
        _ => false,
    }
}

fn has_form(text: &str) -> bool {
    let bytes = text.as_bytes();
    match bytes {
        _ if bytes.len() > INDICATOR_BYTES_MAX => false,
        [b'A', ..] => is_unique_id(bytes),
        [b'a', b'r', b'n', b':', ..] => is_arn(bytes),
        [b'0'..=b'9', ..] => is_account(bytes) || is_address(text),
        [b'a'..=b'f', ..] => is_resource_id(bytes) || is_address(text),
        [b'g'..=b'z' | b'-', ..] => is_resource_id(bytes),
        [b'B'..=b'F' | b':', ..] => is_address(text),
        _ => false,
    }
}

/// `AKIA…`, `ASIA…`, `AROA…`: unique ids of IAM, of which access keys are one
/// kind (IAM User Guide, "Understanding unique ID prefixes").
fn is_unique_id(bytes: &[u8]) -> bool {
    let may_be = |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
    (16..=32).contains(&bytes.len()) && all(bytes, may_be)
}

fn is_arn(bytes: &[u8]) -> bool {
    let plain = |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\' | b'*' | b'?');
    bytes.iter().filter(|byte| **byte == b':').count() >= 5 && all(bytes, plain)
}

/// Looks at all bytes and does not stop early, so that many are looked at together.
fn all(bytes: &[u8], is_it: impl Fn(&u8) -> bool) -> bool {
    bytes.iter().fold(true, |all, byte| all & is_it(byte))
}

fn is_account(bytes: &[u8]) -> bool {
    bytes.len() == 12 && bytes.iter().all(u8::is_ascii_digit)
}

/// `i-0abc…`, `vol-…`, `eni-…`: a word and hexadecimal digits.
fn is_resource_id(bytes: &[u8]) -> bool {
    let hex = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let in_word = |byte: &u8| byte.is_ascii_lowercase() || *byte == b'-';
    ID_DIGITS.iter().any(|digits| {
        let Some((word, id)) = bytes.len().checked_sub(*digits).map(|at| bytes.split_at(at)) else {
            return false;
        };
        let Some((b'-', word)) = word.split_last() else { return false };
        (1..=24).contains(&word.len()) && id.iter().all(hex) && word.iter().all(in_word)
    })
}

fn is_address(text: &str) -> bool {
    let may_be = text.len() <= ADDRESS_BYTES_MAX
        && text.bytes().all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b'.' | b':'));
    may_be && text.contains(['.', ':']) && text.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

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
            "-0123abcd",
            "a-very-long-word-of-a-kind-0123abcd",
            "AKIAIOSFODNN7example",
            "198.51.100.700",
            "ec2.amazonaws.com",
        ] {
            assert!(!is_indicator(text), "{text}");
        }
    }

    /// What is left at a glance has no indicator's form.
    #[test]
    fn a_glance_refuses_nothing_that_is_one() {
        const LETTERS: &[u8] = b"Aabf09gzB-.:/ns";
        let mut state = 7_u64;
        let mut next = |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            usize::try_from(state >> 33).expect("small") % below
        };
        let seeds = [
            "AKIAIOSFODNN7EXAMPLE",
            "arn:aws:iam::123456789012:user/a",
            "123456789012",
            "198.51.100.7",
            "2001:db8::1",
            "::1",
            "FE80::1",
            "i-0123456789abcdef0",
            "eb-1234abcd",
            "-a-1234abcd",
        ];
        let mut found = 0;
        for _ in 0..200_000 {
            let mut text = seeds[next(seeds.len())].as_bytes().to_vec();
            for _ in 0..next(4) {
                let at = next(text.len());
                match next(3) {
                    0 => text[at] = LETTERS[next(LETTERS.len())],
                    1 => text.insert(at, LETTERS[next(LETTERS.len())]),
                    _ if text.len() > 1 => drop(text.remove(at)),
                    _ => {}
                }
            }
            let text = String::from_utf8(text).expect("ASCII");
            found += usize::from(has_form(&text));
            assert_eq!(is_indicator(&text), has_form(&text), "{text}");
        }
        assert!(found > 50_000, "{found}");
    }
}
