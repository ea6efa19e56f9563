//! One aggregator and whoever comes to it: a CA, a store, certificates, ports.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use crate::peer::Peer;
use crate::process::{Process, free_port};
use crate::programs::{orgtrail, orgtrail_agent};
use crate::python::run;

/// A directory with a CA, a store and a port to serve on.
#[derive(Debug)]
pub struct Room {
    dir: TempDir,
    /// Where the aggregator listens.
    pub port: u16,
    /// Where it tells how it is.
    pub operations: u16,
}

impl Room {
    /// Makes the CA and the aggregator's certificate and configuration; `settings`
    /// are lines of `[aggregator]`.
    ///
    /// # Errors
    /// If something cannot be made.
    pub fn new(settings: &str) -> Result<Self> {
        let dir = tempfile::tempdir().context("make a directory")?;
        let room = Self { dir, port: free_port()?, operations: free_port()? };
        fs::create_dir(room.store()).context("make the store's directory")?;
        room.ca(&["init", "--organization", "corp"])?;
        room.ca(&["issue", "--server", "localhost", "--out", &room.text("server")])?;
        let config = format!(
            "[store]\nurl = \"file://{}\"\n\n[aggregator]\nlisten = \"127.0.0.1:{}\"\n{settings}\n\n\
             [operations]\nlisten = \"127.0.0.1:{}\"\n\n[table]\npass_age_secs = 2\n\n{}",
            room.store().display(),
            room.port,
            room.operations,
            identity(&room.path("server"), "server"),
        );
        fs::write(room.path("orgtrail.toml"), config).context("configure the aggregator")?;
        Ok(room)
    }

    /// A path in the directory.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The directory of the store.
    #[must_use]
    pub fn store(&self) -> PathBuf {
        self.path("store")
    }

    /// Starts the aggregator and waits until it serves.
    ///
    /// # Errors
    /// If it does not.
    pub fn serve(&self) -> Result<Process> {
        let mut command = Command::new(orgtrail()?);
        let server =
            Process::start(command.arg("serve").arg("--config").arg(self.path("orgtrail.toml")))?;
        server.wait_for("serving")?;
        Ok(server)
    }

    /// Issues a certificate to an agent that speaks the protocol by hand.
    ///
    /// # Errors
    /// If it cannot be issued.
    pub fn peer(&self, account: &str, agent: &str) -> Result<Peer> {
        let dir = self.issue(account, agent, &[])?;
        Peer::new(&dir, account, agent, self.port)
    }

    /// Starts an agent that reads everything below `source` to its end and ends.
    /// It may deliver every account's records.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn read_once(&self, account: &str, agent: &str, source: &Path) -> Result<Process> {
        let dir = self.issue(account, agent, &["--organization"])?;
        let state = dir.join("state");
        let config = format!(
            "state_dir = {state:?}\n\n[aggregator]\nendpoints = [\"localhost:{}\"]\n\n{}\n\
             [[source]]\nname = \"files\"\npath = {source:?}\n",
            self.port,
            identity(&dir, "agent"),
        );
        let path = dir.join("agent.toml");
        fs::write(&path, config).context("configure an agent")?;
        let mut command = Command::new(orgtrail_agent()?);
        Process::start(command.args(["run", "--once", "--config"]).arg(path))
    }

    /// What `orgtrail status -o json` tells, as text.
    ///
    /// # Errors
    /// If it fails.
    pub fn status(&self) -> Result<String> {
        let mut command = Command::new(orgtrail()?);
        let store = format!("file://{}", self.store().display());
        run(command.args(["status", "-o", "json", "--store", &store]))
    }

    fn issue(&self, account: &str, agent: &str, more: &[&str]) -> Result<PathBuf> {
        let out = self.text(&format!("agent-{account}-{agent}"));
        if Path::new(&out).join("agent.pem").is_file() {
            return Ok(out.into());
        }
        let issue = ["issue", "--account", account, "--agent", agent, "--out", &out];
        self.ca(&[&issue, more].concat())?;
        Ok(out.into())
    }

    fn ca(&self, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new(orgtrail()?);
        run(command.arg("ca").args(arguments).arg("--dir").arg(self.path("ca")))
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

/// The most memory that a process has had at once, in bytes.
///
/// # Errors
/// If the system cannot tell.
pub fn peak_memory_bytes(process: u32) -> Result<u64> {
    let status =
        fs::read_to_string(format!("/proc/{process}/status")).context("read its status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("VmHWM")?;
    let kib: u64 = line.trim().trim_end_matches(" kB").trim().parse().context("a number")?;
    Ok(kib * 1024)
}
