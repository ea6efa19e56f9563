//! A row's list has all that an index finds in the row, and the sessions that it names.

use std::collections::BTreeSet;

use event::AccountId;
use event::indicator::{each_indicator_in_json, is_indicator};

use super::*;
use crate::partition::Regions;
use crate::row::{RowBuilder, RowSource};
use crate::schema::{record_schema, schema};

const KEY: &str = "AKIAIOSFODNN7EXAMPLE";
const ROLE: &str = "AROACKCEVSQ6C2EXAMPLE";

fn rows(lines: &[String]) -> RecordBatch {
    let mut builder = RowBuilder::new();
    for (row, line) in lines.iter().enumerate() {
        let source = RowSource {
            agent_account: AccountId::UNKNOWN,
            agent: "main",
            speaks_for: None,
            committed_at: "2026-11-20T12:00:00Z".parse().expect("a time"),
            record: 1,
            row: row as u64,
        };
        builder.push(line.as_bytes(), &source, &mut Regions::default()).expect("a record");
    }
    builder.finish()
}

fn record(members: &str) -> String {
    format!(r#"{{"eventVersion":"1.08","eventTime":"2026-11-20T10:00:00Z"{members}}}"#)
}

/// Each row's list; none where it has none.
fn listed(batch: &RecordBatch) -> Vec<Option<Vec<String>>> {
    let lists = batch.column_by_name(INDICATORS).expect("the column").as_list::<i32>();
    let texts = |list: ArrayRef| {
        list.as_string::<i32>().iter().map(|text| text.expect("text").to_owned()).collect()
    };
    lists.iter().map(|list| list.map(texts)).collect()
}

fn check(members: &str, expected: &[&str]) {
    let batch = rows(&[record(members)]);
    let expected: Vec<String> = expected.iter().map(|text| (*text).to_owned()).collect();
    assert_eq!(listed(&batch), [Some(expected)], "{members}");
}

#[test]
fn each_kind_of_thing_is_listed_once_in_the_order_of_bytes() {
    check("", &[]);
    check(&format!(r#","userIdentity":{{"accessKeyId":"{KEY}"}}"#), &[KEY]);
    check(r#","sourceIPAddress":"198.51.100.7""#, &["198.51.100.7"]);
    check(r#","sourceIPAddress":"ec2.amazonaws.com""#, &[]);
    check(
        r#","recipientAccountId":"123456789012","vpcEndpointId":"vpce-1234abcd""#,
        &["123456789012", "vpce-1234abcd"],
    );
    let arn = "arn:aws:ec2:eu-west-1:123456789012:instance/i-0123456789abcdef0";
    check(
        &format!(
            r#","resources":[{{"ARN":"{arn}","accountId":"123456789012"}},{{"ARN":"{arn}"}}]"#
        ),
        &["123456789012", arn, "i-0123456789abcdef0"],
    );
    for member in
        ["requestParameters", "responseElements", "additionalEventData", "serviceEventDetails"]
    {
        check(
            &format!(
                r#","{member}":{{"a":["{KEY}"],"b":{{"i-1234abcd":null}},"c":"\u0069-1234abce"}}"#
            ),
            &[KEY, "i-1234abcd", "i-1234abce"],
        );
    }
    check(r#","requestParameters":null,"resources":[],"userIdentity":{}"#, &[]);
}

#[test]
fn sessions_are_listed_by_their_places() {
    let arn = "arn:aws:sts::123456789012:assumed-role/admin/alice@example.com";
    check(
        &format!(r#","userIdentity":{{"principalId":"{ROLE}:alice@example.com","arn":"{arn}"}}"#),
        &[ROLE, "alice@example.com", arn],
    );
    check(
        r#","requestParameters":{"roleArn":"arn:aws:iam::123456789012:role/admin","roleSessionName":"bob"}"#,
        &["arn:aws:iam::123456789012:role/admin", "bob"],
    );
    check(
        &format!(
            r#","responseElements":{{"assumedRoleUser":{{"assumedRoleId":"{ROLE}:alice@example.com","arn":"{arn}"}}}}"#
        ),
        &[ROLE, "alice@example.com", arn],
    );
    check(
        r#","userIdentity":{"principalId":"123456789012:alice","userName":"alice"}"#,
        &["123456789012"],
    );
}

/// A value that was looked at for the row before is not looked at again.
#[test]
fn what_a_row_names_has_nothing_to_do_with_the_rows_before_it() {
    let members = [
        format!(r#","userIdentity":{{"accessKeyId":"{KEY}"}}"#),
        format!(
            r#","userIdentity":{{"accessKeyId":"{KEY}"}},"requestParameters":{{"a":"i-1234abcd"}}"#
        ),
        format!(
            r#","userIdentity":{{"accessKeyId":"{KEY}"}},"resources":[{{"ARN":"i-1234abce"}}]"#
        ),
        r#","resources":[{"ARN":"i-1234abce"}],"requestParameters":{"a":"i-1234abcd"}"#.to_owned(),
        r#","requestParameters":{"a":"i-1234abcd"},"sourceIPAddress":"::1""#.to_owned(),
        String::new(),
        r#","userIdentity":{"type":"Root"}"#.to_owned(),
    ];
    for one in &members {
        for next in &members {
            for last in &members {
                let lines: Vec<String> = [one, next, last].map(|members| record(members)).into();
                let alone = |line: &String| listed(&rows(std::slice::from_ref(line))).remove(0);
                let expected: Vec<_> = lines.iter().map(alone).collect();
                assert_eq!(listed(&rows(&lines)), expected);
            }
        }
    }
}

#[test]
fn a_record_made_to_name_more_than_it_holds_has_no_list_and_is_found_all_the_same() {
    let arns = "arn:".repeat(100);
    let lines = [record(&format!(r#","requestParameters":{{"a":"{arns}"}}"#)), record("")];
    let batch = rows(&lines);
    assert_eq!(listed(&batch), [None, Some(Vec::new())]);
    let mut names = Names::of(&batch);
    names.go_to(0);
    assert!(names.all().count() > 50);
}

#[test]
fn rows_of_earlier_releases_get_the_same_lists() {
    let organization = sample::Organization::new(3);
    let end = "2026-11-20T12:00:00Z".parse().expect("a time");
    let lines: Vec<String> = organization
        .events(2_000, end)
        .map(|event| String::from_utf8(event.record).expect("text"))
        .collect();
    let batch = rows(&lines);
    assert_eq!(batch.schema(), schema());
    let kept: Vec<usize> = (0..record_schema().fields().len()).collect();
    let old = batch.project(&kept).expect("columns");
    assert_eq!(old.schema(), record_schema());
    assert_eq!(with_indicators(old).expect("lists"), batch);
    // What an index finds by searching is what it finds in the lists.
    for (line, list) in lines.iter().zip(listed(&batch)) {
        let list = list.expect("a list");
        assert!(list.is_sorted_by(|one, next| one < next), "{list:?}");
        let value: serde_json::Value = serde_json::from_str(line).expect("json");
        let mut wanted = BTreeSet::new();
        for member in [
            "userIdentity",
            "sourceIPAddress",
            "recipientAccountId",
            "vpcEndpointId",
            "resources",
            "requestParameters",
            "responseElements",
            "additionalEventData",
            "serviceEventDetails",
        ] {
            if let Some(value) = value.get(member) {
                let json = value.to_string();
                each_indicator_in_json(&json, &mut |text| {
                    wanted.insert(text.into_owned());
                });
            }
        }
        let has: BTreeSet<String> = list.into_iter().filter(|text| is_indicator(text)).collect();
        assert_eq!(has, wanted, "{line}");
    }
}
