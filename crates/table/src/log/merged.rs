//! What settling and compaction write in the log: rows move to other files.

use serde::{Deserialize, Serialize};

use super::{DataFile, ObjectRef};
use crate::marks::Marks;

/// What settling will do, whoever does it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SettleIntent {
    /// The fresh files whose rows move.
    pub(crate) inputs: Vec<String>,
    /// The version of the rules that made the rows.
    pub(crate) row_format: u32,
    /// A partition's rows beyond so many go to another file.
    pub(crate) file_rows_max: u64,
    /// For people: why now.
    pub(crate) reason: SettleReason,
}

/// Why fresh rows are settled now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SettleReason {
    /// The oldest fresh row has waited long enough.
    Age,
    /// The files it writes are worth writing.
    Worth,
    /// The process ends, or has read all there was to read.
    Drain,
    /// A person asked.
    Asked,
}

/// What settling has done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct SettleCommit {
    /// The record that began it.
    pub(crate) intent: u64,
    /// Rows that moved.
    pub(crate) rows: u64,
    /// The files it wrote,
    pub(crate) files: Vec<DataFile>,
    /// or the object that lists them, where they are very many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) files_in: Option<ObjectRef>,
    /// Rows that have got the mark they waited for.
    #[serde(default, skip_serializing_if = "Marks::is_empty")]
    pub(crate) marked: Marks,
}

/// What compaction will do, whoever does it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CompactIntent {
    /// The files to merge, by partition.
    pub(crate) inputs: Vec<Vec<String>>,
    /// The version of the rules that made the rows.
    pub(crate) row_format: u32,
    /// A partition's rows beyond so many go to another file.
    pub(crate) file_rows_max: u64,
    /// The files that take their place, where a rebuild has made them already.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) staged: Vec<DataFile>,
}

/// What compaction has done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct CompactCommit {
    /// The record that began it.
    pub(crate) intent: u64,
    /// Rows in the old files and in the new ones.
    pub(crate) rows: u64,
    /// The files it wrote.
    pub(crate) files: Vec<DataFile>,
    /// The files that these take the place of.
    pub(crate) replaced: Vec<DataFile>,
    /// Rows that have got the mark they waited for.
    #[serde(default, skip_serializing_if = "Marks::is_empty")]
    pub(crate) marked: Marks,
}
