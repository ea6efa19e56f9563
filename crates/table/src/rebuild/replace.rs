//! Rows sorted by day become the files of their partitions, in place of the old ones.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use integrity::sha256;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use object_store::path::Path;
use store::StoreError;
use tokio_util::sync::CancellationToken;

use super::{Left, RebuildProgress, RebuildReport, Step, Tell};
use crate::checkpoint::date_files;
use crate::encode::Encoded;
use crate::error::TableError;
use crate::files::{NewFile, put, read_footer};
use crate::find::read_places;
use crate::keys::Place;
use crate::layout::{self, Layout};
use crate::log::{Body, CompactIntent, DataFile};
use crate::merge::{Merge, Wanted};
use crate::partition::{DATE_UNKNOWN, Partition};
use crate::schema::ROW_FORMAT_VERSION;
use crate::table::Table;

/// Objects of rows that are merged at once; a day whose rows lie in more gets several
/// files for a partition.
const INPUTS_MAX: usize = 128;

/// Files that one intent replaces at most: its records name them all.
const REPLACED_MAX: usize = 2_048;

/// The files of partitions.
type ByPartition = BTreeMap<Partition, Vec<DataFile>>;

/// The rows that are wanted of partitions: all, or those at these places.
type Rows = BTreeMap<Partition, Option<HashSet<Place>>>;

impl Table {
    /// Replaces the files of before the rebuild, a day after the other.
    pub(super) async fn replace_files(
        &mut self,
        number: u64,
        report: &mut RebuildReport,
        stop: &CancellationToken,
        tell: Tell<'_>,
    ) -> Result<Step, TableError> {
        let dates: Vec<Date> = self.state.dates.keys().rev().copied().collect();
        let (mut of, mut days) = (0, Vec::new());
        for date in dates {
            let old = self.old_files(number, date).await?;
            of += old.values().map(Vec::len).sum::<usize>() as u64;
            if !old.is_empty() {
                days.push(date);
            }
        }
        let mut unused = 0;
        for date in days {
            let old = self.old_files(number, date).await?;
            let staged = self.stage(number, date, &old, report, &mut unused).await?;
            for group in groups(staged, &old, self.config.limits.compact_bytes_max) {
                if stop.is_cancelled() {
                    return Ok(Step::Stopped);
                }
                if !self.replace(number, group, report).await? {
                    return Ok(Step::Moved);
                }
                tell(RebuildProgress::Replaced { files: report.replaced, of });
            }
        }
        if let Some(rebuild) = &self.state.rebuild {
            report.expired = rows(&rebuild.rows).saturating_sub(rebuild.replaced + unused);
        }
        Ok(Step::Done)
    }

    /// The files of a day that are to be replaced.
    async fn old_files(&self, number: u64, date: Date) -> Result<ByPartition, TableError> {
        let mut old = ByPartition::new();
        let Some(files) = self.state.dates.get(&date) else { return Ok(old) };
        for file in date_files(&self.store, files).await? {
            let intent = Layout::intent_of(&Path::from(file.path.as_str()));
            if intent.is_some_and(|intent| intent < number)
                && let Some(partition) = file.partition.clone()
            {
                old.entry(partition).or_default().push(file);
            }
        }
        Ok(old)
    }

    /// Makes the files that take the place of a day's old ones, where that can be;
    /// counts the rows made of partitions where it cannot.
    async fn stage(
        &self,
        number: u64,
        date: Date,
        old: &ByPartition,
        report: &mut RebuildReport,
        unused: &mut u64,
    ) -> Result<ByPartition, TableError> {
        let all: Rows = old.keys().map(|partition| (partition.clone(), None)).collect();
        let mut staged = self.stage_rows(number, date, all).await?;
        let mut some = Rows::new();
        for (partition, files) in old {
            let (listed, made) = (rows(files), rows(staged.get(partition).into_iter().flatten()));
            if made > listed {
                match self.places(files).await {
                    Ok(places) => {
                        some.insert(partition.clone(), Some(places));
                    }
                    Err(error) if error.is_retryable() => return Err(error),
                    Err(error) => {
                        let why = format!("which of its rows have expired cannot be read: {error}");
                        report.leave(partition, listed, why);
                        *unused += made;
                    }
                }
            } else if made < listed {
                *unused += made;
                report.leave(partition, listed, self.has_only(made));
            }
            if made != listed {
                staged.remove(partition);
            }
        }
        if !some.is_empty() {
            for (partition, files) in self.stage_rows(number, date, some).await? {
                let listed = rows(old.get(&partition).into_iter().flatten());
                let made = rows(&files);
                if made == listed {
                    staged.insert(partition, files);
                } else {
                    *unused += made;
                    report.leave(&partition, listed, self.has_only(made));
                }
            }
        }
        Ok(staged)
    }

    fn has_only(&self, rows: u64) -> String {
        let only = format!("the journal has {rows} of its rows only");
        match self.state.journal_expired {
            0 => only,
            to => format!("{only}; segments up to its record {to} have expired by retention"),
        }
    }

    /// Merges the rows of a day into files of their partitions.
    async fn stage_rows(
        &self,
        number: u64,
        date: Date,
        partitions: Rows,
    ) -> Result<ByPartition, TableError> {
        let mut staged = ByPartition::new();
        let Some(rebuild) = &self.state.rebuild else { return Ok(staged) };
        let holds = |file: &&DataFile| may_hold(file, date);
        let made: Vec<DataFile> = rebuild.rows.iter().filter(holds).cloned().collect();
        let wanted = Arc::new(Wanted { date, partitions });
        for inputs in made.chunks(INPUTS_MAX) {
            let footers = self.footers(inputs).await?;
            let (layout, rows_max) = (self.layout.clone(), self.config.limits.file_rows_max);
            let marks = Arc::default();
            let mut merge = Merge::new(layout, number, rows_max, footers, Some(&wanted), marks)?;
            while let Some((file, rest)) = self.next_file(merge).await? {
                merge = rest;
                let NewFile { partition: Some(partition), encoded, .. } = file else { continue };
                let files = staged.entry(partition.clone()).or_default();
                let file = self.stage_file(number, &partition, files.len(), encoded).await?;
                files.push(file);
            }
        }
        Ok(staged)
    }

    async fn stage_file(
        &self,
        number: u64,
        partition: &Partition,
        part: usize,
        encoded: Encoded,
    ) -> Result<DataFile, TableError> {
        let hash = sha256(&encoded.bytes);
        let path = self.layout.rebuild_file(number, partition, part, hash);
        let file = DataFile::of(&path, Some(partition.clone()), &encoded);
        let put = self.store.ensure(&path, encoded.bytes).await;
        put.map_err(|error| TableError::Store(StoreError::from(error)))?;
        Ok(file)
    }

    /// Where the rows of files lie in the journal.
    async fn places(&self, files: &[DataFile]) -> Result<HashSet<Place>, TableError> {
        let mut places = HashSet::new();
        for file in files {
            // A file that is gone will not come back by waiting.
            let gone = |error: TableError| match error {
                TableError::Missing { path } => {
                    TableError::Damaged { path, what: "it is missing".to_owned() }
                }
                other => other,
            };
            let footer = read_footer(&self.store, file).await.map_err(gone)?;
            for group in 0..footer.row_groups().len() {
                let there = read_places(&self.store, file, &footer, group).await.map_err(gone)?;
                places.extend(there.into_iter().flatten());
            }
        }
        Ok(places)
    }

    /// Replaces the files of some partitions in one step; false if that is not this
    /// rebuild's to do any more.
    async fn replace(
        &mut self,
        number: u64,
        group: Group,
        report: &mut RebuildReport,
    ) -> Result<bool, TableError> {
        let Group { inputs, staged, .. } = group;
        let replaced: Vec<String> = inputs.iter().flatten().cloned().collect();
        let partitions = inputs.len() as u64;
        let intent = CompactIntent {
            inputs,
            row_format: ROW_FORMAT_VERSION,
            file_rows_max: self.config.limits.file_rows_max,
            staged,
        };
        let body = Body::CompactIntent(intent.clone());
        let Some(intent_number) = self.append_while(number, &body, &replaced).await? else {
            return Ok(false);
        };
        let done = self.finish_compaction(intent_number, intent).await?;
        report.partitions += partitions;
        report.replaced += done.inputs;
        report.files += done.files;
        report.rows += done.rows;
        report.bytes += done.bytes;
        self.tidy().await?;
        Ok(true)
    }

    /// Moves files that a rebuild has made to their partitions, under the names that
    /// follow from the intent.
    pub(crate) async fn move_in(
        &self,
        number: u64,
        staged: &[DataFile],
    ) -> Result<Vec<DataFile>, TableError> {
        let mut files = Vec::with_capacity(staged.len());
        let mut parts: BTreeMap<&Partition, u32> = BTreeMap::new();
        for file in staged {
            let Some(partition) = &file.partition else { continue };
            let part = parts.entry(partition).or_default();
            let from = Path::from(file.path.as_str());
            let bytes = self.store.get(&from).await.map_err(TableError::Store)?;
            let bytes = bytes.ok_or_else(|| TableError::Missing { path: file.path.clone() })?;
            let damaged = |path: &Path| TableError::Damaged {
                path: path.to_string(),
                what: "its bytes do not have the hash in the log".to_owned(),
            };
            if sha256(&bytes) != file.sha256 {
                return Err(damaged(&from));
            }
            let path = self.layout.partition_file(partition, number, *part);
            let (there, _) = put(&self.store, &path, bytes).await?;
            if sha256(&there) != file.sha256 {
                return Err(damaged(&path));
            }
            *part += 1;
            files.push(DataFile { path: path.to_string(), ..file.clone() });
        }
        Ok(files)
    }

    /// Whether settled files are all in the table.
    pub(super) async fn lists_all(&self, paths: &[String]) -> Result<bool, TableError> {
        let mut wanted: BTreeMap<Date, HashSet<&str>> = BTreeMap::new();
        for path in paths {
            if let Some(layout::Place::Partition(partition)) = Layout::place(path) {
                wanted.entry(partition.date).or_default().insert(path);
            }
        }
        for (date, mut paths) in wanted {
            let Some(files) = self.state.dates.get(&date) else { return Ok(false) };
            for file in date_files(&self.store, files).await? {
                paths.remove(file.path.as_str());
            }
            if !paths.is_empty() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl RebuildReport {
    fn leave(&mut self, partition: &Partition, rows: u64, why: String) {
        self.left.push(Left { partition: partition.clone(), rows, why });
    }
}

/// Files that are replaced in one step.
#[derive(Default)]
struct Group {
    /// The old ones, by partition,
    inputs: Vec<Vec<String>>,
    /// those that take their place,
    staged: Vec<DataFile>,
    /// and the bytes of these.
    bytes: u64,
}

/// Partitions with the files that replace theirs, in groups for one step each.
fn groups(staged: ByPartition, old: &ByPartition, bytes_max: u64) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for (partition, files) in staged {
        let Some(old) = old.get(&partition) else { continue };
        let bytes: u64 = files.iter().map(|file| file.bytes).sum();
        let is_full = groups.last().is_none_or(|group| {
            let named = group.inputs.iter().map(Vec::len).sum::<usize>() + group.staged.len();
            group.bytes + bytes > bytes_max || named + old.len() + files.len() > REPLACED_MAX
        });
        if is_full {
            groups.push(Group::default());
        }
        if let Some(group) = groups.last_mut() {
            group.bytes += bytes;
            group.inputs.push(old.iter().map(|file| file.path.clone()).collect());
            group.staged.extend(files);
        }
    }
    groups
}

fn rows<'a>(files: impl IntoIterator<Item = &'a DataFile>) -> u64 {
    files.into_iter().map(|file| file.rows).sum()
}

/// Whether an object of rows may hold some of a day.
fn may_hold(file: &DataFile, date: Date) -> bool {
    let day = |time: jiff::Timestamp| time.to_zoned(TimeZone::UTC).date();
    match (file.min_eventtime, file.max_eventtime) {
        (Some(min), Some(max)) if date != DATE_UNKNOWN => (day(min)..=day(max)).contains(&date),
        (None, None) => date == DATE_UNKNOWN,
        _ => true,
    }
}
