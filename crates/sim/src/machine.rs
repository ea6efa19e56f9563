//! An agent's machine: its disk, the process on it, and what can happen to both.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use agent::{Agent, AgentError, Held, Owner, SpoolConfig};
use faults::{Dice, DiskRates, FaultyDisk};
use seam::{Disk, Gate, Guards};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::truth::{account, agent_name};

const STATE_DIR: &str = "/agent";

/// A machine. Several may stand for one agent: copies of each other.
pub(crate) struct Machine {
    /// Whose it is.
    pub(crate) agent: usize,
    pub(crate) disk: FaultyDisk,
    saved: Option<FaultyDisk>,
    process: Option<JoinSet<Result<(), AgentError>>>,
    /// Of its process and of who pushes to that.
    gate: Gate,
    /// Whoever pushes to it.
    applications: JoinSet<()>,
    /// Everything was read and acked.
    pub(crate) delivered: bool,
    /// It was fenced, and a person took it away.
    pub(crate) retired: bool,
    rates: DiskRates,
    dice: Dice,
}

/// How an agent's process ended.
pub(crate) enum Ended {
    Delivered,
    Fenced,
    /// The disk failed; whoever watches the process starts it again.
    DiskFailed,
    Broken(String),
}

pub(crate) fn state_dir() -> PathBuf {
    PathBuf::from(STATE_DIR)
}

pub(crate) fn owner(agent: usize) -> Owner {
    Owner { account: account(agent).to_string(), agent: agent_name().to_string() }
}

/// Small segments, so that a few records meet their bounds.
pub(crate) fn spool_config(guards: Guards) -> SpoolConfig {
    SpoolConfig { disk_bytes_max: 24 << 10, segment_bytes: 2 << 10, guards }
}

impl Machine {
    pub(crate) fn new(agent: usize, rates: DiskRates, dice: Dice) -> Self {
        let mut machine = Self {
            agent,
            disk: FaultyDisk::default(),
            saved: None,
            process: None,
            gate: Gate::default(),
            applications: JoinSet::new(),
            delivered: false,
            retired: false,
            rates,
            dice,
        };
        machine.put_in(FaultyDisk::default());
        machine
    }

    fn put_in(&mut self, disk: FaultyDisk) {
        disk.set_rates(self.rates, self.dice.clone());
        self.disk = disk;
        self.delivered = false;
    }

    pub(crate) fn is_running(&self) -> bool {
        self.process.is_some()
    }

    pub(crate) fn start(&mut self, agent: Agent, once: bool) {
        self.gate = Gate::default();
        let agent = Agent { gate: self.gate.clone(), ..agent };
        let mut process = JoinSet::new();
        let run = async move { agent.run(once, CancellationToken::new()).await };
        process.spawn(self.gate.pass(run));
        self.process = Some(process);
    }

    /// An application runs on it, until the agent ends.
    pub(crate) fn run_application(&mut self, run: impl Future<Output = ()> + Send + 'static) {
        self.applications.spawn(self.gate.pass(run));
    }

    /// Its agent, and who speaks with that, do nothing from here on.
    pub(crate) fn pause(&self) {
        self.gate.close();
    }

    /// They go on; says whether they were paused.
    pub(crate) fn resume(&self) -> bool {
        self.is_running() && self.gate.open()
    }

    /// kill -9: what was written is there, since the machine goes on.
    pub(crate) async fn kill(&mut self) {
        self.applications.shutdown().await;
        if let Some(mut process) = self.process.take() {
            process.abort_all();
            while process.join_next().await.is_some() {}
        }
    }

    /// The power has gone: what was not synced may be gone too.
    pub(crate) async fn lose_power(&mut self, in_pieces: bool) {
        self.kill().await;
        let seed = self.dice.below(u64::MAX);
        if in_pieces {
            self.disk.crash(seed)
        } else {
            self.disk.crash_in_order(seed)
        }
        self.delivered = false;
    }

    /// It is installed anew: nothing is on its disk.
    pub(crate) async fn reinstall(&mut self) {
        self.kill().await;
        self.put_in(FaultyDisk::default());
    }

    /// A copy of its disk is kept, or the one that is kept takes its place.
    pub(crate) async fn save_or_roll_back(&mut self) -> &'static str {
        self.kill().await;
        match self.saved.take() {
            Some(saved) if self.dice.one_in(2) => {
                self.put_in(saved);
                "rolled back"
            }
            _ => {
                self.saved = Some(FaultyDisk::holding(&self.disk.files()));
                "saved"
            }
        }
    }

    /// A copy of the machine, to run beside it.
    pub(crate) fn clone_of_it(&self) -> Self {
        let mut copy = Self::new(self.agent, self.rates, self.dice.clone());
        copy.put_in(FaultyDisk::holding(&self.disk.files()));
        copy
    }

    /// The disk works from here on.
    pub(crate) fn mend(&mut self) {
        self.rates = DiskRates::default();
        self.disk.set_rates(self.rates, self.dice.clone());
        self.disk.set_capacity(None);
        self.disk.heal();
    }

    /// What its spool holds. Looks at a copy, so that nothing is changed.
    pub(crate) fn look(&self) -> Result<Option<Held>, String> {
        let disk = FaultyDisk::holding(&self.disk.files()).handle();
        agent::look(
            &disk,
            Path::new(STATE_DIR),
            spool_config(Guards::default()),
            &owner(self.agent),
        )
        .map_err(|error| format!("the spool of agent {}: {error:?}", self.agent))
    }

    /// A person decides that this machine goes on: its next run leaves the spool,
    /// and if the store was restored, believes that it has less than was acked.
    pub(crate) async fn go_on(&mut self, restored: bool) -> Result<(), String> {
        self.kill().await;
        if self.look()?.is_none() {
            return Ok(());
        }
        let disk: Arc<dyn Disk> = self.disk.handle();
        self.delivered = false;
        let (config, owner) = (spool_config(Guards::default()), owner(self.agent));
        agent::take_over(&disk, Path::new(STATE_DIR), config, &owner)
            .and_then(|()| match restored {
                true => agent::restored(&disk, Path::new(STATE_DIR), config, &owner),
                false => Ok(()),
            })
            .map_err(|error| format!("agent {} cannot go on: {error:?}", self.agent))
    }

    /// How its process ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<Ended> {
        let ended = self.process.as_mut()?.try_join_next()?;
        self.applications.abort_all();
        let ended = match ended {
            Ok(Ok(())) => {
                self.delivered = true;
                Ended::Delivered
            }
            Ok(Err(AgentError::Fenced(_))) => Ended::Fenced,
            Ok(Err(error)) if is_of_the_disk(&error) => Ended::DiskFailed,
            Ok(Err(error)) => Ended::Broken(format!("agent {} gave up: {error:?}", self.agent)),
            Err(error) => Ended::Broken(format!("agent {}: {error}", self.agent)),
        };
        self.process = None;
        Some(ended)
    }
}

fn is_of_the_disk(error: &AgentError) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.is::<std::io::Error>() {
            return true;
        }
        cause = error.source();
    }
    false
}
