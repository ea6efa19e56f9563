//! The folded state of the table: check a record against it, apply it.
//!
//! Nothing here reads or writes. Two processes with the same records have the
//! same state, to the byte of its canonical form, which is the JSON of
//! [`TableState`]: members in the order written here, maps in the order of
//! their keys.
//!
//! The state never holds the list of all files. It holds, by date, the files
//! that were committed since the last checkpoint, and names the object that
//! lists the earlier ones.
//!
//! One file for each kind of record: `pass` folds how rows come, `merged` how they move
//! to other files, `derived` what is made of these, `retention` what lets them go,
//! `rebuild` what makes them again, `checkpoint` where the state lies; `totals` counts.

mod checkpoint;
mod derived;
mod merged;
mod pass;
mod rebuild;
mod retention;
mod totals;

use std::collections::{BTreeMap, BTreeSet};

use integrity::{Hash, sha256};
use jiff::Timestamp;
use jiff::civil::Date;
use ledger::Head;
use seam::{Guard, Guards};
use serde::{Deserialize, Serialize};

use crate::completeness::Completeness;
use crate::day::DayPart;
use crate::hold::Hold;
use crate::index::IndexPart;
use crate::log::{
    Arranged, Body, CompactIntent, DataFile, IndexCommit, Manifest, PassIntent, SettleIntent, Sweep,
};
use crate::marks::Marks;
use crate::partition::Regions;
pub use rebuild::Rebuild;
pub use retention::Expired;
pub use totals::{Damage, Totals};

/// Everything that the table's records up to `head` say.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TableState {
    format: u32,
    /// The last record folded.
    pub head: u64,
    head_sha256: Hash,
    /// The journal record that the table has reached.
    pub position: u64,
    /// Sums over all passes, and of the files that are there.
    pub totals: Totals,
    /// What has begun and is not committed.
    pub open: Option<Open>,
    /// Files whose rows are not settled, oldest first.
    pub fresh: Vec<FreshFile>,
    /// The regions that accounts have shown.
    pub regions: Regions,
    /// The settled files, by date.
    pub(crate) dates: BTreeMap<Date, DateFiles>,
    /// Objects that nothing names any more and that no sweep has named yet.
    pub(crate) retired: BTreeSet<String>,
    /// Objects of the last sweep: deleted, or about to be.
    pub(crate) swept: BTreeSet<String>,
    /// The last sweep.
    pub(crate) sweep: u64,
    /// The last checkpoint.
    pub(crate) checkpoint: u64,
    /// Its state object, and the one before.
    pub(crate) states: Vec<String>,
    /// The keys of the events that are rows, by date; runs from old to new.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) keys: BTreeMap<Date, Vec<KeyRun>>,
    /// Settled files that others took the place of, and when, by its writer's
    /// clock: not in the table any more, and not to be deleted at once.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) replaced: BTreeMap<String, Timestamp>,
    /// The indexes of days that are over.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) indexes: BTreeMap<Date, Vec<IndexPart>>,
    /// Copies of days that are over, for the organization at once.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) days: BTreeMap<Date, Vec<DayPart>>,
    /// What is kept whatever its age, by case.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) holds: BTreeMap<String, Hold>,
    /// The rebuild that is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rebuild: Option<Rebuild>,
    /// What statements of completeness rest on.
    #[serde(default, skip_serializing_if = "Completeness::is_empty")]
    pub completeness: Completeness,
    /// The last journal record of which no events are read any more, since the
    /// journal's retention may let them go.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub journal_expired: u64,
    /// Rows in files that wait for their mark.
    #[serde(default, skip_serializing_if = "Marks::is_empty")]
    pub(crate) marks: Marks,
    #[serde(skip)]
    pub(crate) guards: Guards,
}

/// A sorted run of event keys in an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeyRun {
    /// The object.
    pub(crate) path: String,
    /// Entries before the run.
    pub(crate) from: u64,
    /// Its own.
    pub(crate) entries: u64,
    /// The accounts in the index before it; none of a run that is sorted by key alone.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) accounts: u64,
}

/// An intent without its commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Open {
    /// Its record.
    pub number: u64,
    /// When it was made, by its writer's clock.
    pub at: Timestamp,
    pub(crate) work: Work,
}

/// What an open intent wants done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Work {
    /// A pass.
    Pass(PassIntent),
    /// Settling.
    Settle(SettleIntent),
    /// Compaction.
    Compact(CompactIntent),
}

/// A file whose rows wait to be settled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FreshFile {
    /// The file.
    pub file: DataFile,
    /// When it was committed, by its writer's clock.
    pub committed_at: Timestamp,
    /// How many partitions its rows belong to.
    pub partitions: u64,
}

/// The settled files of one date.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DateFiles {
    /// Those up to the last checkpoint.
    pub(crate) manifest: Option<Manifest>,
    /// Those committed since.
    pub(crate) recent: Vec<DataFile>,
    /// Those of the manifest that others have taken the place of since.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) replaced: BTreeSet<String>,
}

impl DateFiles {
    /// How many there are.
    pub(crate) fn count(&self) -> u64 {
        let listed = self.manifest.as_ref().map_or(0, |manifest| manifest.files);
        (listed + self.recent.len() as u64).saturating_sub(self.replaced.len() as u64)
    }
}

impl Default for TableState {
    fn default() -> Self {
        Self::new()
    }
}

impl TableState {
    /// The version of the canonical form.
    const FORMAT: u32 = 1;

    /// Its version once the journal may have let go events: a release that does not
    /// know this must not begin behind the record that says so.
    const FORMAT_JOURNAL_EXPIRED: u32 = 2;

    /// Its version while rows wait for their mark: a release that does not know of them
    /// must not begin there either.
    const FORMAT_MARKS: u32 = 3;

    /// Its version with keys that are sorted by account: a release that looks for them as
    /// it knows would not find them.
    const FORMAT_KEYS_BY_ACCOUNT: u32 = 4;

    /// The state before record 1.
    #[must_use]
    pub fn new() -> Self {
        Self {
            format: Self::FORMAT,
            head: Head::EMPTY.number,
            head_sha256: Head::EMPTY.hash,
            position: 0,
            totals: Totals::default(),
            open: None,
            fresh: Vec::new(),
            regions: Regions::default(),
            dates: BTreeMap::new(),
            retired: BTreeSet::new(),
            swept: BTreeSet::new(),
            sweep: 0,
            checkpoint: 0,
            states: Vec::new(),
            keys: BTreeMap::new(),
            replaced: BTreeMap::new(),
            indexes: BTreeMap::new(),
            days: BTreeMap::new(),
            holds: BTreeMap::new(),
            rebuild: None,
            completeness: Completeness::default(),
            journal_expired: 0,
            marks: Marks::default(),
            guards: Guards::default(),
        }
    }

    /// Rows that are not settled.
    #[must_use]
    pub fn fresh_rows(&self) -> u64 {
        self.fresh.iter().map(|fresh| fresh.file.rows).sum()
    }

    /// The last record folded, for the ledger.
    pub(crate) fn ledger_head(&self) -> Head {
        Head { number: self.head, hash: self.head_sha256 }
    }

    /// Whether this release knows the form that the state was written in.
    pub(crate) fn is_known_format(&self) -> bool {
        self.format == self.own_format()
    }

    fn own_format(&self) -> u32 {
        if self.keys.values().flatten().any(|run| run.accounts > 0) {
            return Self::FORMAT_KEYS_BY_ACCOUNT;
        }
        match (self.marks.is_empty(), self.journal_expired) {
            (false, _) => Self::FORMAT_MARKS,
            (true, 0) => Self::FORMAT,
            (true, _) => Self::FORMAT_JOURNAL_EXPIRED,
        }
    }

    /// The canonical form and its hash.
    pub(crate) fn canonical(&self) -> (Vec<u8>, Hash) {
        let bytes = serde_json::to_vec(self).expect("a state is representable in JSON");
        let hash = sha256(&bytes);
        (bytes, hash)
    }

    /// Files committed or replaced since the last checkpoint.
    pub(crate) fn recent_files(&self) -> usize {
        self.dates.values().map(|date| date.recent.len() + date.replaced.len()).sum()
    }

    /// Whether a settled file was replaced and may still be read, or is about to
    /// be deleted.
    pub(crate) fn is_replaced(&self, path: &str) -> bool {
        self.replaced.contains_key(path) || self.swept.contains(path)
    }

    /// Objects that nothing names any more and that nobody need read: a sweep may
    /// name them. Replaced files stay until `kept_since`.
    pub(crate) fn sweepable(&self, kept_since: Timestamp) -> impl Iterator<Item = &String> {
        let old = self.replaced.iter().filter(move |(_, at)| **at <= kept_since);
        self.retired.iter().chain(old.map(|(path, _)| path))
    }

    /// Whether the log still needs this object.
    pub(crate) fn has_fresh(&self, path: &str) -> bool {
        self.fresh.iter().any(|fresh| fresh.file.path == path) || self.retired.contains(path)
    }

    /// Applies the record after `head`, after checking it.
    ///
    /// # Errors
    /// What it says that cannot be; the state is of no use then.
    pub(crate) fn fold(&mut self, head: Head, at: Timestamp, body: Body) -> Result<(), String> {
        debug_assert_eq!(head.number, self.head + 1, "records are folded in their order");
        match body {
            Body::PassIntent(intent) => self.begin_pass(head.number, at, intent)?,
            Body::PassCommit(commit) => self.commit_pass(at, commit)?,
            Body::SettleIntent(intent) => self.begin_settling(head.number, at, intent)?,
            Body::SettleCommit(commit) => self.commit_settling(commit)?,
            Body::CompactIntent(intent) => self.begin_compaction(head.number, at, intent)?,
            Body::CompactCommit(commit) => self.commit_compaction(at, commit)?,
            Body::Checkpoint(checkpoint) => self.fold_checkpoint(head.number, checkpoint)?,
            Body::Index(IndexCommit { date, part, replaces }) => {
                self.fold_index(date, vec![part], replaces)?;
            }
            Body::Arrange(Arranged { date, parts, replaces }) => {
                self.fold_index(date, parts, replaces)?;
            }
            Body::Day(day) => self.fold_day(at, day)?,
            Body::Expire(expire) => self.fold_expire(at, expire)?,
            Body::ExpireJournal(expire) => self.fold_expire_journal(expire)?,
            Body::Hold(hold) => self.fold_hold(hold)?,
            Body::Release(release) => self.fold_release(&release.case)?,
            Body::Rebuild(step) => self.fold_rebuild(head.number, at, step)?,
            Body::Sweep(sweep) => self.fold_sweep(head.number, sweep)?,
        }
        self.format = self.own_format();
        self.head = head.number;
        self.head_sha256 = head.hash;
        Ok(())
    }

    /// Sets the head of a state that was loaded instead of folded.
    pub(crate) fn set_head(&mut self, head: Head) {
        self.head = head.number;
        self.head_sha256 = head.hash;
    }

    /// Whether an object is about to be deleted, by the last sweep or the next.
    pub(crate) fn is_unused(&self, path: &str) -> bool {
        self.retired.contains(path) || self.is_replaced(path)
    }

    fn fold_sweep(&mut self, number: u64, sweep: Sweep) -> Result<(), String> {
        self.check_nothing_open()?;
        let is_unused =
            |path: &String| self.retired.contains(path) || self.replaced.contains_key(path);
        if !sweep.objects.iter().all(is_unused) {
            return Err("it deletes objects that are in use".into());
        }
        self.retired.retain(|path| !sweep.objects.contains(path));
        self.replaced.retain(|path, _| !sweep.objects.contains(path));
        self.swept = sweep.objects;
        self.sweep = number;
        Ok(())
    }

    fn check_nothing_open(&self) -> Result<(), String> {
        match &self.open {
            Some(_) if !self.guards.hold(Guard::OneOpenIntent) => Ok(()),
            None => Ok(()),
            Some(open) => Err(format!("intent {} is open", open.number)),
        }
    }
}

pub(crate) fn is_zero(number: &u64) -> bool {
    *number == 0
}
