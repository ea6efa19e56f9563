//! What an operator may set, and the bounds that nobody sets.

use std::num::NonZeroU32;

use serde::Deserialize;

use crate::completeness::Expected;
use crate::schema::ROW_FORMAT_VERSION;

/// The section `[table]` of the server's configuration.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// A pass runs when the last one is this many seconds old.
    pub pass_age_secs: u32,
    /// Fresh rows are settled when the oldest has waited this many seconds.
    pub settle_age_secs: u32,
    /// Files that compaction has replaced stay for this many seconds, for whoever
    /// is reading them.
    pub keep_replaced_secs: u32,
    /// Days are kept for so many days, counted from the later of the day itself and
    /// the commit of its newest file; for ever if it is not set.
    pub retention_days: Option<NonZeroU32>,
    /// Whether the table is also published as Iceberg knows tables.
    pub iceberg: bool,
    /// What the organization is expected to have, from the section `[organization]`;
    /// if it is not set, passes leave what an earlier one pinned.
    #[serde(skip)]
    pub expected: Option<Expected>,
    /// Bounds; other ones are for tests.
    #[serde(skip)]
    pub limits: Limits,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            pass_age_secs: 60,
            settle_age_secs: 3_600,
            keep_replaced_secs: 600,
            retention_days: None,
            iceberg: true,
            expected: None,
            limits: Limits::default(),
        }
    }
}

/// How much is done at once. What rows depend on is pinned by each intent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// A pass ends before the journal record with which it might have more bytes of lines.
    pub pass_bytes: u64,
    /// A partition with at least so many rows in a pass gets its own file; in a pass
    /// that ends at `pass_bytes` also those whose files are worth it as settling finds.
    pub partition_rows_min: u64,
    /// One settling merges at most so many fresh files,
    pub settle_files_max: usize,
    /// of together at most so many bytes, unless one alone has more. It bounds
    /// the largest file that settling holds in memory.
    pub settle_bytes_max: u64,
    /// One compaction merges files of together at most so many bytes.
    pub compact_bytes_max: u64,
    /// Settling and compaction put at most so many rows in one file.
    pub file_rows_max: u64,
    /// Settling is worth it when its files would have so many rows on average.
    pub settle_rows_per_file: u64,
    /// A record names so many files of a settling; more are listed in an object.
    pub files_named_max: usize,
    /// A part of an index ends with the file in which it gets so many entries.
    pub index_entries_max: usize,
    /// A day with fewer files is not copied for the organization at once,
    pub day_files_min: usize,
    /// nor are fewer neighbours of it.
    pub day_run_files_min: usize,
    /// A checkpoint follows so many records of the table's log,
    pub checkpoint_records: u64,
    /// or so many files.
    pub checkpoint_files: usize,
    /// Journal records without events that are read again rather than committed.
    pub empty_records_max: u64,
    /// The version of the rules by which new passes make rows; older ones are for
    /// tests of what earlier releases began.
    pub row_format: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            pass_bytes: 64 << 20,
            partition_rows_min: 5_000,
            settle_files_max: 32,
            settle_bytes_max: 256 << 20,
            compact_bytes_max: 64 << 20,
            file_rows_max: 262_144,
            settle_rows_per_file: 1_000,
            files_named_max: 8_192,
            index_entries_max: 500_000,
            day_files_min: 200,
            day_run_files_min: 64,
            checkpoint_records: 32,
            checkpoint_files: 8_192,
            empty_records_max: 64,
            row_format: ROW_FORMAT_VERSION,
        }
    }
}
