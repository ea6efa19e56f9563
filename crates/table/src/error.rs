//! What can go wrong with the table, by what the caller does about it.

use journal::JournalError;
use ledger::{AppendError, LedgerError};
use store::StoreError;

/// A failed fold, pass, settling or read.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// The store did not answer or refused. Nothing is known; try again.
    #[error("reach the table's objects")]
    Store(#[source] StoreError),
    /// A record of the table's log could not be read or does not continue the one before.
    #[error("read the table's log")]
    Ledger(#[source] LedgerError),
    /// The outcome of a record is open. State has not advanced; try again.
    #[error("write the table's log")]
    Append(#[source] AppendError),
    /// The journal could not be read.
    #[error("read the journal for the table")]
    Journal(#[source] Box<JournalError>),
    /// A record contradicts the records before it. Stop: this log was damaged.
    #[error("table record {number} contradicts what came before: {what}")]
    Contradiction {
        /// The record's number.
        number: u64,
        /// What it says that cannot be.
        what: String,
    },
    /// An intent asks for rows in a form that this binary does not know. Run a
    /// release that does.
    #[error(
        "table record {number} asks for row format {wanted}, this release writes {known}: \
         run the release that began it"
    )]
    RowFormat {
        /// The intent's record.
        number: u64,
        /// What it pins.
        wanted: u32,
        /// What this binary writes.
        known: u32,
    },
    /// Units would be lost or doubled. Stop before anything is written.
    #[error(
        "journal records {from} to {to} hold {journaled} units, the pass accounts for {accounted}"
    )]
    Unbalanced {
        /// First journal record of the pass.
        from: u64,
        /// Its last one.
        to: u64,
        /// Units the journal counts there.
        journaled: u64,
        /// Rows, quarantined, duplicates and unselected together.
        accounted: u64,
    },
    /// A segment was lost after an intent was made that counts on it. The pass
    /// is finished once the object is restored.
    #[error(
        "segment {segment} of journal record {record} was whole when table record {number} began \
         a pass, and is not any more ({what}): restore the object from a copy"
    )]
    Lost {
        /// The intent's record.
        number: u64,
        /// The journal's record.
        record: u64,
        /// The object.
        segment: String,
        /// How it differs.
        what: String,
    },
    /// An object that the log names is gone. A reader whose snapshot is old
    /// loads a new one; otherwise restore the object.
    #[error("{path}, which the table's log names, is missing: load the table again, or restore it")]
    Missing {
        /// Where it should be.
        path: String,
    },
    /// An object is not what the log or its name says. Restore it.
    #[error("{path} is damaged: {what}")]
    Damaged {
        /// Where it is.
        path: String,
        /// How it differs.
        what: String,
    },
    /// Rows could not be encoded: a fault of this program, nothing was written.
    #[error("encode rows: {0}")]
    Encode(String),
    /// A hold that cannot be, or cannot be ended.
    #[error("{0}")]
    Hold(String),
    /// A trail's name cannot stand in a path.
    #[error("{0:?} is no trail name: 1 to 64 of a-z, 0-9 and '-'")]
    TrailName(String),
}

impl From<JournalError> for TableError {
    fn from(error: JournalError) -> Self {
        Self::Journal(Box::new(error))
    }
}

impl TableError {
    /// Whether trying again later can help.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Missing { .. } | Self::Lost { .. } => true,
            Self::Append(error) => error.is_retryable(),
            Self::Store(error) => error.is_retryable(),
            Self::Ledger(error) => error.is_retryable(),
            Self::Journal(error) => error.is_retryable(),
            _ => false,
        }
    }
}
