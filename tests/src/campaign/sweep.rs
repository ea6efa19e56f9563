//! A program fails at its first system call that changes something, at its second,
//! and so on until it gets through without reaching the next one.
//!
//! Either the whole program is killed before the call is carried out, or the call
//! answers an error and the program has to cope: go on, or end with a sentence and
//! be started again. `oracle/syscalls.py` counts and fails the calls.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::json;

use super::{BEGIN, Outcome, Run, organization};
use crate::feed::Feed;
use crate::fleet::Fleet;
use crate::process::Process;
use crate::python::{Python, last_lines};
use crate::verdict::Verdict;

/// Records that a program has before it in each life: some files of a spool.
const RECORDS: u64 = 150;

/// What `syscalls.py` exits with where it cannot trace.
const NOT_POSSIBLE: i32 = 99;

/// What a program that was killed exits with.
const KILLED: i32 = 137;

/// How long a life may take; a traced program is slow.
const LIFE_MAX: Duration = Duration::from_secs(300);

/// How long an aggregator may leave an agent waiting after an error of its disk.
const STUCK: Duration = Duration::from_secs(60);

/// Which calls of which program fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// An agent's below its state directory, each life beginning without a spool.
    FirstLife,
    /// An agent's below its state directory, each life with what the last one left.
    NextLife,
    /// An aggregator's below the directory of its store, the table pass included.
    Store,
}

/// How they fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The program is killed.
    Kill,
    /// A write answers this error.
    Write(&'static str),
    /// An fsync answers this error.
    Sync(&'static str),
}

/// A sweep over the calls of one program.
#[derive(Clone, Debug)]
pub struct Sweep {
    /// Which program.
    pub target: Target,
    /// How its calls fail.
    pub failure: Failure,
    /// Every so many calls; 1 is complete.
    pub step: u64,
    /// Decides the records.
    pub seed: u64,
}

/// A sweep while it runs.
struct Course<'a> {
    sweep: &'a Sweep,
    fleet: Fleet,
    feed: Feed<'static>,
    /// How often calls of each name and kind of file failed.
    failed: BTreeMap<String, u64>,
    /// How often the program ended with a sentence.
    gave_up: BTreeMap<String, u64>,
    broken: Vec<String>,
}

/// How one life went.
struct Life {
    code: i32,
    said: String,
    fired: Option<String>,
}

impl Run for Sweep {
    fn name(&self) -> String {
        let target = match self.target {
            Target::FirstLife => "spool, from nothing",
            Target::NextLife => "spool, going on",
            Target::Store => "local store",
        };
        let failure = match self.failure {
            Failure::Kill => "kill -9".to_owned(),
            Failure::Write(error) => format!("{error} on write"),
            Failure::Sync(error) => format!("{error} on fsync"),
        };
        format!("system calls of the {target}: {failure} at every {}th", self.step)
    }

    fn run(&self) -> Result<Outcome> {
        let mut course = Course::new(self)?;
        let calls = course.run()?;
        course.judge(calls)
    }
}

impl<'a> Course<'a> {
    fn new(sweep: &'a Sweep) -> Result<Self> {
        let (organization, accounts) = organization(sweep.seed, 1);
        let fleet = Fleet::new(1, &accounts)?;
        let account = organization.accounts().first().copied().context("an account")?;
        let events = organization.account_events(account).context("an account's events")?;
        let feed = Feed::new(fleet.feed(0), events, sweep.seed, BEGIN.parse()?);
        let (failed, gave_up) = (BTreeMap::new(), BTreeMap::new());
        Ok(Self { sweep, fleet, feed, failed, gave_up, broken: Vec::new() })
    }

    /// Lives until one gets through; gives the number of calls that can fail.
    fn run(&mut self) -> Result<u64> {
        if self.sweep.target != Target::Store {
            self.fleet.start(0)?;
            self.fleet.wait_until_ready(0)?;
        }
        let mut at = 1;
        loop {
            let more = self.feed.written() + RECORDS;
            while self.feed.written() < more {
                self.feed.step()?;
            }
            // Half a line at the end of a run that reads to the end is no record.
            self.feed.finish()?;
            let life = match self.sweep.target {
                Target::Store => self.life_of_aggregator(at)?,
                Target::FirstLife | Target::NextLife => self.life_of_agent(at)?,
            };
            if life.code == NOT_POSSIBLE {
                bail!("system calls cannot be traced here: {}", last_lines(&life.said));
            }
            let Some(fired) = &life.fired else {
                if life.code != 0 {
                    self.broken.push(format!(
                        "a life without a fault ended with {}:\n{}",
                        life.code,
                        last_lines(&life.said)
                    ));
                }
                return Ok(at - 1);
            };
            *self.failed.entry(kind_of(fired)).or_default() += 1;
            self.look_at(at, &life);
            at += self.sweep.step;
        }
    }

    /// An agent reads to the end of its feed, if it can.
    fn life_of_agent(&mut self, at: u64) -> Result<Life> {
        if self.sweep.target == Target::FirstLife {
            let state = self.fleet.state(0);
            std::fs::remove_dir_all(&state).context("take the spool away")?;
            std::fs::create_dir(&state).context("make a state directory")?;
        }
        let agent = self.fleet.aggregators();
        let below = self.fleet.state(0);
        let mut command = self.traced(&below, at, self.fleet.command(agent)?.arg("--once"))?;
        let life = Life::of(Process::start(&mut command)?.wait_at_most(LIFE_MAX)?);
        let complete = self.sweep.target == Target::NextLife || life.fired.is_none();
        if !complete {
            // A spool is taken away next: what is in it has to arrive first.
            let process = Process::start(self.fleet.command(agent)?.arg("--once"))?;
            let (status, said) = process.wait_at_most(LIFE_MAX)?;
            if !status.success() {
                let fired = life.fired.as_deref().unwrap_or_default();
                self.broken.push(format!(
                    "after call {at} ({fired}) failed, the next life ended with {status}:\n{}",
                    last_lines(&said)
                ));
            }
        }
        Ok(life)
    }

    /// An aggregator takes in a feed, ends its table pass and drains, if it can.
    fn life_of_aggregator(&mut self, at: u64) -> Result<Life> {
        let below = self.fleet.store();
        let mut command = self.traced(&below, at, &mut self.fleet.command(0)?)?;
        let mut aggregator = Process::start(&mut command)?;
        let begun = Instant::now();
        while !self.fleet.is_ready(0) && aggregator.ended()?.is_none() && begun.elapsed() < STUCK {
            std::thread::sleep(Duration::from_millis(10));
        }
        let mut agent = Process::start(self.fleet.command(1)?.arg("--once"))?;
        let begun = Instant::now();
        let ended = loop {
            if aggregator.ended()?.is_some() || begun.elapsed() > STUCK {
                break None;
            }
            if let Some(status) = agent.ended()? {
                break Some(status);
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        if ended.is_some_and(|status| !status.success()) {
            self.broken
                .push(format!("at call {at} the agent gave up:\n{}", last_lines(&agent.said())));
        }
        drop(agent);
        if ended.is_none() && aggregator.ended()?.is_none() {
            let ready = if self.fleet.is_ready(0) {
                "says that it is ready"
            } else {
                "says that it is not ready"
            };
            self.broken.push(format!(
                "at call {at} the aggregator takes nothing any more, goes on and {ready}:\n{}",
                last_lines(&aggregator.said())
            ));
        }
        if aggregator.ended()?.is_none() {
            return Ok(Life::of(aggregator.stop()?));
        }
        Ok(Life::of(aggregator.wait()?))
    }

    /// The same command under the eyes of `syscalls.py`.
    fn traced(&self, below: &std::path::Path, at: u64, command: &mut Command) -> Result<Command> {
        let mut traced = Python::oracle()?.script("syscalls.py");
        traced.arg("--below").arg(below).args(["--at", &at.to_string()]);
        match self.sweep.failure {
            Failure::Kill => {}
            Failure::Write(error) => {
                traced.args(["--error", error, "--calls", "write,pwrite64,writev"]);
            }
            Failure::Sync(error) => {
                traced.args(["--error", error, "--calls", "fsync,fdatasync"]);
            }
        }
        traced.arg("--").arg(command.get_program()).args(command.get_args());
        Ok(traced)
    }

    /// A program that met a failure may be dead or go on or say why it ends.
    fn look_at(&mut self, at: u64, life: &Life) {
        let fired = life.fired.as_deref().unwrap_or_default();
        let said = last_lines(&life.said);
        if life.said.contains("panicked at") {
            self.broken.push(format!("at call {at} ({fired}) it panicked:\n{said}"));
        }
        let killed = self.sweep.failure == Failure::Kill;
        if killed != (life.code == KILLED)
            || (life.code != 0 && !killed && !life.said.contains("error: "))
        {
            self.broken
                .push(format!("at call {at} ({fired}) it ended with {}:\n{said}", life.code));
        }
        if !killed && life.code != 0 {
            let sentence = life.said.lines().rev().find(|line| line.starts_with("error: "));
            *self.gave_up.entry(without_digits(sentence.unwrap_or_default())).or_default() += 1;
        }
    }

    fn judge(mut self, calls: u64) -> Result<Outcome> {
        if self.sweep.target != Target::Store {
            self.fleet.stop(0)?;
        }
        let mut report = json!({
            "seed": self.sweep.seed,
            "calls": calls,
            "step": self.sweep.step,
            "complete": self.sweep.step == 1,
            "failed": self.failed,
            "ended_with_a_sentence": self.gave_up,
        });
        let mut broken = std::mem::take(&mut self.broken);
        let verdict = self
            .fleet
            .finish()
            .and_then(|()| Verdict::of(&self.fleet, &self.fleet.store(), self.feed.written()));
        match verdict {
            Ok(verdict) => {
                if let (Some(report), Some(told)) =
                    (report.as_object_mut(), verdict.report().as_object())
                {
                    report.extend(told.clone());
                }
                broken.extend(verdict.problems);
            }
            Err(error) => broken.push(format!("it does not end well: {error:#}")),
        }
        if !broken.is_empty() {
            broken.push(format!("what is left of it is in {}", self.fleet.keep().display()));
        }
        Ok(Outcome { report, broken })
    }
}

impl Life {
    fn of((status, said): (std::process::ExitStatus, String)) -> Self {
        let fired = said.lines().rev().find_map(|line| line.strip_prefix("syscalls: fired at "));
        Self { code: status.code().unwrap_or(-1), fired: fired.map(str::to_owned), said }
    }
}

/// The name of a call and the kind of its file: `17: fsync /…/spool/0001.seg` gives
/// `fsync spool/.seg`.
fn kind_of(fired: &str) -> String {
    let call = fired.split_once(": ").map_or(fired, |(_, call)| call);
    let (name, path) = call.split_once(' ').unwrap_or((call, ""));
    let mut parts = path.rsplit('/');
    let file = parts.next().unwrap_or_default();
    let dir = parts.next().unwrap_or_default();
    format!("{name} {}/{}", without_digits(dir), without_digits(file))
}

/// A text whose names of one kind are alike.
fn without_digits(text: &str) -> String {
    let mut kept = String::new();
    for word in text.split_inclusive(|c: char| !c.is_ascii_alphanumeric()) {
        let name = word.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
        if name.bytes().any(|byte| byte.is_ascii_digit()) {
            kept.push('#');
            kept.push_str(&word[name.len()..]);
        } else {
            kept.push_str(word);
        }
    }
    kept
}
