//! What the journal holds of one stream, as leaves: for an agent whose spool
//! cannot go on, to see which of its records are committed.
//!
//! Rare, and never in the way of commits: it reads beside the committer, first
//! backwards to the record that holds the wanted sequence, then forwards.

use futures::{StreamExt, TryStreamExt, stream};
use integrity::{Hash, StreamHasher};

use crate::error::JournalError;
use crate::read::Journal;
use crate::record::{BatchEntry, Body};

/// Records asked for at once.
const READ_AHEAD: usize = 16;

/// Leaves handed out at once: half a megabyte of a message.
const LEAVES_MAX: usize = 16 * 1024;

/// How far a stream has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reach {
    /// The number of the record that opened it.
    pub stream: u64,
    /// The record that brought its last lines.
    pub last: u64,
    /// Its watermark.
    pub to: u64,
}

/// Leaves of one stream, in order.
#[derive(Debug)]
pub struct Leaves {
    journal: Journal,
    reach: Reach,
    hasher: StreamHasher,
    /// The next sequence to be told.
    next: u64,
    /// The record that is read next.
    record: u64,
    ready: Vec<Hash>,
}

impl Journal {
    /// The leaves of a stream's sequences from `from` to its watermark.
    ///
    /// # Errors
    /// If records cannot be read.
    pub async fn leaves(
        &self,
        reach: Reach,
        hasher: StreamHasher,
        from: u64,
    ) -> Result<Leaves, JournalError> {
        let from = from.max(1);
        let mut record = reach.last + 1;
        if from <= reach.to {
            let mut back = stream::iter((reach.stream..=reach.last).rev())
                .map(|number| async move { self.body(number).await.map(|body| (number, body)) })
                .buffered(READ_AHEAD);
            while let Some((number, body)) = back.try_next().await? {
                record = number;
                let mut own = body.batches.iter().filter(|entry| entry.stream == reach.stream);
                if own.any(|entry| entry.from <= from) {
                    break;
                }
            }
        }
        let journal = self.clone();
        Ok(Leaves { journal, reach, hasher, next: from, record, ready: Vec::new() })
    }

    /// What a record says that is known to be there.
    pub(crate) async fn body(&self, number: u64) -> Result<Body, JournalError> {
        let record = self.ledger.read(number).await.map_err(JournalError::Ledger)?;
        record.ok_or_else(|| gone(number))?.body().map_err(JournalError::Ledger)
    }
}

/// What a record's absence means that was there before.
pub(crate) fn gone(number: u64) -> JournalError {
    JournalError::Contradiction { number, what: "it was there and is gone".to_owned() }
}

impl Leaves {
    /// The next leaves and the sequence of the first; none at the watermark. Of
    /// lines that the journal has lost, or that have expired, a leaf is zeroes.
    ///
    /// # Errors
    /// If a record cannot be read, or the store does not answer.
    pub async fn next(&mut self) -> Result<Option<(u64, Vec<Hash>)>, JournalError> {
        while self.ready.is_empty() && self.record <= self.reach.last {
            let number = self.record;
            let body = self.journal.body(number).await?;
            self.record += 1;
            if body.batches.iter().any(|entry| self.wants(entry.stream, entry.to)) {
                self.read(number, &body).await?;
            }
        }
        if self.ready.is_empty() {
            return Ok(None);
        }
        let rest = self.ready.split_off(self.ready.len().min(LEAVES_MAX));
        let some = std::mem::replace(&mut self.ready, rest);
        let first = self.next;
        self.next += some.len() as u64;
        Ok(Some((first, some)))
    }

    fn wants(&self, stream: u64, to: u64) -> bool {
        stream == self.reach.stream && to >= self.next
    }

    async fn read(&mut self, number: u64, body: &Body) -> Result<(), JournalError> {
        let Some(segment) = &body.segment else { return Ok(()) };
        // What proves the lines is the segment's hash; where it does not, they are
        // told as lost.
        let counts = body.batches.iter().map(BatchEntry::lines).collect();
        let whole = self.journal.segment_whole(number, segment, counts).await?.ok();
        for (index, entry) in body.batches.iter().enumerate() {
            if !self.wants(entry.stream, entry.to) {
                continue;
            }
            let batch = whole.as_ref().and_then(|lines| lines.get(index));
            let text = batch.map(|batch| batch.strip_suffix(b"\n").unwrap_or(batch));
            let mut lines = text.into_iter().flat_map(|text| text.split(|byte| *byte == b'\n'));
            for sequence in entry.from..=entry.to {
                let line = lines.next();
                if sequence >= self.next {
                    let leaf = line.map_or(Hash([0; 32]), |line| self.hasher.leaf(sequence, line));
                    self.ready.push(leaf);
                }
            }
        }
        Ok(())
    }
}
