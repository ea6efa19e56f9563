//! Reading: records in their order, and the events they brought.

use std::sync::Arc;

use bytes::Bytes;
use event::{AccountId, AgentName};
use identity::SpeaksFor;
use integrity::{SpoolId, sha256};
use jiff::Timestamp;
use ledger::{Head, Ledger, Record};
use object_store::path::Path;
use seam::{Blocking, Clock, Entropy};
use store::Store;

use crate::error::JournalError;
use crate::layout;
use crate::record::{Body, SegmentRef};
use crate::segment::Lines;
use crate::state::State;

/// The journal of one store.
#[derive(Clone, Debug)]
pub struct Journal {
    pub(crate) store: Store,
    pub(crate) ledger: Ledger,
    pub(crate) clock: Clock,
    pub(crate) entropy: Entropy,
    pub(crate) blocking: Blocking,
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
    /// The lines, each ended by a line feed.
    pub lines: Bytes,
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
        Self { store, ledger, clock, entropy, blocking }
    }

    /// The state after the last record there is.
    ///
    /// # Errors
    /// If a record cannot be read or contradicts the ones before.
    pub async fn fold(&self) -> Result<State, JournalError> {
        let mut state = self.newest_snapshot(u64::MAX).await?;
        self.advance(&mut state).await?;
        Ok(state)
    }

    /// The state after record `number`, for a view that stands there.
    ///
    /// # Errors
    /// As [`Journal::fold`].
    pub async fn fold_to(&self, number: u64) -> Result<State, JournalError> {
        let mut state = self.newest_snapshot(number).await?;
        while state.head < number {
            let Some(record) = self.next_record(&state).await? else { break };
            self.fold_record(&mut state, &record)?;
        }
        Ok(state)
    }

    /// Folds records until the next one is absent; says how many.
    ///
    /// # Errors
    /// As [`Journal::fold`]; `state` stands after the last good record then.
    pub async fn advance(&self, state: &mut State) -> Result<u64, JournalError> {
        let before = state.head;
        while let Some(record) = self.next_record(state).await? {
            self.fold_record(state, &record)?;
        }
        Ok(state.head - before)
    }

    /// Reads and folds the next record, and its events; none at the end.
    ///
    /// # Errors
    /// As [`Journal::fold`], and if its segment is missing or damaged.
    pub async fn read_next(&self, state: &mut State) -> Result<Option<Delivered>, JournalError> {
        let Some(record) = self.next_record(state).await? else { return Ok(None) };
        let body = self.fold_record(state, &record)?;
        let lines = match &body.segment {
            Some(segment) => Some(self.segment_lines(record.number, segment).await?),
            None => None,
        };
        let number = record.number;
        let batches = match lines {
            Some(lines) => {
                let origins = body
                    .batches
                    .iter()
                    .map(|batch| origin(state, batch.stream))
                    .collect::<Option<Vec<_>>>()
                    .unwrap_or_default();
                let path = body.segment.as_ref().map(|segment| segment.path.clone());
                self.blocking.run(move || slice(lines, &body, origins)).await.map_err(|what| {
                    JournalError::SegmentDamaged { number, path: path.unwrap_or_default(), what }
                })?
            }
            None => Vec::new(),
        };
        Ok(Some(Delivered { record: number, committed_at: record.at, batches }))
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

    async fn next_record(&self, state: &State) -> Result<Option<Record>, JournalError> {
        self.ledger.next(&state.ledger_head()).await.map_err(JournalError::Ledger)
    }

    pub(crate) fn fold_record(
        &self,
        state: &mut State,
        record: &Record,
    ) -> Result<Body, JournalError> {
        let body: Body = record.body().map_err(JournalError::Ledger)?;
        let head = Head { number: record.number, hash: record.hash };
        state.fold(head, record.at, record.bytes.len() as u64, &body).map_err(|invalid| {
            JournalError::Contradiction { number: record.number, what: invalid.to_string() }
        })?;
        Ok(body)
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
        let bytes = self.store.get(&path).await.map_err(JournalError::Store)?;
        let Some(bytes) = bytes else {
            return Err(JournalError::SegmentMissing { number, path: segment.path.clone() });
        };
        let hashed = bytes.clone();
        let hash = self.blocking.run(move || sha256(&hashed)).await;
        if hash != segment.sha256 {
            return Err(damaged("its bytes do not have the hash in the record"));
        }
        Ok(Lines::new(bytes, segment.frames.clone()))
    }
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

fn slice(
    mut lines: Lines,
    body: &Body,
    origins: Vec<Arc<Origin>>,
) -> Result<Vec<DeliveredBatch>, String> {
    let mut first_row = 0;
    let mut batches = Vec::with_capacity(body.batches.len());
    for (entry, origin) in body.batches.iter().zip(origins) {
        let line_count = entry.lines();
        batches.push(DeliveredBatch {
            origin,
            first_sequence: entry.from,
            first_row,
            line_count,
            units: line_count - entry.continuations,
            lines: lines.take(line_count)?,
        });
        first_row += line_count;
    }
    Ok(batches)
}
