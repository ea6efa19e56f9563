//! One event, one row: rows that hold an event which another row holds.
//!
//! Two records of one account with the same eventID and equal JSON are one
//! event, whoever delivered them and however far apart: the first in the
//! journal's order is the row, the others are counted. Records with the same
//! eventID and other JSON all stay, and say so in `anomalies`. A record without
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
//! Without duplicates that is a hash, a sort and some binary searches for each
//! event; `benches/passes.rs` prints its share of a pass.
//!
//! The outcome depends on the journal, the folded log and the runs that it
//! names, so whoever finishes a pass finds the same.
//!
//! # Bounds
//! Of one eventID at most [`VARIANTS_MAX`] different records are remembered, and
//! a pass reads at most [`EARLIER_MAX`] lines again. What lies past a bound
//! stays a row. A journal segment that is missing or damaged, or has expired, cannot
//! prove that two events are one, so then both stay. A rebuild cannot know then what
//! its pass found, and leaves such a row out: its partition stays as it is.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, StringArray};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use arrow::error::ArrowError;
use event::{AccountId, AgentName, json, time};
use identity::SpeaksFor;
use integrity::{Hash, sha256};
use jiff::Timestamp;
use jiff::civil::Date;
use journal::{Journal, JournalError, State as JournalState};
use seam::Blocking;
use store::Store;

use crate::error::TableError;
use crate::files::RowAt;
use crate::keys::{Entry, Key, KeyCache, NewKeys, Place};
use crate::partition::{DATE_UNKNOWN, Partition, date_of};
use crate::row::{RecordJson, RowSource, identify};
use crate::schema::{ANOMALIES, JOURNAL_RECORD, JOURNAL_ROW};
use crate::state::KeyRun;

/// Different records of one eventID that are remembered.
const VARIANTS_MAX: usize = 64;

/// Earlier lines that one search reads.
const EARLIER_MAX: usize = 1 << 20;

/// The anomaly of a record whose eventID another record of its account has.
pub(crate) const EVENT_ID_REUSED: &str = "event_id_reused";

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
        for row in range {
            let place = (records.value(row).try_into().ok(), lines.value(row).try_into().ok());
            let (false, (Some(record), Some(line))) = (ids.is_null(row), place) else { continue };
            let Some(key) = Key::new(partition.account, ids.value(row)) else { continue };
            let Some(place) = Place::new(record, line) else { continue };
            let is_displaced = partition.date == DATE_UNKNOWN && !times.is_null(row);
            let also = is_displaced.then(|| date_of(time::day_of(times.value(row)))).flatten();
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

/// What was found about some rows.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Rows whose event another row holds.
    pub(crate) duplicates: BTreeSet<RowAt>,
    /// Rows that share their eventID with another record.
    pub(crate) reused: BTreeSet<RowAt>,
    /// The keys of the rows that stay.
    pub(crate) new_keys: NewKeys,
}

/// Where to look for earlier events.
#[derive(Debug)]
pub(crate) struct Search<'a> {
    pub(crate) store: &'a Store,
    pub(crate) journal: &'a Journal,
    /// Knows the streams of every line up to the rows.
    pub(crate) streams: &'a JournalState,
    pub(crate) keys: &'a BTreeMap<Date, Vec<KeyRun>>,
    /// Only events of journal records before this one are earlier,
    pub(crate) before: u64,
    /// and those up to this one are not read any more.
    pub(crate) expired: u64,
    /// What becomes of a row whose earlier event cannot be read.
    pub(crate) unread: Unread,
    pub(crate) cache: &'a mut KeyCache,
    pub(crate) blocking: Blocking,
}

/// What becomes of a row that may be a copy of an event that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unread {
    /// It stays: twice can be told apart later, where lost cannot be undone.
    Stays,
    /// It is left out, since a pass has decided already.
    LeftOut,
}

/// Earlier events.
#[derive(Debug, Default)]
struct Earlier {
    /// Sorted by key.
    events: Vec<(Key, Event)>,
    /// Keys of those that cannot be read.
    unread: BTreeSet<Key>,
}

/// An event, as far as it is compared.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Event {
    account: AccountId,
    id: String,
    json: Hash,
}

/// Who delivers a stream.
type Origin = (AccountId, AgentName, SpeaksFor);

impl Search<'_> {
    /// Looks for the duplicates among rows, and of earlier rows.
    pub(crate) async fn find(
        &mut self,
        mut rows: Vec<KeyedRow>,
        batches: Vec<RecordBatch>,
    ) -> Result<Found, TableError> {
        rows.sort_unstable_by_key(|row| (row.key, row.place));
        let seen = self.seen(&rows).await?;
        let Earlier { events, unread } = self.read(seen).await?;
        let mut left_out = BTreeSet::new();
        if self.unread == Unread::LeftOut {
            let unsure = rows.extract_if(.., |row| unread.contains(&row.key));
            left_out.extend(unsure.map(|row| row.at));
        }
        let judged = self.blocking.run(move || judge(&rows, &events, &batches)).await;
        let mut found = judged.map_err(|error| TableError::Encode(error.to_string()))?;
        found.duplicates.extend(left_out);
        Ok(found)
    }

    /// The entries of earlier runs that have a key of these rows, sorted.
    async fn seen(&mut self, rows: &[KeyedRow]) -> Result<Vec<Entry>, TableError> {
        let mut asked: BTreeMap<Date, Vec<Key>> = BTreeMap::new();
        for row in rows {
            for date in [row.date, row.also] {
                if self.keys.contains_key(&date) {
                    let keys = asked.entry(date).or_default();
                    if keys.last() != Some(&row.key) {
                        keys.push(row.key);
                    }
                }
            }
        }
        let mut seen = Vec::new();
        for (date, keys) in &asked {
            for run in self.keys.get(date).into_iter().flatten() {
                self.cache.find(self.store, run, keys, &mut seen).await?;
            }
        }
        seen.retain(|entry| entry.place.record() < self.before);
        seen.sort_unstable();
        seen.dedup();
        Ok(seen)
    }

    /// Reads the events of these entries again.
    async fn read(&self, mut seen: Vec<Entry>) -> Result<Earlier, TableError> {
        let mut earlier = Earlier::default();
        // Whether these are deleted yet must decide nothing.
        let expired = seen.extract_if(.., |entry| entry.place.record() <= self.expired);
        earlier.unread.extend(expired.map(|entry| entry.key));
        let mut by_record: BTreeMap<u64, Vec<(u64, Key)>> = BTreeMap::new();
        let few = seen.chunk_by(|one, next| one.key == next.key);
        for entry in few.flat_map(|same| same.iter().take(VARIANTS_MAX)).take(EARLIER_MAX) {
            by_record.entry(entry.place.record()).or_default().push((entry.place.row(), entry.key));
        }
        if by_record.is_empty() {
            return Ok(earlier);
        }
        let streams = self.streams.streams.iter();
        let origins: BTreeMap<u64, Origin> = streams
            .map(|(number, stream)| {
                (*number, (stream.account, stream.agent.clone(), stream.certificate.speaks_for))
            })
            .collect();
        let origins = Arc::new(origins);
        for (record, mut places) in by_record {
            places.sort_unstable();
            let rows: Vec<u64> = places.iter().map(|(row, _)| *row).collect();
            let origins = Arc::clone(&origins);
            let look = move |_row: u64, stream: u64, line: &[u8]| {
                event_of_line(line, record, origins.get(&stream)?)
            };
            match self.journal.look_at(record, rows, look).await {
                Ok(found) => earlier.events.extend(
                    places.iter().zip(found).filter_map(|((_, key), event)| Some((*key, event?))),
                ),
                Err(
                    error @ (JournalError::SegmentMissing { .. }
                    | JournalError::SegmentExpired { .. }
                    | JournalError::SegmentDamaged { .. }),
                ) => {
                    tracing::warn!(
                        record,
                        error = &error as &dyn std::error::Error,
                        "events that may be duplicates of this record's cannot be compared"
                    );
                    earlier.unread.extend(places.iter().map(|(_, key)| *key));
                }
                Err(error) => return Err(error.into()),
            }
        }
        earlier.events.sort_by_key(|(key, _)| *key);
        Ok(earlier)
    }
}

fn event_of_line(line: &[u8], record: u64, origin: &Origin) -> Option<Event> {
    let (account, agent, speaks_for) = origin;
    let source = RowSource {
        agent_account: *account,
        agent: agent.as_str(),
        speaks_for: match speaks_for {
            SpeaksFor::Account(account) => Some(*account),
            SpeaksFor::Organization => None,
        },
        // Neither says anything about the account.
        committed_at: Timestamp::UNIX_EPOCH,
        record,
        row: 0,
    };
    let (account, id) = identify(line, &source)?;
    Some(Event { account, id, json: digest(line)? })
}

/// SHA-256 of the one text of all spellings of a record.
fn digest(record: &[u8]) -> Option<Hash> {
    let mut text = Vec::with_capacity(record.len());
    json::canonical(record, &mut text).ok()?;
    Some(sha256(&text))
}

/// Says of each row whether it is a duplicate; rows and events are sorted by key.
fn judge(
    rows: &[KeyedRow],
    earlier: &[(Key, Event)],
    batches: &[RecordBatch],
) -> Result<Found, ArrowError> {
    let mut found = Found::default();
    let mut records = Records { batches, rebuilt: BTreeMap::new() };
    let mut rest = earlier;
    for group in rows.chunk_by(|one, next| one.key == next.key) {
        let Some(key) = group.first().map(|row| row.key) else { continue };
        let (_, from_key) = rest.split_at(rest.partition_point(|(earlier, _)| *earlier < key));
        let (before, after) =
            from_key.split_at(from_key.partition_point(|(earlier, _)| *earlier == key));
        rest = after;
        if let ([row], true) = (group, before.is_empty()) {
            found.keep(row);
            continue;
        }
        let mut same: BTreeMap<(AccountId, &str), Same> = BTreeMap::new();
        for (_, event) in before {
            same.entry((event.account, &event.id)).or_default().json.insert(event.json);
        }
        for row in group {
            let (id, json) = records.event(row.at)?;
            let same = same.entry((row.account, id)).or_default();
            if !same.json.insert(json) {
                found.duplicates.insert(row.at);
                continue;
            }
            if same.json.len() > 1 {
                found.reused.insert(row.at);
                found.reused.extend(same.first.take());
            } else {
                same.first = Some(row.at);
            }
            if same.json.len() <= VARIANTS_MAX {
                found.keep(row);
            }
        }
    }
    Ok(found)
}

impl Found {
    /// The batches without the duplicates, and with the marks.
    pub(crate) fn apply(&self, batches: Vec<RecordBatch>) -> Result<Vec<RecordBatch>, ArrowError> {
        let (left_out, reused) = (by_batch(&self.duplicates), by_batch(&self.reused));
        let changed = batches.into_iter().enumerate().map(|(index, mut batch)| {
            if let Some(rows) = reused.get(&index) {
                batch = mark(&batch, rows)?;
            }
            let Some(rows) = left_out.get(&index) else { return Ok(batch) };
            let keep: BooleanArray =
                (0..batch.num_rows()).map(|row| Some(!rows.contains(&row))).collect();
            filter_record_batch(&batch, &keep)
        });
        changed.collect()
    }

    fn keep(&mut self, row: &KeyedRow) {
        let entry = Entry { key: row.key, place: row.place };
        self.new_keys.entry(row.date).or_default().push(entry);
    }
}

/// Records of one account and eventID.
#[derive(Default)]
struct Same {
    json: BTreeSet<Hash>,
    /// The first of them, if it is among the rows and not marked.
    first: Option<RowAt>,
}

/// Rows as the records that they were.
struct Records<'a> {
    batches: &'a [RecordBatch],
    rebuilt: BTreeMap<usize, RecordJson>,
}

impl<'a> Records<'a> {
    /// The eventID and the digest of a row.
    fn event(&mut self, (index, row): RowAt) -> Result<(&'a str, Hash), ArrowError> {
        let gone = || ArrowError::ComputeError("a row is not where it was".to_owned());
        let batch = self.batches.get(index).ok_or_else(gone)?;
        let record = match self.rebuilt.entry(index) {
            std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::btree_map::Entry::Vacant(entry) => {
                entry.insert(RecordJson::of(batch)?)
            }
        };
        let mut text = Vec::new();
        record.write(row, &mut text);
        let json = digest(&text).ok_or_else(gone)?;
        let ids = batch.column_by_name("eventid").ok_or_else(gone)?.as_string::<i32>();
        Ok((ids.value(row), json))
    }
}

/// Adds [`EVENT_ID_REUSED`] to the anomalies of these rows of a batch.
pub(crate) fn mark(batch: &RecordBatch, rows: &BTreeSet<usize>) -> Result<RecordBatch, ArrowError> {
    let index = batch.schema().index_of(ANOMALIES)?;
    let old = batch.column(index).as_string::<i32>();
    let new: StringArray = old
        .iter()
        .enumerate()
        .map(|(row, text)| match (rows.contains(&row), text) {
            (true, None) => Some(EVENT_ID_REUSED.to_owned()),
            (true, Some(text)) => Some(format!("{text},{EVENT_ID_REUSED}")),
            (false, text) => text.map(str::to_owned),
        })
        .collect();
    let mut columns: Vec<ArrayRef> = batch.columns().to_vec();
    if let Some(column) = columns.get_mut(index) {
        *column = Arc::new(new);
    }
    RecordBatch::try_new(batch.schema(), columns)
}

/// The rows of each batch among these.
pub(crate) fn by_batch(rows: &BTreeSet<RowAt>) -> BTreeMap<usize, BTreeSet<usize>> {
    let mut batches: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
    for (batch, row) in rows {
        batches.entry(*batch).or_default().insert(*row);
    }
    batches
}
