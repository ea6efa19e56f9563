//! The committer: owns the folded state and makes every commit of this process.
//!
//! It waits only at the top of its loop. A commit that has begun is polled to
//! its end: shutdown is noticed between attempts, never inside one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use event::{AccountId, AgentName};
use futures::future::BoxFuture;
use integrity::SpoolId;
use jiff::Timestamp;
use journal::{
    AgentKey, Body, Committed, Gap, Invalid, Journal, JournalError, Open, Progress, State,
};
use seam::{Blocking, Clock, Entropy};
use serde_json::{Map, Value};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::buffer::{Buffer, Position, position};
use crate::health::Health;
use crate::metrics::Metrics;

/// Requests of sessions that wait for the committer at once.
const REQUESTS_MAX: usize = 1_024;

/// Pauses between attempts while the store does not answer.
const RETRY_MILLIS: [u64; 6] = [50, 100, 250, 500, 1_000, 2_000];

/// What agents said of themselves is committed this often, if nothing else is.
pub(crate) const PROGRESS_EVERY: Duration = Duration::from_secs(60);

/// What agents said of themselves in one commit, as JSON; the rest is said in the next.
const COMMIT_PROGRESS_BYTES_MAX: usize = 2 << 20;

/// What sessions ask the committer, and what they read past it.
#[derive(Clone, Debug)]
pub struct Requests {
    sender: mpsc::Sender<Request>,
    pub(crate) journal: Journal,
}

#[derive(Debug)]
pub(crate) enum Request {
    Hello { key: AgentKey, spool: Option<SpoolId>, reply: oneshot::Sender<Known> },
    Open { open: Open, reply: oneshot::Sender<Result<Opened, Invalid>> },
    Gap { gap: Gap, reply: oneshot::Sender<Result<u64, Invalid>> },
}

/// What the journal knows of an agent, read to its end.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) head: u64,
    pub(crate) active: Option<SpoolId>,
    pub(crate) active_opened_by: String,
    /// The stream of the agent's spool, followed from there on: a commit that comes
    /// before the session looks again is not missed.
    pub(crate) stream: Option<(u64, watch::Receiver<Position>)>,
    pub(crate) cursors: Vec<(String, Map<String, Value>)>,
}

/// An opened spool.
#[derive(Clone, Debug)]
pub(crate) struct Opened {
    pub(crate) stream: u64,
    /// Followed from there on, as in [`Known`].
    pub(crate) position: watch::Receiver<Position>,
    pub(crate) cursors: Vec<(String, Map<String, Value>)>,
}

/// The committer stopped, or never got the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the aggregator cannot read its journal now")]
pub(crate) struct Unavailable;

impl Requests {
    pub(crate) async fn hello(
        &self,
        account: AccountId,
        agent: AgentName,
        spool: Option<SpoolId>,
    ) -> Result<Known, Unavailable> {
        let (reply, answer) = oneshot::channel();
        let request = Request::Hello { key: AgentKey { account, agent }, spool, reply };
        self.sender.send(request).await.map_err(|_| Unavailable)?;
        answer.await.map_err(|_| Unavailable)
    }

    pub(crate) async fn open(&self, open: Open) -> Result<Result<Opened, Invalid>, Unavailable> {
        let (reply, answer) = oneshot::channel();
        self.sender.send(Request::Open { open, reply }).await.map_err(|_| Unavailable)?;
        answer.await.map_err(|_| Unavailable)
    }

    /// Has a gap committed; its record.
    pub(crate) async fn gap(&self, gap: Gap) -> Result<Result<u64, Invalid>, Unavailable> {
        let (reply, answer) = oneshot::channel();
        self.sender.send(Request::Gap { gap, reply }).await.map_err(|_| Unavailable)?;
        answer.await.map_err(|_| Unavailable)
    }
}

/// The committer had to stop: what it met will not go away by itself.
#[derive(Debug, thiserror::Error)]
#[error("the journal cannot be continued")]
pub struct CommitterError(#[source] pub JournalError);

/// Makes commits of what the buffer holds and of what sessions ask.
#[derive(Debug)]
pub struct Committer {
    pub(crate) journal: Journal,
    pub(crate) state: State,
    pub(crate) buffer: Arc<Buffer>,
    requests: mpsc::Receiver<Request>,
    pub(crate) clock: Clock,
    pub(crate) entropy: Entropy,
    pub(crate) blocking: Blocking,
    pub(crate) metrics: Metrics,
    pub(crate) health: Health,
    pub(crate) progress_committed_at: BTreeMap<u64, Timestamp>,
}

impl Committer {
    /// A committer that continues from `state`, and the way to ask it.
    #[must_use]
    pub fn new(
        journal: Journal,
        state: State,
        buffer: Arc<Buffer>,
        seams: (Clock, Entropy, Blocking),
        metrics: Metrics,
        health: Health,
    ) -> (Self, Requests) {
        let (sender, requests) = mpsc::channel(REQUESTS_MAX);
        let (clock, entropy, blocking) = seams;
        let requested = Requests { sender, journal: journal.clone() };
        let committer = Self {
            journal,
            state,
            buffer,
            requests,
            clock,
            entropy,
            blocking,
            metrics,
            health,
            progress_committed_at: BTreeMap::new(),
        };
        (committer, requested)
    }

    /// Commits until `stop`, then once more what is buffered.
    ///
    /// # Errors
    /// If the journal contradicts itself; nothing more may be added to it then.
    pub fn run(
        mut self,
        stop: CancellationToken,
    ) -> BoxFuture<'static, Result<(), CommitterError>> {
        Box::pin(async move {
            let mut next_progress = Instant::now() + PROGRESS_EVERY;
            loop {
                tokio::select! {
                    biased;
                    () = stop.cancelled() => break,
                    request = self.requests.recv() => {
                        let Some(request) = request else { break };
                        self.answer(request, &stop).await?;
                        // However many ask, what is buffered has its turn.
                        if self.buffer.is_due() {
                            self.flush(&stop).await?;
                        }
                    }
                    () = self.buffer.due() => self.flush(&stop).await?,
                    () = tokio::time::sleep_until(next_progress) => {
                        next_progress = Instant::now() + PROGRESS_EVERY;
                        self.flush(&stop).await?;
                    }
                }
            }
            // What sessions admitted before they ended is in the buffer: one last flush
            // for each full commit of it, given up when the store does not answer.
            while self.flush_once(&stop).await? {}
            Ok(())
        })
    }

    async fn answer(
        &mut self,
        request: Request,
        stop: &CancellationToken,
    ) -> Result<(), CommitterError> {
        // Those who wait together share one reading of the journal's end.
        let mut waiting = vec![request];
        while waiting.len() < REQUESTS_MAX {
            let Ok(request) = self.requests.try_recv() else { break };
            waiting.push(request);
        }
        if !self.read_to_end(stop).await? {
            return Ok(());
        }
        for request in waiting {
            match request {
                // The session may be gone; then its agent asks again.
                Request::Hello { key, spool, reply } => drop(reply.send(self.known(&key, spool))),
                Request::Open { open, reply } => {
                    if let Some(opened) = self.open(open, stop).await? {
                        drop(reply.send(opened));
                    }
                }
                Request::Gap { gap, reply } => {
                    if let Some(ended) = self.gap(gap, stop).await? {
                        drop(reply.send(ended));
                    }
                }
            }
        }
        Ok(())
    }

    /// Reads records until the next one is absent; false if stopped before.
    async fn read_to_end(&mut self, stop: &CancellationToken) -> Result<bool, CommitterError> {
        for attempt in 0.. {
            match self.journal.advance(&mut self.state).await {
                Ok(read) => {
                    if read > 0 {
                        self.published();
                    }
                    return Ok(true);
                }
                Err(error) => {
                    if !self.wait_after(error, attempt, stop).await? {
                        return Ok(false);
                    }
                }
            }
        }
        Ok(false)
    }

    fn known(&self, key: &AgentKey, spool: Option<SpoolId>) -> Known {
        let active = self.state.active(key);
        let stream = spool.and_then(|spool| self.state.stream(key, spool));
        Known {
            head: self.state.head,
            active: active.map(|(_, stream)| stream.spool),
            active_opened_by: active.map(|(_, s)| s.opened_by.clone()).unwrap_or_default(),
            stream: stream.and_then(|(number, _)| Some((number, self.follow(number)?))),
            cursors: self.cursors(key),
        }
    }

    /// Where a stream stands, and where it will. Nobody else moves the folded state,
    /// so nothing comes between.
    fn follow(&self, stream: u64) -> Option<watch::Receiver<Position>> {
        position(&self.state, stream).map(|position| self.buffer.follow(stream, position))
    }

    fn cursors(&self, key: &AgentKey) -> Vec<(String, Map<String, Value>)> {
        let cursors = self.state.agent(key).map(|agent| agent.cursors.clone());
        cursors.unwrap_or_default().into_iter().collect()
    }

    /// Commits an open; none if stopped before its fate was known.
    async fn open(
        &mut self,
        open: Open,
        stop: &CancellationToken,
    ) -> Result<Option<Result<Opened, Invalid>>, CommitterError> {
        let key = AgentKey { account: open.account, agent: open.agent.clone() };
        let body = Body { open: Some(open.clone()), ..Body::default() };
        let mut attempt = 0;
        loop {
            // The answer to an earlier request may have been lost: the same again.
            if let Some((stream, held)) = self.state.active(&key)
                && held.spool == open.spool
                && let Some(position) = self.follow(stream)
            {
                let cursors = self.cursors(&key);
                return Ok(Some(Ok(Opened { stream, position, cursors })));
            }
            if let Err(invalid) = self.state.check(&body) {
                return Ok(Some(Err(invalid)));
            }
            match self.journal.commit(&mut self.state, &body).await {
                Ok(Committed::Ours(_)) => self.published(),
                Ok(Committed::Theirs(_)) => {
                    self.metrics.conflicts.inc();
                    self.published();
                }
                Err(error) => {
                    if !self.wait_after(error, attempt, stop).await? {
                        return Ok(None);
                    }
                    attempt += 1;
                }
            }
        }
    }

    /// Commits a gap; none if stopped before its fate was known.
    async fn gap(
        &mut self,
        gap: Gap,
        stop: &CancellationToken,
    ) -> Result<Option<Result<u64, Invalid>>, CommitterError> {
        let (stream, first, last) = (gap.stream, gap.first, gap.last);
        let body = Body { gap: Some(gap), ..Body::default() };
        let mut attempt = 0;
        loop {
            // Only a gap ends a stream whose spool is still the active one: the
            // answer to an earlier request was lost.
            let held = self.state.streams.get(&stream);
            let key =
                held.map(|held| AgentKey { account: held.account, agent: held.agent.clone() });
            let active = key.and_then(|key| self.state.active(&key).map(|(active, _)| active));
            if held.is_some_and(|held| held.ended) && active == Some(stream) {
                return Ok(Some(Ok(self.state.head)));
            }
            if let Err(invalid) = self.state.check(&body) {
                return Ok(Some(Err(invalid)));
            }
            match self.journal.commit(&mut self.state, &body).await {
                Ok(Committed::Ours(number)) => {
                    tracing::error!(stream, first, last, number, "committed a gap: lost for good");
                    self.published();
                    return Ok(Some(Ok(number)));
                }
                Ok(Committed::Theirs(_)) => {
                    self.metrics.conflicts.inc();
                    self.published();
                }
                Err(error) => {
                    if !self.wait_after(error, attempt, stop).await? {
                        return Ok(None);
                    }
                    attempt += 1;
                }
            }
        }
    }

    /// After a failed attempt: waits and says whether to try again.
    pub(crate) async fn wait_after(
        &self,
        error: JournalError,
        attempt: usize,
        stop: &CancellationToken,
    ) -> Result<bool, CommitterError> {
        if !error.is_retryable() {
            self.health.failed(&error);
            return Err(CommitterError(error));
        }
        if attempt == 0 {
            tracing::warn!(error = ?error, "the store did not take a commit; trying until it does");
        }
        self.health.store_failed(&error);
        if stop.is_cancelled() {
            return Ok(false);
        }
        let millis = RETRY_MILLIS.get(attempt).or(RETRY_MILLIS.last()).copied().unwrap_or(1_000);
        let pause = Duration::from_millis(millis + self.entropy.below(millis));
        tokio::select! {
            biased;
            () = stop.cancelled() => Ok(false),
            () = tokio::time::sleep(pause) => Ok(true),
        }
    }

    /// Lets sessions and the outside know the state after a fold.
    pub(crate) fn published(&mut self) {
        self.health.store_answered(self.state.head, self.state.totals.inflated_bytes);
        self.metrics.head.set(i64::try_from(self.state.head).unwrap_or(i64::MAX));
        self.metrics.forks.set(i64::try_from(self.state.totals.forks).unwrap_or(i64::MAX));
        self.metrics.gaps.set(i64::try_from(self.state.totals.gaps).unwrap_or(i64::MAX));
        self.buffer.publish(&self.state);
    }

    /// Progress reports that are due: urgent ones, and those of streams whose
    /// last report is a minute old. Reports of streams that ended are forgotten.
    pub(crate) fn due_progress(&mut self) -> BTreeMap<u64, Progress> {
        let now = self.clock.now();
        let (reports, urgent) = self.buffer.progress();
        let (live, dead): (Vec<_>, Vec<_>) = reports
            .into_iter()
            .partition(|(stream, _)| position(&self.state, *stream).is_some_and(|p| !p.ended));
        self.buffer.reported(dead.into_iter().map(|(stream, _)| stream));
        let mut bytes = 0;
        live.into_iter()
            .filter(|(stream, _)| {
                let committed = self.progress_committed_at.get(stream);
                let old = committed
                    .is_none_or(|at| now.duration_since(*at).unsigned_abs() >= PROGRESS_EVERY);
                old || urgent.contains(stream)
            })
            .take_while(|(_, progress)| {
                bytes += serde_json::to_vec(progress).map_or(0, |text| text.len());
                bytes <= COMMIT_PROGRESS_BYTES_MAX
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use identity::SpeaksFor;
    use integrity::Hash;
    use journal::{BatchEntry, BatchLines, Certificate, pack};
    use store::Store;
    use tokio::task::JoinSet;

    use super::*;

    /// What another aggregator commits while a session begins would otherwise be acked
    /// with the stream's next record, which may never come.
    #[tokio::test(start_paused = true)]
    async fn a_commit_between_a_hello_and_the_session_that_follows_is_not_missed() {
        let store = Store::open("memory://committer-follows").await.expect("memory");
        let clock = Clock::new(|| Timestamp::UNIX_EPOCH);
        let journal = || {
            let entropy = Entropy::system();
            Journal::new(store.clone(), clock.clone(), entropy, Blocking::Inline)
        };
        let account: AccountId = "111122223333".parse().expect("an account");
        let agent = |name: &str| name.parse::<AgentName>().expect("a name");
        let spool = SpoolId([7; 16]);
        let (other, mut state) = (journal(), State::new());
        let open = Open {
            account,
            agent: agent("main"),
            spool,
            replaces: None,
            opened_by: String::new(),
            certificate: Certificate {
                fingerprint: Hash([1; 32]),
                speaks_for: SpeaksFor::Account(account),
            },
            signing_key: None,
            signature: None,
        };
        let body = Body { open: Some(open), ..Body::default() };
        let opened = other.commit(&mut state, &body).await.expect("commit");
        assert_eq!(opened, Committed::Ours(1));

        let buffer = Arc::new(Buffer::new(1 << 20, 4 << 10, Duration::from_millis(500), 4));
        let seams = (clock.clone(), Entropy::system(), Blocking::Inline);
        let (committer, requests) = Committer::new(
            journal(),
            State::new(),
            buffer,
            seams,
            Metrics::default(),
            Health::default(),
        );
        let mut committing = JoinSet::new();
        committing.spawn(committer.run(CancellationToken::new()));
        let known = requests.hello(account, agent("main"), Some(spool)).await.expect("known");
        let (stream, followed) = known.stream.expect("it is open");
        assert_eq!((stream, followed.borrow().watermark), (1, 0));

        let lines = BatchLines::Plain(Bytes::from_static(b"{}\n"));
        let packed = pack([(&lines, 1)].into_iter()).expect("packed");
        let segment = other.put_segment(&packed, state.head).await.expect("put");
        let chain = Hash([9; 32]);
        let batch = BatchEntry { stream, from: 1, to: 1, chain, continuations: 0 };
        let body = Body { segment: Some(segment), batches: vec![batch], ..Body::default() };
        assert_eq!(other.commit(&mut state, &body).await.expect("commit"), Committed::Ours(2));
        // Whoever says hello next makes the committer read it.
        requests.hello(account, agent("second"), None).await.expect("known");
        let position = *followed.borrow();
        assert_eq!((position.watermark, position.chain, position.record), (1, chain, 2));
    }
}
