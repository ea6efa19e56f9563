//! What an operator can see of a running agent: numbers, kept up as they change.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The time of one record is remembered for all that follow within this.
const MARK_EVERY: Duration = Duration::from_secs(1);

/// Times remembered at most; beyond, every second one is forgotten.
const MARKS_MAX: usize = 4_096;

/// What is known of an agent. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Vitals(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    durable: u64,
    released: u64,
    disk_bytes: u64,
    disk_bytes_max: u64,
    /// Sequences and when they came, oldest first.
    marks: VecDeque<(u64, Instant)>,
    forks: u64,
    gaps: u64,
    damage: u64,
    /// Why nothing is forwarded; none while a session stands.
    trouble: Option<String>,
}

impl Vitals {
    /// A spool was opened.
    pub(crate) fn opened(&self, durable: u64, released: u64, bytes: (u64, u64)) {
        let mut inner = self.lock();
        (inner.durable, inner.released) = (durable, released);
        (inner.disk_bytes, inner.disk_bytes_max) = bytes;
        inner.marks.clear();
        if durable > released {
            // When they came is not known any more; not later than now.
            inner.marks.push_back((released + 1, Instant::now()));
        }
    }

    pub(crate) fn appended(&self, durable: u64, disk_bytes: u64) {
        let mut inner = self.lock();
        let (first, now) = (inner.durable + 1, Instant::now());
        let is_due = inner.marks.back().is_none_or(|(_, at)| now - *at >= MARK_EVERY);
        if durable >= first && is_due {
            inner.marks.push_back((first, now));
        }
        if inner.marks.len() > MARKS_MAX {
            let mut keep = false;
            inner.marks.retain(|_| {
                keep = !keep;
                keep
            });
        }
        (inner.durable, inner.disk_bytes) = (durable, disk_bytes);
    }

    pub(crate) fn released(&self, to: u64, disk_bytes: u64) {
        let mut inner = self.lock();
        (inner.released, inner.disk_bytes) = (to.max(inner.released), disk_bytes);
        let released = inner.released;
        while inner.marks.get(1).is_some_and(|(first, _)| *first <= released + 1) {
            inner.marks.pop_front();
        }
        if released >= inner.durable {
            inner.marks.clear();
        }
    }

    pub(crate) fn forked(&self) {
        self.lock().forks += 1;
    }

    pub(crate) fn declared_gap(&self) {
        self.lock().gaps += 1;
    }

    pub(crate) fn found_damage(&self, places: usize) {
        self.lock().damage += places as u64;
    }

    pub(crate) fn forwarding(&self) {
        self.lock().trouble = None;
    }

    pub(crate) fn not_forwarding(&self, why: &str) {
        self.lock().trouble = Some(why.to_owned());
    }

    /// Whether events are being forwarded; else why not, in a sentence.
    ///
    /// # Errors
    /// The sentence.
    pub fn ready(&self) -> Result<(), String> {
        let inner = self.lock();
        inner.trouble.clone().map_or(Ok(()), Err)
    }

    /// How long the oldest record that is not acked has been here.
    #[must_use]
    pub fn oldest_unacked(&self) -> Duration {
        self.lock().oldest()
    }

    /// Everything, in Prometheus's text form.
    #[must_use]
    pub fn metrics(&self) -> String {
        let inner = self.lock();
        let mut text = String::new();
        let mut line = |name: &str, kind: &str, help: &str, value: String| {
            writeln!(
                text,
                "# HELP orgtrail_agent_{name} {help}\n# TYPE orgtrail_agent_{name} {kind}\n\
                 orgtrail_agent_{name} {value}"
            )
            .expect("a string takes whatever is written");
        };
        let depth = inner.durable.saturating_sub(inner.released);
        let oldest = inner.oldest().as_secs_f64();
        let forwarding = u8::from(inner.trouble.is_none());
        line("spool_records", "gauge", "Records that are not acked", depth.to_string());
        line("spool_bytes", "gauge", "Bytes of the spool on disk", inner.disk_bytes.to_string());
        line(
            "spool_bytes_max",
            "gauge",
            "Bytes that the spool may occupy",
            inner.disk_bytes_max.to_string(),
        );
        line(
            "oldest_unacked_seconds",
            "gauge",
            "Age of the oldest record that is not acked, since the start at most",
            format!("{oldest:.3}"),
        );
        line("forwarding", "gauge", "1 while an aggregator takes events", forwarding.to_string());
        line("forks_total", "counter", "Spools left for a new one", inner.forks.to_string());
        line("gaps_total", "counter", "Gaps declared", inner.gaps.to_string());
        line(
            "damage_total",
            "counter",
            "Places of the spool that could not be read",
            inner.damage.to_string(),
        );
        text
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Numbers for people: each is whole, whatever panicked.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn oldest(&self) -> Duration {
        self.marks.front().map_or(Duration::ZERO, |(_, at)| at.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_age_is_that_of_the_oldest_record_that_is_not_acked() {
        let vitals = Vitals::default();
        vitals.opened(0, 0, (0, 100));
        assert_eq!(vitals.oldest_unacked(), Duration::ZERO);
        for second in 1..=10 {
            vitals.appended(second * 3, 10);
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert_eq!(vitals.oldest_unacked(), Duration::from_secs(10));
        vitals.released(4, 10);
        assert_eq!(vitals.oldest_unacked(), Duration::from_secs(9), "5 and 6 came with 4");
        vitals.released(6, 10);
        assert_eq!(vitals.oldest_unacked(), Duration::from_secs(8));
        vitals.released(30, 0);
        assert_eq!(vitals.oldest_unacked(), Duration::ZERO);
        assert!(vitals.metrics().contains("orgtrail_agent_spool_records 0\n"));
    }
}
