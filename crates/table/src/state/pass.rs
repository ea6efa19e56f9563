//! Passes: rows come to the table.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::{FreshFile, Open, TableState, Work};
use crate::log::{KeysAdded, PassCommit, PassIntent};

impl TableState {
    pub(super) fn begin_pass(
        &mut self,
        number: u64,
        at: Timestamp,
        intent: PassIntent,
    ) -> Result<(), String> {
        self.check_nothing_open()?;
        if intent.from != self.position + 1 || intent.to < intent.from {
            return Err(format!("a pass over {} to {}", intent.from, intent.to));
        }
        self.open = Some(Open { number, at, work: Work::Pass(intent) });
        Ok(())
    }

    pub(super) fn commit_pass(&mut self, at: Timestamp, commit: PassCommit) -> Result<(), String> {
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
            if run.accounts > run.from {
                return Err(format!("the index of its keys of {date} begins before its object"));
            }
            runs.push(run.run_in(&added.path));
        }
        if !replaced.is_empty() {
            for run in self.keys.values().flatten() {
                replaced.remove(&run.path);
            }
            self.retired.extend(replaced);
        }
        Ok(())
    }
}
