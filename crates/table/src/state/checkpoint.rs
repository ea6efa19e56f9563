//! Checkpoints: the state lies in the store, and lists of files lie beside it.

use std::collections::BTreeMap;

use jiff::civil::Date;

use super::TableState;
use crate::log::{Checkpoint, Manifest};

impl TableState {
    pub(super) fn fold_checkpoint(
        &mut self,
        number: u64,
        checkpoint: Checkpoint,
    ) -> Result<(), String> {
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
}
