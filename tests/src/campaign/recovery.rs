//! How soon work goes on: measured, and held against what is promised.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::mix::on_s3;
use super::{BEGIN, Outcome, Run, organization};
use crate::feed::Feed;
use crate::fleet::{Fleet, Plan};
use crate::moto::Moto;
use crate::python::{Python, run};
use crate::s3_proxy::{Mood, Proxy};
use crate::verdict::Verdict;

/// An agent has opened its spool and speaks with an aggregator.
const FORWARDING: &str = " forwarding aggregator=";

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// An agent starts with a spool of so many bytes.
    Agent {
        /// The spool's size.
        bytes: u64,
    },
    /// An aggregator starts on a journal of so many records.
    Aggregator {
        /// The journal's length.
        records: u64,
    },
    /// The object store is away for so long while events go on.
    Outage {
        /// How long.
        time: Duration,
        /// Whether it is silent then; otherwise its address refuses.
        silent: bool,
    },
}

impl Run for Recovery {
    fn name(&self) -> String {
        match self {
            Self::Agent { bytes } => format!("recovery of an agent with {} MiB", bytes >> 20),
            Self::Aggregator { records } => {
                format!("recovery of an aggregator on {records} records")
            }
            Self::Outage { time, silent } => {
                let how = if *silent { "silent" } else { "gone" };
                format!("recovery after the object store was {how} for {} s", time.as_secs())
            }
        }
    }

    fn run(&self) -> Result<Outcome> {
        match *self {
            Self::Agent { bytes } => agent(bytes),
            Self::Aggregator { records } => aggregator(records),
            Self::Outage { time, silent } => outage(time, silent),
        }
    }
}

/// Holds a measured time against a promised one.
fn within(broken: &mut Vec<String>, what: &str, seconds: f64, limit: f64) -> Value {
    if seconds > limit {
        broken.push(format!("{what} after {seconds:.2} s, promised within {limit} s"));
    }
    json!({"seconds": seconds, "promised_seconds": limit})
}

fn agent(bytes: u64) -> Result<Outcome> {
    let (organization, accounts) = organization(7, 1);
    let mut plan = Plan::new(1, &accounts);
    plan.segment_bytes = 16 << 20;
    let mut fleet = Fleet::of(&plan)?;
    fleet.start_all()?;
    fleet.process(1).context("the agent")?.wait_for(FORWARDING)?;
    fleet.kill(0)?;

    let account = organization.accounts().first().copied().context("an account")?;
    let mut events = organization.account_events(account).context("an account's events")?;
    let mut at: Timestamp = BEGIN.parse()?;
    let mut file = File::create(fleet.feed(0).join("events.ndjson"))?;
    let (mut chunk, mut written) = (Vec::new(), 0);
    while written < bytes {
        chunk.clear();
        while chunk.len() < 1 << 20 {
            at += SignedDuration::from_millis(1);
            events.append(at, &mut chunk);
            chunk.push(b'\n');
        }
        file.write_all(&chunk)?;
        written += chunk.len() as u64;
    }
    // Cursors and frames come on top of the records; so the spool gets full.
    let spool = fleet.state(0).join("spool");
    let full = bytes.saturating_sub(plan.segment_bytes);
    let begun = Instant::now();
    while size(&spool)? < full {
        ensure!(
            begun.elapsed() < Duration::from_secs(300),
            "the spool stays at {}:\n{}",
            size(&spool)?,
            fleet.said()
        );
        std::thread::sleep(Duration::from_millis(200));
    }
    fleet.kill(1)?;
    let spool_bytes = size(&spool)?;
    fleet.start(0)?;
    fleet.wait_until_ready(0)?;

    let mut broken = Vec::new();
    let mut times = Vec::new();
    for cold in [true, false, false] {
        if cold {
            forget(&spool)?;
        }
        let begun = Instant::now();
        fleet.start(1)?;
        fleet.process(1).context("the agent")?.wait_for(FORWARDING)?;
        let seconds = begun.elapsed().as_secs_f64();
        fleet.kill(1)?;
        let what = if cold {
            "an agent whose spool is not in memory is ready"
        } else {
            "an agent is ready"
        };
        times.push(json!({"cold": cold, "ready": within(&mut broken, what, seconds, 2.0)}));
    }
    Ok(Outcome { report: json!({"spool_bytes": spool_bytes, "starts": times}), broken })
}

/// The bytes of all files in a directory.
fn size(dir: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(dir)? {
        // A file may be renamed meanwhile.
        bytes += entry?.metadata().map_or(0, |metadata| metadata.len());
    }
    Ok(bytes)
}

/// Takes the files of a directory out of the page cache.
fn forget(dir: &Path) -> Result<()> {
    for entry in fs::read_dir(dir)? {
        let file = entry?.path();
        let of = format!("of={}", file.display());
        run(Command::new("dd").args([
            &of,
            "oflag=nocache",
            "conv=notrunc,fdatasync",
            "count=0",
            "status=none",
        ]))?;
    }
    Ok(())
}

fn aggregator(records: u64) -> Result<Outcome> {
    let (_, accounts) = organization(8, 1);
    let mut fleet = Fleet::new(1, &accounts)?;
    let mut write = Python::oracle()?.script("long_journal.py");
    run(write.arg(fleet.store()).arg(records.to_string()))?;
    let mut broken = Vec::new();
    let mut times = Vec::new();
    for snapshots in [false, false] {
        let begun = Instant::now();
        fleet.start(0)?;
        fleet.wait_until_ready(0)?;
        let seconds = begun.elapsed().as_secs_f64();
        let answer = fleet.ask(0, "/readyz")?;
        ensure!(answer.contains(&records.to_string()), "it is not at the end: {answer}");
        fleet.kill(0)?;
        let what = "an aggregator that reads every record is ready";
        times.push(
            json!({"snapshots": snapshots, "ready": within(&mut broken, what, seconds, 5.0)}),
        );
    }
    Ok(Outcome { report: json!({"journal_records": records, "starts": times}), broken })
}

/// Live records in a second, of all agents together.
const LIVE: u64 = 400;

fn outage(time: Duration, silent: bool) -> Result<Outcome> {
    let (organization, accounts) = organization(9, 4);
    let moto = Moto::start("trail")?;
    let proxy = Proxy::start(moto.address(), false)?;
    let mut plan = Plan::new(1, &accounts);
    plan.store = on_s3(&proxy);
    let mut fleet = Fleet::of(&plan)?;
    let names = organization.accounts();
    let mut feeds = Vec::new();
    for (agent, account) in names.iter().enumerate() {
        let events = organization.account_events(*account).context("an account's events")?;
        feeds.push(Feed::new(fleet.feed(agent), events, agent as u64, BEGIN.parse()?));
    }
    fleet.start_all()?;
    fleet.wait_until_ready(0)?;
    let mut live = Live { begun: Instant::now(), next: 0, feeds };

    live.run_until(|| Ok(committed(&fleet)? > 0), Duration::from_secs(30))?;
    live.run_for(Duration::from_secs(5))?;
    proxy.set(if silent { Mood::Silent } else { Mood::Gone });
    live.run_for(time)?;
    let before = committed(&fleet)?;
    let backlog = live.written();
    proxy.set(Mood::Good);
    let back = Instant::now();
    live.run_until(|| Ok(committed(&fleet)? > before), Duration::from_secs(120))?;
    let resumed = back.elapsed().as_secs_f64();
    let at_resume = committed(&fleet)?;
    let draining = Instant::now();
    live.run_until(|| Ok(committed(&fleet)? >= backlog), Duration::from_secs(120))?;
    let drained = draining.elapsed().as_secs_f64();
    // What was committed in one go at once took no time to speak of.
    let rate = (backlog - before) as f64 / (drained + resumed.min(1.0)).max(0.001);
    let mut broken = Vec::new();
    let resumes = within(&mut broken, "ingest resumes", resumed, 10.0);
    let factor = rate / LIVE as f64;
    if factor < 5.0 {
        broken.push(format!("it drains {factor:.1} times as fast as live, promised 5"));
    }
    for feed in &mut live.feeds {
        feed.finish()?;
    }
    let written = live.written();
    fleet.finish()?;
    let copy = fleet.path("copy");
    moto.copy("trail", &copy)?;
    let verdict = Verdict::of(&fleet, &copy, written)?;
    let mut report = json!({
        "outage_seconds": time.as_secs(), "backlog": backlog - before, "resumes": resumes,
        "committed_with_the_first": at_resume - before,
        "drained_after_seconds": resumed + drained, "times_live": factor, "live_per_second": LIVE,
    });
    if let (Some(report), Some(told)) = (report.as_object_mut(), verdict.report().as_object()) {
        report.extend(told.clone());
    }
    broken.extend(verdict.problems);
    Ok(Outcome { report, broken })
}

/// Records at a steady rate.
struct Live {
    begun: Instant,
    next: usize,
    feeds: Vec<Feed<'static>>,
}

impl Live {
    fn written(&self) -> u64 {
        self.feeds.iter().map(Feed::written).sum()
    }

    fn run_for(&mut self, time: Duration) -> Result<()> {
        let until = Instant::now() + time;
        while Instant::now() < until {
            self.step()?;
        }
        Ok(())
    }

    fn run_until(&mut self, reached: impl Fn() -> Result<bool>, time_max: Duration) -> Result<()> {
        let begun = Instant::now();
        while !reached()? {
            if begun.elapsed() > time_max {
                bail!("it does not come in {} s", time_max.as_secs());
            }
            self.step()?;
        }
        Ok(())
    }

    fn step(&mut self) -> Result<()> {
        let due = self.begun.elapsed().as_secs_f64() * LIVE as f64;
        while (self.written() as f64) < due {
            self.next = (self.next + 1) % self.feeds.len();
            self.feeds.get_mut(self.next).context("a feed")?.step()?;
        }
        std::thread::sleep(Duration::from_millis(20));
        Ok(())
    }
}

/// Lines that the aggregator says it has committed.
fn committed(fleet: &Fleet) -> Result<u64> {
    let told = fleet.ask(0, "/metrics")?;
    let line = told.lines().find_map(|line| line.strip_prefix("orgtrail_aggregator_events_total "));
    Ok(line.and_then(|number| number.trim().parse().ok()).unwrap_or(0))
}
