//! The two programs under test, built as `cargo run --release` builds them.
//!
//! Cargo gives a test the path of its own package's programs only, so they are
//! built here once per test process. The command names no package: then Cargo
//! resolves the features of the whole workspace, as it does for the tests, and
//! finds everything compiled already. `ORGTRAIL_PROGRAMS` names a directory whose
//! programs are tested instead, such as those that are about to be released.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result, ensure};

/// The server and command line.
///
/// # Errors
/// If it cannot be built.
pub fn orgtrail() -> Result<PathBuf> {
    Ok(built()?.join("orgtrail"))
}

/// The agent.
///
/// # Errors
/// If it cannot be built.
pub fn orgtrail_agent() -> Result<PathBuf> {
    Ok(built()?.join("orgtrail-agent"))
}

/// The top of the tree: what a clone holds.
#[must_use]
pub fn workspace() -> &'static Path {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap_or(tests)
}

/// Where Cargo puts what it makes.
#[must_use]
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| workspace().join("target"), |dir| workspace().join(dir))
}

fn built() -> Result<PathBuf> {
    if let Some(dir) = std::env::var_os("ORGTRAIL_PROGRAMS") {
        return Ok(dir.into());
    }
    static BUILT: OnceLock<Result<(), String>> = OnceLock::new();
    let built = BUILT.get_or_init(|| build().map_err(|error| format!("{error:#}")));
    match built {
        Ok(()) => Ok(target().join("release")),
        Err(message) => Err(anyhow::Error::msg(message.clone())),
    }
}

fn build() -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    // What Cargo tells a test about its package makes build scripts that look at it
    // (ring's does) run again, and everything above them compile anew.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let about_package = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_"];
        if about_package.iter().any(|prefix| text.starts_with(prefix)) {
            command.env_remove(&name);
        }
    }
    let status = command
        .env_remove("LD_LIBRARY_PATH")
        .current_dir(workspace())
        .args(["build", "--release", "--locked", "--quiet"])
        .args(["--bin", "orgtrail", "--bin", "orgtrail-agent"])
        .status()
        .context("run cargo build")?;
    ensure!(status.success(), "cargo build --release --bin orgtrail --bin orgtrail-agent failed");
    Ok(())
}
