//! Sums over a table's records.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Expired, is_zero};
use crate::log::{Counts, DamagedSegment};

/// Sums over all passes, and of the files that are there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// What became of every unit up to the table's position.
    pub counts: Counts,
    /// Units in quarantine, by reason.
    pub reasons: BTreeMap<String, u64>,
    /// Data files, fresh ones included.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Passes committed.
    pub passes: u64,
    /// Settlings committed.
    pub settlings: u64,
    /// Compactions committed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub compactions: u64,
    /// Rebuilds that have come to their end.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub rebuilds: u64,
    /// What was lost with segments of the journal.
    #[serde(default, skip_serializing_if = "Damage::is_none")]
    pub damage: Damage,
    /// What retention has let go.
    #[serde(default, skip_serializing_if = "Expired::is_none")]
    pub expired: Expired,
}

/// What was lost with segments of the journal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Damage {
    /// How many segments.
    pub segments: u64,
    /// How many units; they are in quarantine.
    pub units: u64,
    /// The first of the segments, in the order of their records.
    pub first: Vec<DamagedSegment>,
}

impl Damage {
    /// Damaged segments that the state names; later ones are only counted, and
    /// named by the intents of their passes.
    pub const NAMED_MAX: usize = 100;

    fn is_none(&self) -> bool {
        self.segments == 0
    }

    pub(super) fn add(&mut self, damaged: DamagedSegment) {
        self.segments += 1;
        self.units += damaged.lost.iter().map(|batch| batch.units).sum::<u64>();
        if self.first.len() < Self::NAMED_MAX {
            self.first.push(damaged);
        }
    }
}
