//! A flush: the buffer becomes one segment and one commit record.
//!
//! Every attempt validates against the state as it is then. A batch that another
//! aggregator committed meanwhile, or whose stream was fenced, leaves the buffer;
//! what still stands is put again under a fresh segment name. Acks follow from
//! what [`Buffer::publish`](crate::Buffer) says after the fold, and from nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use journal::{BatchEntry, BatchLines, Body, Committed, Invalid, SegmentRef, pack};
use seam::Guard;
use tokio_util::sync::CancellationToken;

use crate::buffer::Admitted;
use crate::committer::{Committer, CommitterError};

impl Committer {
    /// Commits what waits, as often as the buffer is still due.
    pub(crate) async fn flush(&mut self, stop: &CancellationToken) -> Result<(), CommitterError> {
        self.flush_once(stop).await.map(|_| ())
    }

    /// Makes at most one commit; false if there was nothing, or it was given up.
    pub(crate) async fn flush_once(
        &mut self,
        stop: &CancellationToken,
    ) -> Result<bool, CommitterError> {
        let mut put: Option<(Vec<Arc<Admitted>>, SegmentRef)> = None;
        let mut attempt = 0;
        loop {
            let batches = self.standing();
            let progress = self.due_progress();
            if batches.is_empty() && progress.is_empty() {
                self.buffer.remove(&[]);
                return Ok(false);
            }
            let reusable = put.as_ref().is_some_and(|(held, _)| same(held, &batches));
            if !reusable && !batches.is_empty() {
                match self.put_segment(&batches).await {
                    Ok(segment) => put = Some((batches.clone(), segment)),
                    Err(error) => {
                        if !self.wait_after(error, attempt, stop).await? {
                            return Ok(false);
                        }
                        attempt += 1;
                        continue;
                    }
                }
            }
            let segment = put.as_ref().map(|(_, segment)| segment.clone());
            let mut body = body(&self.state, &batches, segment);
            body.progress = progress;
            let checked = self.state.check(&body);
            if let Err(Invalid::Swept(path)) = checked {
                tracing::info!(%path, "a segment was swept before its commit; uploading again");
                self.journal.discard(&path).await;
                put = None;
                continue;
            }
            if let Err(invalid) = checked {
                self.expel(&batches, &body, &invalid);
                continue;
            }
            match self.journal.commit(&mut self.state, &body).await {
                Ok(Committed::Ours(number)) => {
                    self.committed(number, &batches, &body);
                    return Ok(true);
                }
                Ok(Committed::Theirs(number)) => {
                    tracing::debug!(number, "another aggregator made the record; trying the next");
                    self.metrics.conflicts.inc();
                    self.published();
                }
                Err(error) => {
                    if !self.wait_after(error, attempt, stop).await? {
                        return Ok(false);
                    }
                    attempt += 1;
                }
            }
        }
    }

    /// The next batches that continue their streams as these stand now. Those
    /// that cannot any more leave the buffer.
    fn standing(&mut self) -> Vec<Arc<Admitted>> {
        let guards = self.state.guards();
        let mut ends = BTreeMap::new();
        let (mut standing, mut gone) = (Vec::new(), Vec::new());
        for admitted in self.buffer.next_batches() {
            let Some(stream) = self.state.streams.get(&admitted.stream) else {
                gone.push(admitted);
                continue;
            };
            let end = ends.entry(admitted.stream).or_insert((stream.watermark, stream.chain));
            let batch = &admitted.batch;
            let follows = batch.from == end.0 + 1 || !guards.hold(Guard::Watermark);
            let chained = batch.previous_chain == end.1 || !guards.hold(Guard::ChainOfBatch);
            if !stream.ended && follows && chained {
                if guards.hold(Guard::CumulativeValidation) {
                    *end = (batch.to, batch.chain);
                }
                standing.push(admitted);
            } else {
                gone.push(admitted);
            }
        }
        if !gone.is_empty() {
            self.buffer.remove(&gone);
        }
        shared_frames_first(standing)
    }

    async fn put_segment(
        &self,
        batches: &[Arc<Admitted>],
    ) -> Result<SegmentRef, journal::JournalError> {
        let held = batches.to_vec();
        let packed = self
            .blocking
            .run(move || {
                pack(held.iter().map(|admitted| {
                    let batch = &admitted.batch;
                    (&batch.lines, batch.to - batch.from + 1)
                }))
            })
            .await
            .expect("zstd compresses from memory to memory");
        self.journal.put_segment(&packed, self.state.head).await
    }

    /// A commit that the state does not allow names its stream; that stream's
    /// batches leave the buffer and its agent says hello again.
    fn expel(&mut self, batches: &[Arc<Admitted>], body: &Body, invalid: &Invalid) {
        let culprit = batches.iter().map(|admitted| admitted.stream).find(|stream| {
            let mut alone = Body { certificates: body.certificates.clone(), ..Body::default() };
            alone.certificates.retain(|number, _| number == stream);
            alone.cursors =
                body.cursors.iter().filter(|(n, _)| *n == stream).map(clone_pair).collect();
            self.state.check(&alone).is_err()
        });
        tracing::warn!(%invalid, ?culprit, "a batch cannot be committed; its agent must say hello again");
        match culprit {
            Some(stream) => self.buffer.drop_stream(stream),
            None => self.buffer.remove(batches),
        }
    }

    fn committed(&mut self, number: u64, batches: &[Arc<Admitted>], body: &Body) {
        let now = self.clock.now();
        for stream in body.progress.keys() {
            self.progress_committed_at.insert(*stream, now);
        }
        let streams = &self.state.streams;
        self.progress_committed_at
            .retain(|stream, _| streams.get(stream).is_some_and(|stream| !stream.ended));
        self.buffer.reported(body.progress.keys().copied());
        let lines: u64 = body.batches.iter().map(BatchEntry::lines).sum();
        self.metrics.commits.inc();
        self.metrics.events.inc_by(lines);
        self.metrics.segment_bytes.inc_by(body.segment.as_ref().map_or(0, |s| s.bytes));
        tracing::debug!(number, lines, batches = batches.len(), "committed");
        // First where the streams stand, then room in the buffer: a batch sent twice
        // must find its stream's new end, not a hole.
        self.published();
        self.buffer.remove(batches);
    }
}

/// Streams whose batches keep their own frames come last, so that all others
/// share frames; a stream's batches stay together and in their order.
fn shared_frames_first(mut batches: Vec<Arc<Admitted>>) -> Vec<Arc<Admitted>> {
    let framed: BTreeSet<u64> = batches
        .iter()
        .filter(|admitted| matches!(admitted.batch.lines, BatchLines::Frame { .. }))
        .map(|admitted| admitted.stream)
        .collect();
    batches.sort_by_key(|admitted| framed.contains(&admitted.stream));
    batches
}

fn clone_pair<K: Clone, V: Clone>((key, value): (&K, &V)) -> (K, V) {
    (key.clone(), value.clone())
}

fn same(a: &[Arc<Admitted>], b: &[Arc<Admitted>]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| Arc::ptr_eq(a, b))
}

/// The record for these batches. Neighbours of one stream become one entry.
fn body(state: &journal::State, batches: &[Arc<Admitted>], segment: Option<SegmentRef>) -> Body {
    let mut body = Body::default();
    for admitted in batches {
        let Admitted { stream, certificate, batch, cursors, .. } = admitted.as_ref();
        let continuations = batch.continuations;
        match body.batches.last_mut() {
            Some(last) if last.stream == *stream => {
                last.to = batch.to;
                last.chain = batch.chain;
                last.continuations += continuations;
            }
            _ => body.batches.push(BatchEntry {
                stream: *stream,
                from: batch.from,
                to: batch.to,
                chain: batch.chain,
                continuations,
            }),
        }
        for (source, changes) in cursors {
            let merged =
                body.cursors.entry(*stream).or_default().entry(source.clone()).or_default();
            merged.extend(changes.iter().map(clone_pair));
        }
        let known = state.streams.get(stream).map(|stream| &stream.certificate);
        if known != Some(certificate) {
            body.certificates.insert(*stream, certificate.clone());
        }
    }
    if !batches.is_empty() {
        body.segment = segment;
    }
    body
}
