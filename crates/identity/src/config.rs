//! rustls configurations: TLS 1.3, both certificates, HTTP/2, no resumption.
//!
//! The crypto provider is named, not looked up: the process may hold two, and
//! rustls panics rather than choose.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, Error, ServerConfig};
use rustls_pki_types::UnixTime;
use seam::Clock;

use crate::files::{Contents, Files, FilesError, Material};
use crate::name::{IdentityError, Name};
use crate::refuse::Refuse;
use crate::verify::{AgentVerifier, AggregatorVerifier};

/// HTTP/2, which gRPC needs.
pub(crate) const ALPN: &[u8] = b"h2";

/// What an aggregator accepts connections with.
///
/// # Errors
/// When a file cannot be read, or is not an aggregator's.
pub fn server_config(
    files: &Files,
    refuse: &Refuse,
    clock: &Clock,
) -> Result<Arc<ServerConfig>, FilesError> {
    let material = Contents::read(files).parse(files)?;
    let refuse = Arc::new(ArcSwap::from_pointee(refuse.clone()));
    server(&material, &refuse, clock).map(Arc::new)
}

/// What an agent connects with.
///
/// # Errors
/// When a file cannot be read, or is not an agent's.
pub fn client_config(files: &Files, clock: &Clock) -> Result<Arc<ClientConfig>, FilesError> {
    let material = Contents::read(files).parse(files)?;
    let refuse = Arc::new(ArcSwap::from_pointee(Refuse::nobody()));
    client(&material, &refuse, clock).map(Arc::new)
}

pub(crate) fn server(
    material: &Material,
    refuse: &Arc<ArcSwap<Refuse>>,
    clock: &Clock,
) -> Result<ServerConfig, FilesError> {
    let Name::Aggregator(own) = &material.own.name else {
        return Err(not_ours(material, |uri| IdentityError::NotAnAggregator { uri }));
    };
    let provider = provider();
    let roots = Arc::new(material.roots.clone());
    let webpki =
        WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&provider)).build().map_err(
            |error| FilesError::Ca { path: material.files.ca.clone(), what: error.to_string() },
        )?;
    let verifier = AgentVerifier {
        webpki,
        organization: own.organization.clone(),
        refuse: Arc::clone(refuse),
    };

    let mut config = ServerConfig::builder_with_details(provider, Arc::new(Time(clock.clone())))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| unusable(material, &error))?
        .with_client_cert_verifier(Arc::new(verifier))
        .with_single_cert(material.chain.clone(), material.key.clone_key())
        .map_err(|error| unusable(material, &error))?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

pub(crate) fn client(
    material: &Material,
    refuse: &Arc<ArcSwap<Refuse>>,
    clock: &Clock,
) -> Result<ClientConfig, FilesError> {
    let Name::Agent(own) = &material.own.name else {
        return Err(not_ours(material, |uri| IdentityError::NotAnAgent { uri }));
    };
    let provider = provider();
    let roots = Arc::new(material.roots.clone());
    let webpki =
        WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider)).build().map_err(
            |error| FilesError::Ca { path: material.files.ca.clone(), what: error.to_string() },
        )?;
    let verifier = AggregatorVerifier {
        webpki,
        organization: own.organization.clone(),
        refuse: Arc::clone(refuse),
    };

    let mut config = ClientConfig::builder_with_details(provider, Arc::new(Time(clock.clone())))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| unusable(material, &error))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_client_auth_cert(material.chain.clone(), material.key.clone_key())
        .map_err(|error| unusable(material, &error))?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = Resumption::disabled();
    Ok(config)
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn not_ours(material: &Material, error: impl Fn(String) -> IdentityError) -> FilesError {
    FilesError::Identity {
        path: material.files.certificate.clone(),
        source: error(material.own.uri()),
    }
}

fn unusable(material: &Material, error: &Error) -> FilesError {
    let Files { certificate, key, .. } = &material.files;
    match error {
        Error::InconsistentKeys(_) => {
            FilesError::KeyMismatch { certificate: certificate.clone(), key: key.clone() }
        }
        error => FilesError::Key { path: key.clone(), what: error.to_string() },
    }
}

/// Our clock as rustls asks for it.
struct Time(Clock);

impl TimeProvider for Time {
    fn current_time(&self) -> Option<UnixTime> {
        let second = u64::try_from(self.0.now().as_second()).ok()?;
        Some(UnixTime::since_unix_epoch(std::time::Duration::from_secs(second)))
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Time")
    }
}
