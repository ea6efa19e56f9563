//! Links of gRPC over TLS: the production form of [`Connect`].

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::{Stream, StreamExt};
use hyper_util::rt::TokioIo;
use identity::{Credentials, tls};
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};

use crate::link::{Connect, ConnectError, Link, OUTBOUND_MAX};

/// How long a TCP connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the call may take until the aggregator takes it.
const CALL_TIMEOUT: Duration = Duration::from_secs(20);

/// How often it is asked whether the aggregator is still one to speak to.
const IDENTITY_EVERY: Duration = Duration::from_secs(2);

/// How often a silent connection is asked whether it lives, and how long it may take.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(20));

impl Connect {
    /// Links to the first of `endpoints` (`host:port`) that answers, beginning
    /// with the one after the last that was tried.
    #[must_use]
    pub fn grpc(endpoints: Vec<String>, credentials: Arc<Credentials<ClientConfig>>) -> Self {
        let endpoints = Arc::new(endpoints);
        let next = Arc::new(AtomicUsize::new(0));
        Self::new(move || {
            let (endpoints, next) = (Arc::clone(&endpoints), Arc::clone(&next));
            let credentials = Arc::clone(&credentials);
            async move {
                let at = next.fetch_add(1, Ordering::Relaxed) % endpoints.len().max(1);
                let none = || ConnectError("no aggregator is configured".to_owned());
                let endpoint = endpoints.get(at).ok_or_else(none)?;
                dial(endpoint, credentials).await
            }
        })
    }
}

async fn dial(
    endpoint: &str,
    credentials: Arc<Credentials<ClientConfig>>,
) -> Result<Link, ConnectError> {
    let failed = |why: String| ConnectError(format!("aggregator {endpoint}: {why}"));
    let host = endpoint.rsplit_once(':').map_or(endpoint, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let stream = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(endpoint))
        .await
        .map_err(|_| failed("does not answer; is it running, and is the port open?".to_owned()))?
        .map_err(|error| failed(format!("cannot connect: {error}")))?;
    // Small messages (acks, credit) should not wait for more.
    drop(stream.set_nodelay(true));
    let (stream, verdict) = tls::connect(stream, host, credentials.config())
        .await
        .map_err(|error| failed(error.to_string()))?;
    let aggregator = stream.aggregator().clone();

    let channel = channel(stream, endpoint).await;
    let channel = channel.map_err(|error| {
        let said = verdict.fault().map(ToString::to_string);
        failed(said.unwrap_or_else(|| format!("cannot speak gRPC: {error}")))
    })?;
    let (sender, outbound) = mpsc::channel(OUTBOUND_MAX);
    let mut client = wire::client(channel);
    let call = client.deliver(ReceiverStream::new(outbound));
    // TLS 1.3: a refused certificate shows here, when the first answer is read.
    let response = match tokio::time::timeout(CALL_TIMEOUT, call).await {
        Ok(Ok(response)) => response,
        Ok(Err(status)) => {
            let said = verdict.fault().map(ToString::to_string);
            return Err(failed(said.unwrap_or_else(|| status_text(&status))));
        }
        Err(_) => return Err(failed("does not take the call".to_owned())),
    };
    let name = endpoint.to_owned();
    let receiver = response.into_inner().map(move |message| {
        message.map_err(|status| {
            let said = verdict.fault().map(ToString::to_string);
            format!("{name}: {}", said.unwrap_or_else(|| status_text(&status)))
        })
    });
    let doubt = move || credentials.doubt(&aggregator);
    let receiver = Box::pin(vouched(receiver, doubt));
    Ok(Link { aggregator: endpoint.to_owned(), sender, receiver })
}

/// The same messages, until there is a `doubt` about who sends them: its
/// certificate is refused by now, or has expired.
fn vouched<M>(
    receiver: impl Stream<Item = Result<M, String>> + Unpin,
    doubt: impl Fn() -> Option<String>,
) -> impl Stream<Item = Result<M, String>> {
    let tick = tokio::time::interval(IDENTITY_EVERY);
    futures::stream::unfold(Some((receiver, tick, doubt)), async |open| {
        let (mut receiver, mut tick, doubt) = open?;
        loop {
            let message = tokio::select! {
                biased;
                _ = tick.tick() => None,
                message = receiver.next() => Some(message),
            };
            if let Some(message) = message {
                return message.map(|said| (said, Some((receiver, tick, doubt))));
            }
            if let Some(why) = doubt() {
                return Some((Err(why), None));
            }
        }
    })
}

async fn channel(
    stream: tls::ClientStream,
    endpoint: &str,
) -> Result<Channel, tonic::transport::Error> {
    let stream = Mutex::new(Some(stream));
    // The connection stands already; one link uses it once.
    let once = tower::service_fn(move |_| {
        let stream = stream.lock().unwrap_or_else(PoisonError::into_inner).take();
        let gone = || std::io::Error::other("the connection was used up");
        std::future::ready(stream.map(TokioIo::new).ok_or_else(gone))
    });
    Endpoint::from_shared(format!("http://{endpoint}"))?
        .http2_keep_alive_interval(KEEPALIVE.0)
        .keep_alive_timeout(KEEPALIVE.1)
        .keep_alive_while_idle(true)
        .connect_with_connector(once)
        .await
}

fn status_text(status: &tonic::Status) -> String {
    let message: String = status.message().chars().filter(|c| !c.is_control()).collect();
    if message.is_empty() { format!("the call ended: {}", status.code()) } else { message }
}
