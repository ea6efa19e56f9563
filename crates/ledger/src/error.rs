//! How reading and appending fail, by what the caller does about it.

use integrity::Hash;
use store::{CreateError, StoreError};

/// A record that could not be read, or must not be believed.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The store refuses or does not answer. Nothing is known; see the source.
    #[error("read a log record")]
    Store(#[source] StoreError),
    /// Written by a release that this one is too old for. Stop; upgrade.
    #[error(
        "{path} has format version {found}, this release reads up to {known}: \
         run the release that wrote it, or a newer one"
    )]
    UnknownVersion {
        /// The record's object.
        path: String,
        /// Its version.
        found: u64,
        /// The newest we read.
        known: u64,
    },
    /// Not a record, or not the one its name says. Stop; a person restores it.
    #[error("{path} is damaged ({what}): restore this object from a copy or an earlier version")]
    Damaged {
        /// The record's object.
        path: String,
        /// How it shows.
        what: String,
    },
    /// A record does not continue the one before it. Stop; a person decides
    /// which of the two was changed.
    #[error(
        "{path} names {named} as the record before it, and the record before it has hash {actual}: \
         one of the two objects was replaced; restore both from a copy and write nothing until then"
    )]
    Broken {
        /// The later record's object.
        path: String,
        /// The hash it names.
        named: Hash,
        /// The hash of what is there.
        actual: Hash,
    },
}

impl LedgerError {
    /// Whether trying again later can help without anybody doing anything.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_retryable())
    }
}

/// A record that was not surely appended. State must not advance.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// The record may be there, or come to be there. Append the same body with
    /// the same head and id again, or read what follows the head.
    #[error("append {path}: still unknown after {attempts} attempts")]
    Unknown {
        /// The record's object.
        path: String,
        /// How often it was tried.
        attempts: u32,
        /// The last failure.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The store refused, and nothing of this call is or will be there. A person
    /// has to act. (An earlier call that ended in [`AppendError::Unknown`] stays
    /// unknown.)
    #[error("append {path}")]
    Rejected {
        /// The record's object.
        path: String,
        /// The store's words.
        #[source]
        source: Box<CreateError>,
    },
    /// This process cannot use the store any more, and what an earlier attempt did
    /// stays unknown to it. Stop; another process looks anew.
    #[error("append {path}")]
    Broken {
        /// The record's object.
        path: String,
        /// The store's words.
        #[source]
        source: Box<CreateError>,
    },
    /// What is there instead of our record must not be believed. Stop.
    #[error("append {path}: read back what is there instead")]
    Ledger {
        /// The record's object.
        path: String,
        /// What is wrong with it.
        #[source]
        source: Box<LedgerError>,
    },
    /// The body makes no record: a mistake in the program that wrote it.
    #[error("append {path}: the body makes no record: {what}")]
    Body {
        /// The record's object.
        path: String,
        /// Why.
        what: String,
    },
}

impl AppendError {
    /// Whether trying the same again later can help without anybody doing anything.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unknown { .. } => true,
            Self::Ledger { source, .. } => source.is_retryable(),
            Self::Rejected { .. } | Self::Broken { .. } | Self::Body { .. } => false,
        }
    }
}
