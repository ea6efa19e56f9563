//! What leaves the table by its age, and what may not.

use std::collections::BTreeSet;

use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::TableState;
use crate::hold::Hold;
use crate::log::{DataFile, Expire, ExpireJournal};

/// What retention has let go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expired {
    /// Data files.
    pub files: u64,
    /// Their rows, which [`Counts::rows`] still counts.
    pub rows: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Objects of quarantine.
    pub quarantined: u64,
    /// The last day of which files have expired.
    pub last: Option<Date>,
}

impl Expired {
    pub(super) fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

impl TableState {
    pub(super) fn fold_expire(&mut self, at: Timestamp, expire: Expire) -> Result<(), String> {
        self.check_nothing_open()?;
        if let Some(held) = expire.files.iter().find(|file| self.is_held(file)) {
            return Err(format!("it lets go {}, which a hold keeps", held.path));
        }
        for file in expire.files {
            let date = file.partition.as_ref().map(|partition| partition.date);
            if date.is_none() || date != expire.date {
                return Err(format!("{} is not of the day that expires", file.path));
            }
            self.take_out(at, &file)?;
            let expired = &mut self.totals.expired;
            expired.files += 1;
            expired.rows += file.rows;
            expired.bytes += file.bytes;
            expired.last = expired.last.max(date);
            self.replaced.insert(file.path, at);
        }
        self.totals.expired.quarantined += expire.quarantine.len() as u64;
        self.retired.extend(expire.quarantine);
        if let Some(date) = expire.date {
            self.forget_if_empty(date);
        }
        Ok(())
    }

    pub(super) fn fold_expire_journal(&mut self, expire: ExpireJournal) -> Result<(), String> {
        self.check_nothing_open()?;
        if expire.to <= self.journal_expired || expire.to > self.may_expire_journal_to() {
            let to = expire.to;
            return Err(format!("it lets go the journal to record {to}, which something needs"));
        }
        self.journal_expired = expire.to;
        Ok(())
    }

    /// The last journal record of whose events the table needs none any more.
    ///
    /// It has them as rows up to its position. A rebuild reads all of the journal
    /// again, and a segment has the events of many accounts and days, so that any
    /// hold may be of some of it: then no more may go than has gone.
    pub(crate) fn may_expire_journal_to(&self) -> u64 {
        let is_needed = self.rebuild.is_some() || !self.holds.is_empty();
        if is_needed { self.journal_expired } else { self.position }
    }

    /// Drops what is known of a day that has no files any more.
    pub(super) fn forget_if_empty(&mut self, date: Date) {
        let Some(files) = self.dates.get(&date) else { return };
        let listed = files.manifest.as_ref().map_or(0, |manifest| manifest.files);
        if !files.recent.is_empty() || listed > files.replaced.len() as u64 {
            return;
        }
        let manifest = self.dates.remove(&date).and_then(|files| files.manifest);
        self.retired.extend(manifest.map(|manifest| manifest.object.path));
        let parts = self.indexes.remove(&date).unwrap_or_default();
        self.retired.extend(parts.into_iter().map(|part| part.path));
        self.days.remove(&date);
        self.marks.forget(date);
        let runs = self.keys.remove(&date).unwrap_or_default();
        let used: BTreeSet<&String> = self.keys.values().flatten().map(|run| &run.path).collect();
        let unused = runs.into_iter().map(|run| run.path).filter(|path| !used.contains(path));
        let unused: Vec<String> = unused.collect();
        self.retired.extend(unused);
    }

    pub(super) fn fold_hold(&mut self, hold: Hold) -> Result<(), String> {
        self.check_nothing_open()?;
        if self.holds.contains_key(&hold.case) {
            return Err(format!("case {} has a hold already", hold.case));
        }
        self.holds.insert(hold.case.clone(), hold);
        Ok(())
    }

    pub(super) fn fold_release(&mut self, case: &str) -> Result<(), String> {
        self.check_nothing_open()?;
        let held = self.holds.remove(case);
        held.map(|_| ()).ok_or_else(|| format!("case {case} has no hold"))
    }

    /// Whether a hold keeps a settled file.
    pub(crate) fn is_held(&self, file: &DataFile) -> bool {
        self.holds.values().any(|hold| hold.keeps(file))
    }

    /// The holds there are.
    pub fn holds(&self) -> impl Iterator<Item = &Hold> {
        self.holds.values()
    }
}
