//! What can go wrong with the journal, by what the caller does about it.

use ledger::{AppendError, LedgerError};
use store::{CreateError, StoreError};

/// A failed read, fold or commit.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The store did not answer or refused. Nothing is known; try again.
    #[error("read the journal")]
    Store(#[source] StoreError),
    /// A segment could not be put, or it is unknown whether it was. Try again.
    #[error("put a segment of the journal")]
    Segment(#[source] CreateError),
    /// A record could not be read or does not continue the one before.
    #[error("read the journal's log")]
    Ledger(#[source] LedgerError),
    /// The outcome of a commit is open. State has not advanced; try again.
    #[error("commit to the journal")]
    Append(#[source] AppendError),
    /// A record contradicts the records before it. Stop: this journal was damaged.
    #[error("journal record {number} contradicts the records before it: {what}")]
    Contradiction {
        /// The record's number.
        number: u64,
        /// What it says that cannot be.
        what: String,
    },
    /// A segment's time was over: retention has let it go, and nothing is wrong.
    #[error("segment {path} of journal record {number} has expired by retention")]
    SegmentExpired {
        /// The record that names it.
        number: u64,
        /// Where it was.
        path: String,
    },
    /// A segment is missing. Restore the object, or the journal from a copy.
    #[error("segment {path} of journal record {number} is missing")]
    SegmentMissing {
        /// The record that names it.
        number: u64,
        /// Where it should be.
        path: String,
    },
    /// A segment's bytes are not those that were committed.
    #[error("segment {path} of journal record {number} is damaged: {what}")]
    SegmentDamaged {
        /// The record that names it.
        number: u64,
        /// Where it is.
        path: String,
        /// How it differs.
        what: String,
    },
}

impl JournalError {
    /// Whether trying again later can help.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            // A refusal too: somebody may be mending a policy, and agents keep everything.
            Self::Store(error) => !error.is_broken(),
            Self::Segment(error) => !error.is_broken(),
            Self::Append(AppendError::Rejected { .. }) => true,
            Self::Append(error) => error.is_retryable(),
            Self::Ledger(_) => !self.is_damage(),
            Self::Contradiction { .. }
            | Self::SegmentExpired { .. }
            | Self::SegmentMissing { .. }
            | Self::SegmentDamaged { .. } => false,
        }
    }

    /// Whether a record is not what was committed, so that nothing behind it can
    /// be believed and nothing may be added until a person has restored it.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        let ledger = match self {
            Self::Contradiction { .. } => return true,
            Self::Append(AppendError::Ledger { source, .. }) => source.as_ref(),
            Self::Ledger(source) => source,
            _ => return false,
        };
        !matches!(ledger, LedgerError::Store(_))
    }
}
