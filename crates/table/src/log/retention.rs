//! What leaves the table, and what is deleted.

use std::collections::BTreeSet;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::DataFile;

/// What retention lets go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Expire {
    /// The day of the files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) date: Option<Date>,
    /// The rule.
    pub(crate) retention_days: u32,
    /// Data files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) files: Vec<DataFile>,
    /// Objects of quarantine.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) quarantine: Vec<String>,
}

/// What the journal's retention may let go: a hold or a rebuild that comes later in
/// the log comes too late for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExpireJournal {
    /// The last journal record of which no events are read any more.
    pub(crate) to: u64,
    /// The rule.
    pub(crate) retention_days: u32,
}

/// Objects that no later record may use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sweep {
    /// Their paths.
    pub(crate) objects: BTreeSet<String>,
}
