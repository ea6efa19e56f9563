//! What goes well: agent and aggregator of one organization.

use std::sync::Arc;

use identity::{Refuse, SpeaksFor, peer};
use rustls::HandshakeKind;
use rustls::client::Resumption;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::lab::{AGENT, Lab, agent, aggregator, careless_client, meet};

#[tokio::test]
async fn an_agent_is_who_its_certificate_says() {
    let lab = Lab::new();
    let (server_files, agent_files) = (lab.server("localhost"), lab.agent("main"));
    let met = meet(aggregator(&server_files, &Refuse::nobody()), agent(&agent_files)).await;

    let (mut server, found) = met.server.expect("accepted");
    let certificate =
        CertificateDer::from_pem_file(&agent_files.certificate).expect("a certificate");
    assert_eq!(found, peer(&certificate).expect("an agent's certificate"));
    assert_eq!(found.identity.to_string(), AGENT);
    assert_eq!(found.identity.organization.as_str(), lab.organization());
    assert_eq!(found.identity.speaks_for, SpeaksFor::Account(found.identity.account));

    let (mut client, verdict) = met.client.expect("connected");
    let mut preface = [0; 14];
    server.read_exact(&mut preface).await.expect("read what the client wrote");
    server.write_all(b"settings").await.expect("write");
    server.flush().await.expect("flush");
    let mut answer = [0; 8];
    client.read_exact(&mut answer).await.expect("read the answer");
    assert_eq!((&preface, &answer), (b"PRI * HTTP/2.0", b"settings"));
    assert!(verdict.fault().is_none());
}

/// A session that could be resumed would outlive a refused certificate.
#[tokio::test]
async fn no_session_is_ever_resumed() {
    let lab = Lab::new();
    let server = aggregator(&lab.server("localhost"), &Refuse::nobody());
    let mut client = Arc::unwrap_or_clone(careless_client(Some(&lab.agent("main"))));
    client.resumption = Resumption::in_memory_sessions(16);
    let client = Arc::new(client);

    for _ in 0..3 {
        let met = meet(Arc::clone(&server), Arc::clone(&client)).await;
        let (mut stream, _) = met.server.expect("accepted");
        assert_eq!(stream.get_ref().1.handshake_kind(), Some(HandshakeKind::Full));
        // A ticket would be read together with this.
        stream.write_all(b"x").await.expect("write");
        stream.flush().await.expect("flush");
        let (mut client, _) = met.client.expect("connected");
        client.read_exact(&mut [0]).await.expect("read");
    }
}
