//! The last bytes of an object: where a footer lies, and all of a small object.

use std::ops::Range;

use bytes::Bytes;

/// The last bytes of an object that was opened, so that nothing of them is asked for again.
#[derive(Clone, Debug, Default)]
pub struct Tail {
    from: u64,
    bytes: Bytes,
}

impl Tail {
    /// Bytes that begin at `from` in an object, and end with it.
    #[must_use]
    pub fn new(from: u64, bytes: Bytes) -> Self {
        Self { from, bytes }
    }

    /// How many they are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// A part of the object, if it is among them.
    #[must_use]
    pub fn part(&self, range: &Range<u64>) -> Option<Bytes> {
        let at = |position: u64| usize::try_from(position.checked_sub(self.from)?).ok();
        let (from, to) = (at(range.start)?, at(range.end)?);
        (from <= to && to <= self.bytes.len()).then(|| self.bytes.slice(from..to))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_given_whole_or_not_at_all() {
        let tail = Tail::new(10, Bytes::from_static(b"0123"));
        assert_eq!(tail.part(&(11..13)).as_deref(), Some(&b"12"[..]));
        assert_eq!(tail.part(&(10..14)).as_deref(), Some(&b"0123"[..]));
        for range in [9..12, 12..15, 0..4, Range { start: 13, end: 12 }] {
            assert_eq!(tail.part(&range), None, "{range:?}");
        }
    }
}
