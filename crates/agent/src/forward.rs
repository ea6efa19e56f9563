//! Forwarding: sessions with an aggregator, one after the other, for ever.
//!
//! A session says hello, aligns, and then sends batches as far as credit goes,
//! releasing what is acked. Whatever ends it, the spool still holds what was not
//! acked, and the next session finds out where the journal stands. A spool that
//! cannot go on is left in [`leave`].
//!
//! One file, though a long one: a session is read from its hello to its last ack.

mod leave;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use integrity::{Hash, SpoolId};
use seam::{Blocking, Entropy, Guard, Guards};
use serde_json::{Map, Value};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use wire::v1::{self, Refusal, from_agent, from_aggregator};

use crate::align::{Decision, Ours, Stands, Theirs, decide};
use crate::batch::{BATCH_BYTES, Encoded, Encoder};
use crate::collect::{Reports, rest};
use crate::fate::Gap;
use crate::hold::{Hold, HoldError};
use crate::link::{Connect, Link};
use crate::places::Cursors;
use crate::succession::Heir;
use crate::vitals::Vitals;

/// How long a hello or an open may go unanswered.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// How long the last words of a session may take to arrive.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Pauses between sessions, before jitter.
const RETRY_MILLIS: [u64; 6] = [100, 250, 500, 1_000, 2_000, 5_000];

/// A session that lasted this long resets the pauses.
const GOOD_SESSION: Duration = Duration::from_secs(10);

/// The credit that an agent with a backlog asks for, in bytes.
const WANT_BYTES: u64 = 4 * 1024 * 1024;

/// The credit that an agent without a backlog keeps, in bytes.
const KEEP_BYTES: u64 = 8 * 1024;

/// Batches sent and not acked at once; bounds what is remembered of each.
const UNACKED_MAX: usize = 256;

/// How forwarding ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// It was told to.
    Stopped,
    /// All sources have finished and everything is acked.
    Drained,
    /// The spool must be left for a new one; with an heir, for one that begins
    /// with what this one has pushed.
    Fork { why: String, heir: Option<Heir> },
}

/// Why forwarding cannot go on by itself.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ForwardError {
    #[error(
        "spool {spool} was fenced: {by} took over this agent. One of two instances with one name \
         must go: stop this one, or run `orgtrail-agent spool fork` here to take over"
    )]
    Fenced { spool: SpoolId, by: String },
    #[error("the aggregator speaks no delivery protocol that this agent speaks: {0}")]
    Protocol(String),
    #[error("keep what is to be forwarded")]
    Hold(#[from] HoldError),
}

/// Why one session ended; the next one may do better.
#[derive(Debug)]
enum SessionEnd {
    Ended(Ended),
    Failed(ForwardError),
    /// Try again; the sentence is for the log.
    Again(String),
    /// This certificate is refused: a person has to act, so look rarely.
    Identity(String),
}

impl<E: Into<HoldError>> From<E> for SessionEnd {
    fn from(error: E) -> Self {
        Self::Failed(ForwardError::Hold(error.into()))
    }
}

/// Forwards one spool.
pub(crate) struct Forward {
    pub(crate) hold: Arc<Hold>,
    pub(crate) connect: Connect,
    pub(crate) reports: Reports,
    pub(crate) blocking: Blocking,
    pub(crate) entropy: Entropy,
    pub(crate) guards: Guards,
    /// For people: shown to an instance that gets fenced by this one.
    pub(crate) opened_by: String,
    /// Told once it is known where sources stand.
    pub(crate) placed: watch::Sender<bool>,
    /// All sources have finished.
    pub(crate) collected: CancellationToken,
    /// Applications push to this agent, so that lost records may be theirs.
    pub(crate) expects_pushes: bool,
    /// Who is told whether events are forwarded.
    pub(crate) vitals: Vitals,
}

impl Forward {
    /// Runs sessions until there is nothing more to do or nothing can be done.
    pub(crate) async fn run(self, stop: CancellationToken) -> Result<Ended, ForwardError> {
        let mut attempt = 0;
        let mut last_reason = String::new();
        loop {
            let began = Instant::now();
            let end = tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(Ended::Stopped),
                link = self.connect.link() => match link {
                    Ok(link) => self.session(link, &stop).await,
                    Err(error) => SessionEnd::Again(error.to_string()),
                },
            };
            if began.elapsed() > GOOD_SESSION {
                attempt = 0;
            }
            let (reason, millis) = match end {
                SessionEnd::Ended(ended) => return Ok(ended),
                SessionEnd::Failed(error) => return Err(error),
                SessionEnd::Again(reason) => {
                    let last = RETRY_MILLIS.last().copied().unwrap_or(1_000);
                    (reason, RETRY_MILLIS.get(attempt).copied().unwrap_or(last))
                }
                SessionEnd::Identity(reason) => (reason, 30_000),
            };
            self.vitals.not_forwarding(&reason);
            if reason != last_reason {
                tracing::warn!("not forwarding: {reason}; everything is kept, trying again");
                last_reason = reason;
            }
            attempt += 1;
            let pause = Duration::from_millis(millis + self.entropy.below(millis));
            if !rest(&stop, pause).await {
                return Ok(Ended::Stopped);
            }
        }
    }

    async fn session(&self, link: Link, stop: &CancellationToken) -> SessionEnd {
        let encoder = match Encoder::new() {
            Ok(encoder) => encoder,
            Err(error) => return SessionEnd::Again(format!("cannot compress: {error}")),
        };
        let aggregator = link.aggregator.clone();
        let mut session = Session {
            forward: self,
            link,
            encoder: Some(encoder),
            sent: (0, self.hold.chain_start()),
            unacked: VecDeque::new(),
            ready: None,
            credit: 0,
            wants: false,
            takes_back: false,
            gap: None,
            gap_sent: false,
            protocol: 0,
        };
        match session.align(stop).await {
            Ok(()) => {
                self.vitals.forwarding();
                tracing::info!(%aggregator, from = session.sent.0 + 1, "forwarding");
            }
            Err(end) => return end,
        }
        session.converse(stop).await.unwrap_or_else(|end| end)
    }
}

struct Session<'a> {
    forward: &'a Forward,
    link: Link,
    /// Away while a batch is being encoded.
    encoder: Option<Encoder>,
    /// The last sequence sent, and the chain there.
    sent: (u64, Hash),
    unacked: VecDeque<(u64, Hash, Cursors)>,
    /// Encoded, and waiting for credit.
    ready: Option<Encoded>,
    credit: u64,
    /// Credit was asked for and has not come.
    wants: bool,
    /// The aggregator takes credit back.
    takes_back: bool,
    /// What nobody can supply, behind what is sent.
    gap: Option<Gap>,
    gap_sent: bool,
    /// What the aggregator speaks.
    protocol: u32,
}

impl Session<'_> {
    /// Says hello, decides, and stands ready to send what follows the watermark.
    async fn align(&mut self, stop: &CancellationToken) -> Result<(), SessionEnd> {
        let hold = Arc::clone(&self.forward.hold);
        let head = *hold.durable().borrow();
        let (released, _) = hold.trim_point();
        let fate = hold.fate();
        let ours = Ours {
            spool: hold.id(),
            released,
            head,
            opened: hold.has_places(),
            replaces: hold.replaces(),
            restored: fate.restored,
            take_over: fate.take_over,
        };
        self.gap.clone_from(&fate.gap);
        self.send(from_agent::Message::Hello(v1::Hello {
            protocol: wire::PROTOCOL_VERSION,
            release: env!("CARGO_PKG_VERSION").to_owned(),
            spool_id: ours.spool.0.to_vec().into(),
            head,
            released,
            replaces: hold.replaces().map(|id| id.0.to_vec().into()).unwrap_or_default(),
        }))
        .await?;
        let welcome = loop {
            match self.answer(stop).await? {
                from_aggregator::Message::Welcome(welcome) => break welcome,
                from_aggregator::Message::Refused(refused) => return Err(self.refused(&refused)),
                _ => {}
            }
        };
        self.takes_back = welcome.takes_back;
        self.protocol = welcome.protocol;
        let position = welcome.position.as_ref().and_then(|position| {
            let chain = Hash::try_from(position.chain.as_ref()).ok()?;
            Some(Stands { watermark: position.watermark, chain, ended: position.ended })
        });
        let active = SpoolId::try_from(welcome.active_spool_id.as_ref()).ok();
        let held = Arc::clone(&hold);
        let theirs = Theirs { active, position };
        let guards = self.forward.guards;
        let decided = self
            .forward
            .blocking
            .run(move || {
                decide(ours, theirs, |watermark| match position {
                    Some(stands) if !guards.hold(Guard::ChainOnResume) => Ok(Some(stands.chain)),
                    _ => held.chain_at(watermark),
                })
            })
            .await;
        let decision = match decided {
            // What is lost there is committed; what follows cannot be chained to it.
            Err(spool::ReadError::Hole { .. }) => Decision::Fork,
            decided => decided?,
        };
        let decision = match decision {
            Decision::Fenced if !guards.hold(Guard::FencedStops) => Decision::Fork,
            Decision::Stale { .. } if !guards.hold(Guard::StaleIsNoFork) => Decision::Fork,
            decision => decision,
        };
        match decision {
            Decision::Continue { watermark } => {
                let chain = position.map_or(hold.chain_start(), |position| position.chain);
                self.carried_out().await?;
                self.placed(watermark, &welcome.cursors).await?;
                self.release(watermark, chain, None).await?;
                self.sent = (watermark, chain);
                Ok(())
            }
            Decision::Open { replaces } => {
                self.open(replaces, stop).await?;
                if released > 0 {
                    self.restored(0, released);
                }
                Ok(())
            }
            Decision::Declare { watermark } => {
                let chain = position.map_or(hold.chain_start(), |position| position.chain);
                self.restored(watermark, released);
                self.sent = (watermark, chain);
                Ok(())
            }
            Decision::Fork => Err(self.leave(active, stop).await?),
            Decision::Fenced => {
                let by = match welcome.fenced_by.as_str() {
                    "" => "another instance".to_owned(),
                    by => by.to_owned(),
                };
                Err(SessionEnd::Failed(ForwardError::Fenced { spool: ours.spool, by }))
            }
            Decision::Stale { watermark } => Err(SessionEnd::Again(format!(
                "the journal of {} stands at {watermark} where {released} was acked before: its \
                 store is stale or was restored from an older copy. If it was restored for good, \
                 stop this agent and run `orgtrail-agent spool restored`",
                self.link.aggregator
            ))),
        }
    }

    async fn open(
        &mut self,
        replaces: Option<SpoolId>,
        stop: &CancellationToken,
    ) -> Result<(), SessionEnd> {
        let hold = Arc::clone(&self.forward.hold);
        self.send(from_agent::Message::Open(v1::Open {
            spool_id: hold.id().0.to_vec().into(),
            replaces: replaces.map(|id| id.0.to_vec().into()).unwrap_or_default(),
            opened_by: self.forward.opened_by.clone(),
            signing_key: bytes::Bytes::new(),
            signature: bytes::Bytes::new(),
        }))
        .await?;
        loop {
            match self.answer(stop).await? {
                from_aggregator::Message::Opened(opened) => {
                    tracing::info!(spool = %hold.id(), record = opened.record, "spool opened");
                    if hold.trim_point().0 == 0 {
                        self.carried_out().await?;
                    }
                    self.placed(0, &opened.cursors).await?;
                    self.sent = (0, hold.chain_start());
                    return Ok(());
                }
                from_aggregator::Message::Credit(credit) => self.credit += credit.bytes,
                from_aggregator::Message::Refused(refused) => return Err(self.refused(&refused)),
                _ => {}
            }
        }
    }

    /// Lets sources begin, from the committed cursors if the disk did not know.
    async fn placed(&mut self, sequence: u64, cursors: &[v1::Cursor]) -> Result<(), SessionEnd> {
        let hold = Arc::clone(&self.forward.hold);
        if !hold.has_places() {
            let cursors = cursors
                .iter()
                .filter_map(|cursor| {
                    let members = serde_json::from_slice::<Map<String, Value>>(&cursor.changes);
                    Some((cursor.source.clone(), members.ok()?))
                })
                .collect::<Cursors>();
            let held = Arc::clone(&hold);
            self.forward.blocking.run(move || held.set_places(sequence, cursors)).await?;
        }
        // Nothing is collected into a spool that is about to be left.
        if !hold.is_to_be_left() {
            self.forward.placed.send_replace(true);
        }
        Ok(())
    }

    async fn converse(&mut self, stop: &CancellationToken) -> Result<SessionEnd, SessionEnd> {
        let mut durable = self.forward.hold.durable();
        let mut heartbeat = tokio::time::interval(Duration::from_secs(wire::HEARTBEAT_SECS));
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let head = *durable.borrow_and_update();
            self.send_what_fits(head).await?;
            let drained =
                self.forward.collected.is_cancelled() && self.forward.hold.trim_point().0 == head;
            if drained {
                // The last word says how far the sources were read.
                self.heartbeat().await?;
                self.close().await;
                return Ok(SessionEnd::Ended(Ended::Drained));
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(SessionEnd::Ended(Ended::Stopped)),
                message = self.link.receiver.next() => {
                    let message = self.received(message)?;
                    self.take(message).await?;
                }
                _ = heartbeat.tick() => self.heartbeat().await?,
                changed = durable.changed() => {
                    if changed.is_err() {
                        return Ok(SessionEnd::Ended(Ended::Stopped));
                    }
                }
                () = self.forward.collected.cancelled(), if !self.forward.collected.is_cancelled() => {}
            }
        }
    }

    /// Says that nothing follows, and lets what was said arrive.
    async fn close(&mut self) {
        let (nowhere, _) = mpsc::channel(1);
        self.link.sender = nowhere;
        let gone = async { while self.link.receiver.next().await.is_some() {} };
        // An aggregator that does not hang up has heard it all the same.
        drop(tokio::time::timeout(CLOSE_TIMEOUT, gone).await);
    }

    async fn take(&mut self, message: from_aggregator::Message) -> Result<(), SessionEnd> {
        match message {
            from_aggregator::Message::Credit(credit) => {
                self.credit = self.credit.saturating_add(credit.bytes);
                self.wants = false;
                Ok(())
            }
            from_aggregator::Message::Ack(ack) => self.acked(&ack).await,
            from_aggregator::Message::Refused(refused) => Err(self.refused(&refused)),
            from_aggregator::Message::Gapped(gapped) => Err(self.gapped(gapped.record)),
            // Said twice, or by a newer release.
            from_aggregator::Message::Welcome(_)
            | from_aggregator::Message::Opened(_)
            | from_aggregator::Message::Leaves(_) => Ok(()),
        }
    }

    async fn acked(&mut self, ack: &v1::Ack) -> Result<(), SessionEnd> {
        let ours = SpoolId::try_from(ack.spool_id.as_ref()) == Ok(self.forward.hold.id());
        let Ok(chain) = Hash::try_from(ack.chain.as_ref()) else {
            return Err(SessionEnd::Again("an ack has no chain hash".to_owned()));
        };
        let mut last = None;
        let mut cursors = Cursors::new();
        while self.unacked.front().is_some_and(|(to, _, _)| *to <= ack.to) {
            let Some((to, chain, changes)) = self.unacked.pop_front() else { break };
            for (source, members) in changes {
                cursors.entry(source).or_default().extend(members);
            }
            last = Some((to, chain));
        }
        match last {
            Some(last) if ours && last == (ack.to, chain) => {
                self.release(ack.to, chain, Some(cursors)).await
            }
            // An ack from before this session, told again.
            None if ours && ack.to <= self.sent.0 => Ok(()),
            _ => {
                Err(SessionEnd::Again("an ack is not for what was sent; aligning again".to_owned()))
            }
        }
    }

    /// Releases what is acked. Without changes given, they are read from the spool.
    async fn release(
        &mut self,
        to: u64,
        chain: Hash,
        changes: Option<Cursors>,
    ) -> Result<(), SessionEnd> {
        let hold = Arc::clone(&self.forward.hold);
        if to <= hold.trim_point().0 {
            return Ok(());
        }
        let release = move || {
            let changes = match changes {
                Some(changes) => changes,
                None => hold.changes_up_to(to)?,
            };
            hold.release(to, chain, &changes)
        };
        Ok(self.forward.blocking.run(release).await?)
    }

    /// Sends batches while there are records and credit.
    async fn send_what_fits(&mut self, durable: u64) -> Result<(), SessionEnd> {
        while self.unacked.len() < UNACKED_MAX {
            if self.gap.as_ref().is_some_and(|gap| gap.first == self.sent.0 + 1) {
                return self.declare().await;
            }
            if self.ready.is_none() && self.sent.0 < durable && self.credit > 0 {
                self.ready = self.encode().await?;
            }
            if self.ready.is_none()
                && self.gap.as_ref().is_some_and(|gap| gap.first == self.sent.0 + 1)
            {
                continue;
            }
            let backlog = self.ready.is_some() || self.sent.0 < durable;
            match self.ready.take() {
                Some(encoded) if encoded.cost <= self.credit => {
                    self.credit -= encoded.cost;
                    self.sent = (encoded.to, encoded.chain);
                    self.unacked.push_back((encoded.to, encoded.chain, encoded.cursors));
                    let mut batch = encoded.message;
                    batch.progress = Some(self.progress());
                    self.send(from_agent::Message::Batch(batch)).await?;
                    if !self.forward.guards.hold(Guard::ReleaseOnlyAcked) {
                        self.release(self.sent.0, self.sent.1, None).await?;
                    }
                }
                None if !backlog => return self.give_back().await,
                held => {
                    self.ready = held;
                    let need = self.ready.as_ref().map_or(0, |encoded| encoded.cost);
                    return self.want(backlog, need).await;
                }
            }
            if self.credit < WANT_BYTES / 2 {
                self.want(self.sent.0 < durable, 0).await?;
            }
        }
        Ok(())
    }

    /// Leaves to others what a backlog needed that has gone.
    async fn give_back(&mut self) -> Result<(), SessionEnd> {
        let bytes = self.credit.saturating_sub(KEEP_BYTES);
        if bytes == 0 || !self.takes_back {
            return Ok(());
        }
        self.credit -= bytes;
        self.send(from_agent::Message::GiveBack(v1::GiveBack { bytes })).await
    }

    async fn want(&mut self, backlog: bool, need: u64) -> Result<(), SessionEnd> {
        if !backlog || self.wants {
            return Ok(());
        }
        self.wants = true;
        let bytes = WANT_BYTES.max(need);
        self.send(from_agent::Message::Want(v1::Want { bytes })).await
    }

    async fn encode(&mut self) -> Result<Option<Encoded>, SessionEnd> {
        let (sequence, chain) = self.sent;
        // Below the size at which frames are shared, a batch costs its inflated bytes.
        let credit = usize::try_from(self.credit).unwrap_or(usize::MAX);
        let shares = self.credit < wire::BATCH_COST_INFLATED_BYTES_MAX;
        let inflated_max = if shares { credit } else { BATCH_BYTES };
        let hold = Arc::clone(&self.forward.hold);
        let Some(mut encoder) = self.encoder.take() else { return Ok(None) };
        let (encoder, encoded) = self
            .forward
            .blocking
            .run(move || {
                let encoded = hold
                    .read(sequence + 1, inflated_max)
                    .map(|frames| encoder.encode(&frames, chain, inflated_max));
                (encoder, encoded)
            })
            .await;
        self.encoder = Some(encoder);
        if let Err(spool::ReadError::Hole { first, last }) = encoded {
            self.hole(first, last).await?;
            return Ok(None);
        }
        encoded?.map_err(|error| SessionEnd::Again(format!("cannot compress: {error}")))
    }

    async fn heartbeat(&mut self) -> Result<(), SessionEnd> {
        let progress = Some(self.progress());
        self.send(from_agent::Message::Heartbeat(v1::Heartbeat { progress })).await
    }

    fn progress(&self) -> v1::Progress {
        // First what sources say, then the head: what they had read is in it.
        let sources = self.forward.reports.all();
        v1::Progress { head: *self.forward.hold.durable().borrow(), sources }
    }

    async fn answer(
        &mut self,
        stop: &CancellationToken,
    ) -> Result<from_aggregator::Message, SessionEnd> {
        tokio::select! {
            biased;
            () = stop.cancelled() => Err(SessionEnd::Ended(Ended::Stopped)),
            answer = tokio::time::timeout(ANSWER_TIMEOUT, self.link.receiver.next()) => match answer {
                Ok(message) => self.received(message),
                Err(_) => Err(SessionEnd::Again(format!("{} does not answer", self.link.aggregator))),
            },
        }
    }

    fn received(
        &self,
        message: Option<Result<v1::FromAggregator, String>>,
    ) -> Result<from_aggregator::Message, SessionEnd> {
        match message {
            Some(Ok(v1::FromAggregator { message: Some(message) })) => Ok(message),
            // A message of a newer release: nothing that this one waits for.
            Some(Ok(v1::FromAggregator { message: None })) => {
                Ok(from_aggregator::Message::Credit(v1::Credit { bytes: 0 }))
            }
            Some(Err(reason)) => Err(SessionEnd::Again(reason)),
            None => Err(SessionEnd::Again(format!("{} closed the session", self.link.aggregator))),
        }
    }

    fn refused(&self, refused: &v1::Refused) -> SessionEnd {
        let message: String = refused.message.chars().filter(|c| !c.is_control()).collect();
        let reason = format!("{} refused: {message}", self.link.aggregator);
        match refused.reason() {
            Refusal::Identity => SessionEnd::Identity(reason),
            Refusal::Protocol => SessionEnd::Failed(ForwardError::Protocol(message)),
            // Fenced included: the next hello tells who it was.
            _ => SessionEnd::Again(reason),
        }
    }

    async fn send(&mut self, message: from_agent::Message) -> Result<(), SessionEnd> {
        let message = v1::FromAgent { message: Some(message) };
        if self.link.sender.send(message).await.is_ok() {
            return Ok(());
        }
        // The aggregator may have said why before it hung up.
        let mut reason = format!("{} closed the session", self.link.aggregator);
        while let Some(said) = self.link.receiver.next().await {
            match self.received(Some(said)) {
                Ok(from_aggregator::Message::Refused(refused)) => {
                    return Err(self.refused(&refused));
                }
                Ok(_) => {}
                Err(SessionEnd::Again(why)) => {
                    reason = why;
                    break;
                }
                Err(end) => return Err(end),
            }
        }
        Err(SessionEnd::Again(reason))
    }
}
