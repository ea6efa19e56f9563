//! The environment of the readers and servers that are not ours.
//!
//! A virtual environment under Cargo's target directory, made on first use from
//! `oracle/requirements.txt` and made again when that file changes; another one, from
//! `oracle/engines.txt`, has what few tests need and takes long to install. A lock file
//! lets test processes that start together wait for the one that makes it.
//! Nothing outside the target directory is touched.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::programs::target;

const ADVICE: &str = "the tests check stores with DuckDB, Polars and PyArrow; they need Python 3.10 \
    or newer with its venv module (Debian, Ubuntu: apt-get install python3 python3-venv) and, the \
    first time, a way to PyPI";

/// A Python that has what `oracle/requirements.txt` names.
#[derive(Clone, Debug)]
pub struct Python {
    environment: PathBuf,
}

impl Python {
    /// The environment, made now if it is not there yet.
    ///
    /// # Errors
    /// If it cannot be made; the message says what to install.
    pub fn oracle() -> Result<Self> {
        let requirements = folder().join("requirements.txt");
        Self::with(&target().join("oracle-venv"), &requirements).context(ADVICE)
    }

    /// The environment of engines that take long to install (`oracle/engines.txt`), if
    /// there is the Java that Spark needs; otherwise says for everyone to see that a
    /// test was not made.
    ///
    /// # Panics
    /// If the environment cannot be made.
    #[must_use]
    pub fn engines(test: &str) -> Option<Self> {
        let java = Command::new("java").arg("-version").output();
        if !java.is_ok_and(|java| java.status.success()) {
            eprintln!(
                "NOT CHECKED: {test}: Spark needs Java (apt-get install default-jre-headless)"
            );
            return None;
        }
        let requirements = folder().join("engines.txt");
        let made = Self::with(&target().join("engines-venv"), &requirements).context(ADVICE);
        Some(made.expect("an environment"))
    }

    /// A command that runs `oracle/<script>` with whatever is added to it.
    #[must_use]
    pub fn script(&self, script: &str) -> Command {
        let mut command = Command::new(self.program("python"));
        command.arg(folder().join(script));
        command
    }

    /// A command that runs Python itself.
    #[must_use]
    pub fn python(&self) -> Command {
        Command::new(self.program("python"))
    }

    /// The path of a program that one of the packages installed, such as `moto_server`.
    #[must_use]
    pub fn program(&self, name: &str) -> PathBuf {
        self.environment.join("bin").join(name)
    }

    fn with(environment: &Path, requirements: &Path) -> Result<Self> {
        let wanted = fs::read_to_string(requirements).context("read requirements.txt")?;
        fs::create_dir_all(environment).context("create the environment's directory")?;
        let lock = File::create(environment.with_extension("lock")).context("create lock file")?;
        lock.lock().context("lock the environment")?;

        let made = environment.join("made-from-requirements.txt");
        if fs::read_to_string(&made).is_ok_and(|had| had == wanted) {
            return Ok(Self { environment: environment.to_owned() });
        }
        fs::remove_dir_all(environment).context("remove the old environment")?;
        run(Command::new("python3").args(["-m", "venv"]).arg(environment))?;
        run(Command::new(environment.join("bin").join("python"))
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"])
            .arg(requirements))?;
        fs::write(&made, wanted).context("note what the environment holds")?;
        Ok(Self { environment: environment.to_owned() })
    }
}

/// Runs `command` to its end and gives what it printed.
///
/// # Errors
/// If it cannot be started or does not exit with 0; the message holds the end of
/// what it wrote to both outputs.
pub fn run(command: &mut Command) -> Result<String> {
    let shown = show(command);
    let output = command.output().with_context(|| format!("start {shown}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        bail!("{shown}: {}\n{}\n{}", output.status, last_lines(&text), last_lines(&errors));
    }
    Ok(text)
}

/// The last lines of `text`, enough to see why something failed.
#[must_use]
pub fn last_lines(text: &str) -> String {
    const LINES_MAX: usize = 60;
    let skipped = text.lines().count().saturating_sub(LINES_MAX);
    text.lines().skip(skipped).collect::<Vec<_>>().join("\n")
}

fn show(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("oracle")
}
