//! What is read of a store is counted: on S3 each request costs time and money.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use object_store::OBJECT_STORE_COALESCE_DEFAULT;

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

    /// Counts a read of several ranges of one object, as a store that is reached by
    /// HTTP answers it: ranges that lie close are one request, and what lies between comes
    /// with them.
    pub fn count_ranges(&self, ranges: &[Range<u64>]) {
        let mut ranges: Vec<&Range<u64>> = ranges.iter().collect();
        ranges.sort_unstable_by_key(|range| range.start);
        let mut end = None;
        for range in ranges {
            match end {
                Some(end) if range.start <= end + OBJECT_STORE_COALESCE_DEFAULT => {
                    self.add(0, range.end.saturating_sub(end));
                }
                _ => self.add(1, range.end - range.start),
            }
            end = end.max(Some(range.end));
        }
    }

    pub(crate) fn count(&self, requests: u64, bytes: usize) {
        self.add(requests, bytes as u64);
    }

    fn add(&self, requests: u64, bytes: u64) {
        self.requests.fetch_add(requests, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_that_lie_close_are_one_request_with_what_lies_between() {
        let reads = Reads::default();
        reads.count_ranges(&[100..200, 0..50, 60..70]);
        assert_eq!((reads.requests(), reads.bytes()), (1, 200));
        let far = 300 + OBJECT_STORE_COALESCE_DEFAULT;
        reads.count_ranges(&[0..200, 100..150, far..far + 10]);
        assert_eq!((reads.requests(), reads.bytes()), (3, 410));
        reads.count_ranges(&[]);
        assert_eq!(reads.requests(), 3);
    }
}
