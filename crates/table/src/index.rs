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
//! again as one, and the parts of a large day are arranged by indicator.
//!
//! `collect` finds indicators in rows, `part` makes the Parquet file, `arrange` makes
//! many parts such that one is enough to ask.

mod arrange;
mod collect;
mod part;

use std::collections::BTreeMap;
use std::ops::Range;

use bytes::Bytes;
use futures::StreamExt;
use futures::future::BoxFuture;
use jiff::civil::Date;
use parquet::errors::ParquetError;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use integrity::{Hash, sha256};
use store::StoreError;

use crate::checkpoint::date_files;
use crate::decode::Footer;
use crate::error::TableError;
use crate::files::encode_failed;
use crate::log::{Body, DataFile, IndexCommit};
use crate::open_file::{OpenFile, opened};
use crate::schema::INDICATORS;
use crate::state::DateFiles;
use crate::stretch::Stretch;
use crate::table::{Table, Won};
use arrange::{are_arranged, are_worth_arranging};
use collect::Collector;
use part::PartBuilder;
pub use part::index_schema;

/// Parts of one day's index; past that they are made again as one, and of a large day
/// those that came since it was arranged are arranged with the others.
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
    /// The least and the greatest indicator in it; parts of earlier releases do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<(String, String)>,
}

impl IndexPart {
    /// Whether it may have entries of an indicator.
    #[must_use]
    pub fn may_name(&self, indicator: &str) -> bool {
        let within = |(least, greatest): &(String, String)| {
            (least.as_str()..=greatest.as_str()).contains(&indicator)
        };
        self.range.as_ref().is_none_or(within)
    }
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

/// What is to be done next.
enum Due {
    /// A part is made of these files, and takes the place of those parts.
    Part { date: Date, files: Vec<DataFile>, replaces: Vec<String> },
    /// The parts of a day are arranged.
    Arrange(Date),
}

impl Due {
    fn date(&self) -> Date {
        match self {
            Self::Part { date, .. } | Self::Arrange(date) => *date,
        }
    }
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
                let parts = self.state.indexes.get(&due.date()).map_or(&[][..], Vec::as_slice);
                let named = parts.iter().map(|part| part.path.as_str()).collect();
                self.remove_unnamed(&self.layout.indexes(due.date()), &named).await?;
                let made = match due {
                    Due::Part { date, files, replaces } => {
                        let index = self.write_part(date, files, replaces, &mut report).await?;
                        index.map(Body::Index)
                    }
                    Due::Arrange(date) => self.arrange(date, &mut report).await?.map(Body::Arrange),
                };
                let Some(made) = made else { continue };
                if self.append(&made).await? == Won::Theirs {
                    report.more = true;
                    break;
                }
                self.tidy().await?;
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
            let entries: u64 = parts.iter().map(|part| part.entries).sum();
            let is_large = entries > self.config.limits.index_entries_max as u64;
            if alive == files.len() as u64 {
                if is_large && !are_arranged(parts) && are_worth_arranging(parts) {
                    return Ok(Some(Due::Arrange(date)));
                }
                self.indexed.insert(date, of_date);
                continue;
            }
            // Of a large day what is there already is worth keeping.
            let are_many = !is_large && parts.len() as u64 >= PARTS_MAX;
            let is_worn = !parts.is_empty() && (are_many || alive * 2 < made_of(parts));
            let replaces = if is_worn {
                parts.iter().map(|part| part.path.clone()).collect()
            } else {
                files.retain(|file| !covered(file));
                Vec::new()
            };
            return Ok(Some(Due::Part { date, files, replaces }));
        }
        Ok(None)
    }

    /// Writes one part, of as many files as fit. None if a file is gone: then the
    /// state was old, and is not any more.
    async fn write_part(
        &mut self,
        date: Date,
        files: Vec<DataFile>,
        replaces: Vec<String>,
        report: &mut IndexReport,
    ) -> Result<Option<IndexCommit>, TableError> {
        let mut builder = PartBuilder::default();
        let (mut first, mut last) = (None, String::new());
        let (mut used, mut rows) = (0, 0);
        let mut files = std::pin::pin!(opened(self.store.clone(), files));
        while let Some((file, open)) = files.next().await {
            let collected = match open {
                Ok(open) => self.collect_file(&file, &open, builder).await,
                Err(error) => Err(error),
            };
            match collected {
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
        let stretch = Stretch { to: self.state.head, first: first.unwrap_or_default(), last };
        report.files += used;
        report.rows += rows;
        report.entries += builder.len() as u64;
        let part = self.put_part(date, builder, stretch, used, report).await?;
        Ok(Some(IndexCommit { date, part, replaces }))
    }

    /// Puts a part of so many files.
    async fn put_part(
        &self,
        date: Date,
        builder: PartBuilder,
        stretch: Stretch,
        files: u64,
        report: &mut IndexReport,
    ) -> Result<IndexPart, TableError> {
        let (entries, range) = (builder.len() as u64, builder.range());
        let bytes = self.seams.blocking.run(move || builder.finish()).await;
        let bytes = bytes.map_err(|error| encode_failed(&error))?;
        let hash = sha256(&bytes);
        let path = self.layout.index(date, self.state.head + 1, hash);
        let length = bytes.len() as u64;
        let put = self.store.ensure(&path, bytes).await;
        put.map_err(|error| TableError::Store(StoreError::from(error)))?;
        report.parts += 1;
        report.bytes += length;
        let path = path.to_string();
        Ok(IndexPart { path, bytes: length, sha256: hash, entries, files, stretch, range })
    }

    async fn collect_file(
        &self,
        file: &DataFile,
        open: &OpenFile,
        mut builder: PartBuilder,
    ) -> Result<PartBuilder, TableError> {
        let account = file.partition.as_ref().map(|partition| partition.account.to_string());
        for (group, range) in open.footer.row_groups().into_iter().enumerate() {
            let bytes = (range.clone(), open.read(&self.store, range).await?);
            let (footer, account, name) = (open.footer.clone(), account.clone(), file.path.clone());
            let work = move || {
                let collected = collect_group(&footer, group, bytes, account.as_deref())?;
                builder.add(&name, group, collected.finish());
                Ok(builder)
            };
            let collected = self.seams.blocking.run(work).await;
            builder = collected.map_err(|error: ParquetError| TableError::Damaged {
                path: file.path.clone(),
                what: error.to_string(),
            })?;
        }
        Ok(builder)
    }
}

/// What the rows of a row group name.
fn collect_group(
    footer: &Footer,
    group: usize,
    bytes: (Range<u64>, Bytes),
    account: Option<&str>,
) -> Result<Collector, ParquetError> {
    if footer.schema().index_of(INDICATORS).is_ok() {
        let mut collector = Collector::new(account);
        let mut are_listed = true;
        for batch in footer.read_columns(group, bytes.clone(), BATCH_ROWS, collect::LISTED)? {
            are_listed = collector.add_listed(&batch?);
            if !are_listed {
                break;
            }
        }
        if are_listed {
            return Ok(collector);
        }
    }
    let mut collector = Collector::new(account);
    for batch in footer.read_columns(group, bytes, BATCH_ROWS, &collect::searched())? {
        collector.add_searched(&batch?);
    }
    Ok(collector)
}

/// How many files parts were made of: those that were arranged together are of the same.
fn made_of(parts: &[IndexPart]) -> u64 {
    let by_stretch: BTreeMap<(&str, &str, u64), u64> = parts
        .iter()
        .map(|part| {
            let Stretch { first, last, to } = &part.stretch;
            ((first.as_str(), last.as_str(), *to), part.files)
        })
        .collect();
    by_stretch.values().sum()
}
