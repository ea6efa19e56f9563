//! What somebody who speaks no TLS is told.
//!
//! A browser, a probe or a gRPC client without TLS would see a closed
//! connection and guess. One line in its own protocol saves that.

use std::io;

use tokio::net::TcpStream;

/// The first byte of a TLS handshake record.
const TLS_HANDSHAKE: u8 = 0x16;

/// How HTTP/2 without TLS begins.
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0";

/// What is said.
const SENTENCE: &str = "this port is for orgtrail agents: TLS 1.3 with a client certificate";

/// HTTP/2 error code INADEQUATE_SECURITY.
const INADEQUATE_SECURITY: u8 = 0x0c;

/// What came in place of a TLS handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Greeting {
    Http1,
    Http2,
    Unknown,
}

/// Looks at the first bytes, leaving them unread; none if they may be TLS.
///
/// # Errors
/// When the peer closes the connection without a word.
pub(super) async fn greeting(stream: &TcpStream) -> io::Result<Option<Greeting>> {
    let mut first = [0; 16];
    let length = stream.peek(&mut first).await?;
    let first = first.get(..length).unwrap_or_default();
    match first.first() {
        None => Err(io::ErrorKind::UnexpectedEof.into()),
        Some(&TLS_HANDSHAKE) => Ok(None),
        Some(_) if first.starts_with(HTTP2_PREFACE) => Ok(Some(Greeting::Http2)),
        Some(byte) if byte.is_ascii_uppercase() => Ok(Some(Greeting::Http1)),
        Some(_) => Ok(Some(Greeting::Unknown)),
    }
}

/// The answer in the peer's own protocol, empty if that is unknown.
pub(super) fn answer(greeting: &Greeting) -> Vec<u8> {
    match greeting {
        Greeting::Unknown => Vec::new(),
        Greeting::Http1 => format!(
            "HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-type: text/plain\r\ncontent-length: {}\r\n\r\n{SENTENCE}\n",
            SENTENCE.len() + 1
        )
        .into_bytes(),
        Greeting::Http2 => {
            // An empty SETTINGS frame, then GOAWAY: last stream 0, the code, the sentence.
            let length = u8::try_from(8 + SENTENCE.len()).expect("the sentence is short");
            let mut frames = vec![0, 0, 0, 0x4, 0, 0, 0, 0, 0];
            frames.extend_from_slice(&[0, 0, length, 0x7, 0, 0, 0, 0, 0]);
            frames.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, INADEQUATE_SECURITY]);
            frames.extend_from_slice(SENTENCE.as_bytes());
            frames
        }
    }
}
