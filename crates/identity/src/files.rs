//! The three PEM files of one side: CA, own certificate, own key.
//!
//! Reading and judging are apart, so that a reload can tell "unchanged" from
//! "changed and good" from "changed and bad" by the contents alone.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use integrity::{Hash, sha256};
use rustls::RootCertStore;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::name::IdentityError;
use crate::peer::{Certificate, certificate};

/// The most bytes of one PEM file; more is no certificate.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Where one side's PEM files are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// The CA certificates that the other side's must come from, one or more.
    pub ca: PathBuf,
    /// Our certificate, followed by intermediate ones if there are any.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

impl Files {
    /// `ca.pem`, `<name>.pem` and `<name>.key` in one directory, as [`crate::ca`] writes them.
    #[must_use]
    pub fn in_dir(dir: &Path, name: &str) -> Self {
        Self {
            ca: dir.join("ca.pem"),
            certificate: dir.join(format!("{name}.pem")),
            key: dir.join(format!("{name}.key")),
        }
    }
}

/// Why PEM files are of no use as they are. A person has to change them.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// A file cannot be read.
    #[error("read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The reason.
        #[source]
        source: io::Error,
    },
    /// A file holds no PEM object of the kind it is for.
    #[error("{} holds no {kind} in PEM form{detail}", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        kind: &'static str,
        /// What the parser found, if anything.
        detail: String,
    },
    /// A certificate in the CA file cannot be a trust anchor.
    #[error("{} holds a certificate that cannot serve as a CA: {what}", path.display())]
    Ca {
        /// The file.
        path: PathBuf,
        /// What rustls found.
        what: String,
    },
    /// Our own certificate does not name an agent or an aggregator.
    #[error("{}: {source}", path.display())]
    Identity {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: IdentityError,
    },
    /// The key belongs to another certificate: often a rotation half done.
    #[error("{} is not the key of {}", key.display(), certificate.display())]
    KeyMismatch {
        /// The certificate file.
        certificate: PathBuf,
        /// The key file.
        key: PathBuf,
    },
    /// A key that rustls cannot use.
    #[error("{} cannot be used: {what}", path.display())]
    Key {
        /// The key file.
        path: PathBuf,
        /// What rustls found.
        what: String,
    },
}

/// The bytes of the three files, or why each could not be read.
pub(crate) struct Contents {
    ca: io::Result<Vec<u8>>,
    certificate: io::Result<Vec<u8>>,
    key: io::Result<Vec<u8>>,
}

/// The three files parsed.
pub(crate) struct Material {
    pub(crate) files: Files,
    pub(crate) roots: RootCertStore,
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
    /// What our own certificate says.
    pub(crate) own: Certificate,
}

impl Contents {
    pub(crate) fn read(files: &Files) -> Self {
        Self { ca: read(&files.ca), certificate: read(&files.certificate), key: read(&files.key) }
    }

    /// Equal for equal contents, and for failures of the same kind.
    pub(crate) fn digest(&self) -> Hash {
        let digests = [&self.ca, &self.certificate, &self.key].map(|contents| match contents {
            Ok(bytes) => sha256(bytes).0,
            Err(error) => sha256(error.kind().to_string().as_bytes()).0,
        });
        sha256(digests.as_flattened())
    }

    pub(crate) fn parse(self, files: &Files) -> Result<Material, FilesError> {
        let ca = readable(self.ca, &files.ca)?;
        let chain = readable(self.certificate, &files.certificate)?;
        let key = readable(self.key, &files.key)?;

        let mut roots = RootCertStore::empty();
        for root in certificates(&ca, &files.ca)? {
            roots.add(root).map_err(|error| FilesError::Ca {
                path: files.ca.clone(),
                what: error.to_string(),
            })?;
        }
        let chain = certificates(&chain, &files.certificate)?;
        let key = PrivateKeyDer::from_pem_slice(&key).map_err(|_| FilesError::Pem {
            path: files.key.clone(),
            kind: "private key",
            detail: String::new(),
        })?;

        let own = chain.first().map(|leaf| certificate(leaf)).unwrap_or(Err(IdentityError::NoUri));
        let own =
            own.map_err(|source| FilesError::Identity { path: files.certificate.clone(), source })?;
        Ok(Material { files: files.clone(), roots, chain, key, own })
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).is_ok_and(|len| len > FILE_BYTES_MAX) {
        return Err(io::Error::other(format!("more than {FILE_BYTES_MAX} bytes")));
    }
    Ok(bytes)
}

fn readable(contents: io::Result<Vec<u8>>, path: &Path) -> Result<Vec<u8>, FilesError> {
    contents.map_err(|source| FilesError::Read { path: path.to_owned(), source })
}

/// All certificates of a PEM file, at least one.
pub(crate) fn certificates(
    pem: &[u8],
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, FilesError> {
    let missing = |detail| FilesError::Pem { path: path.to_owned(), kind: "certificate", detail };
    let found = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<CertificateDer<'static>>, rustls_pki_types::pem::Error>>()
        .map_err(|error| missing(format!(": {error}")))?;
    if found.is_empty() { Err(missing(String::new())) } else { Ok(found) }
}
