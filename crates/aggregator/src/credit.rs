//! Credit: the bytes that agents may send and that wait for a commit, in one pool.
//!
//! Whoever holds least is served first, so an agent that asks for much cannot
//! keep another one waiting longer than its own bytes need to be committed. A
//! base credit, with which an agent can always say something, comes from a part
//! of the pool that larger wishes leave alone. A permit that is dropped gives
//! its bytes back, so credit cannot leak on any path.
//!
//! # Why not a semaphore
//! A semaphore's queue is first come, first served: a hundred wishes of one
//! agent stand before the first one of the next, and a large wish that cannot be
//! met holds up all small ones behind it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use journal::AgentKey;
use tokio::sync::oneshot;

/// The most that every session is given without asking, in bytes.
const BASE_CREDIT_BYTES_MAX: u64 = 64 * 1024;

/// The least: an ordinary event and its frame.
const BASE_CREDIT_BYTES_MIN: u64 = 1024;

/// The most that one session may be granted and not have used, in bytes.
const SESSION_CREDIT_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// All sessions of one agent hold at most this part of the pool.
const AGENT_SHARE: u64 = 4;

/// This part of the pool is left to base credits.
const BASE_SHARE: u64 = 2;

/// The pool.
#[derive(Debug)]
pub(crate) struct Pool {
    bytes: u64,
    base_bytes: u64,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    free: u64,
    /// What each agent holds, granted or buffered.
    held: BTreeMap<AgentKey, u64>,
    /// Wishes by their number, so that of two who hold the same the first is served.
    waiting: BTreeMap<u64, Wish>,
    next_wish: u64,
}

#[derive(Debug)]
struct Wish {
    key: AgentKey,
    bytes: u64,
    reply: oneshot::Sender<Permit>,
}

/// Bytes of the pool. Dropping it gives them back.
#[derive(Debug)]
pub(crate) struct Permit {
    pool: Arc<Pool>,
    key: AgentKey,
    bytes: u64,
}

/// A wish that waits. Dropping it withdraws it.
#[derive(Debug)]
pub(crate) struct Waiting(oneshot::Receiver<Permit>);

impl Pool {
    /// A pool that so many sessions may share.
    pub(crate) fn new(bytes: u64, sessions_max: usize) -> Self {
        let share = bytes / BASE_SHARE / (sessions_max as u64).max(1);
        let base_bytes = share.clamp(BASE_CREDIT_BYTES_MIN, BASE_CREDIT_BYTES_MAX);
        let inner =
            Inner { free: bytes, held: BTreeMap::new(), waiting: BTreeMap::new(), next_wish: 0 };
        Self { bytes, base_bytes, inner: Mutex::new(inner) }
    }

    /// What every session has without asking.
    pub(crate) fn base_bytes(&self) -> u64 {
        self.base_bytes
    }

    /// The most that one session may be granted and not have used.
    pub(crate) fn session_bytes_max(&self) -> u64 {
        SESSION_CREDIT_BYTES_MAX.min(self.agent_bytes_max())
    }

    /// The most that all sessions of one agent may hold.
    pub(crate) fn agent_bytes_max(&self) -> u64 {
        self.bytes / AGENT_SHARE
    }

    /// Bytes that are granted or buffered.
    pub(crate) fn used_bytes(&self) -> u64 {
        self.bytes.saturating_sub(self.lock().free)
    }

    /// Whether somebody waits for what others hold.
    pub(crate) fn is_short(&self) -> bool {
        let mut inner = self.lock();
        inner.waiting.retain(|_, wish| !wish.reply.is_closed());
        inner.waiting.values().any(|wish| {
            inner.held.get(&wish.key).copied().unwrap_or(0) + wish.bytes <= self.agent_bytes_max()
        })
    }

    /// Wishes for bytes; they come when it is this agent's turn.
    pub(crate) fn ask(self: &Arc<Self>, key: &AgentKey, bytes: u64) -> Waiting {
        let (reply, answer) = oneshot::channel();
        let mut inner = self.lock();
        let number = inner.next_wish;
        inner.next_wish += 1;
        inner.waiting.insert(number, Wish { key: key.clone(), bytes, reply });
        self.serve(inner);
        Waiting(answer)
    }

    fn give_back(self: &Arc<Self>, key: &AgentKey, bytes: u64) {
        let mut inner = self.lock();
        inner.give_back(key, bytes);
        self.serve(inner);
    }

    /// Serves wishes as long as the next one can be met.
    fn serve(self: &Arc<Self>, mut inner: MutexGuard<'_, Inner>) {
        // A wish that was withdrawn must not hold up the others.
        inner.waiting.retain(|_, wish| !wish.reply.is_closed());
        // What is refused by a receiver that has gone is given back after the lock.
        let mut refused = Vec::new();
        while let Some(number) = self.next(&inner) {
            let Some(Wish { key, bytes, reply }) = inner.waiting.remove(&number) else { break };
            inner.free -= bytes;
            *inner.held.entry(key.clone()).or_default() += bytes;
            let permit = Permit { pool: Arc::clone(self), key, bytes };
            refused.extend(reply.send(permit).err());
        }
        drop(inner);
        drop(refused);
    }

    /// The wish whose turn it is, if it can be met. Base credits come first and from
    /// the whole pool; of the others, that of the agent which holds least.
    fn next(&self, inner: &Inner) -> Option<u64> {
        let held = |wish: &Wish| inner.held.get(&wish.key).copied().unwrap_or(0);
        let is_base = |wish: &Wish| held(wish) + wish.bytes <= self.base_bytes;
        let base = inner.waiting.iter().find(|(_, wish)| is_base(wish));
        if let Some((number, _)) = base.filter(|(_, wish)| inner.free >= wish.bytes) {
            return Some(*number);
        }
        let (number, wish) = inner
            .waiting
            .iter()
            .filter(|(_, wish)| !is_base(wish))
            .filter(|(_, wish)| held(wish) + wish.bytes <= self.agent_bytes_max())
            .min_by_key(|(number, wish)| (held(wish), **number))?;
        let needed = wish.bytes.saturating_add(self.bytes / BASE_SHARE);
        (inner.free >= needed).then_some(*number)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Every change is one step, so a panic elsewhere leaves nothing half done.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn give_back(&mut self, key: &AgentKey, bytes: u64) {
        self.free += bytes;
        if let Some(held) = self.held.get_mut(key) {
            *held = held.saturating_sub(bytes);
            if *held == 0 {
                self.held.remove(key);
            }
        }
    }
}

impl Permit {
    /// How many bytes it is for.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Takes a part of it, if it has so much.
    pub(crate) fn split(&mut self, bytes: u64) -> Option<Self> {
        self.bytes = self.bytes.checked_sub(bytes)?;
        Some(Self { pool: Arc::clone(&self.pool), key: self.key.clone(), bytes })
    }

    /// Makes one of two of the same agent.
    pub(crate) fn merge(&mut self, mut other: Self) {
        debug_assert_eq!(self.key, other.key, "credit does not change hands");
        self.bytes += std::mem::take(&mut other.bytes);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.pool.give_back(&self.key, self.bytes);
        }
    }
}

impl Waiting {
    /// Waits for the wish to be met.
    pub(crate) async fn granted(&mut self) -> Permit {
        match (&mut self.0).await {
            Ok(permit) => permit,
            // The pool drops no wish that somebody waits for.
            Err(_) => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    const MIB: u64 = 1 << 20;

    fn agent(number: u64) -> AgentKey {
        let account = format!("{number:012}").parse().expect("an account");
        AgentKey { account, agent: "main".parse().expect("a name") }
    }

    fn now(waiting: &mut Waiting) -> Option<Permit> {
        waiting.granted().now_or_never()
    }

    #[test]
    fn whoever_holds_least_is_served_first() {
        let pool = Arc::new(Pool::new(64 * MIB, 1_024));
        let mut greedy: Vec<Permit> = (0..8)
            .map(|number| now(&mut pool.ask(&agent(number), 4 * MIB)).expect("there is room"))
            .collect();
        let mut more: Vec<Waiting> =
            (0..100).map(|number| pool.ask(&agent(1 + number % 7), 4 * MIB)).collect();
        let mut late = pool.ask(&agent(99), 2 * MIB);
        assert!(more.iter_mut().chain([&mut late]).all(|wish| now(wish).is_none()));
        drop(greedy.remove(0));
        let late = now(&mut late).expect("it holds nothing, the others hold megabytes");
        assert_eq!(late.bytes(), 2 * MIB);
        assert!(more.iter_mut().all(|wish| now(wish).is_none()), "2 MiB are not 4");
    }

    #[test]
    fn one_agent_gets_a_quarter_however_often_it_asks() {
        let pool = Arc::new(Pool::new(64 * MIB, 1_024));
        let mut wishes: Vec<Waiting> = (0..100).map(|_| pool.ask(&agent(1), MIB)).collect();
        let permits: Vec<Permit> = wishes.iter_mut().filter_map(now).collect();
        assert_eq!(permits.len(), 16);
        assert!(!pool.is_short(), "what is denied to it is denied by its own share");
        assert!(now(&mut pool.ask(&agent(2), 4 * MIB)).is_some(), "nobody else is held up");
    }

    #[test]
    fn every_session_has_its_base_credit_whatever_others_hold() {
        let sessions = 4_096;
        let pool = Arc::new(Pool::new(64 * MIB, sessions));
        let mut greedy: Vec<Permit> = Vec::new();
        for number in 0..1_000 {
            greedy.extend(now(&mut pool.ask(&agent(number), 4 * MIB)));
        }
        assert_eq!(greedy.len(), 8, "half of the pool");
        let mut late = pool.ask(&agent(5_000), 4 * MIB);
        assert!(now(&mut late).is_none() && pool.is_short());
        let base: Vec<Permit> = (0..sessions as u64)
            .map(|number| {
                now(&mut pool.ask(&agent(10_000 + number), pool.base_bytes())).expect("base credit")
            })
            .collect();
        assert_eq!(base.len(), sessions);
    }

    #[test]
    fn nothing_is_lost_with_a_wish_that_is_withdrawn() {
        let pool = Arc::new(Pool::new(16 * MIB, 1));
        let first = now(&mut pool.ask(&agent(1), 4 * MIB)).expect("there is room");
        let mut second = pool.ask(&agent(2), 4 * MIB);
        let withdrawn = pool.ask(&agent(3), 4 * MIB);
        let mut fourth = pool.ask(&agent(4), 4 * MIB);
        let second = now(&mut second).expect("half of the pool is for large wishes");
        drop(withdrawn);
        assert!(now(&mut fourth).is_none());
        drop(first);
        let fourth = now(&mut fourth).expect("the one before has gone");
        // Granted, and dropped before anybody looked.
        let unseen = pool.ask(&agent(5), 1);
        drop(unseen);
        drop((second, fourth));
        assert_eq!(pool.used_bytes(), 0);
    }

    #[test]
    fn a_permit_is_split_and_merged_to_the_byte() {
        let pool = Arc::new(Pool::new(16 * MIB, 1));
        let mut whole = now(&mut pool.ask(&agent(1), 1_000)).expect("there is room");
        let part = whole.split(400).expect("it has so much");
        assert!(whole.split(601).is_none());
        assert_eq!((whole.bytes(), part.bytes(), pool.used_bytes()), (600, 400, 1_000));
        whole.merge(part);
        assert_eq!((whole.bytes(), pool.used_bytes()), (1_000, 1_000));
        drop(whole);
        assert_eq!(pool.used_bytes(), 0);
    }
}
