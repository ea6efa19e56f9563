//! A CA to issue from, certificates that it should never have issued, and a
//! handshake between any two of them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use identity::ca::{self, Authority, Existing, Request};
use identity::tls::{self, ClientStream, HandshakeError, ServerStream, Verdict};
use identity::{Files, Peer, Refuse, client_config, server_config};
use jiff::{SignedDuration, Timestamp};
use rcgen::{
    CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, SanType,
};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use seam::{Clock, Entropy};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// The URI of the agent that everything goes well for.
pub(crate) const AGENT: &str = "spiffe://corp/account/111122223333/agent/main";
/// The URI of its aggregator.
pub(crate) const AGGREGATOR: &str = "spiffe://corp/aggregator/localhost";

/// One CA in a directory of its own.
pub(crate) struct Lab {
    dir: TempDir,
    organization: &'static str,
}

/// A certificate as it should not be, or almost.
pub(crate) struct Odd {
    pub(crate) uris: Vec<&'static str>,
    pub(crate) host: Option<&'static str>,
    pub(crate) usage: ExtendedKeyUsagePurpose,
    pub(crate) valid_hours: (i64, i64),
}

impl Odd {
    /// What `issue_agent` would make.
    pub(crate) fn agent() -> Self {
        Self {
            uris: vec![AGENT],
            host: None,
            usage: ExtendedKeyUsagePurpose::ClientAuth,
            valid_hours: (-1, 24),
        }
    }

    /// What `issue_server` would make.
    pub(crate) fn server() -> Self {
        let usage = ExtendedKeyUsagePurpose::ServerAuth;
        Self { uris: vec![AGGREGATOR], host: Some("localhost"), usage, valid_hours: (-1, 24) }
    }
}

pub(crate) fn now() -> Timestamp {
    Clock::system().now()
}

impl Lab {
    pub(crate) fn new() -> Self {
        Self::of("corp")
    }

    pub(crate) fn of(organization: &'static str) -> Self {
        let dir = TempDir::new().expect("a directory");
        let name = organization.parse().expect("an organization");
        ca::init(dir.path(), &name, now(), &Entropy::system()).expect("make a CA");
        Self { dir, organization }
    }

    fn authority(&self) -> Authority {
        Authority::open(self.dir.path()).expect("open the CA")
    }

    /// An aggregator's files, issued as a user would.
    pub(crate) fn server(&self, host: &str) -> Files {
        let out = self.dir.path().join("server").join(host);
        let entropy = Entropy::system();
        let request = Request {
            out: &out,
            valid_days: 30,
            existing: Existing::Keep,
            now: now(),
            entropy: &entropy,
        };
        self.authority().issue_server(host, &request).expect("issue a server's certificate");
        Files::in_dir(&out, "server")
    }

    /// An agent's files, issued as a user would.
    pub(crate) fn agent(&self, name: &str) -> Files {
        let out = self.dir.path().join("agent").join(name);
        let entropy = Entropy::system();
        let request = Request {
            out: &out,
            valid_days: 30,
            existing: Existing::Keep,
            now: now(),
            entropy: &entropy,
        };
        let account = "111122223333".parse().expect("an account id");
        let agent = name.parse().expect("an agent name");
        self.authority()
            .issue_agent(account, &agent, false, &request)
            .expect("issue an agent's certificate");
        Files::in_dir(&out, "agent")
    }

    /// Whatever `odd` asks for, signed by this CA.
    pub(crate) fn odd(&self, odd: &Odd) -> Files {
        let ca = std::fs::read_to_string(self.dir.path().join("ca.pem")).expect("read ca.pem");
        let ca_key = std::fs::read_to_string(self.dir.path().join("ca.key")).expect("read ca.key");
        let ca_key = KeyPair::from_pem(&ca_key).expect("a key");
        let issuer = Issuer::from_ca_cert_pem(&ca, ca_key).expect("an issuer");
        self.write(odd, &ca, |params, key| params.signed_by(key, &issuer).expect("sign").pem())
    }

    /// A certificate whose issuer has this CA's name and another key.
    pub(crate) fn forged(&self, odd: &Odd) -> Files {
        let ca = std::fs::read_to_string(self.dir.path().join("ca.pem")).expect("read ca.pem");
        let other_key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key");
        let issuer = Issuer::from_ca_cert_pem(&ca, other_key).expect("an issuer");
        self.write(odd, &ca, |params, key| params.signed_by(key, &issuer).expect("sign").pem())
    }

    fn write(
        &self,
        odd: &Odd,
        ca: &str,
        sign: impl Fn(&CertificateParams, &KeyPair) -> String,
    ) -> Files {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "odd");
        params.subject_alt_names =
            odd.uris.iter().map(|uri| SanType::URI((*uri).try_into().expect("ASCII"))).collect();
        params
            .subject_alt_names
            .extend(odd.host.map(|host| SanType::DnsName(host.try_into().expect("ASCII"))));
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![odd.usage.clone()];
        let epoch = rcgen::date_time_ymd(1970, 1, 1);
        let at = |hours: i64| {
            let at = now() + SignedDuration::from_hours(hours);
            epoch
                + std::time::Duration::from_secs(u64::try_from(at.as_second()).expect("after 1970"))
        };
        params.not_before = at(odd.valid_hours.0);
        params.not_after = at(odd.valid_hours.1);

        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key");
        let out = TempDir::new_in(self.dir.path()).expect("a directory").keep();
        let files = Files::in_dir(&out, "odd");
        std::fs::write(&files.ca, ca).expect("write ca.pem");
        std::fs::write(&files.certificate, sign(&params, &key)).expect("write the certificate");
        std::fs::write(&files.key, key.serialize_pem()).expect("write the key");
        files
    }

    /// Leaves its files where they are.
    pub(crate) fn keep(self) {
        let _path: PathBuf = self.dir.keep();
    }

    pub(crate) fn organization(&self) -> &'static str {
        self.organization
    }
}

/// Our own configuration for an aggregator.
pub(crate) fn aggregator(files: &Files, refuse: &Refuse) -> Arc<ServerConfig> {
    server_config(files, refuse, &Clock::system()).expect("a server configuration")
}

/// Our own configuration for an agent.
pub(crate) fn agent(files: &Files) -> Arc<ClientConfig> {
    client_config(files, &Clock::system()).expect("a client configuration")
}

/// A client that presents `files` (or nothing) to anyone and checks nobody.
pub(crate) fn careless_client(files: Option<&Files>) -> Arc<ClientConfig> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("TLS 1.3")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone));
    let mut config = match files {
        None => builder.with_no_client_auth(),
        Some(files) => {
            let (chain, key) = load(files);
            builder.with_client_auth_cert(chain, key).expect("certificate and key match")
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    Arc::new(config)
}

/// A server that presents `files` and wants a certificate of their CA.
pub(crate) fn careless_server(files: &Files) -> Arc<ServerConfig> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let (chain, key) = load(files);
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&files.ca).expect("a CA")).expect("a CA");
    let clients =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("TLS 1.3")
        .with_client_cert_verifier(clients.build().expect("a verifier"))
        .with_single_cert(chain, key)
        .expect("certificate and key match");
    config.alpn_protocols = vec![b"h2".to_vec()];
    Arc::new(config)
}

fn load(files: &Files) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let chain = vec![CertificateDer::from_pem_file(&files.certificate).expect("a certificate")];
    (chain, PrivateKeyDer::from_pem_file(&files.key).expect("a key"))
}

/// What each side has of one connection.
pub(crate) struct Met {
    pub(crate) server: Result<(ServerStream, Peer), HandshakeError>,
    pub(crate) client: Result<(ClientStream, Verdict), HandshakeError>,
}

impl Met {
    /// What the client was told, in its handshake or with the first answer.
    pub(crate) async fn told(self) -> HandshakeError {
        let (mut stream, verdict) = match self.client {
            Err(error) => return error,
            Ok(client) => client,
        };
        let mut byte = [0];
        stream.read(&mut byte).await.expect_err("the server ended the connection");
        verdict.fault().expect("an alert").clone()
    }
}

/// One connection to `localhost` between these two.
pub(crate) async fn meet(server: Arc<ServerConfig>, client: Arc<ClientConfig>) -> Met {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("listen");
    let address = listener.local_addr().expect("an address");
    let accepting = async {
        let (stream, _) = listener.accept().await.expect("accept");
        tls::accept(stream, server).await
    };
    let connecting = async {
        let stream = TcpStream::connect(address).await.expect("connect");
        let mut client = tls::connect(stream, "localhost", client).await;
        if let Ok((stream, _)) = &mut client {
            // Unread input in the server's socket: what makes alerts get lost.
            stream.write_all(b"PRI * HTTP/2.0").await.expect("write");
        }
        client
    };
    let (server, client) = tokio::join!(Box::pin(accepting), Box::pin(connecting));
    Met { server, client }
}

/// A listener of ours that accepts one connection.
pub(crate) async fn accept_one(
    listener: TcpListener,
    config: Arc<ServerConfig>,
) -> Result<Peer, HandshakeError> {
    let (stream, _) = listener.accept().await.expect("accept");
    Box::pin(tls::accept(stream, config)).await.map(|(_, peer)| peer)
}

/// A path as text, for another program.
pub(crate) fn text(path: &Path) -> String {
    path.to_str().expect("a plain path").to_owned()
}

/// Accepts whatever certificate a server has.
#[derive(Debug)]
struct Anyone;

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}
