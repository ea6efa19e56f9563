//! Reading: records in their order, and the events they brought.
//!
//! A record that cannot be believed ends reading: nothing behind it is known to
//! follow. A segment that is missing or damaged does not: its record still says
//! who brought how much, so its units are delivered as lost, with the reason, and
//! reading goes on. An answer of the store is asked for again before it counts
//! as damage, since a listing may lag and a read may be cut short. A segment that
//! retention has let go is no damage either: it is said to have expired, whether its
//! bytes are still there or not.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use event::{AccountId, AgentName};
use futures::TryStreamExt;
use futures::future::BoxFuture;
use identity::SpeaksFor;
use integrity::{Hash, SpoolId, sha256};
use jiff::Timestamp;
use ledger::{Head, Ledger, Record};
use object_store::path::Path;
use seam::{Blocking, Clock, Entropy, Guards};
use store::Store;

use crate::error::JournalError;
use crate::layout;
use crate::record::{Body, SegmentRef};
use crate::salvage::{Proof, salvage};
use crate::segment::Lines;
use crate::state::State;

/// Records asked for at once by a reader that is far behind.
const READ_AHEAD: usize = 32;

/// The pauses before a segment that is missing or damaged is read again.
const AGAIN: [Duration; 3] =
    [Duration::from_millis(100), Duration::from_millis(400), Duration::from_millis(1_500)];

/// The journal of one store.
#[derive(Clone, Debug)]
pub struct Journal {
    pub(crate) store: Store,
    pub(crate) ledger: Ledger,
    pub(crate) clock: Clock,
    pub(crate) entropy: Entropy,
    pub(crate) blocking: Blocking,
    /// Up to which record segments have expired, as far as this and its clones know.
    expired_to: Arc<AtomicU64>,
    guards: Guards,
}

/// One record's events.
#[derive(Clone, Debug)]
pub struct Delivered {
    /// The record's number.
    pub record: u64,
    /// When it was made, by its writer's clock.
    pub committed_at: Timestamp,
    /// Its batches; none for a record without events.
    pub batches: Vec<DeliveredBatch>,
    /// Why some of its batches are lost.
    pub damage: Option<SegmentDamage>,
    /// What it declares lost.
    pub gap: Option<DeliveredGap>,
}

/// What a gap record declares lost: it never reached the journal.
#[derive(Clone, Debug)]
pub struct DeliveredGap {
    /// Who would have delivered it.
    pub origin: Arc<Origin>,
    /// How many sequences.
    pub lost: u64,
}

/// How a segment differs from what its record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentDamage {
    /// The object.
    pub path: String,
    /// It is not there at all.
    pub missing: bool,
    /// Retention has let it go: nothing is wrong.
    pub expired: bool,
    /// A sentence for a person.
    pub what: String,
}

/// A run of one stream's lines.
#[derive(Clone, Debug)]
pub struct DeliveredBatch {
    /// Who delivered it.
    pub origin: Arc<Origin>,
    /// The sequence of its first line.
    pub first_sequence: u64,
    /// The place of its first line among the record's lines, from 0.
    pub first_row: u64,
    /// How many lines.
    pub line_count: u64,
    /// How many units they are: a unit set aside in parts counts once.
    pub units: u64,
    /// The lines, each ended by a line feed; none if they are lost.
    pub lines: Bytes,
    /// Nobody has the lines: the segment is missing or damaged, or has expired.
    pub lost: bool,
}

/// Who delivered a line, and what the certificate said then.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Origin {
    /// The agent's account.
    pub account: AccountId,
    /// The agent's name.
    pub agent: AgentName,
    /// The spool it came through.
    pub spool: SpoolId,
    /// The accounts whose records the agent may deliver.
    pub speaks_for: SpeaksFor,
}

impl Journal {
    /// The journal in `store`.
    #[must_use]
    pub fn new(store: Store, clock: Clock, entropy: Entropy, blocking: Blocking) -> Self {
        let ledger = Ledger::new(store.clone(), layout::log());
        let (expired_to, guards) = (Arc::default(), Guards::default());
        Self { store, ledger, clock, entropy, blocking, expired_to, guards }
    }

    /// The same under these guards.
    #[must_use]
    pub fn guarded_by(self, guards: Guards) -> Self {
        Self { ledger: self.ledger.guarded_by(guards), guards, ..self }
    }

    /// The state after the last record there is.
    ///
    /// # Errors
    /// If a record cannot be read or contradicts the ones before.
    pub fn fold(&self) -> BoxFuture<'_, Result<State, JournalError>> {
        Box::pin(async move {
            let mut state = self.newest_snapshot(u64::MAX).await?.guarded_by(self.guards);
            self.advance(&mut state).await?;
            Ok(state)
        })
    }

    /// The state after record `number`, for a view that stands there.
    ///
    /// # Errors
    /// As [`Journal::fold`].
    pub fn fold_to(&self, number: u64) -> BoxFuture<'_, Result<State, JournalError>> {
        Box::pin(async move {
            let mut state = self.newest_snapshot(number).await?.guarded_by(self.guards);
            self.advance_to(&mut state, number).await?;
            Ok(state)
        })
    }

    /// Folds records until the next one is absent; says how many.
    ///
    /// # Errors
    /// As [`Journal::fold`]; `state` stands after the last good record then.
    pub fn advance<'a>(&'a self, state: &'a mut State) -> BoxFuture<'a, Result<u64, JournalError>> {
        Box::pin(self.advance_to(state, u64::MAX))
    }

    async fn advance_to(&self, state: &mut State, last: u64) -> Result<u64, JournalError> {
        let before = state.head;
        let mut records = self.ledger.read_from(state.ledger_head(), last, READ_AHEAD);
        while let Some(record) = records.try_next().await.map_err(JournalError::Ledger)? {
            self.fold_record(state, &record)?;
        }
        Ok(state.head - before)
    }

    /// The state as far as records can be believed, and what stands behind it.
    ///
    /// For readers who answer with what there is. A writer uses [`Journal::fold`]:
    /// nothing may be added to what cannot be verified.
    ///
    /// # Errors
    /// If the store does not answer.
    pub fn fold_readable(
        &self,
    ) -> BoxFuture<'_, Result<(State, Option<JournalError>), JournalError>> {
        Box::pin(async move {
            let mut state = self.newest_snapshot(u64::MAX).await?;
            match self.advance(&mut state).await {
                Ok(_) => Ok((state, None)),
                Err(damage) if damage.is_damage() => Ok((state, Some(damage))),
                Err(error) => Err(error),
            }
        })
    }

    /// Reads and folds the next record, and its events; none at the end.
    ///
    /// # Errors
    /// As [`Journal::fold`]. A missing or damaged segment is no error: see
    /// [`Delivered::damage`].
    pub fn read_next<'a>(
        &'a self,
        state: &'a mut State,
    ) -> BoxFuture<'a, Result<Option<Delivered>, JournalError>> {
        Box::pin(async move {
            let Some(record) = self.next_record(state).await? else { return Ok(None) };
            let body: Body = record.body().map_err(JournalError::Ledger)?;
            let mut chains = chains(state, &body);
            self.fold_body(state, &record, &body)?;
            let proofs: Vec<Proof> = body
                .batches
                .iter()
                .filter_map(|entry| {
                    let origin = origin(state, entry.stream)?;
                    let previous = chains.insert(entry.stream, entry.chain)?;
                    Some(Proof { entry: entry.clone(), origin, previous })
                })
                .collect();
            let (batches, damage) = match &body.segment {
                Some(segment) => self.segment_batches(record.number, segment, proofs).await?,
                None => (Vec::new(), None),
            };
            let gap = body.gap.as_ref().and_then(|gap| {
                let lost = (gap.last + 1).saturating_sub(gap.first);
                Some(DeliveredGap { origin: origin(state, gap.stream)?, lost })
            });
            Ok(Some(Delivered {
                record: record.number,
                committed_at: record.at,
                batches,
                damage,
                gap,
            }))
        })
    }

    /// Looks at single lines of one record: `look` gets a line's row, the number
    /// of its stream and the line without its line feed, in the order of `rows`,
    /// which ascend. Only frames that hold a wanted row are inflated.
    ///
    /// # Errors
    /// As [`Journal::read_next`], and if the record or a row is not there.
    pub async fn look_at<T: Send + 'static>(
        &self,
        number: u64,
        rows: Vec<u64>,
        look: impl Fn(u64, u64, &[u8]) -> T + Send + 'static,
    ) -> Result<Vec<T>, JournalError> {
        let damaged = |path: &str, what: &str| JournalError::SegmentDamaged {
            number,
            path: path.to_owned(),
            what: what.to_owned(),
        };
        let record = self.ledger.read(number).await.map_err(JournalError::Ledger)?;
        let body: Body = match record {
            Some(record) => record.body().map_err(JournalError::Ledger)?,
            None => return Err(damaged("", "its record is missing")),
        };
        let Some(segment) = &body.segment else { return Err(damaged("", "it brought no lines")) };
        let path = segment.path.clone();
        let mut lines = self.segment_lines(number, segment).await?;
        let work = move || {
            let mut found = Vec::with_capacity(rows.len());
            for row in rows {
                let line = lines.line(row)?;
                let stream = stream_of(&body, row).ok_or("it has no such row")?;
                found.push(look(row, stream, line));
            }
            Ok::<_, String>(found)
        };
        self.blocking.run(work).await.map_err(|what| damaged(&path, &what))
    }

    async fn segment_lines(
        &self,
        number: u64,
        segment: &SegmentRef,
    ) -> Result<Lines, JournalError> {
        let damaged = |what: &str| JournalError::SegmentDamaged {
            number,
            path: segment.path.clone(),
            what: what.to_owned(),
        };
        let path = Path::parse(&segment.path).map_err(|_| damaged("its path is none"))?;
        let Some(bytes) = self.store.get(&path).await.map_err(JournalError::Store)? else {
            let path = segment.path.clone();
            return Err(match self.has_expired(number).await? {
                true => JournalError::SegmentExpired { number, path },
                false => JournalError::SegmentMissing { number, path },
            });
        };
        let hashed = bytes.clone();
        if self.blocking.run(move || sha256(&hashed)).await != segment.sha256 {
            return Err(damaged("its bytes do not have the hash in the record"));
        }
        Ok(Lines::new(bytes, segment.frames.clone()))
    }

    async fn next_record(&self, state: &State) -> Result<Option<Record>, JournalError> {
        self.ledger.next(&state.ledger_head()).await.map_err(JournalError::Ledger)
    }

    pub(crate) fn fold_record(
        &self,
        state: &mut State,
        record: &Record,
    ) -> Result<Body, JournalError> {
        let body: Body = record.body().map_err(JournalError::Ledger)?;
        self.fold_body(state, record, &body)?;
        Ok(body)
    }

    /// The batches of a segment, as far as their lines are whole.
    pub(crate) async fn segment_batches(
        &self,
        number: u64,
        segment: &SegmentRef,
        proofs: Vec<Proof>,
    ) -> Result<(Vec<DeliveredBatch>, Option<SegmentDamage>), JournalError> {
        let counts = proofs.iter().map(|proof| proof.entry.lines()).collect();
        match self.segment_whole(number, segment, counts).await? {
            Ok(lines) => {
                let lines = lines.into_iter().map(Some).collect();
                Ok((delivered(&proofs, lines), None))
            }
            Err((damage, bytes)) => {
                let frames = segment.frames.clone();
                let left = move || delivered(&proofs, salvage(&bytes, &frames, &proofs));
                Ok((self.blocking.run(left).await, Some(damage)))
            }
        }
    }

    /// The lines of a segment, so many of each batch; or what is wrong with it and the
    /// bytes there are. It is read again before anything of it counts as lost.
    pub(crate) async fn segment_whole(
        &self,
        number: u64,
        segment: &SegmentRef,
        counts: Vec<u64>,
    ) -> Result<Result<Vec<Bytes>, (SegmentDamage, Bytes)>, JournalError> {
        let counts: Arc<[u64]> = counts.into();
        let mut pauses = AGAIN.into_iter();
        let mut asked = false;
        loop {
            if number <= self.expired_to.load(Ordering::Relaxed) {
                return Ok(Err((SegmentDamage::expired(segment), Bytes::new())));
            }
            let path = Path::parse(&segment.path).ok();
            let bytes = match &path {
                Some(path) => self.store.get(path).await.map_err(JournalError::Store)?,
                None => None,
            };
            let damage = match bytes.clone() {
                Some(bytes) => {
                    let (named, counts) = (segment.clone(), Arc::clone(&counts));
                    match self.blocking.run(move || whole(bytes, &named, &counts)).await {
                        Ok(lines) => return Ok(Ok(lines)),
                        Err(what) => SegmentDamage {
                            path: segment.path.clone(),
                            missing: false,
                            expired: false,
                            what,
                        },
                    }
                }
                None => SegmentDamage {
                    path: segment.path.clone(),
                    missing: true,
                    expired: false,
                    what: "it is not in the store".to_owned(),
                },
            };
            // A reader may stand far before the record that let it go.
            if !std::mem::replace(&mut asked, true) && self.has_expired(number).await? {
                continue;
            }
            match pauses.next() {
                Some(pause) => tokio::time::sleep(pause).await,
                None => return Ok(Err((damage, bytes.unwrap_or_default()))),
            }
        }
    }

    /// Whether the segment of a record has expired, by the journal's last record.
    async fn has_expired(&self, number: u64) -> Result<bool, JournalError> {
        if number > self.expired_to.load(Ordering::Relaxed) {
            self.fold_readable().await?;
        }
        Ok(number <= self.expired_to.load(Ordering::Relaxed))
    }

    fn fold_body(
        &self,
        state: &mut State,
        record: &Record,
        body: &Body,
    ) -> Result<(), JournalError> {
        let head = Head { number: record.number, hash: record.hash };
        state.fold(head, record.at, record.bytes.len() as u64, body).map_err(|invalid| {
            JournalError::Contradiction { number: record.number, what: invalid.to_string() }
        })?;
        self.learn(state);
        Ok(())
    }

    /// Remembers up to where segments have expired: that only grows.
    pub(crate) fn learn(&self, state: &State) {
        self.expired_to.fetch_max(state.expired.to, Ordering::Relaxed);
    }
}

impl SegmentDamage {
    fn expired(segment: &SegmentRef) -> Self {
        Self {
            path: segment.path.clone(),
            missing: true,
            expired: true,
            what: "it has expired by retention".to_owned(),
        }
    }
}

/// The chain hashes of a record's streams, before it is folded.
fn chains(state: &State, body: &Body) -> BTreeMap<u64, Hash> {
    let streams = body.batches.iter().map(|entry| entry.stream);
    streams.filter_map(|number| Some((number, state.streams.get(&number)?.chain))).collect()
}

fn origin(state: &State, stream: u64) -> Option<Arc<Origin>> {
    let stream = state.streams.get(&stream)?;
    Some(Arc::new(Origin {
        account: stream.account,
        agent: stream.agent.clone(),
        spool: stream.spool,
        speaks_for: stream.certificate.speaks_for,
    }))
}

/// The stream whose batch holds this row of a record.
fn stream_of(body: &Body, row: u64) -> Option<u64> {
    let mut end = 0;
    let batch = body.batches.iter().find(|batch| {
        end += batch.lines();
        row < end
    });
    batch.map(|batch| batch.stream)
}

/// The lines of each batch of a segment that is what its record says, or how it is not.
fn whole(bytes: Bytes, segment: &SegmentRef, counts: &[u64]) -> Result<Vec<Bytes>, String> {
    if sha256(&bytes) != segment.sha256 {
        return Err("its bytes do not have the hash in the record".to_owned());
    }
    let mut lines = Lines::new(bytes, segment.frames.clone());
    counts.iter().map(|count| lines.take(*count)).collect()
}

fn delivered(proofs: &[Proof], lines: Vec<Option<Bytes>>) -> Vec<DeliveredBatch> {
    let mut first_row = 0;
    let batch = |(proof, lines): (&Proof, Option<Bytes>)| {
        let line_count = proof.entry.lines();
        let batch = DeliveredBatch {
            origin: Arc::clone(&proof.origin),
            first_sequence: proof.entry.from,
            first_row,
            line_count,
            units: line_count - proof.entry.continuations,
            lost: lines.is_none(),
            lines: lines.unwrap_or_default(),
        };
        first_row += line_count;
        batch
    };
    proofs.iter().zip(lines).map(batch).collect()
}
