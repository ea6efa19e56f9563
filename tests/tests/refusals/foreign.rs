//! Records of accounts that an agent may not speak for.

use std::process::Command;

use serde_json::Value;
use tests::programs::orgtrail;
use tests::python::run;

use crate::organization::{ACCOUNT, Organization, record};

const OTHER: &str = "444455556666";

#[test]
fn a_record_of_a_foreign_account_ends_in_quarantine() {
    let organization = Organization::new();
    let server = organization.serve();
    let source = organization
        .append("events.json", &[record(ACCOUNT, 1), record(OTHER, 2), record(ACCOUNT, 3)]);
    let files = organization.agent("main");
    let agent = organization.run("main", &files, &source, &["--once"]);
    let (status, said) = agent.wait().expect("it ends");
    assert!(status.success(), "{said}");
    let (status, said) = server.stop().expect("it drains");
    assert!(status.success(), "{said}");

    let mut status = Command::new(orgtrail().expect("orgtrail"));
    status.args(["status", "-o", "json", "--store", &organization.store()]);
    let status = run(&mut status).expect("orgtrail status");
    let status: Value = serde_json::from_str(&status).expect("JSON");
    let table = &status["table"];
    assert_eq!(status["closes"], true, "{status:#}");
    assert_eq!(table["rows"], 2, "{status:#}");
    assert_eq!(table["quarantined"], 1, "{status:#}");
    assert_eq!(table["reasons"], serde_json::json!({"account_not_covered": 1}), "{status:#}");

    let found = list(&organization.path("store"));
    let partition = |account: &str| format!("account={account}/");
    assert!(found.iter().any(|path| path.contains(&partition(ACCOUNT))), "{found:?}");
    assert!(!found.iter().any(|path| path.contains(&partition(OTHER))), "{found:?}");
    assert!(found.iter().any(|path| path.contains("/quarantine/")), "{found:?}");
}

/// All files below `dir`.
fn list(dir: &std::path::Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).expect("list") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(list(&path));
        } else {
            found.push(path.to_string_lossy().into_owned());
        }
    }
    found
}
