//! What passes write in the log.

use std::collections::BTreeMap;

use event::{AccountId, AgentName};
use integrity::{Hash, SpoolId};
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::DataFile;
use crate::completeness::Learned;
use crate::duplicates::DuplicateRules;
use crate::marks::Marks;
use crate::partition::Regions;
use crate::state::{KeyRun, is_zero};

/// What a pass will do, whoever does it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PassIntent {
    /// The first journal record it reads.
    pub(crate) from: u64,
    /// The last one.
    pub(crate) to: u64,
    /// The version of the trail's definition.
    pub(crate) trail_version: u64,
    /// The version of the rules that make rows of events.
    pub(crate) row_format: u32,
    /// Partitions with at least so many rows get their own file.
    pub(crate) partition_rows_min: u64,
    /// Segments that could not be read whole when it was made. What is lost of
    /// them is in quarantine, also if the bytes have come back since.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) damaged: Vec<DamagedSegment>,
    /// What has changed of what statements of completeness rest on.
    #[serde(default, skip_serializing_if = "Learned::is_empty")]
    pub(crate) completeness: Learned,
    /// By which rules duplicates are told.
    #[serde(default, skip_serializing_if = "DuplicateRules::are_first")]
    pub(crate) duplicates: DuplicateRules,
}

/// A segment of the journal of which some or all is lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DamagedSegment {
    /// The journal record that names it.
    pub record: u64,
    /// The object.
    pub segment: String,
    /// It is not there at all.
    pub missing: bool,
    /// The journal's retention had let it go before its pass: of a table that is made
    /// anew, or was put back from an older copy.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub expired: bool,
    /// The batches that nobody can read.
    pub lost: Vec<LostBatch>,
}

impl DamagedSegment {
    /// The reason under which its units are in quarantine.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match (self.expired, self.missing) {
            (true, _) => "segment_expired",
            (false, true) => "segment_missing",
            (false, false) => "segment_damaged",
        }
    }
}

/// Lines of one stream that are lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LostBatch {
    /// The account of the agent that delivered them.
    pub account: AccountId,
    /// Its name.
    pub agent: AgentName,
    /// The spool they came through.
    pub spool: SpoolId,
    /// The first sequence.
    pub first: u64,
    /// The last one.
    pub last: u64,
    /// How many units they are.
    pub units: u64,
    /// The place of the first among the record's lines.
    pub row: u64,
}

/// What a pass has done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct PassCommit {
    /// The record that began it.
    pub(crate) intent: u64,
    /// The journal record that the table has reached with it.
    pub(crate) to: u64,
    /// What became of every unit.
    pub(crate) counts: Counts,
    /// The files it wrote.
    pub(crate) files: Vec<DataFile>,
    /// How many partitions its fresh rows belong to.
    pub(crate) fresh_partitions: u64,
    /// The regions that accounts have shown for the first time.
    #[serde(default)]
    pub(crate) regions: Regions,
    /// What it could not read as events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) quarantine: Option<QuarantineFile>,
    /// The keys of its events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) keys: Option<KeysAdded>,
    /// Rows of earlier passes whose eventID its rows have used again.
    #[serde(default, skip_serializing_if = "Marks::is_empty")]
    pub(crate) reused: Marks,
}

/// One object of event keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeysAdded {
    /// Its path in the store.
    pub(crate) path: String,
    /// Its size.
    pub(crate) bytes: u64,
    /// SHA-256 of the whole object.
    pub(crate) sha256: Hash,
    /// Where in it each date's run lies.
    pub(crate) dates: BTreeMap<Date, RunAdded>,
}

/// One date's new run of event keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RunAdded {
    /// Slots of an entry's size before it in its object: its index, and earlier runs.
    pub(crate) from: u64,
    /// Its entries.
    pub(crate) entries: u64,
    /// The accounts in its index; none if it is sorted by key alone.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) accounts: u64,
    /// How many of the date's newest runs it takes the place of.
    pub(crate) replaces: usize,
}

impl RunAdded {
    /// The run, in the object at `path`.
    pub(crate) fn run_in(&self, path: &str) -> KeyRun {
        let Self { from, entries, accounts, replaces: _ } = *self;
        KeyRun { path: path.to_owned(), from, entries, accounts }
    }
}

/// What became of the units of a range of the journal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Units in the journal.
    pub journaled: u64,
    /// Rows in data files.
    pub rows: u64,
    /// Units in quarantine.
    pub quarantined: u64,
    /// Units left out because another row holds the same event.
    pub duplicates: u64,
    /// Units that the trail's selectors left out.
    pub unselected: u64,
}

impl Counts {
    /// Whether every unit is accounted for, and none twice.
    #[must_use]
    pub fn close(&self) -> bool {
        self.journaled == self.accounted()
    }

    /// All units whose whereabouts are known.
    #[must_use]
    pub fn accounted(&self) -> u64 {
        self.rows + self.quarantined + self.duplicates + self.unselected
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.journaled += other.journaled;
        self.rows += other.rows;
        self.quarantined += other.quarantined;
        self.duplicates += other.duplicates;
        self.unselected += other.unselected;
    }
}

/// One object of lines that are no events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuarantineFile {
    /// Its path in the store.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// SHA-256 of the whole object.
    pub sha256: Hash,
    /// Its lines; more than units where one travelled in parts.
    pub lines: u64,
    /// Units by reason.
    pub reasons: BTreeMap<String, u64>,
}
