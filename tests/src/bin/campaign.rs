//! The campaign: lets real processes fail in every way we know, and reports.
//!
//! Prints one JSON report. Exits with 0 if every promise held, with 3 if one
//! broke, with 4 if nothing broke but something could not be checked here.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Parser;
use tests::campaign::mix::{Fault, Mix};
use tests::campaign::recovery::Recovery;
use tests::campaign::sweep::{Failure, Sweep, Target};
use tests::campaign::{Report, Run};

/// Faults on real processes, and what became of every event.
#[derive(Debug, Parser)]
#[command(name = "campaign", arg_required_else_help = true)]
#[command(after_help = "Examples:
  campaign --kill-agents 100 --kill-aggregators 100 --cuts 50
  campaign --sweep
  campaign --everything --report report.json      what docs/reliability.md tells; takes hours")]
struct Flags {
    /// kill -9 of agents at random moments.
    #[arg(long, default_value_t = 0)]
    kill_agents: u64,
    /// kill -9 of aggregators, and of the table pass in them, at random moments.
    #[arg(long, default_value_t = 0)]
    kill_aggregators: u64,
    /// Lines between agents and aggregators that are reset, half open, silent, slow or lossy.
    #[arg(long, default_value_t = 0)]
    cuts: u64,
    /// 16 MiB file systems under spools that get full, and then have room again.
    #[arg(long, default_value_t = 0)]
    spools_full: u64,
    /// The same under the store, in a run of its own for every 20.
    #[arg(long, default_value_t = 0)]
    store_full: u64,
    /// SIGSTOP and later SIGCONT of agents and aggregators, in a run of its own.
    #[arg(long, default_value_t = 0)]
    zombies: u64,
    /// How long they stand still; every time-out is shorter than 210.
    #[arg(long, default_value_t = 210)]
    zombie_secs: u64,
    /// An S3 server that is gone, silent, slow or answers 409, 412, 500, 503; a run of its own.
    #[arg(long, default_value_t = 0)]
    s3: u64,
    /// A failure at every system call that changes spool or store: killed, EIO on write and fsync.
    #[arg(long)]
    sweep: bool,
    /// At every so many calls only.
    #[arg(long, default_value_t = 1)]
    sweep_step: u64,
    /// Measure how soon agents and aggregators go on.
    #[arg(long)]
    recovery: bool,
    /// All of the above in the numbers that are promised.
    #[arg(long)]
    everything: bool,
    /// Decides moments, victims and records.
    #[arg(long, default_value_t = 20_261_120)]
    seed: u64,
    /// Aggregators that race on one store.
    #[arg(long, default_value_t = 3)]
    aggregators: usize,
    /// Agents, each of an account of its own.
    #[arg(long, default_value_t = 8)]
    agents: usize,
    /// No fault of a run begins after so many seconds; those left are reported as not done.
    #[arg(long, default_value_t = 7_200)]
    seconds: u64,
    /// Where the report goes beside standard output.
    #[arg(long)]
    report: Option<PathBuf>,
}

fn main() -> Result<ExitCode> {
    let mut flags = Flags::parse();
    if flags.everything {
        flags.kill_agents = 1_000;
        flags.kill_aggregators = 1_000;
        flags.cuts = 200;
        flags.spools_full = 60;
        flags.store_full = 40;
        flags.zombies = 50;
        flags.s3 = 100;
        flags.sweep = true;
        flags.recovery = true;
    }
    let report = Report::of(&runs(&flags));
    let text = format!("{:#}\n", report.json());
    if let Some(path) = &flags.report {
        std::fs::write(path, &text).with_context(|| format!("write {}", path.display()))?;
    }
    std::io::Write::write_all(&mut std::io::stdout(), text.as_bytes())?;
    Ok(ExitCode::from(match (report.broken.is_empty(), report.not_checked.is_empty()) {
        (false, _) => 3,
        (true, false) => 4,
        (true, true) => 0,
    }))
}

fn runs(flags: &Flags) -> Vec<Box<dyn Run>> {
    let mut runs: Vec<Box<dyn Run>> = Vec::new();
    let mut mix = |name: &str, seed: u64, wanted: &[(Fault, u64)], at_once, pace_millis| {
        let wanted: BTreeMap<_, _> =
            wanted.iter().copied().filter(|(_, count)| *count > 0).collect();
        if !wanted.is_empty() {
            runs.push(Box::new(Mix {
                name: name.to_owned(),
                seed,
                aggregators: flags.aggregators,
                agents: flags.agents,
                wanted,
                frozen: Duration::from_secs(flags.zombie_secs),
                time_max: Duration::from_secs(flags.seconds),
                at_once,
                pace_millis,
            }));
        }
    };
    let fleet = [
        (Fault::KillAgent, flags.kill_agents),
        (Fault::KillAggregator, flags.kill_aggregators),
        (Fault::Cut, flags.cuts),
        (Fault::SpoolFull, flags.spools_full),
    ];
    mix("mix on one fleet", flags.seed, &fleet, 8, 150);
    mix("zombies", flags.seed + 1, &[(Fault::Zombie, flags.zombies)], 8, 1_000);
    mix("a bad S3 server", flags.seed + 2, &[(Fault::S3, flags.s3)], 1, 1_500);
    for (run, first) in (0..flags.store_full).step_by(20).enumerate() {
        let count = (flags.store_full - first).min(20);
        let seed = flags.seed + 3 + run as u64;
        mix("a full disk under the store", seed, &[(Fault::StoreFull, count)], 1, 1_500);
    }
    if flags.sweep {
        for target in [Target::FirstLife, Target::NextLife, Target::Store] {
            for failure in [Failure::Kill, Failure::Write("EIO"), Failure::Sync("EIO")] {
                let (step, seed) = (flags.sweep_step.max(1), flags.seed);
                runs.push(Box::new(Sweep { target, failure, step, seed }));
            }
        }
    }
    if flags.recovery {
        runs.push(Box::new(Recovery::Agent { bytes: 1 << 30 }));
        runs.push(Box::new(Recovery::Aggregator { records: 100_000 }));
        for silent in [false, true] {
            runs.push(Box::new(Recovery::Outage { time: Duration::from_secs(40), silent }));
        }
    }
    runs
}
