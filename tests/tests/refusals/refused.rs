//! Certificates and clients that get no session.

use crate::organization::{ACCOUNT, Files, Odd, Organization, agent_uri, record};
use crate::stranger::{plaintext, python};

/// An agent of ours is refused: `theirs` in its log, `ours` in the aggregator's.
#[test]
fn an_agent_with_a_bad_certificate_learns_what_is_wrong_with_it() {
    let organization = Organization::new();
    let server = organization.serve();
    let source = organization.append("events.json", &[record(ACCOUNT, 1)]);
    let check = |name: &str, files: Files, ours: &str, theirs: &str| {
        let agent = organization.run(name, &files, &source, &["--once"]);
        agent.wait_for(theirs).expect(name);
        server.wait_for(ours).expect(name);
    };

    let other = Organization::new();
    let files = other.agent("main");
    let other_ca = Files { ca: organization.path("ca/ca.pem"), ..files.clone() };
    let (ours, theirs) = ("a CA that is not in our CA file", "a CA that is not in its CA file");
    check("other-ca", other_ca, ours, theirs);

    // Both sides see it when the agent does not know our CA either: the agent first.
    let (ours, theirs) =
        ("the agent refused us", "the aggregator's certificate was issued by a CA");
    check("stranger", files, ours, theirs);

    let expired =
        organization.odd("expired", &Odd { hours_before: 48, hours_after: -1, ..Odd::agent() });
    let (ours, theirs) = ("the agent's certificate expired at", "our certificate has expired");
    check("late", expired, ours, theirs);

    let early =
        organization.odd("early", &Odd { hours_before: -1, hours_after: 48, ..Odd::agent() });
    let (ours, theirs) = ("is not valid yet, only from", "has expired or is not valid yet");
    check("soon", early, ours, theirs);
}

/// What no agent of ours would even start with, a stranger may present.
#[test]
fn a_certificate_must_name_exactly_one_agent() {
    let organization = Organization::new();
    let server = organization.serve();
    let source = organization.append("events.json", &[record(ACCOUNT, 1)]);
    let check = |name: &str, uris: Vec<String>, sentence: &str| {
        let files = organization.odd(name, &Odd { uris, ..Odd::agent() });
        let agent = organization.run(name, &files, &source, &["--once"]);
        let (status, said) = agent.wait().expect("it ends");
        assert_eq!(status.code(), Some(2), "{said}");
        assert!(said.contains(sentence), "{said}\nhas no: {sentence}");

        let told = python(organization.port, &files, "TLSv1_3");
        assert!(told.contains("certificate unknown"), "{told}");
        server.wait_for(sentence).expect(name);
    };
    let two = vec![agent_uri("main"), agent_uri("other")];
    check("two", two, "has 2 URIs among its alternative names; exactly one is accepted");
    let bad = vec!["spiffe://corp/account/1111/agent/main".to_owned()];
    check("bad", bad, "has the account 1111; an account id is 12 digits");
    check("none", Vec::new(), "has no URI among its alternative names");
}

#[test]
fn nothing_but_tls_13_is_spoken() {
    let organization = Organization::new();
    let server = organization.serve();
    let files = organization.agent("main");

    let told = python(organization.port, &files, "TLSv1_2");
    assert!(told.contains("protocol version"), "{told}");
    server.wait_for("the agent offers no TLS 1.3, and nothing older is accepted").expect("logged");

    let told = plaintext(organization.port, b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n");
    assert!(told.contains("TLS 1.3 with a client certificate"), "{told}");
    let told = plaintext(organization.port, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    assert!(told.contains("TLS 1.3 with a client certificate"), "{told}");
    server.wait_for_times("the client speaks no TLS", 2).expect("logged");

    // The same files are good for TLS 1.3.
    let let_in_by = python(organization.port, &files, "TLSv1_3");
    assert_eq!(let_in_by.len(), 64, "{let_in_by}");
}
