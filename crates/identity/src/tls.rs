//! Connections: a TCP stream in, an authenticated stream and its peer out.
//!
//! A handshake has a deadline. When it fails, the reason is a sentence on this
//! side and an alert for the other; the socket is then drained for a moment, so
//! that the alert is not lost to a reset. In TLS 1.3 a client is done before
//! the server has judged its certificate: the [`Verdict`] that [`connect`]
//! gives back tells later what the server's alert meant.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::{ClientConfig, ServerConfig};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::config::ALPN;
use crate::name::{IdentityError, quoted};
use crate::peer::{Peer, certificate, peer};

mod fault;
mod plaintext;
mod stream;

pub use fault::{Fault, HandshakeError, Party};
pub use stream::{ClientStream, Verdict};

/// An accepted connection.
pub type ServerStream = tokio_rustls::server::TlsStream<TcpStream>;

/// A handshake that takes longer is given up.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long, and for how many bytes, a refused peer is listened to so that it reads its alert.
const LINGER_TIMEOUT: Duration = Duration::from_secs(1);
const LINGER_BYTES_MAX: usize = 256 << 10;

/// Takes in an agent, or refuses it.
///
/// # Errors
/// With the sentence for our log; the peer was sent an alert if it speaks TLS,
/// and a line of text if it speaks plain HTTP.
pub async fn accept(
    stream: TcpStream,
    config: Arc<ServerConfig>,
) -> Result<(ServerStream, Peer), HandshakeError> {
    let error = |fault| HandshakeError { peer: Party::Agent, fault };
    let handshake = Box::pin(timeout(HANDSHAKE_TIMEOUT, async {
        if let Some(greeting) = plaintext::greeting(&stream).await? {
            return Ok(Err((Fault::Plaintext, stream, Some(greeting))));
        }
        match TlsAcceptor::from(config).accept(stream).into_fallible().await {
            Ok(stream) => Ok(Ok(stream)),
            Err((error, stream)) => Ok(Err((Fault::of(&error), stream, None))),
        }
    }));
    let mut stream = match handshake.await {
        Err(_) => return Err(error(Fault::TimedOut)),
        Ok(Err(failed)) => return Err(error(Fault::of_io(&failed))),
        Ok(Ok(Err((fault, stream, greeting)))) => {
            let answer = greeting.map(|greeting| plaintext::answer(&greeting)).unwrap_or_default();
            part(stream, &answer).await;
            return Err(error(fault));
        }
        Ok(Ok(Ok(stream))) => stream,
    };

    let (_, connection) = stream.get_ref();
    let leaf = connection.peer_certificates().and_then(|chain| chain.first());
    // The verifier has read it before; this is how it gets from there to here.
    let peer = leaf
        .map_or(Err(IdentityError::NoUri), |leaf| peer(leaf))
        .map_err(|fault| error(fault.into()))?;
    if connection.alpn_protocol() != Some(ALPN) {
        // The refusal stands, whether or not the farewell arrives.
        let _farewell = timeout(LINGER_TIMEOUT, stream.shutdown()).await;
        return Err(error(Fault::NotHttp2));
    }
    Ok((stream, peer))
}

/// Connects to the aggregator that is dialled as `host`.
///
/// The [`Verdict`] is asked when the connection fails later on.
///
/// # Errors
/// With the sentence for our log.
pub async fn connect(
    stream: TcpStream,
    host: &str,
    config: Arc<ClientConfig>,
) -> Result<(ClientStream, Verdict), HandshakeError> {
    let error = |fault| HandshakeError { peer: Party::Aggregator, fault };
    let name = ServerName::try_from(host.to_owned())
        .map_err(|_| error(Fault::Host { host: quoted(host) }))?;
    let connecting = TlsConnector::from(config).connect(name, stream).into_fallible();
    match Box::pin(timeout(HANDSHAKE_TIMEOUT, connecting)).await {
        Err(_) => Err(error(Fault::TimedOut)),
        Ok(Err((failed, stream))) => {
            let fault = Fault::of(&failed);
            part(stream, &[]).await;
            Err(error(fault))
        }
        Ok(Ok(stream)) => {
            let (_, connection) = stream.get_ref();
            let leaf = connection.peer_certificates().and_then(|chain| chain.first());
            let aggregator = leaf.map_or(Err(IdentityError::NoUri), |leaf| certificate(leaf));
            Ok(ClientStream::new(stream, aggregator.map_err(|fault| error(fault.into()))?))
        }
    }
}

/// Says `answer` and ends a connection so that what was sent arrives: a socket
/// closed with unread input is reset, and a reset overtakes the alert.
async fn part(mut stream: TcpStream, answer: &[u8]) {
    let farewell = async {
        stream.write_all(answer).await?;
        stream.shutdown().await?;
        let mut unread = [0; 4096];
        let mut bytes = 0;
        while bytes < LINGER_BYTES_MAX {
            match stream.read(&mut unread).await? {
                0 => break,
                read => bytes += read,
            }
        }
        io::Result::Ok(())
    };
    // The peer may be gone, or slow: it has been refused either way.
    let _farewell = Box::pin(timeout(LINGER_TIMEOUT, farewell)).await;
}
