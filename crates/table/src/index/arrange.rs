//! The parts of a large day's index, arranged by indicator.
//!
//! Parts are made of some files each, so whoever looks for one thing has to ask all of
//! them. Of a day with many entries they are made once more, each of a stretch of
//! indicators from all files of the day: then the log alone tells which one to ask, and
//! ninety days are ninety parts, however large the organization is. Entries of files
//! that are not in the table any more are left out.
//!
//! In memory is one part in the making, and one row group of an old one.

use std::collections::BTreeSet;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Int32Type, Int64Type, TimestampMicrosecondType};
use arrow::error::ArrowError;
use jiff::civil::Date;
use object_store::path::Path;

use super::collect::Seen;
use super::part::PartBuilder;
use super::{BATCH_ROWS, IndexPart, IndexReport, PARTS_MAX};
use crate::checkpoint::date_files;
use crate::decode::Footer;
use crate::error::TableError;
use crate::files::read_range;
use crate::log::Arranged;
use crate::open_file::OpenFile;
use crate::stretch::Stretch;
use crate::table::Table;

/// A row group of an old part.
struct Group {
    part: usize,
    index: usize,
    /// Its least and greatest indicator.
    range: (String, String),
}

/// Whether parts are asked one by one: no two of them can name the same thing.
pub(super) fn are_arranged(parts: &[IndexPart]) -> bool {
    let mut ranges: Vec<_> = parts.iter().map(|part| part.range.as_ref()).collect();
    ranges.sort();
    ranges.iter().all(Option::is_some)
        && ranges.windows(2).all(|pair| match pair {
            [Some((_, last)), Some((first, _))] => last < first,
            _ => true,
        })
}

/// Whether no part was arranged yet, or many came since.
pub(super) fn are_worth_arranging(parts: &[IndexPart]) -> bool {
    let is_of = |stretch: &Stretch| parts.iter().filter(|part| part.stretch == *stretch).count();
    // Parts that were arranged together are of one stretch.
    let largest = parts.iter().map(|part| is_of(&part.stretch)).max().unwrap_or(0);
    parts.len() >= 2 && (largest < 2 || (parts.len() - largest) as u64 >= PARTS_MAX)
}

impl Table {
    /// Makes the parts of a day again, arranged by indicator. None if one is gone: then
    /// the state was old, and is not any more.
    pub(super) async fn arrange(
        &mut self,
        date: Date,
        report: &mut IndexReport,
    ) -> Result<Option<Arranged>, TableError> {
        let parts = self.state.indexes.get(&date).cloned().unwrap_or_default();
        match self.arranged(date, parts.clone(), report).await {
            Err(TableError::Missing { path }) => {
                self.refresh().await?;
                if self.state.indexes.get(&date) == Some(&parts) {
                    return Err(TableError::Missing { path });
                }
                Ok(None)
            }
            arranged => arranged.map(Some),
        }
    }

    async fn arranged(
        &self,
        date: Date,
        parts: Vec<IndexPart>,
        report: &mut IndexReport,
    ) -> Result<Arranged, TableError> {
        let of_date = self.state.dates.get(&date).cloned().unwrap_or_default();
        let listed = date_files(&self.store, &of_date).await?;
        let alive: BTreeSet<&str> = listed.iter().map(|file| file.path.as_str()).collect();
        let first = listed.iter().map(|file| &file.path).min().cloned().unwrap_or_default();
        let last = listed.iter().map(|file| &file.path).max().cloned().unwrap_or_default();
        // Nothing is open, so no file of an earlier intent will come.
        let stretch = Stretch { to: self.state.head, first, last };
        let mut footers = Vec::with_capacity(parts.len());
        for part in &parts {
            footers.push(OpenFile::open(&self.store, &part.path, part.bytes).await?.footer);
        }
        let groups = groups(&parts, &footers)?;
        let mut made = Vec::new();
        for (from, to) in split(&groups, &footers, self.config.limits.index_entries_max) {
            let mut builder = PartBuilder::default();
            for group in &groups {
                let begins_after = to.as_ref().is_some_and(|to| group.range.0 >= *to);
                if begins_after || group.range.1 < from {
                    continue;
                }
                let wanted = |indicator: &str| {
                    indicator >= from.as_str() && to.as_deref().is_none_or(|to| indicator < to)
                };
                let batches = self.group(&parts, &footers, group).await?;
                for batch in batches {
                    let added = builder.add_batch(&batch, |indicator, file| {
                        wanted(indicator) && alive.contains(file)
                    });
                    added.map_err(|error| damaged(&parts, group, &error))?;
                }
            }
            if builder.len() > 0 {
                let files = listed.len() as u64;
                made.push(self.put_part(date, builder, stretch.clone(), files, report).await?);
            }
        }
        if made.is_empty() {
            // No file that is left names anything.
            let (builder, files) = (PartBuilder::default(), listed.len() as u64);
            made.push(self.put_part(date, builder, stretch, files, report).await?);
        }
        let replaces = parts.into_iter().map(|part| part.path).collect();
        Ok(Arranged { date, parts: made, replaces })
    }

    async fn group(
        &self,
        parts: &[IndexPart],
        footers: &[Footer],
        group: &Group,
    ) -> Result<Vec<RecordBatch>, TableError> {
        let (Some(part), Some(footer)) = (parts.get(group.part), footers.get(group.part)) else {
            return Ok(Vec::new());
        };
        let range = footer.row_groups().into_iter().nth(group.index).unwrap_or_default();
        let bytes = read_range(&self.store, &Path::from(part.path.as_str()), range).await?;
        let (footer, index) = (footer.clone(), group.index);
        let work = move || footer.read(index, bytes, BATCH_ROWS)?.collect::<Result<Vec<_>, _>>();
        let read = self.seams.blocking.run(work).await;
        read.map_err(|error| damaged(parts, group, &error))
    }
}

fn damaged(parts: &[IndexPart], group: &Group, error: &dyn std::fmt::Display) -> TableError {
    let path = parts.get(group.part).map(|part| part.path.clone()).unwrap_or_default();
    TableError::Damaged { path, what: error.to_string() }
}

/// The row groups of all parts, by their least indicator.
fn groups(parts: &[IndexPart], footers: &[Footer]) -> Result<Vec<Group>, TableError> {
    let mut groups = Vec::new();
    for (part, footer) in footers.iter().enumerate() {
        for index in 0..footer.row_groups().len() {
            let range = footer.texts(index, "indicator").ok_or_else(|| TableError::Damaged {
                path: parts.get(part).map(|part| part.path.clone()).unwrap_or_default(),
                what: "it does not tell the indicators of its row groups".to_owned(),
            })?;
            groups.push(Group { part, index, range });
        }
    }
    groups.sort_by(|one, other| one.range.cmp(&other.range));
    Ok(groups)
}

/// Where each new part begins, and where it ends, if another follows: about so many
/// entries in each. No indicator is in two.
fn split(groups: &[Group], footers: &[Footer], entries: usize) -> Vec<(String, Option<String>)> {
    let mut begins = vec![String::new()];
    let mut held = 0;
    for group in groups {
        let rows = footers.get(group.part).map_or(0, |footer| footer.group_rows(group.index));
        if held > 0 && held + rows > entries as u64 && begins.last() != Some(&group.range.0) {
            begins.push(group.range.0.clone());
            held = 0;
        }
        held += rows;
    }
    let ends = begins.iter().skip(1).cloned().map(Some).chain([None]);
    begins.iter().cloned().zip(ends).collect()
}

impl PartBuilder {
    /// Adds the wanted ones of an older part's entries.
    fn add_batch(
        &mut self,
        batch: &RecordBatch,
        wants: impl Fn(&str, &str) -> bool,
    ) -> Result<(), ArrowError> {
        let column = |name: &str| {
            let absent = || ArrowError::SchemaError(format!("an index has no column {name}"));
            batch.column_by_name(name).ok_or_else(absent)
        };
        let indicators = column("indicator")?.as_string::<i32>();
        let files = column("file")?.as_string::<i32>();
        let groups = column("row_group")?.as_primitive::<Int32Type>();
        let rows = column("rows")?.as_primitive::<Int64Type>();
        let firsts = column("first")?.as_primitive::<TimestampMicrosecondType>();
        let lasts = column("last")?.as_primitive::<TimestampMicrosecondType>();
        for row in 0..batch.num_rows() {
            let (indicator, file) = (indicators.value(row), files.value(row));
            if wants(indicator, file) {
                let time = |of: &arrow::array::TimestampMicrosecondArray| {
                    of.is_valid(row).then(|| of.value(row))
                };
                let seen = Seen::of(rows.value(row), time(firsts), time(lasts));
                self.push(indicator, file, groups.value(row), seen);
            }
        }
        Ok(())
    }
}
