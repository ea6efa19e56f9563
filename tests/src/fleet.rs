//! Aggregators on one store and agents of several accounts, as processes that
//! can be killed, moved and started again at any moment.
//!
//! Everything lies in one directory: the CA, the store, and for each process its
//! files and its configuration. What the processes must keep is in the store and
//! in the agents' state, so a value of this type holds nothing else of them.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use tempfile::TempDir;

use crate::line::Line;
use crate::process::{PATIENCE, Process, free_port};
use crate::programs::{orgtrail, orgtrail_agent};
use crate::python::run;

/// Where agents look for aggregators, which is the name in their certificates.
const HOST: &str = "localhost";

const SIGTERM: i32 = 15;

/// How long the last of a long run may take to arrive, on a busy machine.
const END_PATIENCE: Duration = Duration::from_secs(600);

/// How often something is looked at again.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Processes of one organization.
#[derive(Debug)]
pub struct Fleet {
    dir: TempDir,
    store: Kept,
    segment_bytes: u64,
    aggregators: Vec<Aggregator>,
    agents: Vec<Agent>,
}

/// Where a fleet's store is kept.
#[derive(Clone, Debug)]
pub enum Kept {
    /// In its own directory.
    Here,
    /// At a URL, which is reached with these variables.
    At {
        /// The store's URL.
        url: String,
        /// What the environment says about it.
        variables: Vec<(String, String)>,
    },
}

/// What a fleet is made of.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How many aggregators there are.
    pub aggregators: usize,
    /// The account of each agent.
    pub accounts: Vec<String>,
    /// Where the store is.
    pub store: Kept,
    /// Whether each agent reaches each aggregator by a line that can be cut.
    pub lines: bool,
    /// The size of the files of a spool.
    pub segment_bytes: u64,
}

impl Plan {
    /// A store in a directory, no lines, spools of small files.
    #[must_use]
    pub fn new(aggregators: usize, accounts: &[String]) -> Self {
        let accounts = accounts.to_vec();
        Self { aggregators, accounts, store: Kept::Here, lines: false, segment_bytes: 65_536 }
    }
}

#[derive(Debug)]
struct Aggregator {
    port: u16,
    operations: u16,
    process: Option<Process>,
}

#[derive(Debug)]
struct Agent {
    account: String,
    process: Option<Process>,
    /// To each aggregator, if there are lines.
    lines: Vec<Line>,
}

impl Fleet {
    /// A fleet whose store is a directory and whose agents reach it directly.
    ///
    /// # Errors
    /// As [`Fleet::of`].
    pub fn new(aggregators: usize, accounts: &[String]) -> Result<Self> {
        Self::of(&Plan::new(aggregators, accounts))
    }

    /// Makes the CA, all certificates and configurations; starts nothing. There is
    /// one agent for each account, and each knows all aggregators.
    ///
    /// # Errors
    /// If a file or certificate cannot be made.
    pub fn of(plan: &Plan) -> Result<Self> {
        let dir = tempfile::tempdir().context("make a directory")?;
        let mut fleet = Self {
            dir,
            store: plan.store.clone(),
            segment_bytes: plan.segment_bytes,
            aggregators: Vec::new(),
            agents: Vec::new(),
        };
        fs::create_dir(fleet.store()).context("make the store's directory")?;
        fleet.ca(&["init", "--organization", "corp"])?;
        for index in 0..plan.aggregators {
            fleet.add_aggregator(index)?;
        }
        for account in &plan.accounts {
            fleet.add_agent(account, plan.lines)?;
        }
        Ok(fleet)
    }

    /// One more agent, which knows all aggregators; gives its number.
    ///
    /// # Errors
    /// If a file or certificate cannot be made.
    pub fn add_agent(&mut self, account: &str, with_lines: bool) -> Result<usize> {
        let agent = self.agents.len();
        let out = self.text(&format!("agent-{agent}"));
        self.ca(&["issue", "--account", account, "--agent", "main", "--out", &out])?;
        fs::create_dir_all(self.feed(agent)).context("make a feed's directory")?;
        fs::create_dir_all(self.state(agent)).context("make a state directory")?;
        let ports = self.aggregators.iter().map(|aggregator| aggregator.port);
        let lines = if with_lines { ports.map(Line::to).collect::<Result<_>>()? } else { vec![] };
        self.agents.push(Agent { account: account.to_owned(), process: None, lines });
        let all: Vec<usize> = (0..self.aggregators.len()).collect();
        self.point(agent, &all)?;
        Ok(agent)
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

    /// The directory in which an agent keeps what must survive.
    #[must_use]
    pub fn state(&self, agent: usize) -> PathBuf {
        self.path(&format!("agent-{agent}-state"))
    }

    /// How many aggregators there are.
    #[must_use]
    pub fn aggregators(&self) -> usize {
        self.aggregators.len()
    }

    /// The line from an agent to an aggregator.
    #[must_use]
    pub fn line(&self, agent: usize, aggregator: usize) -> Option<&Line> {
        self.agents.get(agent)?.lines.get(aggregator)
    }

    /// A process by its number, if it was started.
    #[must_use]
    pub fn process(&self, index: usize) -> Option<&Process> {
        let aggregators = self.aggregators.len();
        match self.aggregators.get(index) {
            Some(aggregator) => aggregator.process.as_ref(),
            None => self.agents.get(index - aggregators)?.process.as_ref(),
        }
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
        let mut command = self.command(index)?;
        if let Some(slot @ None) = self.slot(index) {
            *slot = Some(Process::start(&mut command)?);
        }
        Ok(())
    }

    /// How a process is started.
    ///
    /// # Errors
    /// If the programs cannot be built.
    pub fn command(&self, index: usize) -> Result<Command> {
        let (mut command, config) = match index.checked_sub(self.aggregators.len()) {
            None => {
                let mut command = Command::new(orgtrail()?);
                command.arg("serve");
                self.reach_store(&mut command);
                (command, format!("aggregator-{index}.toml"))
            }
            Some(agent) => {
                let mut command = Command::new(orgtrail_agent()?);
                command.arg("run");
                (command, format!("agent-{agent}.toml"))
            }
        };
        command.arg("--config").arg(self.path(&config));
        Ok(command)
    }

    /// Takes a process that has ended by itself out of the fleet: how it ended
    /// and what it had said. None while it runs, and if it was not started.
    ///
    /// # Errors
    /// If the system cannot tell.
    pub fn take_ended(&mut self, index: usize) -> Result<Option<(ExitStatus, String)>> {
        let Some(slot) = self.slot(index) else { return Ok(None) };
        let Some(process) = slot else { return Ok(None) };
        if process.ended()?.is_none() {
            return Ok(None);
        }
        slot.take().map(Process::wait).transpose()
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
        process.signal("TERM")?;
        let (status, said) = process.wait_at_most(END_PATIENCE)?;
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
        let port = |index: &usize| {
            let direct = self.aggregators.get(*index).map(|aggregator| aggregator.port);
            self.line(agent, *index).map(Line::port).or(direct)
        };
        let endpoints: Vec<_> =
            aggregators.iter().filter_map(port).map(|port| format!("{HOST}:{port}")).collect();
        let config = format!(
            "state_dir = {:?}\n\n[aggregator]\nendpoints = {endpoints:?}\n\n{}\n\
             [spool]\nsegment_bytes = {}\n\n\
             [[source]]\nname = \"files\"\npath = {:?}\n",
            self.state(agent),
            identity(&self.path(&format!("agent-{agent}")), "agent"),
            self.segment_bytes,
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
        (0..first_agent).try_for_each(|index| self.wait_until_ready(index))?;
        let agents: Vec<_> = (first_agent..self.size())
            .map(|index| Process::start(self.command(index)?.arg("--once")))
            .collect::<Result<_>>()?;
        for (process, agent) in agents.into_iter().zip(&self.agents) {
            let ended = process.wait_at_most(END_PATIENCE).with_context(|| self.said());
            let (status, said) = ended?;
            ensure!(status.success(), "the agent of {}: {status}\n{said}", agent.account);
        }
        (0..first_agent).try_for_each(|index| self.stop(index))
    }

    /// Leaves the directory for somebody to look into, and says where it is.
    pub fn keep(&mut self) -> PathBuf {
        self.dir.disable_cleanup(true);
        self.dir.path().to_owned()
    }

    /// What `orgtrail status` tells about the store.
    ///
    /// # Errors
    /// If it fails, or is not JSON.
    pub fn status(&self) -> Result<Value> {
        let mut command = Command::new(orgtrail()?);
        self.reach_store(&mut command);
        let told = run(command.args(["status", "-o", "json", "--store", &self.store_url()]))?;
        serde_json::from_str(&told).context("read what orgtrail status tells")
    }

    /// Waits until an aggregator answers that it is ready.
    ///
    /// # Errors
    /// If it ends, or is not ready within [`PATIENCE`].
    pub fn wait_until_ready(&mut self, aggregator: usize) -> Result<()> {
        let begun = Instant::now();
        while !self.is_ready(aggregator) {
            self.look_at(aggregator)?;
            ensure!(begun.elapsed() < PATIENCE, "not ready:\n{}", self.said());
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    /// Whether an aggregator says that it is ready.
    #[must_use]
    pub fn is_ready(&self, aggregator: usize) -> bool {
        self.ask(aggregator, "/readyz").is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
    }

    /// What an aggregator's operations listener answers.
    ///
    /// # Errors
    /// If it does not.
    pub fn ask(&self, aggregator: usize, path: &str) -> Result<String> {
        let aggregator = self.aggregators.get(aggregator).context("an aggregator")?;
        let mut stream = TcpStream::connect(("127.0.0.1", aggregator.operations))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        let asked = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(asked.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
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
            "[store]\nurl = \"{}\"\n\n\
             [aggregator]\nlisten = \"127.0.0.1:{port}\"\nflush_age_millis = 200\n\n\
             [operations]\nlisten = \"127.0.0.1:{operations}\"\n\n\
             [table]\npass_age_secs = 2\n\n{}",
            self.store_url(),
            identity(Path::new(&out), "server"),
        );
        fs::write(self.path(&format!("aggregator-{index}.toml")), config)
            .context("configure an aggregator")?;
        self.aggregators.push(Aggregator { port, operations, process: None });
        Ok(())
    }

    fn store_url(&self) -> String {
        match &self.store {
            Kept::Here => format!("file://{}", self.store().display()),
            Kept::At { url, .. } => url.clone(),
        }
    }

    fn reach_store(&self, command: &mut Command) {
        if let Kept::At { variables, .. } = &self.store {
            command.envs(variables.iter().map(|(name, value)| (name, value)));
        }
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

    /// A path in the fleet's directory.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_string_lossy().into_owned()
    }
}

/// `[identity]`, as both programs have it.
fn identity(dir: &Path, name: &str) -> String {
    let [ca, certificate, key] =
        ["ca.pem".to_owned(), format!("{name}.pem"), format!("{name}.key")]
            .map(|file| dir.join(file));
    format!("[identity]\nca = {ca:?}\ncertificate = {certificate:?}\nkey = {key:?}\n")
}
