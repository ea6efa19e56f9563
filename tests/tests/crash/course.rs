//! A course of events: a fleet, what it reads, and what happens to it.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use sample::{Organization, Shape};
use tests::dice::Dice;
use tests::feed::Feed;
use tests::fleet::Fleet;
use tests::verdict::Verdict;

/// Records are written in steps this far apart.
const STEP: Duration = Duration::from_millis(40);

/// The first record's time; the others follow it.
const BEGIN: &str = "2026-11-18T22:00:00Z";

pub(crate) struct Course {
    seed: u64,
    pub(crate) dice: Dice,
    fleet: Fleet,
    feeds: Vec<Feed<'static>>,
    aggregators: usize,
}

impl Course {
    pub(crate) fn new(aggregators: usize, agents: usize, usual_seed: u64) -> Self {
        let seed = Dice::seed(usual_seed);
        let shape = Shape { accounts: agents, regions: 5, days: 1 };
        // A test ends with its process.
        let organization: &Organization =
            Box::leak(Box::new(Organization::with_shape(seed, shape)));
        let accounts = organization.accounts();
        let names: Vec<_> = accounts.iter().map(ToString::to_string).collect();
        let fleet = Fleet::new(aggregators, &names).expect("make a fleet");
        let begin = BEGIN.parse().expect("a time");
        let feeds = accounts.iter().enumerate().map(|(index, account)| {
            let events = organization.account_events(*account).expect("its own account");
            Feed::new(fleet.feed(index), events, seed ^ index as u64, begin)
        });
        let feeds = feeds.collect();
        Self { seed, dice: Dice::new(seed), fleet, feeds, aggregators }
    }

    /// Starts all, lets `happen` happen, and checks the result.
    pub(crate) fn run(&mut self, happen: impl FnOnce(&mut Self) -> Result<()>) {
        let result = self.fleet.start_all().and_then(|()| happen(self)).and_then(|()| self.check());
        if let Err(error) = result {
            panic!("ORGTRAIL_SEED={}: {error:?}\n{}", self.seed, self.fleet.said());
        }
    }

    /// Writes records for so long.
    pub(crate) fn stream_for(&mut self, time: Duration) -> Result<()> {
        let begun = Instant::now();
        while begun.elapsed() < time {
            let feed = self.dice.index(self.feeds.len());
            self.feeds.get_mut(feed).context("a feed")?.step()?;
            std::thread::sleep(STEP / u32::try_from(self.feeds.len()).unwrap_or(1));
        }
        Ok(())
    }

    /// Kills one process, and starts it again now or a little later.
    pub(crate) fn kill_one(&mut self) -> Result<()> {
        // Every other one is an aggregator, of which there are fewer.
        let index = if self.dice.below(2) == 0 {
            self.dice.index(self.aggregators)
        } else {
            self.aggregators + self.dice.index(self.feeds.len())
        };
        self.fleet.kill(index)?;
        if self.dice.below(3) == 0 {
            let pause = Duration::from_millis(self.dice.below(500));
            self.stream_for(pause)?;
        }
        self.fleet.start(index)
    }

    pub(crate) fn kill_aggregator(&mut self, index: usize) -> Result<()> {
        self.fleet.kill(index)?;
        let pause = Duration::from_millis(500 + self.dice.below(1_500));
        self.stream_for(pause)?;
        self.fleet.start(index)
    }

    /// Stops an agent and starts it with these aggregators.
    pub(crate) fn move_to(&mut self, agent: usize, aggregators: &[usize]) -> Result<()> {
        let index = self.aggregators + agent;
        if self.dice.below(2) == 0 {
            self.fleet.stop(index)?;
        } else {
            self.fleet.kill(index)?;
        }
        self.fleet.point(agent, aggregators)?;
        self.fleet.start(index)
    }

    /// Lets everything end, and compares the store with the files.
    fn check(&mut self) -> Result<()> {
        for feed in &mut self.feeds {
            feed.finish()?;
        }
        self.fleet.finish().context("end well")?;
        let written: u64 = self.feeds.iter().map(Feed::written).sum();
        let verdict = Verdict::of(&self.fleet, &self.fleet.store(), written)?;
        ensure!(
            verdict.problems.is_empty(),
            "{}\n{:#}",
            verdict.problems.join("\n"),
            verdict.found
        );
        eprintln!("{written} records, seed {}: {:#}", self.seed, verdict.found);
        Ok(())
    }
}
