//! What happened, in its order: one line for each event of the protocol.
//!
//! A run of one seed must repeat to the letter; the hash says whether it did.
//! The last lines are kept for whoever looks into a broken promise.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;

/// Lines that are kept.
const KEPT: usize = 400;

/// The trace of one run; clones are the same trace.
#[derive(Clone)]
pub(crate) struct Trace {
    inner: Arc<Mutex<Inner>>,
    reached: Arc<Notify>,
    began: Instant,
}

struct Inner {
    hash: u64,
    count: u64,
    kept: VecDeque<String>,
    awaited: Option<u64>,
    broken: Option<String>,
}

impl Trace {
    pub(crate) fn new() -> Self {
        let inner = Inner {
            // FNV-1a.
            hash: 0xcbf2_9ce4_8422_2325,
            count: 0,
            kept: VecDeque::new(),
            awaited: None,
            broken: None,
        };
        Self { inner: Arc::new(Mutex::new(inner)), reached: Arc::default(), began: Instant::now() }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something happened.
    pub(crate) fn note(&self, what: &str) {
        let line = format!("{:>9} {what}", self.began.elapsed().as_millis());
        let mut inner = self.inner();
        for byte in line.bytes() {
            inner.hash = (inner.hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        inner.count += 1;
        inner.kept.push_back(line);
        if inner.kept.len() > KEPT {
            inner.kept.pop_front();
        }
        if inner.awaited.is_some_and(|awaited| inner.count >= awaited) {
            inner.awaited = None;
            drop(inner);
            self.reached.notify_one();
        }
    }

    /// Waits until so many more things have happened.
    pub(crate) async fn after(&self, events: u64) {
        {
            let mut inner = self.inner();
            inner.awaited = Some(inner.count + events);
        }
        self.reached.notified().await;
    }

    /// A promise was not kept; only the first one counts.
    pub(crate) fn broken(&self, what: String) {
        self.note(&format!("BROKEN {what}"));
        self.inner().broken.get_or_insert(what);
    }

    /// The promise that was not kept, if there is one.
    pub(crate) fn check(&self) -> Result<(), String> {
        self.inner().broken.clone().map_or(Ok(()), Err)
    }

    pub(crate) fn hash(&self) -> u64 {
        self.inner().hash
    }

    pub(crate) fn tail(&self) -> Vec<String> {
        self.inner().kept.iter().cloned().collect()
    }
}
