//! Collecting: from one source into the spool, each piece with its cursor change.
//!
//! Only when a piece is on disk does the source move on; that is what
//! [`Source::next`] being called again means. A full disk pauses the source and
//! says so; nothing is dropped.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use event::set_aside;
use seam::Blocking;
use spool::{AppendError, Entry};
use tokio_util::sync::CancellationToken;
use wire::v1;

use crate::hold::{Hold, HoldError};
use crate::source::{Piece, Source, SourceError};

/// Lines taken from a source at once, in bytes.
const BUDGET_BYTES: usize = 2 * 1024 * 1024;

/// How long a source rests after it could not be read.
const RETRY: Duration = Duration::from_secs(5);

/// How often a full spool is tried again although nothing was released: the disk
/// may have got room by other means.
const FULL_RETRY: Duration = Duration::from_secs(5);

/// What sources say of themselves, for batches and heartbeats.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reports(Arc<Mutex<BTreeMap<String, v1::SourceProgress>>>);

impl Reports {
    pub(crate) fn all(&self) -> Vec<v1::SourceProgress> {
        let reports = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        reports.values().cloned().collect()
    }

    /// Names all sources before any of them is read, each with its known delay. A
    /// report that leaves one out would claim to be complete without it.
    pub(crate) fn begin(&self, sources: impl IntoIterator<Item = (String, Option<u64>)>) {
        let mut reports = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (source, known_delay_secs) in sources {
            let report = v1::SourceProgress {
                source: source.clone(),
                caught_up_at_millis: None,
                known_delay_secs,
            };
            reports.insert(source, report);
        }
    }

    fn set(&self, report: v1::SourceProgress) {
        let mut reports = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        reports.insert(report.source.clone(), report);
    }
}

/// Drives one source.
pub(crate) struct Collect {
    pub(crate) source: Box<dyn Source>,
    pub(crate) known_delay_secs: Option<u64>,
    pub(crate) hold: Arc<Hold>,
    pub(crate) reports: Reports,
    pub(crate) blocking: Blocking,
    /// Units put into the spool since the agent began.
    pub(crate) read: Arc<AtomicU64>,
}

/// Why collecting ended before its source did.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CollectError {
    #[error("read source {name}")]
    Source {
        name: String,
        #[source]
        source: SourceError,
    },
    #[error("keep what source {name} yields")]
    Hold {
        name: String,
        #[source]
        source: HoldError,
    },
}

impl Collect {
    /// Runs until the source has finished or `stop`.
    pub(crate) async fn run(mut self, stop: CancellationToken) -> Result<(), CollectError> {
        let name = self.source.name().to_owned();
        loop {
            let pieces = tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                pieces = self.source.next(BUDGET_BYTES) => pieces,
            };
            let pieces = match pieces {
                Ok(pieces) => pieces,
                Err(source @ SourceError::Cursor { .. }) => {
                    return Err(CollectError::Source { name, source });
                }
                Err(error) => {
                    tracing::warn!(
                        source = %name,
                        error = &error as &dyn std::error::Error,
                        "cannot read now; trying again"
                    );
                    if !rest(&stop, RETRY).await {
                        return Ok(());
                    }
                    continue;
                }
            };
            if !pieces.is_empty() && !self.keep(&name, pieces, &stop).await? {
                return Ok(());
            }
            let standing = self.source.standing();
            self.reports.set(v1::SourceProgress {
                source: name.clone(),
                caught_up_at_millis: standing.caught_up_at.map(|at| at.as_millisecond()),
                known_delay_secs: self.known_delay_secs,
            });
            if standing.finished {
                return Ok(());
            }
        }
    }

    /// Puts pieces into the spool; false if stopped before there was room.
    async fn keep(
        &mut self,
        name: &str,
        pieces: Vec<Piece>,
        stop: &CancellationToken,
    ) -> Result<bool, CollectError> {
        let label = serde_json::to_string(name).unwrap_or_default();
        let mut waiting: VecDeque<Kept> = VecDeque::new();
        waiting.push_back(Arc::new(
            pieces
                .into_iter()
                .map(|piece| (piece.line, format!("{{{label}:{}}}", piece.cursor).into_bytes()))
                .collect(),
        ));
        let mut full = false;
        let hold = Arc::clone(&self.hold);
        while let Some(entries) = waiting.pop_front() {
            let room = hold.room();
            match self.append(Arc::clone(&entries)).await {
                Ok(()) => {
                    let units =
                        entries.iter().filter(|(line, _)| !set_aside::is_continuation(line));
                    self.read.fetch_add(units.count() as u64, Ordering::Relaxed);
                }
                Err(error @ AppendError::Full { .. }) => {
                    if !full {
                        tracing::warn!(source = %name, "paused: {error}");
                        full = true;
                    }
                    // A smaller step may still fit, and gives the aggregator more to ack.
                    if entries.len() > 1 {
                        let (first, second) = entries.split_at(entries.len() / 2);
                        waiting.push_front(Arc::new(second.to_vec()));
                        waiting.push_front(Arc::new(first.to_vec()));
                        continue;
                    }
                    waiting.push_front(entries);
                    tokio::select! {
                        biased;
                        () = stop.cancelled() => return Ok(false),
                        () = room => {}
                        () = tokio::time::sleep(FULL_RETRY) => {}
                    }
                }
                Err(error) => {
                    let source = HoldError::Append(error);
                    return Err(CollectError::Hold { name: name.to_owned(), source });
                }
            }
        }
        if full {
            tracing::info!(source = %name, "there is room again; going on");
        }
        Ok(true)
    }

    async fn append(&mut self, entries: Kept) -> Result<(), AppendError> {
        let hold = Arc::clone(&self.hold);
        let append = move || {
            let entries: Vec<Entry<'_>> =
                entries.iter().map(|(payload, cursors)| Entry { payload, cursors }).collect();
            hold.append(&entries)
        };
        self.blocking.run(append).await
    }
}

/// Lines and their cursor changes on the way into the spool.
type Kept = Arc<Vec<(Vec<u8>, Vec<u8>)>>;

/// Sleeps; false if stopped meanwhile.
pub(crate) async fn rest(stop: &CancellationToken, time: Duration) -> bool {
    tokio::select! {
        biased;
        () = stop.cancelled() => false,
        () = tokio::time::sleep(time) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_source_is_reported_before_any_of_them_was_read() {
        let reports = Reports::default();
        let delays = [("slow", Some(60)), ("trail", Some(0)), ("app", None)];
        reports.begin(delays.map(|(name, delay)| (name.to_owned(), delay)));
        reports.set(v1::SourceProgress {
            source: "trail".to_owned(),
            caught_up_at_millis: Some(7),
            known_delay_secs: Some(0),
        });
        let said: Vec<_> = reports
            .all()
            .into_iter()
            .map(|report| (report.source, report.caught_up_at_millis, report.known_delay_secs))
            .collect();
        let expected = [("app", None, None), ("slow", None, Some(60)), ("trail", Some(7), Some(0))];
        assert_eq!(said, expected.map(|(name, at, delay)| (name.to_owned(), at, delay)));
    }
}
