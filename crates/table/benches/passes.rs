//! What passes and settling cost: a journal on the local disk becomes settled
//! Parquet by account, region and date.
//!
//! `cargo bench -p table --bench passes -- 1000000` prints one table: CPU of the
//! whole process, and the most memory that each part held.

#![expect(clippy::print_stdout, reason = "a benchmark prints its table")]

use std::time::Instant;

use bytes::Bytes;
use identity::SpeaksFor;
use integrity::{Hash, SpoolId};
use journal::{BatchEntry, BatchLines, Body, Certificate, Committed, Journal, Open, State, pack};
use sample::{Organization, Shape};
use seam::{Blocking, Clock, Entropy};
use store::Store;
use table::{Config, Seams, SettleReason, TRAIL_DEFAULT, Table};
use tokio_util::sync::CancellationToken;

/// A batch as agents make them.
const BATCH_EVENTS: usize = 2_000;
/// Batches that share a segment.
const SEGMENT_BATCHES: usize = 8;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let events = std::env::args().find_map(|word| word.parse().ok()).unwrap_or(200_000);
    let dir = tempfile::tempdir().expect("a directory");
    let store = Store::open(&format!("file://{}", dir.path().display())).await.expect("a store");
    let seams =
        Seams { clock: Clock::system(), entropy: Entropy::system(), blocking: Blocking::Inline };
    let Seams { clock, entropy, blocking } = seams.clone();
    let journal = Journal::new(store.clone(), clock, entropy, blocking);
    println!(
        "{:<12}{:>10}{:>10}{:>10}{:>10}{:>12}",
        "", "seconds", "CPU s", "us/event", "MiB held", ""
    );
    let mut meter = Meter::start();
    fill(&journal, events).await;
    meter.print("journal", events, "");
    let mut table =
        Table::open(store, journal, TRAIL_DEFAULT, seams, Config::default()).await.expect("open");
    let stop = CancellationToken::new();
    while table.pass(&stop).await.expect("pass").is_some() {}
    let totals = table.state().totals.clone();
    let files = format!("{} files, {} B/event", totals.files, totals.bytes / events);
    meter.print("passes", events, &files);
    table.settle(SettleReason::Drain).await.expect("settle");
    let totals = table.state().totals.clone();
    let files = format!("{} files, {} B/event", totals.files, totals.bytes / events);
    meter.print("settling", events, &files);
    assert_eq!(totals.counts.rows, events);
}

/// A journal of so many events of one organization's agent.
async fn fill(journal: &Journal, events: u64) {
    let mut state = State::new();
    let open = Open {
        account: "111122223333".parse().expect("an account"),
        agent: "central".parse().expect("a name"),
        spool: SpoolId([1; 16]),
        replaces: None,
        opened_by: String::new(),
        certificate: Certificate {
            fingerprint: Hash([1; 32]),
            speaks_for: SpeaksFor::Organization,
        },
        signing_key: None,
        signature: None,
    };
    commit(journal, &mut state, &Body { open: Some(open), ..Body::default() }).await;
    let shape = Shape { accounts: 50, regions: 8, days: 3 };
    let organization = Organization::with_shape(1, shape);
    let end = "2026-11-20T12:00:00Z".parse().expect("a time");
    let mut sequence = 0;
    let mut source = organization.events(events, end).map(|event| event.record).peekable();
    while source.peek().is_some() {
        let mut batches = Vec::new();
        let mut entries = Vec::new();
        for _ in 0..SEGMENT_BATCHES {
            let mut lines = Vec::new();
            let mut count = 0;
            for record in source.by_ref().take(BATCH_EVENTS) {
                lines.extend_from_slice(&record);
                lines.push(b'\n');
                count += 1;
            }
            if count == 0 {
                break;
            }
            let inflated_bytes = lines.len() as u64;
            let frame = Bytes::from(zstd::bulk::compress(&lines, 1).expect("zstd"));
            batches.push((BatchLines::Frame { frame, inflated_bytes }, count));
            let (from, to) = (sequence + 1, sequence + count);
            let chain = Hash([7; 32]);
            entries.push(BatchEntry { stream: 1, from, to, chain, continuations: 0 });
            sequence = to;
        }
        let packed = pack(batches.iter().map(|(batch, lines)| (batch, *lines))).expect("pack");
        let segment = journal.put_segment(&packed).await.expect("put");
        let body = Body { segment: Some(segment), batches: entries, ..Body::default() };
        commit(journal, &mut state, &body).await;
    }
}

async fn commit(journal: &Journal, state: &mut State, body: &Body) {
    let committed = journal.commit(state, body).await.expect("commit");
    assert!(matches!(committed, Committed::Ours(_)), "nobody else writes here");
}

/// Reads what Linux knows of this process.
struct Meter {
    wall: Instant,
    cpu: f64,
}

impl Meter {
    fn start() -> Self {
        Self { wall: Instant::now(), cpu: cpu_seconds() }
    }

    fn print(&mut self, name: &str, events: u64, rest: &str) {
        let cpu = cpu_seconds() - self.cpu;
        let wall = self.wall.elapsed().as_secs_f64();
        let per_event = cpu * 1e6 / events as f64;
        let held = peak_mib();
        println!("{name:<12}{wall:>10.2}{cpu:>10.2}{per_event:>10.2}{held:>10}  {rest}");
        // Begins a new peak; where that is not allowed, peaks only grow.
        let _reset = std::fs::write("/proc/self/clear_refs", "5");
        *self = Self::start();
    }
}

/// User and system time; clock ticks are hundredths on Linux.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks: f64 = after_name
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|ticks| ticks.parse::<f64>().ok())
        .sum();
    ticks / 100.0
}

fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    let kib = line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok());
    kib.unwrap_or(0) / 1024
}
