//! Aggregators on one store and agents of several accounts, as processes that
//! can be killed, moved and started again at any moment.
//!
//! Everything lies in one directory: the CA, the store, and for each process its
//! files and its configuration. What the processes must keep is in the store and
//! in the agents' state, so a value of this type holds nothing else of them.

use std::fs;
use std::net::TcpStream;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use tempfile::TempDir;

use crate::process::{PATIENCE, Process, free_port};
use crate::programs::{orgtrail, orgtrail_agent};
use crate::python::run;

/// Where agents look for aggregators, which is the name in their certificates.
const HOST: &str = "localhost";

const SIGTERM: i32 = 15;

/// How often something is looked at again.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Processes of one organization.
#[derive(Debug)]
pub struct Fleet {
    dir: TempDir,
    aggregators: Vec<Aggregator>,
    agents: Vec<Agent>,
}

#[derive(Debug)]
struct Aggregator {
    port: u16,
    process: Option<Process>,
}

#[derive(Debug)]
struct Agent {
    account: String,
    process: Option<Process>,
}

impl Fleet {
    /// Makes the CA, all certificates and configurations; starts nothing. There is
    /// one agent for each account, and each knows all aggregators.
    ///
    /// # Errors
    /// If a file or certificate cannot be made.
    pub fn new(aggregators: usize, accounts: &[String]) -> Result<Self> {
        let dir = tempfile::tempdir().context("make a directory")?;
        let mut fleet = Self { dir, aggregators: Vec::new(), agents: Vec::new() };
        fs::create_dir(fleet.store()).context("make the store's directory")?;
        fleet.ca(&["init", "--organization", "corp"])?;
        for index in 0..aggregators {
            fleet.add_aggregator(index)?;
        }
        let all: Vec<usize> = (0..aggregators).collect();
        for (index, account) in accounts.iter().enumerate() {
            let out = fleet.text(&format!("agent-{index}"));
            fleet.ca(&["issue", "--account", account, "--agent", "main", "--out", &out])?;
            fs::create_dir_all(fleet.feed(index)).context("make a feed's directory")?;
            fleet.agents.push(Agent { account: account.clone(), process: None });
            fleet.point(index, &all)?;
        }
        Ok(fleet)
    }

    /// The directory of the store.
    #[must_use]
    pub fn store(&self) -> PathBuf {
        self.path("store")
    }

    /// The directory that holds what all agents read.
    #[must_use]
    pub fn feeds(&self) -> PathBuf {
        self.path("feeds")
    }

    /// The directory that an agent reads.
    #[must_use]
    pub fn feed(&self, agent: usize) -> PathBuf {
        self.feeds().join(format!("{agent}"))
    }

    /// How many processes there can be: aggregators first, then agents.
    #[must_use]
    pub fn size(&self) -> usize {
        self.aggregators.len() + self.agents.len()
    }

    /// Starts every process that is not running.
    ///
    /// # Errors
    /// If one cannot be started.
    pub fn start_all(&mut self) -> Result<()> {
        (0..self.size()).try_for_each(|index| self.start(index))
    }

    /// Starts a process by its number, if it is not running.
    ///
    /// # Errors
    /// If it cannot be started, or it ended by itself.
    pub fn start(&mut self, index: usize) -> Result<()> {
        self.look_at(index)?;
        let (mut command, config) = if index < self.aggregators.len() {
            let mut command = Command::new(orgtrail()?);
            command.arg("serve");
            (command, self.path(&format!("aggregator-{index}.toml")))
        } else {
            let mut command = Command::new(orgtrail_agent()?);
            command.arg("run");
            let agent = index - self.aggregators.len();
            (command, self.path(&format!("agent-{agent}.toml")))
        };
        if let Some(slot @ None) = self.slot(index) {
            *slot = Some(Process::start(command.arg("--config").arg(config))?);
        }
        Ok(())
    }

    /// kill -9.
    ///
    /// # Errors
    /// If it had ended by itself.
    pub fn kill(&mut self, index: usize) -> Result<()> {
        self.look_at(index)?;
        // A process that is dropped is killed, and waited for.
        drop(self.slot(index).and_then(Option::take));
        Ok(())
    }

    /// Asks a process to stop, and waits until it has.
    ///
    /// # Errors
    /// If it does not, or not well.
    pub fn stop(&mut self, index: usize) -> Result<()> {
        let Some(process) = self.slot(index).and_then(Option::take) else { return Ok(()) };
        let (status, said) = process.stop()?;
        // One that has only just begun does not listen for signals yet.
        let too_early = status.signal() == Some(SIGTERM);
        ensure!(status.success() || too_early, "process {index} ended with {status}:\n{said}");
        Ok(())
    }

    /// Tells an agent which aggregators there are, in this order; it knows when it
    /// is started the next time.
    ///
    /// # Errors
    /// If its configuration cannot be written.
    pub fn point(&self, agent: usize, aggregators: &[usize]) -> Result<()> {
        let endpoints: Vec<_> = aggregators
            .iter()
            .filter_map(|index| self.aggregators.get(*index))
            .map(|aggregator| format!("{HOST}:{}", aggregator.port))
            .collect();
        let config = format!(
            "state_dir = {:?}\n\n[aggregator]\nendpoints = {endpoints:?}\n\n{}\n\
             [spool]\nsegment_bytes = 65536\n\n\
             [[source]]\nname = \"files\"\npath = {:?}\n",
            self.path(&format!("agent-{agent}-state")),
            identity(&self.path(&format!("agent-{agent}")), "agent"),
            self.feed(agent),
        );
        fs::write(self.path(&format!("agent-{agent}.toml")), config).context("configure an agent")
    }

    /// Lets every agent read to its end and hear its last ack, then drains the
    /// aggregators, which settles the table. Nothing runs afterwards.
    ///
    /// # Errors
    /// If anything does not end well.
    pub fn finish(&mut self) -> Result<()> {
        let first_agent = self.aggregators.len();
        (first_agent..self.size()).try_for_each(|index| self.stop(index))?;
        (0..first_agent).try_for_each(|index| self.start(index))?;
        self.aggregators.iter().try_for_each(Aggregator::wait_until_it_listens)?;
        let agents: Vec<_> = (0..self.agents.len())
            .map(|index| {
                let config = self.path(&format!("agent-{index}.toml"));
                let mut command = Command::new(orgtrail_agent()?);
                Process::start(command.args(["run", "--once", "--config"]).arg(config))
            })
            .collect::<Result<_>>()?;
        for (process, agent) in agents.into_iter().zip(&self.agents) {
            let (status, said) = process.wait().with_context(|| self.said())?;
            ensure!(status.success(), "the agent of {}: {status}\n{said}", agent.account);
        }
        (0..first_agent).try_for_each(|index| self.stop(index))
    }

    /// What `orgtrail status` tells about the store.
    ///
    /// # Errors
    /// If it fails, or is not JSON.
    pub fn status(&self) -> Result<Value> {
        let store = format!("file://{}", self.store().display());
        let mut command = Command::new(orgtrail()?);
        let told = run(command.args(["status", "-o", "json", "--store", &store]))?;
        serde_json::from_str(&told).context("read what orgtrail status tells")
    }

    /// All that the running processes said.
    #[must_use]
    pub fn said(&self) -> String {
        let aggregators = self.aggregators.iter().map(|aggregator| &aggregator.process);
        let agents = self.agents.iter().map(|agent| &agent.process);
        let running = aggregators.chain(agents).enumerate();
        let said = running.filter_map(|(index, process)| {
            Some(format!("process {index} said:\n{}", process.as_ref()?.said()))
        });
        said.collect::<Vec<_>>().join("\n")
    }

    fn add_aggregator(&mut self, index: usize) -> Result<()> {
        let out = self.text(&format!("aggregator-{index}"));
        self.ca(&["issue", "--server", HOST, "--out", &out])?;
        let (port, operations) = (free_port()?, free_port()?);
        let config = format!(
            "[store]\nurl = \"file://{}\"\n\n\
             [aggregator]\nlisten = \"127.0.0.1:{port}\"\nflush_age_millis = 200\n\n\
             [operations]\nlisten = \"127.0.0.1:{operations}\"\n\n\
             [table]\npass_age_secs = 2\n\n{}",
            self.store().display(),
            identity(Path::new(&out), "server"),
        );
        fs::write(self.path(&format!("aggregator-{index}.toml")), config)
            .context("configure an aggregator")?;
        self.aggregators.push(Aggregator { port, process: None });
        Ok(())
    }

    fn ca(&self, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new(orgtrail()?);
        run(command.arg("ca").args(arguments).arg("--dir").arg(self.path("ca")))
    }

    fn slot(&mut self, index: usize) -> Option<&mut Option<Process>> {
        let aggregators = self.aggregators.len();
        match self.aggregators.get_mut(index) {
            Some(aggregator) => Some(&mut aggregator.process),
            None => self.agents.get_mut(index - aggregators).map(|agent| &mut agent.process),
        }
    }

    /// A process that ended before anybody wanted it to is a failure.
    fn look_at(&mut self, index: usize) -> Result<()> {
        let Some(Some(process)) = self.slot(index) else { return Ok(()) };
        if let Some(status) = process.ended()? {
            bail!("process {index} ended by itself with {status}:\n{}", process.said());
        }
        Ok(())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_string_lossy().into_owned()
    }
}

impl Aggregator {
    fn wait_until_it_listens(&self) -> Result<()> {
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            if begun.elapsed() > PATIENCE {
                let said = self.process.as_ref().map(Process::said).unwrap_or_default();
                bail!("nobody listens on port {}; the aggregator said:\n{said}", self.port);
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }
}

/// `[identity]`, as both programs have it.
fn identity(dir: &Path, name: &str) -> String {
    let [ca, certificate, key] =
        ["ca.pem".to_owned(), format!("{name}.pem"), format!("{name}.key")]
            .map(|file| dir.join(file));
    format!("[identity]\nca = {ca:?}\ncertificate = {certificate:?}\nkey = {key:?}\n")
}
