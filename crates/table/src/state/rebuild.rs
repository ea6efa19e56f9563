//! How far a rebuild has come.

use jiff::Timestamp;
use object_store::path::Path;
use serde::{Deserialize, Serialize};

use super::TableState;
use crate::layout::{Layout, Place};
use crate::log::{CompactIntent, DataFile, RebuildStep};
use crate::partition::Regions;

/// A rebuild that is under way, or that waits to be gone on with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rebuild {
    /// The record that began it: files of earlier intents are to be replaced.
    pub number: u64,
    /// When that was, by its writer's clock.
    pub at: Timestamp,
    /// The last journal record whose rows are made again.
    pub to: u64,
    /// The journal record up to which that is done.
    pub read: u64,
    /// The rows that were made, in the order of the journal.
    pub(crate) rows: Vec<DataFile>,
    /// The regions that accounts had shown there.
    pub(crate) regions: Regions,
    /// Rows of the partitions that are replaced.
    pub replaced: u64,
}

impl Rebuild {
    /// Whether a settled file is one to be replaced.
    pub(crate) fn is_old(&self, path: &str) -> bool {
        Layout::intent_of(&Path::from(path)).is_some_and(|intent| intent < self.number)
    }
}

impl TableState {
    pub(super) fn fold_rebuild(
        &mut self,
        number: u64,
        at: Timestamp,
        step: RebuildStep,
    ) -> Result<(), String> {
        self.check_nothing_open()?;
        match (step, &mut self.rebuild) {
            (RebuildStep::Begin { to }, None) => {
                if to != self.position || !self.fresh.is_empty() {
                    return Err("a rebuild begins where all rows are settled".into());
                }
                let (rows, regions) = (Vec::new(), Regions::default());
                self.rebuild =
                    Some(Rebuild { number, at, to, read: 0, rows, regions, replaced: 0 });
            }
            (RebuildStep::Read { to, file, regions }, Some(rebuild)) => {
                let is_rows = |file: &DataFile| Layout::place(&file.path) == Some(Place::Rebuilt);
                if to <= rebuild.read || to > rebuild.to || !file.iter().all(is_rows) {
                    return Err(format!("a rebuild has read to {to}"));
                }
                rebuild.read = to;
                rebuild.rows.extend(file);
                rebuild.regions.absorb(&regions);
            }
            (RebuildStep::End { given_up }, Some(_)) => {
                self.rebuild = None;
                self.totals.rebuilds += u64::from(!given_up);
            }
            (RebuildStep::Begin { .. }, Some(rebuild)) => {
                return Err(format!("rebuild {} is under way", rebuild.number));
            }
            (RebuildStep::Read { .. } | RebuildStep::End { .. }, None) => {
                return Err("no rebuild is under way".into());
            }
        }
        Ok(())
    }

    /// A rebuild replaces what was there when it began, and nothing else does: rows
    /// of before and after would otherwise come into one file.
    pub(super) fn check_rebuild(&self, intent: &CompactIntent) -> Result<(), String> {
        let mut inputs = intent.inputs.iter().flatten();
        let is_rebuild = !intent.staged.is_empty();
        let staged = |file: &DataFile| matches!(Layout::place(&file.path), Some(Place::Staged(_)));
        match &self.rebuild {
            None if is_rebuild => Err("no rebuild is under way".into()),
            Some(rebuild) if inputs.any(|path| rebuild.is_old(path) != is_rebuild) => {
                Err("it merges files of before and after a rebuild began".into())
            }
            _ if intent.staged.iter().all(staged) => Ok(()),
            _ => Err("it moves files that no rebuild has made".into()),
        }
    }
}
