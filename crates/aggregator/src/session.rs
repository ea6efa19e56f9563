//! One agent's session, from hello to the end.
//!
//! A session speaks in messages, not in sockets: what carries them is handed in
//! as a stream and a bounded channel, and who speaks is handed in as a [`Peer`].
//! It admits batches in the order they come, tells the agent its stream's end
//! when that is committed, and hands out credit from the shared pool.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt};
use identity::{Peer, SpeaksFor};
use integrity::{SpoolId, StreamHasher};
use jiff::Timestamp;
use journal::{Certificate, Invalid, Open, Progress, SourceProgress};
use seam::{Blocking, Clock};
use serde_json::{Map, Value};
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio_util::sync::CancellationToken;
use wire::v1::{self, Refusal};

use crate::buffer::{Admission, Admitted, Buffer, Position};
use crate::committer::{Known, Requests};
use crate::metrics::Metrics;
use crate::verify::verify;

/// Credit that every session is given without asking, in bytes.
const BASE_CREDIT_BYTES: u64 = 64 * 1024;

/// The most that one session may be granted and not have used, in bytes.
const SESSION_CREDIT_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// How long an agent may take to say hello, and we to answer it.
const HELLO_TIMEOUT: Duration = Duration::from_secs(30);

/// How long an agent may stay silent: three heartbeats and a little.
const SILENCE_MAX: Duration = Duration::from_secs(3 * wire::HEARTBEAT_SECS + 20);

/// How often a live session's certificate is looked at again.
const IDENTITY_EVERY: Duration = Duration::from_secs(2);

/// How long a message may wait for an agent that does not read.
const SEND_TIMEOUT: Duration = Duration::from_secs(30);

/// Sources one agent may report progress of.
const SOURCES_MAX: usize = 256;

/// Longest source name, in bytes.
const SOURCE_NAME_BYTES_MAX: usize = 256;

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
type Granting = Pin<Box<dyn Future<Output = Result<OwnedSemaphorePermit, AcquireError>> + Send>>;

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
        Self { requests, buffer, verifying, clock, blocking, metrics, doubt }
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
        let mut live = Live {
            shared: self,
            peer: &peer,
            inbound,
            outbound: outbound.clone(),
            granted: None,
            granting: None,
            unacked: VecDeque::new(),
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
    /// Credit the agent has and did not use yet.
    granted: Option<OwnedSemaphorePermit>,
    /// Credit that is being waited for.
    granting: Option<Granting>,
    /// What was admitted and is not acked: last sequence.
    unacked: VecDeque<u64>,
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
        self.grant(BASE_CREDIT_BYTES);
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
        let identity = &self.peer.identity;
        let asked = self.shared.requests.hello(identity.account, identity.agent.clone(), spool);
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
        let welcome = v1::Welcome {
            protocol: wire::PROTOCOL_VERSION,
            release: env!("CARGO_PKG_VERSION").to_owned(),
            journal_head: known.head,
            active_spool_id: known.active.map(|id| id.0.to_vec().into()).unwrap_or_default(),
            position: known.stream.map(|(_, position)| v1::Position {
                watermark: position.watermark,
                chain: position.chain.0.to_vec().into(),
                ended: position.ended,
            }),
            cursors: cursors(known.cursors),
            fenced_by: known.active_opened_by,
        };
        self.send(v1::from_aggregator::Message::Welcome(welcome)).await?;
        Ok(match (known.stream, spool) {
            (Some((number, position)), Some(spool)) if known.active == Some(spool) => {
                Some(self.opened(number, spool, position))
            }
            _ => None,
        })
    }

    fn opened(&self, number: u64, spool: SpoolId, position: Position) -> Opened {
        let identity = &self.peer.identity;
        let hasher =
            StreamHasher::new(&identity.account.to_string(), identity.agent.as_str(), spool);
        Opened {
            number,
            spool,
            hasher: Arc::new(hasher),
            position: self.shared.buffer.follow(number, position),
            acked: position.watermark,
        }
    }

    /// Waits for the agent to open a spool that the journal has not seen.
    async fn open(&mut self, stop: &CancellationToken) -> Result<Opened, SessionEnd> {
        let open = loop {
            match self.next(stop).await?.message {
                Some(v1::from_agent::Message::Open(open)) => break open,
                Some(v1::from_agent::Message::Heartbeat(_)) | None => {}
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
            cursors: cursors(opened.cursors),
        };
        self.send(v1::from_aggregator::Message::Opened(message)).await?;
        Ok(self.opened(opened.stream, spool, opened.position))
    }

    async fn converse(
        &mut self,
        opened: &mut Opened,
        stop: &CancellationToken,
    ) -> Result<SessionEnd, SessionEnd> {
        let mut vouch = tokio::time::interval(IDENTITY_EVERY);
        vouch.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut silent_until = tokio::time::Instant::now() + SILENCE_MAX;
        self.ack(opened).await?;
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return self.last_acks(opened).await,
                _ = vouch.tick() => self.vouch()?,
                changed = opened.position.changed() => {
                    if changed.is_err() {
                        return Err(draining());
                    }
                    self.ack(opened).await?;
                }
                permit = granted(&mut self.granting) => self.hand_out(permit).await?,
                () = tokio::time::sleep_until(silent_until) => {
                    return Err(refuse(Refusal::Unavailable, "nothing was heard for too long"));
                }
                message = self.inbound.next() => {
                    silent_until = tokio::time::Instant::now() + SILENCE_MAX;
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
                self.grant(want.bytes);
                Ok(())
            }
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
        let cursors = changes(&batch.cursors)?;
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
            cursors,
            _credit: credit,
        };
        match self.shared.buffer.admit(admitted) {
            Admission::Admitted => {
                self.shared.metrics.batches.inc();
                self.unacked.push_back(to);
            }
            Admission::Duplicate => self.grant(BASE_CREDIT_BYTES),
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

    /// Takes what a batch costs out of the agent's credit.
    fn spend(&mut self, cost: u64) -> Result<OwnedSemaphorePermit, SessionEnd> {
        let bytes = usize::try_from(cost).unwrap_or(usize::MAX);
        let split = self.granted.as_mut().and_then(|granted| granted.split(bytes));
        split.ok_or_else(|| {
            let held = self.granted.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
            let message = format!("a batch costs {cost} bytes, the agent has credit for {held}");
            refuse(Refusal::Invalid, message)
        })
    }

    /// Starts to wait for as much credit as makes `wanted` in all.
    fn grant(&mut self, wanted: u64) {
        if self.granting.is_some() {
            return;
        }
        let held = self.granted.as_ref().map_or(0, OwnedSemaphorePermit::num_permits) as u64;
        let most = SESSION_CREDIT_BYTES_MAX.min(self.shared.buffer.session_credit_max());
        let missing = wanted.min(most).saturating_sub(held);
        if missing > 0 {
            let permits = u32::try_from(missing).unwrap_or(u32::MAX);
            self.granting = Some(Box::pin(self.shared.buffer.credit().acquire_many_owned(permits)));
        }
    }

    async fn hand_out(
        &mut self,
        permit: Result<OwnedSemaphorePermit, AcquireError>,
    ) -> Result<(), SessionEnd> {
        self.granting = None;
        let permit = permit.map_err(|_| draining())?;
        let bytes = permit.num_permits() as u64;
        match &mut self.granted {
            Some(granted) => granted.merge(permit),
            granted @ None => *granted = Some(permit),
        }
        self.send(v1::from_aggregator::Message::Credit(v1::Credit { bytes })).await
    }

    async fn ack(&mut self, opened: &mut Opened) -> Result<(), SessionEnd> {
        let position = *opened.position.borrow_and_update();
        if position.watermark > opened.acked {
            opened.acked = position.watermark;
            while self.unacked.front().is_some_and(|to| *to <= position.watermark) {
                self.unacked.pop_front();
            }
            let ack = v1::Ack {
                spool_id: opened.spool.0.to_vec().into(),
                to: position.watermark,
                chain: position.chain.0.to_vec().into(),
                record: position.record,
            };
            self.send(v1::from_aggregator::Message::Ack(ack)).await?;
            self.grant(BASE_CREDIT_BYTES);
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
        let sources = progress.sources.into_iter().take(SOURCES_MAX).filter_map(|source| {
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

/// Waits for credit, or for ever if none is being waited for.
async fn granted(granting: &mut Option<Granting>) -> Result<OwnedSemaphorePermit, AcquireError> {
    match granting {
        Some(granting) => granting.await,
        None => std::future::pending().await,
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

fn cursors(cursors: Vec<(String, Map<String, Value>)>) -> Vec<v1::Cursor> {
    cursors
        .into_iter()
        .map(|(source, members)| v1::Cursor {
            source,
            changes: Value::Object(members).to_string().into_bytes().into(),
        })
        .collect()
}

/// The cursor changes of a batch, if each is a JSON object within its limit.
fn changes(cursors: &[v1::Cursor]) -> Result<BTreeMap<String, Map<String, Value>>, SessionEnd> {
    let mut all = BTreeMap::new();
    for cursor in cursors {
        let fits = cursor.changes.len() <= 2 * wire::CURSOR_BYTES_MAX
            && cursor.source.len() <= SOURCE_NAME_BYTES_MAX
            && all.len() < SOURCES_MAX;
        let changes = serde_json::from_slice::<Map<String, Value>>(&cursor.changes);
        match (fits, changes) {
            (true, Ok(changes)) => {
                all.insert(cursor.source.clone(), changes);
            }
            _ => {
                let message =
                    "a cursor is a JSON object of at most 64 KiB with a short source name";
                return Err(refuse(Refusal::Invalid, message));
            }
        }
    }
    Ok(all)
}
