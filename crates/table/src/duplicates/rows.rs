//! Events that the journal has let go are read from their rows.
//!
//! The key of an event says where its line was, the rows that are compared with it have
//! its account, and its run is of its date: so its row is looked for in the files of that
//! account and date, and among the fresh ones. Which files there are, and what is read of
//! them, follows from the folded log, so whoever finishes a pass finds the same.
//!
//! A search looks into at most [`FILES_MAX`] files, and reads at most [`BYTES_MAX`] of
//! their row groups.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::TimestampMicrosecondType;
use arrow::error::ArrowError;
use bytes::Bytes;
use event::AccountId;
use jiff::civil::Date;
use object_store::path::Path;

use super::earlier::{Event, Seen, digest};
use super::{KeyedRow, Search, true_day};
use crate::checkpoint::date_files;
use crate::decode::Footer;
use crate::error::TableError;
use crate::files::{read_footer, read_range};
use crate::find::find_rows;
use crate::keys::{Key, Place};
use crate::log::DataFile;
use crate::order::without_partitions;
use crate::partition::{DATE_UNKNOWN, Partition};
use crate::row::RecordJson;

/// Files that one search looks into.
const FILES_MAX: usize = 1_024;

/// Bytes of row groups that it reads.
const BYTES_MAX: u64 = 256 << 20;

/// Rows that are decoded at once.
const BATCH_ROWS: usize = 512;

/// Rows of a date that are looked for.
#[derive(Default)]
struct Wanted {
    accounts: BTreeSet<AccountId>,
    places: BTreeSet<Place>,
}

/// What may still be read, and what was.
struct Reading {
    files_left: usize,
    bytes_left: u64,
    events: Vec<Event>,
}

impl Search<'_> {
    /// The events of these entries, of which `rows` have the keys.
    pub(super) async fn read_rows(
        &self,
        seen: Vec<Seen>,
        rows: &[KeyedRow],
    ) -> Result<Vec<(Key, Event)>, TableError> {
        let keys: BTreeMap<Place, Key> =
            seen.iter().map(|(entry, _)| (entry.place, entry.key)).collect();
        let mut by_date: BTreeMap<Date, Wanted> = BTreeMap::new();
        for (entry, date) in seen {
            let wanted = by_date.entry(date).or_default();
            let from = rows.partition_point(|row| row.key < entry.key);
            let same = rows.iter().skip(from).take_while(|row| row.key == entry.key);
            wanted.accounts.extend(same.map(|row| row.account));
            wanted.places.insert(entry.place);
        }
        let mut reading =
            Reading { files_left: FILES_MAX, bytes_left: BYTES_MAX, events: Vec::new() };
        let mut not_settled = BTreeSet::new();
        for (date, Wanted { accounts, mut places }) in by_date {
            let mut files = match self.state.dates.get(&date) {
                Some(files) => date_files(self.store, files).await?,
                None => Vec::new(),
            };
            let account = |file: &DataFile| file.partition.as_ref().map(|one| one.account);
            files.retain(|file| account(file).is_some_and(|one| accounts.contains(&one)));
            files.sort_by(|one, other| one.path.cmp(&other.path));
            for file in files {
                self.read_rows_of(&file, &mut places, &mut reading).await?;
            }
            not_settled.extend(places);
        }
        for fresh in &self.state.fresh {
            self.read_rows_of(&fresh.file, &mut not_settled, &mut reading).await?;
        }
        let key_of = |event: Event| Some((*keys.get(&event.place)?, event));
        Ok(reading.events.into_iter().filter_map(key_of).collect())
    }

    /// Reads those rows that lie in a file, and takes their places out.
    async fn read_rows_of(
        &self,
        file: &DataFile,
        places: &mut BTreeSet<Place>,
        reading: &mut Reading,
    ) -> Result<(), TableError> {
        if places.is_empty() || reading.files_left == 0 {
            return Ok(());
        }
        reading.files_left -= 1;
        let found = async {
            let footer = read_footer(self.store, file).await?;
            let found = find_rows(self.store, file, &footer, places).await?;
            Ok::<_, TableError>((footer, found))
        };
        let (footer, found) = match found.await {
            Ok(found) => found,
            Err(error) => return self.pass_over(file, error).await,
        };
        let ranges = footer.row_groups();
        for (group, rows) in found {
            let Some(range) = ranges.get(group).cloned() else { continue };
            let Some(left) = reading.bytes_left.checked_sub(range.end - range.start) else {
                reading.files_left = 0;
                return Ok(());
            };
            reading.bytes_left = left;
            let path = Path::from(file.path.as_str());
            let bytes = match read_range(self.store, &path, range).await {
                Ok(bytes) => bytes,
                Err(error) => return self.pass_over(file, error).await,
            };
            let (footer, partition) = (footer.clone(), file.partition.clone());
            let work = move || events_of(&footer, group, bytes, &rows, partition.as_ref());
            match self.blocking.run(work).await {
                Ok(events) => {
                    for event in &events {
                        places.remove(&event.place);
                    }
                    reading.events.extend(events);
                }
                Err(error) => {
                    let what = error.to_string();
                    let error = TableError::Damaged { path: file.path.clone(), what };
                    return self.pass_over(file, error).await;
                }
            }
        }
        Ok(())
    }

    /// Goes on without a file that is gone or damaged; but if others have added to the log
    /// since, it may have been replaced, and all of this is done again.
    async fn pass_over(&self, file: &DataFile, error: TableError) -> Result<(), TableError> {
        match &error {
            TableError::Damaged { .. } => {}
            TableError::Missing { .. } => {
                let next = self.ledger.next(&self.state.ledger_head()).await;
                if next.map_err(TableError::Ledger)?.is_some() {
                    return Err(error);
                }
            }
            _ => return Err(error),
        }
        tracing::warn!(
            path = %file.path,
            error = &error as &dyn std::error::Error,
            "events that may be duplicates of rows in this file cannot be compared"
        );
        Ok(())
    }
}

/// The events that rows of a row group hold.
fn events_of(
    footer: &Footer,
    group: usize,
    bytes: Bytes,
    rows: &[(usize, Place)],
    partition: Option<&Partition>,
) -> Result<Vec<Event>, ArrowError> {
    let mut events = Vec::with_capacity(rows.len());
    let mut rest = rows;
    let mut start = 0;
    for batch in footer.read(group, bytes, BATCH_ROWS)? {
        let batch = batch?;
        let end = start + batch.num_rows();
        let (here, after) = rest.split_at(rest.partition_point(|(row, _)| *row < end));
        rest = after;
        if !here.is_empty() {
            let of_batch = here.iter().map(|(row, place)| (row - start, *place));
            add_events(&batch, partition, of_batch, &mut events)?;
        }
        start = end;
    }
    Ok(events)
}

fn add_events(
    batch: &RecordBatch,
    partition: Option<&Partition>,
    rows: impl Iterator<Item = (usize, Place)>,
    events: &mut Vec<Event>,
) -> Result<(), ArrowError> {
    let runs = match partition {
        Some(partition) => vec![(partition.clone(), 0..batch.num_rows())],
        None => without_partitions(batch)?.1,
    };
    let absent = |name: &str| ArrowError::SchemaError(format!("rows have no column {name}"));
    let column = |name: &str| batch.column_by_name(name).ok_or_else(|| absent(name));
    let ids = column("eventid")?.as_string_opt::<i32>().ok_or_else(|| absent("eventid"))?;
    let times = column("eventtime")?
        .as_primitive_opt::<TimestampMicrosecondType>()
        .ok_or_else(|| absent("eventtime"))?;
    let records = RecordJson::of(batch)?;
    let mut text = Vec::new();
    for (row, place) in rows {
        text.clear();
        records.write(row, &mut text);
        let run = runs.iter().find(|(_, range)| range.contains(&row));
        let (false, Some(json), Some((partition, _))) = (ids.is_null(row), digest(&text), run)
        else {
            continue;
        };
        let date = partition.date;
        let displaced = (date == DATE_UNKNOWN && !times.is_null(row)).then(|| times.value(row));
        events.push(Event {
            id: ids.value(row).to_owned(),
            json,
            partition: partition.clone(),
            place,
            day: displaced.and_then(true_day).unwrap_or(date),
        });
    }
    Ok(())
}
