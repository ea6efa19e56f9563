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
//! `derived` folds what is made of settled files, `retention` what lets them go,
//! `rebuild` what makes them again, `totals` counts; passes, settling, compaction and
//! the rest are here.

mod derived;
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
use crate::layout::{Layout, Place};
use crate::log::{
    Arranged, Body, Checkpoint, CompactCommit, CompactIntent, DataFile, IndexCommit, KeysAdded,
    Manifest, PassCommit, PassIntent, RunAdded, SettleCommit, SettleIntent, Sweep,
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

    fn begin_pass(&mut self, number: u64, at: Timestamp, intent: PassIntent) -> Result<(), String> {
        self.check_nothing_open()?;
        if intent.from != self.position + 1 || intent.to < intent.from {
            return Err(format!("a pass over {} to {}", intent.from, intent.to));
        }
        self.open = Some(Open { number, at, work: Work::Pass(intent) });
        Ok(())
    }

    fn commit_pass(&mut self, at: Timestamp, commit: PassCommit) -> Result<(), String> {
        let Some(Open { work: Work::Pass(intent), number, .. }) = self.open.take() else {
            return Err("it commits a pass that is not open".into());
        };
        if commit.intent != number || commit.to != intent.to {
            return Err(format!("it commits intent {}, {number} is open", commit.intent));
        }
        let rows: u64 = commit.files.iter().map(|file| file.rows).sum();
        if !commit.counts.close() || rows != commit.counts.rows {
            return Err("its counts do not close".into());
        }
        for file in commit.files {
            self.totals.files += 1;
            self.totals.bytes += file.bytes;
            match &file.partition {
                None => self.fresh.push(FreshFile {
                    file,
                    committed_at: at,
                    partitions: commit.fresh_partitions,
                }),
                Some(partition) => {
                    self.dates.entry(partition.date).or_default().recent.push(file);
                }
            }
        }
        for (reason, units) in commit.quarantine.into_iter().flat_map(|file| file.reasons) {
            *self.totals.reasons.entry(reason).or_default() += units;
        }
        if let Some(keys) = &commit.keys {
            self.add_keys(keys)?;
        }
        self.marks.absorb(commit.reused);
        self.totals.counts.add(&commit.counts);
        intent.damaged.into_iter().for_each(|damaged| self.totals.damage.add(damaged));
        self.completeness.absorb(intent.completeness)?;
        self.totals.passes += 1;
        self.regions.absorb(&commit.regions);
        self.position = commit.to;
        Ok(())
    }

    fn add_keys(&mut self, added: &KeysAdded) -> Result<(), String> {
        let mut replaced = BTreeSet::new();
        for (date, run) in &added.dates {
            let runs = self.keys.entry(*date).or_default();
            let Some(kept) = runs.len().checked_sub(run.replaces) else {
                return Err(format!("it replaces {} runs of keys of {date}", run.replaces));
            };
            replaced.extend(runs.drain(kept..).map(|run| run.path));
            let RunAdded { from, entries, replaces: _ } = *run;
            runs.push(KeyRun { path: added.path.clone(), from, entries });
        }
        if !replaced.is_empty() {
            for run in self.keys.values().flatten() {
                replaced.remove(&run.path);
            }
            self.retired.extend(replaced);
        }
        Ok(())
    }

    fn begin_settling(
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

    fn commit_settling(&mut self, commit: SettleCommit) -> Result<(), String> {
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
        for file in commit.files {
            let Some(date) = file.partition.as_ref().map(|partition| partition.date) else {
                return Err(format!("{} is not settled", file.path));
            };
            self.totals.files += 1;
            self.totals.bytes += file.bytes;
            self.dates.entry(date).or_default().recent.push(file);
        }
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

    fn begin_compaction(
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

    fn commit_compaction(&mut self, at: Timestamp, commit: CompactCommit) -> Result<(), String> {
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
        for file in commit.files {
            let Some(date) = file.partition.as_ref().map(|partition| partition.date) else {
                return Err(format!("{} is not settled", file.path));
            };
            self.totals.files += 1;
            self.totals.bytes += file.bytes;
            self.dates.entry(date).or_default().recent.push(file);
        }
        match &mut self.rebuild {
            Some(rebuild) if !intent.staged.is_empty() => rebuild.replaced += commit.rows,
            _ => self.totals.compactions += 1,
        }
        self.end_marks(&commit.marked)
    }

    fn fold_checkpoint(&mut self, number: u64, checkpoint: Checkpoint) -> Result<(), String> {
        self.check_nothing_open()?;
        self.apply_manifests(&checkpoint.dates)?;
        let (_, hash) = self.canonical();
        if hash != checkpoint.state.sha256 {
            return Err(format!("the state before it hashes to {hash}"));
        }
        self.end_checkpoint(number, &checkpoint);
        Ok(())
    }

    /// Replaces the lists of files that a checkpoint names.
    pub(crate) fn apply_manifests(
        &mut self,
        manifests: &BTreeMap<Date, Manifest>,
    ) -> Result<(), String> {
        for (date, files) in &mut self.dates {
            match manifests.get(date) {
                None if files.recent.is_empty() && files.replaced.is_empty() => {}
                None => return Err(format!("it forgets files of {date}")),
                Some(manifest) => {
                    let before = files.manifest.as_ref().map_or(0, |manifest| manifest.files);
                    let with_recent = before + files.recent.len() as u64;
                    if manifest.files + files.replaced.len() as u64 != with_recent {
                        return Err(format!("it lists {} files of {date}", manifest.files));
                    }
                    files.recent.clear();
                    files.replaced.clear();
                    if let Some(old) = files.manifest.replace(manifest.clone()) {
                        self.retired.insert(old.object.path);
                    }
                }
            }
        }
        Ok(())
    }

    /// What changes only after the checkpoint's own hash was taken.
    pub(crate) fn end_checkpoint(&mut self, number: u64, checkpoint: &Checkpoint) {
        self.checkpoint = number;
        self.states.push(checkpoint.state.path.clone());
        if self.states.len() > 2 {
            self.retired.insert(self.states.remove(0));
        }
    }

    /// Sets the head of a state that was loaded instead of folded.
    pub(crate) fn set_head(&mut self, head: Head) {
        self.head = head.number;
        self.head_sha256 = head.hash;
    }

    /// Takes a settled file out of its date, and with it the copy that holds its rows.
    fn take_out(&mut self, at: Timestamp, file: &DataFile) -> Result<(), String> {
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

fn is_zero(number: &u64) -> bool {
    *number == 0
}
