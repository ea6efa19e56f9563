//! The certificates and names that an operator no longer accepts.
//!
//! `[identity] refuse` lists SHA-256 fingerprints (one certificate) and SPIFFE
//! URIs (every certificate of that name). It is what revocation is here: no
//! list to fetch, no responder that must be up.

use std::collections::BTreeSet;

use integrity::Hash;

use crate::name::{IdentityError, Name, quoted};
use crate::peer::{Certificate, Peer};

/// What `[identity] refuse` lists.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refuse {
    fingerprints: BTreeSet<Hash>,
    uris: BTreeSet<String>,
}

/// An entry that could never refuse anyone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "[identity] refuse lists {entry}, which is neither a certificate's SHA-256 fingerprint (64 hexadecimal digits, \
     colons allowed) nor the spiffe:// URI of an agent or aggregator"
)]
pub struct InvalidRefuse {
    /// The entry, escaped.
    pub entry: String,
}

impl Refuse {
    /// Refuses nobody.
    #[must_use]
    pub fn nobody() -> Self {
        Self::default()
    }

    /// Reads the entries as written in a configuration.
    ///
    /// # Errors
    /// At the first entry that is neither a fingerprint nor a valid URI: a
    /// refusal that silently does nothing would be worse than none.
    pub fn parse<'a>(entries: impl IntoIterator<Item = &'a str>) -> Result<Self, InvalidRefuse> {
        let mut refuse = Self::default();
        for entry in entries {
            let digits = entry.replace(':', "");
            if let Ok(fingerprint) = digits.parse::<Hash>() {
                refuse.fingerprints.insert(fingerprint);
            } else if Name::parse(entry).is_ok() {
                refuse.uris.insert(entry.to_owned());
            } else {
                return Err(InvalidRefuse { entry: quoted(entry) });
            }
        }
        Ok(refuse)
    }

    /// Whether a session with `peer` must end, and by which entry.
    #[must_use]
    pub fn refuses(&self, peer: &Peer) -> Option<IdentityError> {
        self.entry(peer.fingerprint, peer.identity.to_string())
    }

    /// Whether a connection to the holder of `certificate` must end, and by which entry.
    #[must_use]
    pub fn refuses_certificate(&self, certificate: &Certificate) -> Option<IdentityError> {
        self.entry(certificate.fingerprint, certificate.uri())
    }

    fn entry(&self, fingerprint: Hash, uri: String) -> Option<IdentityError> {
        if self.fingerprints.contains(&fingerprint) {
            return Some(IdentityError::Refused { uri, entry: fingerprint.to_string() });
        }
        self.uris.contains(&uri).then(|| IdentityError::Refused { entry: uri.clone(), uri })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent(name: &str, fingerprint: u8) -> Peer {
        Peer {
            identity: format!("spiffe://corp/account/000000000042/agent/{name}")
                .parse()
                .expect("an agent's URI"),
            fingerprint: Hash([fingerprint; 32]),
            not_before: jiff::Timestamp::UNIX_EPOCH,
            not_after: jiff::Timestamp::MAX,
        }
    }

    #[test]
    fn one_certificate_or_every_one_of_a_name_is_refused() {
        let colons = vec!["AB"; 32].join(":");
        let entries = [colons.as_str(), "spiffe://corp/account/000000000042/agent/stolen"];
        let refuse = Refuse::parse(entries).expect("valid entries");

        assert!(refuse.refuses(&agent("main", 0xab)).is_some());
        assert!(refuse.refuses(&agent("stolen", 1)).is_some());
        assert!(refuse.refuses(&agent("stolen", 2)).is_some());
        assert!(refuse.refuses(&agent("main", 1)).is_none());
        assert!(Refuse::nobody().refuses(&agent("main", 0xab)).is_none());
    }

    #[test]
    fn an_entry_that_refuses_nobody_is_an_error() {
        for entry in ["", "abcd", "spiffe://corp/account/42/agent/main", "main", "spiffe://corp"] {
            assert!(Refuse::parse([entry]).is_err(), "{entry}");
        }
    }
}
