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
//! So are the rules by which duplicates are told and their keys are sorted,
//! `"duplicates":"keys_by_account"` (an earlier release's: `"all_marked"`); without that member
//! they are the first, by which no earlier rows are named.
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
//!   "keys":{"path":"trail/default/table/keys/….keys","bytes":14416,"sha256":"…",
//!           "dates":{"2026-11-20":{"from":1,"entries":899,"accounts":1,"replaces":1}}}}}
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

mod checkpoint;
mod data_file;
mod derived;
mod merged;
mod pass;
mod rebuild;
mod retention;

use serde::{Deserialize, Serialize};

use crate::hold::{Hold, Release};
pub(crate) use checkpoint::{Checkpoint, Manifest, ObjectRef};
pub use data_file::DataFile;
pub(crate) use derived::{Arranged, DayCommit, IndexCommit};
pub use merged::SettleReason;
pub(crate) use merged::{CompactCommit, CompactIntent, SettleCommit, SettleIntent};
pub use pass::{Counts, DamagedSegment, LostBatch, QuarantineFile};
pub(crate) use pass::{KeysAdded, PassCommit, PassIntent, RunAdded};
pub(crate) use rebuild::RebuildStep;
pub(crate) use retention::{Expire, ExpireJournal, Sweep};

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
