//! What passes and settling cost: a journal on the local disk becomes settled
//! Parquet by account, region and date.
//!
//! `cargo bench -p table --bench passes -- 1000000` prints one table: CPU of the
//! whole process, and the most memory that each part held. A second table shows
//! what it costs that one event is one row, at so many distinct events a day in
//! one partition: passes by the rules without that (row format 1) beside passes
//! by today's, in turns, for large passes and for small ones; and how fast
//! duplicates are told when every event comes again. With `small` it is the small
//! ones only.

#![expect(clippy::print_stdout, reason = "a benchmark prints its table")]

use std::time::Instant;

use bytes::Bytes;
use identity::SpeaksFor;
use integrity::{Hash, SpoolId};
use journal::{BatchEntry, BatchLines, Body, Certificate, Committed, Journal, Open, State, pack};
use sample::{Organization, Shape};
use seam::{Blocking, Clock, Entropy};
use store::Store;
use table::{Config, Limits, Seams, SettleReason, TRAIL_DEFAULT, Table};
use tokio_util::sync::CancellationToken;

/// A batch as agents make them.
const BATCH_EVENTS: usize = 2_000;
/// Turns of each way that are compared.
const ROUNDS: u32 = 5;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let events = std::env::args().find_map(|word| word.parse().ok()).unwrap_or(200_000);
    let dir = tempfile::tempdir().expect("a directory");
    let (journal, store, seams) = journal_in(dir.path()).await;
    println!(
        "{:<34}{:>10}{:>10}{:>10}{:>10}{:>12}",
        "", "seconds", "CPU s", "us/event", "MiB held", ""
    );
    let mut meter = Meter::start();
    let shape = Shape { accounts: 50, regions: 8, days: 3 };
    fill(&journal, &mut State::new(), events, shape, 16_000).await;
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
    meter.compact(&mut table, events).await;
    assert_eq!(totals.counts.rows, events);
    if std::env::args().any(|word| word == "once") {
        once(events).await;
    }
}

/// What "one event, one row" costs.
async fn once(events: u64) {
    let shape = Shape { accounts: 1, regions: 1, days: 1 };
    println!("\n{:<34}{:>10}{:>10}{:>10}", "one partition", "seconds", "CPU s", "us/event");
    let mut cpu = std::collections::BTreeMap::<_, Vec<f64>>::new();
    let only_small = std::env::args().any(|word| word == "small");
    // Deleted when all is done: some file systems look long for an inode that was not
    // deleted lately, which whatever comes next would pay for.
    let mut dirs = Vec::new();
    for round in 0..ROUNDS {
        for (name, segment_events, pass_bytes) in
            [("passes of 64 MiB", 16_000, 64 << 20), ("passes of 1,000 events", 1_000, 1)]
        {
            if only_small && segment_events > 1_000 {
                continue;
            }
            for turn in 0..2 {
                let row_format = 1 + (round + turn) % 2;
                let dir = tempfile::tempdir().expect("a directory");
                let limits = Limits { row_format, pass_bytes, ..Limits::default() };
                let config = Config { limits, ..Config::default() };
                let (journal, store, seams) = journal_in(dir.path()).await;
                dirs.push(dir);
                let mut state = State::new();
                fill(&journal, &mut state, events, shape, segment_events).await;
                let mut table = Table::open(store, journal.clone(), TRAIL_DEFAULT, seams, config)
                    .await
                    .expect("open");
                let mut meter = Meter::start();
                let stop = CancellationToken::new();
                while table.pass(&stop).await.expect("pass").is_some() {}
                let name = format!("{name}, row format {row_format}");
                cpu.entry(name.clone()).or_default().push(meter.print(&name, events, ""));
                if row_format == 2 && segment_events == 16_000 && round == 0 {
                    fill(&journal, &mut state, events, shape, segment_events).await;
                    meter = Meter::start();
                    while table.pass(&stop).await.expect("pass").is_some() {}
                    meter.print("every event again", events, "");
                    assert_eq!(table.state().totals.counts.duplicates, events);
                }
            }
        }
    }
    for (name, mut seconds) in cpu {
        seconds.sort_by(f64::total_cmp);
        let median = seconds.get(seconds.len() / 2).copied().unwrap_or_default();
        println!("{name:<34}{median:>20.2} CPU s, median");
    }
}

async fn journal_in(dir: &std::path::Path) -> (Journal, Store, Seams) {
    let store = Store::open(&format!("file://{}", dir.display())).await.expect("a store");
    let seams =
        Seams { clock: Clock::system(), entropy: Entropy::system(), blocking: Blocking::Inline };
    let Seams { clock, entropy, blocking } = seams.clone();
    (Journal::new(store.clone(), clock, entropy, blocking), store, seams)
}

/// A journal of so many events of one organization's agent.
async fn fill(
    journal: &Journal,
    state: &mut State,
    events: u64,
    shape: Shape,
    segment_events: usize,
) {
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
    let mut sequence = state.streams.get(&1).map_or(0, |stream| stream.watermark);
    if state.head == 0 {
        commit(journal, state, &Body { open: Some(open), ..Body::default() }).await;
    }
    let organization = Organization::with_shape(1, shape);
    let end = "2026-11-20T12:00:00Z".parse().expect("a time");
    let mut source = organization.events(events, end).map(|event| event.record).peekable();
    while source.peek().is_some() {
        let mut batches = Vec::new();
        let mut entries = Vec::new();
        for _ in 0..segment_events.div_ceil(BATCH_EVENTS) {
            let mut lines = Vec::new();
            let mut count = 0;
            for record in source.by_ref().take(BATCH_EVENTS.min(segment_events)) {
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
        let segment = journal.put_segment(&packed, state.head).await.expect("put");
        let body = Body { segment: Some(segment), batches: entries, ..Body::default() };
        commit(journal, state, &body).await;
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

    async fn compact(&mut self, table: &mut Table, events: u64) {
        let report = table.compact(u64::MAX, &CancellationToken::new()).await.expect("compact");
        let totals = table.state().totals.clone();
        let files = format!(
            "{} rows of {} files; {} files, {} B/event",
            report.rows,
            report.inputs,
            totals.files,
            totals.bytes / events
        );
        self.print("compaction", report.rows.max(1), &files);
    }

    fn print(&mut self, name: &str, events: u64, rest: &str) -> f64 {
        let cpu = cpu_seconds() - self.cpu;
        let wall = self.wall.elapsed().as_secs_f64();
        let per_event = cpu * 1e6 / events as f64;
        let held = peak_mib();
        println!("{name:<34}{wall:>10.2}{cpu:>10.2}{per_event:>10.2}{held:>10}  {rest}");
        // Begins a new peak; where that is not allowed, peaks only grow.
        let _reset = std::fs::write("/proc/self/clear_refs", "5");
        *self = Self::start();
        cpu
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
