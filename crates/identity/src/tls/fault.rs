//! Why a connection failed, as a sentence for whoever reads the log.
//!
//! Each names what was wrong with which side, and what to do about it. The
//! details are those of our side: an alert tells the other one only its kind.

use std::fmt;
use std::io;

use jiff::Timestamp;
use rustls::{AlertDescription, CertificateError, Error, InvalidMessage};
use rustls_pki_types::UnixTime;

use super::HANDSHAKE_TIMEOUT;
use crate::name::{IdentityError, quoted};
use crate::peer::timestamp;

/// One side of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Party {
    /// The client.
    Agent,
    /// The server.
    Aggregator,
}

/// A connection that did not come about, or was refused after all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandshakeError {
    /// The other side.
    pub peer: Party,
    /// What went wrong.
    pub fault: Fault,
}

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// No handshake within the time for it.
    TimedOut,
    /// The peer went away: a probe, if it had said nothing.
    Closed,
    /// The network failed.
    Io {
        /// What the system says.
        what: String,
    },
    /// The peer speaks no TLS.
    Plaintext,
    /// The peer speaks only older versions.
    NoTls13,
    /// The peer did not agree on HTTP/2.
    NotHttp2,
    /// The peer presented no certificate.
    NoCertificate,
    /// The peer's certificate is of a CA that we do not know.
    UnknownCa,
    /// The peer's certificate has expired.
    Expired {
        /// Its last second.
        not_after: Option<Timestamp>,
    },
    /// The peer's certificate is not valid yet.
    NotYetValid {
        /// Its first second.
        not_before: Option<Timestamp>,
    },
    /// The peer's certificate is for the other side's use.
    WrongPurpose,
    /// The aggregator's certificate is for another host.
    WrongHost {
        /// The host that was dialled, and those in the certificate.
        what: String,
    },
    /// The host to dial is neither a DNS name nor an IP address.
    Host {
        /// The text, escaped.
        host: String,
    },
    /// The peer's certificate is genuine, but its holder is not accepted.
    Identity(IdentityError),
    /// The peer did not accept us.
    Alert {
        /// What it said.
        alert: AlertDescription,
    },
    /// Anything else that TLS found.
    Tls {
        /// What rustls says.
        what: String,
    },
}

impl HandshakeError {
    /// Whether the peer just connected and left, as health checks do.
    #[must_use]
    pub fn is_probe(&self) -> bool {
        self.fault == Fault::Closed
    }
}

impl std::error::Error for HandshakeError {}

impl From<IdentityError> for Fault {
    fn from(error: IdentityError) -> Self {
        Self::Identity(error)
    }
}

impl Fault {
    /// The reason in an error that tokio-rustls gives.
    pub(crate) fn of(error: &io::Error) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
            Some(error) => Self::of_tls(error),
            None => Self::of_io(error),
        }
    }

    pub(crate) fn of_io(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::BrokenPipe => Self::Closed,
            _ => Self::Io { what: quoted(&error.to_string()) },
        }
    }

    fn of_tls(error: &Error) -> Self {
        match error {
            Error::InvalidCertificate(error) => Self::of_certificate(error),
            Error::AlertReceived(alert) => Self::Alert { alert: *alert },
            Error::NoCertificatesPresented => Self::NoCertificate,
            Error::NoApplicationProtocol => Self::NotHttp2,
            Error::InvalidMessage(InvalidMessage::InvalidContentType) => Self::Plaintext,
            Error::PeerIncompatible(incompatible) if is_version(incompatible) => Self::NoTls13,
            error => Self::Tls { what: quoted(&error.to_string()) },
        }
    }

    fn of_certificate(error: &CertificateError) -> Self {
        match error {
            CertificateError::Expired => Self::Expired { not_after: None },
            CertificateError::ExpiredContext { not_after, .. } => {
                Self::Expired { not_after: Some(at(*not_after)) }
            }
            CertificateError::NotValidYet => Self::NotYetValid { not_before: None },
            CertificateError::NotValidYetContext { not_before, .. } => {
                Self::NotYetValid { not_before: Some(at(*not_before)) }
            }
            CertificateError::UnknownIssuer | CertificateError::BadSignature => Self::UnknownCa,
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
                Self::WrongPurpose
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                Self::WrongHost { what: quoted(&error.to_string()) }
            }
            CertificateError::Other(other) => match other.0.downcast_ref::<IdentityError>() {
                Some(error) => Self::Identity(error.clone()),
                None => Self::Tls { what: quoted(&error.to_string()) },
            },
            error => Self::Tls { what: quoted(&error.to_string()) },
        }
    }
}

fn is_version(error: &rustls::PeerIncompatible) -> bool {
    use rustls::PeerIncompatible as P;
    matches!(
        error,
        P::SupportedVersionsExtensionRequired
            | P::ServerDoesNotSupportTls12Or13
            | P::ServerTlsVersionIsDisabledByOurConfig
            | P::Tls12NotOffered
            | P::Tls12NotOfferedOrEnabled
    )
}

fn at(time: UnixTime) -> Timestamp {
    timestamp(i64::try_from(time.as_secs()).unwrap_or(i64::MAX))
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Agent => "agent",
            Self::Aggregator => "aggregator",
        })
    }
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { peer, fault } = self;
        match fault {
            Fault::TimedOut => {
                write!(f, "the {peer} did not finish the TLS handshake within {} s", HANDSHAKE_TIMEOUT.as_secs())
            }
            Fault::Closed => write!(f, "the {peer} closed the connection during the TLS handshake"),
            Fault::Io { what } => write!(f, "the connection to the {peer} failed during the TLS handshake: {what}"),
            Fault::Plaintext => match peer {
                Party::Agent => f.write_str(
                    "the client speaks no TLS; only agents with TLS 1.3 and a client certificate are served here",
                ),
                Party::Aggregator => {
                    f.write_str("what answers is not TLS; is this the port that the aggregator serves agents on?")
                }
            },
            Fault::NoTls13 => write!(f, "the {peer} offers no TLS 1.3, and nothing older is accepted"),
            Fault::NotHttp2 => write!(f, "the {peer} did not agree on HTTP/2 (ALPN h2); is it an orgtrail {peer}?"),
            Fault::NoCertificate => {
                write!(f, "the {peer} presented no certificate; `orgtrail ca issue` makes one for it")
            }
            Fault::UnknownCa => write!(
                f,
                "the {peer}'s certificate was issued by a CA that is not in our CA file; issue it by our CA, or add \
                 its CA to the file"
            ),
            Fault::Expired { not_after } => {
                write!(f, "the {peer}'s certificate expired")?;
                not_after.iter().try_for_each(|at| write!(f, " at {at}"))?;
                f.write_str("; issue a new one")
            }
            Fault::NotYetValid { not_before } => {
                write!(f, "the {peer}'s certificate is not valid yet")?;
                not_before.iter().try_for_each(|at| write!(f, ", only from {at}"))?;
                f.write_str("; compare the clocks of both machines")
            }
            Fault::WrongPurpose => match peer {
                Party::Agent => f.write_str(
                    "the agent's certificate is not for clients (extended key usage); an aggregator's cannot be used \
                     as an agent's",
                ),
                Party::Aggregator => f.write_str(
                    "the aggregator's certificate is not for servers (extended key usage); an agent's cannot be used \
                     as an aggregator's",
                ),
            },
            Fault::WrongHost { what } => write!(f, "the {peer}'s certificate is for another host: {what}"),
            Fault::Host { host } => write!(f, "{host} is neither a DNS name nor an IP address"),
            Fault::Identity(error) => write!(f, "the {peer} is not accepted: {error}"),
            Fault::Alert { alert } => refused(f, *peer, *alert),
            Fault::Tls { what } => write!(f, "the TLS handshake with the {peer} failed: {what}"),
        }
    }
}

/// What a peer meant that ended the connection with `alert`.
fn refused(f: &mut fmt::Formatter<'_>, peer: Party, alert: AlertDescription) -> fmt::Result {
    let meant = match (alert, peer) {
        (AlertDescription::CertificateExpired, _) => {
            "by its clock, our certificate has expired or is not valid yet; issue a new one, or compare the clocks"
        }
        (AlertDescription::UnknownCA, _) => {
            "our certificate was issued by a CA that is not in its CA file; it must be issued by the CA that it trusts"
        }
        (
            AlertDescription::CertificateUnknown | AlertDescription::AccessDenied,
            Party::Aggregator,
        ) => {
            "it does not accept who our certificate names: another organization, not exactly one agent's URI, or \
             listed in its [identity] refuse; its log says which"
        }
        (AlertDescription::CertificateUnknown | AlertDescription::AccessDenied, Party::Agent) => {
            "it does not accept who our certificate names: another organization, not exactly one aggregator's URI, or \
             listed in its [identity] refuse; its log says which"
        }
        (AlertDescription::CertificateRequired, _) => "it wants a certificate and got none",
        (AlertDescription::UnsupportedCertificate, _) => {
            "our certificate is for the other side's use (extended key usage)"
        }
        (AlertDescription::BadCertificate, Party::Agent) => {
            "our certificate is not for the host name that it dialled"
        }
        (AlertDescription::BadCertificate, Party::Aggregator) => {
            "it could not read our certificate"
        }
        (AlertDescription::ProtocolVersion, _) => {
            "it speaks no TLS version that we do; TLS 1.3 is needed"
        }
        (AlertDescription::NoApplicationProtocol, _) => {
            "it does not speak HTTP/2 there; is this the port for agents?"
        }
        (AlertDescription::HandshakeFailure, _) => {
            "it found no cipher or key exchange that both sides know"
        }
        _ => return write!(f, "the {peer} ended the connection with the TLS alert {alert:?}"),
    };
    write!(f, "the {peer} refused us: {meant}")
}
