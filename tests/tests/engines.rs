//! What engines that are not ours make of a store, as its owners would use them.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use tests::oracle::{Demo, expire_journal, shared_data};
use tests::programs::{orgtrail, workspace};
use tests::python::{Python, run};

/// Runs the script of `deploy/spark` on a store, and compares every row.
fn spark_makes_the_same_rows(python: &Python, demo: &Demo) {
    let dir = tempfile::tempdir().expect("a directory");
    let made = dir.path().join("rebuilt");
    // Rows whose eventID came again have their mark then.
    ours(&["compact", "--keep-replaced-secs", "0"], &demo.store);
    let mut spark = python.python();
    spark.arg(workspace().join("deploy/spark/rebuild.py"));
    spark.arg("--store").arg(&demo.store).arg("--to").arg(&made);
    let said = run(spark.env("SPARK_LOCAL_IP", "127.0.0.1")).expect("Spark ends well");
    let rows = demo.count("rows").expect("rows");
    assert!(said.contains(&format!("{rows} rows of")), "{said}");
    assert!(!said.contains("expired"), "{said}");
    let mut compare = python.script("same_rows.py");
    let same = run(compare.arg(&demo.store).arg(&made)).expect("the same rows");
    assert_eq!(same.trim(), rows.to_string());
}

#[test]
fn spark_makes_the_tables_rows_from_the_journal_alone() {
    let Some(python) = Python::engines("rows made by Spark") else { return };
    let dir = tempfile::tempdir().expect("a directory");
    let files = dir.path().join("files");
    let odd = |set: &str, to: &Path| {
        let mut make = Python::oracle().expect("python").script("odd.py");
        let expected = dir.path().join(format!("{set}.json"));
        run(make.arg(set).arg(to.join(set)).arg(expected)).expect("odd files");
    };
    odd("mixed", &files);
    odd("fallbacks", &files);
    let demo = Demo::run(&["--from", &files.to_string_lossy()]).expect("the demo ends well");
    spark_makes_the_same_rows(&python, &demo);
    let Some(data) = shared_data("rows of real events made by Spark") else { return };
    let events = data.join("events").to_string_lossy().into_owned();
    let demo = Demo::run(&["--from", &events]).expect("the demo ends well");
    assert!(demo.count("duplicates") > Some(0), "{}", demo.summary);
    spark_makes_the_same_rows(&python, &demo);
}

#[test]
fn spark_says_what_has_expired_of_the_journal_and_makes_the_other_rows() {
    let Some(python) = Python::engines("rows made by Spark of half a journal") else { return };
    let demo = Demo::run(&["--events", "40000"]).expect("the demo ends well");
    let expired = expire_journal(&demo.store).expect("it expires");
    let number = |name: &str| expired[name].as_u64().expect("a number");
    let dir = tempfile::tempdir().expect("a directory");
    let mut spark = python.python();
    spark.arg(workspace().join("deploy/spark/rebuild.py"));
    spark.arg("--store").arg(&demo.store).arg("--to").arg(dir.path().join("rebuilt"));
    let said = run(spark.env("SPARK_LOCAL_IP", "127.0.0.1")).expect("Spark ends well");
    let (to, segments, lines) = (number("to"), number("segments"), number("lines"));
    let of = format!("records up to {to} of the journal have expired by its retention");
    assert!(said.contains(&of), "{said}");
    assert!(said.contains(&format!("their {segments} segments, {lines} lines")), "{said}");
    let rows = demo.count("rows").expect("rows") - lines;
    assert!(said.contains(&format!("{rows} rows of")), "{said}");
}

fn ours(arguments: &[&str], store: &Path) -> String {
    let mut command = Command::new(orgtrail().expect("the program"));
    run(command.args(arguments).arg("--store").arg(store)).expect("orgtrail ends well")
}

/// Rows by account, region and day.
fn counts(text: &str) -> BTreeMap<String, u64> {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Two days with copies for the organization, and one without.
#[test]
fn every_engine_counts_what_orgtrail_counts() {
    let Some(python) = Python::engines("counts by other engines") else { return };
    let dir = tempfile::tempdir().expect("a directory");
    let files = dir.path().join("files");
    run(python.script("engines.py").arg("make").arg(&files)).expect("events");
    let demo = Demo::run(&["--from", &files.to_string_lossy()]).expect("the demo ends well");
    let compacted = ours(&["compact", "--keep-replaced-secs", "0"], &demo.store);
    assert!(compacted.contains("of whole days"), "{compacted}");
    let question = "SELECT account || ' ' || region || ' ' || CAST(date AS VARCHAR) AS key, \
        count(*) AS n FROM events GROUP BY 1";
    let answer = ours(&["query", question, "-o", "json"], &demo.store);
    let rows: Vec<serde_json::Value> = serde_json::from_str(&answer).expect("json");
    let expected: BTreeMap<String, u64> = rows
        .iter()
        .map(|row| (row["key"].as_str().expect("text").to_owned(), row["n"].as_u64().expect("n")))
        .collect();
    assert_eq!(expected.values().sum::<u64>(), demo.count("rows").expect("rows"));
    for engine in ["spark", "duckdb"] {
        let statements = dir.path().join(format!("{engine}.sql"));
        let printed = ours(&["schema", "--ddl", engine], &demo.store);
        assert!(printed.contains("BETWEEN DATE '2026-01-05' AND DATE '2026-01-06'"), "{printed}");
        std::fs::write(&statements, printed).expect("write");
        let mut command = python.script("engines.py");
        command.env("SPARK_LOCAL_IP", "127.0.0.1").arg(engine).arg(&statements);
        assert_eq!(counts(&run(&mut command).expect(engine)), expected, "{engine}");
    }
    for engine in ["pyiceberg", "duckdb-iceberg", "polars", "pyarrow"] {
        let mut command = python.script("engines.py");
        let told = run(command.arg(engine).arg(&demo.store)).expect(engine);
        assert_eq!(counts(&told), expected, "{engine}");
    }
}
