//! The agent as a whole: one life after another, until told to stop.
//!
//! A life is one spool: opened or made, collected into, forwarded from. It ends
//! with the process, with everything delivered (`once`), or when the spool must
//! be left for a new one (a fork); then the next life begins, and sources resume
//! where the journal says.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use identity::SpeaksFor;
use integrity::SpoolId;
use seam::{Blocking, Clock, Disk, Entropy};
use spool::Recovery;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::collect::{Collect, CollectError, Reports, rest};
use crate::config::{SourceConfig, SpoolConfig};
use crate::directory::directory_source;
use crate::file::file_source;
use crate::files::Options;
use crate::forward::{Ended, Forward, ForwardError};
use crate::hold::{Hold, HoldError, Owner, spool_dir};
use crate::link::Connect;
use crate::source::{Source, SourceError};

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
    /// For people: shown to an instance that this one fences.
    pub label: String,
    /// Units put into the spool, for whoever shows progress.
    pub read: Arc<AtomicU64>,
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
    pub async fn run(&self, once: bool, stop: CancellationToken) -> Result<(), AgentError> {
        loop {
            let hold = Arc::new(self.hold().await?);
            let ended = self.live(Arc::clone(&hold), once, &stop).await;
            match ended {
                Ok(Ended::Stopped | Ended::Drained) => return Ok(()),
                Ok(Ended::Fork(why)) => {
                    let id = hold.id();
                    tracing::warn!("beginning a new spool: {why}");
                    // Its lock must be gone before the directory gets another name.
                    drop(hold);
                    self.put_aside(id).await?;
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
    }

    /// Opens the spool that is there, or makes one.
    async fn hold(&self) -> Result<Hold, AgentError> {
        let agent = self.clone();
        let opened = self.blocking.run(move || agent.open_or_create()).await;
        let (hold, recovery) = opened
            .map_err(|source| AgentError::Hold { state_dir: self.state_dir.clone(), source })?;
        if let Some(recovery) = recovery.filter(|recovery| !recovery.is_clean()) {
            tracing::error!(
                ?recovery,
                "the spool was damaged; what could not be read is kept aside"
            );
        }
        Ok(hold)
    }

    fn open_or_create(&self) -> Result<(Hold, Option<Recovery>), HoldError> {
        let io = |source| HoldError::Places { dir: self.state_dir.clone(), source };
        self.disk.create_dir(&self.state_dir).map_err(io)?;
        match Hold::open(&self.disk, &self.state_dir, self.spool, &self.owner)? {
            Some((hold, recovery)) => Ok((hold, Some(recovery))),
            None => {
                let id = SpoolId(self.entropy.bytes());
                let hold = Hold::create(&self.disk, &self.state_dir, self.spool, &self.owner, id)?;
                Ok((hold, None))
            }
        }
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
        let (placed, mut placed_seen) = watch::channel(hold.has_places());
        let forward = Forward {
            hold: Arc::clone(&hold),
            connect: self.connect.clone(),
            reports: reports.clone(),
            blocking: self.blocking,
            entropy: self.entropy.clone(),
            opened_by: self.label.clone(),
            placed,
            collected: collected.clone(),
        };
        let mut tasks: JoinSet<Result<Option<Ended>, AgentError>> = JoinSet::new();
        let forward_stop = ending.clone();
        tasks.spawn(async move {
            forward.run(forward_stop).await.map(Some).map_err(|error| match error {
                error @ ForwardError::Fenced { .. } => AgentError::Fenced(error.to_string()),
                error => AgentError::Forward(Box::new(error)),
            })
        });
        let collecting = self.clone();
        let (collect_stop, held) = (ending.clone(), Arc::clone(&hold));
        tasks.spawn(async move {
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
            collecting.collect(held, reports, collect_stop.clone()).await?;
            if once && !collect_stop.is_cancelled() {
                collected.cancel();
            }
            Ok(None)
        });

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
        let sources = (self.sources)().map_err(|error| AgentError::Collect(Box::new(error)))?;
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
            tasks.spawn(collect.run(stop.clone()));
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
            .run(move || put_aside(agent.disk.as_ref(), &agent.state_dir, id))
            .await
            .map_err(|source| AgentError::PutAside { state_dir: self.state_dir.clone(), source })
    }
}

/// Renames the spool directory to `spool.left-<id>`. Blocks.
fn put_aside(disk: &dyn Disk, state_dir: &std::path::Path, id: SpoolId) -> io::Result<()> {
    disk.rename(&spool_dir(state_dir), &state_dir.join(format!("spool.left-{id}")))?;
    disk.sync_dir(state_dir)
}

/// Whether an error goes away by opening the spool again.
fn is_poison(error: &AgentError) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if matches!(
            error.downcast_ref::<spool::AppendError>(),
            Some(spool::AppendError::Poisoned { .. } | spool::AppendError::Io { .. })
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

/// Leaves the spool, so that the next run begins a new one and takes over.
///
/// # Errors
/// If the disk refuses.
pub fn take_over(
    disk: &Arc<dyn Disk>,
    state_dir: &std::path::Path,
    spool: SpoolId,
) -> io::Result<()> {
    put_aside(disk.as_ref(), state_dir, spool)
}
