//! The aggregator as a whole: TLS and gRPC in front, sessions, one committer.
//!
//! Drain is start in reverse: stop accepting, let sessions hear their last acks,
//! commit what is buffered, stop. One deadline covers it all; the agents' spools
//! make missing it harmless.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::future::BoxFuture;
use identity::Credentials;
use journal::{Journal, JournalError};
use rustls::ServerConfig;
use seam::{Blocking, Clock, Entropy};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::{Request, Response, Status, Streaming};
use wire::v1;

use crate::accept::{Accept, COMINGS_AT_ONCE, Caller, HANDSHAKES_MAX};
use crate::buffer::Buffer;
use crate::committer::{Committer, CommitterError};
use crate::config::Config;
use crate::health::Health;
use crate::lines::Lines;
use crate::metrics::Metrics;
use crate::session::{Doubt, Session};

/// Answers that wait for one agent.
const OUTBOUND_MAX: usize = 64;

/// What HTTP/2 lets one session send before it is read; a whole batch fits.
const STREAM_WINDOW_BYTES: u32 = 1024 * 1024;

/// Sessions on one connection.
const STREAMS_MAX: u32 = 1;

/// Headers of one call.
const HEADER_LIST_BYTES_MAX: u32 = 16 * 1024;

/// Calls that were reset before they were looked at; more of them end the connection.
const PENDING_RESETS_MAX: usize = 20;

/// How often a silent connection is asked whether it lives, and how long it may take.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(20));

/// How often changed certificate files are looked for.
const RELOAD_EVERY: Duration = Duration::from_secs(2);

/// Why an aggregator could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address cannot be listened on.
    #[error("listen on {address} (aggregator.listen)")]
    Listen {
        /// The address as configured.
        address: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The journal cannot be read.
    #[error("read the journal")]
    Journal(#[source] JournalError),
    /// The journal cannot be continued.
    #[error("commit to the journal")]
    Committer(#[source] CommitterError),
    /// The gRPC server gave up.
    #[error("serve agents")]
    Transport(#[source] tonic::transport::Error),
}

/// An aggregator that listens and has read its journal.
#[derive(Debug)]
pub struct Server {
    config: Config,
    listener: TcpListener,
    credentials: Arc<Credentials<ServerConfig>>,
    session: Session,
    committer: Committer,
    metrics: Metrics,
    health: Health,
}

impl Server {
    /// Reads the journal to its end and binds the listener.
    ///
    /// # Errors
    /// If either fails.
    pub fn start(
        config: Config,
        journal: Journal,
        credentials: Arc<Credentials<ServerConfig>>,
        seams: (Clock, Entropy, Blocking),
        metrics: Metrics,
        health: Health,
    ) -> BoxFuture<'static, Result<Self, ServeError>> {
        Box::pin(async move {
            let listener = TcpListener::bind(&config.listen)
                .await
                .map_err(|source| ServeError::Listen { address: config.listen.clone(), source })?;
            let state = journal.fold().await.map_err(ServeError::Journal)?;
            let buffer = Arc::new(Buffer::new(
                config.buffer_bytes,
                config.flush_bytes,
                Duration::from_millis(config.flush_age_millis),
                config.sessions_max,
            ));
            let (clock, entropy, blocking) = seams;
            health.store_answered(state.head, state.totals.inflated_bytes);
            let (committer, requests) = Committer::new(
                journal,
                state,
                Arc::clone(&buffer),
                (clock.clone(), entropy, blocking),
                metrics.clone(),
                health.clone(),
            );
            let cores = std::thread::available_parallelism().map_or(1, usize::from);
            let session = Session::new(
                requests,
                buffer,
                cores,
                (clock.clone(), blocking),
                metrics.clone(),
                doubt(Arc::clone(&credentials), clock),
            );
            Ok(Self { config, listener, credentials, session, committer, metrics, health })
        })
    }

    /// Where it listens; the port is the real one if 0 was configured.
    ///
    /// # Errors
    /// If the operating system cannot say.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `stop`, then drains.
    ///
    /// # Errors
    /// If the journal cannot be continued or the transport fails.
    pub fn run(self, stop: CancellationToken) -> BoxFuture<'static, Result<(), ServeError>> {
        Box::pin(async move {
            let Self { config, listener, credentials, session, committer, metrics, health } = self;
            let sessions_stop = CancellationToken::new();
            let committer_stop = CancellationToken::new();
            let http_stop = CancellationToken::new();
            let tracker = TaskTracker::new();
            let (accepted, incoming) = mpsc::channel(HANDSHAKES_MAX);

            let mut tasks: JoinSet<Result<(), ServeError>> = JoinSet::new();
            let committing = committer.run(committer_stop.clone());
            tasks.spawn(async move { committing.await.map_err(ServeError::Committer) });
            tasks.spawn(reload(Arc::clone(&credentials), stop.clone()));
            let accept = Accept {
                listener,
                credentials,
                connections: Arc::new(Semaphore::new(config.sessions_max)),
                tracker: tracker.clone(),
                metrics,
            };
            tasks.spawn(accept.run(accepted, stop.clone()));
            let service = Service {
                session,
                tracker: tracker.clone(),
                stop: sessions_stop.clone(),
                goings: Arc::new(Lines::new(COMINGS_AT_ONCE)),
            };
            let http_stopped = http_stop.clone();
            tasks.spawn(async move {
                tonic::transport::Server::builder()
                    .initial_stream_window_size(STREAM_WINDOW_BYTES)
                    .initial_connection_window_size(STREAM_WINDOW_BYTES)
                    .max_concurrent_streams(STREAMS_MAX)
                    .http2_max_header_list_size(HEADER_LIST_BYTES_MAX)
                    .http2_max_pending_accept_reset_streams(Some(PENDING_RESETS_MAX))
                    .http2_keepalive_interval(Some(KEEPALIVE.0))
                    .http2_keepalive_timeout(Some(KEEPALIVE.1))
                    .add_service(wire::server(service))
                    .serve_with_incoming_shutdown(
                        ReceiverStream::new(incoming),
                        http_stopped.cancelled_owned(),
                    )
                    .await
                    .map_err(ServeError::Transport)
            });

            let mut failed = None;
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                Some(ended) = tasks.join_next() => failed = outcome(ended).err(),
            }
            stop.cancel();
            health.draining();
            let deadline = Instant::now() + Duration::from_secs(config.drain_secs);
            sessions_stop.cancel();
            tracker.close();
            if tokio::time::timeout_at(deadline, tracker.wait()).await.is_err() {
                tracing::warn!(
                    "not all sessions could be finished in time; their agents keep what is not acked"
                );
            }
            committer_stop.cancel();
            http_stop.cancel();
            // The committer polls a commit that has begun to its end, within its own time-outs.
            let last = tokio::time::timeout_at(deadline + Duration::from_secs(5), async {
                while let Some(ended) = tasks.join_next().await {
                    if let Err(error) = outcome(ended) {
                        failed.get_or_insert(error);
                    }
                }
            });
            if last.await.is_err() {
                tasks.shutdown().await;
            }
            failed.map_or(Ok(()), Err)
        })
    }
}

fn outcome(
    ended: Result<Result<(), ServeError>, tokio::task::JoinError>,
) -> Result<(), ServeError> {
    match ended {
        Ok(result) => result,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => Ok(()),
    }
}

/// Why a peer may not speak any more: its certificate expired or is refused now.
fn doubt(credentials: Arc<Credentials<ServerConfig>>, clock: Clock) -> Doubt {
    Arc::new(move |peer| {
        if let Some(refused) = credentials.refuse().refuses(peer) {
            return Some(refused.to_string());
        }
        (clock.now() > peer.not_after)
            .then(|| format!("the certificate of {} expired at {}", peer.identity, peer.not_after))
    })
}

async fn reload(
    credentials: Arc<Credentials<ServerConfig>>,
    stop: CancellationToken,
) -> Result<(), ServeError> {
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(RELOAD_EVERY) => {}
        }
        let held = Arc::clone(&credentials);
        match Blocking::Pool.run(move || held.reload_if_changed()).await {
            Ok(true) => tracing::info!("took changed certificate files into use"),
            Ok(false) => {}
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "changed certificate files are no good; the old ones stay in use"
                );
            }
        }
    }
}

/// The gRPC face: turns a call into a session.
struct Service {
    session: Session,
    tracker: TaskTracker,
    stop: CancellationToken,
    /// Of sessions that end.
    goings: Arc<Lines>,
}

#[tonic::async_trait]
impl v1::delivery_server::Delivery for Service {
    type DeliverStream =
        Pin<Box<dyn futures::Stream<Item = Result<v1::FromAggregator, Status>> + Send>>;

    async fn deliver(
        &self,
        request: Request<Streaming<v1::FromAgent>>,
    ) -> Result<Response<Self::DeliverStream>, Status> {
        let caller = request
            .extensions()
            .get::<Caller>()
            .cloned()
            .ok_or_else(|| Status::unauthenticated("no certificate was shown"))?;
        let begun = caller.begin();
        let peer = caller.peer;
        let (outbound, answers) = mpsc::channel(OUTBOUND_MAX);
        let session = self.session.clone();
        let stop = self.stop.clone();
        let agent = peer.identity.clone();
        let goings = Arc::clone(&self.goings);
        // A broken transport ends the session like an agent that goes.
        let inbound =
            request.into_inner().take_while(|message| std::future::ready(message.is_ok()));
        let inbound = Box::pin(inbound.filter_map(|message| std::future::ready(message.ok())));
        self.tracker.spawn(async move {
            let _begun = begun;
            let end = session.run(peer, inbound, outbound, stop).await;
            if let Some(untold) = goings.turn(Instant::now()) {
                tracing::info!(%agent, untold, "session ended: {end}");
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(answers).map(Ok))))
    }
}
