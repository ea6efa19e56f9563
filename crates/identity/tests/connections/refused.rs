//! Every certificate that is not accepted, and both sides' sentences.

use identity::tls::{Fault, Party};
use std::sync::Arc;

use identity::{Credentials, Files, FilesError, IdentityError, Refuse, certificate, client_config};
use rcgen::ExtendedKeyUsagePurpose;
use rustls::AlertDescription;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use seam::Clock;

use crate::lab::{
    AGENT, AGGREGATOR, Lab, Odd, agent, aggregator, careless_client, careless_server, meet,
};

/// A client with `files` is refused: our log has `ours`, its alert means `theirs`.
async fn check_client(
    lab: &Lab,
    refuse: &Refuse,
    files: Option<&Files>,
    ours: &str,
    theirs: &str,
) -> Fault {
    let server = aggregator(&lab.server_again(), refuse);
    let met = meet(server, careless_client(files)).await;
    let refusal =
        met.server.as_ref().err().unwrap_or_else(|| panic!("accepted, not: {ours}")).clone();
    assert_eq!(refusal.peer, Party::Agent);
    assert!(refusal.to_string().contains(ours), "{refusal}\nhas no: {ours}");

    let told = met.told().await;
    assert_eq!(told.peer, Party::Aggregator);
    assert!(told.to_string().contains(theirs), "{told}\nhas no: {theirs}");
    refusal.fault
}

impl Lab {
    /// The aggregator's files, made anew for each check.
    fn server_again(&self) -> Files {
        self.odd(&Odd::server())
    }
}

#[tokio::test]
async fn a_certificate_of_another_ca_is_refused() {
    let (lab, other) = (Lab::new(), Lab::new());
    let ours = "issued by a CA that is not in our CA file";
    let theirs = "issued by a CA that is not in its CA file";
    let nobody = Refuse::nobody();
    assert_eq!(
        check_client(&lab, &nobody, Some(&other.agent("main")), ours, theirs).await,
        Fault::UnknownCa
    );
    // Its issuer has our CA's very name.
    let forged = lab.forged(&Odd::agent());
    assert_eq!(check_client(&lab, &nobody, Some(&forged), ours, theirs).await, Fault::UnknownCa);
}

#[tokio::test]
async fn a_certificate_out_of_its_time_is_refused() {
    let lab = Lab::new();
    let theirs = "expired or is not valid yet";
    let nobody = Refuse::nobody();

    let files = lab.odd(&Odd { valid_hours: (-48, -24), ..Odd::agent() });
    let fault =
        check_client(&lab, &nobody, Some(&files), "the agent's certificate expired at 20", theirs)
            .await;
    assert!(matches!(fault, Fault::Expired { not_after: Some(_) }), "{fault:?}");

    let files = lab.odd(&Odd { valid_hours: (24, 48), ..Odd::agent() });
    let fault =
        check_client(&lab, &nobody, Some(&files), "is not valid yet, only from 20", theirs).await;
    assert!(matches!(fault, Fault::NotYetValid { not_before: Some(_) }), "{fault:?}");
}

#[tokio::test]
async fn a_certificate_that_does_not_name_one_agent_of_ours_is_refused() {
    let lab = Lab::new();
    let check = async |uris: &[&'static str], ours: &str| {
        let files = lab.odd(&Odd { uris: uris.to_vec(), ..Odd::agent() });
        let theirs = "it does not accept who our certificate names";
        let fault = check_client(&lab, &Refuse::nobody(), Some(&files), ours, theirs).await;
        assert!(matches!(fault, Fault::Identity(_)), "{fault:?}");
    };
    check(&[], "has no URI").await;
    check(&[AGENT, "spiffe://corp/account/444455556666/agent/main"], "has 2 URIs").await;
    check(&[AGENT, AGENT], "has 2 URIs").await;
    check(&[AGENT, "https://corp.example"], "has 2 URIs").await;
    check(
        &["spiffe://corp/account/1111/agent/main"],
        "has the account 1111; an account id is 12 digits",
    )
    .await;
    check(&["spiffe://corp/account/11112222333x/agent/main"], "an account id is 12 digits").await;
    check(&["spiffe://corp/account/111122223333/agent/"], "no valid agent name").await;
    check(&["spiffe://corp/account/111122223333/server/main"], "is neither an agent's").await;
    check(&["spiffe://other/account/111122223333/agent/main"], "is of organization other").await;
    check(&["https://corp.example/agent"], "does not begin with spiffe://").await;
    check(&[AGGREGATOR], "is an aggregator's").await;
}

#[tokio::test]
async fn an_aggregators_certificate_is_not_an_agents() {
    let lab = Lab::new();
    let files = lab.server("localhost");
    let (ours, theirs) = ("is not for clients", "is for the other side's use");
    assert_eq!(
        check_client(&lab, &Refuse::nobody(), Some(&files), ours, theirs).await,
        Fault::WrongPurpose
    );

    // It cannot even be configured as one.
    let error = client_config(&files, &Clock::system()).expect_err("an aggregator's certificate");
    assert!(
        matches!(error, FilesError::Identity { source: IdentityError::NotAnAgent { .. }, .. }),
        "{error}"
    );
}

#[tokio::test]
async fn a_client_without_a_certificate_is_refused() {
    let lab = Lab::new();
    let (ours, theirs) = ("presented no certificate", "it wants a certificate and got none");
    assert_eq!(
        check_client(&lab, &Refuse::nobody(), None, ours, theirs).await,
        Fault::NoCertificate
    );
}

#[tokio::test]
async fn a_listed_certificate_or_name_is_refused() {
    let lab = Lab::new();
    let files = lab.agent("main");
    let der = CertificateDer::from_pem_file(&files.certificate).expect("a certificate");
    let fingerprint = certificate(&der).expect("an agent's certificate").fingerprint.to_string();
    for entry in [fingerprint.as_str(), AGENT] {
        let refuse = Refuse::parse([entry]).expect("a valid entry");
        let ours = format!("[identity] refuse lists {entry}");
        check_client(&lab, &refuse, Some(&files), &ours, "listed in its [identity] refuse").await;
    }
    let other =
        Refuse::parse(["spiffe://corp/account/111122223333/agent/other"]).expect("a valid entry");
    let met = meet(aggregator(&lab.server("localhost"), &other), agent(&files)).await;
    assert!(met.server.is_ok() && met.client.is_ok());
}

/// An agent with `agent()` files refuses a server: our log has `ours`, the server's has `theirs`.
async fn check_server(lab: &Lab, files: &Files, ours: &str, theirs: &str) -> Fault {
    let met = meet(careless_server(files), agent(&lab.agent("main"))).await;
    let refusal = met.client.err().unwrap_or_else(|| panic!("accepted, not: {ours}"));
    assert_eq!(refusal.peer, Party::Aggregator);
    assert!(refusal.to_string().contains(ours), "{refusal}\nhas no: {ours}");

    let told = met.server.expect_err("the agent went away");
    assert_eq!(told.peer, Party::Agent);
    assert!(told.to_string().contains(theirs), "{told}\nhas no: {theirs}");
    refusal.fault
}

#[tokio::test]
async fn an_agent_refuses_whatever_is_not_its_aggregator() {
    let check = async |make: fn(&Lab) -> Files, ours: &str, theirs: &str| {
        let lab = Lab::new();
        let files = make(&lab);
        check_server(&lab, &files, ours, theirs).await
    };
    let unknown = "it does not accept who our certificate names";

    let fault = check(
        |_| Lab::new().odd_kept(&Odd::server()),
        "a CA that is not in our CA file",
        "its CA file",
    )
    .await;
    assert_eq!(fault, Fault::UnknownCa);
    let expired = |lab: &Lab| lab.odd(&Odd { valid_hours: (-48, -24), ..Odd::server() });
    check(expired, "the aggregator's certificate expired at 20", "expired or is not valid yet")
        .await;
    let early = |lab: &Lab| lab.odd(&Odd { valid_hours: (24, 48), ..Odd::server() });
    check(early, "is not valid yet, only from 20", "expired or is not valid yet").await;
    let elsewhere = |lab: &Lab| lab.odd(&Odd { host: Some("elsewhere.example"), ..Odd::server() });
    let fault =
        check(elsewhere, "is for another host", "not for the host name that it dialled").await;
    assert!(matches!(fault, Fault::WrongHost { .. }), "{fault:?}");
    let foreign = |lab: &Lab| {
        lab.odd(&Odd { uris: vec!["spiffe://other/aggregator/localhost"], ..Odd::server() })
    };
    check(foreign, "is of organization other", unknown).await;
    let nameless = |lab: &Lab| lab.odd(&Odd { uris: vec![], ..Odd::server() });
    check(nameless, "has no URI", unknown).await;
    let twice = |lab: &Lab| lab.odd(&Odd { uris: vec![AGGREGATOR, AGENT], ..Odd::server() });
    check(twice, "has 2 URIs", unknown).await;
    let agents = |lab: &Lab| lab.odd(&Odd { host: Some("localhost"), ..Odd::agent() });
    let fault = check(agents, "is not for servers", "is for the other side's use").await;
    assert_eq!(fault, Fault::WrongPurpose);
    let disguised = |lab: &Lab| lab.odd(&Odd { uris: vec![AGENT], ..Odd::server() });
    check(disguised, "is an agent's", unknown).await;
}

#[tokio::test]
async fn an_agent_refuses_a_listed_aggregator() {
    let lab = Lab::new();
    let credentials = Credentials::for_agent(lab.agent("main"), Clock::system()).expect("load");
    let server = aggregator(&lab.server("localhost"), &Refuse::nobody());
    let met = meet(Arc::clone(&server), credentials.config()).await;
    let (stream, _) = met.client.expect("connected");
    assert_eq!(stream.aggregator().uri(), AGGREGATOR);
    assert_eq!(credentials.doubt(stream.aggregator()), None);

    // The list is in force for what is open and for what comes next.
    credentials.set_refuse(Refuse::parse([AGGREGATOR]).expect("a valid entry"));
    assert!(credentials.doubt(stream.aggregator()).is_some_and(|why| why.contains("refuse")));
    let met = meet(server, credentials.config()).await;
    let refusal = met.client.expect_err("refused");
    assert!(
        refusal.to_string().contains("refuse lists spiffe://corp/aggregator/localhost"),
        "{refusal}"
    );
    let told = met.server.expect_err("the agent went away").to_string();
    assert!(told.contains("listed in its [identity] refuse"), "{told}");
}

impl Lab {
    /// Files that outlive this lab.
    fn odd_kept(self, odd: &Odd) -> Files {
        let files = self.odd(odd);
        self.keep();
        files
    }
}

#[tokio::test]
async fn certificates_of_other_libraries_are_read_alike() {
    // Client and server authentication in one certificate does not make a server an agent.
    let lab = Lab::new();
    let usage = ExtendedKeyUsagePurpose::Any;
    let files = lab.odd(&Odd { usage, ..Odd::agent() });
    let met = meet(
        aggregator(&lab.server("localhost"), &Refuse::nobody()),
        careless_client(Some(&files)),
    )
    .await;
    let refusal = met.server.expect_err("refused");
    assert_eq!(refusal.fault, Fault::WrongPurpose);
}

#[test]
fn an_alert_that_nobody_foresaw_is_still_named() {
    let alert = Fault::Alert { alert: AlertDescription::InternalError };
    let error = identity::tls::HandshakeError { peer: Party::Aggregator, fault: alert };
    assert!(error.to_string().contains("InternalError"));
}
