//! The campaign: real processes under real faults, and one report on what held.
//!
//! A campaign is a list of runs. A **mix** lets faults of several kinds fall on one
//! fleet while events stream; a **sweep** lets a program fail at each of its system
//! calls in turn; a **recovery** measures how soon work goes on. Each run ends with
//! the judgement of the independent checker over everything that was written.
//!
//! A run that this machine cannot make (no mounting, no tracing) is not passed over:
//! the report names it among what was not checked.

pub mod mix;
pub mod recovery;
pub mod sweep;

use std::io::Write as _;
use std::time::Instant;

use anyhow::Result;
use sample::{Organization, Shape};
use serde_json::{Value, json};

/// One run of a campaign.
pub trait Run {
    /// What it is called in the report.
    fn name(&self) -> String;

    /// Makes the run.
    ///
    /// # Errors
    /// If it cannot be made here: then nothing was checked.
    fn run(&self) -> Result<Outcome>;
}

/// What a run came to.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// The numbers, for the report.
    pub report: Value,
    /// Each promise that broke, in a sentence.
    pub broken: Vec<String>,
}

/// What a whole campaign came to.
#[derive(Clone, Debug, Default)]
pub struct Report {
    runs: Vec<Value>,
    /// Each promise that broke.
    pub broken: Vec<String>,
    /// What this machine could not check, and why.
    pub not_checked: Vec<String>,
}

impl Report {
    /// Makes runs, one after the other, telling of each on standard error.
    #[must_use]
    pub fn of(runs: &[Box<dyn Run>]) -> Self {
        let mut report = Self::default();
        for run in runs {
            report.add(run.as_ref());
        }
        report
    }

    fn add(&mut self, run: &dyn Run) {
        let name = run.name();
        let begun = Instant::now();
        say(&format!("campaign: {name} …"));
        match run.run() {
            Ok(Outcome { report, broken }) => {
                let seconds = begun.elapsed().as_secs();
                say(&format!("campaign: {name}: {} broken, {seconds} s: {report}", broken.len()));
                self.runs.push(json!({
                    "run": name, "seconds": seconds, "result": report, "broken": broken,
                }));
                self.broken.extend(broken.into_iter().map(|what| format!("{name}: {what}")));
            }
            Err(error) => {
                say(&format!("NOT CHECKED: {name}: {error:#}"));
                self.not_checked.push(format!("{name}: {error:#}"));
            }
        }
    }

    /// The report as JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        let sum = |name: &str| -> u64 {
            let results = self.runs.iter().filter_map(|run| run.get("result"));
            results.filter_map(|result| result.get(name).and_then(Value::as_u64)).sum()
        };
        // Times mean little without it: other work is not ours to stop.
        let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        json!({
            "machine": {"cores": cores, "load_at_the_end": load.split(' ').next()},
            "records": sum("records"),
            "lost": sum("lost"),
            "duplicated": sum("duplicated"),
            "broken": self.broken,
            "not_checked": self.not_checked,
            "runs": self.runs,
        })
    }
}

/// Straight to the terminal, also out of a test that passes.
fn say(sentence: &str) {
    drop(writeln!(std::io::stderr(), "{sentence}"));
}

/// An invented organization of so many accounts, and their names.
///
/// It lives as long as the process: a campaign makes a few of them.
fn organization(seed: u64, accounts: usize) -> (&'static Organization, Vec<String>) {
    let shape = Shape { accounts, regions: 5, days: 1 };
    let organization: &Organization = Box::leak(Box::new(Organization::with_shape(seed, shape)));
    let names = organization.accounts().iter().map(ToString::to_string).collect();
    (organization, names)
}

/// The first record's time; the others follow it.
const BEGIN: &str = "2026-11-18T22:00:00Z";
