//! One process's hold on a table: the folded log, and how a record is added.
//!
//! Any number of processes may hold one table. They race on the numbers of its
//! log; whoever loses folds the winner's record and decides anew. An intent may
//! be finished by anyone who finds it, with what it pins; a process that sees
//! another one begin leaves it to it for a while, since doing the work twice is
//! safe but wasteful.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::TryStreamExt;
use futures::future::BoxFuture;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use journal::Journal;
use ledger::{Appended, Ledger};
use object_store::path::Path;
use seam::{Blocking, Clock, Entropy, Guard, Guards};
use store::Store;
use tokio::time::Instant;

use crate::checkpoint;
use crate::checkpoint::date_files;
use crate::compact::Examined;
use crate::config::Config;
use crate::day::Copied;
use crate::error::TableError;
use crate::expire::Aged;
use crate::iceberg::Publishing;
use crate::index::Indexed;
use crate::keys::KeyCache;
use crate::layout::Layout;
use crate::log::{Body, Sweep};
use crate::partition::Partition;
use crate::state::TableState;

/// How long another process's open intent is left to it. It decides only who
/// does the work; a wrong guess costs work and nothing else.
const HELP_AFTER: Duration = Duration::from_secs(120);

/// Partitions of fresh rows that are remembered, to judge if settling is worth it.
const PARTITIONS_KNOWN_MAX: usize = 65_536;

/// Objects that one sweep names at most.
const SWEEP_OBJECTS_MAX: usize = 1_000;

/// Time, randomness and blocking work, as handed in.
#[derive(Clone, Debug)]
pub struct Seams {
    /// Tells the time for records and ages.
    pub clock: Clock,
    /// Gives records their ids.
    pub entropy: Entropy,
    /// Where rows are parsed, sorted and encoded.
    pub blocking: Blocking,
}

/// The table of one trail, held by one process.
#[derive(Debug)]
pub struct Table {
    pub(crate) store: Store,
    pub(crate) journal: Journal,
    pub(crate) ledger: Ledger,
    pub(crate) layout: Layout,
    pub(crate) seams: Seams,
    pub(crate) config: Config,
    pub(crate) state: TableState,
    /// The journal folded to the table's position, or past records without
    /// events; none if it must be folded anew.
    pub(crate) reader: Option<journal::State>,
    /// The partitions of fresh rows, as far as this process wrote them.
    pub(crate) known: KnownPartitions,
    /// Parts of the runs of event keys.
    pub(crate) key_cache: KeyCache,
    /// Dates that need no compaction as they are.
    pub(crate) examined: Examined,
    /// Dates whose index covers all their files.
    pub(crate) indexed: Indexed,
    /// Dates that need no copy as they are.
    pub(crate) copied: Copied,
    /// What is not old enough yet.
    pub(crate) aged: Aged,
    /// What is published for Iceberg's readers.
    pub(crate) publishing: Publishing,
    /// An intent of someone else, and since when we leave it to them.
    left_alone: Option<(u64, Instant)>,
    /// The last sweep whose objects this process has deleted.
    deleted_sweep: u64,
}

/// Whose record has the number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Won {
    /// Ours; its number.
    Ours(u64),
    /// Another process's; it is folded.
    Theirs,
}

/// Which partitions the fresh rows belong to, as far as it is known.
#[derive(Debug, Default)]
pub(crate) struct KnownPartitions {
    files: BTreeSet<String>,
    partitions: BTreeSet<Partition>,
}

impl KnownPartitions {
    pub(crate) fn add(&mut self, file: &str, partitions: Vec<Partition>) {
        if self.partitions.len() + partitions.len() > PARTITIONS_KNOWN_MAX {
            self.clear();
            return;
        }
        self.files.insert(file.to_owned());
        self.partitions.extend(partitions);
    }

    pub(crate) fn clear(&mut self) {
        self.files.clear();
        self.partitions.clear();
    }

    /// How many files settling would write: exact for files that this process
    /// wrote, and at most so many with those of others.
    fn files_to_write(&self, state: &TableState) -> u64 {
        let others = state.fresh.iter().filter(|fresh| !self.files.contains(&fresh.file.path));
        self.partitions.len() as u64 + others.map(|fresh| fresh.partitions).sum::<u64>()
    }
}

impl Table {
    /// Folds the log of `trail`'s table. Nothing is written before the first pass.
    ///
    /// # Errors
    /// If the log cannot be read or contradicts itself.
    pub fn open(
        store: Store,
        journal: Journal,
        trail: &str,
        seams: Seams,
        config: Config,
    ) -> BoxFuture<'_, Result<Self, TableError>> {
        Box::pin(async move {
            let layout = Layout::new(trail)?;
            let ledger = Ledger::new(store.clone(), layout.log());
            let mut state = checkpoint::newest(&store, &ledger, &layout).await?;
            checkpoint::advance(&store, &ledger, &mut state).await?;
            Ok(Self {
                store,
                journal,
                ledger,
                layout,
                seams,
                config,
                state,
                reader: None,
                known: KnownPartitions::default(),
                key_cache: KeyCache::default(),
                examined: Examined::default(),
                indexed: Indexed::default(),
                copied: Copied::default(),
                aged: Aged::default(),
                publishing: Publishing::default(),
                left_alone: None,
                deleted_sweep: 0,
            })
        })
    }

    /// The same under these guards.
    #[must_use]
    pub fn guarded_by(mut self, guards: Guards) -> Self {
        self.ledger = self.ledger.guarded_by(guards);
        self.state.guards = guards;
        self
    }

    /// The folded state as of the last call.
    #[must_use]
    pub fn state(&self) -> &TableState {
        &self.state
    }

    /// Folds what others have added since.
    ///
    /// # Errors
    /// If the log cannot be read or contradicts itself.
    pub fn refresh(&mut self) -> BoxFuture<'_, Result<(), TableError>> {
        Box::pin(async move {
            let open_before = self.state.open.as_ref().map(|open| open.number);
            let position = self.state.position;
            // Some records may be folded although the next one could not be read.
            let advanced = checkpoint::advance(&self.store, &self.ledger, &mut self.state).await;
            if self.state.position != position {
                self.reader = None;
            }
            match &self.state.open {
                Some(open) if open_before != Some(open.number) => {
                    self.left_alone = Some((open.number, Instant::now()));
                }
                _ => {}
            }
            advanced
        })
    }

    /// Whether the fresh rows should be settled now: the oldest has waited long
    /// enough, or the files would be worth writing.
    #[must_use]
    pub fn should_settle(&self) -> Option<crate::log::SettleReason> {
        let oldest = self.state.fresh.iter().map(|fresh| fresh.committed_at).min()?;
        let waited = self.seams.clock.now().duration_since(oldest).as_secs();
        if waited >= i64::from(self.config.settle_age_secs) {
            return Some(crate::log::SettleReason::Age);
        }
        let files = self.known.files_to_write(&self.state).max(1);
        let worth = self.state.fresh_rows() / files >= self.config.limits.settle_rows_per_file;
        worth.then_some(crate::log::SettleReason::Worth)
    }

    /// Whether an open intent is ours to finish now.
    pub(crate) fn may_finish(&self, number: u64) -> bool {
        match self.left_alone {
            Some((left, since)) if left == number => since.elapsed() >= HELP_AFTER,
            // It was there when this process came, or is its own.
            _ => true,
        }
    }

    /// Adds a record after the head, or folds the one that another put there.
    pub(crate) async fn append(&mut self, body: &Body) -> Result<Won, TableError> {
        // A race that was lost just before may have opened another's intent: then
        // only its commit may follow.
        let commits =
            matches!(body, Body::PassCommit(_) | Body::SettleCommit(_) | Body::CompactCommit(_));
        if !commits && self.state.open.is_some() && self.state.guards.hold(Guard::OneOpenIntent) {
            return Ok(Won::Theirs);
        }
        let Seams { clock, entropy, .. } = &self.seams;
        let head = self.state.ledger_head();
        let appended = self
            .ledger
            .append(&head, entropy.bytes(), clock.now(), body)
            .await
            .map_err(TableError::Append)?;
        match appended {
            Appended::Ours(record) => {
                checkpoint::fold(&self.store, &mut self.state, &record).await?;
                Ok(Won::Ours(record.number))
            }
            Appended::Theirs(record) => {
                checkpoint::fold(&self.store, &mut self.state, &record).await?;
                if let Some(open) = &self.state.open {
                    self.left_alone = Some((open.number, Instant::now()));
                }
                Ok(Won::Theirs)
            }
        }
    }

    /// The days before today that have files, the newest first.
    pub(crate) fn dates_that_are_over(&self) -> Vec<Date> {
        let today = self.seams.clock.now().to_zoned(TimeZone::UTC).date();
        self.state.dates.keys().rev().filter(|date| **date < today).copied().collect()
    }

    /// Whether a file that was not there is of the table all the same, now that
    /// others' records are read.
    pub(crate) async fn still_lists(&mut self, date: Date, path: &str) -> Result<bool, TableError> {
        self.refresh().await?;
        let Some(files) = self.state.dates.get(&date) else { return Ok(false) };
        let listed = date_files(&self.store, files).await?;
        Ok(listed.iter().any(|file| file.path == path))
    }

    /// Deletes what lies in a folder, is none of `named`, and can become so no more.
    ///
    /// A name has the number of its intent or record. If that is at or before the
    /// head and not open, its commit is there too, or it is another process's
    /// record, so nothing can name the object any more.
    pub(crate) async fn remove_unnamed(
        &self,
        folder: &Path,
        named: &BTreeSet<&str>,
    ) -> Result<(), TableError> {
        let open = self.state.open.as_ref().map(|open| open.number);
        let there: Vec<(Path, u64)> =
            self.store.list(folder, None).try_collect().await.map_err(TableError::Store)?;
        for (path, _) in there {
            let is_stray = Layout::intent_of(&path)
                .is_some_and(|number| number <= self.state.head && Some(number) != open)
                && !named.contains(path.as_ref())
                && !self.state.is_unused(path.as_ref());
            if is_stray {
                tracing::warn!(%path, "deleting an object that no record names");
                self.store.delete(&path).await.map_err(TableError::Store)?;
            }
        }
        Ok(())
    }

    /// Keeps the log short to read and the store clean: a checkpoint when one is
    /// due, and the rest of a sweep that another process began.
    pub(crate) async fn tidy(&mut self) -> Result<(), TableError> {
        self.delete_swept().await;
        let limits = &self.config.limits;
        let due = self.state.head - self.state.checkpoint >= limits.checkpoint_records
            || self.state.recent_files() >= limits.checkpoint_files;
        if due && self.state.open.is_none() {
            let checkpoint = checkpoint::prepare(&self.store, &self.layout, &self.state).await?;
            self.append(&Body::Checkpoint(checkpoint)).await?;
        }
        Ok(())
    }

    /// Deletes what nothing names any more and nobody need read: a record names
    /// the objects first, so that nobody uses them from then on. Passes and compaction
    /// begin with this.
    ///
    /// # Errors
    /// [`TableError::is_retryable`] says whether to call again.
    pub async fn sweep(&mut self) -> Result<(), TableError> {
        let kept = SignedDuration::from_secs(i64::from(self.config.keep_replaced_secs));
        let now = self.seams.clock.now();
        let kept_since = now.checked_sub(kept).unwrap_or(Timestamp::MIN);
        while self.state.open.is_none() {
            if !self.delete_swept().await {
                return Ok(());
            }
            let objects: BTreeSet<String> =
                self.state.sweepable(kept_since).take(SWEEP_OBJECTS_MAX).cloned().collect();
            if objects.is_empty() {
                break;
            }
            if !self.state.guards.hold(Guard::SweepByRecord) {
                for path in &objects {
                    drop(self.store.delete(&Path::from(path.as_str())).await);
                }
                return Ok(());
            }
            if self.append(&Body::Sweep(Sweep { objects })).await? == Won::Theirs {
                return Ok(());
            }
        }
        self.delete_swept().await;
        Ok(())
    }

    /// Deletes the objects of the last sweep; says if none is left. An older
    /// sweep has none left, since its writer looked before it began the next.
    async fn delete_swept(&mut self) -> bool {
        if self.deleted_sweep == self.state.sweep {
            return true;
        }
        for path in &self.state.swept {
            if let Err(error) = self.store.delete(&Path::from(path.as_str())).await {
                tracing::warn!(%path, %error, "could not delete a swept object; trying again later");
                return false;
            }
        }
        self.deleted_sweep = self.state.sweep;
        true
    }
}
