//! The table made again from the journal, while it is in use.
//!
//! The journal is the truth and the table a view, so files that are damaged or gone,
//! or whose rows an older release made by other rules, can be made anew:
//!
//! 1. A record begins it. It says up to which journal record rows are made again,
//!    and all rows up to there are settled. Files of earlier intents are to be
//!    replaced, and until that is done compaction leaves them alone.
//! 2. `read`: the journal is read again, by the ranges and the losses that the
//!    passes' intents pin, with the duplicates they left out and the regions they
//!    knew. The rows go into objects sorted by day below `rebuild/`.
//! 3. `replace`: day by day, the newest first, these rows are merged into the files
//!    of their partitions, which wait below `rebuild/` too. A partition that then has
//!    exactly as many rows as the table lists is replaced: an intent pins the old
//!    files and the new ones, the new ones are moved in, and a commit replaces them
//!    in one step, as compaction does.
//! 4. A record ends it, and what lies below `rebuild/` is deleted.
//!
//! Passes go on all the while: their files are of later intents, and of later
//! journal records. Each step is a record, so a rebuild that stops anywhere goes on
//! where it was, in whatever process.
//!
//! # What is not made again
//! Rows of events that the journal's retention has let go cannot be made: their
//! partitions are left as they are.
//! Rows that the table does not list, because they expired, stay away: where the
//! journal has more rows of a partition than the table, those that the old files
//! hold are taken. A partition whose old files cannot be read then, or of which the
//! journal has lost rows since, is left as it is, and the report says so. Quarantine
//! and the keys of events stay as they are.
//!
//! # Bounds
//! In memory are the rows of one pass, or of the small ones that fit in
//! `pass_bytes`; then a row group of each of at most `replace::INPUTS_MAX` objects, and one
//! file.

mod read;
mod replace;

use futures::TryStreamExt;
use futures::future::BoxFuture;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::error::TableError;
use crate::layout::Layout;
use crate::log::{Body, RebuildStep, SettleReason};
use crate::partition::Partition;
use crate::state::Rebuild;
use crate::table::{Table, Won};

/// How long to wait for another process's intent.
const INTENT_PAUSE: Duration = Duration::from_millis(500);

/// Attempts to find the table with all rows settled.
const BEGIN_ATTEMPTS_MAX: u32 = 16;

/// Lines that an estimate reads.
const SAMPLE_BYTES: u64 = 16 << 20;

/// How much longer a rebuild takes than reading the journal and making rows: sorting,
/// encoding twice, merging. Seen with 200,000 events: 4.4 s, and 0.9 s for reading.
const WORK_PER_READING: f64 = 5.0;

/// A partition that was left as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// Which.
    pub partition: Partition,
    /// Its rows in the table.
    pub rows: u64,
    /// Why, in a sentence for people.
    pub why: String,
}

/// What a rebuild has done, in one call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RebuildReport {
    /// Journal records read.
    pub records: u64,
    /// Rows made of them.
    pub read_rows: u64,
    /// Units of them that are lost with segments of the journal.
    pub lost_units: u64,
    /// Units of them whose segments have expired by the journal's retention.
    pub journal_expired: u64,
    /// Partitions replaced.
    pub partitions: u64,
    /// Files that are not in the table any more,
    pub replaced: u64,
    /// those that took their place,
    pub files: u64,
    /// their rows,
    pub rows: u64,
    /// and their bytes.
    pub bytes: u64,
    /// Partitions left as they were.
    pub left: Vec<Left>,
    /// Rows of the journal that the table does not list any more: they expired.
    pub expired: u64,
    /// Whether it stopped before its end; another call goes on.
    pub more: bool,
    /// Whether somebody gave it up meanwhile.
    pub given_up: bool,
}

/// How far a rebuild is, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RebuildProgress {
    /// The journal is being read.
    Read {
        /// Up to this record,
        record: u64,
        /// of this one.
        to: u64,
    },
    /// Partitions are being replaced.
    Replaced {
        /// Files that are done,
        files: u64,
        /// of so many.
        of: u64,
    },
}

/// What a rebuild would do.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RebuildEstimate {
    /// Units of the journal to read.
    pub units: u64,
    /// Files to replace,
    pub files: u64,
    /// their rows,
    pub rows: u64,
    /// and their bytes; about as many are needed beside them for a while, twice.
    pub bytes: u64,
    /// About how many seconds it takes here.
    pub seconds: f64,
}

/// How a part of a rebuild ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// There is no more of it to do.
    Done,
    /// It was told to stop.
    Stopped,
    /// The table is not what it was: look again what there is to do.
    Moved,
}

/// Who wants to know how far it is.
pub(crate) type Tell<'a> = &'a (dyn Fn(RebuildProgress) + Send + Sync);

impl Table {
    /// Makes the table again from the journal, or goes on with that, until it is done
    /// or `stop` comes between two steps.
    ///
    /// Dropping the future is safe at any point.
    ///
    /// # Errors
    /// [`TableError::is_retryable`] says whether to call again.
    pub fn rebuild<'a>(
        &'a mut self,
        stop: &'a CancellationToken,
        tell: Tell<'a>,
    ) -> BoxFuture<'a, Result<RebuildReport, TableError>> {
        Box::pin(async move {
            let mut report = RebuildReport { more: true, ..RebuildReport::default() };
            let Some(rebuild) = self.begin_rebuild(stop).await? else { return Ok(report) };
            let ended_before = self.state.totals.rebuilds;
            while self.state.rebuild.as_ref().is_some_and(|now| now.number == rebuild.number) {
                let mut step = self.read_again(rebuild.number, &mut report, stop, tell).await?;
                if step == Step::Done {
                    step = self.replace_files(rebuild.number, &mut report, stop, tell).await?;
                }
                match step {
                    Step::Done => self.end_rebuild(rebuild.number, false).await?,
                    Step::Stopped => return Ok(report),
                    Step::Moved => report.left.clear(),
                }
            }
            report.more = false;
            report.given_up = self.state.totals.rebuilds == ended_before;
            Ok(report)
        })
    }

    /// Gives up a rebuild that is under way: what it replaced stays, what it made for
    /// more is deleted. False if none is.
    ///
    /// # Errors
    /// As [`Table::rebuild`].
    pub fn give_up_rebuild(&mut self) -> BoxFuture<'_, Result<bool, TableError>> {
        Box::pin(async move {
            self.refresh().await?;
            let Some(number) = self.state.rebuild.as_ref().map(|rebuild| rebuild.number) else {
                return Ok(false);
            };
            self.end_rebuild(number, true).await?;
            Ok(true)
        })
    }

    /// What a rebuild would do, and about how long it would take on this machine:
    /// reads the first lines of the journal for that, and writes nothing.
    ///
    /// # Errors
    /// As [`Table::rebuild`].
    pub fn estimate_rebuild(&mut self) -> BoxFuture<'_, Result<RebuildEstimate, TableError>> {
        Box::pin(async move {
            self.refresh().await?;
            let began = Instant::now();
            let (units, expired) = self.read_sample(SAMPLE_BYTES).await?;
            let taken = began.elapsed().as_secs_f64();
            let totals = &self.state.totals;
            let all = totals.counts.journaled.saturating_sub(expired);
            #[expect(clippy::cast_precision_loss, reason = "it is an estimate")]
            let share = if units == 0 { 0.0 } else { all as f64 / units as f64 };
            Ok(RebuildEstimate {
                units: all,
                files: totals.files,
                rows: totals.counts.rows.saturating_sub(totals.expired.rows),
                bytes: totals.bytes,
                seconds: taken * share * WORK_PER_READING,
            })
        })
    }

    /// The rebuild that is under way, or one that begins now. None if `stop` came, or
    /// others kept the table busy.
    async fn begin_rebuild(
        &mut self,
        stop: &CancellationToken,
    ) -> Result<Option<Rebuild>, TableError> {
        for _ in 0..BEGIN_ATTEMPTS_MAX {
            self.refresh().await?;
            if let Some(rebuild) = &self.state.rebuild {
                return Ok(Some(rebuild.clone()));
            }
            if stop.is_cancelled() {
                return Ok(None);
            }
            self.remove_rebuilt().await?;
            self.settle(SettleReason::Asked).await?;
            let to = self.state.position;
            if self.state.open.is_some() || !self.state.fresh.is_empty() {
                tokio::time::sleep(INTENT_PAUSE).await;
                continue;
            }
            let begin = Body::Rebuild(RebuildStep::Begin { to });
            if let Won::Ours(number) = self.append(&begin).await? {
                tracing::info!(number, to, "a rebuild of the table begins");
            }
        }
        Ok(None)
    }

    async fn end_rebuild(&mut self, number: u64, given_up: bool) -> Result<(), TableError> {
        let end = Body::Rebuild(RebuildStep::End { given_up });
        if self.append_while(number, &end, &[]).await?.is_some() {
            tracing::info!(number, given_up, "the rebuild of the table has ended");
        }
        self.examined.clear();
        self.remove_rebuilt().await
    }

    /// Adds a record of this rebuild, after whatever others add meanwhile, if it is
    /// still under way, has come no further, and these files are still in the table.
    /// Gives the record's number.
    async fn append_while(
        &mut self,
        number: u64,
        body: &Body,
        replaced: &[String],
    ) -> Result<Option<u64>, TableError> {
        let stood = self.state.rebuild.clone();
        loop {
            self.refresh().await?;
            let stands = self.state.rebuild == stood
                && stood.as_ref().is_some_and(|rebuild| rebuild.number == number);
            if !stands || !self.lists_all(replaced).await? {
                return Ok(None);
            }
            if self.state.open.is_some() {
                if !self.finish_open().await? {
                    tokio::time::sleep(INTENT_PAUSE).await;
                }
            } else if let Won::Ours(number) = self.append(body).await? {
                return Ok(Some(number));
            }
        }
    }

    /// Deletes what rebuilds have made that are over: those that began before the head,
    /// but for the one that is under way. One that begins meanwhile has a later number.
    async fn remove_rebuilt(&self) -> Result<(), TableError> {
        let under_way = self.state.rebuild.as_ref().map(|rebuild| rebuild.number);
        let mut listed = self.store.list(&self.layout.rebuilds(), None);
        while let Some((path, _)) = listed.try_next().await.map_err(TableError::Store)? {
            let is_over = Layout::rebuild_of(&path)
                .is_some_and(|number| number <= self.state.head && Some(number) != under_way);
            if is_over {
                self.store.delete(&path).await.map_err(TableError::Store)?;
            }
        }
        Ok(())
    }
}
