//! The event keys that a table has seen: which event is where in the journal.
//!
//! A **key** is 64 bits of SHA-256 over a row's account and its eventID. For
//! each date the table keeps **runs** of entries sorted by key; an entry is 16
//! bytes, big-endian: the key, and the place of the event's line in the journal
//! (36 bits of record number, 28 bits of row). One object holds what one pass
//! adds, for all dates, behind a header of 16 bytes:
//!
//! ```text
//! trail/<name>/table/keys/<intent, 20 digits>.keys   "orgtrail/keys/1\n" entry entry …
//! ```
//!
//! Commits name the runs, so what a pass finds depends on the log and on nothing
//! else. A key says only "maybe": whoever finds one reads the line itself.
//!
//! # Bounds
//! A pass merges its entries of a date with the newest runs of that date that
//! are not more than twice as long, so that there are few (about log2 of the
//! passes of a day), and never makes a run longer than [`RUN_ENTRIES_MAX`]. Runs
//! are read through a cache of chunks, at most [`CACHE_BYTES_MAX`]; keys are
//! spread evenly, so a chunk is found by interpolation, with one read.

mod cache;
mod run;

use std::collections::BTreeMap;
use std::io::Write as _;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use arrow::error::ArrowError;
use event::AccountId;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub(crate) use cache::KeyCache;
pub(crate) use run::{KeyFile, read_run};

use crate::schema::{JOURNAL_RECORD, JOURNAL_ROW};
use crate::state::KeyRun;

/// No run gets longer than this by merging: 32 MiB.
pub(crate) const RUN_ENTRIES_MAX: u64 = 2 << 20;

/// One pass merges at most so many entries of earlier runs.
pub(crate) const MERGE_ENTRIES_MAX: u64 = 2 << 20;

/// Memory for parts of runs.
pub(crate) const CACHE_BYTES_MAX: usize = 32 << 20;

/// The bytes of an entry.
pub(crate) const ENTRY_BYTES: usize = 16;

const ROW_BITS: u32 = 28;
const RECORD_BITS: u32 = 36;

/// 64 bits that stand for an account and an eventID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key(pub(crate) u64);

impl Key {
    /// The key of an event; none without an eventID.
    pub(crate) fn new(account: AccountId, event_id: &str) -> Option<Self> {
        if event_id.is_empty() {
            return None;
        }
        // An account is always as long, so the two cannot run into each other.
        let mut digits = [b'0'; 12];
        write!(digits.as_mut_slice(), "{account}").ok()?;
        let hash = Sha256::new().chain_update(digits).chain_update(event_id).finalize();
        hash.first_chunk().map(|bytes| Self(u64::from_be_bytes(*bytes)))
    }
}

/// Where a line lies in the journal, in 64 bits; they ascend as the journal does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "(u64, u64)", into = "(u64, u64)")]
pub(crate) struct Place(u64);

impl Place {
    /// None past 2^36 records or 2^28 rows of a record: such an event is not
    /// remembered, and a copy of it stays a row.
    pub(crate) fn new(record: u64, row: u64) -> Option<Self> {
        (record >> RECORD_BITS == 0 && row >> ROW_BITS == 0)
            .then_some(Self(record << ROW_BITS | row))
    }

    pub(crate) fn record(self) -> u64 {
        self.0 >> ROW_BITS
    }

    pub(crate) fn row(self) -> u64 {
        self.0 & ((1 << ROW_BITS) - 1)
    }
}

impl From<Place> for (u64, u64) {
    fn from(place: Place) -> Self {
        (place.record(), place.row())
    }
}

impl TryFrom<(u64, u64)> for Place {
    type Error = String;

    fn try_from((record, row): (u64, u64)) -> Result<Self, Self::Error> {
        Self::new(record, row).ok_or_else(|| format!("row {row} of record {record} is no place"))
    }
}

/// Where a row's line lies in the journal; none past the bounds of [`Place::new`].
pub(crate) fn place_of(batch: &RecordBatch, row: usize) -> Result<Option<Place>, ArrowError> {
    let number = |name: &str| {
        let absent = || ArrowError::SchemaError(format!("rows have no column {name}"));
        let column = batch.column_by_name(name).ok_or_else(absent)?;
        let numbers = column.as_primitive_opt::<Int64Type>().ok_or_else(absent)?;
        Ok::<_, ArrowError>(u64::try_from(numbers.value(row)).ok())
    };
    let (record, line) = (number(JOURNAL_RECORD)?, number(JOURNAL_ROW)?);
    Ok(record.zip(line).and_then(|(record, line)| Place::new(record, line)))
}

/// What a run says: this key was seen there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Entry {
    pub(crate) key: Key,
    pub(crate) place: Place,
}

/// How many of a date's newest runs to merge with `added` new entries.
pub(crate) fn runs_to_merge(runs: &[KeyRun], added: u64, merged_so_far: u64) -> (usize, u64) {
    let (mut count, mut entries) = (0, added);
    for run in runs.iter().rev() {
        let merged = entries - added + run.entries;
        if run.entries > 2 * entries
            || entries + run.entries > RUN_ENTRIES_MAX
            || merged_so_far + merged > MERGE_ENTRIES_MAX
        {
            break;
        }
        count += 1;
        entries += run.entries;
    }
    (count, entries - added)
}

/// New entries by date.
pub(crate) type NewKeys = BTreeMap<Date, Vec<Entry>>;

#[cfg(test)]
mod tests;
