//! What is read of a store is counted: on S3 each request costs time and money.

use std::sync::atomic::{AtomicU64, Ordering};

/// What handles of a store have read, answers that were asked for again left aside.
#[derive(Debug, Default)]
pub struct Reads {
    requests: AtomicU64,
    bytes: AtomicU64,
}

impl Reads {
    /// Reads of objects or of parts of them, and listings.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Bytes of the objects that came.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn count(&self, requests: u64, bytes: usize) {
        self.requests.fetch_add(requests, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}
