//! The door: who may connect, how many at once, and how long without saying anything.
//!
//! Before a handshake only an address is known, so an address has a share of the
//! handshakes under way; afterwards an agent is known, and it has a share of the
//! connections. Who is over its share is hung up on at once: an agent tries again
//! within a second, and nothing of it is lost.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use identity::{Credentials, Peer};
use journal::AgentKey;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, Sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::transport::server::Connected;

use crate::lines::Lines;
use crate::metrics::Metrics;
use crate::serve::ServeError;

/// Handshakes under way at once; a slow one must not hold up the others.
pub(crate) const HANDSHAKES_MAX: usize = 256;

/// Those of one address (of one /64, where addresses are that long).
const HANDSHAKES_PER_ADDRESS_MAX: usize = 64;

/// Connections of one agent. It needs one; the others may be dead and not known to be.
const CONNECTIONS_PER_AGENT_MAX: usize = 8;

/// How long a connection may be without a session.
const IDLE_MAX: Duration = Duration::from_secs(30);

/// Lines about refused connections that are written without a pause between.
const COMPLAINTS_AT_ONCE: u32 = 32;

/// Lines about agents that connect, and about sessions that end, written without a pause.
pub(crate) const COMINGS_AT_ONCE: u32 = 512;

/// Takes connections in, until stopped.
pub(crate) struct Accept {
    pub(crate) listener: TcpListener,
    pub(crate) credentials: Arc<Credentials<ServerConfig>>,
    pub(crate) connections: Arc<Semaphore>,
    pub(crate) tracker: TaskTracker,
    pub(crate) metrics: Metrics,
}

impl Accept {
    pub(crate) async fn run(
        self,
        accepted: mpsc::Sender<std::io::Result<Connection>>,
        stop: CancellationToken,
    ) -> Result<(), ServeError> {
        let handshakes = Arc::new(Semaphore::new(HANDSHAKES_MAX));
        let addresses = Shares::new(HANDSHAKES_PER_ADDRESS_MAX);
        let agents = Shares::new(CONNECTIONS_PER_AGENT_MAX);
        let complaints = Arc::new(Lines::new(COMPLAINTS_AT_ONCE));
        let comings = Arc::new(Lines::new(COMINGS_AT_ONCE));
        loop {
            let (stream, address) = tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                accepted = self.listener.accept() => match accepted {
                    Ok(accepted) => accepted,
                    Err(error) => {
                        // Out of descriptors, usually: let some be closed first.
                        tracing::error!(%error, "cannot accept connections");
                        tokio::time::sleep(Duration::from_millis(200)).await;
                        continue;
                    }
                },
            };
            let room = Arc::clone(&self.connections).try_acquire_owned();
            let slot = Arc::clone(&handshakes).try_acquire_owned();
            let share = addresses.enter(network(address.ip()));
            let (room, slot, share) = match (room, slot, share) {
                (Ok(room), Ok(slot), Some(share)) => (room, slot, share),
                (Err(_), ..) => {
                    self.metrics.refuse("connections");
                    refuse(&complaints, &"aggregator.sessions_max are connected", &address);
                    continue;
                }
                _ => {
                    self.metrics.refuse("handshakes");
                    refuse(&complaints, &"too many handshakes are under way", &address);
                    continue;
                }
            };
            let config = self.credentials.config();
            let (accepted, stop, metrics) = (accepted.clone(), stop.clone(), self.metrics.clone());
            let (agents, complaints) = (agents.clone(), Arc::clone(&complaints));
            let comings = Arc::clone(&comings);
            self.tracker.spawn(async move {
                let _under_way = (slot, share);
                let handshake = tokio::select! {
                    biased;
                    () = stop.cancelled() => return,
                    handshake = identity::tls::accept(stream, config) => handshake,
                };
                let (stream, peer) = match handshake {
                    Ok(known) => known,
                    Err(error) => {
                        metrics.handshakes_failed.inc();
                        refuse(&complaints, &error, &address);
                        return;
                    }
                };
                let AgentKey { account, agent } =
                    AgentKey { account: peer.identity.account, agent: peer.identity.agent.clone() };
                let Some(share) = agents.enter(AgentKey { account, agent }) else {
                    metrics.refuse("agent_connections");
                    let agent = &peer.identity;
                    let why = format!(
                        "{agent} has {CONNECTIONS_PER_AGENT_MAX} already; stop other instances \
                         with its name"
                    );
                    refuse(&complaints, &why, &address);
                    return;
                };
                if let Some(untold) = comings.turn(Instant::now()) {
                    tracing::info!(%address, agent = %peer.identity, untold, "agent connected");
                }
                let caller = Caller { peer, sessions: Arc::default() };
                let connection =
                    Connection { stream, caller, idle: None, _room: room, _share: share };
                // Closed only when the server has stopped.
                drop(accepted.send(Ok(connection)).await);
            });
        }
    }
}

/// Says why a connection is refused, but not so often that strangers fill the log.
fn refuse(complaints: &Lines, why: &dyn fmt::Display, address: &dyn fmt::Display) {
    let Some(untold) = complaints.turn(Instant::now()) else { return };
    tracing::warn!(%address, "refused a connection: {why}");
    if untold > 0 {
        tracing::warn!("refused {untold} connections before it without saying so");
    }
}

/// What stands for the neighbours who share a line.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(long) => match long.to_ipv4_mapped() {
            Some(short) => IpAddr::V4(short),
            None => {
                let [a, b, c, d, ..] = long.segments();
                IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
            }
        },
    }
}

/// How many each one has, at most so many.
#[derive(Debug)]
struct Shares<K> {
    max: usize,
    held: Arc<Mutex<BTreeMap<K, usize>>>,
}

/// One of somebody's share, given back when dropped.
#[derive(Debug)]
struct Share<K: Ord> {
    key: K,
    held: Arc<Mutex<BTreeMap<K, usize>>>,
}

impl<K> Clone for Shares<K> {
    fn clone(&self) -> Self {
        Self { max: self.max, held: Arc::clone(&self.held) }
    }
}

impl<K: Ord + Clone> Shares<K> {
    fn new(max: usize) -> Self {
        Self { max, held: Arc::default() }
    }

    fn enter(&self, key: K) -> Option<Share<K>> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let count = held.entry(key.clone()).or_default();
        if *count >= self.max {
            return None;
        }
        *count += 1;
        Some(Share { key, held: Arc::clone(&self.held) })
    }
}

impl<K: Ord> Drop for Share<K> {
    fn drop(&mut self) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = held.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.key);
            }
        }
    }
}

/// Who calls, and how many sessions it has on this connection.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) peer: Peer,
    sessions: Arc<AtomicUsize>,
}

/// A session under way on a connection.
#[derive(Debug)]
pub(crate) struct Begun(Arc<AtomicUsize>);

impl Caller {
    /// Begins a session; it ends when what comes back is dropped.
    pub(crate) fn begin(&self) -> Begun {
        self.sessions.fetch_add(1, Ordering::Relaxed);
        Begun(Arc::clone(&self.sessions))
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A connection that proved who it is.
pub(crate) struct Connection {
    stream: identity::tls::ServerStream,
    caller: Caller,
    /// When it has been without a session for too long.
    idle: Option<Pin<Box<Sleep>>>,
    _room: OwnedSemaphorePermit,
    _share: Share<AgentKey>,
}

impl Connection {
    /// Whether it has been without a session for too long.
    fn is_idle(&mut self, context: &mut Context<'_>) -> bool {
        if self.caller.sessions.load(Ordering::Relaxed) > 0 {
            self.idle = None;
            return false;
        }
        let idle = self.idle.get_or_insert_with(|| Box::pin(tokio::time::sleep(IDLE_MAX)));
        idle.as_mut().poll(context).is_ready()
    }
}

impl Connected for Connection {
    type ConnectInfo = Caller;

    fn connect_info(&self) -> Caller {
        self.caller.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        if self.is_idle(context) {
            return Poll::Ready(Err(std::io::ErrorKind::TimedOut.into()));
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_ends_where_it_is_full_and_is_given_back() {
        let shares = Shares::new(2);
        let first = shares.enter("a").expect("room");
        let _second = shares.enter("a").expect("room");
        assert!(shares.enter("a").is_none());
        assert!(shares.enter("b").is_some(), "others have theirs");
        drop(first);
        assert!(shares.enter("a").is_some());
        assert_eq!(shares.held.lock().expect("no panic").len(), 1, "nobody is remembered");
    }

    #[test]
    fn neighbours_on_one_line_share() {
        let check = |one: &str, other: &str, same: bool| {
            let networks = [one, other].map(|text| network(text.parse().expect("an address")));
            assert_eq!(networks[0] == networks[1], same, "{one} {other}");
        };
        check("192.0.2.1", "192.0.2.2", false);
        check("192.0.2.1", "::ffff:192.0.2.1", true);
        check("2001:db8:1:2:3::4", "2001:db8:1:2:ffff::1", true);
        check("2001:db8:1:2::1", "2001:db8:1:3::1", false);
    }
}
