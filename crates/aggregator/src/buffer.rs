//! The buffer: what was admitted and is not committed yet.
//!
//! Admission continues from the buffered end of a stream, or from its watermark
//! if nothing of it is buffered. What is buffered holds the credit that its agent
//! spent on it; dropping it gives the credit back to the pool, so memory cannot
//! leak on any path.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use integrity::Hash;
use journal::{Certificate, Progress, State};
use serde_json::{Map, Value};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Instant;

use crate::verify::Verified;

/// A stream's committed end, as sessions see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) watermark: u64,
    pub(crate) chain: Hash,
    pub(crate) record: u64,
    pub(crate) ended: bool,
}

/// A batch in the buffer.
#[derive(Debug)]
pub(crate) struct Admitted {
    pub(crate) stream: u64,
    pub(crate) certificate: Certificate,
    pub(crate) batch: Verified,
    pub(crate) cursors: BTreeMap<String, Map<String, Value>>,
    /// Held for its drop: it goes back to the pool when the batch leaves the buffer.
    pub(crate) _credit: OwnedSemaphorePermit,
}

/// What became of an offered batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// It is in the buffer.
    Admitted,
    /// The buffer or the journal has it already; its ack comes with the commit
    /// that holds its original.
    Duplicate,
    /// It does not continue the stream, which ends there now.
    OutOfSequence { end: u64 },
    /// A newer spool is active or a gap ended the stream.
    Ended,
}

/// What was admitted and is not committed yet; shared by sessions and committer.
#[derive(Debug)]
pub struct Buffer {
    inner: Mutex<Inner>,
    changed: Notify,
    credit: Arc<Semaphore>,
    buffer_bytes: u64,
    flush_bytes: u64,
    flush_age: Duration,
}

#[derive(Debug, Default)]
struct Inner {
    queue: VecDeque<Arc<Admitted>>,
    inflated_bytes: u64,
    oldest: Option<Instant>,
    ends: BTreeMap<u64, (u64, Hash)>,
    streams: BTreeMap<u64, watch::Sender<Position>>,
    progress: BTreeMap<u64, Progress>,
    urgent: BTreeSet<u64>,
}

impl Buffer {
    /// A buffer of `buffer_bytes`, to be flushed at `flush_bytes` or `flush_age`.
    #[must_use]
    pub fn new(buffer_bytes: u64, flush_bytes: u64, flush_age: Duration) -> Self {
        let permits = usize::try_from(buffer_bytes).unwrap_or(Semaphore::MAX_PERMITS);
        Self {
            inner: Mutex::default(),
            changed: Notify::new(),
            credit: Arc::new(Semaphore::new(permits.min(Semaphore::MAX_PERMITS))),
            buffer_bytes,
            flush_bytes,
            flush_age,
        }
    }

    /// The pool that all credit comes from, in bytes.
    pub(crate) fn credit(&self) -> Arc<Semaphore> {
        Arc::clone(&self.credit)
    }

    /// The most that one session may hold at once.
    pub(crate) fn session_credit_max(&self) -> u64 {
        self.buffer_bytes / 4
    }

    /// Bytes that are granted or buffered.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        self.buffer_bytes.saturating_sub(self.credit.available_permits() as u64)
    }

    /// Follows a stream that the journal has opened.
    pub(crate) fn follow(&self, stream: u64, position: Position) -> watch::Receiver<Position> {
        let mut inner = self.lock();
        match inner.streams.get(&stream) {
            Some(sender) => sender.subscribe(),
            None => {
                let (sender, receiver) = watch::channel(position);
                inner.streams.insert(stream, sender);
                receiver
            }
        }
    }

    /// Takes a batch in if it continues its stream.
    pub(crate) fn admit(&self, admitted: Admitted) -> Admission {
        let mut inner = self.lock();
        let Some(position) = inner.streams.get(&admitted.stream).map(|sender| *sender.borrow())
        else {
            return Admission::Ended;
        };
        if position.ended {
            return Admission::Ended;
        }
        let (end, chain) = inner
            .ends
            .get(&admitted.stream)
            .copied()
            .unwrap_or((position.watermark, position.chain));
        let batch = &admitted.batch;
        if batch.to <= end {
            let same = batch.to != end || batch.chain == chain;
            return if same { Admission::Duplicate } else { Admission::OutOfSequence { end } };
        }
        if batch.from != end + 1 || batch.previous_chain != chain {
            return Admission::OutOfSequence { end };
        }
        inner.ends.insert(admitted.stream, (batch.to, batch.chain));
        inner.inflated_bytes += batch.lines.inflated_bytes();
        inner.oldest.get_or_insert_with(Instant::now);
        inner.queue.push_back(Arc::new(admitted));
        drop(inner);
        self.changed.notify_one();
        Admission::Admitted
    }

    /// Keeps what an agent last said of itself, for a commit to come.
    pub(crate) fn report(&self, stream: u64, progress: Progress, urgent: bool) {
        let mut inner = self.lock();
        inner.progress.insert(stream, progress);
        if urgent {
            inner.urgent.insert(stream);
            drop(inner);
            self.changed.notify_one();
        }
    }

    /// Marks what a stream last said as worth a commit of its own.
    pub(crate) fn report_soon(&self, stream: u64) {
        let mut inner = self.lock();
        if inner.progress.contains_key(&stream) {
            inner.urgent.insert(stream);
            drop(inner);
            self.changed.notify_one();
        }
    }

    /// Waits until a flush is due: enough waits, or for long enough.
    pub(crate) async fn due(&self) {
        loop {
            let changed = self.changed.notified();
            let wait = {
                let mut inner = self.lock();
                if inner.inflated_bytes >= self.flush_bytes {
                    return;
                }
                if !inner.urgent.is_empty() {
                    inner.oldest.get_or_insert_with(Instant::now);
                }
                inner.oldest.map(|oldest| oldest + self.flush_age)
            };
            match wait {
                Some(at) if at <= Instant::now() => return,
                Some(at) => tokio::select! {
                    biased;
                    () = tokio::time::sleep_until(at) => return,
                    () = changed => {}
                },
                None => changed.await,
            }
        }
    }

    /// The batches of the next commit, in order; they stay buffered until
    /// [`Buffer::remove`].
    pub(crate) fn next_batches(&self) -> Vec<Arc<Admitted>> {
        let inner = self.lock();
        let mut certificates: BTreeMap<u64, &Certificate> = BTreeMap::new();
        let mut held_back = BTreeSet::new();
        let mut inflated_bytes = 0;
        let mut batches = Vec::new();
        for admitted in &inner.queue {
            if inflated_bytes >= self.flush_bytes {
                break;
            }
            // A commit says one certificate for a stream; another one waits for the next.
            let certificate = certificates.entry(admitted.stream).or_insert(&admitted.certificate);
            if **certificate != admitted.certificate || held_back.contains(&admitted.stream) {
                held_back.insert(admitted.stream);
                continue;
            }
            inflated_bytes += admitted.batch.lines.inflated_bytes();
            batches.push(Arc::clone(admitted));
        }
        batches
    }

    /// Progress reports of all streams, and those that should not wait.
    pub(crate) fn progress(&self) -> (BTreeMap<u64, Progress>, BTreeSet<u64>) {
        let inner = self.lock();
        (inner.progress.clone(), inner.urgent.clone())
    }

    /// Forgets reports that are committed.
    pub(crate) fn reported(&self, streams: impl IntoIterator<Item = u64>) {
        let mut inner = self.lock();
        for stream in streams {
            inner.progress.remove(&stream);
            inner.urgent.remove(&stream);
        }
    }

    /// Removes batches that are committed or can never be.
    pub(crate) fn remove(&self, gone: &[Arc<Admitted>]) {
        let mut inner = self.lock();
        let mut freed = 0;
        inner.queue.retain(|admitted| {
            let keep = !gone.iter().any(|other| Arc::ptr_eq(other, admitted));
            if !keep {
                freed += admitted.batch.lines.inflated_bytes();
            }
            keep
        });
        inner.inflated_bytes = inner.inflated_bytes.saturating_sub(freed);
        inner.oldest = (!inner.queue.is_empty()).then(Instant::now);
        inner.settle_ends();
    }

    /// Drops everything buffered of a stream; its agent must say hello again.
    pub(crate) fn drop_stream(&self, stream: u64) {
        let mut inner = self.lock();
        let mut freed = 0;
        inner.queue.retain(|admitted| {
            let keep = admitted.stream != stream;
            if !keep {
                freed += admitted.batch.lines.inflated_bytes();
            }
            keep
        });
        inner.inflated_bytes = inner.inflated_bytes.saturating_sub(freed);
        inner.settle_ends();
    }

    /// Tells sessions where their streams stand now.
    pub(crate) fn publish(&self, state: &State) {
        let mut inner = self.lock();
        for (stream, sender) in &inner.streams {
            if let Some(position) = position(state, *stream) {
                sender.send_if_modified(|held| {
                    let changed = *held != position;
                    *held = position;
                    changed
                });
            }
        }
        // Nobody listens and nothing is buffered: the journal remembers it.
        let Inner { streams, ends, .. } = &mut *inner;
        streams.retain(|stream, sender| sender.receiver_count() > 0 || ends.contains_key(stream));
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic elsewhere does not make the queue wrong: every change is one step.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn settle_ends(&mut self) {
        let mut ends = BTreeMap::new();
        for admitted in &self.queue {
            ends.insert(admitted.stream, (admitted.batch.to, admitted.batch.chain));
        }
        self.ends = ends;
    }
}

/// Where a stream stands.
pub(crate) fn position(state: &State, stream: u64) -> Option<Position> {
    state.streams.get(&stream).map(|stream| Position {
        watermark: stream.watermark,
        chain: stream.chain,
        record: stream.record,
        ended: stream.ended,
    })
}
