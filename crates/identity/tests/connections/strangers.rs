//! Clients that are not ours: plain text, TLS 1.2 by hand, Python's OpenSSL.

use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;

use identity::tls::{Fault, HandshakeError};
use identity::{Files, Peer, Refuse};
use rustls::ServerConfig;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::lab::{AGENT, Lab, accept_one, aggregator, text};

/// Sends `bytes`, and gives our refusal and all that came back.
async fn send(bytes: &[u8]) -> (HandshakeError, Vec<u8>) {
    let lab = Lab::new();
    let config = aggregator(&lab.server("localhost"), &Refuse::nobody());
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("listen");
    let address = listener.local_addr().expect("an address");
    let client = async {
        let mut stream = TcpStream::connect(address).await.expect("connect");
        stream.write_all(bytes).await.expect("write");
        let mut answer = Vec::new();
        if !bytes.is_empty() {
            stream.read_to_end(&mut answer).await.expect("read to the end, with no reset");
        }
        answer
    };
    let (served, answer) = tokio::join!(accept_one(listener, config), client);
    (served.expect_err("refused"), answer)
}

#[tokio::test]
async fn a_plain_text_client_is_told_in_its_own_protocol() {
    let (refusal, answer) = send(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!(refusal.fault, Fault::Plaintext);
    assert!(refusal.to_string().contains("speaks no TLS"), "{refusal}");
    let answer = String::from_utf8(answer).expect("text");
    assert!(
        answer.starts_with("HTTP/1.1 400 ") && answer.contains("TLS 1.3 with a client certificate"),
        "{answer}"
    );

    // What gRPC without TLS begins with; GOAWAY carries the sentence.
    let (refusal, answer) =
        send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00").await;
    assert_eq!(refusal.fault, Fault::Plaintext);
    let (settings, goaway) = answer.split_at(9);
    assert_eq!(settings, [0, 0, 0, 4, 0, 0, 0, 0, 0]);
    assert_eq!(goaway[3], 7, "GOAWAY");
    assert_eq!(usize::from(goaway[2]), goaway.len() - 9, "the frame's length");
    assert!(goaway.ends_with(b"TLS 1.3 with a client certificate"));

    let (refusal, answer) = send(&[0; 64]).await;
    assert_eq!((refusal.fault, answer), (Fault::Plaintext, Vec::new()));
}

#[tokio::test]
async fn a_probe_that_says_nothing_is_known_as_one() {
    let (refusal, _) = send(&[]).await;
    assert!(refusal.is_probe(), "{refusal}");
}

/// A client that begins a handshake and stalls holds a place for ten seconds, no longer.
#[tokio::test]
async fn a_handshake_has_a_deadline() {
    let lab = Lab::new();
    let config = aggregator(&lab.server("localhost"), &Refuse::nobody());
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("listen");
    let address = listener.local_addr().expect("an address");
    let client = async {
        let mut stream = TcpStream::connect(address).await.expect("connect");
        stream.write_all(&[22, 3, 1]).await.expect("write");
        stream
    };
    let (served, _stalled) = tokio::join!(accept_one(listener, config), client);
    let refusal = served.expect_err("given up");
    assert_eq!(refusal.fault, Fault::TimedOut);
    assert!(refusal.to_string().ends_with("within 10 s"), "{refusal}");
}

/// A ClientHello as TLS 1.2 knew it: no supported_versions extension.
fn hello_of_tls12() -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend_from_slice(&[7; 32]);
    // No session id; ECDHE-ECDSA-AES128-GCM and ECDHE-RSA-AES128-GCM; no compression.
    body.extend_from_slice(&[0, 0, 4, 0xc0, 0x2b, 0xc0, 0x2f, 1, 0]);
    // supported_groups: P-256; signature_algorithms: ECDSA and RSA-PSS with SHA-256.
    let extensions = [0, 10, 0, 4, 0, 2, 0, 23, 0, 13, 0, 6, 0, 4, 4, 3, 8, 4];
    body.extend_from_slice(&[0, 18]);
    body.extend_from_slice(&extensions);

    let length = u8::try_from(body.len()).expect("a short hello");
    let mut record = vec![22, 3, 1, 0, length + 4, 1, 0, 0, length];
    record.extend_from_slice(&body);
    record
}

#[tokio::test]
async fn a_client_of_tls_12_is_refused_by_version() {
    let (refusal, answer) = send(&hello_of_tls12()).await;
    assert_eq!(refusal.fault, Fault::NoTls13, "{refusal}");
    assert_eq!(refusal.to_string(), "the agent offers no TLS 1.3, and nothing older is accepted");
    // A fatal alert, protocol_version.
    assert_eq!(answer, [21, 3, 3, 0, 2, 2, 70]);
}

/// Dials `localhost:PORT` with the files given, and says what became of it.
const PYTHON: &str = r#"
import socket, ssl, sys
port, ca, certificate, key, version = sys.argv[1:]
context = ssl.create_default_context(cafile=ca)
context.load_cert_chain(certificate, key)
context.maximum_version = getattr(ssl.TLSVersion, version)
context.set_alpn_protocols(["h2"])
try:
    with socket.create_connection(("127.0.0.1", int(port))) as raw:
        with context.wrap_socket(raw, server_hostname="localhost") as tls:
            spoken = tls.version(), tls.selected_alpn_protocol()
            tls.recv(1)
            print(*spoken)
except ssl.SSLError as error:
    print(error)
"#;

/// Runs Python's client against ours; none if there is no Python here.
async fn python(
    config: Arc<ServerConfig>,
    files: &Files,
    version: &str,
) -> Option<(Result<Peer, HandshakeError>, String)> {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("listen");
    let port = listener.local_addr().expect("an address").port().to_string();
    let arguments =
        [port, text(&files.ca), text(&files.certificate), text(&files.key), version.to_owned()];
    let mut command = Command::new("python3");
    command.arg("-c").arg(PYTHON).args(arguments);
    if Command::new("python3").arg("--version").output().is_err() {
        eprintln!("no python3: the independent client was not tried");
        return None;
    }
    let client = tokio::task::spawn_blocking(move || command.output());
    let served = tokio::time::timeout(Duration::from_secs(20), accept_one(listener, config)).await;
    let Output { stdout, stderr, .. } = client.await.expect("joined").expect("python3 runs");
    let said = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    Some((served.unwrap_or_else(|_| panic!("python3 did not connect: {said}")), said))
}

#[tokio::test]
async fn another_library_is_accepted_and_refused_alike() {
    let lab = Lab::new();
    let config = aggregator(&lab.server("localhost"), &Refuse::nobody());
    let files = lab.agent("main");

    if let Some((served, said)) = python(Arc::clone(&config), &files, "TLSv1_3").await {
        assert_eq!(served.expect("accepted").identity.to_string(), AGENT, "{said}");
        assert_eq!(said.trim(), "TLSv1.3 h2");
    }
    if let Some((served, said)) = python(Arc::clone(&config), &files, "TLSv1_2").await {
        assert_eq!(served.expect_err("refused").fault, Fault::NoTls13, "{said}");
        assert!(said.contains("protocol version"), "{said}");
    }
    let refuse = Refuse::parse([AGENT]).expect("a valid entry");
    let config = aggregator(&lab.server("127.0.0.1"), &refuse);
    let files = Files { ca: files.ca.clone(), ..lab.agent("other") };
    if let Some((_, said)) = python(config, &files, "TLSv1_3").await {
        assert!(
            said.contains("localhost"),
            "a certificate for 127.0.0.1 is none for localhost: {said}"
        );
    }
}
