//! Which rows are duplicates, and which say that their eventID was reused.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch, StringArray};
use arrow::compute::filter_record_batch;
use arrow::error::ArrowError;
use event::AccountId;
use integrity::Hash;
use jiff::civil::Date;

use super::earlier::{Event, digest};
use super::{KeyedRow, VARIANTS_MAX};
use crate::files::RowAt;
use crate::keys::{Entry, Key, NewKey, NewKeys};
use crate::marks::Marks;
use crate::partition::DATE_UNKNOWN;
use crate::row::RecordJson;
use crate::schema::ANOMALIES;

/// The anomaly of a record whose eventID another record of its account has.
const EVENT_ID_REUSED: &str = "event_id_reused";

/// What was found about some rows.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Rows whose event another row holds.
    pub(crate) duplicates: BTreeSet<RowAt>,
    /// Rows that share their eventID with another record.
    pub(crate) reused: BTreeSet<RowAt>,
    /// Rows of earlier passes whose eventID these rows use for the first time again.
    pub(crate) reused_earlier: Marks,
    /// The keys of the rows that stay.
    pub(crate) new_keys: NewKeys,
}

/// Says of each row whether it is a duplicate of an earlier event, and whether it shares
/// its eventID with an earlier or a later one. All are sorted by key.
pub(super) fn judge(
    rows: &[KeyedRow],
    earlier: &[(Key, Event)],
    later: &[(Key, Event)],
    batches: &[RecordBatch],
) -> Result<Found, ArrowError> {
    let mut found = Found::default();
    let mut records = Records { batches, rebuilt: BTreeMap::new() };
    for group in rows.chunk_by(|one, next| one.key == next.key) {
        let Some(key) = group.first().map(|row| row.key) else { continue };
        let (before, after) = (with_key(earlier, key), with_key(later, key));
        if let ([row], true, true) = (group, before.is_empty(), after.is_empty()) {
            found.keep(row);
            continue;
        }
        let mut same: BTreeMap<(AccountId, &str), Same<'_>> = BTreeMap::new();
        for (_, event) in before {
            let same = same.entry((event.partition.account, &event.id)).or_default();
            same.json.insert(event.json);
            same.earlier.push(event);
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
                same.name_earlier(row, &mut found.reused_earlier);
            } else {
                same.first = Some(row.at);
            }
            let is_used_again = |(_, event): &(Key, Event)| {
                (event.partition.account, event.id.as_str()) == (row.account, id)
                    && event.json != json
                    && share_a_day((event.partition.date, event.day), row.days())
            };
            if after.iter().any(is_used_again) {
                found.reused.insert(row.at);
            }
            if same.json.len() <= VARIANTS_MAX {
                found.keep(row);
            }
        }
    }
    Ok(found)
}

/// Those of sorted events that have a key.
fn with_key(events: &[(Key, Event)], key: Key) -> &[(Key, Event)] {
    let (_, from) = events.split_at(events.partition_point(|(other, _)| *other < key));
    from.split_at(from.partition_point(|(other, _)| *other == key)).0
}

/// Whether two rows of one eventID are compared when they come in different passes: they
/// are of one date, or happened on one day. Each is given by its date and its day.
fn share_a_day(one: (Date, Date), other: (Date, Date)) -> bool {
    one.0 == other.0 || one.1 == other.1
}

impl KeyedRow {
    /// Its date, and the day on which it happened if that is known.
    fn days(&self) -> (Date, Date) {
        (self.date, if self.date == DATE_UNKNOWN { self.also } else { self.date })
    }
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
        let new = NewKey { account: row.account, entry };
        self.new_keys.entry(row.date).or_default().push(new);
    }
}

/// Records of one account and eventID.
#[derive(Default)]
struct Same<'a> {
    json: BTreeSet<Hash>,
    /// The first of them, if it is among the rows and not marked.
    first: Option<RowAt>,
    /// Those of earlier passes.
    earlier: Vec<&'a Event>,
}

impl Same<'_> {
    /// Names the earlier rows that a row of other JSON is the first to be compared with:
    /// all others have their mark, or wait for it.
    fn name_earlier(&self, row: &KeyedRow, named: &mut Marks) {
        let shares = |event: &Event, days| share_a_day((event.partition.date, event.day), days);
        for event in &self.earlier {
            let is_marked = self.earlier.iter().any(|other| {
                other.json != event.json && shares(other, (event.partition.date, event.day))
            });
            if !is_marked && shares(event, row.days()) {
                named.add(event.partition.clone(), event.place);
            }
        }
    }
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

/// Adds [`EVENT_ID_REUSED`] to the anomalies of these rows of a batch, where it is not
/// said yet.
pub(crate) fn mark(batch: &RecordBatch, rows: &BTreeSet<usize>) -> Result<RecordBatch, ArrowError> {
    let index = batch.schema().index_of(ANOMALIES)?;
    let old = batch.column(index).as_string::<i32>();
    let new: StringArray = old
        .iter()
        .enumerate()
        .map(|(row, text)| match (rows.contains(&row), text) {
            (true, None) => Some(EVENT_ID_REUSED.to_owned()),
            (true, Some(text)) if !text.split(',').any(|one| one == EVENT_ID_REUSED) => {
                Some(format!("{text},{EVENT_ID_REUSED}"))
            }
            (true, Some(text)) => Some(text.to_owned()),
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
