//! How often one agent may do what costs others: begin a session, open a spool.
//!
//! Each hello makes the journal be read to its end, and each opened spool is a
//! commit and stays in the folded state for ever. Both are rare in an agent's
//! life; one that does nothing else is told to wait, so that it takes a named
//! share of the aggregator and no more.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use journal::AgentKey;
use tokio::time::Instant;

/// What one agent may do at once after a quiet time.
const BURST: u32 = 64;

/// After that, one session in this time.
const SESSION_EVERY: Duration = Duration::from_secs(1);

/// And one opened spool in this time.
const OPEN_EVERY: Duration = Duration::from_secs(10);

/// Agents remembered before those who have been quiet are forgotten.
const REMEMBERED_MAX: usize = 4_096;

/// The paces of one aggregator.
#[derive(Debug)]
pub(crate) struct Paces {
    pub(crate) sessions: Pace,
    pub(crate) opens: Pace,
}

/// One pace, kept for each agent.
#[derive(Debug)]
pub(crate) struct Pace {
    every: Duration,
    /// When each agent's burst would be used up, had it gone at the pace.
    used_until: Mutex<BTreeMap<AgentKey, Instant>>,
}

impl Default for Paces {
    fn default() -> Self {
        Self { sessions: Pace::new(SESSION_EVERY), opens: Pace::new(OPEN_EVERY) }
    }
}

impl Pace {
    fn new(every: Duration) -> Self {
        Self { every, used_until: Mutex::default() }
    }

    /// Whether an agent may do it now; if so, it has.
    pub(crate) fn take(&self, key: &AgentKey, now: Instant) -> bool {
        let mut used_until = self.used_until.lock().unwrap_or_else(PoisonError::into_inner);
        if used_until.len() >= REMEMBERED_MAX {
            used_until.retain(|_, until| *until > now);
        }
        let until = used_until.get(key).copied().unwrap_or(now).max(now);
        let may = until - now < self.every * BURST;
        if may {
            used_until.insert(key.clone(), until + self.every);
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent(name: &str) -> AgentKey {
        let account = "111122223333".parse().expect("an account");
        AgentKey { account, agent: name.parse().expect("a name") }
    }

    #[test]
    fn an_agent_that_goes_too_fast_goes_at_the_pace_and_slows_nobody() {
        let pace = Pace::new(Duration::from_secs(1));
        let (fast, slow) = (agent("fast"), agent("slow"));
        let start = Instant::now();
        let at_once = (0..1_000).filter(|_| pace.take(&fast, start)).count();
        assert_eq!(at_once, 64);
        let in_a_minute = (0..6_000)
            .filter(|tick| pace.take(&fast, start + Duration::from_millis(10) * *tick))
            .count();
        assert!((59..=61).contains(&in_a_minute), "{in_a_minute}");
        assert!(pace.take(&slow, start));
        let later = start + Duration::from_secs(3_600);
        assert_eq!((0..1_000).filter(|_| pace.take(&fast, later)).count(), 64);
    }

    #[test]
    fn those_who_are_quiet_are_forgotten() {
        let pace = Pace::new(Duration::from_secs(1));
        let start = Instant::now();
        for number in 0..2 * REMEMBERED_MAX {
            let at = start + Duration::from_secs(number as u64);
            assert!(pace.take(&agent(&format!("a{number}")), at));
        }
        let remembered = pace.used_until.lock().expect("no panic").len();
        assert!(remembered <= REMEMBERED_MAX, "{remembered}");
    }
}
