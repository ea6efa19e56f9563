//! How a command ends, for people and for scripts.
//!
//! 0 done · 1 failed · 2 wrong usage or configuration · 5 the answer is
//! incomplete and completeness was required · 130/143 signals.

use std::fmt;
use std::process::ExitCode;

/// Marks an error as one of usage or configuration.
#[derive(Debug)]
pub(crate) struct Misconfigured;

impl fmt::Display for Misconfigured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the configuration cannot be used")
    }
}

impl std::error::Error for Misconfigured {}

/// Marks an error of a question: of a filter, a time or a statement.
#[derive(Debug)]
pub(crate) struct Misused;

impl fmt::Display for Misused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("this cannot be asked")
    }
}

impl std::error::Error for Misused {}

/// Marks an answer that is, or may be, incomplete where completeness was required.
#[derive(Debug)]
pub(crate) struct Incomplete;

impl fmt::Display for Incomplete {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the answer may be incomplete, and --require-complete was given")
    }
}

impl std::error::Error for Incomplete {}

/// Prints an error and gives the exit code that it stands for.
pub(crate) fn report(error: &anyhow::Error, verbose: bool) -> ExitCode {
    let is_incomplete = error.is::<Incomplete>();
    let misconfigured =
        error.is::<Misconfigured>() || error.is::<Misconfigured>() || error.is::<Misused>();
    let mut causes: Vec<String> = Vec::new();
    for cause in error.chain() {
        let text = cause.to_string();
        if !causes.iter().any(|known| known.contains(&text)) {
            causes.push(text);
        }
    }
    let join = if verbose { "\n  because: " } else { ": " };
    let text: String = causes
        .join(join)
        .chars()
        .map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c })
        .collect();
    eprintln!("error: {text}");
    ExitCode::from(match (is_incomplete, misconfigured) {
        (true, _) => 5,
        (_, true) => 2,
        _ => 1,
    })
}
