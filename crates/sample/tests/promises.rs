//! What others rely on: the same bytes, exact counts, real JSON, one incident.
#![expect(clippy::indexing_slicing, reason = "a missing member is a null of serde_json")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::Path;

use jiff::Timestamp;
use sample::{Grouping, Organization, Shape};
use serde_json::Value;

const N: u64 = 20_000;

fn end() -> Timestamp {
    "2026-11-20T00:00:00Z".parse().expect("a time")
}

fn records(organization: &Organization) -> Vec<Value> {
    organization
        .events(N, end())
        .map(|event| {
            let record: Value = serde_json::from_slice(&event.record).expect("a record is JSON");
            assert_eq!(record["recipientAccountId"], event.account.to_string());
            assert_eq!(record["awsRegion"], event.region.as_str());
            assert_eq!(record["eventTime"], event.at.to_string());
            record
        })
        .collect()
}

#[test]
fn a_seed_a_count_and_an_end_are_one_sequence_of_bytes() {
    let once: Vec<_> = Organization::new(7).events(N, end()).map(|event| event.record).collect();
    let twice: Vec<_> = Organization::new(7).events(N, end()).map(|event| event.record).collect();
    let other: Vec<_> = Organization::new(8).events(N, end()).map(|event| event.record).collect();
    assert_eq!(once, twice);
    assert_ne!(once, other);
}

#[test]
fn there_are_exactly_as_many_records_as_asked_for_in_time_order() {
    for n in [0, 1, 2, 100, 1_999, 2_000, 2_001, N] {
        let times: Vec<_> = Organization::new(1).events(n, end()).map(|event| event.at).collect();
        assert_eq!(times.len() as u64, n);
        assert!(times.is_sorted(), "{n}");
        assert!(times.iter().all(|time| *time <= end()), "{n}");
    }
    let tiny = Organization::with_shape(1, Shape { accounts: 1, regions: 1, days: 1 });
    assert_eq!(tiny.events(5_000, end()).count(), 5_000);
}

#[test]
fn records_look_like_those_of_an_organization() {
    let organization = Organization::new(42);
    let records = records(&organization);
    let share = |what: &dyn Fn(&Value) -> bool| {
        records.iter().filter(|record| what(record)).count() as f64 / records.len() as f64
    };
    let bytes: usize = organization.events(N, end()).map(|event| event.record.len()).sum();
    let average = bytes as f64 / records.len() as f64;
    assert!((1_200.0..1_600.0).contains(&average), "{average} bytes on average");
    let check = |what: &str, share: f64, low: f64, high: f64| {
        assert!((low..high).contains(&share), "{what}: {share}");
    };
    check("reads", share(&|record| record["readOnly"] == true), 0.5, 0.9);
    check("errors", share(&|record| !record["errorCode"].is_null()), 0.03, 0.08);
    check("data events", share(&|record| record["eventCategory"] == "Data"), 0.1, 0.4);
    check("role assumptions", share(&|record| record["eventName"] == "AssumeRole"), 0.05, 0.12);
    check("sign-ins", share(&|record| record["eventName"] == "ConsoleLogin"), 0.000_5, 0.05);
    check("network", share(&|record| record["eventCategory"] == "NetworkActivity"), 0.000_1, 0.02);
    check(
        "service events",
        share(&|record| record["eventType"] == "AwsServiceEvent"),
        0.000_1,
        0.02,
    );
    check("root", share(&|record| record["userIdentity"]["type"] == "Root"), 0.000_1, 0.02);
    let ids: BTreeSet<_> = records.iter().map(|record| record["eventID"].to_string()).collect();
    assert_eq!(ids.len(), records.len(), "event ids are unique");
    let places: BTreeSet<_> = records
        .iter()
        .map(|record| (record["recipientAccountId"].to_string(), record["awsRegion"].to_string()))
        .collect();
    assert_eq!(places.len(), 60, "every account is active in every region");
    assert!(organization.accounts().iter().any(|account| account.to_string().starts_with('0')));
}

#[test]
fn copies_of_one_action_share_its_ids_and_the_key_it_gave() {
    let records = records(&Organization::new(42));
    let mut shared: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for record in records.iter().filter(|record| record["eventName"] == "AssumeRole") {
        if let Some(id) = record["sharedEventID"].as_str() {
            shared.entry(id).or_default().push(record);
        }
    }
    assert!(shared.len() > 100, "{} chains", shared.len());
    for copies in shared.values() {
        assert_eq!(copies.len(), 2, "{copies:?}");
        let same = |path: &str| copies[0].pointer(path) == copies[1].pointer(path);
        assert!(same("/requestID") && same("/eventTime"));
        assert!(same("/responseElements/credentials/accessKeyId"));
        assert!(!same("/eventID") && !same("/recipientAccountId"));
    }
    let given: BTreeSet<_> = records
        .iter()
        .filter_map(|record| record.pointer("/responseElements/credentials/accessKeyId")?.as_str())
        .collect();
    let used = records
        .iter()
        .filter(|record| {
            record["userIdentity"]["accessKeyId"].as_str().is_some_and(|key| given.contains(key))
        })
        .count();
    assert!(used > 1_000, "keys that a record gave are used by {used} later ones");
}

#[test]
fn the_incident_can_be_found_by_its_key_and_its_address() {
    let organization = Organization::new(42);
    let incident = organization.incident();
    let records = records(&organization);
    let by_address: Vec<_> = records
        .iter()
        .filter(|record| record["sourceIPAddress"] == incident.address.as_str())
        .collect();
    assert!(by_address.len() > 60, "{} records", by_address.len());
    assert!(by_address.iter().all(|record| {
        record["eventTime"]
            .as_str()
            .is_some_and(|time| time >= organization.incident_begins(end()).to_string().as_str())
    }));
    let by_key: Vec<_> = records
        .iter()
        .filter(|record| record["userIdentity"]["accessKeyId"] == incident.access_key_id.as_str())
        .collect();
    let from: BTreeSet<_> =
        by_key.iter().filter_map(|record| record["sourceIPAddress"].as_str()).collect();
    assert_eq!(from.len(), 2, "the user's own address and the new one: {from:?}");
    assert!(by_key.iter().filter(|record| record["errorCode"] == "AccessDenied").count() > 10);
    for name in [
        "CreateAccessKey",
        "PutUserPolicy",
        "GetSecretValue",
        "RunInstances",
        "AssumeRole",
        "StopLogging",
    ] {
        assert!(by_address.iter().any(|record| record["eventName"] == name), "{name}");
    }
    for account in &incident.entered {
        assert!(
            by_address.iter().any(|record| record["recipientAccountId"] == account.to_string())
        );
    }
    assert!(by_address.iter().any(|record| {
        record.pointer("/responseElements/accessKey/accessKeyId").and_then(Value::as_str)
            == Some(incident.planted_access_key_id.as_str())
    }));
}

fn log_files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files.extend(log_files(&path));
        } else {
            files
                .insert(path.to_string_lossy().into_owned(), std::fs::read(&path).expect("a file"));
        }
    }
    files
}

#[test]
fn log_files_hold_every_record_once_in_the_folder_of_its_account_and_region() {
    let organization = Organization::new(3);
    let (one, two) = (tempfile::tempdir().expect("temp"), tempfile::tempdir().expect("temp"));
    let mut seen = 0;
    let written = organization
        .write_log_files(one.path(), N, end(), Grouping::default(), |records| seen = records)
        .expect("written");
    let again = organization
        .write_log_files(two.path(), N, end(), Grouping::default(), |_| {})
        .expect("written");
    assert_eq!((written, seen), (again, N));
    let files = log_files(one.path());
    assert_eq!(files.len() as u64, written.files);
    assert!(files.values().eq(log_files(two.path()).values()), "the same bytes");

    let mut found = Vec::new();
    for (path, bytes) in &files {
        let mut text = String::new();
        flate2::read::GzDecoder::new(bytes.as_slice()).read_to_string(&mut text).expect("gzip");
        let body: Value = serde_json::from_str(&text).expect("JSON");
        for record in body["Records"].as_array().expect("records") {
            let (account, region) =
                (record["recipientAccountId"].as_str(), record["awsRegion"].as_str());
            let folder =
                format!("/{}/CloudTrail/{}/2026/", account.expect("id"), region.expect("region"));
            assert!(path.contains(&folder), "{path} {folder}");
            found.push(record.to_string());
        }
    }
    let mut expected: Vec<_> = records(&organization).iter().map(Value::to_string).collect();
    expected.sort();
    found.sort();
    assert!(found == expected);
}

#[test]
fn one_account_gives_its_records_one_by_one() {
    let organization = Organization::with_shape(9, Shape { accounts: 300, regions: 8, days: 1 });
    let accounts = organization.accounts();
    assert_eq!(accounts.iter().collect::<BTreeSet<_>>().len(), 300);
    let mut source = organization.account_events(accounts[17]).expect("it is one of the accounts");
    for second in 0..500 {
        let mut line = Vec::new();
        let at = end() + jiff::SignedDuration::from_secs(second);
        let region = source.append(at, &mut line);
        let record: Value = serde_json::from_slice(&line).expect("JSON");
        assert_eq!(record["recipientAccountId"], accounts[17].to_string());
        assert_eq!(record["awsRegion"], region.as_str());
        assert_eq!(record["eventTime"], at.to_string());
    }
    assert!(organization.account_events(event::AccountId::UNKNOWN).is_none());
}
