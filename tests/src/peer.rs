//! An agent that says what it likes: the delivery protocol by hand, over real TLS.
//!
//! Messages are those of `proto/`, their frames and streams are made here, so a
//! test can send half of one, or none, or what no agent would. The hashes come
//! from the crate that an auditor reads; nothing else of the product is used.

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use bytes::{Bytes, BytesMut};
use h2::client::SendRequest;
use h2::{RecvStream, SendStream};
use integrity::{Hash, SpoolId, StreamHasher};
use prost::Message as _;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use wire::v1::{self, from_agent, from_aggregator};

/// The call that a session is.
const METHOD: &str = "/orgtrail.delivery.v1.Delivery/Deliver";

/// How long an answer may take before a test gives up.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Who it is and where it dials.
#[derive(Clone, Debug)]
pub struct Peer {
    account: String,
    agent: String,
    port: u16,
    from: Ipv4Addr,
    config: Arc<ClientConfig>,
}

impl Peer {
    /// An agent with the certificate in `dir`, dialling the aggregator on `port`.
    ///
    /// # Errors
    /// If the files cannot be read.
    pub fn new(dir: &Path, account: &str, agent: &str, port: u16) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(dir.join("ca.pem")).context("read ca.pem")?)?;
        let chain =
            vec![CertificateDer::from_pem_file(dir.join("agent.pem")).context("read agent.pem")?];
        let key = PrivateKeyDer::from_pem_file(dir.join("agent.key")).context("read agent.key")?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        let from = Ipv4Addr::LOCALHOST;
        let (account, agent) = (account.to_owned(), agent.to_owned());
        Ok(Self { account, agent, port, from, config: Arc::new(config) })
    }

    /// The same agent at another address of this machine.
    #[must_use]
    pub fn from(mut self, address: Ipv4Addr) -> Self {
        self.from = address;
        self
    }

    /// A TCP connection.
    ///
    /// # Errors
    /// If the aggregator does not take it.
    pub async fn tcp(&self) -> Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        socket.bind((self.from, 0).into())?;
        let stream = socket.connect((Ipv4Addr::LOCALHOST, self.port).into()).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// A TLS connection on which nothing was said yet.
    ///
    /// # Errors
    /// If there is none.
    pub async fn tls(&self) -> Result<TlsStream<TcpStream>> {
        let stream = self.tcp().await?;
        let name = ServerName::try_from("localhost")?;
        let connector = TlsConnector::from(Arc::clone(&self.config));
        Ok(tokio::time::timeout(PATIENCE, connector.connect(name, stream)).await??)
    }

    /// An HTTP/2 connection.
    ///
    /// # Errors
    /// If there is none.
    pub async fn connect(&self) -> Result<Connection> {
        let (requests, connection) = h2::client::handshake(self.tls().await?).await?;
        let mut tasks = JoinSet::new();
        // How a connection ends shows on its streams.
        tasks.spawn(async move { drop(connection.await) });
        Ok(Connection { requests, _tasks: tasks })
    }

    /// A session that has said hello with `spool` and opened it if it was new.
    ///
    /// # Errors
    /// If it is refused.
    pub async fn session(&self, spool: [u8; 16]) -> Result<Sender> {
        let mut connection = self.connect().await?;
        let mut session = connection.call().await?;
        session.say(hello(&spool))?;
        let welcome = match session.hear().await? {
            Some(from_aggregator::Message::Welcome(welcome)) => welcome,
            Some(from_aggregator::Message::Refused(refused)) => bail!("{}", refused.message),
            _ => bail!("no welcome"),
        };
        let hasher = StreamHasher::new(&self.account, &self.agent, SpoolId(spool));
        let (mut sequence, mut chain) = (0, hasher.start());
        if let Some(position) = welcome.position {
            sequence = position.watermark;
            chain = Hash::try_from(position.chain.as_ref()).ok().context("a chain")?;
        } else {
            session.say(from_agent::Message::Open(v1::Open {
                spool_id: spool.to_vec().into(),
                replaces: welcome.active_spool_id,
                ..v1::Open::default()
            }))?;
            loop {
                match session.hear().await?.context("the session ended")? {
                    from_aggregator::Message::Opened(_) => break,
                    from_aggregator::Message::Refused(refused) => bail!("{}", refused.message),
                    _ => {}
                }
            }
        }
        Ok(Sender { session, _connection: connection, hasher, sequence, chain, credit: 0 })
    }
}

/// An HTTP/2 connection.
#[derive(Debug)]
pub struct Connection {
    requests: SendRequest<Bytes>,
    _tasks: JoinSet<()>,
}

impl Connection {
    /// Begins the call that a session is.
    ///
    /// # Errors
    /// If the connection has ended.
    pub async fn call(&mut self) -> Result<Session> {
        self.call_with(METHOD, &[]).await
    }

    /// Begins a call with another path or more headers.
    ///
    /// # Errors
    /// If the connection has ended, or the call is not answered.
    pub async fn call_with(&mut self, path: &str, headers: &[(&str, &str)]) -> Result<Session> {
        let (send, response) = self.start(path, headers).await?;
        let response = tokio::time::timeout(PATIENCE, response).await??;
        let status = response.headers().get("grpc-status").cloned();
        let status = status.and_then(|code| code.to_str().ok()?.parse().ok());
        Ok(Session { send, receive: response.into_body(), held: BytesMut::new(), status })
    }

    /// Begins a call and does not wait for its answer.
    ///
    /// # Errors
    /// If the connection has ended.
    pub async fn start(
        &mut self,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<(SendStream<Bytes>, h2::client::ResponseFuture)> {
        let mut request = http::Request::post(format!("http://localhost{path}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        std::future::poll_fn(|context| self.requests.poll_ready(context)).await?;
        let (response, send) = self.requests.send_request(request.body(())?, false)?;
        Ok((send, response))
    }
}

/// One call, both ways.
#[derive(Debug)]
pub struct Session {
    send: SendStream<Bytes>,
    receive: RecvStream,
    held: BytesMut,
    /// The gRPC status, once it was told.
    pub status: Option<u32>,
}

impl Session {
    /// Sends a message.
    ///
    /// # Errors
    /// If the call has ended.
    pub fn say(&mut self, message: from_agent::Message) -> Result<()> {
        self.raw(framed(&v1::FromAgent { message: Some(message) }.encode_to_vec()))
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// If the call has ended.
    pub fn raw(&mut self, bytes: Bytes) -> Result<()> {
        self.send.send_data(bytes, false).context("send")
    }

    /// Resets the call.
    pub fn reset(&mut self) {
        self.send.send_reset(h2::Reason::CANCEL);
    }

    /// The next message; none if the call has ended.
    ///
    /// # Errors
    /// If nothing comes, or something that is no message.
    pub async fn hear(&mut self) -> Result<Option<from_aggregator::Message>> {
        tokio::time::timeout(PATIENCE, self.next()).await.context("no answer came")?
    }

    /// What it is refused with: the reason's number and sentence, or why the call ended.
    ///
    /// # Errors
    /// If it goes on.
    pub async fn refusal(&mut self) -> Result<(i32, String)> {
        loop {
            match self.hear().await {
                Ok(Some(from_aggregator::Message::Refused(refused))) => {
                    return Ok((refused.reason, refused.message));
                }
                Ok(Some(_)) => {}
                Ok(None) => {
                    return Ok((-1, format!("ended with status {:?}", self.status)));
                }
                Err(error) if error.is::<tokio::time::error::Elapsed>() => return Err(error),
                Err(error) => return Ok((-1, format!("{error:#}"))),
            }
        }
    }

    async fn next(&mut self) -> Result<Option<from_aggregator::Message>> {
        loop {
            if let Some((prefix, rest)) = self.held.split_first_chunk::<5>() {
                let [_, length @ ..] = *prefix;
                let length = usize::try_from(u32::from_be_bytes(length))?;
                if rest.len() >= length {
                    let message = self.held.split_to(5 + length).split_off(5);
                    return Ok(v1::FromAggregator::decode(message)?.message);
                }
            }
            let Some(data) = self.receive.data().await else {
                let trailers = self.receive.trailers().await?;
                let status = trailers.as_ref().and_then(|trailers| trailers.get("grpc-status"));
                self.status =
                    status.and_then(|code| code.to_str().ok()?.parse().ok()).or(self.status);
                return Ok(None);
            };
            let data = data?;
            self.receive.flow_control().release_capacity(data.len())?;
            self.held.extend_from_slice(&data);
        }
    }
}

/// A session that sends batches as they should be.
#[derive(Debug)]
pub struct Sender {
    /// The call.
    pub session: Session,
    _connection: Connection,
    hasher: StreamHasher,
    sequence: u64,
    chain: Hash,
    /// What it may send.
    pub credit: u64,
}

impl Sender {
    /// The next batch, of these lines, each without its line feed; from here on the
    /// stream stands behind it.
    pub fn batch(&mut self, lines: &[&[u8]]) -> v1::Batch {
        let (from, previous) = (self.sequence + 1, self.chain);
        let mut text = Vec::new();
        for line in lines {
            self.sequence += 1;
            self.chain = StreamHasher::chain(self.chain, self.hasher.leaf(self.sequence, line));
            text.extend_from_slice(line);
            text.push(b'\n');
        }
        v1::Batch {
            from,
            to: self.sequence,
            previous_chain: previous.0.to_vec().into(),
            chain: self.chain.0.to_vec().into(),
            frame: zstd::bulk::compress(&text, 1).unwrap_or_default().into(),
            inflated_bytes: text.len() as u64,
            ..v1::Batch::default()
        }
    }

    /// Waits for credit of at least so many bytes, asking for it.
    ///
    /// # Errors
    /// If it does not come.
    pub async fn want(&mut self, bytes: u64) -> Result<()> {
        if self.credit >= bytes {
            return Ok(());
        }
        let want = || from_agent::Message::Want(v1::Want { bytes });
        self.session.say(want())?;
        while self.credit < bytes {
            match self.session.hear().await?.context("the session ended")? {
                from_aggregator::Message::Credit(credit) => {
                    self.credit += credit.bytes;
                    // It may have been on its way before.
                    self.session.say(want())?;
                }
                from_aggregator::Message::Refused(refused) => bail!("{}", refused.message),
                _ => {}
            }
        }
        Ok(())
    }

    /// Sends a batch, as credit allows.
    ///
    /// # Errors
    /// If the session ends.
    pub async fn send(&mut self, batch: v1::Batch) -> Result<()> {
        let cost = wire::batch_cost(batch.frame.len() as u64, batch.inflated_bytes);
        self.want(cost).await?;
        self.credit -= cost;
        self.session.say(from_agent::Message::Batch(batch))
    }

    /// Waits until all that was sent is acked.
    ///
    /// # Errors
    /// If it is not.
    pub async fn acked(&mut self) -> Result<()> {
        loop {
            match self.session.hear().await?.context("the session ended")? {
                from_aggregator::Message::Ack(ack) if ack.to >= self.sequence => return Ok(()),
                from_aggregator::Message::Credit(credit) => self.credit += credit.bytes,
                from_aggregator::Message::Refused(refused) => bail!("{}", refused.message),
                _ => {}
            }
        }
    }

    /// Sends lines and waits until they are acked.
    ///
    /// # Errors
    /// If they are not.
    pub async fn deliver(&mut self, lines: &[&[u8]]) -> Result<()> {
        let batch = self.batch(lines);
        self.send(batch).await?;
        self.acked().await
    }
}

/// A hello with this spool.
#[must_use]
pub fn hello(spool: &[u8]) -> from_agent::Message {
    from_agent::Message::Hello(v1::Hello {
        protocol: wire::PROTOCOL_VERSION,
        release: "hostile".to_owned(),
        spool_id: spool.to_vec().into(),
        ..v1::Hello::default()
    })
}

/// A gRPC message around these bytes.
#[must_use]
pub fn framed(message: &[u8]) -> Bytes {
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    let mut bytes = BytesMut::with_capacity(5 + message.len());
    bytes.extend_from_slice(&[0]);
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(message);
    bytes.freeze()
}
