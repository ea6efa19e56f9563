//! How a command ends, for people and for scripts.
//!
//! 0 done · 1 failed · 2 wrong usage or configuration · 5 the answer is
//! incomplete and completeness was required · 6 timed out · 130/143 signals.

use std::fmt;
use std::process::ExitCode;

use query::QueryError;

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

/// Marks work that a signal ended.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Interrupted {
    /// Ctrl-C.
    Int,
    /// What stops a service.
    Term,
}

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("interrupted")
    }
}

impl std::error::Error for Interrupted {}

/// Prints an error and gives the exit code that it stands for.
pub(crate) fn report(error: &anyhow::Error, verbose: bool) -> ExitCode {
    if let Some(signal) = error.downcast_ref::<Interrupted>() {
        return ExitCode::from(match signal {
            Interrupted::Int => 130,
            Interrupted::Term => 143,
        });
    }
    let is_incomplete = error.is::<Incomplete>();
    let misconfigured = error.is::<Misconfigured>() || error.is::<Misused>();
    let timed_out = error.chain().filter_map(|cause| cause.downcast_ref::<QueryError>());
    let timed_out = timed_out.into_iter().any(|error| matches!(error, QueryError::TimedOut { .. }));
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
    ExitCode::from(match (is_incomplete, misconfigured, timed_out) {
        (true, ..) => 5,
        (_, true, _) => 2,
        (.., true) => 6,
        _ => 1,
    })
}
