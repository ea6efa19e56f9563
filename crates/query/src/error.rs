//! What can go wrong with a question, by what the asker does about it.

use datafusion::error::DataFusionError;
use journal::JournalError;
use table::TableError;

use crate::filter::InvalidFilter;

/// A question that was not answered.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The statement is not one that can be asked. Correct it.
    #[error("{0}")]
    Statement(String),
    /// The statement would change something. Questions only read.
    #[error("{0} is refused: a query only reads; use SELECT, WITH, EXPLAIN, DESCRIBE or SHOW")]
    ReadOnly(String),
    /// A filter does not say what it means to.
    #[error(transparent)]
    Filter(#[from] InvalidFilter),
    /// The answer needs more memory than it may have. Narrow the question, or
    /// allow more.
    #[error(
        "the query needs more than its {limit_bytes} bytes of memory: ask for less time, fewer columns or a LIMIT"
    )]
    Memory {
        /// What it may have.
        limit_bytes: usize,
        /// Which operator wanted more.
        #[source]
        source: Box<DataFusionError>,
    },
    /// The answer takes longer than it may. Narrow the question, or allow more.
    #[error(
        "the query took longer than its {limit_secs} s: ask for less time, or give it more with --timeout"
    )]
    TimedOut {
        /// What it may take.
        limit_secs: u64,
    },
    /// The table's log could not be read.
    #[error("read the table")]
    Table(#[source] TableError),
    /// The journal could not be read.
    #[error("read the journal")]
    Journal(#[source] JournalError),
    /// A file that the table's log names is gone. Restore it; if it keeps
    /// changing, ask again.
    #[error("{path}, which the table's log names, is missing: restore it")]
    Missing {
        /// Where it should be.
        path: String,
    },
    /// A file is not what was committed. Restore it.
    #[error("{path} is damaged: {what}; restore it")]
    Damaged {
        /// Where it is.
        path: String,
        /// How it differs.
        what: String,
    },
    /// The engine failed on something else.
    #[error("run the query")]
    Engine(#[source] Box<DataFusionError>),
}

impl QueryError {
    /// Whether the question itself is at fault, and not what it reads.
    #[must_use]
    pub const fn is_usage(&self) -> bool {
        matches!(self, Self::Statement(_) | Self::ReadOnly(_) | Self::Filter(_))
    }

    pub(crate) fn of(error: DataFusionError, limit_bytes: usize) -> Self {
        let error = cause(error);
        match error.find_root() {
            DataFusionError::ResourcesExhausted(_) => {
                Self::Memory { limit_bytes, source: Box::new(error) }
            }
            DataFusionError::SQL(..)
            | DataFusionError::Plan(_)
            | DataFusionError::SchemaError(..)
            | DataFusionError::NotImplemented(_)
            | DataFusionError::Diagnostic(..) => Self::Statement(error.strip_backtrace()),
            _ => Self::Engine(Box::new(error)),
        }
    }
}

/// What went wrong, without the names of the steps in which it did.
fn cause(error: DataFusionError) -> DataFusionError {
    match error {
        DataFusionError::Context(_, of) | DataFusionError::Diagnostic(_, of) => cause(*of),
        other => other,
    }
}
