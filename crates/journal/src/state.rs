//! The folded state: validate a record against it, apply a record to it.
//!
//! Validation of one record is cumulative: its second batch is checked against
//! what its first one leaves behind. Nothing here reads or writes; two nodes
//! with the same records have the same state, to the byte of its canonical form.
//! `expired` is what retention has let go.

mod expired;

use std::collections::BTreeMap;

use event::{AccountId, AgentName};
use integrity::{Hash, SpoolId, StreamHasher};
use jiff::Timestamp;
use ledger::Head;
use seam::{Guard, Guards};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::layout;
use crate::progress::Progress;
#[cfg(debug_assertions)]
use crate::promises;
use crate::record::{Body, Certificate, Sweep};
pub use expired::Expired;

/// The longest a cursor may become, as JSON text.
pub(crate) const CURSOR_BYTES_MAX: usize = 64 * 1024;

/// No sequence is larger, so that no sum of a few of them overflows.
const SEQUENCE_MAX: u64 = 1 << 62;

/// The sources that one agent may have cursors for.
pub(crate) const CURSORS_MAX: usize = 256;

/// One agent of one account.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AgentKey {
    /// Its account.
    pub account: AccountId,
    /// Its name.
    pub agent: AgentName,
}

/// Everything that the records up to `head` say.
///
/// Its canonical form, which snapshots keep and hashes cover, is the JSON of
/// this type: members in the order written here, maps in the order of their keys.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    format: u32,
    /// The last record folded: number and hash.
    pub head: u64,
    head_sha256: Hash,
    /// When the last record was made, by its writer's clock.
    pub committed_at: Option<Timestamp>,
    /// By the number of the record that opened it.
    pub streams: BTreeMap<u64, Stream>,
    #[serde(with = "agents_as_list")]
    /// By account and name.
    pub agents: BTreeMap<AgentKey, AgentState>,
    /// Sums over all records.
    pub totals: Totals,
    /// What sweeps have made unusable.
    #[serde(default, skip_serializing_if = "Swept::is_none")]
    pub(crate) swept: Swept,
    /// What retention has let go.
    #[serde(default, skip_serializing_if = "Expired::is_none")]
    pub expired: Expired,
    #[serde(skip)]
    guards: Guards,
}

/// What sweeps have made unusable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Swept {
    /// The last sweep.
    pub(crate) record: u64,
    /// No record may name a segment from before this one.
    pub(crate) before: u64,
    /// Up to where all orphans have been named.
    pub(crate) searched: u64,
}

impl Swept {
    fn is_none(&self) -> bool {
        self.record == 0
    }
}

/// One spool's place in the journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stream {
    /// The agent's account.
    pub account: AccountId,
    /// The agent's name.
    pub agent: AgentName,
    /// The spool.
    pub spool: SpoolId,
    /// For people: who opened it.
    pub opened_by: String,
    /// The last committed sequence; 0 before the first.
    pub watermark: u64,
    /// The chain hash there.
    pub chain: Hash,
    /// The record that brought it there.
    pub record: u64,
    /// True once nothing can be added: fenced by a newer spool, or ended by a gap.
    pub ended: bool,
    /// What its agent's certificate says, from its last record on.
    pub certificate: Certificate,
}

/// What the journal knows of an agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AgentState {
    /// The stream of the active spool.
    pub active: u64,
    /// The place of each source.
    pub cursors: BTreeMap<String, Map<String, Value>>,
    /// What it last said of itself.
    pub progress: Progress,
}

/// Sums over all records.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Units: records and unreadable remainders, each counted once.
    pub journaled: u64,
    /// Lines, which is more where a remainder travels in parts.
    pub lines: u64,
    /// Bytes of segments as stored.
    pub segment_bytes: u64,
    /// Bytes of lines as agents sent them.
    pub inflated_bytes: u64,
    /// Segments.
    pub segments: u64,
    /// Bytes of records.
    pub record_bytes: u64,
    /// Spools that replaced another one.
    pub forks: u64,
    /// Gap records.
    pub gaps: u64,
    /// Sequences that gap records declare lost.
    pub lost: u64,
}

/// Why a record cannot follow the state.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// The stream was never opened.
    #[error("stream {0} was never opened")]
    UnknownStream(u64),
    /// The stream has ended: a newer spool is active, or a gap closed it.
    #[error("stream {0} has ended")]
    Ended(u64),
    /// The batch does not begin right after the watermark.
    #[error("stream {stream} stands at {watermark}, a batch begins at {from}")]
    OutOfSequence {
        /// The stream.
        stream: u64,
        /// Where it stands.
        watermark: u64,
        /// Where the batch begins.
        from: u64,
    },
    /// The spool to be replaced is not the active one.
    #[error("the active spool is not the one that is to be replaced")]
    NotActive,
    /// The spool was opened before.
    #[error("spool {0} was opened before")]
    SeenSpool(SpoolId),
    /// A cursor would outgrow its limit.
    #[error(
        "the cursor of source {0:?} would outgrow {CURSOR_BYTES_MAX} bytes, or is one of too many"
    )]
    Cursor(String),
    /// A sweep has made the segment's name unusable: upload it again.
    #[error("segment {0} was swept before a record named it")]
    Swept(String),
    /// The parts of the record do not fit each other.
    #[error("{0}")]
    Inconsistent(&'static str),
}

impl Default for State {
    fn default() -> Self {
        Self::new()
    }
}

impl State {
    /// The version of the canonical form.
    pub(crate) const FORMAT: u32 = 1;

    /// Its version once something has expired: a release that does not know this
    /// must not begin behind the record that says so.
    const FORMAT_EXPIRED: u32 = 2;

    /// The state before record 1.
    #[must_use]
    pub fn new() -> Self {
        Self {
            format: Self::FORMAT,
            head: Head::EMPTY.number,
            head_sha256: Head::EMPTY.hash,
            committed_at: None,
            streams: BTreeMap::new(),
            agents: BTreeMap::new(),
            totals: Totals::default(),
            swept: Swept::default(),
            expired: Expired::default(),
            guards: Guards::default(),
        }
    }

    /// The same, checked under these guards from here on.
    pub(crate) fn guarded_by(self, guards: Guards) -> Self {
        Self { guards, ..self }
    }

    /// The guards under which records are checked.
    #[must_use]
    pub fn guards(&self) -> Guards {
        self.guards
    }

    /// Whether this release knows the form that the state was written in.
    pub(crate) fn is_known_format(&self) -> bool {
        let is_none = self.expired.is_none();
        self.format == if is_none { Self::FORMAT } else { Self::FORMAT_EXPIRED }
    }

    /// The ledger's head that the next record must follow.
    #[must_use]
    pub fn ledger_head(&self) -> Head {
        Head { number: self.head, hash: self.head_sha256 }
    }

    /// The canonical form and its hash.
    #[must_use]
    pub fn canonical(&self) -> (Vec<u8>, Hash) {
        let bytes = serde_json::to_vec(self).expect("a state is representable in JSON");
        let hash = integrity::sha256(&bytes);
        (bytes, hash)
    }

    /// What is known of an agent.
    #[must_use]
    pub fn agent(&self, key: &AgentKey) -> Option<&AgentState> {
        self.agents.get(key)
    }

    /// The stream of an agent's spool, if it was ever opened: its number and state.
    #[must_use]
    pub fn stream(&self, key: &AgentKey, spool: SpoolId) -> Option<(u64, &Stream)> {
        self.streams
            .iter()
            .rev()
            .find(|(_, stream)| {
                stream.spool == spool && stream.account == key.account && stream.agent == key.agent
            })
            .map(|(number, stream)| (*number, stream))
    }

    /// The stream of an agent's active spool.
    #[must_use]
    pub fn active(&self, key: &AgentKey) -> Option<(u64, &Stream)> {
        let active = self.agents.get(key)?.active;
        self.streams.get(&active).map(|stream| (active, stream))
    }

    /// Whether `body` can be the record after this state.
    ///
    /// # Errors
    /// The first thing in it that cannot be.
    pub fn check(&self, body: &Body) -> Result<(), Invalid> {
        if let Some(open) = &body.open {
            let key = AgentKey { account: open.account, agent: open.agent.clone() };
            if self.stream(&key, open.spool).is_some() {
                return Err(Invalid::SeenSpool(open.spool));
            }
            let active = self.active(&key).map(|(_, stream)| stream.spool);
            if active != open.replaces && self.guards.hold(Guard::OpenNamesReplaced) {
                return Err(Invalid::NotActive);
            }
        }
        self.check_segment(body)?;
        self.check_expire(body)?;
        self.check_batches(body)?;
        self.check_cursors(body)?;
        for stream in body.certificates.keys().chain(body.progress.keys()) {
            self.streams.get(stream).ok_or(Invalid::UnknownStream(*stream))?;
        }
        if let Some(gap) = &body.gap {
            let stream = self.streams.get(&gap.stream).ok_or(Invalid::UnknownStream(gap.stream))?;
            if stream.ended {
                return Err(Invalid::Ended(gap.stream));
            }
            let batches = body.batches.iter().any(|batch| batch.stream == gap.stream);
            let range = gap.first..=gap.last;
            if gap.first != stream.watermark + 1 || range.is_empty() || gap.last > SEQUENCE_MAX {
                return Err(Invalid::Inconsistent("a gap begins after the watermark"));
            }
            if batches {
                return Err(Invalid::Inconsistent("a gap stands alone"));
            }
        }
        Ok(())
    }

    fn check_segment(&self, body: &Body) -> Result<(), Invalid> {
        if let Some(segment) = &body.segment
            && self.guards.hold(Guard::SweepEndsNames)
            && layout::segment_after(&segment.path).unwrap_or(0) < self.swept.before
        {
            return Err(Invalid::Swept(segment.path.clone()));
        }
        let Some(sweep) = &body.sweep else { return Ok(()) };
        let old = |path: &String| layout::segment_after(path).is_some_and(|n| n < sweep.before);
        let grows = sweep.before >= self.swept.before && sweep.searched >= self.swept.searched;
        let known = sweep.before <= self.head && sweep.searched <= sweep.before;
        if grows && known && body.segment.is_none() && sweep.objects.iter().all(old) {
            Ok(())
        } else {
            Err(Invalid::Inconsistent("a sweep names old segments and brings none"))
        }
    }

    fn check_batches(&self, body: &Body) -> Result<(), Invalid> {
        let lines: u64 = body.batches.iter().map(|batch| batch.lines()).sum();
        let in_segment = body
            .segment
            .as_ref()
            .map_or(0, |segment| segment.frames.iter().map(|frame| frame.2).sum::<u64>());
        if lines != in_segment {
            return Err(Invalid::Inconsistent("the batches' lines are not those of the segment"));
        }
        let mut watermarks = BTreeMap::new();
        for batch in &body.batches {
            let stream =
                self.streams.get(&batch.stream).ok_or(Invalid::UnknownStream(batch.stream))?;
            if stream.ended {
                return Err(Invalid::Ended(batch.stream));
            }
            let watermark = watermarks.entry(batch.stream).or_insert(stream.watermark);
            if batch.from != *watermark + 1 && self.guards.hold(Guard::Watermark) {
                return Err(Invalid::OutOfSequence {
                    stream: batch.stream,
                    watermark: *watermark,
                    from: batch.from,
                });
            }
            if batch.to < batch.from || batch.continuations > batch.lines() {
                return Err(Invalid::Inconsistent("a batch has at least one line"));
            }
            if self.guards.hold(Guard::CumulativeValidation) {
                *watermark = batch.to;
            }
        }
        Ok(())
    }

    fn check_cursors(&self, body: &Body) -> Result<(), Invalid> {
        for (number, sources) in &body.cursors {
            let stream = self.streams.get(number).ok_or(Invalid::UnknownStream(*number))?;
            let key = AgentKey { account: stream.account, agent: stream.agent.clone() };
            let agent = self.agents.get(&key).ok_or(Invalid::UnknownStream(*number))?;
            for (source, changes) in sources {
                let mut cursor = agent.cursors.get(source).cloned().unwrap_or_default();
                let grows = !agent.cursors.contains_key(source);
                merge(&mut cursor, changes);
                let too_many = grows && agent.cursors.len() >= CURSORS_MAX;
                if too_many || json_len(&cursor) > CURSOR_BYTES_MAX {
                    return Err(Invalid::Cursor(source.clone()));
                }
            }
        }
        Ok(())
    }

    /// Applies record `number`, whose bytes hash to `hash`, after checking it.
    ///
    /// # Errors
    /// What [`State::check`] says; the state is unchanged then.
    pub(crate) fn fold(
        &mut self,
        head: Head,
        committed_at: Timestamp,
        record_bytes: u64,
        body: &Body,
    ) -> Result<(), Invalid> {
        debug_assert_eq!(head.number, self.head + 1, "records are folded in their order");
        self.check(body)?;
        #[cfg(debug_assertions)]
        let before = self.clone();
        self.open(head.number, body);
        for (stream, certificate) in &body.certificates {
            if let Some(stream) = self.streams.get_mut(stream) {
                stream.certificate = certificate.clone();
            }
        }
        for batch in &body.batches {
            self.totals.lines += batch.lines();
            self.totals.journaled += batch.lines() - batch.continuations;
            if let Some(stream) = self.streams.get_mut(&batch.stream) {
                debug_assert!(batch.to > stream.watermark, "watermarks only grow");
                stream.watermark = batch.to;
                stream.chain = batch.chain;
                stream.record = head.number;
            }
        }
        self.fold_agents(body);
        if let Some(segment) = &body.segment {
            self.totals.segments += 1;
            self.totals.segment_bytes += segment.bytes;
            self.totals.inflated_bytes += segment.frames.iter().map(|frame| frame.1).sum::<u64>();
        }
        if let Some(gap) = &body.gap {
            self.totals.gaps += 1;
            let lost = (gap.last + 1).saturating_sub(gap.first);
            self.totals.lost = self.totals.lost.saturating_add(lost);
            if let Some(stream) = self.streams.get_mut(&gap.stream) {
                stream.ended = true;
            }
        }
        if let Some(Sweep { before, searched, .. }) = body.sweep {
            self.swept = Swept { record: head.number, before, searched };
        }
        self.fold_expire(committed_at, body);
        self.totals.record_bytes += record_bytes;
        self.head = head.number;
        self.head_sha256 = head.hash;
        self.committed_at = Some(committed_at);
        #[cfg(debug_assertions)]
        {
            debug_assert_eq!(promises::broken(self), None, "record {}", head.number);
            debug_assert_eq!(
                promises::broken_between(&before, self),
                None,
                "record {}",
                head.number
            );
        }
        Ok(())
    }

    fn open(&mut self, number: u64, body: &Body) {
        let Some(open) = &body.open else { return };
        let key = AgentKey { account: open.account, agent: open.agent.clone() };
        let start =
            StreamHasher::new(&open.account.to_string(), open.agent.as_str(), open.spool).start();
        if let Some(agent) = self.agents.get_mut(&key) {
            self.totals.forks += 1;
            if let Some(replaced) = self.streams.get_mut(&agent.active) {
                replaced.ended = self.guards.hold(Guard::OpenFences);
            }
            agent.active = number;
            agent.progress = Progress::default();
        } else {
            let agent = AgentState {
                active: number,
                cursors: BTreeMap::new(),
                progress: Progress::default(),
            };
            self.agents.insert(key.clone(), agent);
        }
        self.streams.insert(
            number,
            Stream {
                account: key.account,
                agent: key.agent,
                spool: open.spool,
                opened_by: open.opened_by.clone(),
                watermark: 0,
                chain: start,
                record: number,
                ended: false,
                certificate: open.certificate.clone(),
            },
        );
    }

    fn fold_agents(&mut self, body: &Body) {
        let touched: std::collections::BTreeSet<u64> =
            body.cursors.keys().chain(body.progress.keys()).copied().collect();
        for number in touched {
            let Some(stream) = self.streams.get(&number) else { continue };
            let key = AgentKey { account: stream.account, agent: stream.agent.clone() };
            let Some(agent) = self.agents.get_mut(&key) else { continue };
            if agent.active != number {
                continue;
            }
            for (source, changes) in body.cursors.get(&number).into_iter().flatten() {
                merge(agent.cursors.entry(source.clone()).or_default(), changes);
            }
            if let Some(progress) = body.progress.get(&number) {
                agent.progress = progress.clone();
            }
        }
    }
}

/// Replaces members by those of `changes`; null removes one.
fn merge(cursor: &mut Map<String, Value>, changes: &Map<String, Value>) {
    for (key, value) in changes {
        if value.is_null() {
            cursor.remove(key);
        } else {
            cursor.insert(key.clone(), value.clone());
        }
    }
}

fn json_len(cursor: &Map<String, Value>) -> usize {
    serde_json::to_vec(cursor).map_or(usize::MAX, |text| text.len())
}

/// JSON has only text keys, so agents are a list, in the order of their keys.
mod agents_as_list {
    use std::collections::BTreeMap;

    use event::{AccountId, AgentName};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::{AgentKey, AgentState};

    #[derive(Serialize, Deserialize)]
    struct Entry<S> {
        account: AccountId,
        agent: AgentName,
        state: S,
    }

    pub(super) fn serialize<S: Serializer>(
        agents: &BTreeMap<AgentKey, AgentState>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(agents.iter().map(|(key, state)| Entry {
            account: key.account,
            agent: key.agent.clone(),
            state,
        }))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<AgentKey, AgentState>, D::Error> {
        let entries = Vec::<Entry<AgentState>>::deserialize(deserializer)?;
        Ok(entries
            .into_iter()
            .map(|entry| (AgentKey { account: entry.account, agent: entry.agent }, entry.state))
            .collect())
    }
}
