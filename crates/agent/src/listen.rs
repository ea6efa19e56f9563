//! The agent's two optional listeners: where applications push, and what an
//! operator looks at. HTTP/1.1, on loopback or a Unix socket, never beyond.
//!
//! They have no identity of their own: whoever may open the socket may push, so
//! an address that others can reach is refused by configuration.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use seam::Blocking;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::inlet::{Accepted, Inlet, PUSH_BYTES_MAX, PushError};
use crate::vitals::Vitals;

/// Connections of one listener at once; others wait to be accepted.
const CONNECTIONS_MAX: usize = 64;

/// Pushes whose bodies are in memory at once; others wait.
const PUSHES_MAX: usize = 4;

/// How long a request's head, and then its body, may take to arrive.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// When a refused push should be sent again.
const RETRY_AFTER_SECS: &str = "5";

/// Where a listener listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A loopback address and port.
    Tcp(SocketAddr),
    /// A Unix socket, made anew at each start.
    Unix(PathBuf),
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return match path {
                "" => Err("unix: wants a path behind it".to_owned()),
                path => Ok(Self::Unix(path.into())),
            };
        }
        let address: SocketAddr = text
            .parse()
            .map_err(|_| format!("{text:?} is neither \"127.0.0.1:port\" nor \"unix:/path\""))?;
        if address.ip().is_loopback() {
            Ok(Self::Tcp(address))
        } else {
            Err(format!("{address} can be reached from elsewhere: use a loopback address"))
        }
    }
}

/// A listener that is bound.
#[derive(Debug)]
pub struct Listener {
    bound: Bound,
    face: Face,
}

#[derive(Debug)]
enum Bound {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// What a listener offers.
#[derive(Clone, Debug)]
pub enum Face {
    /// Pushes, under the name of a source.
    Push {
        /// The source's name.
        source: String,
        /// Where they go.
        inlet: Inlet,
        /// Where disk access runs.
        blocking: Blocking,
    },
    /// `/healthz`, `/readyz`, `/metrics`.
    Operations(Vitals),
}

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

impl Listener {
    /// Binds an address.
    ///
    /// # Errors
    /// If the operating system refuses.
    pub async fn bind(address: &Address, face: Face) -> io::Result<Self> {
        let bound = match address {
            Address::Tcp(address) => Bound::Tcp(TcpListener::bind(address).await?),
            Address::Unix(path) => {
                // What an earlier run left; a file that is no socket is not ours to remove.
                let left = std::fs::symlink_metadata(path);
                let is_socket = left
                    .is_ok_and(|meta| std::os::unix::fs::FileTypeExt::is_socket(&meta.file_type()));
                if is_socket {
                    std::fs::remove_file(path)?;
                }
                Bound::Unix(UnixListener::bind(path)?)
            }
        };
        Ok(Self { bound, face })
    }

    /// The port that is listened on; none for a Unix socket.
    ///
    /// # Errors
    /// If the operating system cannot say.
    pub fn port(&self) -> io::Result<Option<u16>> {
        match &self.bound {
            Bound::Tcp(listener) => listener.local_addr().map(|address| Some(address.port())),
            Bound::Unix(_) => Ok(None),
        }
    }

    /// Answers until `stop`; a request that has begun is answered.
    pub async fn run(self, stop: CancellationToken) {
        let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let pushes = Arc::new(Semaphore::new(PUSHES_MAX));
        let mut tasks = JoinSet::new();
        loop {
            while tasks.try_join_next().is_some() {}
            let accepted = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                accepted = self.accept(&connections) => accepted,
            };
            match accepted {
                Ok((io, room)) => {
                    let (face, pushes) = (self.face.clone(), Arc::clone(&pushes));
                    let stop = stop.clone();
                    tasks.spawn(async move {
                        serve(io, face, pushes, stop).await;
                        drop(room);
                    });
                }
                Err(error) => {
                    // Out of descriptors, usually: let some be closed first.
                    tracing::error!(%error, "cannot accept connections");
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            }
        }
        while tasks.join_next().await.is_some() {}
    }

    async fn accept(
        &self,
        connections: &Arc<Semaphore>,
    ) -> io::Result<(Box<dyn Io>, tokio::sync::OwnedSemaphorePermit)> {
        let room = Arc::clone(connections).acquire_owned().await.map_err(io::Error::other)?;
        let io: Box<dyn Io> = match &self.bound {
            Bound::Tcp(listener) => Box::new(listener.accept().await?.0),
            Bound::Unix(listener) => Box::new(listener.accept().await?.0),
        };
        Ok((io, room))
    }
}

async fn serve(io: Box<dyn Io>, face: Face, pushes: Arc<Semaphore>, stop: CancellationToken) {
    let service = service_fn(move |request| {
        let (face, pushes) = (face.clone(), Arc::clone(&pushes));
        async move { Ok::<_, std::convert::Infallible>(answer(request, face, &pushes).await) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_TIMEOUT)
        .serve_connection(TokioIo::new(io), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        biased;
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a local connection broke");
    }
}

async fn answer(
    request: Request<Incoming>,
    face: Face,
    pushes: &Semaphore,
) -> Response<Full<Bytes>> {
    match face {
        Face::Push { source, inlet, blocking } => {
            push(request, &source, &inlet, blocking, pushes).await
        }
        Face::Operations(vitals) => operations(&request, &vitals),
    }
}

async fn push(
    request: Request<Incoming>,
    source: &str,
    inlet: &Inlet,
    blocking: Blocking,
    pushes: &Semaphore,
) -> Response<Full<Bytes>> {
    if request.method() != Method::POST {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "POST events here\n");
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
        return response;
    }
    let Ok(_room) = pushes.acquire().await else { return refused(&PushError::NotNow) };
    let body = Limited::new(request.into_body(), PUSH_BYTES_MAX).collect();
    let body = match tokio::time::timeout(REQUEST_TIMEOUT, body).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => return refused(&PushError::TooLarge),
        Ok(Err(_)) => {
            return text(StatusCode::BAD_REQUEST, "the body broke off; nothing was kept\n");
        }
        Err(_) => {
            return text(StatusCode::REQUEST_TIMEOUT, "the body took too long; nothing was kept\n");
        }
    };
    match inlet.push(source, body, blocking).await {
        Ok(Accepted { records, set_aside }) => {
            let said = format!("{{\"records\":{records},\"set_aside\":{set_aside}}}\n");
            let mut response = text(StatusCode::OK, said);
            let json = HeaderValue::from_static("application/json");
            response.headers_mut().insert(CONTENT_TYPE, json);
            response
        }
        Err(error) => refused(&error),
    }
}

fn refused(error: &PushError) -> Response<Full<Bytes>> {
    let status = match error {
        PushError::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        PushError::NotNow | PushError::Full(_) | PushError::Failed(_) => {
            StatusCode::SERVICE_UNAVAILABLE
        }
    };
    let mut response = text(status, format!("{error}\n"));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_SECS));
    }
    response
}

fn operations(request: &Request<Incoming>, vitals: &Vitals) -> Response<Full<Bytes>> {
    match (request.method(), request.uri().path()) {
        (&Method::GET, "/healthz") => text(StatusCode::OK, "ok\n"),
        (&Method::GET, "/readyz") => match vitals.ready() {
            Ok(()) => text(StatusCode::OK, "forwarding\n"),
            Err(why) => text(StatusCode::SERVICE_UNAVAILABLE, format!("not forwarding: {why}\n")),
        },
        (&Method::GET, "/metrics") => {
            let mut response = text(StatusCode::OK, vitals.metrics());
            let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
            response.headers_mut().insert(CONTENT_TYPE, kind);
            response
        }
        _ => text(StatusCode::NOT_FOUND, "there is /healthz, /readyz and /metrics\n"),
    }
}

fn text(status: StatusCode, text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;
    use crate::config::SpoolConfig;
    use crate::hold::{Hold, Owner};

    const EVENT: &str = r#"{"eventVersion":"1.08","eventName":"A","eventSource":"b"}"#;

    /// Runs a listener, sends it one request after the other, gives the answers.
    async fn ask(face: Face, requests: &[String]) -> Vec<String> {
        let address = Address::Tcp("127.0.0.1:0".parse().expect("an address"));
        let listener = Listener::bind(&address, face).await.expect("bind");
        let port = listener.port().expect("port").expect("a TCP port");
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(listener.run(stop.clone()));
        let mut answers = Vec::new();
        for request in requests {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).await.expect("connect");
            stream.write_all(request.as_bytes()).await.expect("send");
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.expect("an answer");
            answers.push(answer);
        }
        stop.cancel();
        while tasks.join_next().await.is_some() {}
        answers
    }

    fn post(body: &str) -> String {
        format!(
            "POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
    }

    fn get(path: &str) -> String {
        format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    }

    fn push_face(inlet: &Inlet) -> Face {
        Face::Push { source: "app".to_owned(), inlet: inlet.clone(), blocking: Blocking::Pool }
    }

    #[tokio::test]
    async fn a_push_is_answered_200_when_it_is_on_disk_and_503_while_there_is_no_room() {
        let dir = tempfile::tempdir().expect("a directory");
        let disk: Arc<dyn seam::Disk> = Arc::new(seam::LocalDisk);
        let config = SpoolConfig {
            disk_bytes_max: 64 << 10,
            segment_bytes: 16 << 10,
            ..SpoolConfig::default()
        };
        let owner = Owner { account: "111122223333".to_owned(), agent: "main".to_owned() };
        let id = integrity::SpoolId([1; 16]);
        let hold = Hold::create(&disk, dir.path(), config, &owner, id).expect("create");
        let hold = Arc::new(hold);
        let inlet = Inlet::default();
        let closed = ask(push_face(&inlet), &[post(EVENT)]).await;
        assert!(closed.iter().all(|answer| answer.starts_with("HTTP/1.1 503")), "{closed:?}");

        inlet.open(&hold, Arc::default(), std::collections::BTreeMap::new()).await;
        let large = format!("{{\"eventVersion\":\"1\",\"x\":\"{}\"}}", "a".repeat(60_000));
        let requests = [post(&format!("{EVENT}\nno json\n")), post(&large), post(&large), get("/")];
        let answers = ask(push_face(&inlet), &requests).await;
        let [first, second, third, fourth] = answers.as_slice() else { panic!("{answers:?}") };
        assert!(first.starts_with("HTTP/1.1 200"), "{first}");
        assert!(first.contains(r#"{"records":2,"set_aside":1}"#), "{first}");
        assert_eq!(hold.read(1, 1 << 20).expect("read").len(), 2, "durable before the answer");
        assert!(second.starts_with("HTTP/1.1 200"), "{second}");
        assert!(third.starts_with("HTTP/1.1 503"), "{third}");
        assert!(third.contains("retry-after: 5"), "{third}");
        assert_eq!(*hold.durable().borrow(), 3, "nothing of a refused push is kept");
        assert!(fourth.starts_with("HTTP/1.1 405"), "{fourth}");
        assert!(hold.holds_pushed().expect("read"));
    }

    #[tokio::test]
    async fn an_operator_sees_whether_events_are_forwarded() {
        let vitals = Vitals::default();
        vitals.not_forwarding("nobody answers");
        let requests = [get("/healthz"), get("/readyz"), get("/metrics"), get("/")];
        let answers = ask(Face::Operations(vitals), &requests).await;
        let [health, ready, metrics, other] = answers.as_slice() else { panic!("{answers:?}") };
        assert!(health.starts_with("HTTP/1.1 200"), "{health}");
        assert!(ready.starts_with("HTTP/1.1 503") && ready.contains("nobody answers"), "{ready}");
        assert!(metrics.contains("orgtrail_agent_forwarding 0\n"), "{metrics}");
        assert!(other.starts_with("HTTP/1.1 404"), "{other}");
    }

    #[test]
    fn only_addresses_that_nobody_else_can_reach_are_listened_on() {
        let port = |text: &str| matches!(text.parse(), Ok(Address::Tcp(_)));
        assert!(port("127.0.0.1:9319") && port("[::1]:9319"));
        for text in ["0.0.0.0:9319", "192.0.2.1:9319", "localhost:9319", "9319", "unix:", ""] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
        assert_eq!("unix:/run/x".parse(), Ok(Address::Unix("/run/x".into())));
    }
}
