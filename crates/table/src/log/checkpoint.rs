//! What checkpoints write in the log.

use std::collections::BTreeMap;

use integrity::Hash;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::stretch::Stretch;

/// Where the folded state lies.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Checkpoint {
    /// The state after this record.
    pub(crate) state: ObjectRef,
    /// The dates whose list of files is another now.
    pub(crate) dates: BTreeMap<Date, Manifest>,
}

/// An object and what its bytes must hash to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ObjectRef {
    /// Its path in the store.
    pub(crate) path: String,
    /// SHA-256 of the whole object.
    pub(crate) sha256: Hash,
}

/// The list of one date's files, as an object, and its sums.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    /// The object.
    #[serde(flatten)]
    pub(crate) object: ObjectRef,
    /// How many files it names.
    pub(crate) files: u64,
    /// Their rows.
    pub(crate) rows: u64,
    /// Their bytes.
    pub(crate) bytes: u64,
    /// What covers all of them; lists of earlier releases do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) stretch: Option<Stretch>,
}
