//! A pass: a range of the journal becomes rows, files and a commit.
//!
//! 1. Gather: read the journal from the table's position, one record at a time.
//! 2. Check that every unit is accounted for. Nothing has been written so far.
//! 3. Append the intent. It pins the range and the rules.
//! 4. Sort, encode, put the files under the names that follow from the intent.
//! 5. Append the commit.
//!
//! A pass that stops anywhere after 3 is finished by whoever finds its intent,
//! from 1 on, with what the intent pins. A pass reads the journal and writes
//! below `trail/`; ingest does not know of it.

use futures::stream::{self, StreamExt, TryStreamExt};
use jiff::tz::TimeZone;
use journal::State as JournalState;
use object_store::path::Path;
use tokio_util::sync::CancellationToken;

use crate::error::TableError;
use crate::files::{PUTS_IN_FLIGHT, PassFiles, encode_pass, put, put_file};
use crate::gather::Gathered;
use crate::log::{Body, Counts, DataFile, PassCommit, PassIntent, QuarantineFile};
use crate::partition::Partition;
use crate::quarantine::Quarantined;
use crate::schema::ROW_FORMAT_VERSION;
use crate::state::Work;
use crate::table::{Table, Won};

/// The one version of the one trail's definition, until a catalog has others.
const TRAIL_VERSION: u64 = 1;

/// What a pass has done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PassReport {
    /// The record that began it.
    pub intent: u64,
    /// The first journal record it read.
    pub from: u64,
    /// The last one: the table's position now.
    pub to: u64,
    /// What became of every unit.
    pub counts: Counts,
    /// Files written.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Whether it stopped at its own bound, so that more may wait.
    pub more: bool,
}

/// What lies in the journal between two records, as rows.
struct Range {
    rows: Gathered,
    reader: JournalState,
    more: bool,
}

impl Table {
    /// Runs one pass over what waits, and before that finishes an intent that
    /// was left open. None if nothing waits, if `stop` came before anything was
    /// written, or if another process is at it.
    ///
    /// Dropping the future is safe at any point; an intent stays open then.
    ///
    /// # Errors
    /// [`TableError::is_retryable`] says whether to call again. Ingest goes on.
    pub async fn pass(
        &mut self,
        stop: &CancellationToken,
    ) -> Result<Option<PassReport>, TableError> {
        self.refresh().await?;
        if let Some(open) = self.state.open.clone() {
            if !self.may_finish(open.number) {
                return Ok(None);
            }
            tracing::info!(intent = open.number, "finishing a table intent that was left open");
            match open.work {
                Work::Pass(intent) => return self.finish_pass(open.number, intent).await.map(Some),
                Work::Settle(intent) => {
                    self.finish_settling(open.number, intent).await?;
                }
            }
        }
        self.tidy().await?;
        let Some(range) = self.gather(None, stop).await? else { return Ok(None) };
        let intent = PassIntent {
            from: self.state.position + 1,
            to: range.reader.head,
            trail_version: TRAIL_VERSION,
            row_format: ROW_FORMAT_VERSION,
            partition_rows_min: self.config.limits.partition_rows_min,
        };
        match self.append(&Body::PassIntent(intent.clone())).await? {
            Won::Ours(number) => self.write_pass(number, intent, range).await.map(Some),
            Won::Theirs => Ok(None),
        }
    }

    pub(crate) async fn finish_pass(
        &mut self,
        number: u64,
        intent: PassIntent,
    ) -> Result<PassReport, TableError> {
        check_row_format(number, intent.row_format)?;
        let never = CancellationToken::new();
        let range = self.gather(Some(intent.to), &never).await?;
        let range = range.ok_or_else(|| TableError::Contradiction {
            number,
            what: format!("the journal ends before record {}", intent.to),
        })?;
        self.write_pass(number, intent, range).await
    }

    /// Reads the journal from the table's position: to record `to`, or as far
    /// as one pass goes. None if there is nothing to do.
    async fn gather(
        &mut self,
        to: Option<u64>,
        stop: &CancellationToken,
    ) -> Result<Option<Range>, TableError> {
        let position = self.state.position;
        let mut reader = match self.reader.take() {
            Some(reader) if to.is_none_or(|to| reader.head <= to) => reader,
            _ => self.journal.fold_to(position).await?,
        };
        let journaled_before = reader.totals.journaled;
        let mut rows = Gathered::new(self.state.regions.clone());
        let mut more = true;
        while to.is_some_and(|to| reader.head < to)
            || (to.is_none() && rows.line_bytes < self.config.limits.pass_bytes)
        {
            if stop.is_cancelled() {
                return Ok(None);
            }
            let next = self.journal.read_next(&mut reader).await?;
            let Some(delivered) = next else {
                more = false;
                break;
            };
            let work = move || rows.add(&delivered).map(|()| rows);
            rows = self.seams.blocking.run(work).await?;
        }
        if to.is_some_and(|to| reader.head != to) {
            return Ok(None);
        }
        let empty_records = reader.head - position;
        if to.is_none() && rows.is_empty() && empty_records < self.config.limits.empty_records_max {
            self.reader = Some(reader);
            return Ok(None);
        }
        rows.finish();
        let counts = rows.counts();
        let journaled = reader.totals.journaled - journaled_before;
        if !counts.close() || counts.journaled != journaled {
            let (from, to) = (position + 1, reader.head);
            let accounted = counts.accounted();
            return Err(TableError::Unbalanced { from, to, journaled, accounted });
        }
        Ok(Some(Range { rows, reader, more }))
    }

    async fn write_pass(
        &mut self,
        number: u64,
        intent: PassIntent,
        range: Range,
    ) -> Result<PassReport, TableError> {
        let Range { rows, reader, more } = range;
        let counts = rows.counts();
        let regions = rows.regions.since(&self.state.regions);
        let date = rows.committed_at.to_zoned(TimeZone::UTC).date();
        let layout = self.layout.clone();
        let rows_min = intent.partition_rows_min;
        let work = move || {
            let files = encode_pass(&rows, &layout, number, rows_min)?;
            let quarantined =
                rows.quarantine.finish().map_err(|error| TableError::Encode(error.to_string()))?;
            Ok::<_, TableError>((files, quarantined))
        };
        let (PassFiles { files, fresh_partitions }, quarantined) =
            self.seams.blocking.run(work).await?;
        let quarantine = match quarantined {
            Some(lines) => {
                let path = self.layout.quarantine_file(date, number);
                Some(self.put_quarantine(path, lines).await?)
            }
            None => None,
        };
        let store = &self.store;
        let files: Vec<(DataFile, bool)> = stream::iter(files)
            .map(|file| put_file(store, file))
            .buffered(PUTS_IN_FLIGHT)
            .try_collect()
            .await?;
        let made = files.iter().filter(|(_, made)| *made).map(|(file, _)| file.path.clone());
        let made: Vec<String> = made.collect();
        let files: Vec<DataFile> = files.into_iter().map(|(file, _)| file).collect();
        let report = PassReport {
            intent: number,
            from: intent.from,
            to: intent.to,
            counts,
            files: files.len() as u64,
            bytes: files.iter().map(|file| file.bytes).sum(),
            more,
        };
        let fresh = files.iter().find(|file| file.is_fresh()).map(|file| file.path.clone());
        let commit = PassCommit {
            intent: number,
            to: intent.to,
            counts,
            files,
            fresh_partitions: fresh_partitions.len() as u64,
            regions,
            quarantine,
        };
        let won = self.append(&Body::PassCommit(commit)).await?;
        self.end_pass(won, reader, made, fresh, fresh_partitions).await?;
        Ok(report)
    }

    /// After the commit, whoever made it.
    async fn end_pass(
        &mut self,
        won: Won,
        reader: JournalState,
        made: Vec<String>,
        fresh: Option<String>,
        fresh_partitions: Vec<Partition>,
    ) -> Result<(), TableError> {
        if won == Won::Theirs {
            self.refresh().await?;
            self.remove_revived(&made).await;
        }
        if let Some(fresh) = fresh
            && self.state.has_fresh(&fresh)
        {
            self.known.add(&fresh, fresh_partitions);
        }
        if reader.head == self.state.position {
            self.reader = Some(reader);
        }
        Ok(())
    }

    /// A slow process may put a fresh file again after another one finished its
    /// intent, settled the rows and swept the file. Nothing names it any more.
    async fn remove_revived(&self, made: &[String]) {
        let fresh = self.layout.fresh_prefix();
        for path in made {
            if !path.starts_with(&fresh) || self.state.has_fresh(path) {
                continue;
            }
            if let Err(error) = self.store.delete(&Path::from(path.as_str())).await {
                tracing::warn!(%path, %error, "could not delete a fresh file that was swept before");
            }
        }
    }

    async fn put_quarantine(
        &self,
        path: Path,
        lines: Quarantined,
    ) -> Result<QuarantineFile, TableError> {
        let Quarantined { bytes, reasons, lines } = lines;
        let (bytes, _) = put(&self.store, &path, bytes.into()).await?;
        Ok(QuarantineFile {
            path: path.to_string(),
            bytes: bytes.len() as u64,
            sha256: integrity::sha256(&bytes),
            lines,
            reasons,
        })
    }
}

/// Refuses to finish an intent by other rules than it pins.
pub(crate) fn check_row_format(number: u64, wanted: u32) -> Result<(), TableError> {
    let known = ROW_FORMAT_VERSION;
    if wanted == known { Ok(()) } else { Err(TableError::RowFormat { number, wanted, known }) }
}
