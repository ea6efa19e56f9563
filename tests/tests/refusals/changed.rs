//! Files that change while the programs run: certificates, and who is refused.

use crate::organization::{ACCOUNT, Organization, agent_uri, record};
use crate::stranger::python;

#[test]
fn renewed_certificates_are_used_without_a_restart() {
    let organization = Organization::new();
    let server = organization.serve();
    let source = organization.append("events.json", &[record(ACCOUNT, 1)]);
    let files = organization.agent("main");
    let agent = organization.run("main", &files, &source, &[]);
    server.wait_for(&agent_uri("main")).expect("the agent is let in");
    let before = python(organization.port, &organization.agent("probe"), "TLSv1_3");

    let out = organization.path("server");
    let out = out.to_str().expect("a plain path");
    organization.ca(&["issue", "--server", "localhost", "--replace", "--out", out]);
    organization.agent("main");
    server.wait_for("took changed certificate files into use").expect("reloaded");
    agent.wait_for("took changed certificate files into use").expect("reloaded");

    let after = python(organization.port, &organization.agent("probe"), "TLSv1_3");
    assert_eq!(before.len(), 64, "{before}");
    assert_eq!(after.len(), 64, "{after}");
    assert_ne!(before, after, "the server's certificate is the new one");
    for process in [agent, server] {
        let (status, said) = process.stop().expect("it ends");
        assert!(status.success(), "{said}");
    }
}

#[test]
fn a_bad_certificate_file_is_reported_and_changes_nothing() {
    let organization = Organization::new();
    let server = organization.serve();
    let files = organization.agent("main");
    let before = python(organization.port, &files, "TLSv1_3");

    let certificate = organization.path("server/server.pem");
    std::fs::copy(&files.certificate, certificate).expect("copy");
    server.wait_for("the old ones stay in use").expect("reported");
    assert_eq!(python(organization.port, &files, "TLSv1_3"), before);
}

#[test]
fn refusing_a_name_cuts_its_open_stream() {
    let organization = Organization::new();
    let server = organization.serve();
    let source = organization.append("events.json", &[record(ACCOUNT, 1)]);
    let files = organization.agent("main");
    let agent = organization.run("main", &files, &source, &[]);
    let other = organization.run("other", &organization.agent("other"), &source, &[]);
    server.wait_for(&agent_uri("main")).expect("the agent is let in");
    server.wait_for(&agent_uri("other")).expect("the other is let in");

    organization.configure(&[&agent_uri("main")]);
    let sentence = format!("[identity] refuse lists {}", agent_uri("main"));
    server.wait_for(&sentence).expect("the stream is cut");
    agent.wait_for(&sentence).expect("the agent is told");
    // Whoever comes back with it is refused at the door.
    let times = server.said().matches(&sentence).count();
    let told = python(organization.port, &files, "TLSv1_3");
    assert!(told.contains("certificate unknown"), "{told}");
    server.wait_for_times(&sentence, times + 1).expect("logged");
    assert!(!server.said().contains(&format!("refuse lists {}", agent_uri("other"))));
    drop(other);
}

#[test]
fn an_agent_that_refuses_its_aggregator_leaves_it() {
    let organization = Organization::new();
    let server = organization.serve();
    let source = organization.append("events.json", &[record(ACCOUNT, 1)]);
    let files = organization.agent("main");
    let agent = organization.run("main", &files, &source, &[]);
    server.wait_for(&agent_uri("main")).expect("the agent is let in");

    let aggregator = "spiffe://corp/aggregator/localhost";
    organization.configure_agent("main", &files, &source, &[aggregator]);
    let sentence = format!("[identity] refuse lists {aggregator}");
    agent.wait_for(&sentence).expect("the stream is cut");
    server.wait_for("session ended").expect("the aggregator notices");
    server.wait_for("the agent refused us").expect("the next handshake is refused");
}
