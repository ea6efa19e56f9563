//! The examples that people copy do work: one event goes through them.
//!
//! Only what differs from machine to machine is replaced (places, addresses),
//! so a setting that no program knows any more is noticed here.

#![expect(clippy::indexing_slicing, reason = "a test that indexes wrongly fails")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tests::oracle::check_store;
use tests::process::{Process, free_port};
use tests::programs::{orgtrail, orgtrail_agent, workspace};
use tests::python::run;
use toml::{Table, Value};

const RECORD: &str = r#"{"eventVersion":"1.11","eventTime":"2026-11-02T10:00:00Z","eventSource":"s3.amazonaws.com","eventName":"ListBuckets","awsRegion":"eu-west-1","recipientAccountId":"111122223333"}"#;

fn example(name: &str) -> Table {
    let path = workspace().join("deploy").join("examples").join(name);
    let text = fs::read_to_string(&path).expect("an example");
    text.parse().expect("valid TOML")
}

fn set(table: &mut Table, path: &[&str], value: impl Into<Value>) {
    let (last, sections) = path.split_last().expect("a setting");
    let mut inner = table;
    for section in sections {
        let entry = inner.entry(*section).or_insert_with(|| Value::Table(Table::new()));
        inner = entry.as_table_mut().expect("a section");
    }
    inner.insert((*last).to_owned(), value.into());
}

fn identity(table: &mut Table, dir: &Path, who: &str) {
    for (setting, file) in [("ca", "ca"), ("certificate", who), ("key", who)] {
        let suffix = if setting == "key" { "key" } else { "pem" };
        let path = dir.join(format!("{file}.{suffix}"));
        set(table, &["identity", setting], path.to_string_lossy().as_ref());
    }
}

fn ca(dir: &Path, words: &[&str]) {
    let mut command = Command::new(orgtrail().expect("orgtrail"));
    run(command.arg("ca").args(words).arg("--dir").arg(dir.join("ca"))).expect("ca");
}

/// Takes an event through the examples, in which no more is changed than a machine
/// needs, and what `change` changes; gives the store.
fn through_the_examples(dir: &Path, change: impl FnOnce(&mut Table, &mut Table)) -> PathBuf {
    let (server_dir, agent_dir) = (dir.join("server"), dir.join("agent"));
    let (logs, store) = (dir.join("logs"), dir.join("store"));
    for made in [&logs, &store] {
        fs::create_dir(made).expect("a directory");
    }
    fs::write(logs.join("one.json"), RECORD).expect("a log");
    let out = |path: &Path| path.to_string_lossy().into_owned();
    ca(dir, &["init", "--organization", "example.org"]);
    ca(dir, &["issue", "--server", "localhost", "--out", &out(&server_dir)]);
    let agent = ["--account", "111122223333", "--agent", "main", "--out", &out(&agent_dir)];
    ca(dir, &[&["issue"][..], &agent].concat());

    let (port, operations) = (free_port().expect("a port"), free_port().expect("a port"));
    let mut server = example("orgtrail.toml");
    set(&mut server, &["store", "url"], format!("file://{}", store.display()));
    set(&mut server, &["aggregator", "listen"], format!("127.0.0.1:{port}"));
    set(&mut server, &["operations", "listen"], format!("127.0.0.1:{operations}"));
    identity(&mut server, &server_dir, "server");
    let mut agent = example("agent.toml");
    change(&mut server, &mut agent);
    let server_config = dir.join("orgtrail.toml");
    fs::write(&server_config, server.to_string()).expect("a configuration");

    set(&mut agent, &["state_dir"], out(&agent_dir.join("state")));
    set(&mut agent, &["aggregator", "endpoints"], vec![format!("localhost:{port}")]);
    identity(&mut agent, &agent_dir, "agent");
    for source in agent["source"].as_array_mut().expect("sources") {
        set(source.as_table_mut().expect("a source"), &["path"], out(&logs));
    }
    let agent_config = dir.join("agent.toml");
    fs::write(&agent_config, agent.to_string()).expect("a configuration");

    let mut serve = Command::new(orgtrail().expect("orgtrail"));
    serve.arg("serve").arg("--config").arg(&server_config);
    let serving = Process::start(&mut serve).expect("the server starts");
    let mut deliver = Command::new(orgtrail_agent().expect("orgtrail-agent"));
    deliver.arg("run").arg("--config").arg(&agent_config).arg("--once");
    run(&mut deliver).expect("the agent delivers");
    let (status, said) = serving.stop().expect("the server drains");
    assert!(status.success(), "{said}");

    store
}

#[test]
fn an_event_goes_through_the_examples() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = through_the_examples(dir.path(), |_, _| {});
    let found = check_store(&store).expect("the store is right");
    assert_eq!(found["rows"], 1, "{found}");
}

/// The last lines of the events of an account, and the exit code with which completeness
/// is required.
fn events_of(store: &Path, account: &str) -> (String, Option<i32>) {
    let mut ask = Command::new(orgtrail().expect("orgtrail"));
    ask.args(["events", "--require-complete", "--account", account, "--store"]).arg(store);
    let answer = ask.output().expect("an answer");
    (String::from_utf8(answer.stderr).expect("text"), answer.status.code())
}

/// Who asks needs no configuration: what the operator expects is in the store.
#[test]
fn an_expected_account_that_was_never_heard_of_is_said_to_be_missing() {
    let dir = tempfile::tempdir().expect("a directory");
    let accounts = vec!["111122223333", "444455556666"];
    let store = through_the_examples(dir.path(), |server, agent| {
        set(server, &["organization", "accounts"], accounts.clone());
        for source in agent["source"].as_array_mut().expect("sources") {
            set(source.as_table_mut().expect("a source"), &["known_delay_secs"], 60);
        }
    });
    let (said, code) = events_of(&store, "111122223333");
    assert!(said.starts_with("1 event;") && said.contains("\ncomplete to "), "{said}");
    assert_eq!(code, Some(0), "{said}");
    for asked in ["444455556666", "4444*"] {
        let (said, code) = events_of(&store, asked);
        assert!(said.starts_with("no events, but 1 account may have some;"), "{said}");
        assert!(said.contains("\nof 444455556666 nothing is known"), "{said}");
        assert_eq!(code, Some(5), "{said}");
    }
    let (said, code) = events_of(&store, "*");
    assert!(said.contains("; the other account is complete to "), "{said}");
    assert_eq!(code, Some(5), "{said}");
}

/// What the lifecycle rules for S3 may move: large, old, and read at once where it is.
#[test]
fn the_rules_for_old_objects_move_no_log_and_nothing_that_would_have_to_be_restored() {
    let path = workspace().join("deploy/s3/lifecycle.json");
    let text = fs::read_to_string(path).expect("the rules");
    let rules: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let rules = rules["Rules"].as_array().expect("rules");
    let movable = [
        "journal/segment/",
        "trail/default/events/",
        "trail/default/days/",
        "trail/default/quarantine/",
    ];
    let mut prefixes = Vec::new();
    for rule in rules {
        let filter = &rule["Filter"]["And"];
        prefixes.push(filter["Prefix"].as_str().expect("a prefix"));
        assert!(filter["ObjectSizeGreaterThan"].as_u64() >= Some(128 << 10), "{rule}");
        assert!(rule.get("Expiration").is_none(), "{rule}");
        for step in rule["Transitions"].as_array().expect("steps") {
            assert_eq!(step["StorageClass"], "GLACIER_IR", "{rule}");
        }
    }
    assert_eq!(prefixes, movable);
}
