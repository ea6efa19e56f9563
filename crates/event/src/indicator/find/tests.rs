use std::collections::BTreeSet;

use super::*;

fn found(value: &str) -> BTreeSet<&str> {
    let mut all = BTreeSet::new();
    each_indicator(value, &mut |text| {
        all.insert(text);
    });
    all
}

fn in_json(json: &str) -> Vec<String> {
    let mut all = BTreeSet::new();
    each_indicator_in_json(json, &mut |text| {
        all.insert(text.into_owned());
    });
    all.into_iter().collect()
}

fn names(json: &str) -> Vec<String> {
    let mut all = BTreeSet::new();
    each_name_in_json(json, &mut |text| {
        all.insert(text.into_owned());
    });
    all.into_iter().collect()
}

#[test]
fn a_value_names_what_it_is_and_what_it_begins_and_ends_with() {
    let arn = "arn:aws:ec2:eu-west-1:123456789012:instance/i-0123456789abcdef0";
    assert_eq!(found(arn), BTreeSet::from([arn, "i-0123456789abcdef0"]));
    assert_eq!(
        found("AROACKCEVSQ6C2EXAMPLE:i-1234abcd"),
        BTreeSet::from(["i-1234abcd", "AROACKCEVSQ6C2EXAMPLE"])
    );
    assert_eq!(found("arn:aws:iam::123456789012:root").len(), 1);
    assert_eq!(
        found("x\ni-1234abcd\n\n123456789012:y"),
        BTreeSet::from(["i-1234abcd", "123456789012"])
    );
    assert_eq!(found("").len(), 0);
}

#[test]
fn strings_of_json_are_seen_however_they_are_spelt() {
    let json = r#"{"a":{"k":"AKIAIOSFODNN7EXAMPLE"},"b":["x","path\/i-1234abcd"],"123456789012":1,
        "c":"\u0041KIAIOSFODNN7EXAMPLF","d":"say \"i-1234abce\"","e":123456789013}"#;
    let expected = ["123456789012", "AKIAIOSFODNN7EXAMPLE", "AKIAIOSFODNN7EXAMPLF", "i-1234abcd"];
    assert_eq!(in_json(json), expected);
    assert_eq!(
        in_json(r#"["a\\","i-1234abcd","x\\\"","i-1234abce"]"#),
        ["i-1234abcd", "i-1234abce"]
    );
    assert_eq!(in_json(r#"["one\ni-1234abcd:x\ntwo"]"#), ["i-1234abcd"]);
}

#[test]
fn text_that_is_no_json_ends_the_search() {
    for text in ["\"unfinished i-1234abcd", "\"\\", "\"i-1234abcd\\\"", "\"", "", "i-1234abcd"] {
        each_indicator_in_json(text, &mut |_| panic!("nothing ends here"));
    }
}

/// What ends a text of any number of parts is found as if all of them were looked at.
#[test]
fn no_number_of_marks_hides_an_indicator() {
    for parts in 0..600 {
        for mark in ['/', ':'] {
            let filling: String = (0..parts).map(|_| mark).collect();
            let value = format!("AKIAIOSFODNN7EXAMPLE:{filling}x/i-1234abcd");
            let json = format!("{{\"a\":\"{value}\"}}");
            let expected = ["AKIAIOSFODNN7EXAMPLE", "i-1234abcd"];
            assert_eq!(found(&value), BTreeSet::from(expected), "{value}");
            assert_eq!(in_json(&json), expected, "{value}");
        }
    }
    let arn = format!("arn:aws:s3:::bucket/{}", "a/".repeat(245));
    for ahead in ["", "x/", "x:"] {
        let value = format!("{ahead}{arn}");
        assert_eq!(found(&value), BTreeSet::from([arn.as_str()]));
        let longer = format!("{value}{}", "a".repeat(INDICATOR_BYTES_MAX));
        assert!(found(&longer).is_empty());
    }
}

#[test]
fn a_mark_is_found_wherever_it_stands() {
    let text = b"0123456789abcdefghij";
    for at in 0..text.len() {
        for mark in *b"/:\"\\" {
            let mut text = *text;
            text[at] = mark;
            for from in 0..=text.len() {
                let expected = if from <= at { at } else { text.len() };
                assert_eq!(next_of(&text, from, *b"\"\\/:"), expected);
            }
        }
    }
    // Bytes next to them, and a borrow from the byte below.
    assert_eq!(next_of(b"......../", 0, *b"/:\n\n"), 8);
    assert_eq!(next_of(b"/000000;9", 1, *b"/:\n\n"), 9);
}

#[test]
fn sessions_are_named_by_arns_and_by_a_member_of_the_request() {
    let role = "arn:aws:iam::123456789012:role/admin";
    let session = "arn:aws:sts::123456789012:assumed-role/admin/alice";
    let json = format!(
        r#"{{"roleArn":"{role}","roleSessionName" : "al\u0069ce@example.com","durationSeconds":900}}"#
    );
    assert_eq!(names(&json), ["alice@example.com", role]);
    assert_eq!(
        names(&format!(r#"{{"assumedRoleUser":{{"arn":"{session}"}}}}"#)),
        ["alice", session]
    );
    for json in [
        r#"{"roleSessionName":"a b"}"#,
        r#"{"roleSessionName":{"alice":"bob"}}"#,
        r#"{"roleSessionName":1,"name":"alice"}"#,
        r#"["roleSessionName","alice"]"#,
        r#"{"sessionName":"alice"}"#,
        r#"{"roleSessionName":"#,
    ] {
        assert_eq!(names(json), Vec::<String>::new(), "{json}");
    }
}
