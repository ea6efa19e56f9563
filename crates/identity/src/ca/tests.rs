//! What is issued, where it lies, and what is never overwritten.

use std::os::unix::fs::PermissionsExt as _;

use tempfile::TempDir;
use x509_parser::extensions::GeneralName;

use super::*;
use crate::peer::{certificate, peer};

fn now() -> Timestamp {
    "2026-11-20T12:00:00Z".parse().expect("a time")
}

fn new_ca(dir: &Path) -> Authority {
    let organization = "corp".parse().expect("an organization");
    init(dir, &organization, now(), &Entropy::system()).expect("make a CA");
    Authority::open(dir).expect("open the CA")
}

fn request<'a>(out: &'a Path, entropy: &'a Entropy) -> Request<'a> {
    Request { out, valid_days: VALID_DAYS, existing: Existing::Keep, now: now(), entropy }
}

fn agent(authority: &Authority, request: &Request<'_>) -> Result<Issued, CaError> {
    let account = "000000000042".parse().expect("an account id");
    authority.issue_agent(account, &"main".parse().expect("an agent name"), false, request)
}

fn der(path: &Path) -> CertificateDer<'static> {
    let pem = std::fs::read(path).expect("read the certificate");
    certificates(&pem, path).expect("a certificate").remove(0)
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).expect("metadata").permissions().mode() & 0o777
}

#[test]
fn an_issued_certificate_says_what_was_asked_for() {
    let dir = TempDir::new().expect("a directory");
    let (ca_dir, out) = (dir.path().join("a/ca"), dir.path().join("out"));
    let (authority, entropy) = (new_ca(&ca_dir), Entropy::system());

    let issued = agent(&authority, &request(&out, &entropy)).expect("issue");
    let found = peer(&der(&issued.certificate)).expect("an agent's certificate");
    assert_eq!(found.identity.to_string(), "spiffe://corp/account/000000000042/agent/main");
    assert_eq!((issued.uri, issued.fingerprint), (found.identity.to_string(), found.fingerprint));
    assert_eq!(found.not_before.to_string(), "2026-11-20T11:55:00Z");
    assert_eq!(found.not_after.to_string(), "2026-12-20T12:00:00Z");
    assert_eq!(issued.not_after, found.not_after);

    let der = der(&issued.certificate);
    let (_, x509) = X509Certificate::from_der(&der).expect("X.509");
    assert!(!x509.is_ca());
    let usage = x509.extended_key_usage().expect("readable").expect("present").value;
    assert!(usage.client_auth && !usage.server_auth && !usage.any);
    let usage = x509.key_usage().expect("readable").expect("present").value;
    assert!(usage.digital_signature() && !usage.key_cert_sign() && !usage.key_encipherment());

    for path in [&ca_dir, &out] {
        assert_eq!(mode(path), 0o700, "{}", path.display());
        for entry in std::fs::read_dir(path).expect("list") {
            let path = entry.expect("an entry").path();
            assert_eq!(mode(&path), 0o600, "{}", path.display());
        }
    }
    assert_eq!(std::fs::read(ca_dir.join("ca.pem")).ok(), std::fs::read(out.join("ca.pem")).ok());
}

#[test]
fn a_servers_certificate_is_for_its_host() {
    let dir = TempDir::new().expect("a directory");
    let (authority, entropy) = (new_ca(dir.path()), Entropy::system());
    let long = format!("{}.example", "a".repeat(60));
    for host in ["trail.corp.example", "192.0.2.7", "::1", &long] {
        let out = dir.path().join(host);
        let issued = authority.issue_server(host, &request(&out, &entropy)).expect("issue");
        assert_eq!(issued.uri, format!("spiffe://corp/aggregator/{host}"));
        let der = der(&issued.certificate);
        certificate(&der).expect("an aggregator's certificate");
        let (_, x509) = X509Certificate::from_der(&der).expect("X.509");
        let names = x509.subject_alternative_name().expect("readable").expect("present").value;
        let address = host.parse::<IpAddr>().ok();
        let named = names.general_names.iter().any(|name| match (name, address) {
            (GeneralName::DNSName(name), None) => *name == host,
            (GeneralName::IPAddress(bytes), Some(IpAddr::V4(address))) => {
                *bytes == address.octets()
            }
            (GeneralName::IPAddress(bytes), Some(IpAddr::V6(address))) => {
                *bytes == address.octets()
            }
            _ => false,
        });
        assert!(named, "{host}: {names:?}");
        let usage = x509.extended_key_usage().expect("readable").expect("present").value;
        assert!(usage.server_auth && !usage.client_auth);
    }
    for host in ["", "a b", "https://corp.example", "-x", "corp.example:7443"] {
        let out = dir.path().join("none");
        let refused = authority.issue_server(host, &request(&out, &entropy));
        assert!(matches!(refused, Err(CaError::Host { .. })), "{host}");
        assert!(!out.try_exists().expect("looked"), "{host}");
    }
}

#[test]
fn nothing_is_overwritten_unless_said_so() {
    let dir = TempDir::new().expect("a directory");
    let (authority, entropy) = (new_ca(dir.path()), Entropy::system());
    let again = init(dir.path(), authority.organization(), now(), &entropy);
    assert!(matches!(again, Err(CaError::Exists { .. })), "{again:?}");

    let out = dir.path().join("out");
    let first = agent(&authority, &request(&out, &entropy)).expect("issue");
    let kept = std::fs::read(&first.certificate).expect("read");
    let again = agent(&authority, &request(&out, &entropy));
    assert!(matches!(again, Err(CaError::Exists { .. })), "{again:?}");
    assert_eq!(std::fs::read(&first.certificate).expect("read"), kept);

    let replacing = Request { existing: Existing::Replace, ..request(&out, &entropy) };
    let second = agent(&authority, &replacing).expect("replace");
    assert_ne!(second.fingerprint, first.fingerprint);
    assert_eq!(mode(&second.certificate), 0o600);
    let left = std::fs::read_dir(&out).expect("list").count();
    assert_eq!(left, 3, "ca.pem, agent.pem and agent.key; nothing temporary");
}

#[test]
fn a_certificate_does_not_outlive_its_ca() {
    let dir = TempDir::new().expect("a directory");
    let (authority, entropy) = (new_ca(dir.path()), Entropy::system());
    let out = dir.path().join("out");
    let long = Request { valid_days: 100_000, ..request(&out, &entropy) };
    let issued = agent(&authority, &long).expect("issue");
    assert_eq!(issued.not_after, authority.not_after);

    let late = Request { now: authority.not_after + SignedDuration::from_secs(1), ..long };
    assert!(matches!(agent(&authority, &late), Err(CaError::Expired { .. })));
}

#[test]
fn only_a_ca_of_ours_issues() {
    let dir = TempDir::new().expect("a directory");
    assert!(matches!(Authority::open(dir.path()), Err(CaError::Files(FilesError::Read { .. }))));

    let (authority, entropy) = (new_ca(dir.path()), Entropy::system());
    let out = dir.path().join("out");
    agent(&authority, &request(&out, &entropy)).expect("issue");
    let leaf_as_ca = dir.path().join("leaf");
    std::fs::create_dir(&leaf_as_ca).expect("a directory");
    std::fs::copy(out.join("agent.pem"), leaf_as_ca.join("ca.pem")).expect("copy");
    std::fs::copy(out.join("agent.key"), leaf_as_ca.join("ca.key")).expect("copy");
    assert!(matches!(Authority::open(&leaf_as_ca), Err(CaError::NotOurs { .. })));

    let mixed = dir.path().join("mixed");
    new_ca(&mixed);
    std::fs::copy(dir.path().join("ca.key"), mixed.join("ca.key")).expect("copy");
    assert!(matches!(Authority::open(&mixed), Err(CaError::Files(FilesError::KeyMismatch { .. }))));
}
