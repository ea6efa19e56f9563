//! One agent's session, from hello to the end.
//!
//! A session speaks in messages, not in sockets: what carries them is handed in
//! as a stream and a bounded channel, and who speaks is handed in as a [`Peer`].
//! It admits batches in the order they come, tells the agent its stream's end
//! when that is committed, and hands out credit from the shared pool. What an
//! agent asks whose spool cannot go on is in [`leave`].
//!
//! One file, though a long one: it is read from the first message to the last.

mod leave;

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt};
use identity::{Peer, SpeaksFor};
use integrity::{SpoolId, StreamHasher};
use jiff::Timestamp;
use journal::{AgentKey, Certificate, Invalid, Open, Progress, SourceProgress};
use seam::{Blocking, Clock};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use wire::v1::{self, Refusal};

use crate::allowance::Allowance;
use crate::buffer::{Admission, Admitted, Buffer, Position};
use crate::committer::{Known, Requests};
use crate::credit::Permit;
use crate::cursors::{Changes, SOURCE_NAME_BYTES_MAX, told};
use crate::metrics::Metrics;
use crate::pace::Paces;
use crate::verify::verify;

/// How long an agent may take to say hello, and we to answer it.
const HELLO_TIMEOUT: Duration = Duration::from_secs(30);

/// How long an agent may stay silent: three heartbeats and a little.
const SILENCE_MAX: Duration = Duration::from_secs(3 * wire::HEARTBEAT_SECS + 20);

/// How often a live session's certificate is looked at again.
const IDENTITY_EVERY: Duration = Duration::from_secs(2);

/// How long a message may wait for an agent that does not read.
const SEND_TIMEOUT: Duration = Duration::from_secs(30);

/// Batches of one session that may wait for their ack; the next are not read before.
const UNACKED_MAX: usize = 256;

/// Their cursor changes, as JSON; one batch may alone have more.
const UNACKED_CURSOR_BYTES_MAX: usize = 1 << 20;

/// Longest text that an agent may have shown to people, in characters.
const LABEL_CHARS_MAX: usize = 120;

/// Says why a peer may not speak (any more), in a sentence; nothing if it may.
pub type Doubt = Arc<dyn Fn(&Peer) -> Option<String> + Send + Sync>;

/// What all sessions of one aggregator share.
#[derive(Clone)]
pub struct Session {
    pub(crate) requests: Requests,
    pub(crate) buffer: Arc<Buffer>,
    pub(crate) verifying: Arc<Semaphore>,
    pub(crate) clock: Clock,
    pub(crate) blocking: Blocking,
    pub(crate) metrics: Metrics,
    pub(crate) doubt: Doubt,
    paces: Arc<Paces>,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").finish_non_exhaustive()
    }
}

/// Why a session ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionEnd {
    /// The agent went, or its connection did.
    #[error("the agent closed the session")]
    Closed,
    /// The agent does not read what it is sent.
    #[error("the agent does not read its answers")]
    Stuck,
    /// We refused to go on, and said why.
    #[error("refused ({}): {message}", reason.as_str_name())]
    Refused {
        /// The kind, for the agent.
        reason: Refusal,
        /// The sentence, for people.
        message: String,
    },
}

type Outbound = mpsc::Sender<v1::FromAggregator>;

fn refuse(reason: Refusal, message: impl Into<String>) -> SessionEnd {
    SessionEnd::Refused { reason, message: message.into() }
}

impl Session {
    /// Makes what sessions share. `verify_concurrency` bounds how many batches
    /// are inflated at once; `doubt` says why a peer may not speak any more.
    #[must_use]
    pub fn new(
        requests: Requests,
        buffer: Arc<Buffer>,
        verify_concurrency: usize,
        seams: (Clock, Blocking),
        metrics: Metrics,
        doubt: Doubt,
    ) -> Self {
        let verifying = Arc::new(Semaphore::new(verify_concurrency.max(1)));
        let (clock, blocking) = seams;
        let paces = Arc::new(Paces::default());
        Self { requests, buffer, verifying, clock, blocking, metrics, doubt, paces }
    }

    /// Runs one session to its end.
    pub async fn run<S>(
        &self,
        peer: Peer,
        inbound: S,
        outbound: Outbound,
        stop: CancellationToken,
    ) -> SessionEnd
    where
        S: Stream<Item = v1::FromAgent> + Send + Unpin,
    {
        self.metrics.sessions.inc();
        let key = AgentKey { account: peer.identity.account, agent: peer.identity.agent.clone() };
        let mut live = Live {
            shared: self,
            peer: &peer,
            inbound,
            outbound: outbound.clone(),
            allowance: Allowance::new(self.buffer.credit(), key.clone()),
            key,
            unacked: VecDeque::new(),
            unacked_cursor_bytes: 0,
            past: None,
        };
        let end = live.serve(&stop).await.unwrap_or_else(|end| end);
        self.metrics.sessions.dec();
        if let SessionEnd::Refused { reason, message } = &end {
            self.metrics.refuse(reason.as_str_name());
            let refused = v1::Refused { reason: (*reason).into(), message: message.clone() };
            let message = v1::from_aggregator::Message::Refused(refused);
            // Whether the agent still listens changes nothing here.
            drop(send(&outbound, message).await);
        }
        end
    }
}

struct Live<'a, S> {
    shared: &'a Session,
    peer: &'a Peer,
    inbound: S,
    outbound: Outbound,
    key: AgentKey,
    allowance: Allowance,
    /// What was admitted and is not acked: last sequence, length of cursor changes.
    unacked: VecDeque<(u64, usize)>,
    unacked_cursor_bytes: usize,
    /// The stream of a spool that is not the active one any more.
    past: Option<((u64, Position), SpoolId)>,
}

/// The stream that a session speaks for, once it is open.
struct Opened {
    number: u64,
    spool: SpoolId,
    hasher: Arc<StreamHasher>,
    position: watch::Receiver<Position>,
    acked: u64,
}

impl<S> Live<'_, S>
where
    S: Stream<Item = v1::FromAgent> + Send + Unpin,
{
    async fn serve(&mut self, stop: &CancellationToken) -> Result<SessionEnd, SessionEnd> {
        self.vouch()?;
        let hello = self.hello(stop).await?;
        let spool = SpoolId::try_from(hello.spool_id.as_ref()).ok();
        let mut opened = match self.welcome(spool, stop).await? {
            Some(opened) => opened,
            None => self.open(stop).await?,
        };
        self.allowance.ask_base();
        let end = self.converse(&mut opened, stop).await;
        self.shared.buffer.report_soon(opened.number);
        end
    }

    async fn hello(&mut self, stop: &CancellationToken) -> Result<v1::Hello, SessionEnd> {
        let first = tokio::select! {
            biased;
            () = stop.cancelled() => return Err(draining()),
            first = tokio::time::timeout(HELLO_TIMEOUT, self.inbound.next()) => first,
        };
        let first =
            first.map_err(|_| refuse(Refusal::Invalid, "the first message took too long"))?;
        match first.ok_or(SessionEnd::Closed)?.message {
            Some(v1::from_agent::Message::Hello(hello)) => {
                if hello.protocol == 0 {
                    let ours = wire::PROTOCOL_VERSION;
                    let message =
                        format!("this aggregator speaks delivery protocol {ours}, the agent none");
                    return Err(refuse(Refusal::Protocol, message));
                }
                Ok(hello)
            }
            _ => Err(refuse(Refusal::Invalid, "the first message must be a hello")),
        }
    }

    /// Answers the hello; the stream if the agent's spool is the active one.
    async fn welcome(
        &mut self,
        spool: Option<SpoolId>,
        stop: &CancellationToken,
    ) -> Result<Option<Opened>, SessionEnd> {
        if !self.shared.paces.sessions.take(&self.key, Instant::now()) {
            let message = "this agent begins sessions too often; it may begin one a second";
            return Err(refuse(Refusal::Unavailable, message));
        }
        let AgentKey { account, agent } = self.key.clone();
        let asked = self.shared.requests.hello(account, agent, spool);
        let known: Known = tokio::select! {
            biased;
            () = stop.cancelled() => return Err(draining()),
            known = tokio::time::timeout(HELLO_TIMEOUT, asked) => match known {
                Ok(Ok(known)) => known,
                Ok(Err(unavailable)) => {
                    return Err(refuse(Refusal::Unavailable, unavailable.to_string()));
                }
                Err(_) => {
                    let message = "the journal's store does not answer now; try again later";
                    return Err(refuse(Refusal::Unavailable, message));
                }
            },
        };
        let stream = known.stream.map(|(number, followed)| {
            let position = *followed.borrow();
            (number, followed, position)
        });
        let welcome = v1::Welcome {
            protocol: wire::PROTOCOL_VERSION,
            release: env!("CARGO_PKG_VERSION").to_owned(),
            journal_head: known.head,
            active_spool_id: known.active.map(|id| id.0.to_vec().into()).unwrap_or_default(),
            position: stream.as_ref().map(|(_, _, position)| v1::Position {
                watermark: position.watermark,
                chain: position.chain.0.to_vec().into(),
                ended: position.ended,
            }),
            cursors: told(known.cursors),
            fenced_by: known.active_opened_by,
            takes_back: true,
        };
        self.send(v1::from_aggregator::Message::Welcome(welcome)).await?;
        Ok(match (stream, spool) {
            (Some((number, followed, position)), Some(spool))
                if known.active == Some(spool) && !position.ended =>
            {
                Some(self.opened(number, spool, followed, position.watermark))
            }
            (stream, spool) => {
                self.past = stream.map(|(number, _, position)| (number, position)).zip(spool);
                None
            }
        })
    }

    fn hasher(&self, spool: SpoolId) -> StreamHasher {
        let identity = &self.peer.identity;
        StreamHasher::new(&identity.account.to_string(), identity.agent.as_str(), spool)
    }

    /// A stream of which the agent was told that it stands at `acked`.
    fn opened(
        &self,
        number: u64,
        spool: SpoolId,
        position: watch::Receiver<Position>,
        acked: u64,
    ) -> Opened {
        Opened { number, spool, hasher: Arc::new(self.hasher(spool)), position, acked }
    }

    /// Waits for the agent to open a spool that the journal has not seen.
    async fn open(&mut self, stop: &CancellationToken) -> Result<Opened, SessionEnd> {
        let open = loop {
            match self.next(stop).await?.message {
                Some(v1::from_agent::Message::Open(open)) => break open,
                Some(v1::from_agent::Message::Heartbeat(_)) | None => {}
                Some(v1::from_agent::Message::WantLeaves(want)) => {
                    let past = self
                        .past
                        .map(|((number, position), spool)| (number, position, self.hasher(spool)));
                    self.leaves(past, want.from).await?;
                }
                _ => {
                    let message = "the agent's spool is not the active one; open it or stop";
                    return Err(refuse(Refusal::Fenced, message));
                }
            }
        };
        let invalid = |_| refuse(Refusal::Invalid, "a spool id is 16 bytes");
        let spool = SpoolId::try_from(open.spool_id.as_ref()).map_err(invalid)?;
        let replaces = match open.replaces.as_ref() {
            [] => None,
            id => Some(SpoolId::try_from(id).map_err(invalid)?),
        };
        if !self.shared.paces.opens.take(&self.key, Instant::now()) {
            let message = "this agent opens spools too often; it may open one every ten seconds";
            return Err(refuse(Refusal::Unavailable, message));
        }
        let text = |bytes: &[u8]| (!bytes.is_empty()).then(|| hex_text(bytes));
        let request = Open {
            account: self.peer.identity.account,
            agent: self.peer.identity.agent.clone(),
            spool,
            replaces,
            opened_by: label(&open.opened_by),
            certificate: self.certificate(),
            signing_key: text(&open.signing_key),
            signature: text(&open.signature),
        };
        let asked = self.shared.requests.open(request);
        let opened = tokio::select! {
            biased;
            () = stop.cancelled() => return Err(draining()),
            opened = asked => opened,
        };
        let opened = opened
            .map_err(|unavailable| refuse(Refusal::Unavailable, unavailable.to_string()))?
            .map_err(|invalid| match invalid {
                Invalid::NotActive | Invalid::SeenSpool(_) => refuse(
                    Refusal::Fenced,
                    "another spool of this agent was opened meanwhile: a second instance runs \
                     with the same name, or this one was restored from a copy",
                ),
                other => refuse(Refusal::Invalid, other.to_string()),
            })?;
        let message = v1::Opened {
            spool_id: spool.0.to_vec().into(),
            record: opened.stream,
            cursors: told(opened.cursors),
        };
        self.send(v1::from_aggregator::Message::Opened(message)).await?;
        let acked = opened.position.borrow().watermark;
        Ok(self.opened(opened.stream, spool, opened.position, acked))
    }

    async fn converse(
        &mut self,
        opened: &mut Opened,
        stop: &CancellationToken,
    ) -> Result<SessionEnd, SessionEnd> {
        let mut vouch = tokio::time::interval(IDENTITY_EVERY);
        vouch.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut silent_until = Instant::now() + SILENCE_MAX;
        self.ack(opened).await?;
        loop {
            // An agent that is not listened to is not silent.
            let listens = self.has_room();
            if !listens {
                silent_until = Instant::now() + SILENCE_MAX;
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => return self.last_acks(opened).await,
                _ = vouch.tick() => {
                    self.vouch()?;
                    self.uses_its_credit()?;
                }
                changed = opened.position.changed() => {
                    if changed.is_err() {
                        let message = "what was sent cannot be committed; say hello again";
                        return Err(refuse(Refusal::Invalid, message));
                    }
                    self.ack(opened).await?;
                }
                bytes = self.allowance.granted() => {
                    let credit = v1::Credit { bytes };
                    self.send(v1::from_aggregator::Message::Credit(credit)).await?;
                }
                () = tokio::time::sleep_until(silent_until) => {
                    return Err(refuse(Refusal::Unavailable, "nothing was heard for too long"));
                }
                message = self.inbound.next(), if listens => {
                    silent_until = Instant::now() + SILENCE_MAX;
                    let Some(message) = message else { return Ok(SessionEnd::Closed) };
                    self.take(opened, message).await?;
                }
            }
        }
    }

    async fn take(
        &mut self,
        opened: &mut Opened,
        message: v1::FromAgent,
    ) -> Result<(), SessionEnd> {
        match message.message {
            Some(v1::from_agent::Message::Batch(batch)) => self.batch(opened, batch).await,
            Some(v1::from_agent::Message::Heartbeat(heartbeat)) => {
                self.progress(opened, heartbeat.progress);
                Ok(())
            }
            Some(v1::from_agent::Message::Want(want)) => {
                self.allowance.ask(want.bytes);
                Ok(())
            }
            Some(v1::from_agent::Message::GiveBack(back)) => {
                // Dropped at once, which serves whoever waits.
                drop(self.allowance.spend(back.bytes.min(self.allowance.bytes())));
                Ok(())
            }
            Some(v1::from_agent::Message::WantLeaves(want)) => {
                let position = *opened.position.borrow();
                let stream = (opened.number, position, opened.hasher.as_ref().clone());
                self.leaves(Some(stream), want.from).await
            }
            Some(v1::from_agent::Message::Gap(gap)) => self.gap(opened, &gap).await,
            Some(v1::from_agent::Message::Hello(_) | v1::from_agent::Message::Open(_)) => {
                Err(refuse(Refusal::Invalid, "a session says hello once and opens one spool"))
            }
            // A message of a newer release.
            None => Ok(()),
        }
    }

    async fn batch(&mut self, opened: &mut Opened, batch: v1::Batch) -> Result<(), SessionEnd> {
        let cost = wire::batch_cost(batch.frame.len() as u64, batch.inflated_bytes);
        let credit = self.spend(cost)?;
        let cursors = Changes::read(&batch.cursors)
            .map_err(|invalid| refuse(Refusal::Invalid, invalid.to_string()))?;
        let cursor_bytes = cursors.bytes;
        let progress = batch.progress.clone();
        let slot = Arc::clone(&self.shared.verifying).acquire_owned().await;
        let hasher = Arc::clone(&opened.hasher);
        let verified = self.shared.blocking.run(move || verify(&hasher, &batch)).await;
        drop(slot);
        let verified = verified
            .map_err(|contradiction| refuse(Refusal::Invalid, contradiction.to_string()))?;
        let to = verified.to;
        let admitted = Admitted {
            stream: opened.number,
            certificate: self.certificate(),
            batch: verified,
            cursors: cursors.by_source,
            cursor_bytes,
            _credit: credit,
        };
        match self.shared.buffer.admit(admitted) {
            Admission::Admitted => {
                self.shared.metrics.batches.inc();
                self.unacked.push_back((to, cursor_bytes));
                self.unacked_cursor_bytes += cursor_bytes;
            }
            Admission::Duplicate => self.allowance.ask_base(),
            Admission::OutOfSequence { end } => {
                let message = format!("the stream stands at {end}; the batch does not follow it");
                return Err(refuse(Refusal::OutOfSequence, message));
            }
            Admission::Ended => return Err(self.ended(opened)),
        }
        self.progress(opened, progress);
        let used = i64::try_from(self.shared.buffer.used_bytes()).unwrap_or(i64::MAX);
        self.shared.metrics.buffer_bytes.set(used);
        Ok(())
    }

    /// Whether another batch may be held for this session.
    fn has_room(&self) -> bool {
        self.unacked.len() < UNACKED_MAX && self.unacked_cursor_bytes < UNACKED_CURSOR_BYTES_MAX
    }

    /// Takes what a batch costs out of the agent's credit.
    fn spend(&mut self, cost: u64) -> Result<Permit, SessionEnd> {
        let held = self.allowance.bytes();
        self.allowance.spend(cost).ok_or_else(|| {
            let message = format!("a batch costs {cost} bytes, the agent has credit for {held}");
            refuse(Refusal::Invalid, message)
        })
    }

    /// Credit that is kept from others must be used.
    fn uses_its_credit(&self) -> Result<(), SessionEnd> {
        let Some(unused) = self.allowance.is_kept_from_others() else { return Ok(()) };
        let message = format!(
            "credit for {} bytes lay unused for {} s while other agents wait for it",
            self.allowance.bytes(),
            unused.as_secs()
        );
        Err(refuse(Refusal::Unavailable, message))
    }

    async fn ack(&mut self, opened: &mut Opened) -> Result<(), SessionEnd> {
        let position = *opened.position.borrow_and_update();
        if position.watermark > opened.acked {
            opened.acked = position.watermark;
            while let Some((to, cursor_bytes)) = self.unacked.front().copied()
                && to <= position.watermark
            {
                self.unacked.pop_front();
                self.unacked_cursor_bytes -= cursor_bytes;
            }
            let ack = v1::Ack {
                spool_id: opened.spool.0.to_vec().into(),
                to: position.watermark,
                chain: position.chain.0.to_vec().into(),
                record: position.record,
            };
            self.send(v1::from_aggregator::Message::Ack(ack)).await?;
            self.allowance.ask_base();
        }
        if position.ended { Err(self.ended(opened)) } else { Ok(()) }
    }

    /// At drain: what was admitted is committed before the committer stops.
    async fn last_acks(&mut self, opened: &mut Opened) -> Result<SessionEnd, SessionEnd> {
        while !self.unacked.is_empty() && opened.position.changed().await.is_ok() {
            self.ack(opened).await?;
        }
        Err(draining())
    }

    fn progress(&self, opened: &Opened, progress: Option<v1::Progress>) {
        let Some(progress) = progress else { return };
        let sources = progress.sources.into_iter().take(wire::SOURCES_MAX).filter_map(|source| {
            let caught_up_at =
                source.caught_up_at_millis.and_then(|at| Timestamp::from_millisecond(at).ok());
            let known_delay_secs = source.known_delay_secs;
            (source.source.len() <= SOURCE_NAME_BYTES_MAX)
                .then_some((source.source, SourceProgress { caught_up_at, known_delay_secs }))
        });
        let heard_at = self.shared.clock.now();
        let heard_at = Timestamp::from_millisecond(heard_at.as_millisecond()).unwrap_or(heard_at);
        let progress = Progress { head: progress.head, heard_at, sources: sources.collect() };
        self.shared.buffer.report(opened.number, progress, false);
    }

    async fn next(&mut self, stop: &CancellationToken) -> Result<v1::FromAgent, SessionEnd> {
        tokio::select! {
            biased;
            () = stop.cancelled() => Err(draining()),
            next = tokio::time::timeout(SILENCE_MAX, self.inbound.next()) => match next {
                Ok(Some(message)) => Ok(message),
                Ok(None) => Err(SessionEnd::Closed),
                Err(_) => Err(refuse(Refusal::Unavailable, "nothing was heard for too long")),
            },
        }
    }

    fn vouch(&self) -> Result<(), SessionEnd> {
        match (self.shared.doubt)(self.peer) {
            Some(why) => Err(refuse(Refusal::Identity, why)),
            None => Ok(()),
        }
    }

    fn certificate(&self) -> Certificate {
        let speaks_for: SpeaksFor = self.peer.identity.speaks_for;
        Certificate { fingerprint: self.peer.fingerprint, speaks_for }
    }

    fn ended(&self, opened: &Opened) -> SessionEnd {
        let message = format!(
            "spool {} of agent {}/{} is not the active one any more",
            opened.spool, self.peer.identity.account, self.peer.identity.agent
        );
        refuse(Refusal::Fenced, message)
    }

    async fn send(&mut self, message: v1::from_aggregator::Message) -> Result<(), SessionEnd> {
        send(&self.outbound, message).await
    }
}

async fn send(
    outbound: &Outbound,
    message: v1::from_aggregator::Message,
) -> Result<(), SessionEnd> {
    let message = v1::FromAggregator { message: Some(message) };
    match outbound.send_timeout(message, SEND_TIMEOUT).await {
        Ok(()) => Ok(()),
        Err(mpsc::error::SendTimeoutError::Timeout(_)) => Err(SessionEnd::Stuck),
        Err(mpsc::error::SendTimeoutError::Closed(_)) => Err(SessionEnd::Closed),
    }
}

fn draining() -> SessionEnd {
    refuse(Refusal::Unavailable, "this aggregator is shutting down; try again, here or elsewhere")
}

/// Text of an agent's, shown to people: short and without control characters.
fn label(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(LABEL_CHARS_MAX).collect()
}

fn hex_text(bytes: &[u8]) -> String {
    bytes.iter().take(256).map(|byte| format!("{byte:02x}")).collect()
}
