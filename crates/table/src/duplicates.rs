//! One event, one row: rows that hold an event which another row holds.
//!
//! Two records of one account with the same eventID and equal JSON are one
//! event, whoever delivered them and however far apart: the first in the
//! journal's order is the row, the others are counted. Records with the same
//! eventID and other JSON all stay, and say so in `anomalies`; one that is in a file when
//! another comes says so when its file is next written ([`crate::marks`]). A record without
//! an eventID (none, no text, or an empty one) is never anything's duplicate.
//!
//! # How, and what it costs
//! 1. Each row gets a key ([`crate::keys`]): one block of SHA-256.
//! 2. Keys of one pass are sorted, and looked up among those of the same date.
//!    Equal JSON means equal account, region and time, so a duplicate is in the
//!    same partition. The one exception is an event from the future: it lies
//!    under 1970-01-01 until its day has come, so both dates are asked.
//! 3. A key that was seen says "maybe". Then, and only then, JSON is looked at:
//!    the earlier line is read from the journal, the new one is rebuilt from its
//!    row, and account, eventID and the SHA-256 of the canonical text are
//!    compared. A key alone never removes anything.
//! 4. The keys of rows that stay are committed with the rows.
//!
//! Without duplicates that is a hash, a sort and a look into a filter for each event, and
//! one object more for each pass; `benches/passes.rs` prints its share of a pass.
//!
//! The outcome depends on the journal, the folded log and the runs that it
//! names, so whoever finishes a pass finds the same. A rebuild looks in both directions:
//! what is earlier than a pass makes duplicates of its rows, and what is later marks them.
//!
//! # Bounds
//! Of one eventID at most [`VARIANTS_MAX`] different records are remembered, and
//! a pass reads at most `EVENTS_MAX` lines again, and of rows what `rows` says. What lies
//! past a bound stays a row. Where the journal's retention has let the earlier line go, its
//! row is compared, if that is still in the table. A journal segment that is missing or
//! damaged cannot prove that two events are one, so then both stay. A rebuild cannot know
//! then what its pass found, and leaves such a row out: its partition stays as it is.
//!
//! Layout: `earlier` (events read again), `rows` (or taken from their rows), `judge` (what
//! rows are to them).

mod earlier;
mod judge;
mod rows;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use arrow::error::ArrowError;
use event::{AccountId, time};
use jiff::civil::Date;
use journal::{Journal, State as JournalState};
use ledger::Ledger;
use seam::Blocking;
use serde::{Deserialize, Serialize};
use store::Store;

use crate::error::TableError;
use crate::files::RowAt;
use crate::keys::{Ask, Key, KeyCache, KeyMaker, Place};
use crate::partition::{DATE_UNKNOWN, Partition, date_of};
use crate::schema::{JOURNAL_RECORD, JOURNAL_ROW};
use crate::state::TableState;
use earlier::{Events, Seen};
use judge::judge;
pub(crate) use judge::{Found, by_batch, mark};

/// Different records of one eventID that are remembered.
const VARIANTS_MAX: usize = 64;

/// By which rules a pass tells duplicates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum DuplicateRules {
    /// Of rows that share an eventID those of later passes are marked.
    #[default]
    LaterMarked,
    /// All of them are. Where the journal has let go an earlier event, its row is compared.
    AllMarked,
    /// The same, with keys that are sorted by account.
    KeysByAccount,
}

impl DuplicateRules {
    /// Those of new passes.
    pub(crate) const NEWEST: Self = Self::KeysByAccount;

    /// Whether they are those that an intent need not name.
    pub(crate) fn are_first(&self) -> bool {
        *self == Self::default()
    }
}

/// A row with an eventID.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyedRow {
    key: Key,
    place: Place,
    account: AccountId,
    date: Date,
    /// The other date under which its event may have been seen.
    also: Date,
    at: RowAt,
}

/// Adds the rows of one batch that have an eventID; `partitions` says whose they are.
pub(crate) fn add_keyed<'a>(
    index: usize,
    batch: &RecordBatch,
    partitions: impl Iterator<Item = (&'a Partition, Range<usize>)>,
    rows: &mut Vec<KeyedRow>,
) -> Result<(), ArrowError> {
    let column = |name: &str| {
        let absent = || ArrowError::SchemaError(format!("rows have no column {name}"));
        batch.column_by_name(name).ok_or_else(absent)
    };
    let ids = column("eventid")?.as_string::<i32>();
    let times = column("eventtime")?.as_primitive::<TimestampMicrosecondType>();
    let records = column(JOURNAL_RECORD)?.as_primitive::<Int64Type>();
    let lines = column(JOURNAL_ROW)?.as_primitive::<Int64Type>();
    for (partition, range) in partitions {
        let maker = KeyMaker::of(partition.account);
        for row in range {
            let place = (records.value(row).try_into().ok(), lines.value(row).try_into().ok());
            let (false, (Some(record), Some(line))) = (ids.is_null(row), place) else { continue };
            let Some(key) = maker.key(ids.value(row)) else { continue };
            let Some(place) = Place::new(record, line) else { continue };
            let is_displaced = partition.date == DATE_UNKNOWN && !times.is_null(row);
            let also = is_displaced.then(|| true_day(times.value(row))).flatten();
            rows.push(KeyedRow {
                key,
                place,
                account: partition.account,
                date: partition.date,
                also: also.unwrap_or(DATE_UNKNOWN),
                at: (index, row),
            });
        }
    }
    Ok(())
}

/// The UTC day of a time, if it is a date.
fn true_day(micros: i64) -> Option<Date> {
    date_of(time::day_of(micros))
}

/// Where to look for other events.
#[derive(Debug)]
pub(crate) struct Search<'a> {
    pub(crate) store: &'a Store,
    pub(crate) journal: &'a Journal,
    /// The log that the state is folded from.
    pub(crate) ledger: &'a Ledger,
    /// Knows the streams of every line up to the rows.
    pub(crate) streams: &'a JournalState,
    /// Names the keys of events, and knows what has expired.
    pub(crate) state: &'a TableState,
    /// Whose rows they are.
    pub(crate) asker: Asker,
    pub(crate) cache: &'a mut KeyCache,
    pub(crate) blocking: Blocking,
}

/// Who wants to know about rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asker {
    /// A pass that begins at this journal record, by these rules. A row whose earlier event cannot be
    /// read stays: twice can be told apart later, where lost cannot be undone.
    Pass(u64, DuplicateRules),
    /// A rebuild, of the pass over these records. Such a row is left out, since the pass
    /// has decided already.
    Rebuild(u64, u64),
}

impl Search<'_> {
    /// Looks for the duplicates among rows, and of earlier rows.
    pub(crate) async fn find(
        &mut self,
        mut rows: Vec<KeyedRow>,
        batches: Vec<RecordBatch>,
    ) -> Result<Found, TableError> {
        rows.sort_unstable_by_key(|row| (row.key, row.place));
        let seen = self.seen(&rows).await?;
        let (from, to) = match self.asker {
            Asker::Pass(from, _) => (from, u64::MAX),
            Asker::Rebuild(from, to) => (from, to),
        };
        let (earlier, others): (Vec<Seen>, Vec<Seen>) =
            seen.into_iter().partition(|(entry, _)| entry.place.record() < from);
        let later = others.into_iter().filter(|(entry, _)| entry.place.record() > to).collect();
        let earlier = self.read(earlier, &rows).await?;
        let later = self.read(later, &rows).await?;
        let mut left_out = BTreeSet::new();
        if matches!(self.asker, Asker::Rebuild(..)) {
            let is_unsure = |key: &Key| earlier.unread.contains(key) || later.unread.contains(key);
            let unsure = rows.extract_if(.., |row| is_unsure(&row.key));
            left_out.extend(unsure.map(|row| row.at));
        }
        let (Events { events: earlier, .. }, Events { events: later, .. }) = (earlier, later);
        let judged = self.blocking.run(move || judge(&rows, &earlier, &later, &batches)).await;
        let mut found = judged.map_err(|error| TableError::Encode(error.to_string()))?;
        found.duplicates.extend(left_out);
        Ok(found)
    }

    /// The entries of runs that have a key of these rows, sorted.
    async fn seen(&mut self, rows: &[KeyedRow]) -> Result<Vec<Seen>, TableError> {
        let mut asked: BTreeMap<Date, Vec<Ask>> = BTreeMap::new();
        for row in rows {
            for date in [row.date, row.also] {
                if self.state.keys.contains_key(&date) {
                    let asks = asked.entry(date).or_default();
                    let ask = Ask { account: row.account, key: row.key };
                    if asks.last() != Some(&ask) {
                        asks.push(ask);
                    }
                }
            }
        }
        let mut seen = Vec::new();
        for (date, asks) in &asked {
            let mut of_date = Vec::new();
            let runs = self.state.keys.get(date).map_or(&[][..], Vec::as_slice);
            self.cache.find(self.store, *date, runs, asks, &mut of_date).await?;
            seen.extend(of_date.into_iter().map(|entry| (entry, *date)));
        }
        seen.sort_unstable();
        seen.dedup();
        Ok(seen)
    }
}
