//! The old end of a journal has expired: what an operator sees of it.
//!
//! Records of the format are written by `oracle/expire.py`, since nothing that the
//! programs commit today is old enough.

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tests::oracle::{Demo, expire_journal, read_journal};
use tests::programs::orgtrail;
use tests::python::run;

fn ours(arguments: &[&str], store: &Path) -> String {
    let mut command = Command::new(orgtrail().expect("the program"));
    run(command.args(arguments).arg("--store").arg(store)).expect("orgtrail ends well")
}

fn events(store: &Path) -> String {
    ours(&["query", "SELECT count(*) AS n FROM events", "-o", "json"], store)
}

#[test]
fn what_has_expired_of_the_journal_is_said_and_never_called_missing() {
    let demo = Demo::run(&["--events", "40000"]).expect("the demo ends well");
    let (store, before) = (demo.store.as_path(), events(&demo.store));
    let whole = read_journal(store).expect("a journal");
    let expired = expire_journal(store).expect("it expires");
    let number = |value: &Value, name: &str| value[name].as_u64().expect("a number");
    let (to, units) = (number(&expired, "to"), number(&expired, "units"));
    let left = read_journal(store).expect("whoever reads the format sees no damage");
    assert_eq!(number(&left, "lines"), number(&whole, "lines") - number(&expired, "lines"));
    assert_eq!(number(&left, "expired_to"), to);

    let status = ours(&["status"], store);
    let segments = number(&expired, "segments");
    let said = format!("expired    {units} of the journaled, {segments} segments, ");
    assert!(status.contains(&said), "{status}");
    assert!(status.contains(&format!("up to journal record {to} of ")), "{status}");
    assert!(status.contains(&format!("not deleted yet behind record {}", to - 1)), "{status}");
    assert!(status.contains(": closes") && !status.contains("DAMAGED"), "{status}");
    let json: Value = serde_json::from_str(&ours(&["status", "-o", "json"], store)).expect("json");
    assert_eq!(number(&json["journal"]["expired"], "to"), to);
    assert_eq!(events(store), before, "the table has the rows");

    let rebuilt = ours(&["rebuild"], store);
    assert!(rebuilt.contains(&format!("up to its record {to} have expired by")), "{rebuilt}");
    assert!(rebuilt.contains("units of the journal by its retention"), "{rebuilt}");
    assert!(rebuilt.contains("LEFT") && !rebuilt.contains("LOST"), "{rebuilt}");
    assert_eq!(events(store), before, "and keeps them");
    let held = ours(&["hold", "add", "C-1", "--by", "R. Roe", "--why", "a case"], store);
    assert!(held.contains(&format!("events up to record {to} had been let go")), "{held}");
}
