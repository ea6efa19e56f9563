//! What one question sees: one state of the table, one range of the journal.
//!
//! Everything in a question reads through one view, so an event that it joins
//! with itself is the same event twice and not two states of the world.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use datafusion::error::DataFusionError;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::runtime_env::RuntimeEnv;
use futures::stream;
use futures::{StreamExt, TryStreamExt};
use integrity::sha256;
use jiff::civil::Date;
use journal::Journal;
use object_store::path::Path;
use seam::Blocking;
use store::Store;
use table::{DataFile, DayPart, TableError, TableSnapshot};
use tokio::sync::OnceCell;

use crate::coverage::{Coverage, state};
use crate::engine::Options;
use crate::error::QueryError;
use crate::kept::Kept;
use crate::lookup::{ASKS_MAX, Ask, Named};
use crate::pruning::Pruning;
use crate::reader::Opened;
use crate::tail::Tail;

/// Lists of days' files that are read at once.
const LISTS_AT_ONCE: usize = 8;

/// What the engine keeps of each file of a plan until the question ends: some forty counters.
const FILE_BYTES: usize = 8 << 10;

/// One state of the table and the journal after it.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) store: Store,
    pub(crate) snapshot: TableSnapshot,
    journal: Journal,
    runtime: Arc<RuntimeEnv>,
    blocking: Blocking,
    tail_limit_bytes: u64,
    memory_bytes: usize,
    tail: OnceCell<(Tail, MemoryReservation)>,
    pub(crate) opened: Arc<Opened>,
    /// What indexes said last: a question may look at the events several times.
    pub(crate) named: Kept<Ask, Arc<Named>>,
    /// Why reading failed: said here in our own words, since the engine passes
    /// on its own kind of error only.
    failure: Mutex<Option<QueryError>>,
    /// Files chosen so far, by their path: a question may look at them twice.
    planned: Mutex<BTreeMap<String, DataFile>>,
    /// The memory that files of plans take.
    opening: Mutex<Vec<MemoryReservation>>,
    /// What was asked for so far.
    asked: Mutex<Vec<Pruning>>,
}

/// Files that may hold wanted rows.
#[derive(Debug, Default)]
pub(crate) struct Chosen {
    pub(crate) settled: Vec<DataFile>,
    pub(crate) fresh: Vec<DataFile>,
    /// Copies of days, in place of settled files: at first those of days whose list of files
    /// is not read.
    pub(crate) copies: Vec<DataFile>,
}

impl View {
    pub(crate) fn new(
        store: Store,
        snapshot: TableSnapshot,
        journal: Journal,
        runtime: Arc<RuntimeEnv>,
        blocking: Blocking,
        options: &Options,
    ) -> Self {
        Self {
            store,
            snapshot,
            journal,
            runtime,
            blocking,
            tail_limit_bytes: options.tail_limit_bytes,
            memory_bytes: options.limits.memory_bytes,
            tail: OnceCell::new(),
            opened: Arc::default(),
            named: Kept::new(ASKS_MAX),
            failure: Mutex::new(None),
            planned: Mutex::default(),
            opening: Mutex::default(),
            asked: Mutex::new(Vec::new()),
        }
    }

    /// The journal's tail; read when it is first asked for.
    pub(crate) async fn tail(&self) -> Result<&Tail, QueryError> {
        let read = self.tail.get_or_try_init(|| async {
            let tail =
                Tail::read(&self.journal, &self.snapshot, self.tail_limit_bytes, self.blocking)
                    .await?;
            let bytes =
                tail.batches.iter().map(arrow::array::RecordBatch::get_array_memory_size).sum();
            let reservation = self.reserve("journal tail", bytes)?;
            Ok((tail, reservation))
        });
        read.await.map(|(tail, _)| tail)
    }

    /// Takes the memory that so many files of a plan need.
    pub(crate) fn opens(&self, files: usize) -> Result<(), QueryError> {
        let taken = self.reserve("files to open", files.saturating_mul(FILE_BYTES))?;
        self.opening.lock().unwrap_or_else(PoisonError::into_inner).push(taken);
        Ok(())
    }

    fn reserve(&self, name: &str, bytes: usize) -> Result<MemoryReservation, QueryError> {
        let reservation = MemoryConsumer::new(name).register(&self.runtime.memory_pool);
        reservation.try_grow(bytes).map_err(|source| QueryError::Memory {
            limit_bytes: self.memory_bytes,
            source: Box::new(source),
        })?;
        Ok(reservation)
    }

    /// The days that may hold rows that a condition wants.
    pub(crate) fn dates(&self, pruning: &Pruning) -> Result<Vec<Date>, QueryError> {
        let dates: Vec<_> = self.snapshot.dates().collect();
        let wanted = pruning.dates(&dates).map_err(judged)?;
        Ok(dates
            .into_iter()
            .zip(wanted)
            .filter_map(|(date, wanted)| wanted.then_some(date))
            .collect())
    }

    /// The files of these days, and the fresh ones, that may hold rows that a condition
    /// wants.
    pub(crate) async fn files(
        &self,
        pruning: &Pruning,
        dates: &[Date],
        named: Option<&Named>,
    ) -> Result<Chosen, QueryError> {
        let may_copy = named.is_none() && !pruning.is_of_partitions();
        let copied = dates.iter().filter(|date| may_copy && self.snapshot.is_list_copied(**date));
        let copied: BTreeMap<Date, &[DayPart]> =
            copied.map(|date| (*date, self.snapshot.copies_of(*date))).collect();
        let is_covered = |file: &DataFile| {
            let parts = file.partition.as_ref().and_then(|one| copied.get(&one.date));
            parts.is_some_and(|parts| parts.iter().any(|part| part.stretch.covers(file)))
        };
        let list = |date: &Date| {
            let (snapshot, date) = (&self.snapshot, *date);
            let is_copied = copied.contains_key(&date);
            async move {
                match named {
                    Some(named) => named.left(snapshot, date).await,
                    None if is_copied => Ok(snapshot.recent_files(date).to_vec()),
                    None => snapshot.files_of(date).await,
                }
            }
        };
        let lists: Vec<_> = dates.iter().map(list).collect();
        let mut lists = stream::iter(lists).buffered(LISTS_AT_ONCE);
        let mut settled = Vec::new();
        while let Some(mut files) = lists.try_next().await.map_err(QueryError::Table)? {
            files.retain(|file| !is_covered(file));
            let keep = pruning.files(&files).map_err(judged)?;
            settled.extend(
                files.into_iter().zip(keep).filter_map(|(file, keep)| keep.then_some(file)),
            );
        }
        let fresh: Vec<DataFile> =
            self.snapshot.state().fresh.iter().map(|fresh| fresh.file.clone()).collect();
        let keep = pruning.files(&fresh).map_err(judged)?;
        let fresh =
            fresh.into_iter().zip(keep).filter_map(|(file, keep)| keep.then_some(file)).collect();
        let parts = copied.values().copied().flatten();
        let copies: Vec<DataFile> = parts.map(|part| part.file.clone()).collect();
        let keep = pruning.files(&copies).map_err(judged)?;
        let copies =
            copies.into_iter().zip(keep).filter_map(|(file, keep)| keep.then_some(file)).collect();
        Ok(Chosen { settled, fresh, copies })
    }

    /// Remembers the files that are going to be read.
    pub(crate) fn planned(&self, chosen: &Chosen) {
        let mut planned = self.planned.lock().unwrap_or_else(PoisonError::into_inner);
        let all = chosen.settled.iter().chain(&chosen.fresh).chain(&chosen.copies);
        planned.extend(all.map(|file| (file.path.clone(), file.clone())));
    }

    /// Remembers what is asked for, which the answer has to be complete of.
    pub(crate) fn asks(&self, pruning: Pruning) {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).push(pruning);
    }

    /// Keeps what went wrong for whoever asked.
    pub(crate) fn fail(&self, error: QueryError) {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    }

    pub(crate) fn take_failure(&self) -> Option<QueryError> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// After a failure: the opened file that is gone or is not what was
    /// committed, the last opened first.
    pub(crate) async fn broken_file(&self) -> Option<QueryError> {
        let planned = self.planned.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for path in self.opened.paths().into_iter().rev() {
            let Some(file) = planned.get(&path) else { continue };
            match self.store.get(&Path::from(path.as_str())).await {
                Ok(None) => return Some(QueryError::Missing { path }),
                Ok(Some(bytes)) if sha256(&bytes) != file.sha256 => {
                    let what = format!(
                        "its {} bytes do not have the hash in the table's log",
                        bytes.len()
                    );
                    return Some(QueryError::Damaged { path, what });
                }
                Ok(Some(_)) => {}
                Err(error) => return Some(QueryError::Table(TableError::Store(error))),
            }
        }
        None
    }

    /// What the answer covers so far.
    pub(crate) fn coverage(&self) -> Coverage {
        let planned = self.planned.lock().unwrap_or_else(PoisonError::into_inner).len();
        let mut coverage = Coverage {
            table_position: self.snapshot.position(),
            journal_record: self.snapshot.position(),
            files: planned as u64,
            files_total: self.snapshot.totals().files,
            expired: self.snapshot.totals().expired.rows,
            read_bytes: self.store.reads().bytes(),
            requests: self.store.reads().requests(),
            without_lists: self.opened.without_lists(),
            ..Coverage::default()
        };
        if let Some((tail, _)) = self.tail.get() {
            coverage.searched = true;
            coverage.journal_record = tail.record;
            coverage.committed_at = tail.committed_at;
            coverage.truncated = tail.truncated;
            coverage.damaged.clone_from(&tail.damaged);
            let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
            let lost = self.snapshot.totals().damage.units + tail.lost;
            state(&mut coverage, tail, lost, &asked);
            coverage.tail_rows = tail.rows;
            coverage.tail_duplicates = tail.duplicates;
            coverage.tail_rejected = tail.rejected;
        }
        coverage
    }
}

fn judged(error: DataFusionError) -> QueryError {
    QueryError::Engine(Box::new(error))
}
