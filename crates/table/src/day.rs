//! The organization at once: copies of days that are over, account and region as
//! columns.
//!
//! A directory for each account, region and day is what people ask for, and in a
//! large organization it is thousands of small files a day. So of a day with many
//! files, once compaction and the index are done with it, the same rows are
//! written again to few files below `days/date=…/`, each sorted for questions
//! across accounts.
//!
//! # One part, one stretch
//! A part holds exactly the rows of the files in one stretch of the day's paths, as
//! they were at one record. Parts of a day never overlap, so a file's rows are in
//! one of them at most. When a covered file leaves the table, replaced or expired,
//! its part is dropped in the same record, and readers take the files again until
//! there is a new part. A later file in the stretch is read beside it; when there
//! are many, the part is made again. A reader may therefore always take a part in
//! place of all the files that it covers, and nothing is there twice or missing. A
//! day that has a copy has all its rows in it, but for those of late files that are
//! too few yet.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::error::ArrowError;
use futures::StreamExt;
use futures::future::BoxFuture;
use integrity::sha256;
use jiff::civil::Date;
use object_store::path::Path;
use parquet::errors::ParquetError;
use serde::{Deserialize, Serialize};
use store::StoreError;
use tokio_util::sync::CancellationToken;

use crate::checkpoint::date_files;
use crate::choose::choose;
use crate::encode::{Encoded, FileWriter, Kind};
use crate::error::TableError;
use crate::files::{ENCODE_BATCH_ROWS, RowAt, encode_failed};
use crate::indicators::with_indicators;
use crate::layout::Layout;
use crate::log::{Body, DataFile, DayCommit};
use crate::open_file::{OpenFile, opened};
use crate::order::{RowOrder, with_partitions};
use crate::partition::Partition;
use crate::state::DateFiles;
use crate::stretch::Stretch;
use crate::table::{Table, Won};

/// Bytes of decoded rows after which a part ends.
const PART_MEMORY_BYTES_MAX: usize = 64 << 20;

/// Rows that are decoded at once, and that small files' are joined to,
const BATCH_ROWS: usize = 8_192;
/// or so many bytes of these.
const FEW_BYTES_MAX: usize = 16 << 20;

/// One file of a day's copy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DayPart {
    /// The object, with account, region and date as columns.
    pub file: DataFile,
    /// How many files' rows it holds.
    pub files: u64,
    /// Which.
    #[serde(flatten)]
    pub stretch: Stretch,
}

/// What copying days has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DayReport {
    /// Parts written.
    pub parts: u64,
    /// Files whose rows they hold.
    pub files: u64,
    /// Those rows.
    pub rows: u64,
    /// Bytes of the parts.
    pub bytes: u64,
    /// Whether it stopped early, so that more may wait.
    pub more: bool,
}

/// Which files of a date were looked at and need no new part.
pub(crate) type Copied = BTreeMap<Date, DateFiles>;

/// Neighbouring files that the next part begins with.
struct Run {
    date: Date,
    files: Vec<DataFile>,
}

/// Rows in memory, and whose they are.
#[derive(Default)]
struct Rows {
    batches: Vec<RecordBatch>,
    /// Of each batch, the partitions of its rows.
    owners: Vec<Vec<usize>>,
    /// Rows that are too few for a batch: of a small file's a hundred columns take more
    /// memory than what is in them.
    few: Vec<RecordBatch>,
    few_owners: Vec<usize>,
    few_bytes: usize,
    partitions: Vec<Partition>,
    /// What all of them take.
    memory_bytes: usize,
}

impl Rows {
    /// Adds rows of a partition.
    fn add(&mut self, batch: RecordBatch, partition: &Partition) -> Result<(), ArrowError> {
        if self.partitions.last() != Some(partition) {
            self.partitions.push(partition.clone());
        }
        let owner = self.partitions.len() - 1;
        self.few_owners.extend(std::iter::repeat_n(owner, batch.num_rows()));
        self.few_bytes += batch.get_array_memory_size();
        self.memory_bytes += batch.get_array_memory_size();
        self.few.push(batch);
        let are_enough = self.few_owners.len() >= BATCH_ROWS || self.few_bytes >= FEW_BYTES_MAX;
        if are_enough { self.join() } else { Ok(()) }
    }

    /// Makes one batch of the few rows.
    fn join(&mut self) -> Result<(), ArrowError> {
        let few = std::mem::take(&mut self.few);
        let joined = match few.as_slice() {
            [] => return Ok(()),
            [one] => one.clone(),
            [first, ..] => concat_batches(first.schema_ref(), &few)?,
        };
        self.memory_bytes += joined.get_array_memory_size();
        self.memory_bytes -= std::mem::take(&mut self.few_bytes);
        self.batches.push(joined);
        self.owners.push(std::mem::take(&mut self.few_owners));
        Ok(())
    }

    fn partition(&self, (batch, row): RowAt) -> Option<&Partition> {
        self.partitions.get(*self.owners.get(batch)?.get(row)?)
    }
}

impl Table {
    /// Copies days that are over and have many files, or until `stop`; at most
    /// `steps` parts. To be called when nothing is left to compact.
    ///
    /// Dropping the future is safe at any point.
    ///
    /// # Errors
    /// [`TableError::is_retryable`] says whether to call again.
    pub fn copy_days<'a>(
        &'a mut self,
        steps: u64,
        stop: &'a CancellationToken,
    ) -> BoxFuture<'a, Result<DayReport, TableError>> {
        Box::pin(async move {
            let mut report = DayReport::default();
            self.refresh().await?;
            for step in 0.. {
                if self.state.open.is_some() {
                    report.more = true;
                    break;
                }
                let Some(run) = self.due_to_copy().await? else { break };
                if step >= steps || stop.is_cancelled() {
                    report.more = true;
                    break;
                }
                let parts = self.state.days.get(&run.date).map_or(&[][..], Vec::as_slice);
                let named = parts.iter().map(|part| part.file.path.as_str()).collect();
                self.remove_unnamed(&self.layout.days(run.date), &named).await?;
                let Some(commit) = self.write_copy(run).await? else { continue };
                let (path, part) = (commit.part.file.path.clone(), commit.part.clone());
                if self.append(&Body::Day(commit)).await? == Won::Theirs {
                    // Whoever lists the folder would see its rows twice.
                    self.store.delete(&Path::from(path)).await.map_err(TableError::Store)?;
                    report.more = true;
                    break;
                }
                report.parts += 1;
                report.files += part.files;
                report.rows += part.file.rows;
                report.bytes += part.file.bytes;
                self.tidy().await?;
            }
            Ok(report)
        })
    }

    /// The first files of a day that want a part, and those that follow them.
    async fn due_to_copy(&mut self) -> Result<Option<Run>, TableError> {
        let limits = self.config.limits.clone();
        for date in self.dates_that_are_over() {
            let Some(of_date) = self.state.dates.get(&date).cloned() else { continue };
            if self.copied.get(&date) == Some(&of_date) {
                continue;
            }
            let mut files = date_files(&self.store, &of_date).await?;
            files.sort_by(|one, other| one.path.cmp(&other.path));
            let parts = self.state.days.get(&date).map_or(&[][..], Vec::as_slice);
            let run = if files.len() < limits.day_files_min {
                None
            } else {
                first_run(&files, parts, limits.day_run_files_min)
            };
            match run {
                Some(files) => return Ok(Some(Run { date, files })),
                None => self.copied.insert(date, of_date),
            };
        }
        Ok(None)
    }

    /// Writes the next part, of as many neighbours as fit. None if a file is gone:
    /// then the state was old, and is not any more.
    async fn write_copy(&mut self, run: Run) -> Result<Option<DayCommit>, TableError> {
        let Run { date, files } = run;
        let mut rows = Rows::default();
        let mut stretch: Option<Stretch> = None;
        let (mut used, mut rows_in) = (0, 0);
        let to = self.state.head;
        let mut files = std::pin::pin!(opened(self.store.clone(), files));
        while let Some((file, open)) = files.next().await {
            let read = match open {
                Ok(open) => self.read_rows(&file, &open, &mut rows).await,
                Err(error) => Err(error),
            };
            match read {
                Ok(()) => {}
                Err(TableError::Missing { path }) if !self.still_lists(date, &path).await? => {
                    return Ok(None);
                }
                Err(error) => return Err(error),
            }
            let path = file.path.clone();
            let stretch =
                stretch.get_or_insert_with(|| Stretch { to, first: path.clone(), last: path });
            stretch.last.clone_from(&file.path);
            used += 1;
            rows_in += file.rows;
            if rows.memory_bytes >= PART_MEMORY_BYTES_MAX {
                break;
            }
        }
        let Some(stretch) = stretch else { return Ok(None) };
        rows.join().map_err(|error| encode_failed(&error))?;
        let encoded = self.seams.blocking.run(move || encode(&rows)).await;
        let encoded = encoded?;
        if encoded.rows != rows_in {
            let what = format!("a copy of the day has {} rows of {rows_in}", encoded.rows);
            return Err(TableError::Damaged { path: stretch.first, what });
        }
        let path = self.layout.day(date, to + 1, sha256(&encoded.bytes));
        let file = DataFile::of(&path, None, &encoded);
        let put = self.store.ensure(&path, encoded.bytes).await;
        put.map_err(|error| TableError::Store(StoreError::from(error)))?;
        let parts = self.state.days.get(&date).map_or(&[][..], Vec::as_slice);
        let met = parts.iter().filter(|part| part.stretch.meets(&stretch));
        let replaces = met.map(|part| part.file.path.clone()).collect();
        let part = DayPart { file, files: used, stretch };
        Ok(Some(DayCommit { date, part, replaces }))
    }

    async fn read_rows(
        &self,
        file: &DataFile,
        open: &OpenFile,
        rows: &mut Rows,
    ) -> Result<(), TableError> {
        let Some(partition) = file.partition.clone() else { return Ok(()) };
        for (group, range) in open.footer.row_groups().into_iter().enumerate() {
            let bytes = open.read(&self.store, range).await?;
            let footer = open.footer.clone();
            let work = move || {
                let batches = footer.read(group, bytes, BATCH_ROWS)?;
                batches.map(|batch| Ok(with_indicators(batch?)?)).collect::<Result<Vec<_>, _>>()
            };
            let decoded = self.seams.blocking.run(work).await;
            let damaged = |error: ParquetError| TableError::Damaged {
                path: file.path.clone(),
                what: error.to_string(),
            };
            for batch in decoded.map_err(damaged)? {
                rows.add(batch, &partition).map_err(|error| encode_failed(&error))?;
            }
        }
        Ok(())
    }
}

/// The first neighbours that no part holds, or whose part is worn; late ones only if
/// they are many.
fn first_run(files: &[DataFile], parts: &[DayPart], files_min: usize) -> Option<Vec<DataFile>> {
    let late = |part: &DayPart| {
        let in_it = files.iter().filter(|file| part.stretch.has(&file.path));
        in_it.filter(|file| !part.stretch.covers(file)).count()
    };
    let whole: Vec<&DayPart> = parts.iter().filter(|part| late(part) < files_min).collect();
    let wants = |file: &DataFile| !whole.iter().any(|part| part.stretch.has(&file.path));
    let newest = parts.iter().map(|part| part.stretch.to).max();
    let is_late = |file: &DataFile| {
        let intent = Layout::intent_of(&Path::from(file.path.as_str()));
        newest.is_some_and(|newest| intent.is_none_or(|intent| intent > newest))
    };
    let mut runs = files.chunk_by(|one, next| wants(one) == wants(next));
    let run = runs.find(|run| {
        run.first().is_some_and(wants) && (run.len() >= files_min || !run.iter().all(is_late))
    });
    run.map(<[DataFile]>::to_vec)
}

/// Sorts rows across partitions and encodes them.
fn encode(rows: &Rows) -> Result<Encoded, TableError> {
    let encode = || {
        let order = RowOrder::new()?;
        let keys =
            rows.batches.iter().map(|batch| order.keys(batch)).collect::<Result<Vec<_>, _>>()?;
        let places = rows.batches.iter().enumerate();
        let mut places: Vec<RowAt> = places
            .flat_map(|(index, batch)| (0..batch.num_rows()).map(move |row| (index, row)))
            .collect();
        let key = |at: &RowAt| keys.get(at.0).map(|keys| keys.row(at.1));
        places.sort_by(|one, other| key(one).cmp(&key(other)));
        let batches: Vec<&RecordBatch> = rows.batches.iter().collect();
        let mut writer = FileWriter::new(Kind::Day);
        for chunk in places.chunks(ENCODE_BATCH_ROWS) {
            let partitions: Vec<&Partition> =
                chunk.iter().filter_map(|at| rows.partition(*at)).collect();
            let batch = with_partitions(&choose(&batches, chunk)?, &partitions)?;
            writer.write(&batch)?;
        }
        Ok::<_, ArrowError>(writer.close()?)
    };
    encode().map_err(|error| encode_failed(&error))
}
