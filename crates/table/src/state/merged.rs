//! Settling and compaction: rows move to other files.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::{Open, TableState, Work};
use crate::layout::{Layout, Place};
use crate::log::{CompactCommit, CompactIntent, DataFile, SettleCommit, SettleIntent};
use crate::marks::Marks;

impl TableState {
    pub(super) fn begin_settling(
        &mut self,
        number: u64,
        at: Timestamp,
        intent: SettleIntent,
    ) -> Result<(), String> {
        self.check_nothing_open()?;
        let inputs: BTreeSet<&String> = intent.inputs.iter().collect();
        let fresh = |path: &&String| self.fresh.iter().any(|fresh| fresh.file.path == **path);
        if inputs.len() != intent.inputs.len() || inputs.is_empty() || !inputs.iter().all(fresh) {
            return Err("it settles files that are not fresh".into());
        }
        self.open = Some(Open { number, at, work: Work::Settle(intent) });
        Ok(())
    }

    pub(super) fn commit_settling(&mut self, commit: SettleCommit) -> Result<(), String> {
        let Some(Open { work: Work::Settle(intent), number, .. }) = self.open.take() else {
            return Err("it commits a settling that is not open".into());
        };
        if commit.intent != number {
            return Err(format!("it commits intent {}, {number} is open", commit.intent));
        }
        let (settled, left) = std::mem::take(&mut self.fresh)
            .into_iter()
            .partition::<Vec<_>, _>(|fresh| intent.inputs.contains(&fresh.file.path));
        self.fresh = left;
        let rows_in: u64 = settled.iter().map(|fresh| fresh.file.rows).sum();
        let rows_out: u64 = commit.files.iter().map(|file| file.rows).sum();
        if rows_in != commit.rows || rows_out != commit.rows {
            return Err(format!("it makes {rows_out} rows of {rows_in}"));
        }
        for fresh in settled {
            self.totals.files -= 1;
            self.totals.bytes -= fresh.file.bytes;
            self.retired.insert(fresh.file.path);
        }
        self.put_in(commit.files)?;
        self.totals.settlings += 1;
        self.end_marks(&commit.marked)
    }

    fn end_marks(&mut self, marked: &Marks) -> Result<(), String> {
        if self.marks.take_out(marked) {
            Ok(())
        } else {
            Err("it marks rows that wait for no mark".into())
        }
    }

    pub(super) fn begin_compaction(
        &mut self,
        number: u64,
        at: Timestamp,
        intent: CompactIntent,
    ) -> Result<(), String> {
        self.check_nothing_open()?;
        let mut paths = BTreeSet::new();
        for group in &intent.inputs {
            let partition = |path: &String| match Layout::place(path) {
                Some(Place::Partition(partition)) => Some(partition),
                _ => None,
            };
            let whose = group.first().and_then(partition);
            if whose.is_none() || !group.iter().all(|path| partition(path) == whose) {
                return Err("it merges files of several partitions".into());
            }
            paths.extend(group);
        }
        let inputs: usize = intent.inputs.iter().map(Vec::len).sum();
        if inputs == 0 || paths.len() != inputs {
            return Err("it merges no files, or one twice".into());
        }
        if let Some(path) = paths.into_iter().find(|path| self.is_replaced(path)) {
            return Err(format!("it merges {path}, which was replaced"));
        }
        self.check_rebuild(&intent)?;
        self.open = Some(Open { number, at, work: Work::Compact(intent) });
        Ok(())
    }

    pub(super) fn commit_compaction(
        &mut self,
        at: Timestamp,
        commit: CompactCommit,
    ) -> Result<(), String> {
        let Some(Open { work: Work::Compact(intent), number, .. }) = self.open.take() else {
            return Err("it commits a compaction that is not open".into());
        };
        if commit.intent != number {
            return Err(format!("it commits intent {}, {number} is open", commit.intent));
        }
        let pinned = intent.inputs.iter().flatten();
        if !pinned.eq(commit.replaced.iter().map(|file| &file.path)) {
            return Err("it replaces other files than its intent pins".into());
        }
        let rows = |files: &[DataFile]| {
            files.iter().fold(BTreeMap::new(), |mut rows, file| {
                *rows.entry(file.partition.clone()).or_insert(0) += file.rows;
                rows
            })
        };
        if rows(&commit.files) != rows(&commit.replaced)
            || rows(&commit.files).values().sum::<u64>() != commit.rows
        {
            return Err("its files have not the rows of those that they replace".into());
        }
        for file in commit.replaced {
            self.take_out(at, &file)?;
            self.replaced.insert(file.path, at);
        }
        self.put_in(commit.files)?;
        match &mut self.rebuild {
            Some(rebuild) if !intent.staged.is_empty() => rebuild.replaced += commit.rows,
            _ => self.totals.compactions += 1,
        }
        self.end_marks(&commit.marked)
    }

    /// Adds settled files to their dates.
    fn put_in(&mut self, files: Vec<DataFile>) -> Result<(), String> {
        for file in files {
            let Some(date) = file.partition.as_ref().map(|partition| partition.date) else {
                return Err(format!("{} is not settled", file.path));
            };
            self.totals.files += 1;
            self.totals.bytes += file.bytes;
            self.dates.entry(date).or_default().recent.push(file);
        }
        Ok(())
    }

    /// Takes a settled file out of its date, and with it the copy that holds its rows.
    pub(super) fn take_out(&mut self, at: Timestamp, file: &DataFile) -> Result<(), String> {
        let parts = file.partition.as_ref().and_then(|one| self.days.get_mut(&one.date));
        if let Some(parts) = parts {
            let dropped = parts.extract_if(.., |part| part.stretch.covers(file));
            self.replaced.extend(dropped.map(|part| (part.file.path, at)));
        }
        let date = file.partition.as_ref().and_then(|one| self.dates.get_mut(&one.date));
        let Some(date) = date else {
            return Err(format!("it replaces {}, whose date has no files", file.path));
        };
        let before = date.recent.len();
        date.recent.retain(|recent| recent.path != file.path);
        if date.recent.len() == before && !date.replaced.insert(file.path.clone()) {
            return Err(format!("it replaces {} a second time", file.path));
        }
        self.totals.files = self.totals.files.saturating_sub(1);
        self.totals.bytes = self.totals.bytes.saturating_sub(file.bytes);
        Ok(())
    }
}
