//! Settling: fresh rows move into their partitions.
//!
//! An intent pins which fresh files; the rows of these are merged into one file
//! for each partition (several, where a partition has very many); the commit
//! takes the fresh files out of the table and puts the new ones in, in one step.
//! The fresh objects are deleted later, after a sweep record has named them.
//!
//! Fresh rows lie below `fresh/` only and settled ones below `events/` only, so
//! who lists `events/` sees no row twice.

use std::sync::Arc;

use futures::future::BoxFuture;
use futures::future::try_join_all;
use futures::stream::{self, StreamExt, TryStreamExt};

use crate::checkpoint::put_list;
use crate::decode::Footer;
use crate::error::TableError;
use crate::files::{NewFile, PUTS_IN_FLIGHT, put_file, read_footer, read_range};
use crate::log::{Body, DataFile, SettleCommit, SettleIntent, SettleReason};
use crate::marks::Marks;
use crate::merge::{Merge, Step};
use crate::pass::check_row_format;
use crate::schema::ROW_FORMAT_VERSION;
use crate::table::{Table, Won};

/// Footers that are being read at once.
const FOOTERS_IN_FLIGHT: usize = 8;

/// What settling has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SettleReport {
    /// Fresh files settled.
    pub inputs: u64,
    /// Rows that moved.
    pub rows: u64,
    /// Files written.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl SettleReport {
    fn add(&mut self, other: &Self) {
        self.inputs += other.inputs;
        self.rows += other.rows;
        self.files += other.files;
        self.bytes += other.bytes;
    }
}

impl Table {
    /// Settles all fresh rows. At a drain, or if a person asked, the settled
    /// fresh files are deleted at once; otherwise the next settling does it, so
    /// that readers under way still find them.
    ///
    /// Dropping the future is safe at any point; an intent stays open then.
    ///
    /// # Errors
    /// [`TableError::is_retryable`] says whether to call again.
    pub fn settle(
        &mut self,
        reason: SettleReason,
    ) -> BoxFuture<'_, Result<SettleReport, TableError>> {
        Box::pin(async move {
            let mut report = SettleReport::default();
            self.refresh().await?;
            if !self.finish_open().await? {
                return Ok(report);
            }
            self.tidy().await?;
            self.sweep().await?;
            while let Some(inputs) = self.choose_inputs() {
                let intent = SettleIntent {
                    inputs,
                    row_format: ROW_FORMAT_VERSION,
                    file_rows_max: self.config.limits.file_rows_max,
                    reason,
                };
                match self.append(&Body::SettleIntent(intent.clone())).await? {
                    Won::Ours(number) => report.add(&self.finish_settling(number, intent).await?),
                    Won::Theirs => return Ok(report),
                }
            }
            if matches!(reason, SettleReason::Drain | SettleReason::Asked) {
                self.sweep().await?;
            }
            Ok(report)
        })
    }

    /// The oldest fresh files, as many as one settling takes.
    fn choose_inputs(&self) -> Option<Vec<String>> {
        let limits = &self.config.limits;
        let mut bytes = 0;
        let inputs: Vec<String> = self
            .state
            .fresh
            .iter()
            .take(limits.settle_files_max)
            .enumerate()
            .take_while(|(index, fresh)| {
                bytes += fresh.file.bytes;
                *index == 0 || bytes <= limits.settle_bytes_max
            })
            .map(|(_, fresh)| fresh.file.path.clone())
            .collect();
        (!inputs.is_empty()).then_some(inputs)
    }

    pub(crate) async fn finish_settling(
        &mut self,
        number: u64,
        intent: SettleIntent,
    ) -> Result<SettleReport, TableError> {
        check_row_format(number, intent.row_format)?;
        let inputs: Vec<DataFile> = self
            .state
            .fresh
            .iter()
            .filter(|fresh| intent.inputs.contains(&fresh.file.path))
            .map(|fresh| fresh.file.clone())
            .collect();
        let (files, marked) = match self.merge(number, intent.file_rows_max, &inputs).await {
            Ok(merged) => merged,
            Err(error) => return self.unless_finished(number, error).await,
        };
        let report = SettleReport {
            inputs: inputs.len() as u64,
            rows: files.iter().map(|file| file.rows).sum(),
            files: files.len() as u64,
            bytes: files.iter().map(|file| file.bytes).sum(),
        };
        let rows_in: u64 = inputs.iter().map(|file| file.rows).sum();
        if report.rows != rows_in {
            let what = format!("settling made {} rows of {rows_in}", report.rows);
            return Err(TableError::Contradiction { number, what });
        }
        let (rows, files_in) = (report.rows, None);
        let mut commit = SettleCommit { intent: number, rows, files, files_in, marked };
        if commit.files.len() > self.config.limits.files_named_max {
            let files = std::mem::take(&mut commit.files);
            let list = put_list(&self.store, &self.layout, number, &files).await?;
            commit.files_in = Some(list);
        }
        self.append(&Body::SettleCommit(commit)).await?;
        self.known.clear();
        Ok(report)
    }

    /// An input may be gone because another process finished this intent and
    /// swept it: then there is nothing left to do.
    pub(crate) async fn unless_finished(
        &mut self,
        number: u64,
        error: TableError,
    ) -> Result<SettleReport, TableError> {
        if matches!(error, TableError::Missing { .. }) {
            self.refresh().await?;
            if self.state.open.as_ref().is_none_or(|open| open.number != number) {
                return Ok(SettleReport::default());
            }
        }
        Err(error)
    }

    /// Writes the files of an intent, one partition after the other; tells the rows in
    /// them that got their mark.
    pub(crate) async fn merge(
        &self,
        number: u64,
        file_rows_max: u64,
        inputs: &[DataFile],
    ) -> Result<(Vec<DataFile>, Marks), TableError> {
        let footers = self.footers(inputs).await?;
        let layout = self.layout.clone();
        let marks = Arc::new(self.state.marks.clone());
        let mut merge = Merge::new(layout, number, file_rows_max, footers, None, marks)?;
        let mut marked = Marks::default();
        let mut waiting = Vec::with_capacity(PUTS_IN_FLIGHT);
        let mut files = Vec::new();
        while let Some((file, rest)) = self.next_file(merge).await? {
            merge = rest;
            marked.absorb(std::mem::take(&mut merge.marked));
            waiting.push(file);
            if waiting.len() == PUTS_IN_FLIGHT {
                files.extend(self.put_all(std::mem::take(&mut waiting)).await?);
            }
        }
        files.extend(self.put_all(waiting).await?);
        Ok((files, marked))
    }

    /// The footers of files that the log names.
    pub(crate) async fn footers(
        &self,
        files: &[DataFile],
    ) -> Result<Vec<(DataFile, Footer)>, TableError> {
        let store = &self.store;
        // Owned files: borrowed ones hide from the compiler that this is `Send`.
        stream::iter(files.to_vec())
            .map(|file| async move {
                let footer = read_footer(store, &file).await?;
                if footer.rows() != file.rows {
                    let what = format!("it holds {} rows, not {}", footer.rows(), file.rows);
                    return Err(TableError::Damaged { path: file.path.clone(), what });
                }
                Ok((file, footer))
            })
            .buffered(FOOTERS_IN_FLIGHT)
            .try_collect()
            .await
    }

    /// Puts files side by side; gives them in their order.
    async fn put_all(&self, files: Vec<NewFile>) -> Result<Vec<DataFile>, TableError> {
        let puts = files.into_iter().map(|file| put_file(&self.store, file));
        let put = try_join_all(puts).await?;
        Ok(put.into_iter().map(|(file, _)| file).collect())
    }

    /// Runs the merge until its next file is complete.
    pub(crate) async fn next_file(
        &self,
        mut merge: Merge,
    ) -> Result<Option<(NewFile, Merge)>, TableError> {
        let mut fed = None;
        loop {
            let work = move || {
                if let Some((input, bytes)) = fed.take() {
                    merge.feed(input, bytes)?;
                }
                let step = merge.advance()?;
                Ok::<_, TableError>((merge, step))
            };
            let (back, step) = self.seams.blocking.run(work).await?;
            merge = back;
            match step {
                Step::Needs(input, path, range) => {
                    fed = Some((input, read_range(&self.store, &path, range).await?));
                }
                Step::File(file) => return Ok(Some((file, merge))),
                Step::Done => return Ok(None),
            }
        }
    }
}
