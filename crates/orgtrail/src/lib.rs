//! The server and the command line: composes the rest, no logic of its own.

mod command;
mod config;
mod exit;
#[cfg(test)]
mod golden;
mod memory;
mod node;
mod operations;
mod output;
mod progress;
mod signals;

use std::process::ExitCode;

/// Runs the command line that the process was started with.
#[must_use]
pub fn main() -> ExitCode {
    command::main()
}
