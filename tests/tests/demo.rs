//! The demo over real and odd files: every event is one row, the rest has a reason.
//!
//! The files are read a second time by Python that knows the design's words and
//! nothing of the code; DuckDB reads the Parquet (see `oracle/check.py`).

use std::path::Path;

use tests::oracle::{Demo, shared_data};
use tests::python::{Python, run};

fn every_record_is_a_row(source: &Path) -> Demo {
    let demo = Demo::run(&["--from", &source.to_string_lossy()]).expect("the demo ends well");
    demo.check(source, &[]).expect("files and table agree");
    demo.read_with_everything().expect("all readers agree");
    demo
}

#[test]
fn originals_of_many_projects_become_rows_or_have_a_reason() {
    let Some(data) = shared_data("originals of many projects") else { return };
    let demo = every_record_is_a_row(&data.join("raw"));
    assert_eq!(demo.count("rows"), Some(3_427));
    assert!(demo.count("quarantined") > Some(30), "{}", demo.summary);
}

#[test]
fn real_events_all_become_one_row_each() {
    let Some(data) = shared_data("real events") else { return };
    let demo = every_record_is_a_row(&data.join("events"));
    assert_eq!(demo.count("journaled"), Some(4_159));
    assert_eq!(demo.count("duplicates"), Some(249 + 4), "of traildiscover and trailscraper");
    assert_eq!(demo.count("rows"), Some(3_906));
}

/// Cut, glued, broken, huge, deep and doubled: `oracle/odd.py` lists them all.
#[test]
fn odd_files_become_rows_or_have_a_reason() {
    odd("mixed");
}

/// A reader that guesses types would take these accounts for numbers.
#[test]
fn accounts_stay_text_when_none_begins_with_zero() {
    let demo = odd("no-leading-zero");
    assert_eq!(demo.count("quarantined"), Some(0), "{}", demo.summary);
}

/// Rows without account, region or date have a place that every reader can read.
#[test]
fn fallback_partitions_are_read_like_any_other() {
    odd("fallbacks");
}

fn odd(set: &str) -> Demo {
    let dir = tempfile::tempdir().expect("a directory");
    let (files, expected) = (dir.path().join("files"), dir.path().join("expected.json"));
    let mut make = Python::oracle().expect("python").script("odd.py");
    run(make.arg(set).arg(&files).arg(&expected)).expect("odd files");
    let demo = Demo::run(&["--from", &files.to_string_lossy()]).expect("the demo ends well");
    let expected = expected.to_string_lossy().into_owned();
    demo.check(&files, &["--expected", &expected]).expect("files and table agree");
    demo.read_with_everything().expect("all readers agree");
    demo
}

#[test]
fn the_generated_organization_closes_to_the_event() {
    let demo = Demo::run(&["--events", "20000"]).expect("the demo ends well");
    assert_eq!(demo.count("journaled"), Some(20_000));
    assert_eq!(demo.count("rows"), Some(20_000));
    assert_eq!(demo.count("accounts"), Some(12));
    tests::oracle::check_store(&demo.store).expect("journal and table agree");
    demo.read_with_everything().expect("all readers agree");
}
