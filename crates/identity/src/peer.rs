//! A certificate read: whose it is, until when, and its fingerprint.
//!
//! Nothing here says that a certificate is genuine; `verify` asks that first.

use integrity::{Hash, sha256};
use jiff::Timestamp;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::name::{AgentIdentity, IdentityError, Name, quoted};

/// The context tag of a URI among alternative names (RFC 5280, 4.2.1.6).
const URI_TAG: u32 = 6;

/// An agent on the other side of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Who it is.
    pub identity: AgentIdentity,
    /// SHA-256 of the certificate's DER bytes.
    pub fingerprint: Hash,
    /// The certificate's first valid second.
    pub not_before: Timestamp,
    /// Its last one.
    pub not_after: Timestamp,
}

impl Peer {
    /// Whether the certificate has expired at `now`; its connections must end then.
    #[must_use]
    pub fn is_expired(&self, now: Timestamp) -> bool {
        now > self.not_after
    }
}

/// Reads an agent's certificate.
///
/// # Errors
/// When it does not carry exactly one URI, or that URI is not an agent's.
pub fn peer(certificate_der: &[u8]) -> Result<Peer, IdentityError> {
    let Certificate { name, fingerprint, not_before, not_after } = certificate(certificate_der)?;
    match name {
        Name::Agent(identity) => Ok(Peer { identity, fingerprint, not_before, not_after }),
        Name::Aggregator(aggregator) => {
            Err(IdentityError::NotAnAgent { uri: aggregator.to_string() })
        }
    }
}

/// What a certificate of either kind says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    pub(crate) name: Name,
    /// SHA-256 of its DER bytes.
    pub fingerprint: Hash,
    /// Its first valid second.
    pub not_before: Timestamp,
    /// Its last one.
    pub not_after: Timestamp,
}

impl Certificate {
    /// Whether it has expired at `now`; its connections must end then.
    #[must_use]
    pub fn is_expired(&self, now: Timestamp) -> bool {
        now > self.not_after
    }

    /// The URI that names its holder.
    #[must_use]
    pub fn uri(&self) -> String {
        match &self.name {
            Name::Agent(agent) => agent.to_string(),
            Name::Aggregator(aggregator) => aggregator.to_string(),
        }
    }
}

/// Reads an agent's or an aggregator's certificate.
///
/// # Errors
/// When it does not carry exactly one URI, or that URI is neither's.
pub fn certificate(certificate_der: &[u8]) -> Result<Certificate, IdentityError> {
    let (rest, certificate) = X509Certificate::from_der(certificate_der).map_err(unreadable)?;
    if !rest.is_empty() {
        return Err(IdentityError::Unreadable { what: format!("{} bytes follow it", rest.len()) });
    }
    let name = Name::parse(only_uri(&certificate)?)?;
    let validity = certificate.validity();
    Ok(Certificate {
        name,
        fingerprint: sha256(certificate_der),
        not_before: timestamp(validity.not_before.timestamp()),
        not_after: timestamp(validity.not_after.timestamp()),
    })
}

/// The one URI among a certificate's alternative names.
pub(crate) fn only_uri<'a>(certificate: &'a X509Certificate<'_>) -> Result<&'a str, IdentityError> {
    let names = certificate.subject_alternative_name().map_err(unreadable)?;
    let names = names
        .as_ref()
        .map(|extension| extension.value.general_names.as_slice())
        .unwrap_or_default();

    let count = names.iter().filter(|name| is_uri(name)).count();
    match (count, names.iter().find(|name| is_uri(name))) {
        (0, _) | (_, None) => Err(IdentityError::NoUri),
        (1, Some(GeneralName::URI(uri))) => Ok(uri),
        (1, Some(_)) => {
            Err(IdentityError::Unreadable { what: "its URI is not ASCII text".to_owned() })
        }
        (count, _) => Err(IdentityError::SeveralUris { count }),
    }
}

/// Also a malformed URI is one: it must not hide from the count.
fn is_uri(name: &GeneralName<'_>) -> bool {
    match name {
        GeneralName::URI(_) => true,
        GeneralName::Invalid(tag, _) => tag.0 == URI_TAG,
        _ => false,
    }
}

fn unreadable(error: impl std::fmt::Display) -> IdentityError {
    IdentityError::Unreadable { what: quoted(&error.to_string()) }
}

/// Seconds since 1970 as a timestamp; what no timestamp can hold is its bound.
pub(crate) fn timestamp(second: i64) -> Timestamp {
    let bound = if second < 0 { Timestamp::MIN } else { Timestamp::MAX };
    Timestamp::from_second(second).unwrap_or(bound)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use rustls_pki_types::CertificateDer;
    use rustls_pki_types::pem::PemObject as _;
    use seam::Entropy;

    use super::*;
    use crate::ca::{Authority, Existing, Request, init};

    const URI: &str = "spiffe://corp/account/000000000042/agent/main";

    fn issued() -> CertificateDer<'static> {
        let dir = tempfile::TempDir::new().expect("a directory");
        let (now, entropy) = (Timestamp::UNIX_EPOCH, Entropy::system());
        let organization = "corp".parse().expect("an organization");
        init(dir.path(), &organization, now, &entropy).expect("make a CA");
        let authority = Authority::open(dir.path()).expect("open the CA");
        let request = Request {
            out: dir.path(),
            valid_days: 30,
            existing: Existing::Keep,
            now,
            entropy: &entropy,
        };
        let account = "000000000042".parse().expect("an account id");
        let name = "main".parse().expect("an agent name");
        authority.issue_agent(account, &name, false, &request).expect("issue");
        CertificateDer::from_pem_file(dir.path().join("agent.pem")).expect("a certificate")
    }

    /// Whatever bytes come, the answer is a name that stands in them, or an error.
    #[test]
    fn a_damaged_certificate_is_an_error_or_another_certificate() {
        let whole = issued();
        let sound = peer(&whole).expect("an agent's certificate");
        assert_eq!(sound.identity.to_string(), URI);
        for at in 0..whole.len() {
            assert!(peer(&whole[..at]).is_err(), "cut at byte {at}");
            for flip in [0x01, 0x20, 0x80, 0xff] {
                let mut damaged = whole.to_vec();
                damaged[at] ^= flip;
                let Ok(found) = peer(&damaged) else { continue };
                assert_ne!(found.fingerprint, sound.fingerprint);
                let uri = found.identity.to_string();
                let stands = damaged.windows(uri.len()).any(|window| window == uri.as_bytes());
                assert!(stands, "byte {at} ^ {flip:#x}: {uri}");
            }
        }
        let longer = [whole.as_ref(), &[0]].concat();
        assert!(matches!(peer(&longer), Err(IdentityError::Unreadable { .. })));
    }
}
