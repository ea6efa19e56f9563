//! A line between an agent and an aggregator: a proxy that carries bytes, badly to order.
//!
//! It can be cut (resets at both ends, or at one while the other hears nothing
//! ever after), fall silent with everything still connected, carry one way only,
//! be slow, or stall as TCP does when packets are lost.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::dice::Dice;

/// What is carried at once.
const CHUNK_BYTES: usize = 16 * 1024;

/// How long an end whose other end is gone is left in the dark.
const ABANDONED: Duration = Duration::from_secs(300);

/// How a line carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quality {
    /// At once.
    Good,
    /// Nothing, in neither direction; connections stay, and new ones are taken.
    Silent,
    /// Only from the agent.
    OnlyThere,
    /// Only to the agent.
    OnlyBack,
    /// Each chunk after a time, and no more bytes in a second than these.
    Slow {
        /// The latency.
        millis: u64,
        /// The rate.
        bytes_per_second: u64,
    },
    /// One chunk in ten waits for 200 ms to 3 s, as for a packet sent again.
    Lossy,
}

/// How connections end when a line is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Reset at both ends.
    Both,
    /// Reset at the aggregator; the agent is not told.
    AggregatorOnly,
    /// Reset at the agent; the aggregator is not told.
    AgentOnly,
}

#[derive(Clone, Copy, Debug)]
struct Weather {
    quality: Quality,
    cut: Cut,
    cuts: u64,
}

/// A listener on the loopback that carries to a port there, as long as it lives.
#[derive(Debug)]
pub struct Line {
    port: u16,
    weather: watch::Sender<Weather>,
}

impl Line {
    /// A good line to `port`.
    ///
    /// # Errors
    /// There is no free port.
    pub fn to(port: u16) -> Result<Self> {
        let weather =
            watch::Sender::new(Weather { quality: Quality::Good, cut: Cut::Both, cuts: 0 });
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("bind")?;
        let own = listener.local_addr().context("ask for the address")?.port();
        listener.set_nonblocking(true).context("listen")?;
        let to = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let seen = weather.subscribe();
        runtime()?.spawn(async move {
            if let Ok(listener) = TcpListener::from_std(listener) {
                listen(listener, to, seen).await;
            }
        });
        Ok(Self { port: own, weather })
    }

    /// Where it listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// From now on it carries like this.
    pub fn set(&self, quality: Quality) {
        self.weather.send_modify(|weather| weather.quality = quality);
    }

    /// Ends all connections; new ones may be made.
    pub fn cut(&self, cut: Cut) {
        self.weather.send_modify(|weather| {
            weather.cut = cut;
            weather.cuts += 1;
        });
    }
}

fn runtime() -> Result<&'static Runtime> {
    static RUNTIME: OnceLock<Option<Runtime>> = OnceLock::new();
    let made = RUNTIME.get_or_init(|| {
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().ok()
    });
    made.as_ref().context("start the lines' runtime")
}

async fn listen(listener: TcpListener, to: SocketAddr, mut weather: watch::Receiver<Weather>) {
    let mut number = 0;
    loop {
        let client = tokio::select! {
            accepted = listener.accept() => accepted,
            // The line is no more.
            () = async { while weather.changed().await.is_ok() {} } => return,
        };
        let Ok((client, _)) = client else { continue };
        number += 1;
        let connection = carry(client, to, weather.clone(), Dice::new(number));
        drop(runtime().map(|runtime| runtime.spawn(connection)));
    }
}

async fn carry(client: TcpStream, to: SocketAddr, weather: watch::Receiver<Weather>, dice: Dice) {
    let Ok(server) = TcpStream::connect(to).await else {
        reset(&client);
        return;
    };
    drop(client.set_nodelay(true));
    drop(server.set_nodelay(true));
    let begun = weather.borrow().cuts;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let watched = weather.clone();
    let there = pump(from_client, to_server, weather.clone(), dice.clone(), true);
    let back = pump(from_server, to_client, weather, dice, false);
    let ((from_client, to_server), (from_server, to_client)) = tokio::join!(there, back);
    let (Ok(client), Ok(server)) = (from_client.reunite(to_client), from_server.reunite(to_server))
    else {
        return;
    };
    let told = *watched.borrow();
    if told.cuts == begun {
        return;
    }
    match told.cut {
        Cut::Both => {
            reset(&client);
            reset(&server);
        }
        Cut::AggregatorOnly => {
            reset(&server);
            drop(server);
            tokio::time::sleep(ABANDONED).await;
        }
        Cut::AgentOnly => {
            reset(&client);
            drop(client);
            tokio::time::sleep(ABANDONED).await;
        }
    }
}

/// What is closed after this says RST, not FIN.
fn reset(stream: &TcpStream) {
    drop(stream.set_zero_linger());
}

/// Carries one direction until its end or a cut; gives both halves back.
async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut weather: watch::Receiver<Weather>,
    mut dice: Dice,
    there: bool,
) -> (OwnedReadHalf, OwnedWriteHalf) {
    let begun = weather.borrow().cuts;
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        let now = *weather.borrow_and_update();
        if now.cuts != begun {
            break;
        }
        let carries = match now.quality {
            Quality::Silent => false,
            Quality::OnlyThere => there,
            Quality::OnlyBack => !there,
            Quality::Good | Quality::Slow { .. } | Quality::Lossy => true,
        };
        if !carries {
            if weather.changed().await.is_err() {
                break;
            }
            continue;
        }
        let read = tokio::select! {
            biased;
            changed = weather.changed() => {
                if changed.is_err() { break }
                continue;
            }
            read = from.read(&mut buffer) => read.unwrap_or(0),
        };
        let delay = match now.quality {
            Quality::Slow { millis, bytes_per_second } => {
                let rate = (read as u64).saturating_mul(1_000).checked_div(bytes_per_second);
                millis + rate.unwrap_or(0)
            }
            Quality::Lossy if dice.below(10) == 0 => 200 + dice.below(2_800),
            _ => 0,
        };
        if delay > 0 {
            tokio::time::sleep(Duration::from_millis(delay)).await;
        }
        let chunk = buffer.get(..read).unwrap_or_default();
        let carried = tokio::select! {
            biased;
            written = to.write_all(chunk) => written.is_ok(),
            _ = weather.wait_for(|weather| weather.cuts != begun) => false,
        };
        if read == 0 || !carried {
            // A cut says its own last word.
            if weather.borrow().cuts == begun {
                drop(to.shutdown().await);
            }
            break;
        }
    }
    (from, to)
}
