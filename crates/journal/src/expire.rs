//! Retention: segments whose time is over go, from the journal's old end on.
//!
//! A record names them first, with their counts and the root of the tree over their
//! lines' leaves, so that whoever has a copy of a segment can still show that it was
//! the journal's. The journal's own records stay: they say who brought how much, and
//! when. The segments are deleted later, by whoever comes; a record then says how far
//! that is done. From the first record on a segment that is not there is not missing,
//! and a reader that knows of the record does not look for it.
//!
//! Nobody calls this who has not asked first whether anything still needs the events:
//! that is known above (`table`), and not here.
//!
//! Expiring needs no lease, as sweeping does not: it races for record n+1 like any
//! writer, and looks at what won before it tries again.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use integrity::{Hash, StreamHasher, Tree};
use jiff::Timestamp;
use object_store::path::Path;

use crate::commit::Committed;
use crate::error::JournalError;
use crate::leaves::gone;
use crate::read::{Journal, SegmentDamage};
use crate::record::{BatchEntry, Body, Expire, ExpiredSegment, SegmentRef};
use crate::state::{State, Stream};

/// Records that one step looks at at most,
const RECORDS_MAX: u64 = 4_096;

/// segments that it names at most,
const SEGMENTS_MAX: usize = 1_000;

/// and their bytes as stored, unless one alone has more: it reads them all.
const BYTES_MAX: u64 = 256 << 20;

/// Segments in memory at once.
const SEGMENTS_AT_ONCE: usize = 4;

/// Records asked for at once.
const READ_AHEAD: usize = 16;

/// Records whose segments may wait to be deleted; no more expire until they are.
const UNDELETED_RECORDS_MAX: u64 = 65_536;

/// Records that one deletion looks at at most,
const DELETED_RECORDS_MAX: u64 = 256;

/// and objects that it deletes: so many may be on their way when somebody says stop.
const DELETED_AT_ONCE: usize = 16;

/// Times that one call tries to win a number.
const ATTEMPTS_MAX: u32 = 16;

impl Journal {
    /// Up to which record one step may let segments go: the records up to `last` that
    /// were all made before `before`, by their writers' clocks. None if they have no
    /// segments, or if too many wait to be deleted.
    ///
    /// # Errors
    /// If the store does not answer.
    pub fn old_enough<'a>(
        &'a self,
        state: &'a State,
        before: Timestamp,
        last: u64,
    ) -> BoxFuture<'a, Result<Option<u64>, JournalError>> {
        Box::pin(async move {
            let expired = &state.expired;
            let last = last.min(state.head);
            if expired.to - expired.deleted >= UNDELETED_RECORDS_MAX || last <= expired.to {
                return Ok(None);
            }
            let (mut to, mut room) = (None, Room::default());
            let mut records = self.records(expired.to + 1..=last);
            while let Some((number, at, body)) = records.try_next().await? {
                if at >= before || !room.take(body.segment.as_ref()) {
                    break;
                }
                // Records without events are not worth one that lets them go.
                if body.segment.is_some() || room.records == RECORDS_MAX {
                    to = Some(number);
                }
            }
            Ok(to)
        })
    }

    /// Lets go the segments up to record `to`, or as many of them as one step takes:
    /// reads them and names them in a record. `state` is read to the journal's end by
    /// it. Says how many they are.
    ///
    /// # Errors
    /// If the store does not answer. Nothing has expired then.
    pub fn expire<'a>(
        &'a self,
        state: &'a mut State,
        to: u64,
        retention_days: u32,
    ) -> BoxFuture<'a, Result<u64, JournalError>> {
        Box::pin(async move {
            self.advance(state).await?;
            let from = state.expired.to + 1;
            let Some(expire) = self.step(state, from, to, retention_days).await? else {
                return Ok(0);
            };
            let segments = expire.segments.len() as u64;
            let won = self.commit_alone(state, Body { expire: Some(expire), ..Body::default() });
            let Some(number) = won.await? else { return Ok(0) };
            let to = state.expired.to;
            tracing::info!(number, to, segments, retention_days, "segments have expired");
            Ok(segments)
        })
    }

    /// Deletes the next few segments of those that have expired. `reached` is the record
    /// up to which that is done; says the one up to which it is then. To delete what is
    /// gone does no harm, so whoever does not know begins at [`Expired::deleted`].
    ///
    /// [`Expired::deleted`]: crate::Expired::deleted
    ///
    /// # Errors
    /// If the store does not answer. Calling again goes on.
    pub fn delete_expired<'a>(
        &'a self,
        state: &'a State,
        reached: u64,
    ) -> BoxFuture<'a, Result<u64, JournalError>> {
        Box::pin(async move {
            let end = state.expired.to.min(reached.saturating_add(DELETED_RECORDS_MAX));
            let (mut paths, mut last) = (Vec::new(), reached);
            let mut records = self.records(reached + 1..=end);
            while let Some((number, _, body)) = records.try_next().await? {
                last = number;
                paths.extend(body.segment.map(|segment| Path::from(segment.path)));
                if paths.len() == DELETED_AT_ONCE {
                    break;
                }
            }
            drop(records);
            let delete = |path: Path| async move {
                self.store.delete(&path).await.map_err(JournalError::Store)
            };
            let deleting = stream::iter(paths).map(delete).buffer_unordered(DELETED_AT_ONCE);
            deleting.try_for_each(|()| std::future::ready(Ok(()))).await?;
            Ok(last)
        })
    }

    /// Says in a record that the segments up to record `reached` are deleted.
    ///
    /// # Errors
    /// If the store does not answer.
    pub fn end_deletion<'a>(
        &'a self,
        state: &'a mut State,
        reached: u64,
    ) -> BoxFuture<'a, Result<(), JournalError>> {
        Box::pin(async move {
            self.advance(state).await?;
            let body = Body { deleted: Some(reached), ..Body::default() };
            if let Some(number) = self.commit_alone(state, body).await? {
                tracing::info!(number, reached, "expired segments are deleted");
            }
            Ok(())
        })
    }

    /// Commits it, unless another process has come first; gives the record's number.
    async fn commit_alone(
        &self,
        state: &mut State,
        body: Body,
    ) -> Result<Option<u64>, JournalError> {
        for _ in 0..ATTEMPTS_MAX {
            if state.check(&body).is_err() {
                return Ok(None);
            }
            if let Committed::Ours(number) = self.commit(state, &body).await? {
                return Ok(Some(number));
            }
        }
        Ok(None)
    }

    /// Records that are known to be there, and when each was made.
    fn records(
        &self,
        numbers: RangeInclusive<u64>,
    ) -> BoxStream<'_, Result<(u64, Timestamp, Body), JournalError>> {
        let read = move |number| async move {
            let record = self.ledger.read(number).await.map_err(JournalError::Ledger)?;
            let record = record.ok_or_else(|| gone(number))?;
            Ok((number, record.at, record.body().map_err(JournalError::Ledger)?))
        };
        stream::iter(numbers).map(read).buffered(READ_AHEAD).boxed()
    }

    /// What a record says that lets go the segments of `from` to `to`, or of fewer.
    async fn step(
        &self,
        state: &State,
        from: u64,
        to: u64,
        retention_days: u32,
    ) -> Result<Option<Expire>, JournalError> {
        let hasher = |stream: &Stream| {
            StreamHasher::new(&stream.account.to_string(), stream.agent.as_str(), stream.spool)
        };
        let streams = state.streams.iter().map(|(number, stream)| (*number, hasher(stream)));
        let hashers: Arc<Hashers> = Arc::new(streams.collect());
        let mut room = Room::default();
        let mut found: Vec<(u64, SegmentRef, Vec<BatchEntry>)> = Vec::new();
        let mut last = None;
        let mut records = self.records(from..=to.min(state.head));
        while let Some((number, at, body)) = records.try_next().await? {
            if !room.take(body.segment.as_ref()) {
                break;
            }
            found.extend(body.segment.map(|segment| (number, segment, body.batches)));
            last = Some((number, at));
        }
        drop(records);
        let Some((to, committed_at)) = last else { return Ok(None) };
        let segments = stream::iter(found)
            .map(|(number, segment, batches)| {
                self.expired_segment(Arc::clone(&hashers), number, segment, batches)
            })
            .buffered(SEGMENTS_AT_ONCE)
            .try_collect()
            .await?;
        Ok(Some(Expire { retention_days, from, to, committed_at, segments }))
    }

    async fn expired_segment(
        &self,
        hashers: Arc<Hashers>,
        record: u64,
        segment: SegmentRef,
        batches: Vec<BatchEntry>,
    ) -> Result<ExpiredSegment, JournalError> {
        let lines = batches.iter().map(BatchEntry::lines).sum();
        let continuations: u64 = batches.iter().map(|entry| entry.continuations).sum();
        let counts = batches.iter().map(BatchEntry::lines).collect();
        let root = match self.segment_whole(record, &segment, counts).await? {
            Ok(lines) => self.blocking.run(move || root(&hashers, &batches, &lines)).await,
            Err((damage, _)) => {
                let SegmentDamage { path, what, expired, .. } = damage;
                if !expired {
                    tracing::error!(record, path, "a segment expires without a root: {what}");
                }
                None
            }
        };
        Ok(ExpiredSegment {
            record,
            lines,
            units: lines - continuations,
            bytes: segment.bytes,
            root,
        })
    }
}

/// What makes the leaves of each stream.
type Hashers = BTreeMap<u64, StreamHasher>;

/// The root of the tree over the leaves of a segment's lines.
fn root(hashers: &Hashers, batches: &[BatchEntry], lines: &[Bytes]) -> Option<Hash> {
    let mut tree = Tree::default();
    for (entry, lines) in batches.iter().zip(lines) {
        let hasher = hashers.get(&entry.stream)?;
        let text = lines.strip_suffix(b"\n").unwrap_or(lines);
        for (sequence, line) in (entry.from..).zip(text.split(|byte| *byte == b'\n')) {
            tree.push(hasher.leaf(sequence, line));
        }
    }
    Some(tree.root())
}

/// What one step has taken.
#[derive(Default)]
struct Room {
    records: u64,
    segments: usize,
    bytes: u64,
}

impl Room {
    /// Takes a record, if there is room for it.
    fn take(&mut self, segment: Option<&SegmentRef>) -> bool {
        self.records += 1;
        if let Some(segment) = segment {
            self.segments += 1;
            self.bytes = self.bytes.saturating_add(segment.bytes);
        }
        let fits = self.segments <= SEGMENTS_MAX && self.bytes <= BYTES_MAX;
        self.records <= RECORDS_MAX && (fits || self.segments <= 1)
    }
}
