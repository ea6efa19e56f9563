//! What one record of the table's log says.
//!
//! Format version 1. Beside the ledger's own members (`version`, `number`,
//! `previous`, `id`, `at`) a record has exactly one member of these:
//!
//! ```json
//! {"pass_intent":{"from":1,"to":12,"trail_version":1,"row_format":1,"partition_rows_min":5000}}
//! ```
//!
//! An intent whose range has segments that are missing or damaged pins what is lost
//! of them; one without has no such member:
//!
//! ```json
//! {"pass_intent":{…,"damaged":[{"record":5,"segment":"journal/segment/….ndjson.zst","missing":true,
//!   "lost":[{"account":"111122223333","agent":"main","spool":"9f…","first":7,"last":9,
//!            "units":3,"row":0}]}]}}
//! ```
//!
//! What has changed since the last pass of what statements of completeness rest on
//! is pinned too; where nothing has, there is no such member:
//!
//! ```json
//! {"pass_intent":{…,"completeness":{
//!   "expected":{"accounts":["111122223333"],"regions":["eu-west-1"]},
//!   "agents":{"111122223333/main":{"speaks_for":{"account":"111122223333"},"sources":"9f…"}},
//!   "complete_to":{"2026-11-20T11:58:00Z":["111122223333/main"]},
//!   "losses":[{"account":"111122223333","from":"…","to":"…","units":3,"kind":"gap"}]}}}
//! ```
//!
//! So are the rules by which duplicates are told, `"duplicates":"all_marked"`; without
//! that member they are the first, by which no earlier rows are named.
//!
//! A release that does not know a member of an intent refuses it.
//!
//! ```json
//! {"pass_commit":{"intent":7,"to":12,
//!   "counts":{"journaled":900,"rows":899,"quarantined":1,"duplicates":0,"unselected":0},
//!   "files":[{"path":"trail/default/fresh/….parquet","rows":899,"bytes":120113,"sha256":"…",
//!             "min_eventtime":"…","max_eventtime":"…"}],
//!   "fresh_partitions":14,"regions":{"111122223333":["eu-west-1"]},
//!   "quarantine":{"path":"trail/default/quarantine/….ndjson.zst","bytes":310,"sha256":"…","lines":1,
//!                 "reasons":{"not_an_event":1}},
//!   "keys":{"path":"trail/default/table/keys/….keys","bytes":14400,"sha256":"…",
//!           "dates":{"2026-11-20":{"from":0,"entries":899,"replaces":1}}}}}
//!
//! {"settle_intent":{"inputs":["trail/default/fresh/….parquet"],"row_format":1,
//!                   "file_rows_max":262144,"reason":"age"}}
//!
//! {"settle_commit":{"intent":9,"rows":899,"files":[…]}}
//!
//! {"settle_commit":{"intent":9,"rows":250000,"files":[],
//!   "files_in":{"path":"trail/default/table/settled/….json.zst","sha256":"…"}}}
//!
//! {"compact_intent":{"inputs":[["trail/default/events/…/….parquet","…"]],"row_format":2,
//!                    "file_rows_max":262144}}
//!
//! {"compact_commit":{"intent":11,"rows":899,"files":[…],"replaced":[…]}}
//!
//! {"checkpoint":{"state":{"path":"trail/default/table/state/….json","sha256":"…"},
//!                "dates":{"2026-11-20":{"path":"…","sha256":"…","files":40,"rows":36000,"bytes":5100000}}}}
//!
//! {"index":{"date":"2026-11-20","part":{"path":"trail/default/index/date=2026-11-20/….parquet",
//!   "bytes":31000,"sha256":"…","entries":4100,"files":40,"to":31,"first":"…","last":"…"},"replaces":[]}}
//!
//! {"arrange":{"date":"2026-11-20","parts":[{…,"range":["…","…"]},…],"replaces":["…"]}}
//!
//! {"day":{"date":"2026-11-20","part":{"file":{…},"files":900,"to":31,"first":"…","last":"…"},
//!   "replaces":[]}}
//!
//! {"expire":{"date":"2025-11-20","retention_days":365,"files":[…]}}
//!
//! {"expire_journal":{"to":4096,"retention_days":400}}
//!
//! {"rebuild":{"begin":{"to":1204}}}
//!
//! {"rebuild":{"read":{"to":310,"file":{…},"regions":{…}}}}
//!
//! {"rebuild":{"end":{"given_up":false}}}
//!
//! {"hold":{"case":"C-17","account":"111122223333","from":"2026-01-01","by":"…","why":"…"}}
//!
//! {"release":{"case":"C-17","by":"…","why":"…"}}
//!
//! {"sweep":{"objects":["trail/default/fresh/….parquet"]}}
//! ```
//!
//! `keys` came with row format 2: the event keys that the pass adds to those of
//! each date, and how many of the date's newest runs these take the place of.
//!
//! Where the rows of a pass use an eventID again that rows of earlier passes have, its
//! commit names these, by journal record and row, and the commit of a settling or of a
//! compaction says which rows have got their mark:
//!
//! ```json
//! {"pass_commit":{…,"reused":[{"account":"111122223333","region":"eu-west-1",
//!   "date":"2026-11-20","rows":[[5,0]]}]}}
//!
//! {"compact_commit":{…,"marked":[{"account":"111122223333","region":"eu-west-1",
//!   "date":"2026-11-20","rows":[[5,0]]}]}}
//! ```
//!
//! While a rebuild is under way, a `compact_intent` of it has one member more,
//! `staged`: the files that take the place of its inputs, made and not yet moved.
//!
//! An intent pins everything its rows depend on. While it is open, only its own
//! commit may follow it, so two are never open. A sweep names objects that no
//! later record may use; they are deleted after it, and before the next sweep.

mod data_file;

use std::collections::{BTreeMap, BTreeSet};

use event::{AccountId, AgentName};
use integrity::{Hash, SpoolId};
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::completeness::Learned;
use crate::day::DayPart;
use crate::duplicates::DuplicateRules;
use crate::hold::{Hold, Release};
use crate::index::IndexPart;
use crate::marks::Marks;
use crate::partition::Regions;
use crate::stretch::Stretch;
pub use data_file::DataFile;

/// The members of a record that are the table's own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Members", into = "Members")]
pub(crate) enum Body {
    /// A pass begins.
    PassIntent(PassIntent),
    /// It has ended.
    PassCommit(PassCommit),
    /// Settling begins.
    SettleIntent(SettleIntent),
    /// It has ended.
    SettleCommit(SettleCommit),
    /// Compaction begins.
    CompactIntent(CompactIntent),
    /// It has ended.
    CompactCommit(CompactCommit),
    /// The folded state lies in the store from here on.
    Checkpoint(Checkpoint),
    /// A part of a day's index is there.
    Index(IndexCommit),
    /// The parts of a day's index are others, arranged by indicator.
    Arrange(Arranged),
    /// A part of a day's copy is there.
    Day(DayCommit),
    /// Files whose time is over leave the table.
    Expire(Expire),
    /// The table needs no segments of the journal's old end any more.
    ExpireJournal(ExpireJournal),
    /// Files are kept whatever their age.
    Hold(Hold),
    /// And no longer.
    Release(Release),
    /// A step of making the table again from the journal.
    Rebuild(RebuildStep),
    /// Objects that are about to be deleted.
    Sweep(Sweep),
}

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
    /// Entries before it in its object.
    pub(crate) from: u64,
    /// Its own.
    pub(crate) entries: u64,
    /// How many of the date's newest runs it takes the place of.
    pub(crate) replaces: usize,
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

/// What settling will do, whoever does it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SettleIntent {
    /// The fresh files whose rows move.
    pub(crate) inputs: Vec<String>,
    /// The version of the rules that made the rows.
    pub(crate) row_format: u32,
    /// A partition's rows beyond so many go to another file.
    pub(crate) file_rows_max: u64,
    /// For people: why now.
    pub(crate) reason: SettleReason,
}

/// Why fresh rows are settled now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SettleReason {
    /// The oldest fresh row has waited long enough.
    Age,
    /// The files it writes are worth writing.
    Worth,
    /// The process ends, or has read all there was to read.
    Drain,
    /// A person asked.
    Asked,
}

/// What settling has done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct SettleCommit {
    /// The record that began it.
    pub(crate) intent: u64,
    /// Rows that moved.
    pub(crate) rows: u64,
    /// The files it wrote,
    pub(crate) files: Vec<DataFile>,
    /// or the object that lists them, where they are very many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) files_in: Option<ObjectRef>,
    /// Rows that have got the mark they waited for.
    #[serde(default, skip_serializing_if = "Marks::is_empty")]
    pub(crate) marked: Marks,
}

/// What compaction will do, whoever does it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CompactIntent {
    /// The files to merge, by partition.
    pub(crate) inputs: Vec<Vec<String>>,
    /// The version of the rules that made the rows.
    pub(crate) row_format: u32,
    /// A partition's rows beyond so many go to another file.
    pub(crate) file_rows_max: u64,
    /// The files that take their place, where a rebuild has made them already.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) staged: Vec<DataFile>,
}

/// What compaction has done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct CompactCommit {
    /// The record that began it.
    pub(crate) intent: u64,
    /// Rows in the old files and in the new ones.
    pub(crate) rows: u64,
    /// The files it wrote.
    pub(crate) files: Vec<DataFile>,
    /// The files that these take the place of.
    pub(crate) replaced: Vec<DataFile>,
    /// Rows that have got the mark they waited for.
    #[serde(default, skip_serializing_if = "Marks::is_empty")]
    pub(crate) marked: Marks,
}

/// Where the folded state lies.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Checkpoint {
    /// The state after this record.
    pub(crate) state: ObjectRef,
    /// The dates whose list of files is another now.
    pub(crate) dates: BTreeMap<Date, Manifest>,
}

/// An object and what its bytes must hash to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ObjectRef {
    /// Its path in the store.
    pub(crate) path: String,
    /// SHA-256 of the whole object.
    pub(crate) sha256: Hash,
}

/// The list of one date's files, as an object, and its sums.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    /// The object.
    #[serde(flatten)]
    pub(crate) object: ObjectRef,
    /// How many files it names.
    pub(crate) files: u64,
    /// Their rows.
    pub(crate) rows: u64,
    /// Their bytes.
    pub(crate) bytes: u64,
    /// What covers all of them; lists of earlier releases do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) stretch: Option<Stretch>,
}

/// A part of a day's copy for the organization at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DayCommit {
    /// The day.
    pub(crate) date: Date,
    /// The part.
    pub(crate) part: DayPart,
    /// Paths of the parts that it takes the place of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) replaces: Vec<String>,
}

/// What retention lets go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Expire {
    /// The day of the files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) date: Option<Date>,
    /// The rule.
    pub(crate) retention_days: u32,
    /// Data files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) files: Vec<DataFile>,
    /// Objects of quarantine.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) quarantine: Vec<String>,
}

/// What the journal's retention may let go: a hold or a rebuild that comes later in
/// the log comes too late for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExpireJournal {
    /// The last journal record of which no events are read any more.
    pub(crate) to: u64,
    /// The rule.
    pub(crate) retention_days: u32,
}

/// A step of making the table again from the journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum RebuildStep {
    /// It begins. Files of earlier intents are to be replaced.
    Begin {
        /// The last journal record whose rows are made again.
        to: u64,
    },
    /// The journal is read up to a record, by the passes' own intents.
    Read {
        /// That record.
        to: u64,
        /// Its rows since the step before, if there are any.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        file: Option<DataFile>,
        /// The regions that accounts have shown since then.
        #[serde(default, skip_serializing_if = "Regions::is_empty")]
        regions: Regions,
    },
    /// It ends.
    End {
        /// Whether a person gave it up.
        given_up: bool,
    },
}

/// A part of a day's index of indicators.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct IndexCommit {
    /// The day.
    pub(crate) date: Date,
    /// The part.
    pub(crate) part: IndexPart,
    /// Paths of the parts that it takes the place of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) replaces: Vec<String>,
}

/// All parts of a day's index, arranged by indicator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Arranged {
    /// The day.
    pub(crate) date: Date,
    /// The parts.
    pub(crate) parts: Vec<IndexPart>,
    /// Paths of those that they take the place of.
    pub(crate) replaces: Vec<String>,
}

/// Objects that no later record may use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sweep {
    /// Their paths.
    pub(crate) objects: BTreeSet<String>,
}

#[derive(Clone, Default, Serialize, Deserialize)]
struct Members {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pass_intent: Option<PassIntent>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pass_commit: Option<PassCommit>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    settle_intent: Option<SettleIntent>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    settle_commit: Option<SettleCommit>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    compact_intent: Option<CompactIntent>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    compact_commit: Option<CompactCommit>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    checkpoint: Option<Checkpoint>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    index: Option<IndexCommit>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    arrange: Option<Arranged>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    day: Option<DayCommit>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expire: Option<Expire>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expire_journal: Option<ExpireJournal>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hold: Option<Hold>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    release: Option<Release>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rebuild: Option<RebuildStep>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sweep: Option<Sweep>,
}

impl From<Body> for Members {
    fn from(body: Body) -> Self {
        let mut members = Self::default();
        match body {
            Body::PassIntent(intent) => members.pass_intent = Some(intent),
            Body::PassCommit(commit) => members.pass_commit = Some(commit),
            Body::SettleIntent(intent) => members.settle_intent = Some(intent),
            Body::SettleCommit(commit) => members.settle_commit = Some(commit),
            Body::CompactIntent(intent) => members.compact_intent = Some(intent),
            Body::CompactCommit(commit) => members.compact_commit = Some(commit),
            Body::Checkpoint(checkpoint) => members.checkpoint = Some(checkpoint),
            Body::Index(index) => members.index = Some(index),
            Body::Arrange(arranged) => members.arrange = Some(arranged),
            Body::Day(day) => members.day = Some(day),
            Body::Expire(expire) => members.expire = Some(expire),
            Body::ExpireJournal(expire) => members.expire_journal = Some(expire),
            Body::Hold(hold) => members.hold = Some(hold),
            Body::Release(release) => members.release = Some(release),
            Body::Rebuild(step) => members.rebuild = Some(step),
            Body::Sweep(sweep) => members.sweep = Some(sweep),
        }
        members
    }
}

impl TryFrom<Members> for Body {
    type Error = &'static str;

    fn try_from(members: Members) -> Result<Self, Self::Error> {
        let Members {
            pass_intent,
            pass_commit,
            settle_intent,
            settle_commit,
            compact_intent,
            compact_commit,
            checkpoint,
            index,
            arrange,
            day,
            expire,
            expire_journal,
            hold,
            release,
            rebuild,
            sweep,
        } = members;
        let mut bodies = [
            pass_intent.map(Self::PassIntent),
            pass_commit.map(Self::PassCommit),
            settle_intent.map(Self::SettleIntent),
            settle_commit.map(Self::SettleCommit),
            compact_intent.map(Self::CompactIntent),
            compact_commit.map(Self::CompactCommit),
            checkpoint.map(Self::Checkpoint),
            index.map(Self::Index),
            arrange.map(Self::Arrange),
            day.map(Self::Day),
            expire.map(Self::Expire),
            expire_journal.map(Self::ExpireJournal),
            hold.map(Self::Hold),
            release.map(Self::Release),
            rebuild.map(Self::Rebuild),
            sweep.map(Self::Sweep),
        ]
        .into_iter()
        .flatten();
        match (bodies.next(), bodies.next()) {
            (Some(body), None) => Ok(body),
            _ => Err("a table record says exactly one thing that this release knows"),
        }
    }
}
