//! The event keys that a table has seen: which event is where in the journal.
//!
//! A **key** is 64 bits of SHA-256 over a row's account and its eventID. For
//! each date the table keeps **runs** of entries sorted by account and key; an entry is 16
//! bytes, big-endian: the key, and the place of the event's line in the journal
//! (36 bits of record number, 28 bits of row). Before a run's entries lies its index, as
//! long as it has accounts: each one's number, and how many entries lie before its own,
//! both of 8 bytes. One object holds what one pass adds, for all dates, behind a header of
//! 16 bytes:
//!
//! ```text
//! trail/<name>/table/keys/<intent, 20 digits>.keys   "orgtrail/keys/2\n" index entries index entries …
//! ```
//!
//! Runs of earlier releases ("orgtrail/keys/1\n") have no index and are sorted by key
//! alone; they are searched as they are, and never merged with others.
//!
//! Commits name the runs, so what a pass finds depends on the log and on nothing
//! else. A key says only "maybe": whoever finds one reads the line itself.
//!
//! # Bounds
//! A pass merges its entries of a date with the newest runs of that date where
//! [`RUNS_MERGED`] are about as long, so that an entry is written again about as often as
//! the logarithm of the passes of a day to that base, and never makes a run longer than
//! [`RUN_ENTRIES_MAX`]. Most keys were never seen: a filter of the date denies them, and
//! only the others are looked for in the runs, among the entries of their account. These are
//! read through a cache of chunks; an account's keys are spread evenly, so a chunk is found
//! by interpolation, with one read. Filters and chunks take at most [`CACHE_BYTES_MAX`], half
//! of it each; of a date whose filter would be larger all keys are looked for. So they are
//! where the accounts asked about have few entries: logs of many days that come account by
//! account ask of each day a little, and would need the filters of all at once.

mod cache;
mod filter;
mod run;

use std::collections::BTreeMap;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use arrow::error::ArrowError;
use event::AccountId;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub(crate) use cache::{Ask, KeyCache};
pub(crate) use run::{KeyFile, KeyOrder, NewKey, read_run};

use crate::schema::{JOURNAL_RECORD, JOURNAL_ROW};
use crate::state::KeyRun;

/// No run gets longer than this by merging: 32 MiB.
pub(crate) const RUN_ENTRIES_MAX: u64 = 2 << 20;

/// One pass merges at most so many entries of earlier runs.
pub(crate) const MERGE_ENTRIES_MAX: u64 = 2 << 20;

/// So many runs of about one length become one.
const RUNS_MERGED: usize = 8;

/// Memory for filters and parts of runs.
pub(crate) const CACHE_BYTES_MAX: usize = 32 << 20;

/// The bytes of an entry.
pub(crate) const ENTRY_BYTES: usize = 16;

const ROW_BITS: u32 = 28;
const RECORD_BITS: u32 = 36;

/// 64 bits that stand for an account and an eventID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key(pub(crate) u64);

/// Makes the keys of an account's events.
#[derive(Clone, Debug)]
pub(crate) struct KeyMaker(Sha256);

impl KeyMaker {
    pub(crate) fn of(account: AccountId) -> Self {
        // An account is always as long, so it and an eventID cannot run into each other.
        Self(Sha256::new().chain_update(account.to_string()))
    }

    /// The key of an event; none without an eventID.
    pub(crate) fn key(&self, event_id: &str) -> Option<Key> {
        if event_id.is_empty() {
            return None;
        }
        let hash = self.0.clone().chain_update(event_id).finalize();
        hash.first_chunk().map(|bytes| Key(u64::from_be_bytes(*bytes)))
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

/// How many of a date's newest runs to merge with `added` new entries, and their entries.
pub(crate) fn runs_to_merge(runs: &[KeyRun], added: u64, merged_so_far: u64) -> (usize, u64) {
    // Lengths of one class differ by less than RUNS_MERGED times.
    let class = |entries: u64| entries.max(1).ilog2() / RUNS_MERGED.ilog2();
    let (mut count, mut merged) = (0, 0);
    loop {
        let longest = class(added + merged);
        let is_alike =
            |run: &&KeyRun| class(run.entries) <= longest && run.entries <= RUN_ENTRIES_MAX / 2;
        let alike = runs.iter().rev().skip(count).take_while(is_alike);
        if alike.clone().count() + 1 < RUNS_MERGED {
            return (count, merged);
        }
        let before = count;
        for run in alike {
            let more = merged + run.entries;
            if added + more > RUN_ENTRIES_MAX || merged_so_far + more > MERGE_ENTRIES_MAX {
                break;
            }
            (count, merged) = (count + 1, more);
        }
        if count == before {
            return (count, merged);
        }
    }
}

/// The same, of runs that are sorted by account: those of an earlier release stay.
pub(crate) fn runs_to_merge_by_account(
    runs: &[KeyRun],
    added: u64,
    merged_so_far: u64,
) -> (usize, u64) {
    let older = runs.iter().rposition(|run| run.accounts == 0).map_or(0, |last| last + 1);
    runs_to_merge(runs.get(older..).unwrap_or_default(), added, merged_so_far)
}

/// As the first rules of duplicates had it: whoever finishes a pass by these must put the
/// same object.
pub(crate) fn runs_to_merge_at_first(
    runs: &[KeyRun],
    added: u64,
    merged_so_far: u64,
) -> (usize, u64) {
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
pub(crate) type NewKeys = BTreeMap<Date, Vec<NewKey>>;

#[cfg(test)]
mod tests;
