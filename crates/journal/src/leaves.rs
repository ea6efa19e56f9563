//! What the journal holds of one stream, as leaves: for an agent whose spool
//! cannot go on, to see which of its records are committed.
//!
//! Rare, and never in the way of commits: it reads beside the committer, first
//! backwards to the record that holds the wanted sequence, then forwards.

use std::sync::Arc;

use event::{AccountId, AgentName};
use futures::{StreamExt, TryStreamExt, stream};
use identity::SpeaksFor;
use integrity::{Hash, SpoolId, StreamHasher};

use crate::error::JournalError;
use crate::read::{Journal, Origin};
use crate::record::Body;
use crate::salvage::Proof;

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
        let record = record.ok_or_else(|| JournalError::Contradiction {
            number,
            what: "it was there and is gone".to_owned(),
        })?;
        record.body().map_err(JournalError::Ledger)
    }
}

impl Leaves {
    /// The next leaves and the sequence of the first; none at the watermark. Of
    /// lines that the journal has lost, a leaf is zeroes.
    ///
    /// # Errors
    /// If a record cannot be read, or the store does not answer.
    pub async fn next(&mut self) -> Result<Option<(u64, Vec<Hash>)>, JournalError> {
        while self.ready.is_empty() && self.record <= self.reach.last {
            let body = self.journal.body(self.record).await?;
            self.record += 1;
            if body.batches.iter().any(|entry| self.wants(entry.stream, entry.to)) {
                self.read(&body).await?;
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

    async fn read(&mut self, body: &Body) -> Result<(), JournalError> {
        let Some(segment) = &body.segment else { return Ok(()) };
        // Whose lines they are is known already; what proves them is the
        // segment's hash, and what is damaged is told as lost.
        let origin = Arc::new(Origin {
            account: AccountId::UNKNOWN,
            agent: "unknown".parse::<AgentName>().expect("a name"),
            spool: SpoolId([0; 16]),
            speaks_for: SpeaksFor::Organization,
        });
        let proofs = body
            .batches
            .iter()
            .map(|entry| Proof {
                entry: entry.clone(),
                origin: Arc::clone(&origin),
                previous: Hash([0; 32]),
            })
            .collect();
        let (batches, _) = self.journal.segment_batches(segment, proofs).await?;
        for (entry, batch) in body.batches.iter().zip(batches) {
            if !self.wants(entry.stream, entry.to) {
                continue;
            }
            let text = batch.lines.strip_suffix(b"\n").unwrap_or(&batch.lines);
            let mut lines = text.split(|byte| *byte == b'\n');
            for sequence in entry.from..=entry.to {
                let line = lines.next().filter(|_| !batch.lost);
                if sequence >= self.next {
                    let leaf = line.map_or(Hash([0; 32]), |line| self.hasher.leaf(sequence, line));
                    self.ready.push(leaf);
                }
            }
        }
        Ok(())
    }
}
