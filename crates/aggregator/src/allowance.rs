//! What one session may send: its credit, granted, asked for and used.

use std::sync::Arc;
use std::time::Duration;

use journal::AgentKey;
use tokio::time::Instant;

use crate::credit::{Permit, Pool, Waiting};

/// How long credit above the base may lie unused while others wait for it.
const CREDIT_UNUSED_MAX: Duration = Duration::from_secs(30);

/// The credit of one session.
#[derive(Debug)]
pub(crate) struct Allowance {
    pool: Arc<Pool>,
    key: AgentKey,
    /// What the agent has and did not use yet.
    granted: Option<Permit>,
    /// What is being waited for.
    waiting: Option<Waiting>,
    /// When the agent last got or used some.
    used_at: Instant,
}

impl Allowance {
    /// Nothing yet, out of `pool`.
    pub(crate) fn new(pool: &Arc<Pool>, key: AgentKey) -> Self {
        let pool = Arc::clone(pool);
        Self { pool, key, granted: None, waiting: None, used_at: Instant::now() }
    }

    /// What it has and did not use yet, in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.granted.as_ref().map_or(0, Permit::bytes)
    }

    /// Takes out of it what something costs, if it has so much.
    pub(crate) fn spend(&mut self, cost: u64) -> Option<Permit> {
        self.used_at = Instant::now();
        self.granted.as_mut()?.split(cost)
    }

    /// Asks for what makes the base credit in all.
    pub(crate) fn ask_base(&mut self) {
        self.ask(self.pool.base_bytes());
    }

    /// Asks for what makes `wanted` in all, or as much of it as a session may have.
    pub(crate) fn ask(&mut self, wanted: u64) {
        let missing = wanted.min(self.pool.session_bytes_max()).saturating_sub(self.bytes());
        if missing > 0 && self.waiting.is_none() {
            self.waiting = Some(self.pool.ask(&self.key, missing));
        }
    }

    /// Waits for what was asked for, or for ever; gives how much has come.
    pub(crate) async fn granted(&mut self) -> u64 {
        let Some(waiting) = &mut self.waiting else { return std::future::pending().await };
        let permit = waiting.granted().await;
        self.waiting = None;
        self.used_at = Instant::now();
        let bytes = permit.bytes();
        match &mut self.granted {
            Some(granted) => granted.merge(permit),
            granted @ None => *granted = Some(permit),
        }
        bytes
    }

    /// How long ago credit above the base was used, if that is too long and others
    /// wait for it.
    pub(crate) fn is_kept_from_others(&self) -> Option<Duration> {
        let unused = self.used_at.elapsed();
        let is_kept = self.bytes() > self.pool.base_bytes() && unused >= CREDIT_UNUSED_MAX;
        (is_kept && self.pool.is_short()).then_some(unused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> AgentKey {
        let account = "111122223333".parse().expect("an account");
        AgentKey { account, agent: name.parse().expect("a name") }
    }

    #[tokio::test(start_paused = true)]
    async fn credit_may_lie_unused_until_somebody_waits_for_it() {
        let pool = Arc::new(Pool::new(16 << 20, 1));
        let mut held = [key("a"), key("b")].map(|key| Allowance::new(&pool, key));
        for allowance in &mut held {
            allowance.ask(u64::MAX);
            assert_eq!(allowance.granted().await, 4 << 20);
        }
        tokio::time::advance(CREDIT_UNUSED_MAX).await;
        assert_eq!(held[0].is_kept_from_others(), None, "nobody waits");
        let mut late = Allowance::new(&pool, key("c"));
        late.ask(1 << 20);
        assert!(held[0].is_kept_from_others().is_some());
        assert!(held[1].spend(1).is_some());
        assert_eq!(held[1].is_kept_from_others(), None, "it is in use");
        let [idle, _used] = held;
        drop(idle);
        assert_eq!(late.granted().await, 1 << 20);
        assert!(late.spend(2 << 20).is_none() && late.spend(1 << 20).is_some());
    }
}
