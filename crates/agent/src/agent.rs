//! The agent as a whole: one life after another, until told to stop.
//!
//! A life is one spool: opened or made, collected into, forwarded from. It ends
//! with the process, with everything delivered (`once`), or when the spool must
//! be left for a new one (a fork); then the next life begins, and sources resume
//! where the journal says.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use futures::future::BoxFuture;
use identity::SpeaksFor;
use integrity::SpoolId;
use seam::{Blocking, Clock, Disk, Entropy, Gate};
use spool::{Lost, OpenError, Recovery};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::collect::{Collect, CollectError, Reports, rest};
use crate::config::{SourceConfig, SpoolConfig};
use crate::directory::directory_source;
use crate::fate::{Fate, Gap};
use crate::file::file_source;
use crate::files::Options;
use crate::forward::{Ended, Forward, ForwardError};
use crate::hold::{Hold, HoldError, Owner};
use crate::inlet::Inlet;
use crate::link::Connect;
use crate::places::PUSHED;
use crate::source::{Source, SourceError};
use crate::succession::{self, Heir};
use crate::vitals::Vitals;

/// How long the agent rests after what it holds could not be used.
const RETRY: std::time::Duration = std::time::Duration::from_secs(2);

/// Makes an agent's sources anew for each life: name, source, known delay.
pub type Sources =
    Arc<dyn Fn() -> Result<Vec<(Box<dyn Source>, Option<u64>)>, SourceError> + Send + Sync>;

/// One agent, and all that the world hands it.
#[derive(Clone)]
pub struct Agent {
    /// Where its spool and what its sources remember are kept.
    pub state_dir: PathBuf,
    /// Whose stream it is.
    pub owner: Owner,
    /// The spool's sizes.
    pub spool: SpoolConfig,
    /// Makes the sources.
    pub sources: Sources,
    /// Reaches an aggregator.
    pub connect: Connect,
    /// The disk that everything is kept on.
    pub disk: Arc<dyn Disk>,
    /// The wall clock.
    pub clock: Clock,
    /// Randomness for the names of spools.
    pub entropy: Entropy,
    /// Where blocking work runs.
    pub blocking: Blocking,
    /// What its tasks pass before each step.
    pub gate: Gate,
    /// For people: shown to an instance that this one fences.
    pub label: String,
    /// Units put into the spool, for whoever shows progress.
    pub read: Arc<AtomicU64>,
    /// The names of the sources that applications push to.
    pub pushes: Vec<String>,
    /// What they push goes through here.
    pub inlet: Inlet,
    /// What an operator sees.
    pub vitals: Vitals,
}

/// The configured files and directories as sources; with `once`, read to the end.
#[must_use]
pub fn file_sources(
    sources: Vec<SourceConfig>,
    state_dir: PathBuf,
    speaks_for: SpeaksFor,
    once: bool,
    seams: (Arc<dyn Disk>, Clock, Blocking),
) -> Sources {
    Arc::new(move || {
        let (disk, clock, blocking) = &seams;
        let mut made: Vec<(Box<dyn Source>, Option<u64>)> = Vec::with_capacity(sources.len());
        for source in &sources {
            let metadata = std::fs::metadata(&source.path).map_err(|error| SourceError::Read {
                object: source.path.display().to_string(),
                source: error,
            })?;
            let options = Options {
                name: source.name.clone(),
                path: source.path.clone(),
                state_dir: state_dir.join("sources"),
                follow: !once,
                organization: speaks_for == SpeaksFor::Organization,
            };
            let make = if metadata.is_dir() { directory_source } else { file_source };
            let files = make(options, Arc::clone(disk), clock.clone(), *blocking);
            made.push((Box::new(files), source.known_delay_secs));
        }
        Ok(made)
    })
}

/// Why an agent stopped.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The spool or the places beside it cannot be used.
    #[error("use {}", state_dir.display())]
    Hold {
        /// The agent's state directory.
        state_dir: PathBuf,
        /// Why.
        #[source]
        source: HoldError,
    },
    /// The old spool cannot be put aside.
    #[error("put the old spool in {} aside", state_dir.display())]
    PutAside {
        /// The agent's state directory.
        state_dir: PathBuf,
        /// What the disk said.
        #[source]
        source: io::Error,
    },
    /// Another instance of this agent took over.
    #[error("{0}")]
    Fenced(String),
    /// Nothing can be forwarded, and waiting will not help.
    #[error("forward")]
    Forward(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A source cannot be read, and waiting will not help.
    #[error("collect")]
    Collect(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Agent {
    /// Runs until `stop`; with `once`, until everything was read and acked.
    ///
    /// # Errors
    /// If a person has to act.
    pub fn run(
        &self,
        once: bool,
        stop: CancellationToken,
    ) -> BoxFuture<'_, Result<(), AgentError>> {
        Box::pin(async move {
            loop {
                let hold = Arc::new(self.hold().await?);
                let ended = self.live(Arc::clone(&hold), once, &stop).await;
                match ended {
                    Ok(Ended::Stopped | Ended::Drained) => return Ok(()),
                    Ok(Ended::Fork { why, heir }) => {
                        self.vitals.forked();
                        if let Err(error) = self.follow(hold, &why, heir).await {
                            if !is_poison(&error) {
                                return Err(error);
                            }
                            tracing::error!(
                                error = &error as &dyn std::error::Error,
                                "a new spool could not be made; trying again"
                            );
                            if !rest(&stop, RETRY).await {
                                return Ok(());
                            }
                        }
                    }
                    Err(error) if is_poison(&error) && !stop.is_cancelled() => {
                        tracing::error!(
                            error = &error as &dyn std::error::Error,
                            "the spool must be opened again"
                        );
                        drop(hold);
                        if !rest(&stop, RETRY).await {
                            return Ok(());
                        }
                    }
                    Err(error) => return Err(error),
                }
            }
        })
    }

    /// Leaves a spool for a new one, which begins with what the heir is due.
    async fn follow(
        &self,
        hold: Arc<Hold>,
        why: &str,
        heir: Option<Heir>,
    ) -> Result<(), AgentError> {
        let id = hold.id();
        if let Some(heir) = heir {
            let (agent, next) = (self.clone(), SpoolId(self.entropy.bytes()));
            let built = self.blocking.run(move || {
                let Agent { disk, state_dir, spool, owner, .. } = &agent;
                succession::build(disk, state_dir, *spool, owner, &hold, (next, heir))
            });
            let copied = built
                .await
                .map_err(|source| AgentError::Hold { state_dir: self.state_dir.clone(), source })?;
            tracing::warn!(
                copied,
                "beginning a new spool with what was pushed and is not committed: {why}"
            );
        } else {
            tracing::warn!("beginning a new spool: {why}");
            // Its lock must be gone before the directory gets another name.
            drop(hold);
        }
        self.put_aside(id).await
    }

    /// Opens the spool that is there, or makes one.
    async fn hold(&self) -> Result<Hold, AgentError> {
        let agent = self.clone();
        let opened = self.blocking.run(move || agent.open_or_create()).await;
        let (mut hold, recovery) = opened
            .map_err(|source| AgentError::Hold { state_dir: self.state_dir.clone(), source })?;
        if let Some(recovery) = recovery {
            self.report(&recovery);
        }
        hold.show(self.vitals.clone(), self.spool.disk_bytes_max);
        Ok(hold)
    }

    fn report(&self, recovery: &Recovery) {
        self.vitals.found_damage(recovery.damage.len());
        for damage in &recovery.damage {
            tracing::error!("the spool is damaged, and the bytes are kept: {damage}");
        }
        if recovery.released_unknown {
            tracing::error!(
                "the spool's trim point is unknown; the journal will say where it stands"
            );
        }
        if let Some(cut) = &recovery.cut {
            let (file, bytes) = (cut.file.display(), &cut.bytes);
            tracing::warn!(
                sequence = cut.sequence,
                "cut off the unfinished end of {file}, bytes {} to {}",
                bytes.start,
                bytes.end
            );
        }
    }

    fn open_or_create(&self) -> Result<(Hold, Option<Recovery>), HoldError> {
        let io = |source| HoldError::Places { dir: self.state_dir.clone(), source };
        self.disk.create_dir(&self.state_dir).map_err(io)?;
        let open = || match Hold::open(&self.disk, &self.state_dir, self.spool, &self.owner) {
            Err(HoldError::Open(error @ OpenError::NoIdentity { .. })) => {
                // All of it is kept; sources are read again from where the journal says.
                tracing::error!("{error}; beginning a new spool");
                self.vitals.found_damage(1);
                Ok(None)
            }
            opened => opened,
        };
        let opened = match open()? {
            None if succession::succeed(&self.disk, &self.state_dir, &self.owner, self.spool)? => {
                open()?
            }
            opened => opened,
        };
        let Some((hold, recovery)) = opened else {
            let id = SpoolId(self.entropy.bytes());
            let hold = Hold::create(&self.disk, &self.state_dir, self.spool, &self.owner, id)?;
            return Ok((hold, None));
        };
        // An end that cannot be read is told once. Where it may have held what only
        // we had, it must become a gap before its numbers are used again.
        let end = recovery.damage.iter().find_map(|damage| match damage.lost {
            Lost::From { first } => Some((first, damage.to_string())),
            _ => None,
        });
        if let Some((first, damage)) = end
            && hold.fate().gap.is_none()
            && (!self.pushes.is_empty() || hold.holds_pushed()?)
        {
            let reason = format!("the end of the agent's spool is damaged: {damage}");
            hold.decide(|fate| fate.gap = Some(Gap { first, last: first, reason }))?;
        }
        Ok((hold, Some(recovery)))
    }

    /// One life: sources into the spool, the spool to an aggregator.
    async fn live(
        &self,
        hold: Arc<Hold>,
        once: bool,
        stop: &CancellationToken,
    ) -> Result<Ended, AgentError> {
        let ending = stop.child_token();
        let collected = CancellationToken::new();
        let reports = Reports::default();
        // Nothing is collected into a spool that is about to be left.
        let (placed, mut placed_seen) = watch::channel(hold.has_places() && !hold.is_to_be_left());
        let forward = Forward {
            hold: Arc::clone(&hold),
            connect: self.connect.clone(),
            reports: reports.clone(),
            blocking: self.blocking,
            entropy: self.entropy.clone(),
            guards: self.spool.guards,
            opened_by: self.label.clone(),
            placed,
            collected: collected.clone(),
            expects_pushes: !self.pushes.is_empty(),
            vitals: self.vitals.clone(),
        };
        let mut tasks: JoinSet<Result<Option<Ended>, AgentError>> = JoinSet::new();
        let forward_stop = ending.clone();
        tasks.spawn(self.gate.pass(async move {
            forward.run(forward_stop).await.map(Some).map_err(|error| match error {
                error @ ForwardError::Fenced { .. } => AgentError::Fenced(error.to_string()),
                error => AgentError::Forward(Box::new(error)),
            })
        }));
        let collecting = self.clone();
        let (collect_stop, held) = (ending.clone(), Arc::clone(&hold));
        tasks.spawn(self.gate.pass(async move {
            tokio::select! {
                biased;
                () = collect_stop.cancelled() => return Ok(None),
                // Closed when forwarding has ended, which ends this life.
                placed = placed_seen.wait_for(|placed| *placed) => {
                    if placed.is_err() {
                        return Ok(None);
                    }
                }
            }
            match collecting.collect(held, reports, collect_stop.clone()).await {
                // Forwarding comes to the same hole, and begins a new spool then.
                Err(error) if is_hole(&error) => return Ok(None),
                other => other?,
            }
            if once && !collect_stop.is_cancelled() {
                collected.cancel();
            }
            Ok(None)
        }));

        let mut outcome = Ok(Ended::Stopped);
        while let Some(joined) = tasks.join_next().await {
            match joined {
                Ok(Ok(None)) => {}
                Ok(Ok(Some(ended))) => {
                    if outcome.is_ok() {
                        outcome = Ok(ended);
                    }
                    ending.cancel();
                }
                Ok(Err(error)) => {
                    outcome = outcome.and(Err(error));
                    ending.cancel();
                }
                Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                Err(_) => {}
            }
        }
        self.inlet.close().await;
        outcome
    }

    /// Runs all sources until each has finished or `stop`.
    async fn collect(
        &self,
        hold: Arc<Hold>,
        reports: Reports,
        stop: CancellationToken,
    ) -> Result<(), AgentError> {
        let held = Arc::clone(&hold);
        let mut cursors = self
            .blocking
            .run(move || held.cursors())
            .await
            .map_err(|source| AgentError::Hold { state_dir: self.state_dir.clone(), source })?;
        let mut counts = BTreeMap::new();
        for name in &self.pushes {
            let pushed = cursors.get(name).and_then(|cursor| cursor.get(PUSHED)?.as_u64());
            counts.insert(name.clone(), pushed.unwrap_or(0));
        }
        let sources = (self.sources)().map_err(|error| AgentError::Collect(Box::new(error)))?;
        let read = sources.iter().map(|(source, delay)| (source.name().to_owned(), *delay));
        // Nobody can say what an application has not pushed yet.
        reports.begin(read.chain(self.pushes.iter().map(|name| (name.clone(), None))));
        self.inlet.open(&hold, Arc::clone(&self.read), counts).await;
        let mut tasks: JoinSet<Result<(), CollectError>> = JoinSet::new();
        for (mut source, known_delay_secs) in sources {
            let cursor = cursors.remove(source.name()).unwrap_or_default();
            source.resume(cursor).await.map_err(|error| AgentError::Collect(Box::new(error)))?;
            let collect = Collect {
                source,
                known_delay_secs,
                hold: Arc::clone(&hold),
                reports: reports.clone(),
                blocking: self.blocking,
                read: Arc::clone(&self.read),
            };
            tasks.spawn(self.gate.pass(collect.run(stop.clone())));
        }
        let mut first = Ok(());
        while let Some(joined) = tasks.join_next().await {
            match joined {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    stop.cancel();
                    first = first.and(Err(AgentError::Collect(Box::new(error))));
                }
                Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                Err(_) => {}
            }
        }
        first
    }

    /// Gives the spool that is left another name: nothing in it is deleted.
    async fn put_aside(&self, id: SpoolId) -> Result<(), AgentError> {
        let agent = self.clone();
        self.blocking
            .run(move || succession::put_aside(agent.disk.as_ref(), &agent.state_dir, id))
            .await
            .map_err(|source| AgentError::PutAside { state_dir: self.state_dir.clone(), source })
    }
}

/// Whether an error goes away by opening the spool again.
fn is_poison(error: &AgentError) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if matches!(
            error.downcast_ref::<spool::AppendError>(),
            Some(
                spool::AppendError::Poisoned { .. }
                    | spool::AppendError::Io { .. }
                    | spool::AppendError::Full { .. }
            )
        ) || matches!(
            error.downcast_ref::<spool::ReadError>(),
            Some(spool::ReadError::Damaged { .. } | spool::ReadError::Io { .. })
        ) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Whether an error is that some records in the spool cannot be read.
fn is_hole(error: &AgentError) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if matches!(error.downcast_ref::<spool::ReadError>(), Some(spool::ReadError::Hole { .. })) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// What is held, for a person to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// The spool.
    pub spool: SpoolId,
    /// The last sequence that was acked and let go.
    pub released: u64,
    /// The last sequence.
    pub head: u64,
    /// Places that could not be read.
    pub damaged: usize,
}

/// Looks at the spool of an agent that is not running; none if there is none.
///
/// # Errors
/// If it cannot be opened, for instance because the agent is running.
pub fn look(
    disk: &Arc<dyn Disk>,
    state_dir: &std::path::Path,
    config: SpoolConfig,
    owner: &Owner,
) -> Result<Option<Held>, HoldError> {
    let opened = Hold::open(disk, state_dir, config, owner)?;
    Ok(opened.map(|(hold, recovery)| Held {
        spool: hold.id(),
        released: hold.trim_point().0,
        head: *hold.durable().borrow(),
        damaged: recovery.damage.len(),
    }))
}

/// Has the next run leave this spool for a new one and take over from whoever
/// fenced it. What was pushed and is not committed goes along.
///
/// # Errors
/// If the disk refuses, or there is no spool.
pub fn take_over(
    disk: &Arc<dyn Disk>,
    state_dir: &std::path::Path,
    config: SpoolConfig,
    owner: &Owner,
) -> Result<(), HoldError> {
    decide(disk, state_dir, config, owner, |fate| fate.take_over = true)
}

/// Has the next run believe a journal that stands below what was acked: its store
/// was restored from an older copy, for good.
///
/// # Errors
/// If the disk refuses, or there is no spool.
pub fn restored(
    disk: &Arc<dyn Disk>,
    state_dir: &std::path::Path,
    config: SpoolConfig,
    owner: &Owner,
) -> Result<(), HoldError> {
    decide(disk, state_dir, config, owner, |fate| fate.restored = true)
}

fn decide(
    disk: &Arc<dyn Disk>,
    state_dir: &std::path::Path,
    config: SpoolConfig,
    owner: &Owner,
    change: impl FnOnce(&mut Fate),
) -> Result<(), HoldError> {
    match Hold::open(disk, state_dir, config, owner)? {
        Some((hold, _)) => hold.decide(change),
        None => {
            let source = io::ErrorKind::NotFound.into();
            Err(HoldError::Places { dir: state_dir.to_owned(), source })
        }
    }
}
