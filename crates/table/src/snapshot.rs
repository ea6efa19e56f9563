//! What a reader of the table sees: the files of one state, and no others.
//!
//! A snapshot is the folded log at one record. Its files together hold every
//! row up to [`TableSnapshot::position`] exactly once. Listing `events/` alone
//! shows settled rows only, and may show a pass in part; it never shows a row
//! that will not be committed, nor one row twice.
//!
//! # When a file is missing
//! Settling retires fresh files, compaction replaces settled ones, and both are
//! deleted later. A reader that took long may find one gone
//! ([`TableError::Missing`], or the store's own "not found"): it loads a new
//! snapshot and begins again.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use event::{AccountId, Region};
use futures::future::BoxFuture;
use futures::stream::{self, Stream, StreamExt, TryStreamExt};
use jiff::civil::Date;
use journal::{Journal, State as JournalState};
use ledger::Ledger;
use seam::Blocking;
use store::Store;

use crate::checkpoint;
use crate::day::DayPart;
use crate::duplicates::{Asker, DuplicateRules, Search, add_keyed};
use crate::error::TableError;
use crate::index::IndexPart;
use crate::keys::KeyCache;
use crate::layout::Layout;
use crate::log::DataFile;
use crate::order::without_partitions;
use crate::partition::Regions;
use crate::state::{DateFiles, TableState, Totals};
use crate::stretch::Stretch;

/// The table at one record of its log.
#[derive(Clone, Debug)]
pub struct TableSnapshot {
    pub(crate) store: Store,
    pub(crate) ledger: Ledger,
    pub(crate) state: TableState,
}

/// Which partitions a reader wants; the default wants all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only these accounts.
    pub accounts: Option<BTreeSet<AccountId>>,
    /// Only these regions.
    pub regions: Option<BTreeSet<Region>>,
    /// Only these UTC days. Rows of no known day are at 1970-01-01.
    pub dates: Option<RangeInclusive<Date>>,
}

impl Filter {
    /// Whether `file` may hold a wanted row; a fresh file always may.
    #[must_use]
    pub fn wants(&self, file: &DataFile) -> bool {
        let Some(partition) = &file.partition else { return true };
        self.accounts.as_ref().is_none_or(|wanted| wanted.contains(&partition.account))
            && self.regions.as_ref().is_none_or(|wanted| wanted.contains(&partition.region))
            && self.wants_date(partition.date)
    }

    fn wants_date(&self, date: Date) -> bool {
        self.dates.as_ref().is_none_or(|wanted| wanted.contains(&date))
    }
}

impl TableSnapshot {
    /// The table of `trail` as it is now; an empty one where no pass ever ran.
    ///
    /// # Errors
    /// If the log cannot be read or contradicts itself.
    pub fn load<'a>(store: &'a Store, trail: &'a str) -> BoxFuture<'a, Result<Self, TableError>> {
        Box::pin(async move {
            let layout = Layout::new(trail)?;
            let ledger = Ledger::new(store.clone(), layout.log());
            let mut state = checkpoint::newest(store, &ledger, &layout).await?;
            checkpoint::advance(store, &ledger, &mut state).await?;
            Ok(Self { store: store.clone(), ledger, state })
        })
    }

    /// The journal record up to which the files hold every row.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.state.position
    }

    /// Sums over all passes, and of the files that are there.
    #[must_use]
    pub fn totals(&self) -> &Totals {
        &self.state.totals
    }

    /// The regions that accounts had shown up to the position: rows of later
    /// journal records are placed from here on.
    #[must_use]
    pub fn regions(&self) -> &Regions {
        &self.state.regions
    }

    /// The folded state.
    #[must_use]
    pub fn state(&self) -> &TableState {
        &self.state
    }

    /// The days that have settled files.
    pub fn dates(&self) -> impl Iterator<Item = Date> + '_ {
        self.state.dates.keys().copied()
    }

    /// How many settled files a day has.
    #[must_use]
    pub fn file_count(&self, date: Date) -> u64 {
        self.state.dates.get(&date).map_or(0, DateFiles::count)
    }

    /// Whether all that a day's index does not cover is known without the list of the
    /// day's files: [`TableSnapshot::recent_files`].
    #[must_use]
    pub fn is_list_indexed(&self, date: Date) -> bool {
        let list = self.state.dates.get(&date).and_then(|files| files.manifest.as_ref());
        let covers =
            |list: &Stretch| self.index_of(date).iter().any(|part| part.stretch.includes(list));
        list.is_none_or(|list| list.stretch.as_ref().is_some_and(covers))
    }

    /// The settled files of a day that came after its list was written.
    #[must_use]
    pub fn recent_files(&self, date: Date) -> &[DataFile] {
        self.state.dates.get(&date).map_or(&[], |files| files.recent.as_slice())
    }

    /// The parts of a day's index; of files that none covers nothing is known.
    #[must_use]
    pub fn index_of(&self, date: Date) -> &[IndexPart] {
        self.state.indexes.get(&date).map_or(&[], Vec::as_slice)
    }

    /// The parts of a day's copy, for the organization at once. Each may be read in
    /// place of all the files that it covers; they are there, all of them.
    #[must_use]
    pub fn copies_of(&self, date: Date) -> &[DayPart] {
        self.state.days.get(&date).map_or(&[], Vec::as_slice)
    }

    /// Whether a day's copies hold all that is in the list of its files: then they may be
    /// read in its place, beside those of [`TableSnapshot::recent_files`] that none covers.
    #[must_use]
    pub fn is_list_copied(&self, date: Date) -> bool {
        let Some(files) = self.state.dates.get(&date) else { return false };
        let Some(list) = files.manifest.as_ref().filter(|_| files.replaced.is_empty()) else {
            return false;
        };
        // What a part covers is there, and in no other part: so it is enough to count.
        let parts = self.copies_of(date);
        let covered = |file: &&DataFile| parts.iter().any(|part| part.stretch.covers(file));
        let recent = files.recent.iter().filter(covered).count() as u64;
        parts.iter().map(|part| part.files).sum::<u64>() == list.files + recent
    }

    /// Leaves out of the rows of the journal's tail those whose event another row
    /// holds, there or in the table, and marks reused eventIDs: what the next
    /// pass will do. Gives also how many were left out.
    ///
    /// `rows` have a fresh file's columns and the order of the journal; `streams`
    /// is the journal folded to their end.
    ///
    /// # Errors
    /// If the keys that the log names, or the journal, cannot be read.
    pub fn without_duplicates<'a>(
        &'a self,
        journal: &'a Journal,
        streams: &'a JournalState,
        blocking: Blocking,
        rows: Vec<RecordBatch>,
    ) -> BoxFuture<'a, Result<(Vec<RecordBatch>, u64), TableError>> {
        Box::pin(async move {
            let failed = |error: ArrowError| TableError::Encode(error.to_string());
            let mut keyed = Vec::new();
            for (index, batch) in rows.iter().enumerate() {
                let (_, runs) = without_partitions(batch).map_err(failed)?;
                let runs = runs.iter().map(|(partition, rows)| (partition, rows.clone()));
                add_keyed(index, batch, runs, &mut keyed).map_err(failed)?;
            }
            let mut cache = KeyCache::default();
            let mut search = Search {
                store: &self.store,
                journal,
                ledger: &self.ledger,
                streams,
                state: &self.state,
                asker: Asker::Pass(self.state.position + 1, DuplicateRules::NEWEST),
                cache: &mut cache,
                blocking,
            };
            let found = search.find(keyed, rows.clone()).await?;
            let left_out = found.duplicates.len() as u64;
            blocking
                .run(move || found.apply(rows))
                .await
                .map(|rows| (rows, left_out))
                .map_err(failed)
        })
    }

    /// The settled files of a day.
    ///
    /// # Errors
    /// If their list cannot be read.
    pub fn files_of(
        &self,
        date: Date,
    ) -> impl Future<Output = Result<Vec<DataFile>, TableError>> + Send + use<> {
        let (store, files) = (self.store.clone(), self.state.dates.get(&date).cloned());
        async move {
            match files {
                Some(files) => checkpoint::date_files(&store, &files).await,
                None => Ok(Vec::new()),
            }
        }
    }

    /// The files that may hold wanted rows: settled ones by date, newest day
    /// first, then the fresh ones. At most one date's list is in memory.
    pub fn files(
        &self,
        filter: Filter,
    ) -> impl Stream<Item = Result<DataFile, TableError>> + Send + use<> {
        let Self { store, state, .. } = self;
        let store = store.clone();
        let dates: Vec<_> = state
            .dates
            .iter()
            .rev()
            .filter(|(date, _)| filter.wants_date(**date))
            .map(|(_, files)| files.clone())
            .collect();
        let fresh: Vec<_> = state.fresh.iter().map(|fresh| Ok(fresh.file.clone())).collect();
        stream::iter(dates)
            .then(move |files| {
                let store = store.clone();
                async move { checkpoint::date_files(&store, &files).await }
            })
            .map_ok(|files| stream::iter(files.into_iter().map(Ok)))
            .try_flatten()
            .chain(stream::iter(fresh))
            .try_filter(move |file| std::future::ready(filter.wants(file)))
    }
}
