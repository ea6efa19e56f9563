//! What engines that are not ours make of a store, as its owners would use them.

use std::path::Path;

use tests::oracle::{Demo, shared_data};
use tests::programs::workspace;
use tests::python::{Python, run};

/// Runs the script of `deploy/spark` on a store, and compares every row.
fn spark_makes_the_same_rows(python: &Python, demo: &Demo) {
    let dir = tempfile::tempdir().expect("a directory");
    let made = dir.path().join("rebuilt");
    let mut spark = python.python();
    spark.arg(workspace().join("deploy/spark/rebuild.py"));
    spark.arg("--store").arg(&demo.store).arg("--to").arg(&made);
    let said = run(spark.env("SPARK_LOCAL_IP", "127.0.0.1")).expect("Spark ends well");
    let rows = demo.count("rows").expect("rows");
    assert!(said.contains(&format!("{rows} rows of")), "{said}");
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
