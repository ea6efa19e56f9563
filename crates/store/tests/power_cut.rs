//! Whether an answered put survives a power cut, judged by the system calls.
//!
//! A power cut cannot be had in a test, but what survives it is decided by which
//! syncs ended before the answer. The put runs in a child process under
//! `strace`, and the order of its calls is checked against the walk in
//! `local/place.rs`. Where `strace` is missing or may not trace, the test says
//! so on standard error and checks nothing.

use std::fs;
use std::path::{Path as FilePath, PathBuf};
use std::process::Command;

use object_store::path::Path;
use store::Store;

const ROOT: &str = "ORGTRAIL_TEST_POWER_CUT_ROOT";
const CALLS: &str = "openat,write,fsync,fdatasync,link,linkat,rename,renameat,renameat2,unlink,unlinkat,mkdir,mkdirat";

/// What the child does; started by the test below only.
#[tokio::test]
#[ignore = "runs under strace, as a child of the other test"]
async fn child() {
    let Ok(root) = std::env::var(ROOT) else { return };
    let store = Store::open(&format!("file://{root}")).await.expect("open");
    let put =
        async |name: &str, bytes: &'static str| store.create(&Path::from(name), bytes.into()).await;
    put("a/b/one", "first object").await.expect("one");
    put("a/b/two", "second object").await.expect("two");
    put("a/b/one", "never").await.expect_err("one is taken");
    // Another handle is as another process: it trusts nothing the first has done.
    let reader = Store::open(&format!("file://{root}")).await.expect("open");
    reader.get(&Path::from("a/b/two")).await.expect("get").expect("there");
}

/// One traced call: its name and the paths in it, in order.
#[derive(Debug)]
struct Call {
    name: String,
    paths: Vec<PathBuf>,
    failed: bool,
}

#[test]
fn a_put_is_answered_only_after_bytes_name_and_directories_are_synced() {
    let dir = tempfile::tempdir().expect("temp dir");
    let base = dir.path().canonicalize().expect("canonical");
    let (root, trace) = (base.join("new/store"), base.join("trace"));
    let traced = Command::new("strace")
        .args(["-f", "-y", "-qq", "-s", "16", "-e"])
        .arg(format!("trace={CALLS}"))
        .arg("-o")
        .arg(&trace)
        .arg(std::env::current_exe().expect("this test"))
        .args(["--exact", "child", "--ignored", "--test-threads=1"])
        .env(ROOT, &root)
        .output();
    let traced = match traced {
        Ok(output) if output.status.success() => fs::read_to_string(&trace).expect("trace"),
        other => {
            eprintln!("power_cut: NOT CHECKED, strace cannot run here: {other:?}");
            return;
        }
    };
    let calls: Vec<Call> = joined(&traced).iter().filter_map(|line| parse(line, &base)).collect();
    let at = |what: &str, found: &dyn Fn(&Call) -> bool| -> usize {
        calls
            .iter()
            .position(|call| !call.failed && found(call))
            .unwrap_or_else(|| panic!("no {what} among {calls:#?}"))
    };
    let is_sync = |call: &Call, path: &FilePath| {
        call.name == "fsync" && call.paths.first().is_some_and(|synced| synced == path)
    };
    let synced_after = |from: usize, path: &FilePath| {
        calls
            .iter()
            .skip(from)
            .position(|call| !call.failed && is_sync(call, path))
            .map(|at| at + from)
            .unwrap_or_else(|| {
                panic!("{} is not synced after call {from}: {calls:#?}", path.display())
            })
    };

    // Each new directory's parent is synced before anything is named below it.
    let named = |name: &str| root.join("a/b").join(name);
    let links = |call: &Call, target: &FilePath| {
        call.name.starts_with("link") && call.paths.last().is_some_and(|path| path == target)
    };
    let first_link = at("link of one", &|call| links(call, &named("one")));
    for made in [base.join("new"), root.clone(), root.join("a"), root.join("a/b")] {
        let mkdir =
            at("mkdir", &|call| call.name.starts_with("mkdir") && call.paths.last() == Some(&made));
        let parent = made.parent().expect("parent");
        assert!(synced_after(mkdir, parent) < first_link, "{} is durable first", made.display());
    }
    // Bytes, then name, then directory; and the answer, which the next put's file shows.
    let mut answered = 0;
    for name in ["one", "two"] {
        let link = at("link", &|call| links(call, &named(name)));
        let unfinished =
            calls.get(link).and_then(|call| call.paths.first()).expect("source").clone();
        assert!(unfinished.starts_with(root.join(".tmp")), "{}", unfinished.display());
        let written =
            at("write", &|call| call.name == "write" && call.paths.first() == Some(&unfinished));
        let synced = synced_after(written, &unfinished);
        let dir_synced = synced_after(link, &root.join("a/b"));
        assert!(
            answered < written && written < synced && synced < link && link < dir_synced,
            "{name}"
        );
        answered = dir_synced;
    }
    // A reader makes durable what it saw before it answers.
    let read = calls
        .iter()
        .rposition(|call| call.name == "openat" && call.paths.last() == Some(&named("two")))
        .expect("read of two");
    synced_after(read, &root.join("a/b"));
}

/// Puts the two halves of interrupted calls together again.
fn joined(trace: &str) -> Vec<String> {
    let mut begun: Vec<(String, String)> = Vec::new();
    let mut lines = Vec::new();
    for line in trace.lines() {
        let Some((pid, call)) = line.trim_start().split_once(' ') else { continue };
        let call = call.trim_start();
        if let Some(head) = call.strip_suffix(" <unfinished ...>") {
            begun.push((pid.to_owned(), head.to_owned()));
        } else if let Some((_, tail)) = call.split_once(" resumed>") {
            if let Some(at) = begun.iter().position(|(other, _)| other == pid) {
                let (_, head) = begun.remove(at);
                lines.push(format!("{head}{tail}"));
            }
        } else {
            lines.push(call.to_owned());
        }
    }
    lines
}

fn parse(line: &str, base: &FilePath) -> Option<Call> {
    let (name, rest) = line.split_once('(')?;
    let base = base.to_str()?;
    let mut paths = Vec::new();
    let mut rest_of = rest;
    while let Some(at) = rest_of.find(base) {
        let found = rest_of.get(at..)?;
        let end = found.find(['"', '>']).unwrap_or(found.len());
        paths.push(PathBuf::from(found.get(..end)?));
        rest_of = found.get(end..)?;
    }
    if paths.is_empty() {
        return None;
    }
    Some(Call { name: name.to_owned(), paths, failed: rest.contains(" = -1 ") })
}
