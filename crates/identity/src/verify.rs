//! Certificate checks within the handshake: webpki's first, then ours.
//!
//! webpki says whether a certificate is genuine, current and made for this
//! side; only then is it asked who its holder is. A failure of ours travels in
//! `CertificateError::Other`, from which `tls` takes it out again.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use crate::name::{IdentityError, Name, Organization};
use crate::peer::{certificate, peer};
use crate::refuse::Refuse;

/// An aggregator's check of an agent.
pub(crate) struct AgentVerifier {
    pub(crate) webpki: Arc<dyn ClientCertVerifier>,
    pub(crate) organization: Organization,
    pub(crate) refuse: Arc<ArcSwap<Refuse>>,
}

/// An agent's check of an aggregator.
pub(crate) struct AggregatorVerifier {
    pub(crate) webpki: Arc<dyn ServerCertVerifier>,
    pub(crate) organization: Organization,
    pub(crate) refuse: Arc<ArcSwap<Refuse>>,
}

impl AgentVerifier {
    fn identify(&self, certificate_der: &[u8]) -> Result<(), IdentityError> {
        let peer = peer(certificate_der)?;
        same(&self.organization, &peer.identity.organization, || peer.identity.to_string())?;
        self.refuse.load().refuses(&peer).map_or(Ok(()), Err)
    }
}

impl AggregatorVerifier {
    fn identify(&self, certificate_der: &[u8]) -> Result<(), IdentityError> {
        let certificate = certificate(certificate_der)?;
        match &certificate.name {
            Name::Agent(agent) => {
                return Err(IdentityError::NotAnAggregator { uri: agent.to_string() });
            }
            Name::Aggregator(aggregator) => {
                same(&self.organization, &aggregator.organization, || aggregator.to_string())?;
            }
        }
        self.refuse.load().refuses_certificate(&certificate).map_or(Ok(()), Err)
    }
}

fn same(
    ours: &Organization,
    theirs: &Organization,
    uri: impl Fn() -> String,
) -> Result<(), IdentityError> {
    if ours == theirs {
        return Ok(());
    }
    Err(IdentityError::ForeignOrganization {
        uri: uri(),
        theirs: theirs.clone(),
        ours: ours.clone(),
    })
}

fn refused(error: IdentityError) -> Error {
    Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(error))))
}

/// A CA of the same name with another key is an unknown CA, not a broken signature.
fn of_known_ca<T>(verified: Result<T, Error>) -> Result<T, Error> {
    match verified {
        Err(Error::InvalidCertificate(CertificateError::BadSignature)) => {
            Err(Error::InvalidCertificate(CertificateError::UnknownIssuer))
        }
        verified => verified,
    }
}

impl ClientCertVerifier for AgentVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        // An agent has one certificate and needs no hint; a scanner gets none.
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = of_known_ca(self.webpki.verify_client_cert(end_entity, intermediates, now))?;
        self.identify(end_entity).map_err(refused)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.webpki.supported_verify_schemes()
    }
}

impl ServerCertVerifier for AggregatorVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self.webpki.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        );
        let verified = of_known_ca(verified)?;
        self.identify(end_entity).map_err(refused)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.webpki.supported_verify_schemes()
    }
}

impl fmt::Debug for AgentVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AgentVerifier({})", self.organization)
    }
}

impl fmt::Debug for AggregatorVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AggregatorVerifier({})", self.organization)
    }
}
