//! An agent's connection, which remembers what the aggregator's alert said.
//!
//! Whoever uses the stream (an HTTP/2 library) turns the alert into "connection
//! error"; the verdict keeps what it was.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::fault::{Fault, HandshakeError, Party};
use crate::peer::Certificate;

/// What the aggregator said of our certificate, once it has.
#[derive(Clone, Debug, Default)]
pub struct Verdict(Arc<OnceLock<HandshakeError>>);

impl Verdict {
    /// Why the aggregator ended the connection, if it sent an alert.
    #[must_use]
    pub fn fault(&self) -> Option<&HandshakeError> {
        self.0.get()
    }

    fn note(&self, error: &io::Error) {
        let is_tls = error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>());
        if is_tls {
            self.0.get_or_init(|| HandshakeError {
                peer: Party::Aggregator,
                fault: Fault::of(error),
            });
        }
    }
}

/// A connection to an aggregator.
#[derive(Debug)]
pub struct ClientStream {
    inner: tokio_rustls::client::TlsStream<TcpStream>,
    aggregator: Certificate,
    verdict: Verdict,
}

impl ClientStream {
    pub(super) fn new(
        inner: tokio_rustls::client::TlsStream<TcpStream>,
        aggregator: Certificate,
    ) -> (Self, Verdict) {
        let verdict = Verdict::default();
        (Self { inner, aggregator, verdict: verdict.clone() }, verdict)
    }

    /// Whom we are connected to: the connection must end once that certificate
    /// is refused or has expired.
    #[must_use]
    pub fn aggregator(&self) -> &Certificate {
        &self.aggregator
    }

    /// Notes a failed write. The alert that explains it may still be unread.
    fn note_write(&mut self, context: &mut Context<'_>, error: &io::Error) {
        self.verdict.note(error);
        let mut byte = [0];
        let read = Pin::new(&mut self.inner).poll_read(context, &mut ReadBuf::new(&mut byte));
        if let Poll::Ready(Err(error)) = read {
            self.verdict.note(&error);
        }
    }

    fn noted<T>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if let Poll::Ready(Err(error)) = &written {
            self.note_write(context, error);
        }
        written
    }
}

impl AsyncRead for ClientStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.inner).poll_read(context, buffer);
        if let Poll::Ready(Err(error)) = &read {
            self.verdict.note(error);
        }
        read
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(context, bytes);
        self.noted(context, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.inner).poll_flush(context);
        self.noted(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write_vectored(context, bytes);
        self.noted(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}
