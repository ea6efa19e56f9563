//! Files that were made to be read wrongly, through a real agent and aggregator.

use std::fs;
use std::time::{Duration, Instant};

use tests::process::Process;
use tests::python::{Python, run};
use tests::room::{Room, peak_memory_bytes};

use crate::is_long;

/// How many cases there must be at least.
const CASES_MIN: u64 = 300;

/// What an agent may use: one window, one part of a unit, one batch, the index.
const AGENT_BYTES_MAX: u64 = 128 << 20;

/// What the aggregator may use: its buffer, one pass of the table, one commit.
const AGGREGATOR_BYTES_MAX: u64 = 768 << 20;

#[test]
fn every_hostile_file_has_one_fate_and_takes_no_more_memory_than_any() {
    let room = Room::new("flush_age_millis = 100").expect("a room");
    let (files, expected) = (room.path("files"), room.path("expected.json"));
    let form = if is_long() { "long" } else { "short" };
    let mut make = Python::oracle().expect("python").script("hostile.py");
    let told = run(make.arg(form).arg(&files).arg(&expected)).expect("hostile files");
    let cases: u64 = told.trim().parse().expect("a number of cases");
    assert!(cases >= CASES_MIN, "{cases} cases");

    let mut server = room.serve().expect("the aggregator serves");
    let mut agent = room.read_once("999988887777", "reader", &files).expect("the agent starts");
    let agent_peak = watch(&mut agent, Duration::from_secs(if is_long() { 3_600 } else { 300 }));
    let (status, said) = agent.wait().expect("the agent ends");
    assert!(status.success(), "{status}\n{said}");
    // Draining settles the table, which takes memory of its own.
    server.signal("TERM").expect("SIGTERM");
    let server_peak = watch(&mut server, Duration::from_secs(120));
    let (status, said) = server.wait().expect("the aggregator ends");
    assert!(status.success(), "{status}\n{said}");

    let told = room.path("status.json");
    fs::write(&told, room.status().expect("status")).expect("write");
    let mut check = Python::oracle().expect("python").script("check.py");
    check.arg("--status").arg(&told).arg("--expected").arg(&expected).arg("--organization");
    let found = run(check.arg(room.store()).arg(&files)).expect("files and table agree");
    println!(
        "{cases} cases; agent {} MiB, aggregator {} MiB; {found}",
        agent_peak >> 20,
        server_peak >> 20
    );
    assert!(agent_peak <= AGENT_BYTES_MAX, "the agent used {} MiB", agent_peak >> 20);
    assert!(server_peak <= AGGREGATOR_BYTES_MAX, "the aggregator used {} MiB", server_peak >> 20);
}

/// The most memory that a process uses until it ends.
fn watch(process: &mut Process, patience: Duration) -> u64 {
    let begun = Instant::now();
    let mut peak = 0;
    while process.ended().expect("look").is_none() {
        assert!(begun.elapsed() < patience, "it goes on and on:\n{}", process.said());
        peak = peak_memory_bytes(process.id()).unwrap_or(peak).max(peak);
        std::thread::sleep(Duration::from_millis(20));
    }
    peak
}
