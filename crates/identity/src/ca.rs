//! A certificate authority in a directory: small organizations need no other.
//!
//! ```text
//! <dir>/ca.pem, ca.key        made by `init`, once
//! <out>/server.pem, .key      made by `issue` for an aggregator
//! <out>/agent.pem, .key       made by `issue` for an agent
//! <out>/ca.pem                a copy, so that <out> is all that a machine needs
//! ```
//!
//! Directories are 0700 and files 0600. A file that exists is replaced only if
//! the caller said so, and then in one step. Nothing here talks to a network;
//! whoever holds `ca.key` can be anyone, so it belongs where no service runs.
//!
//! # Why P-256 and not Ed25519
//! The library writes Ed25519 keys in a form (PKCS #8 version 2, with the
//! public key) that OpenSSL 3.0 does not read, so an operator's `openssl` and
//! Python could not use them. A P-256 key is read by everything, HSMs and
//! cloud key services included. A CA of your own may use Ed25519 or RSA all
//! the same: nothing here depends on ours.
//!
//! # Why the keys do not come from `seam::Entropy`
//! The crypto library makes them, with its own generator; a key must never be
//! what a simulation's seed says. Serial numbers do come from it.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use event::{AccountId, AgentName};
use integrity::{Hash, sha256};
use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType, SerialNumber,
};
use rustls_pki_types::{CertificateDer, ServerName};
use seam::Entropy;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::files::{FilesError, certificates};
use crate::name::{AgentIdentity, AggregatorIdentity, Organization, SpeaksFor, quoted};
use crate::peer::{only_uri, timestamp};

/// How long a CA certificate is valid.
pub const CA_VALID_DAYS: u32 = 3_653;

/// How long an issued certificate is valid unless said otherwise.
pub const VALID_DAYS: u32 = 30;

/// A certificate is valid from this much before it was made: clocks differ.
const BACKDATE: SignedDuration = SignedDuration::from_mins(5);

/// The longest common name that X.509 allows.
const COMMON_NAME_BYTES_MAX: usize = 64;

/// What was written, for a person to see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    /// The certificate file.
    pub certificate: PathBuf,
    /// The file of its private key.
    pub key: PathBuf,
    /// The URI that names the holder.
    pub uri: String,
    /// SHA-256 of the certificate's DER bytes, as `[identity] refuse` takes it.
    pub fingerprint: Hash,
    /// Its last valid second.
    pub not_after: Timestamp,
}

/// Whether a file that exists may be replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// No: it is an error.
    Keep,
    /// Yes, in one step: a reader sees the old file or the new one.
    Replace,
}

/// Why nothing was issued.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    /// A file is in the way. The caller asks, or names another directory.
    #[error("{} exists; nothing was written", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The host is neither a DNS name nor an IP address.
    #[error("{host} is neither a DNS name nor an IP address")]
    Host {
        /// The text, escaped.
        host: String,
    },
    /// The CA's files cannot be used.
    #[error(transparent)]
    Files(#[from] FilesError),
    /// The certificate is no orgtrail CA's: it does not name one organization.
    #[error("{} is not a CA that `orgtrail ca init` made: {what}", path.display())]
    NotOurs {
        /// The CA certificate's file.
        path: PathBuf,
        /// What is missing.
        what: String,
    },
    /// The CA's own certificate has run out.
    #[error("the CA {} expired at {not_after}", path.display())]
    Expired {
        /// The CA certificate's file.
        path: PathBuf,
        /// Its last second.
        not_after: Timestamp,
    },
    /// The certificate could not be formed or signed.
    #[error("sign a certificate")]
    Sign(#[from] rcgen::Error),
    /// The disk did not take a file.
    #[error("write {}", path.display())]
    Write {
        /// The file or directory.
        path: PathBuf,
        /// The reason.
        #[source]
        source: io::Error,
    },
}

/// Makes a CA for `organization` in `dir`.
///
/// # Errors
/// When `dir` already holds one, or cannot be written.
pub fn init(
    dir: &Path,
    organization: &Organization,
    now: Timestamp,
    entropy: &Entropy,
) -> Result<Issued, CaError> {
    let serial = entropy.bytes::<16>();
    let mut params = CertificateParams::default();
    // Two CAs of one organization must not share a name: the serial tells them apart.
    let [a, b, c, d, ..] = serial;
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationName, organization.as_str());
    name.push(DnType::CommonName, format!("orgtrail CA {a:02x}{b:02x}{c:02x}{d:02x}"));
    params.distinguished_name = name;
    params.subject_alt_names = vec![uri_name(&organization.uri())?];
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let not_after = valid(&mut params, serial, now, CA_VALID_DAYS, None);

    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let certificate = params.self_signed(&key)?;
    let files = Pair { certificate: dir.join("ca.pem"), key: dir.join("ca.key") };
    make_dir(dir)?;
    files.write(&certificate.pem(), &key.serialize_pem(), Existing::Keep)?;
    Ok(files.issued(organization.uri(), sha256(certificate.der()), not_after))
}

/// A CA that `init` made, opened for issuing.
pub struct Authority {
    organization: Organization,
    issuer: Issuer<'static, KeyPair>,
    not_after: Timestamp,
    /// The certificate's file, and its text for the copies.
    path: PathBuf,
    pem: String,
}

/// How one certificate is to be issued.
pub struct Request<'a> {
    /// Where its files go; made if need be.
    pub out: &'a Path,
    /// Days from `now` until it expires, but never later than the CA does.
    pub valid_days: u32,
    /// What happens to files of an earlier certificate.
    pub existing: Existing,
    /// The current time.
    pub now: Timestamp,
    /// For the serial number.
    pub entropy: &'a Entropy,
}

impl Authority {
    /// Opens the CA in `dir`.
    ///
    /// # Errors
    /// When there is none, or one that `init` did not make.
    pub fn open(dir: &Path) -> Result<Self, CaError> {
        let (path, key_path) = (dir.join("ca.pem"), dir.join("ca.key"));
        let read = |path: &Path| {
            std::fs::read_to_string(path)
                .map_err(|source| FilesError::Read { path: path.to_owned(), source })
        };
        let (pem, key) = (read(&path)?, read(&key_path)?);
        let not_ours = |what: String| CaError::NotOurs { path: path.clone(), what };

        let certificates = certificates(pem.as_bytes(), &path)?;
        let [der] = certificates.as_slice() else {
            return Err(not_ours(format!("it holds {} certificates, not one", certificates.len())));
        };
        let (organization, not_after) = organization(der).map_err(not_ours)?;
        let key = KeyPair::from_pem(&key)
            .map_err(|error| FilesError::Key { path: key_path.clone(), what: error.to_string() })?;
        let matches = X509Certificate::from_der(der).is_ok_and(|(_, ca)| {
            ca.public_key().subject_public_key.data.as_ref() == key.public_key_raw()
        });
        if !matches {
            return Err(FilesError::KeyMismatch { certificate: path, key: key_path }.into());
        }
        let issuer = Issuer::from_ca_cert_der(der, key)?;
        Ok(Self { organization, issuer, not_after, path, pem })
    }

    /// The organization that it issues for.
    #[must_use]
    pub fn organization(&self) -> &Organization {
        &self.organization
    }

    /// Issues `server.pem` and `server.key` for the aggregator that agents dial as `host`.
    ///
    /// # Errors
    /// When `host` is no host name, or a file is in the way or cannot be written.
    pub fn issue_server(&self, host: &str, request: &Request<'_>) -> Result<Issued, CaError> {
        let bad_host = || CaError::Host { host: quoted(host) };
        ServerName::try_from(host).map_err(|_| bad_host())?;
        let alternative = match host.parse::<IpAddr>() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) => SanType::DnsName(host.try_into().map_err(|_| bad_host())?),
        };
        let identity =
            AggregatorIdentity { organization: self.organization.clone(), host: host.to_owned() };
        let holder = Holder {
            file: "server",
            common_name: host,
            uri: identity.to_string(),
            alternative: Some(alternative),
            usage: ExtendedKeyUsagePurpose::ServerAuth,
        };
        self.issue(holder, request)
    }

    /// Issues `agent.pem` and `agent.key` for the agent `agent` of `account`.
    ///
    /// With `organization_agent` it may deliver records of any account.
    ///
    /// # Errors
    /// When a file is in the way or cannot be written.
    pub fn issue_agent(
        &self,
        account: AccountId,
        agent: &AgentName,
        organization_agent: bool,
        request: &Request<'_>,
    ) -> Result<Issued, CaError> {
        let identity = AgentIdentity {
            organization: self.organization.clone(),
            account,
            agent: agent.clone(),
            speaks_for: if organization_agent {
                SpeaksFor::Organization
            } else {
                SpeaksFor::Account(account)
            },
        };
        let holder = Holder {
            file: "agent",
            common_name: agent.as_str(),
            uri: identity.to_string(),
            alternative: None,
            usage: ExtendedKeyUsagePurpose::ClientAuth,
        };
        self.issue(holder, request)
    }

    fn issue(&self, holder: Holder<'_>, request: &Request<'_>) -> Result<Issued, CaError> {
        let Request { out, valid_days, existing, now, entropy } = *request;
        if now > self.not_after {
            return Err(CaError::Expired { path: self.path.clone(), not_after: self.not_after });
        }
        let mut params = CertificateParams::default();
        let mut name = DistinguishedName::new();
        name.push(DnType::OrganizationName, self.organization.as_str());
        if holder.common_name.len() <= COMMON_NAME_BYTES_MAX {
            name.push(DnType::CommonName, holder.common_name);
        }
        params.distinguished_name = name;
        params.subject_alt_names = vec![uri_name(&holder.uri)?];
        params.subject_alt_names.extend(holder.alternative);
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![holder.usage];
        params.use_authority_key_identifier_extension = true;
        let not_after = valid(&mut params, entropy.bytes(), now, valid_days, Some(self.not_after));

        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        let files = Pair {
            certificate: out.join(format!("{}.pem", holder.file)),
            key: out.join(format!("{}.key", holder.file)),
        };
        make_dir(out)?;
        self.copy_ca(&out.join("ca.pem"), existing)?;
        files.write(&certificate.pem(), &key.serialize_pem(), existing)?;
        Ok(files.issued(holder.uri, sha256(certificate.der()), not_after))
    }

    /// Puts our certificate at `path`; another CA's there is in the way.
    fn copy_ca(&self, path: &Path, existing: Existing) -> Result<(), CaError> {
        match std::fs::read(path) {
            Ok(found) if found == self.pem.as_bytes() => Ok(()),
            Ok(_) | Err(_) => write(path, &self.pem, existing),
        }
    }
}

/// What differs between an aggregator's certificate and an agent's.
struct Holder<'a> {
    file: &'static str,
    common_name: &'a str,
    uri: String,
    alternative: Option<SanType>,
    usage: ExtendedKeyUsagePurpose,
}

/// A certificate file and its key file.
struct Pair {
    certificate: PathBuf,
    key: PathBuf,
}

impl Pair {
    fn write(&self, certificate: &str, key: &str, existing: Existing) -> Result<(), CaError> {
        if existing == Existing::Keep {
            for path in [&self.certificate, &self.key] {
                let found = path.try_exists().map_err(|source| failed(path, source))?;
                if found {
                    return Err(CaError::Exists { path: path.clone() });
                }
            }
        }
        write(&self.key, key, existing)?;
        write(&self.certificate, certificate, existing)
    }

    fn issued(self, uri: String, fingerprint: Hash, not_after: Timestamp) -> Issued {
        Issued { certificate: self.certificate, key: self.key, uri, fingerprint, not_after }
    }
}

/// The organization that a CA certificate names, and its last second.
fn organization(der: &CertificateDer<'_>) -> Result<(Organization, Timestamp), String> {
    let (_, certificate) = X509Certificate::from_der(der).map_err(|error| error.to_string())?;
    let uri = only_uri(&certificate).map_err(|error| error.to_string())?;
    let organization = uri.strip_prefix("spiffe://").unwrap_or_default();
    let organization = organization
        .parse::<Organization>()
        .map_err(|error| format!("its URI is {}: {error}", quoted(uri)))?;
    Ok((organization, timestamp(certificate.validity().not_after.timestamp())))
}

fn uri_name(uri: &str) -> Result<SanType, CaError> {
    Ok(SanType::URI(uri.try_into()?))
}

/// Sets serial number and validity; gives the last valid second.
fn valid(
    params: &mut CertificateParams,
    serial: [u8; 16],
    now: Timestamp,
    days: u32,
    latest: Option<Timestamp>,
) -> Timestamp {
    // A serial number is positive, and has 8 to 20 bytes.
    let mut serial = serial;
    if let Some(first) = serial.first_mut() {
        *first = (*first & 0x7f) | 0x40;
    }
    let span = SignedDuration::from_hours(24 * i64::from(days));
    let first = now.saturating_sub(BACKDATE).unwrap_or(Timestamp::MIN);
    let last = now.saturating_add(span).unwrap_or(Timestamp::MAX);
    let last = latest.map_or(last, |latest| last.min(latest));
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    // rcgen speaks `time`, whose own arithmetic spares us the dependency.
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let since_epoch =
        |at: Timestamp| Duration::from_secs(u64::try_from(at.as_second()).unwrap_or(0));
    params.not_before = epoch + since_epoch(first);
    params.not_after = epoch + since_epoch(last);
    timestamp(last.as_second())
}

fn make_dir(dir: &Path) -> Result<(), CaError> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|source| failed(dir, source))
}

/// Writes a file of mode 0600 that is on disk, whole, when this returns.
fn write(path: &Path, text: &str, existing: Existing) -> Result<(), CaError> {
    let (target, replaced) = match existing {
        Existing::Keep => (path.to_owned(), false),
        Existing::Replace => (path.with_extension("new"), true),
    };
    if replaced {
        match std::fs::remove_file(&target) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(failed(&target, error));
            }
            Ok(()) | Err(_) => {}
        }
    }
    let mut file = match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&target) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Err(CaError::Exists { path: target });
        }
        Err(error) => return Err(failed(&target, error)),
    };
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(|source| failed(&target, source))?;
    if replaced {
        std::fs::rename(&target, path).map_err(|source| failed(path, source))?;
    }
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(|source| failed(dir, source))
}

fn failed(path: &Path, source: io::Error) -> CaError {
    CaError::Write { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests;
