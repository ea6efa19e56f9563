//! A pass: a range of the journal becomes rows, files and a commit.
//!
//! 1. Gather: read the journal from the table's position, one record at a time.
//! 2. Check that every unit is accounted for. Nothing has been written so far.
//! 3. Append the intent. It pins the range and the rules.
//! 4. Leave out events that are rows already (`duplicates`).
//! 5. Sort, encode, put the files under the names that follow from the intent.
//! 6. Append the commit.
//!
//! A pass that stops anywhere after 3 is finished by whoever finds its intent,
//! from 1 on, with what the intent pins. A pass reads the journal and writes
//! below `trail/`; ingest does not know of it.

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::{self, StreamExt, TryStreamExt};
use jiff::tz::TimeZone;
use journal::State as JournalState;
use object_store::path::Path;
use seam::Guard;
use tokio_util::sync::CancellationToken;

use crate::completeness::Losses;
use crate::duplicates::{Asker, DuplicateRules, Search};
use crate::error::TableError;
use crate::files::{PUTS_IN_FLIGHT, PassFiles, encode_pass, put, put_file};
use crate::gather::{Gathered, pin};
use crate::keys::{
    KeyFile, KeyOrder, NewKeys, read_run, runs_to_merge, runs_to_merge_at_first,
    runs_to_merge_by_account,
};
use crate::log::{Body, Counts, DataFile, KeysAdded, PassCommit, PassIntent, QuarantineFile};
use crate::marks::{MARKS_MAX, Marks};
use crate::partition::Partition;
use crate::quarantine::Quarantined;
use crate::schema::{ROW_FORMAT_VERSION, ROW_FORMAT_VERSION_MIN};
use crate::state::{KeyRun, Work};
use crate::table::{Table, Won};

/// The row format since which one event is one row.
pub(crate) const KEYS_SINCE: u32 = 2;

/// The one version of the one trail's definition, until a catalog has others.
const TRAIL_VERSION: u64 = 1;

/// Damaged segments that one pass takes in; the next one goes on.
const DAMAGED_MAX: usize = 1_000;

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
    /// Bytes of lines that it read.
    pub line_bytes: u64,
    /// Whether it stopped at its own bound, so that more may wait.
    pub more: bool,
}

/// How far a pass reads.
#[derive(Clone, Copy)]
enum Until<'a> {
    /// As far as one pass goes.
    Bound,
    /// As far as an open intent says, by its own account of what is lost.
    Pinned(u64, &'a PassIntent),
}

impl Until<'_> {
    fn to(self) -> Option<u64> {
        match self {
            Self::Bound => None,
            Self::Pinned(_, intent) => Some(intent.to),
        }
    }
}

/// What lies in the journal between two records, as rows.
struct Range {
    rows: Gathered,
    reader: JournalState,
    /// What its records say is lost.
    losses: Losses,
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
    pub fn pass<'a>(
        &'a mut self,
        stop: &'a CancellationToken,
    ) -> BoxFuture<'a, Result<Option<PassReport>, TableError>> {
        Box::pin(async move {
            self.refresh().await?;
            if let Some(open) = self.state.open.clone()
                && self.state.guards.hold(Guard::OneOpenIntent)
            {
                if !self.may_finish(open.number) {
                    return Ok(None);
                }
                if let Work::Pass(intent) = open.work {
                    return self.finish_pass(open.number, intent).await.map(Some);
                }
                self.finish_open().await?;
            }
            self.tidy().await?;
            let Some(mut range) = self.gather(Until::Bound, stop).await? else { return Ok(None) };
            let losses = std::mem::take(&mut range.losses);
            let expected = self.config.expected.as_ref();
            let intent = PassIntent {
                from: self.state.position + 1,
                to: range.reader.head,
                trail_version: TRAIL_VERSION,
                row_format: self.config.limits.row_format,
                partition_rows_min: self.partition_rows_min(&range),
                damaged: range.rows.damaged.clone(),
                completeness: self.state.completeness.learn(&range.reader, expected, losses),
                duplicates: DuplicateRules::NEWEST,
            };
            for damaged in &intent.damaged {
                let units: u64 = damaged.lost.iter().map(|batch| batch.units).sum();
                tracing::error!(
                    record = damaged.record,
                    segment = %damaged.segment,
                    units,
                    "{}: its lost units are in quarantine; restore the object from a copy",
                    damaged.reason()
                );
            }
            if !self.state.guards.hold(Guard::IntentBeforeFiles) {
                let number = self.state.head + 1;
                let files =
                    encode_pass(&range.rows, &self.layout, number, intent.partition_rows_min)?;
                for file in files.files {
                    put_file(&self.store, file).await?;
                }
            }
            match self.append(&Body::PassIntent(intent.clone())).await? {
                Won::Ours(number) => self.write_pass(number, intent, range).await.map(Some),
                Won::Theirs => Ok(None),
            }
        })
    }

    pub(crate) async fn finish_pass(
        &mut self,
        number: u64,
        intent: PassIntent,
    ) -> Result<PassReport, TableError> {
        check_row_format(number, intent.row_format)?;
        let never = CancellationToken::new();
        let until = if self.state.guards.hold(Guard::FinishWhatIsPinned) {
            Until::Pinned(number, &intent)
        } else {
            Until::Bound
        };
        let range = self.gather(until, &never).await?;
        let range = range.ok_or_else(|| TableError::Contradiction {
            number,
            what: format!("the journal ends before record {}", intent.to),
        })?;
        self.write_pass(number, intent, range).await
    }

    /// So many rows of a partition get their own file. While more waits than a pass
    /// takes, passes follow each other at once: rows that settling would find worth
    /// files are not written twice then.
    fn partition_rows_min(&self, range: &Range) -> u64 {
        let limits = &self.config.limits;
        let mut least = None;
        if range.more {
            least = worth_files(range.rows.placed.rows_of_each(), limits.settle_rows_per_file);
        }
        least.map_or(limits.partition_rows_min, |least| limits.partition_rows_min.min(least))
    }

    /// Reads the journal from the table's position: to where an intent says, or
    /// as far as one pass goes. None if there is nothing to do.
    async fn gather(
        &mut self,
        until: Until<'_>,
        stop: &CancellationToken,
    ) -> Result<Option<Range>, TableError> {
        let position = self.state.position;
        let to = until.to();
        let mut reader = match self.reader.take() {
            Some(reader) if reader.head >= position && to.is_none_or(|to| reader.head <= to) => {
                reader
            }
            _ => self.journal.fold_to(position).await?,
        };
        let journaled_before = reader.totals.journaled;
        let mut rows = Gathered::new(self.state.regions.clone());
        let mut losses = Losses::default();
        let mut more = true;
        while to.is_some_and(|to| reader.head < to)
            || (to.is_none()
                && rows.has_room(self.config.limits.pass_bytes)
                && rows.damaged.len() < DAMAGED_MAX)
        {
            if stop.is_cancelled() {
                return Ok(None);
            }
            let next = self.journal.read_next(&mut reader).await?;
            let Some(mut delivered) = next else {
                more = false;
                break;
            };
            if let Until::Pinned(number, intent) = until {
                pin(&mut delivered, &intent.damaged).map_err(|damage| TableError::Lost {
                    number,
                    record: delivered.record,
                    segment: damage.path,
                    what: damage.what,
                })?;
            }
            losses.add_of(&delivered, &reader, &self.state.completeness);
            let work = move || rows.add(&delivered).map(|()| rows);
            rows = self.seams.blocking.run(work).await?;
        }
        if to.is_some_and(|to| reader.head != to) {
            return Ok(None);
        }
        let is_empty = rows.is_empty() && losses.is_empty();
        let empty_records = reader.head - position;
        if to.is_none() && is_empty && empty_records < self.config.limits.empty_records_max {
            self.reader = Some(reader);
            return Ok(None);
        }
        rows.finish()?;
        let counts = rows.counts();
        let journaled = reader.totals.journaled - journaled_before;
        if !counts.close() || counts.journaled != journaled {
            let (from, to) = (position + 1, reader.head);
            let accounted = counts.accounted();
            return Err(TableError::Unbalanced { from, to, journaled, accounted });
        }
        Ok(Some(Range { rows, reader, losses, more }))
    }

    async fn write_pass(
        &mut self,
        number: u64,
        intent: PassIntent,
        range: Range,
    ) -> Result<PassReport, TableError> {
        let Range { mut rows, reader, more, losses: _ } = range;
        let (mut keys, mut reused) = (None, Marks::default());
        if intent.row_format >= KEYS_SINCE {
            let asker = Asker::Pass(intent.from, intent.duplicates);
            let (new, earlier) = self.leave_out_duplicates(&mut rows, &reader, asker).await?;
            keys = self.put_keys(number, intent.duplicates, new).await?;
            if intent.duplicates >= DuplicateRules::AllMarked {
                reused = self.fitting(earlier);
            }
        }
        let counts = rows.counts();
        let regions = rows.regions.since(&self.state.regions);
        let date = rows.committed_at.to_zoned(TimeZone::UTC).date();
        let line_bytes = rows.line_bytes;
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
        if !self.state.guards.hold(Guard::CreateOnlyFiles) {
            for file in &files {
                drop(self.store.delete(&file.path).await);
            }
        }
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
            line_bytes,
            more,
        };
        let settled = files.iter().filter_map(|file| file.partition.clone()).collect();
        let fresh = files.iter().find(|file| file.is_fresh()).map(|file| file.path.clone());
        let commit = PassCommit {
            intent: number,
            to: intent.to,
            counts,
            files,
            fresh_partitions: fresh_partitions.len() as u64,
            regions,
            quarantine,
            keys,
            reused,
        };
        let won = self.append(&Body::PassCommit(commit)).await?;
        self.end_pass(won, reader, made, fresh, fresh_partitions).await?;
        if let Err(error) = self.remove_strays(settled).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "could not look for files that no commit names"
            );
        }
        Ok(report)
    }

    /// Earlier rows to be marked, as many as may wait for that.
    fn fitting(&self, earlier: Marks) -> Marks {
        let (fitting, left) = earlier.that_fit(&self.state.marks, MARKS_MAX);
        if left > 0 {
            tracing::warn!(rows = left, "too many rows wait for their mark; these will have none");
        }
        fitting
    }

    /// Finds the events that are rows already. Gives the keys of the others, and the
    /// earlier rows whose eventID they use again.
    pub(crate) async fn leave_out_duplicates(
        &mut self,
        rows: &mut Gathered,
        reader: &JournalState,
        asker: Asker,
    ) -> Result<(NewKeys, Marks), TableError> {
        let batches = rows.placed.batches.iter().map(|(batch, _)| batch.clone()).collect();
        let mut search = Search {
            store: &self.store,
            journal: &self.journal,
            ledger: &self.ledger,
            streams: reader,
            state: &self.state,
            asker,
            cache: &mut self.key_cache,
            blocking: self.seams.blocking,
        };
        let found = search.find(std::mem::take(&mut rows.keyed), batches).await?;
        rows.judge(found)
    }

    /// Puts the keys that a pass adds, merged with earlier runs.
    async fn put_keys(
        &mut self,
        number: u64,
        rules: DuplicateRules,
        new: NewKeys,
    ) -> Result<Option<KeysAdded>, TableError> {
        if new.is_empty() {
            return Ok(None);
        }
        // Whoever finishes the pass must make the same object.
        let (order, to_merge): (_, fn(&[KeyRun], u64, u64) -> _) = match rules {
            DuplicateRules::LaterMarked => (KeyOrder::Key, runs_to_merge_at_first),
            DuplicateRules::AllMarked => (KeyOrder::Key, runs_to_merge),
            DuplicateRules::KeysByAccount => (KeyOrder::Account, runs_to_merge_by_account),
        };
        let mut file = KeyFile::new(order);
        let mut runs = Vec::with_capacity(new.len());
        let mut merged_so_far = 0;
        for (date, entries) in new {
            let known = self.state.keys.get(&date).map_or(&[][..], Vec::as_slice);
            let (replaces, merged) = to_merge(known, entries.len() as u64, merged_so_far);
            merged_so_far += merged;
            let mut old = Vec::with_capacity(replaces);
            for run in known.iter().rev().take(replaces) {
                old.push(read_run(&self.store, run).await?);
            }
            let work = move || {
                let added = file.add(&old, &entries, replaces);
                (file, entries, added)
            };
            let (back, entries, added) = self.seams.blocking.run(work).await;
            file = back;
            runs.push((date, entries, added));
        }
        let path = self.layout.keys(number);
        let (sha256, bytes) = (integrity::sha256(&file.bytes), Bytes::from(file.bytes));
        let (there, _) = put(&self.store, &path, bytes.clone()).await?;
        let path = path.to_string();
        if there != bytes {
            let what = "it holds other keys than its intent makes".to_owned();
            return Err(TableError::Damaged { path, what });
        }
        for (date, entries, added) in &runs {
            let known = self.state.keys.get(date).map_or(&[][..], Vec::as_slice);
            self.key_cache.add(*date, known, &added.run_in(&path), &bytes, entries);
        }
        let dates = runs.into_iter().map(|(date, _, added)| (date, added)).collect();
        Ok(Some(KeysAdded { path, bytes: bytes.len() as u64, sha256, dates }))
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

/// The least rows of a partition such that files of all partitions with as many have
/// `average` rows or more on average; none if no partition has so many.
fn worth_files(mut rows: Vec<u64>, average: u64) -> Option<u64> {
    rows.sort_unstable_by(|one, other| other.cmp(one));
    let (mut files, mut sum) = (0, 0);
    let mut least = None;
    for same in rows.chunk_by(|one, next| one == next) {
        files += same.len() as u64;
        sum += same.iter().sum::<u64>();
        if sum / files < average {
            break;
        }
        least = same.first().copied();
    }
    least
}

/// Refuses to finish an intent by other rules than it pins.
pub(crate) fn check_row_format(number: u64, wanted: u32) -> Result<(), TableError> {
    let known = ROW_FORMAT_VERSION;
    if (ROW_FORMAT_VERSION_MIN..=known).contains(&wanted) {
        Ok(())
    } else {
        Err(TableError::RowFormat { number, wanted, known })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_get_files_as_long_as_these_are_worth_it_on_average() {
        assert_eq!(worth_files(vec![100, 4_000, 300, 50, 500], 1_000), Some(100));
        assert_eq!(worth_files(vec![999; 50], 1_000), None);
        assert_eq!(worth_files(vec![1_000], 1_000), Some(1_000));
        assert_eq!(worth_files(Vec::new(), 1_000), None);
        // One large partition does not pay for a thousand files of one row each.
        let mut many = vec![1; 1_000];
        many.push(3_000);
        assert_eq!(worth_files(many, 1_000), Some(3_000));
    }
}
