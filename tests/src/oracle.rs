//! Asks the independent checkers about a store, and runs the demo to have one.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::programs::{orgtrail, workspace};
use crate::python::{Python, run};

/// What a run of `orgtrail demo --json` left behind.
#[derive(Debug)]
pub struct Demo {
    dir: tempfile::TempDir,
    /// The directory of its store.
    pub store: PathBuf,
    /// The last line it printed.
    pub summary: Value,
}

impl Demo {
    /// Runs the demo with these arguments beside `--dir` and `--json`.
    ///
    /// # Errors
    /// It fails, prints no summary, or leaves no store.
    pub fn run(arguments: &[&str]) -> Result<Self> {
        let dir = tempfile::tempdir().context("make a directory")?;
        let mut command = Command::new(orgtrail()?);
        command.arg("demo").args(arguments).arg("--json").arg("--dir").arg(dir.path().join("demo"));
        let printed = run(&mut command)?;
        let last = printed.lines().last().context("the demo printed nothing")?;
        let summary = serde_json::from_str(last).context("read the demo's summary")?;
        let store = find_store(dir.path()).context("the demo left no store")?;
        Ok(Self { dir, store, summary })
    }

    /// A number of the summary.
    #[must_use]
    pub fn count(&self, name: &str) -> Option<u64> {
        self.summary.get(name).and_then(Value::as_u64)
    }

    /// Checks the store against the files that went in, with all the rules that
    /// `check.py` knows; gives what it found.
    ///
    /// # Errors
    /// Anything differs; the message names it.
    pub fn check(&self, source: &Path, more: &[&str]) -> Result<Value> {
        let summary = self.dir.path().join("summary.json");
        fs::write(&summary, self.summary.to_string()).context("write the summary")?;
        let status = self.dir.path().join("status.json");
        let url = format!("file://{}", self.store.display());
        let mut ask = Command::new(orgtrail()?);
        let told = run(ask.args(["status", "-o", "json", "--store"]).arg(url))?;
        fs::write(&status, told).context("write the status")?;
        let mut command = Python::oracle()?.script("check.py");
        command.arg("--status").arg(status).arg(&self.store).arg(source).arg("--organization");
        command.arg("--summary").arg(&summary).args(more);
        let found = run(&mut command)?;
        serde_json::from_str(&found).context("read what check.py found")
    }

    /// Lets DuckDB, Polars and PyArrow read the store.
    ///
    /// # Errors
    /// One of them reads something else than the summary tells.
    pub fn read_with_everything(&self) -> Result<()> {
        let rows = self.count("rows").context("the summary has no rows")?;
        let mut command = Python::oracle()?.script("readers.py");
        run(command.arg(&self.store).arg(rows.to_string())).map(drop)
    }
}

/// Runs `check.py` on a store without the files that went in.
///
/// # Errors
/// Anything differs; the message names it.
pub fn check_store(store: &Path) -> Result<Value> {
    let found = run(Python::oracle()?.script("check.py").arg(store))?;
    serde_json::from_str(&found).context("read what check.py found")
}

/// Lets all segments of a store's journal but the last expire, as retention does when
/// they are old enough, and deletes all but one of them; gives how much has expired.
///
/// # Errors
/// The journal is not what its written format says.
pub fn expire_journal(store: &Path) -> Result<Value> {
    let said = run(Python::oracle()?.script("expire.py").arg(store))?;
    serde_json::from_str(&said).context("read what expire.py says")
}

/// What `journal.py` finds in a store's journal alone.
///
/// # Errors
/// Anything in it is not what its written format says.
pub fn read_journal(store: &Path) -> Result<Value> {
    let said = run(Python::oracle()?.script("journal.py").arg(store))?;
    serde_json::from_str(&said).context("read what journal.py says")
}

/// What `check.py` finds in a store compared with the files that went in and with
/// what `orgtrail status` tells, whether it is content or not.
///
/// # Errors
/// If it cannot say.
pub fn compare(store: &Path, source: &Path, status: &Value) -> Result<Value> {
    let told = source.with_extension("status.json");
    fs::write(&told, status.to_string()).context("write the status")?;
    let mut command = Python::oracle()?.script("check.py");
    let output = command
        .arg("--status")
        .arg(&told)
        .arg(store)
        .arg(source)
        .output()
        .context("run check.py")?;
    serde_json::from_slice(&output.stdout)
        .with_context(|| format!("check.py says {}", String::from_utf8_lossy(&output.stderr)))
}

/// The directory below `dir` that is a store: the one with a journal.
///
/// # Errors
/// There is none.
pub fn find_store(dir: &Path) -> Result<PathBuf> {
    let mut open = vec![dir.to_owned()];
    while let Some(path) = open.pop() {
        if path.join("journal").join("log").is_dir() {
            return Ok(path);
        }
        let inside = fs::read_dir(&path).context("read a directory")?;
        open.extend(inside.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()));
    }
    bail!("no directory below {} has journal/log", dir.display())
}

/// The third-party test data beside the clone (`../shared/data`), if it is
/// there; otherwise says for everyone to see that a test was not made.
#[must_use]
pub fn shared_data(test: &str) -> Option<PathBuf> {
    let beside = workspace().parent().map(|above| above.join("shared"));
    let told = std::env::var_os("ORGTRAIL_SHARED").map(PathBuf::from);
    let found = [told, beside].into_iter().flatten().map(|path| path.join("data"));
    if let Some(data) = found.into_iter().find(|path| path.is_dir()) {
        return Some(data);
    }
    // Straight to the terminal: what a test prints is not shown when it passes.
    let told = writeln!(
        std::io::stderr(),
        "NOT CHECKED: {test} needs ../shared/data beside the clone (or ORGTRAIL_SHARED)"
    );
    told.ok();
    None
}
