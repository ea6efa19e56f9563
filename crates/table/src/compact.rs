//! Compaction: a partition's small files become few large ones.
//!
//! An intent pins which files of which partitions; the rows of each partition's
//! files are merged into one (several, where there are very many); the commit
//! takes the old files out of the table and puts the new ones in, in one step,
//! and names both. The old objects stay for `keep_replaced_secs`, so that whoever
//! reads them ends, and are deleted after a sweep record has named them.
//!
//! # What is worth merging
//! Of a partition the smallest files are merged as long as the next one is at
//! most twice as large as all of them together, so a row is rewritten only a few
//! times, however many files come. A day that is over is merged as soon as two
//! files are worth it, the day that still grows when [`OPEN_FILES_MIN`] are.
//! Events that come late so make a small file beside the large one, and join it
//! when they are many. What is already of the target size is left alone. Beside that, a file
//! is written again if it holds rows that wait for their mark ([`crate::marks`]).
//!
//! # Safety
//! At most one intent is open, so passes wait while one compaction runs; each is
//! bounded by `compact_bytes_max`. It needs no lease: who finds an open intent
//! finishes it. An engine that only lists `events/` may see the old and the new
//! files of a partition until the old ones are gone; [`crate::TableSnapshot`]
//! never does.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::BoxFuture;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use tokio_util::sync::CancellationToken;

use crate::checkpoint::date_files;
use crate::error::TableError;
use crate::layout::{Layout, Place};
use crate::log::{Body, CompactCommit, CompactIntent, DataFile};
use crate::marks::Marks;
use crate::partition::Partition;
use crate::pass::check_row_format;
use crate::schema::ROW_FORMAT_VERSION;
use crate::state::{DateFiles, Work};
use crate::table::{Table, Won};

/// The files of a partition that are merged on a day that still grows.
const OPEN_FILES_MIN: usize = 8;

/// And on one that is over.
const CLOSED_FILES_MIN: usize = 2;

/// Files of together at most so many rows are merged whatever their sizes.
const SMALL_ROWS: u64 = 2_000;

/// Files that one intent replaces at most: its records name them all.
const INPUTS_MAX: usize = 2_048;

/// Files of one partition that are merged at once.
const GROUP_FILES_MAX: usize = 64;

/// What compaction has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CompactReport {
    /// Files replaced.
    pub inputs: u64,
    /// Rows in them.
    pub rows: u64,
    /// Files written.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Whether it stopped early, so that more may wait.
    pub more: bool,
}

/// Dates that were looked at and found well.
pub(crate) type Examined = BTreeMap<Date, Examination>;

/// What was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Examination {
    files: DateFiles,
    is_over: bool,
    marks: Marks,
}

impl Table {
    /// Merges small files of partitions until none are worth it, or `stop`
    /// comes; at most `steps` intents.
    ///
    /// Dropping the future is safe at any point; an intent stays open then.
    ///
    /// # Errors
    /// [`TableError::is_retryable`] says whether to call again.
    pub fn compact<'a>(
        &'a mut self,
        steps: u64,
        stop: &'a CancellationToken,
    ) -> BoxFuture<'a, Result<CompactReport, TableError>> {
        Box::pin(async move {
            let mut report = CompactReport::default();
            self.refresh().await?;
            if !self.finish_open().await? {
                report.more = true;
                return Ok(report);
            }
            self.tidy().await?;
            self.sweep().await?;
            for step in 0.. {
                let groups = self.choose_groups().await?;
                if groups.is_empty() {
                    break;
                }
                if step >= steps || stop.is_cancelled() {
                    report.more = true;
                    break;
                }
                let paths =
                    |group: &Vec<DataFile>| group.iter().map(|file| file.path.clone()).collect();
                let intent = CompactIntent {
                    inputs: groups.iter().map(paths).collect(),
                    row_format: ROW_FORMAT_VERSION,
                    file_rows_max: self.config.limits.file_rows_max,
                    staged: Vec::new(),
                };
                match self.append(&Body::CompactIntent(intent.clone())).await? {
                    Won::Ours(number) => report.add(&self.finish_compaction(number, intent).await?),
                    Won::Theirs => {
                        report.more = true;
                        break;
                    }
                }
                self.tidy().await?;
            }
            Ok(report)
        })
    }

    /// Finishes an intent that was left open; false if it is another's to finish.
    pub(crate) async fn finish_open(&mut self) -> Result<bool, TableError> {
        let Some(open) = self.state.open.clone() else { return Ok(true) };
        if !self.may_finish(open.number) {
            return Ok(false);
        }
        tracing::info!(intent = open.number, "finishing a table intent that was left open");
        match open.work {
            Work::Pass(intent) => {
                self.finish_pass(open.number, intent).await?;
            }
            Work::Settle(intent) => {
                self.finish_settling(open.number, intent).await?;
            }
            Work::Compact(intent) => {
                self.finish_compaction(open.number, intent).await?;
            }
        }
        Ok(true)
    }

    /// Files worth merging, by partition: as many as one intent takes, the
    /// newest days first.
    async fn choose_groups(&mut self) -> Result<Vec<Vec<DataFile>>, TableError> {
        let limits = self.config.limits.clone();
        let today = self.seams.clock.now().to_zoned(TimeZone::UTC).date();
        let mut chosen = Vec::new();
        let (mut bytes, mut inputs) = (0, 0);
        let dates: Vec<Date> = self.state.dates.keys().rev().copied().collect();
        for date in dates {
            let Some(files) = self.state.dates.get(&date).cloned() else { continue };
            let is_over = date < today;
            let seen = Examination { files, is_over, marks: self.state.marks.of_date(date) };
            if self.examined.get(&date) == Some(&seen) {
                continue;
            }
            let mut files = date_files(&self.store, &seen.files).await?;
            if let Some(rebuild) = &self.state.rebuild {
                files.retain(|file| !rebuild.is_old(&file.path));
            }
            let mut to_mark = self.files_to_mark(&files, &seen.marks).await?;
            let mut groups = worth_merging(files, is_over, &limits);
            // One intent merges one group of a partition: it is marked then, or next time.
            for group in &groups {
                if let Some(partition) = group.first().and_then(|file| file.partition.as_ref()) {
                    to_mark.remove(partition);
                }
            }
            groups.extend(to_mark.into_values());
            if groups.is_empty() {
                self.examined.insert(date, seen);
            }
            for group in groups {
                bytes += group.iter().map(|file| file.bytes).sum::<u64>();
                inputs += group.len();
                if !chosen.is_empty() && (bytes > limits.compact_bytes_max || inputs > INPUTS_MAX) {
                    return Ok(chosen);
                }
                chosen.push(group);
            }
        }
        Ok(chosen)
    }

    pub(crate) async fn finish_compaction(
        &mut self,
        number: u64,
        intent: CompactIntent,
    ) -> Result<CompactReport, TableError> {
        check_row_format(number, intent.row_format)?;
        let groups = self.inputs_of(number, &intent).await?;
        let (files, marked) = match self.files_of(number, &intent, &groups).await {
            Ok(made) => made,
            Err(error) => {
                self.unless_finished(number, error).await?;
                return Ok(CompactReport::default());
            }
        };
        let replaced: Vec<DataFile> = groups.into_iter().flatten().collect();
        let report = CompactReport {
            inputs: replaced.len() as u64,
            rows: files.iter().map(|file| file.rows).sum(),
            files: files.len() as u64,
            bytes: files.iter().map(|file| file.bytes).sum(),
            more: false,
        };
        let rows_in: u64 = replaced.iter().map(|file| file.rows).sum();
        if report.rows != rows_in {
            let what = format!("compaction made {} rows of {rows_in}", report.rows);
            return Err(TableError::Contradiction { number, what });
        }
        let touched = files.iter().filter_map(|file| file.partition.clone()).collect();
        let commit = CompactCommit { intent: number, rows: report.rows, files, replaced, marked };
        if self.append(&Body::CompactCommit(commit)).await? == Won::Theirs {
            self.refresh().await?;
        }
        self.remove_strays(touched).await?;
        Ok(report)
    }

    /// The files that take the place of these, merged from them or moved in, and the rows
    /// that got their mark.
    async fn files_of(
        &self,
        number: u64,
        intent: &CompactIntent,
        groups: &[Vec<DataFile>],
    ) -> Result<(Vec<DataFile>, Marks), TableError> {
        let (mut files, mut marked) = (Vec::new(), Marks::default());
        if !intent.staged.is_empty() {
            // Rows that wait for a mark are looked for in these files afterwards.
            return Ok((self.move_in(number, &intent.staged).await?, marked));
        }
        for group in groups {
            let merged = self.merge(number, intent.file_rows_max, group).await?;
            files.extend(merged.0);
            marked.absorb(merged.1);
        }
        Ok((files, marked))
    }

    /// The files that an intent pins, as the table lists them.
    async fn inputs_of(
        &self,
        number: u64,
        intent: &CompactIntent,
    ) -> Result<Vec<Vec<DataFile>>, TableError> {
        let mut wanted: BTreeMap<Date, BTreeSet<&str>> = BTreeMap::new();
        for path in intent.inputs.iter().flatten() {
            if let Some(Place::Partition(partition)) = Layout::place(path) {
                wanted.entry(partition.date).or_default().insert(path);
            }
        }
        let mut found: BTreeMap<String, DataFile> = BTreeMap::new();
        for (date, paths) in wanted {
            let Some(files) = self.state.dates.get(&date) else { continue };
            let listed = date_files(&self.store, files).await?.into_iter();
            let listed = listed.filter(|file| paths.contains(file.path.as_str()));
            found.extend(listed.map(|file| (file.path.clone(), file)));
        }
        let file = |path: &String| {
            found.get(path).cloned().ok_or_else(|| TableError::Contradiction {
                number,
                what: format!("it replaces {path}, which is not in the table"),
            })
        };
        intent.inputs.iter().map(|group| group.iter().map(file).collect()).collect()
    }

    /// Deletes what lies in these partitions and belongs to no commit and no
    /// open intent: a slow process may put a file again after another one
    /// finished its intent, replaced the file and swept it.
    pub(crate) async fn remove_strays(
        &self,
        partitions: BTreeSet<Partition>,
    ) -> Result<(), TableError> {
        let mut by_date: BTreeMap<Date, Vec<Partition>> = BTreeMap::new();
        for partition in partitions {
            by_date.entry(partition.date).or_default().push(partition);
        }
        for (date, partitions) in by_date {
            let Some(files) = self.state.dates.get(&date) else { continue };
            let listed = date_files(&self.store, files).await?;
            let known: BTreeSet<&str> = listed.iter().map(|file| file.path.as_str()).collect();
            for partition in partitions {
                self.remove_unnamed(&self.layout.partition(&partition), &known).await?;
            }
        }
        Ok(())
    }
}

impl CompactReport {
    fn add(&mut self, other: &Self) {
        self.inputs += other.inputs;
        self.rows += other.rows;
        self.files += other.files;
        self.bytes += other.bytes;
    }
}

/// The files of one date that are worth merging, by partition.
pub(crate) fn worth_merging(
    files: Vec<DataFile>,
    is_over: bool,
    limits: &crate::config::Limits,
) -> Vec<Vec<DataFile>> {
    let mut by_partition: BTreeMap<Partition, Vec<DataFile>> = BTreeMap::new();
    for file in files {
        if let Some(partition) = file.partition.clone() {
            by_partition.entry(partition).or_default().push(file);
        }
    }
    let files_min = if is_over { CLOSED_FILES_MIN } else { OPEN_FILES_MIN };
    let groups = by_partition.into_values().map(|files| smallest(files, limits));
    groups.filter(|group| group.len() >= files_min).collect()
}

/// The smallest files of a partition, as far as it is worth merging them.
fn smallest(mut files: Vec<DataFile>, limits: &crate::config::Limits) -> Vec<DataFile> {
    files.sort_by(|one, other| (one.rows, &one.path).cmp(&(other.rows, &other.path)));
    let (mut rows, mut bytes) = (0, 0);
    let is_worth = |file: &DataFile| {
        let before = rows;
        rows += file.rows;
        bytes += file.bytes;
        bytes <= limits.compact_bytes_max
            && rows <= limits.file_rows_max
            && (before == 0 || file.rows <= 2 * before || rows <= SMALL_ROWS)
    };
    let mut group: Vec<DataFile> =
        files.into_iter().take(GROUP_FILES_MAX).take_while(is_worth).collect();
    // Equal keys come in the order of the inputs: the older first.
    group.sort_by(|one, other| one.path.cmp(&other.path));
    group
}

#[cfg(test)]
mod tests;
