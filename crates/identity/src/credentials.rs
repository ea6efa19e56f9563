//! A side's own certificate while the process runs: current, and judged before use.
//!
//! The owner calls [`Credentials::reload_if_changed`] every so often; each new
//! connection takes [`Credentials::config`]. Connections that are open keep
//! what they began with. A new certificate takes effect only if it is whole,
//! valid now, and names the same holder: an agent's stream hashes and an
//! aggregator's organization are bound to it.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use integrity::Hash;
use jiff::Timestamp;
use rustls::{ClientConfig, ServerConfig};
use seam::Clock;

use crate::config::{client, server};
use crate::files::{Contents, Files, FilesError, Material};
use crate::name::{AggregatorIdentity, Name};
use crate::peer::{Certificate, Peer};
use crate::refuse::Refuse;

/// How long our own certificate still serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validity {
    /// For more than a third of its time.
    Good,
    /// For less: time to put a new one in place.
    LastThird {
        /// Its last second.
        until: Timestamp,
    },
    /// No longer: every peer refuses it.
    Expired {
        /// Its last second.
        since: Timestamp,
    },
}

/// Why changed files were not taken. What was in use stays in use.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// The files are unusable as they are.
    #[error(transparent)]
    Files(#[from] FilesError),
    /// The new certificate is somebody else's.
    #[error("{} is now the certificate of {theirs}, and this is {ours}: restart to become another", path.display())]
    OtherHolder {
        /// The certificate file.
        path: PathBuf,
        /// The URI in use.
        ours: String,
        /// The URI in the file.
        theirs: String,
    },
    /// The new certificate has expired or is not valid yet.
    #[error("the new certificate {} is valid from {not_before} to {not_after}, not now", path.display())]
    NotNow {
        /// The certificate file.
        path: PathBuf,
        /// Its first valid second.
        not_before: Timestamp,
        /// Its last one.
        not_after: Timestamp,
    },
}

/// One side's certificate, key and CA, and the rustls configuration made of them.
///
/// `C` is [`ServerConfig`] for an aggregator and [`ClientConfig`] for an agent.
pub struct Credentials<C> {
    files: Files,
    clock: Clock,
    refuse: Arc<ArcSwap<Refuse>>,
    build: Build<C>,
    current: ArcSwap<Current<C>>,
    looked: Mutex<Looked>,
}

/// Makes one side's configuration of its files.
type Build<C> = fn(&Material, &Arc<ArcSwap<Refuse>>, &Clock) -> Result<C, FilesError>;

struct Current<C> {
    config: Arc<C>,
    own: Certificate,
}

/// What the last look at the files found.
struct Looked {
    digest: Hash,
    /// Bad files wait for a second look: three files do not change at one instant.
    unreported: bool,
}

impl Credentials<ServerConfig> {
    /// Reads an aggregator's files.
    ///
    /// An expired certificate is read too; [`Credentials::validity`] says so.
    ///
    /// # Errors
    /// When the files are unusable, or not an aggregator's.
    pub fn for_aggregator(files: Files, refuse: Refuse, clock: Clock) -> Result<Self, FilesError> {
        Self::load(files, refuse, clock, server)
    }

    /// The aggregator that our certificate names.
    #[must_use]
    pub fn identity(&self) -> AggregatorIdentity {
        match &self.current.load().own.name {
            Name::Aggregator(own) => own.clone(),
            Name::Agent(_) => {
                unreachable!("a server configuration is only built for an aggregator")
            }
        }
    }
}

impl Credentials<ClientConfig> {
    /// Reads an agent's files. Nobody is refused until [`Credentials::set_refuse`].
    ///
    /// An expired certificate is read too; [`Credentials::validity`] says so.
    ///
    /// # Errors
    /// When the files are unusable, or not an agent's.
    pub fn for_agent(files: Files, clock: Clock) -> Result<Self, FilesError> {
        Self::load(files, Refuse::nobody(), clock, client)
    }

    /// Why a connection to the holder of `aggregator` must end now, if it must.
    #[must_use]
    pub fn doubt(&self, aggregator: &Certificate) -> Option<String> {
        if let Some(refused) = self.refuse.load().refuses_certificate(aggregator) {
            return Some(refused.to_string());
        }
        let (uri, at) = (aggregator.uri(), aggregator.not_after);
        aggregator
            .is_expired(self.clock.now())
            .then(|| format!("the certificate of {uri} expired at {at}"))
    }

    /// What our certificate says, as the aggregator will see it.
    #[must_use]
    pub fn peer(&self) -> Peer {
        let Certificate { name, fingerprint, not_before, not_after } =
            self.current.load().own.clone();
        match name {
            Name::Agent(identity) => Peer { identity, fingerprint, not_before, not_after },
            Name::Aggregator(_) => {
                unreachable!("a client configuration is only built for an agent")
            }
        }
    }
}

impl<C> Credentials<C> {
    fn load(
        files: Files,
        refuse: Refuse,
        clock: Clock,
        build: Build<C>,
    ) -> Result<Self, FilesError> {
        let refuse = Arc::new(ArcSwap::from_pointee(refuse));
        let contents = Contents::read(&files);
        let digest = contents.digest();
        let material = contents.parse(&files)?;
        let config = Arc::new(build(&material, &refuse, &clock)?);
        let current = ArcSwap::from_pointee(Current { config, own: material.own });
        let looked = Mutex::new(Looked { digest, unreported: false });
        Ok(Self { files, clock, refuse, build, current, looked })
    }

    /// The configuration for the next connection.
    #[must_use]
    pub fn config(&self) -> Arc<C> {
        Arc::clone(&self.current.load().config)
    }

    /// The list in force, for connections already open.
    #[must_use]
    pub fn refuse(&self) -> Arc<Refuse> {
        self.refuse.load_full()
    }

    /// Puts another list in force, for every handshake from now on.
    pub fn set_refuse(&self, refuse: Refuse) {
        self.refuse.store(Arc::new(refuse));
    }

    /// What our own certificate says.
    #[must_use]
    pub fn certificate(&self) -> Certificate {
        self.current.load().own.clone()
    }

    /// The files that are looked at.
    #[must_use]
    pub fn files(&self) -> &Files {
        &self.files
    }

    /// How long our own certificate still serves at `now`.
    #[must_use]
    pub fn validity(&self, now: Timestamp) -> Validity {
        let current = self.current.load();
        validity(&current.own, now)
    }

    /// Takes changed files into use; true if there were any.
    ///
    /// Reads three small files: call it from where blocking is allowed.
    ///
    /// # Errors
    /// When changed files are no good, once for each change, at the second look
    /// that finds them so. The configuration stays what it was.
    pub fn reload_if_changed(&self) -> Result<bool, CredentialsError> {
        let contents = Contents::read(&self.files);
        let digest = contents.digest();
        let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        let seen_before = looked.digest == digest;
        if seen_before && !looked.unreported {
            return Ok(false);
        }
        looked.digest = digest;

        match self.judge(contents) {
            Ok(current) => {
                looked.unreported = false;
                self.current.store(Arc::new(current));
                Ok(true)
            }
            Err(error) if seen_before => {
                looked.unreported = false;
                Err(error)
            }
            Err(_) => {
                looked.unreported = true;
                Ok(false)
            }
        }
    }

    fn judge(&self, contents: Contents) -> Result<Current<C>, CredentialsError> {
        let material = contents.parse(&self.files)?;
        let config = Arc::new((self.build)(&material, &self.refuse, &self.clock)?);
        let own = material.own;
        let path = || self.files.certificate.clone();

        let (ours, theirs) = (self.current.load().own.name.clone(), &own.name);
        let same_holder = match (&ours, theirs) {
            (Name::Aggregator(ours), Name::Aggregator(theirs)) => {
                ours.organization == theirs.organization
            }
            (ours, theirs) => ours == theirs,
        };
        if !same_holder {
            let ours = self.current.load().own.uri();
            return Err(CredentialsError::OtherHolder { path: path(), ours, theirs: own.uri() });
        }
        let Certificate { not_before, not_after, .. } = own;
        let now = self.clock.now();
        if now < not_before || now > not_after {
            return Err(CredentialsError::NotNow { path: path(), not_before, not_after });
        }
        Ok(Current { config, own })
    }
}

fn validity(own: &Certificate, now: Timestamp) -> Validity {
    let (first, last, now) =
        (own.not_before.as_second(), own.not_after.as_second(), now.as_second());
    let left = last.saturating_sub(now);
    if left < 0 {
        return Validity::Expired { since: own.not_after };
    }
    if left < last.saturating_sub(first) / 3 {
        return Validity::LastThird { until: own.not_after };
    }
    Validity::Good
}

impl<C> std::fmt::Debug for Credentials<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Credentials({})", self.files.certificate.display())
    }
}

#[cfg(test)]
mod tests;
