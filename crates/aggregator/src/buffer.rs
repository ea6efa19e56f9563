//! The buffer: what was admitted and is not committed yet.
//!
//! Admission continues from the buffered end of a stream, or from its watermark
//! if nothing of it is buffered. What is buffered holds the credit that its agent
//! spent on it; dropping it gives the credit back to the pool, so memory cannot
//! leak on any path.
//!
//! A commit takes one batch of every stream, then a second one, until it is full:
//! an agent that sends a hundred times as much as another one fills what the
//! other leaves, and nobody waits behind its backlog. Streams that were in the last
//! commits are last in the next, should not all of them fit.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use integrity::Hash;
use journal::{Certificate, Progress, State};
use seam::{Guard, Guards};
use serde_json::{Map, Value};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::credit::{Permit, Pool};
use crate::verify::Verified;

/// Cursor changes in one commit, as JSON; a batch that alone has more is committed
/// alone. With what one batch may have, a commit record stays within its limit.
const COMMIT_CURSOR_BYTES_MAX: usize = 4 << 20;

/// Fewer inflated bytes than this wait longer for their commit: a small segment
/// compresses badly, and its record weighs as much as the events.
const FLUSH_WORTH_BYTES: u64 = 2 * 1024 * 1024;

/// So many times as long.
const QUIET_AGES: u32 = 3;

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
    /// How long the cursor changes are as JSON.
    pub(crate) cursor_bytes: usize,
    /// Held for its drop: it goes back to the pool when the batch leaves the buffer.
    pub(crate) _credit: Permit,
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
    credit: Arc<Pool>,
    flush_bytes: u64,
    flush_age: Duration,
    guards: Guards,
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
    /// Of streams with a backlog, when they last were in a commit.
    turns: BTreeMap<u64, u64>,
    turn: u64,
}

impl Buffer {
    /// A buffer of `buffer_bytes`, to be flushed at `flush_bytes` or `flush_age`,
    /// shared by at most `sessions_max` sessions.
    #[must_use]
    pub fn new(
        buffer_bytes: u64,
        flush_bytes: u64,
        flush_age: Duration,
        sessions_max: usize,
    ) -> Self {
        Self {
            inner: Mutex::default(),
            changed: Notify::new(),
            credit: Arc::new(Pool::new(buffer_bytes, sessions_max)),
            flush_bytes,
            flush_age,
            guards: Guards::default(),
        }
    }

    /// The same under these guards.
    #[must_use]
    pub fn guarded_by(self, guards: Guards) -> Self {
        Self { guards, ..self }
    }

    /// The pool that all credit comes from.
    pub(crate) fn credit(&self) -> &Arc<Pool> {
        &self.credit
    }

    /// Bytes that are granted or buffered.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        self.credit.used_bytes()
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
            .filter(|_| self.guards.hold(Guard::BufferedEnd))
            .unwrap_or((position.watermark, position.chain));
        let batch = &admitted.batch;
        if batch.to <= end && self.guards.hold(Guard::Watermark) {
            let same = batch.to != end || batch.chain == chain;
            return if same { Admission::Duplicate } else { Admission::OutOfSequence { end } };
        }
        let follows = batch.from == end + 1 || !self.guards.hold(Guard::Watermark);
        let chained = batch.previous_chain == chain || !self.guards.hold(Guard::ChainOfBatch);
        if !follows || !chained {
            return Admission::OutOfSequence { end };
        }
        if !self.guards.hold(Guard::AckAfterCommit)
            && let Some(sender) = inner.streams.get(&admitted.stream)
        {
            sender.send_modify(|position| {
                (position.watermark, position.chain) = (batch.to, batch.chain);
            });
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
            match self.due_at() {
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

    /// Whether a flush is due now.
    pub(crate) fn is_due(&self) -> bool {
        self.due_at().is_some_and(|at| at <= Instant::now())
    }

    /// When a flush is due, as things stand.
    fn due_at(&self) -> Option<Instant> {
        let mut inner = self.lock();
        if inner.inflated_bytes >= self.flush_bytes {
            return Some(Instant::now());
        }
        let is_urgent = !inner.urgent.is_empty();
        if is_urgent {
            inner.oldest.get_or_insert_with(Instant::now);
        }
        let is_worth_it = is_urgent || inner.inflated_bytes >= FLUSH_WORTH_BYTES;
        let age = if is_worth_it { self.flush_age } else { QUIET_AGES * self.flush_age };
        inner.oldest.map(|oldest| oldest + age)
    }

    /// The batches of the next commit, each stream's in order and together; they
    /// stay buffered until [`Buffer::remove`].
    pub(crate) fn next_batches(&self) -> Vec<Arc<Admitted>> {
        let inner = self.lock();
        let mut places: BTreeMap<u64, usize> = BTreeMap::new();
        let mut streams: Vec<VecDeque<&Arc<Admitted>>> = Vec::new();
        for admitted in &inner.queue {
            let place = *places.entry(admitted.stream).or_insert(streams.len());
            match streams.get_mut(place) {
                Some(batches) => batches.push_back(admitted),
                None => streams.push(VecDeque::from([admitted])),
            }
        }
        // Stable: those of one turn stay in the order in which they came.
        streams.sort_by_key(|batches| {
            batches.front().and_then(|first| inner.turns.get(&first.stream)).copied()
        });
        let mut taken: Vec<Vec<Arc<Admitted>>> = vec![Vec::new(); streams.len()];
        let (mut inflated_bytes, mut cursor_bytes) = (0, 0);
        let mut takes = true;
        while takes {
            takes = false;
            for (waiting, taken) in streams.iter_mut().zip(&mut taken) {
                let Some(next) = waiting.pop_front() else { continue };
                // A commit says one certificate for a stream; another one waits for the next.
                let differs = |first: &Arc<Admitted>| first.certificate != next.certificate;
                let cursors = cursor_bytes + next.cursor_bytes;
                let is_full = inflated_bytes >= self.flush_bytes
                    || (inflated_bytes > 0 && cursors > COMMIT_CURSOR_BYTES_MAX);
                if is_full || taken.first().is_some_and(differs) {
                    waiting.clear();
                    continue;
                }
                inflated_bytes += next.batch.lines.inflated_bytes();
                cursor_bytes = cursors;
                taken.push(Arc::clone(next));
                takes = true;
            }
        }
        taken.into_iter().flatten().collect()
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
        inner.turn += 1;
        let turn = inner.turn;
        inner.turns.extend(gone.iter().map(|admitted| (admitted.stream, turn)));
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

    /// Drops everything buffered of a stream; its sessions end, and its agent must
    /// say hello again.
    pub(crate) fn drop_stream(&self, stream: u64) {
        let mut inner = self.lock();
        inner.streams.remove(&stream);
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
        self.turns.retain(|stream, _| ends.contains_key(stream));
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

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures::FutureExt as _;
    use identity::SpeaksFor;
    use journal::{AgentKey, BatchLines};

    use super::*;

    fn buffer(flush_bytes: u64) -> Buffer {
        Buffer::new(64 << 20, flush_bytes, Duration::from_secs(2), 8)
    }

    /// A batch of one line of so many bytes; `certificate` is what its agent showed.
    fn offer(buffer: &Buffer, stream: u64, from: u64, bytes: usize, certificate: u8) -> Admission {
        let account = "111122223333".parse().expect("an account");
        let key = AgentKey { account, agent: format!("a{stream}").parse().expect("a name") };
        buffer.follow(
            stream,
            Position { watermark: 0, chain: Hash([0; 32]), record: stream, ended: false },
        );
        let credit = buffer.credit().ask(&key, 1).granted().now_or_never().expect("a byte");
        let chain = |sequence: u64| Hash([u8::try_from(sequence % 251).expect("below 251"); 32]);
        buffer.admit(Admitted {
            stream,
            certificate: Certificate {
                fingerprint: Hash([certificate; 32]),
                speaks_for: SpeaksFor::Account(account),
            },
            batch: Verified {
                from,
                to: from,
                previous_chain: chain(from - 1),
                chain: chain(from),
                continuations: 0,
                lines: BatchLines::Plain(Bytes::from(vec![b'x'; bytes])),
            },
            cursors: BTreeMap::new(),
            cursor_bytes: bytes,
            _credit: credit,
        })
    }

    fn taken(buffer: &Buffer) -> Vec<(u64, u64)> {
        let batches = buffer.next_batches();
        batches.iter().map(|admitted| (admitted.stream, admitted.batch.from)).collect()
    }

    #[test]
    fn a_commit_takes_from_every_stream_before_it_takes_more_of_one() {
        let buffer = buffer(10_000);
        for from in 1..=100 {
            assert_eq!(offer(&buffer, 1, from, 1_000, 1), Admission::Admitted);
        }
        offer(&buffer, 2, 1, 10, 1);
        offer(&buffer, 3, 1, 10, 1);
        offer(&buffer, 2, 2, 10, 1);
        let first = taken(&buffer);
        let of = |stream: u64| -> Vec<u64> {
            first.iter().filter(|(number, _)| *number == stream).map(|(_, from)| *from).collect()
        };
        assert_eq!((of(2), of(3)), (vec![1, 2], vec![1]), "nobody waits behind a backlog");
        assert_eq!(of(1), (1..=10).collect::<Vec<_>>(), "and it fills the rest, in its order");
        let mut together = first.iter().map(|(stream, _)| *stream).collect::<Vec<_>>();
        together.dedup();
        assert_eq!(together, [1, 2, 3], "a stream's batches stand together");
    }

    #[test]
    fn with_more_streams_than_fit_those_left_out_are_first_in_the_next_commit() {
        let buffer = buffer(1_000);
        for stream in 1..=30 {
            offer(&buffer, stream, 1, 100, 1);
            offer(&buffer, stream, 2, 100, 1);
        }
        let mut seen = Vec::new();
        for _ in 0..3 {
            let batches = buffer.next_batches();
            seen.extend(batches.iter().map(|admitted| (admitted.stream, admitted.batch.from)));
            buffer.remove(&batches);
        }
        assert_eq!(seen.iter().filter(|(_, from)| *from == 1).count(), 30, "{seen:?}");
    }

    #[test]
    fn one_commit_holds_one_certificate_of_a_stream_and_bounded_cursors() {
        let buffer = buffer(64 << 20);
        offer(&buffer, 1, 1, 10, 1);
        offer(&buffer, 1, 2, 10, 2);
        offer(&buffer, 1, 3, 10, 1);
        assert_eq!(taken(&buffer), [(1, 1)]);
        buffer.remove(&buffer.next_batches());
        for stream in 2..8 {
            offer(&buffer, stream, 1, 1 << 20, 1);
        }
        let cursors: usize =
            buffer.next_batches().iter().map(|admitted| admitted.cursor_bytes).sum();
        assert!(cursors <= COMMIT_CURSOR_BYTES_MAX && cursors > 0, "{cursors}");
    }
}
