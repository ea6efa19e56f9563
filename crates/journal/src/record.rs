//! What one commit record says.
//!
//! Format version 1. Beside the ledger's own members (`version`, `number`,
//! `previous`, `id`, `at`) a record has those members of [`Body`] that it needs:
//!
//! ```json
//! {"open":{"account":"111122223333","agent":"main","spool":"9f…","replaces":null,
//!          "opened_by":"host-a","certificate":{"fingerprint":"…","speaks_for":{"account":"111122223333"}}}}
//!
//! {"sweep":{"before":8192,"searched":8192,"objects":["journal/segment/2026/11/20/1f0a-….ndjson.zst"]}}
//!
//! {"expire":{"retention_days":400,"from":1,"to":4096,"committed_at":"…",
//!            "segments":[[2,600,598,59012,"Zm9v…"],[5,1,1,240,null]]}}
//!
//! {"deleted":4096}
//!
//! {"segment":{"path":"journal/segment/2026/11/20/1fff-….ndjson.zst","bytes":59012,"sha256":"…",
//!             "frames":[[59012,951204,600]]},
//!  "batches":[[17,1041,1042,"Zm9v…"]],
//!  "cursors":{"17":{"trail":{"AbCdEfGhIjk":182931}}},
//!  "progress":{"17":{"head":1042,"heard_at":"…","sources":{"trail":{"caught_up_at":"…"}}}}}
//! ```
//!
//! A stream is named by the number of the record that opened it, and a batch is
//! an array, because 300 quiet agents would otherwise fill the journal with
//! their own names. So is a segment that expires.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use event::{AccountId, AgentName};
use identity::SpeaksFor;
use integrity::{Hash, SpoolId};
use jiff::Timestamp;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::progress::Progress;

/// The members of a record that are the journal's own.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Body {
    /// SHA-256 of the folded state before this record; on every 1,024th.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_sha256: Option<Hash>,
    /// Makes a spool the active one of its agent. A record opens one at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open: Option<Open>,
    /// Streams whose sessions now show another certificate than before.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub certificates: BTreeMap<u64, Certificate>,
    /// The events of this record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segment: Option<SegmentRef>,
    /// The batches that the segment holds, in the order of its lines.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub batches: Vec<BatchEntry>,
    /// Changed cursors: stream, source, members to replace (null removes one).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub cursors: BTreeMap<u64, BTreeMap<String, Map<String, Value>>>,
    /// What agents last said of themselves, by stream.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub progress: BTreeMap<u64, Progress>,
    /// Sequences that nobody can supply any more; ends their stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gap: Option<Gap>,
    /// Segments that are about to be deleted, since no record names them. Such a
    /// record has version 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sweep: Option<Sweep>,
    /// Segments whose time is over. Such a record says nothing else and has version 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expire: Option<Expire>,
    /// The segments of records up to this one have expired and are deleted. Such a
    /// record says nothing else and has version 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted: Option<u64>,
}

/// Lets go segments by retention, from the journal's old end on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expire {
    /// The rule.
    pub retention_days: u32,
    /// The first record whose segment expires: the one after all that have expired.
    pub from: u64,
    /// The last one.
    pub to: u64,
    /// When the last one was made, by its writer's clock.
    pub committed_at: Timestamp,
    /// The segments of these records, in their order.
    pub segments: Vec<ExpiredSegment>,
}

/// What is kept of a segment that expires: `[record, lines, units, bytes, root]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExpiredSegment {
    /// The record that names it.
    pub record: u64,
    /// Its lines.
    pub lines: u64,
    /// The units that they are.
    pub units: u64,
    /// Its size in bytes.
    pub bytes: u64,
    /// The root of the tree over its lines' leaves, in their order; none if the segment
    /// was missing or damaged already.
    pub root: Option<Hash>,
}

/// Makes names of segments unusable, so that they can be deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sweep {
    /// A segment whose writer had not read up to this record can be named by no
    /// later record; its writer uploads again under a fresh name.
    pub before: u64,
    /// Every orphan from before this record has been named by now.
    pub searched: u64,
    /// Orphans: deleted after this record, and before the next sweep.
    pub objects: BTreeSet<String>,
}

/// Opens a spool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Open {
    /// The agent's account.
    pub account: AccountId,
    /// The agent's name.
    pub agent: AgentName,
    /// The spool that becomes active.
    pub spool: SpoolId,
    /// The spool that was active until now.
    #[serde(default)]
    pub replaces: Option<SpoolId>,
    /// For people: who asked.
    #[serde(default)]
    pub opened_by: String,
    /// What the session's certificate said.
    pub certificate: Certificate,
    /// The agent's own signing key and its signature over the request; hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signing_key: Option<String>,
    /// See `signing_key`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
}

/// What views need to know of a certificate, for as long as the journal lives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// SHA-256 of its DER form.
    pub fingerprint: Hash,
    /// The accounts whose records its holder may deliver.
    pub speaks_for: SpeaksFor,
}

/// Names one segment object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentRef {
    /// Its path in the store.
    pub path: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// SHA-256 of the whole object.
    pub sha256: Hash,
    /// Its zstd frames: compressed bytes, inflated bytes, lines.
    pub frames: Vec<(u64, u64, u64)>,
}

/// A run of a stream's lines: `[stream, from, to, chain]`, and a fifth member
/// where some of the lines continue a unit that was set aside in parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchEntry {
    /// The number of the record that opened the stream.
    pub stream: u64,
    /// The first sequence.
    pub from: u64,
    /// The last sequence.
    pub to: u64,
    /// The chain hash after it.
    pub chain: Hash,
    /// Lines that are second or later parts of one unit; they count as nothing.
    pub continuations: u64,
}

/// Sequences that are lost for good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// The stream that ends with it.
    pub stream: u64,
    /// The first lost sequence.
    pub first: u64,
    /// The last one that is known to have existed.
    pub last: u64,
    /// Why nobody can supply them.
    pub reason: String,
}

impl BatchEntry {
    /// How many lines it has.
    #[must_use]
    pub fn lines(&self) -> u64 {
        (self.to + 1).saturating_sub(self.from)
    }
}

impl Serialize for BatchEntry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let chain = URL_SAFE_NO_PAD.encode(self.chain.0);
        if self.continuations == 0 {
            (self.stream, self.from, self.to, chain).serialize(serializer)
        } else {
            (self.stream, self.from, self.to, chain, self.continuations).serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for BatchEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let members = Vec::<Value>::deserialize(deserializer)?;
        let number = |at: usize| members.get(at).and_then(Value::as_u64);
        let chain = members.get(3).and_then(hash);
        match (number(0), number(1), number(2), chain) {
            (Some(stream), Some(from), Some(to), Some(chain)) => {
                Ok(Self { stream, from, to, chain, continuations: number(4).unwrap_or(0) })
            }
            _ => Err(D::Error::custom("a batch is [stream, from, to, chain]")),
        }
    }
}

impl Serialize for ExpiredSegment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let root = self.root.map(|root| URL_SAFE_NO_PAD.encode(root.0));
        (self.record, self.lines, self.units, self.bytes, root).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for ExpiredSegment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (record, lines, units, bytes, root) =
            <(u64, u64, u64, u64, Value)>::deserialize(deserializer)?;
        let root = match root {
            Value::Null => None,
            root => Some(hash(&root).ok_or_else(|| D::Error::custom("a root is a hash"))?),
        };
        Ok(Self { record, lines, units, bytes, root })
    }
}

/// A hash in URL-safe base64.
fn hash(text: &Value) -> Option<Hash> {
    let bytes = URL_SAFE_NO_PAD.decode(text.as_str()?).ok()?;
    Hash::try_from(bytes.as_slice()).ok()
}
