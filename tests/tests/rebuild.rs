//! The table made again from the journal, as whoever lost files of it would.

use std::path::{Path, PathBuf};
use std::process::Command;

use tests::oracle::{Demo, check_store, shared_data};
use tests::programs::orgtrail;

fn rebuild(store: &Path, more: &[&str]) -> String {
    let mut command = Command::new(orgtrail().expect("the program"));
    command.arg("rebuild").arg("--store").arg(store).args(more).env_remove("ORGTRAIL_STORE");
    let output = command.output().expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

fn data_files(store: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![store.join("trail/default/events")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
            let path = entry.path();
            match path.is_dir() {
                true => folders.push(path),
                false => files.push(path),
            }
        }
    }
    files.sort();
    files
}

#[test]
fn a_table_whose_files_are_gone_is_made_again_from_the_journal() {
    let demo = Demo::run(&["--events", "5000"]).expect("the demo ends well");
    let files = data_files(&demo.store);
    for (index, file) in files.iter().enumerate() {
        match index % 3 {
            0 => std::fs::remove_file(file).expect("remove"),
            1 => std::fs::write(file, "no Parquet").expect("write"),
            _ => {}
        }
    }
    check_store(&demo.store).expect_err("files are gone");
    let estimate = rebuild(&demo.store, &["--estimate"]);
    assert!(estimate.contains("5000 units of the journal"), "{estimate}");
    let report = rebuild(&demo.store, &["--keep-replaced-secs", "0"]);
    let replaced = format!("replaced   {} files of", files.len());
    assert!(report.contains(&replaced) && !report.contains("LEFT"), "{report}");
    // The replaced files go with the next look, and then a listing is exact too.
    let mut compact = Command::new(orgtrail().expect("the program"));
    compact.arg("compact").arg("--store").arg(&demo.store).args(["--keep-replaced-secs", "0"]);
    assert!(compact.output().expect("it runs").status.success());
    check_store(&demo.store).expect("journal and table agree");
    demo.read_with_everything().expect("all readers agree");
    assert!(rebuild(&demo.store, &["--give-up"]).contains("none is under way"));
}

#[test]
fn real_events_are_the_same_rows_again() {
    let Some(data) = shared_data("real events, rebuilt") else { return };
    let source = data.join("events");
    let demo = Demo::run(&["--from", &source.to_string_lossy()]).expect("the demo ends well");
    let report = rebuild(&demo.store, &["--keep-replaced-secs", "0"]);
    assert!(report.contains("3906 rows") && !report.contains("LEFT"), "{report}");
    let mut compact = Command::new(orgtrail().expect("the program"));
    compact.arg("compact").arg("--store").arg(&demo.store).args(["--keep-replaced-secs", "0"]);
    assert!(compact.output().expect("it runs").status.success());
    demo.check(&source, &[]).expect("files and table agree");
}

#[test]
fn a_trail_without_a_table_is_named() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut command = Command::new(orgtrail().expect("the program"));
    command.arg("rebuild").arg("--store").arg(dir.path()).args(["--trail", "other"]);
    let output = command.output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("trail other"), "{said}");
}
