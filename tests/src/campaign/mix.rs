//! Faults of several kinds on one fleet, at random moments, while events stream.
//!
//! One loop writes records, begins faults and ends those whose time has come, so
//! several are under way at once. A process that ends by itself is started again, as
//! a supervisor does; unless its disk was full just then, that is a broken promise.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::json;

use super::{BEGIN, Outcome, Run, organization, say};
use crate::dice::Dice;
use crate::feed::Feed;
use crate::fleet::{Fleet, Kept, Plan};
use crate::line::{Cut, Quality};
use crate::moto::Moto;
use crate::s3_proxy::{Mood, Proxy};
use crate::small_disk::{Kind, Lack, SmallDisk};
use crate::verdict::Verdict;

/// The bucket of a store on S3.
const BUCKET: &str = "trail";

/// How often the loop goes round.
const ROUND: Duration = Duration::from_millis(20);

/// How often a long run says how far it is.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// How long after its disk has room again a process may still end for the lack of it.
const DISK_EXCUSES: Duration = Duration::from_secs(15);

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// kill -9 of an agent.
    KillAgent,
    /// kill -9 of an aggregator, and of the table pass in it.
    KillAggregator,
    /// SIGSTOP, later SIGCONT, of an agent or an aggregator.
    Zombie,
    /// A line that is cut, half open, silent, slow or lossy.
    Cut,
    /// The disk under a spool has no room, then again.
    SpoolFull,
    /// The disk under the store has no room, then again.
    StoreFull,
    /// The S3 server is gone, silent, slow or answers badly, then well again.
    S3,
}

impl Fault {
    /// Its name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::KillAgent => "agents_killed",
            Self::KillAggregator => "aggregators_killed",
            Self::Zombie => "zombies",
            Self::Cut => "network_cuts",
            Self::SpoolFull => "spool_disk_full",
            Self::StoreFull => "store_disk_full",
            Self::S3 => "s3_faults",
        }
    }
}

/// A mix of faults.
#[derive(Clone, Debug)]
pub struct Mix {
    /// What it is called.
    pub name: String,
    /// Decides moments, victims and records.
    pub seed: u64,
    /// How many aggregators race on the store.
    pub aggregators: usize,
    /// How many agents.
    pub agents: usize,
    /// How many faults of each kind.
    pub wanted: BTreeMap<Fault, u64>,
    /// How long a process stays stopped.
    pub frozen: Duration,
    /// No fault begins after this time.
    pub time_max: Duration,
    /// Faults under way at once, at most.
    pub at_once: usize,
    /// The time between two faults, on average, in milliseconds.
    pub pace_millis: u64,
}

/// What a fault is upon; each has one at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Subject {
    Process(usize),
    Line(usize, usize),
    Disk(usize),
    Store,
}

/// How a fault ends.
#[derive(Clone, Copy, Debug)]
enum End {
    Start,
    Continue,
    Mend,
    Empty,
    Behave,
}

struct Ending {
    at: Instant,
    subject: Subject,
    end: End,
}

/// A mix while it runs.
struct Course<'a> {
    mix: &'a Mix,
    dice: Dice,
    // Before the disks, which it lies on: processes end first.
    fleet: Fleet,
    spool_disks: Vec<SmallDisk>,
    store_disk: Option<SmallDisk>,
    s3: Option<(Moto, Proxy)>,
    feeds: Vec<Feed<'static>>,
    left: BTreeMap<Fault, u64>,
    endings: Vec<Ending>,
    born: BTreeMap<usize, Instant>,
    lacked: BTreeMap<Subject, Instant>,
    broken: Vec<String>,
    ended: Vec<String>,
}

impl Run for Mix {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn run(&self) -> Result<Outcome> {
        let mut course = Course::new(self)?;
        course.stream()?;
        course.judge()
    }
}

impl<'a> Course<'a> {
    fn new(mix: &'a Mix) -> Result<Self> {
        let (organization, accounts) = organization(mix.seed, mix.agents);
        let s3 = if mix.wanted.contains_key(&Fault::S3) {
            let moto = Moto::start(BUCKET)?;
            let proxy = Proxy::start(moto.address(), false)?;
            Some((moto, proxy))
        } else {
            None
        };
        let mut plan = Plan::new(mix.aggregators, &accounts);
        plan.lines = mix.wanted.contains_key(&Fault::Cut);
        if let Some((_, proxy)) = &s3 {
            plan.store = on_s3(proxy);
        }
        let fleet = Fleet::of(&plan)?;
        let mut spool_disks = Vec::new();
        if mix.wanted.contains_key(&Fault::SpoolFull) {
            for agent in 0..mix.agents {
                let kind = if agent % 2 == 0 { Kind::Ext4 } else { Kind::Tmpfs };
                spool_disks.push(SmallDisk::mount(kind, &fleet.state(agent))?);
            }
        }
        let mut store_disk = None;
        if mix.wanted.contains_key(&Fault::StoreFull) {
            let kind = if mix.seed.is_multiple_of(2) { Kind::Ext4 } else { Kind::Tmpfs };
            store_disk = Some(SmallDisk::mount(kind, &fleet.store())?);
        }
        let begin = BEGIN.parse().context("read a time")?;
        let names = organization.accounts();
        let feeds = names.iter().enumerate().map(|(agent, account)| {
            let events = organization.account_events(*account).context("an account's events")?;
            Ok(Feed::new(fleet.feed(agent), events, mix.seed ^ agent as u64, begin))
        });
        Ok(Self {
            mix,
            dice: Dice::new(mix.seed),
            feeds: feeds.collect::<Result<_>>()?,
            fleet,
            spool_disks,
            store_disk,
            s3,
            left: mix.wanted.clone(),
            endings: Vec::new(),
            born: BTreeMap::new(),
            lacked: BTreeMap::new(),
            broken: Vec::new(),
            ended: Vec::new(),
        })
    }

    /// Lets events stream and faults fall until there are none left.
    fn stream(&mut self) -> Result<()> {
        let begun = Instant::now();
        for index in 0..self.fleet.size() {
            self.start(index)?;
        }
        // The first spools are opened in peace: a disk without room has none yet.
        for aggregator in 0..self.mix.aggregators {
            self.fleet.wait_until_ready(aggregator)?;
        }
        self.write_for(Duration::from_secs(2))?;
        let (mut next, mut told) = (Instant::now(), Instant::now());
        while self.to_come() > 0 && begun.elapsed() < self.mix.time_max {
            self.round()?;
            if told.elapsed() > TELL_EVERY {
                told = Instant::now();
                say(&format!("campaign: {}: {} faults to come", self.mix.name, self.to_come()));
            }
            if Instant::now() >= next && self.endings.len() < self.mix.at_once {
                self.strike()?;
                let pause = self.dice.below(2 * self.mix.pace_millis);
                next = Instant::now() + Duration::from_millis(pause);
            }
        }
        while !self.endings.is_empty() {
            self.round()?;
        }
        self.write_for(Duration::from_secs(3))
    }

    fn to_come(&self) -> u64 {
        self.left.values().sum()
    }

    fn write_for(&mut self, time: Duration) -> Result<()> {
        let until = Instant::now() + time;
        while Instant::now() < until {
            self.round()?;
        }
        Ok(())
    }

    /// Writes some records, ends what is due, and looks after the processes.
    fn round(&mut self) -> Result<()> {
        if self.dice.below(8) == 0 {
            let feed = self.dice.index(self.feeds.len());
            self.feeds.get_mut(feed).context("a feed")?.step()?;
        }
        let now = Instant::now();
        let (due, later) = std::mem::take(&mut self.endings).into_iter().partition(|e| e.at <= now);
        self.endings = later;
        for Ending { subject, end, .. } in Vec::<Ending>::from_iter(due) {
            self.end(subject, end)?;
        }
        for index in 0..self.fleet.size() {
            self.look_after(index)?;
        }
        std::thread::sleep(ROUND);
        Ok(())
    }

    fn start(&mut self, index: usize) -> Result<()> {
        self.fleet.start(index)?;
        // Who may be killed again: sometimes at once, sometimes after some work.
        let grace = Duration::from_millis(self.dice.below(2_500));
        self.born.insert(index, Instant::now() + grace);
        Ok(())
    }

    /// Starts a process again that ended by itself, and notes that it did.
    fn look_after(&mut self, index: usize) -> Result<()> {
        let Some((status, said)) = self.fleet.take_ended(index)? else { return Ok(()) };
        let disk = match index.checked_sub(self.mix.aggregators) {
            Some(agent) => Subject::Disk(agent),
            None => Subject::Store,
        };
        let full = self.is_busy(disk)
            || self.lacked.get(&disk).is_some_and(|at| at.elapsed() < DISK_EXCUSES);
        let last = said.lines().last().unwrap_or_default();
        let what = format!("process {index} ended by itself with {status}: {last}");
        if !full || self.disks_of(disk).is_none() || said.contains("panicked") {
            self.broken.push(format!("{what}\n{}", crate::python::last_lines(&said)));
        } else {
            self.ended.push(what);
        }
        self.start(index)
    }

    fn disks_of(&self, subject: Subject) -> Option<&SmallDisk> {
        match subject {
            Subject::Disk(agent) => self.spool_disks.get(agent),
            Subject::Store => self.store_disk.as_ref(),
            _ => None,
        }
    }

    fn is_busy(&self, subject: Subject) -> bool {
        self.endings.iter().any(|ending| ending.subject == subject)
    }

    /// Begins one fault of a kind that is left, upon somebody who has none.
    fn strike(&mut self) -> Result<()> {
        let mut at = self.dice.below(self.to_come());
        let drawn = self.left.iter().find(|(_, left)| {
            let here = at < **left;
            at = at.saturating_sub(**left);
            here
        });
        let Some((fault, _)) = drawn else { return Ok(()) };
        let fault = *fault;
        let Some(subject) = self.subject(fault) else { return Ok(()) };
        let (millis, end) = match fault {
            Fault::KillAgent | Fault::KillAggregator => self.kill(subject)?,
            Fault::Zombie => self.freeze(subject)?,
            Fault::Cut => self.cut(subject),
            Fault::SpoolFull | Fault::StoreFull => self.fill(subject)?,
            Fault::S3 => self.spoil(),
        };
        let at = Instant::now() + Duration::from_millis(millis);
        self.endings.push(Ending { at, subject, end });
        if let Some(left) = self.left.get_mut(&fault) {
            *left -= 1;
        }
        Ok(())
    }

    fn subject(&mut self, fault: Fault) -> Option<Subject> {
        let Mix { aggregators, agents, .. } = *self.mix;
        let agent = self.dice.index(agents);
        let aggregator = self.dice.index(aggregators);
        let subject = match fault {
            Fault::KillAgent => Subject::Process(aggregators + agent),
            Fault::KillAggregator => Subject::Process(aggregator),
            // Somebody else always goes on.
            Fault::Zombie if self.dice.below(4) == 0 => {
                let busy: BTreeSet<_> =
                    (0..aggregators).map(Subject::Process).filter(|s| self.is_busy(*s)).collect();
                if busy.len() + 1 >= aggregators {
                    return None;
                }
                Subject::Process(aggregator)
            }
            Fault::Zombie => Subject::Process(aggregators + agent),
            Fault::Cut => Subject::Line(agent, aggregator),
            Fault::SpoolFull => Subject::Disk(agent),
            Fault::StoreFull | Fault::S3 => Subject::Store,
        };
        let young = match subject {
            Subject::Process(index) => self.born.get(&index).is_some_and(|at| *at > Instant::now()),
            _ => false,
        };
        (!young && !self.is_busy(subject)).then_some(subject)
    }

    fn kill(&mut self, subject: Subject) -> Result<(u64, End)> {
        if let Subject::Process(index) = subject {
            self.look_after(index)?;
            self.fleet.kill(index)?;
        }
        let pause = if self.dice.below(3) == 0 { self.dice.below(500) } else { 0 };
        Ok((pause, End::Start))
    }

    fn freeze(&mut self, subject: Subject) -> Result<(u64, End)> {
        if let Subject::Process(index) = subject {
            self.fleet.process(index).context("a process")?.signal("STOP")?;
        }
        let frozen = u64::try_from(self.mix.frozen.as_millis()).unwrap_or(u64::MAX);
        Ok((frozen, End::Continue))
    }

    fn cut(&mut self, subject: Subject) -> (u64, End) {
        let Subject::Line(agent, aggregator) = subject else { return (0, End::Mend) };
        let Some(line) = self.fleet.line(agent, aggregator) else { return (0, End::Mend) };
        let slow = Quality::Slow { millis: 50 + self.dice.below(400), bytes_per_second: 20_000 };
        match self.dice.below(8) {
            0 | 1 => line.cut(Cut::Both),
            2 => line.cut(Cut::AggregatorOnly),
            3 => line.cut(Cut::AgentOnly),
            4 => line.set(Quality::Silent),
            5 => line.set(if self.dice.below(2) == 0 {
                Quality::OnlyThere
            } else {
                Quality::OnlyBack
            }),
            6 => line.set(slow),
            _ => line.set(Quality::Lossy),
        }
        (200 + self.dice.below(8_000), End::Mend)
    }

    fn fill(&mut self, subject: Subject) -> Result<(u64, End)> {
        let lack = if self.dice.below(3) == 0 { Lack::Inodes } else { Lack::Space };
        if let Some(disk) = self.disks_of(subject) {
            disk.fill(lack)?;
        }
        Ok((500 + self.dice.below(6_000), End::Empty))
    }

    fn spoil(&mut self) -> (u64, End) {
        let mood = match self.dice.below(6) {
            0 => Mood::Gone,
            1 => Mood::Silent,
            2 => Mood::Slow(Duration::from_millis(100 + self.dice.below(1_500))),
            _ => Mood::Faulty(1 + self.dice.below(6)),
        };
        if let Some((_, proxy)) = &self.s3 {
            proxy.set(mood);
        }
        (500 + self.dice.below(6_000), End::Behave)
    }

    fn end(&mut self, subject: Subject, end: End) -> Result<()> {
        match (end, subject) {
            (End::Start, Subject::Process(index)) => self.start(index)?,
            (End::Continue, Subject::Process(index)) => {
                self.fleet.process(index).context("a process")?.signal("CONT")?;
            }
            (End::Mend, Subject::Line(agent, aggregator)) => {
                let line = self.fleet.line(agent, aggregator).context("a line")?;
                line.set(Quality::Good);
                // What stood still goes on, or ends at last.
                if self.dice.below(2) == 0 {
                    line.cut(Cut::Both);
                }
            }
            (End::Empty, subject) => {
                if let Some(disk) = self.disks_of(subject) {
                    disk.empty()?;
                }
                self.lacked.insert(subject, Instant::now());
            }
            _ => {
                if let Some((_, proxy)) = &self.s3 {
                    proxy.set(Mood::Good);
                }
            }
        }
        Ok(())
    }

    /// Lets everything end, and asks the checker.
    fn judge(mut self) -> Result<Outcome> {
        for feed in &mut self.feeds {
            feed.finish()?;
        }
        for index in 0..self.fleet.size() {
            self.look_after(index)?;
        }
        let written: u64 = self.feeds.iter().map(Feed::written).sum();
        let mut faults = serde_json::Map::new();
        for (fault, wanted) in &self.mix.wanted {
            let left = self.left.get(fault).copied().unwrap_or(0);
            faults
                .insert(fault.name().to_owned(), json!({"wanted": wanted, "done": wanted - left}));
        }
        let mut report =
            json!({"seed": self.mix.seed, "faults": faults, "ended_for_lack_of_room": self.ended});
        let mut broken = std::mem::take(&mut self.broken);
        let seed = self.mix.seed;
        match self.fleet.finish().and_then(|()| self.verdict(written)) {
            Ok(verdict) => {
                if let (Some(report), Some(told)) =
                    (report.as_object_mut(), verdict.report().as_object())
                {
                    report.extend(told.clone());
                }
                broken.extend(
                    verdict.problems.into_iter().map(|what| format!("seed {seed}: {what}")),
                );
            }
            Err(error) => broken.push(format!("seed {seed}: it does not end well: {error:#}")),
        }
        if !broken.is_empty() {
            broken.push(format!("what is left of it is in {}", self.fleet.keep().display()));
        }
        Ok(Outcome { report, broken })
    }

    fn verdict(&self, written: u64) -> Result<Verdict> {
        let Some((moto, _)) = &self.s3 else {
            return Verdict::of(&self.fleet, &self.fleet.store(), written);
        };
        let copy = self.fleet.path("copy");
        moto.copy(BUCKET, &copy)?;
        Verdict::of(&self.fleet, &copy, written)
    }
}

/// A store on S3 behind a proxy.
pub(super) fn on_s3(proxy: &Proxy) -> Kept {
    let variables = [
        ("AWS_ACCESS_KEY_ID", "AKIAFORTESTS".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "secret".to_owned()),
        ("AWS_REGION", "us-east-1".to_owned()),
        ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
        ("AWS_ENDPOINT_URL_S3", proxy.endpoint()),
    ];
    let variables = variables.map(|(name, value)| (name.to_owned(), value)).to_vec();
    Kept::At { url: format!("s3://{BUCKET}"), variables }
}
