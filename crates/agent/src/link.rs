//! A link to an aggregator: a bounded channel of messages there, a stream of them back.
//!
//! The protocol speaks over this and knows nothing of sockets. In production
//! `connect` makes links of gRPC over TLS; a simulation makes its own, which lose,
//! double and reorder what is sent.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use futures::Stream;
use tokio::sync::mpsc;
use wire::v1;

/// Messages that wait to be sent; a batch is the largest, so this bounds memory.
pub const OUTBOUND_MAX: usize = 2;

/// What comes from an aggregator; an error says why the link ended.
pub type Inbound = Pin<Box<dyn Stream<Item = Result<v1::FromAggregator, String>> + Send>>;

/// One session's two directions. The end of what comes in is the end of the link.
pub struct Link {
    /// For people: who is at the other end.
    pub aggregator: String,
    /// To the aggregator.
    pub sender: mpsc::Sender<v1::FromAgent>,
    /// From the aggregator.
    pub receiver: Inbound,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("aggregator", &self.aggregator).finish_non_exhaustive()
    }
}

/// Why no link could be made, in a sentence for a person.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConnectError(pub String);

type Connecting = Pin<Box<dyn Future<Output = Result<Link, ConnectError>> + Send>>;

/// Makes links; each call may try another aggregator.
#[derive(Clone)]
pub struct Connect(Arc<dyn Fn() -> Connecting + Send + Sync>);

impl Connect {
    /// Links made by `connect`.
    pub fn new<F>(connect: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Link, ConnectError>> + Send + 'static,
    {
        Self(Arc::new(move || Box::pin(connect())))
    }

    /// Makes a link.
    ///
    /// # Errors
    /// If nobody could be reached.
    pub async fn link(&self) -> Result<Link, ConnectError> {
        (self.0)().await
    }
}

impl fmt::Debug for Connect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connect")
    }
}
