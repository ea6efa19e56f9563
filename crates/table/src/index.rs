//! The index of indicators: which files of a day that is over name a thing.
//!
//! "Everything that names this key, across the organization, in ninety days" has
//! to leave out nearly all files unopened, and nothing that is known of a file
//! by its place tells whether it names a key. So of each day that is over, once
//! its files are compacted, there is an index: what [`event::indicator`] finds in
//! its rows, and the file, row group, number of rows and times where. A reader
//! looks there first and opens what it names.
//!
//! # What an index covers
//! Each part is made of all files of its day that no other part covers, and says
//! which by a record of the log and a stretch of paths: a file of a later intent,
//! or of another stretch, is not covered and is read. So a late event, or a file
//! that compaction has just written, is never missed; the next run adds a part
//! for it. Several small parts, or ones that mostly name replaced files, are made
//! again as one.
//!
//! `collect` finds indicators in rows, `part` makes the Parquet file.

mod collect;
mod part;

use std::collections::BTreeMap;

use futures::future::BoxFuture;
use jiff::civil::Date;
use object_store::path::Path;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use integrity::{Hash, sha256};
use store::StoreError;

use crate::checkpoint::date_files;
use crate::error::TableError;
use crate::files::{encode_failed, read_footer, read_range};
use crate::log::{Body, DataFile, IndexCommit};
use crate::state::DateFiles;
use crate::stretch::Stretch;
use crate::table::{Table, Won};
use collect::Collector;
use part::PartBuilder;
pub use part::index_schema;

/// Parts of one day's index beside those that its entries need; past that they are
/// made again.
const PARTS_MAX: u64 = 8;

/// Rows that are decoded at once.
const BATCH_ROWS: usize = 1024;

/// One object of a day's index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexPart {
    /// Its path in the store.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// SHA-256 of the whole object.
    pub sha256: Hash,
    /// Its rows.
    pub entries: u64,
    /// How many files it was made of.
    pub files: u64,
    /// All indicators of a file that it covers are in this part, or in another that
    /// covers the file too.
    #[serde(flatten)]
    pub stretch: Stretch,
}

/// What indexing has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IndexReport {
    /// Parts written.
    pub parts: u64,
    /// Files they were made of.
    pub files: u64,
    /// Rows in those.
    pub rows: u64,
    /// Indicators found: rows of the index.
    pub entries: u64,
    /// Bytes of the parts.
    pub bytes: u64,
    /// Whether it stopped early, so that more may wait.
    pub more: bool,
}

/// Which files of a date were found to be indexed.
pub(crate) type Indexed = BTreeMap<Date, DateFiles>;

/// The files that the next part is made of.
struct Due {
    date: Date,
    files: Vec<DataFile>,
    /// Parts that it takes the place of.
    replaces: Vec<String>,
}

impl Table {
    /// Brings the indexes of days that are over up to date, or until `stop`; at
    /// most `steps` parts. To be called when nothing is left to compact.
    ///
    /// Dropping the future is safe at any point.
    ///
    /// # Errors
    /// [`TableError::is_retryable`] says whether to call again.
    pub fn index<'a>(
        &'a mut self,
        steps: u64,
        stop: &'a CancellationToken,
    ) -> BoxFuture<'a, Result<IndexReport, TableError>> {
        Box::pin(async move {
            let mut report = IndexReport::default();
            self.refresh().await?;
            for step in 0.. {
                // What an open intent will name is not known yet.
                if self.state.open.is_some() {
                    report.more = true;
                    break;
                }
                let Some(due) = self.due_for_index().await? else { break };
                if step >= steps || stop.is_cancelled() {
                    report.more = true;
                    break;
                }
                let parts = self.state.indexes.get(&due.date).map_or(&[][..], Vec::as_slice);
                let named = parts.iter().map(|part| part.path.as_str()).collect();
                self.remove_unnamed(&self.layout.indexes(due.date), &named).await?;
                let Some(index) = self.write_part(due, &mut report).await? else { continue };
                if self.append(&Body::Index(index)).await? == Won::Theirs {
                    report.more = true;
                    break;
                }
            }
            Ok(report)
        })
    }

    /// The newest day whose files are not all covered.
    async fn due_for_index(&mut self) -> Result<Option<Due>, TableError> {
        for date in self.dates_that_are_over() {
            let Some(of_date) = self.state.dates.get(&date).cloned() else { continue };
            if self.indexed.get(&date) == Some(&of_date) {
                continue;
            }
            let mut files = date_files(&self.store, &of_date).await?;
            files.sort_by(|one, other| one.path.cmp(&other.path));
            let parts = self.state.indexes.get(&date).map_or(&[][..], Vec::as_slice);
            let covered = |file: &DataFile| parts.iter().any(|part| part.stretch.covers(file));
            let alive = files.iter().filter(|file| covered(file)).count() as u64;
            if alive == files.len() as u64 {
                self.indexed.insert(date, of_date);
                continue;
            }
            let made_of: u64 = parts.iter().map(|part| part.files).sum();
            let entries: u64 = parts.iter().map(|part| part.entries).sum();
            let needed = entries / self.config.limits.index_entries_max.max(1) as u64;
            let are_many = parts.len() as u64 >= needed + PARTS_MAX;
            let is_worn = !parts.is_empty() && (are_many || alive * 2 < made_of);
            let replaces = if is_worn {
                parts.iter().map(|part| part.path.clone()).collect()
            } else {
                files.retain(|file| !covered(file));
                Vec::new()
            };
            return Ok(Some(Due { date, files, replaces }));
        }
        Ok(None)
    }

    /// Writes one part, of as many files as fit. None if a file is gone: then the
    /// state was old, and is not any more.
    async fn write_part(
        &mut self,
        due: Due,
        report: &mut IndexReport,
    ) -> Result<Option<IndexCommit>, TableError> {
        let Due { date, files, replaces } = due;
        let mut builder = PartBuilder::default();
        let (mut first, mut last) = (None, String::new());
        let (mut used, mut rows) = (0, 0);
        for file in &files {
            match self.collect_file(file, builder).await {
                Ok(back) => builder = back,
                Err(TableError::Missing { path }) if !self.still_lists(date, &path).await? => {
                    return Ok(None);
                }
                Err(error) => return Err(error),
            }
            first.get_or_insert_with(|| file.path.clone());
            last.clone_from(&file.path);
            used += 1;
            rows += file.rows;
            if builder.len() >= self.config.limits.index_entries_max {
                break;
            }
        }
        let entries = builder.len() as u64;
        let bytes = self.seams.blocking.run(move || builder.finish()).await;
        let bytes = bytes.map_err(|error| encode_failed(&error))?;
        let to = self.state.head;
        let hash = sha256(&bytes);
        let path = self.layout.index(date, to + 1, hash);
        let part = IndexPart {
            path: path.to_string(),
            bytes: bytes.len() as u64,
            sha256: hash,
            entries,
            files: used,
            stretch: Stretch { to, first: first.unwrap_or_default(), last },
        };
        let put = self.store.ensure(&path, bytes).await;
        put.map_err(|error| TableError::Store(StoreError::from(error)))?;
        report.parts += 1;
        report.files += used;
        report.rows += rows;
        report.entries += entries;
        report.bytes += part.bytes;
        Ok(Some(IndexCommit { date, part, replaces }))
    }

    async fn collect_file(
        &self,
        file: &DataFile,
        mut builder: PartBuilder,
    ) -> Result<PartBuilder, TableError> {
        let footer = read_footer(&self.store, file).await?;
        let path = Path::from(file.path.as_str());
        let account = file.partition.as_ref().map(|partition| partition.account.to_string());
        builder.begin(&file.path);
        for (group, range) in footer.row_groups().into_iter().enumerate() {
            let bytes = read_range(&self.store, &path, range).await?;
            let (footer, account) = (footer.clone(), account.clone());
            let work = move || {
                let mut collector = Collector::new(account.as_deref());
                for batch in footer.read_columns(group, bytes, BATCH_ROWS, collect::COLUMNS)? {
                    collector.add(&batch?);
                }
                builder.add(group, collector.finish());
                Ok(builder)
            };
            let collected = self.seams.blocking.run(work).await;
            builder = collected.map_err(|error: parquet::errors::ParquetError| {
                TableError::Damaged { path: file.path.clone(), what: error.to_string() }
            })?;
        }
        Ok(builder)
    }
}
