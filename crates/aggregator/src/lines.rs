//! Lines of the log that a peer causes: so many at once, then one a second.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How long after one line the next may be written, once all at once are used up.
const LINE_EVERY: Duration = Duration::from_secs(1);

/// The turns of one kind of line.
#[derive(Debug)]
pub(crate) struct Lines {
    at_once: u32,
    told: Mutex<Told>,
}

#[derive(Debug, Default)]
struct Told {
    /// When all lines so far would have been written, had there been the pauses.
    until: Option<Instant>,
    untold: u64,
}

impl Lines {
    /// `at_once` lines are written without a pause between.
    pub(crate) fn new(at_once: u32) -> Self {
        Self { at_once, told: Mutex::default() }
    }

    /// How many lines before it were not written, if this one may be.
    pub(crate) fn turn(&self, now: Instant) -> Option<u64> {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let until = told.until.unwrap_or(now).max(now);
        if until - now >= LINE_EVERY * self.at_once {
            told.untold += 1;
            return None;
        }
        told.until = Some(until + LINE_EVERY);
        Some(std::mem::take(&mut told.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_do_not_fill_the_log() {
        let lines = Lines::new(32);
        let start = Instant::now();
        let told = (0..10_000).filter(|_| lines.turn(start).is_some()).count();
        assert_eq!(told, 32);
        assert_eq!(lines.turn(start + LINE_EVERY), Some(10_000 - 32));
    }
}
