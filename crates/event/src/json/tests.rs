//! What the scanner accepts, against serde_json on the same bytes.

use serde::de::IgnoredAny;
use serde_json::Value;

use super::*;

/// A small generator of numbers, the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).expect("64 bits") % sides
    }

    fn pick<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.roll(choices.len())]
    }
}

fn blank(dice: &mut Dice, out: &mut String) {
    if dice.roll(8) == 0 {
        out.push_str(dice.pick(&[" ", "\n", "\r\n", "\t", "    "]));
    }
}

fn string(dice: &mut Dice, out: &mut String) {
    out.push('"');
    for _ in 0..dice.roll(6) {
        out.push_str(dice.pick(&[
            "a",
            "eventName",
            "\\\"",
            "\\\\",
            "\\n",
            "\\u00e4",
            "\\ud83d\\ude00",
            "ä",
            "漢字",
            "😀",
            "0123456789abcdef",
            "{",
            "]",
            ",",
            ":",
            "\u{7f}",
            "/",
            "\\/",
            "\\b\\f\\r\\t",
        ]));
    }
    out.push('"');
}

fn value(dice: &mut Dice, depth: usize, out: &mut String) {
    blank(dice, out);
    let kinds = if depth > 6 { 4 } else { 7 };
    match dice.roll(kinds) {
        0 => out.push_str(dice.pick(&["true", "false", "null"])),
        1 => out.push_str(dice.pick(&[
            "0",
            "-0",
            "17",
            "-1.5",
            "1e9",
            "2E-3",
            "0.25e+2",
            "123456789012",
        ])),
        2 | 3 => string(dice, out),
        4 => {
            out.push('[');
            for index in 0..dice.roll(5) {
                out.push_str(if index > 0 { "," } else { "" });
                value(dice, depth + 1, out);
            }
            out.push(']');
        }
        _ => {
            out.push('{');
            for index in 0..dice.roll(5) {
                out.push_str(if index > 0 { "," } else { "" });
                blank(dice, out);
                string(dice, out);
                blank(dice, out);
                out.push(':');
                value(dice, depth + 1, out);
            }
            blank(dice, out);
            out.push('}');
        }
    }
    blank(dice, out);
}

fn mutated(dice: &mut Dice, text: &str) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    for _ in 0..=dice.roll(3) {
        let at = dice.roll(bytes.len() + 1);
        let byte = *b"\"\\{}[],:0-+.eEtfn \n\x00\x1f\x7f\xc3\xa4\xff\xed\xa0u1"
            .get(dice.roll(33))
            .unwrap_or(&b'x');
        match dice.roll(4) {
            0 if at < bytes.len() => bytes[at] = byte,
            1 if at < bytes.len() => drop(bytes.remove(at)),
            2 => bytes.truncate(at),
            _ => bytes.insert(at, byte),
        }
    }
    bytes
}

/// Both say the same of the bytes as one whole text.
fn agree(bytes: &[u8]) {
    let theirs = std::str::from_utf8(bytes)
        .is_ok_and(|text| serde_json::from_str::<IgnoredAny>(text).is_ok());
    let ours = value_end(bytes, 0).is_ok_and(|end| skip_blank(bytes, end) == bytes.len());
    assert_eq!(ours, theirs, "{}", String::from_utf8_lossy(bytes));
}

/// The same members, in the same order, with the same values.
fn same(bytes: &[u8], theirs: &Value) {
    match theirs {
        Value::Object(object) => {
            let mut members: Vec<_> = members(bytes)
                .expect("object")
                .map(|member| member.expect("member"))
                .map(|member| (unescape(member.key).expect("key").into_owned(), member.value))
                .collect();
            // serde_json keeps the last of a repeated key, and sorts.
            members.reverse();
            members.sort_by(|a, b| a.0.cmp(&b.0));
            members.dedup_by(|a, b| a.0 == b.0);
            assert!(members.iter().map(|(key, _)| key).eq(object.keys()));
            for (key, value) in members {
                same(value, &object[&key]);
            }
        }
        Value::Array(array) => {
            let elements: Vec<_> = elements(bytes).expect("array").map(|e| e.expect("e")).collect();
            assert_eq!(elements.len(), array.len());
            for (bytes, theirs) in elements.into_iter().zip(array) {
                same(bytes, theirs);
            }
        }
        Value::String(text) => {
            assert_eq!(unescape(string_contents(bytes).expect("string")).expect("text"), *text);
        }
        other => assert_eq!(serde_json::from_slice::<Value>(bytes).expect("value"), *other),
    }
}

#[test]
fn the_scanner_agrees_with_serde_json_on_generated_and_mutated_text() {
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    for _ in 0..30_000 {
        let mut text = String::new();
        value(&mut dice, 0, &mut text);
        agree(text.as_bytes());
        let theirs: Value = serde_json::from_str(&text).expect("generated");
        let start = skip_blank(text.as_bytes(), 0);
        let end = value_end(text.as_bytes(), 0).expect("generated");
        same(&text.as_bytes()[start..end], &theirs);
        let line = compact_line_breaks(text.as_bytes());
        assert!(!line.contains(&b'\n') && !line.contains(&b'\r'));
        assert_eq!(serde_json::from_slice::<Value>(&line).expect("compacted"), theirs);
        for _ in 0..6 {
            agree(&mutated(&mut dice, &text));
        }
    }
}

#[test]
fn every_byte_in_every_place_of_a_word_is_seen() {
    for byte in 0..=255u8 {
        for place in 0..18 {
            let mut bytes = b"\"aaaaaaaaaaaaaaaaaaaa\"".to_vec();
            bytes[place + 1] = byte;
            agree(&bytes);
        }
    }
}

#[test]
fn only_an_end_too_soon_is_called_an_end() {
    let text = r#" {"a" : [1.5e3, true, null, "x\u00e4\n", {}], "b":{"c":-0}} "#;
    let end = value_end(text.as_bytes(), 0).expect("valid");
    assert_eq!(end, text.len() - 1);
    for cut in 0..end {
        let error = value_end(&text.as_bytes()[..cut], 0).expect_err("cut");
        assert_eq!((error.what, error.at), (Fault::End, cut), "cut at {cut}");
    }
    let check = |text: &str, at: usize, what: Fault| {
        assert_eq!(value_end(text.as_bytes(), 0), Err(SyntaxError { at, what }), "{text}");
    };
    check("{\"a\":tru}", 8, Fault::Byte);
    check("{\"a\":\"\n\"}", 6, Fault::Control);
    check("[\"\\x\"]", 3, Fault::Escape);
    check("[1,]", 3, Fault::Byte);
    check("{,}", 1, Fault::Byte);
    check("{\"a\":1,}", 7, Fault::Byte);
    check("[}", 1, Fault::Byte);
    check("-", 1, Fault::End);
    check("x", 0, Fault::Byte);
}

#[test]
fn nesting_is_limited_and_never_recurses() {
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    assert!(value_end(nested(DEPTH_MAX).as_bytes(), 0).is_ok());
    let error = value_end(nested(DEPTH_MAX + 1).as_bytes(), 0).expect_err("too deep");
    assert_eq!(error.what, Fault::Depth);
    let error = value_end("{\"a\":[".repeat(1_000_000).as_bytes(), 0).expect_err("too deep");
    assert_eq!(error.what, Fault::Depth);
}

#[test]
fn half_a_surrogate_is_syntax_but_no_text() {
    for half in [r"\ud800", r"\udc00", r"\ud800\u0041", r"\ud800x", r"\udbff\ud800"] {
        let text = format!("\"{half}\"");
        assert_eq!(value_end(text.as_bytes(), 0), Ok(text.len()));
        let error = unescape(half.as_bytes()).expect_err("half");
        assert_eq!(error.what, Fault::Surrogate, "{half}");
    }
    assert_eq!(unescape(br"\ud83d\ude00").expect("pair"), "😀");
}
