//! The URI that a certificate carries, and what it says.
//!
//! Parsing is strict: no percent-encoding, no query, no empty or extra path
//! segment, lower case throughout. Two different texts never mean the same.

use std::fmt;
use std::str::FromStr;

use event::{AccountId, AgentName};
use rustls_pki_types::ServerName;
use serde::{Deserialize, Serialize};

/// The most letters of a foreign text that a message repeats.
const QUOTED_CHARS_MAX: usize = 160;

/// The name of an organization: lower-case labels of letters, digits and `-`, joined by dots.
///
/// It is the trust domain of every certificate: an aggregator and its agents
/// accept nobody of another one.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Organization(String);

/// A text that is no organization name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "an organization name is up to 253 of a-z, 0-9 and '-' in labels joined by '.', each at most 63 long and not \
     beginning or ending with '-'"
)]
pub struct InvalidOrganization;

impl Organization {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The URI of the organization itself, which its CA carries.
    #[must_use]
    pub fn uri(&self) -> String {
        format!("spiffe://{self}")
    }
}

impl FromStr for Organization {
    type Err = InvalidOrganization;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && label
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        let valid = text.len() <= 253 && text.split('.').all(label);
        valid.then(|| Self(text.to_owned())).ok_or(InvalidOrganization)
    }
}

impl fmt::Display for Organization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Organization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whose records an agent may deliver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SpeaksFor {
    /// Those of this one account.
    Account(AccountId),
    /// Those of any account: the agent reads an organization's central bucket.
    Organization,
}

impl SpeaksFor {
    /// Whether a record of `account` may come from such an agent.
    #[must_use]
    pub fn allows(&self, account: AccountId) -> bool {
        match self {
            Self::Account(own) => *own == account,
            Self::Organization => true,
        }
    }
}

/// An agent, as its certificate names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AgentIdentity {
    /// The organization that issued the certificate.
    pub organization: Organization,
    /// The account that the agent runs in.
    pub account: AccountId,
    /// Its name there.
    pub agent: AgentName,
    /// Whose records it may deliver.
    pub speaks_for: SpeaksFor,
}

impl fmt::Display for AgentIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { organization, account, agent, speaks_for } = self;
        let role = match speaks_for {
            SpeaksFor::Account(_) => "agent",
            SpeaksFor::Organization => "organization-agent",
        };
        write!(f, "spiffe://{organization}/account/{account}/{role}/{agent}")
    }
}

impl FromStr for AgentIdentity {
    type Err = IdentityError;

    fn from_str(uri: &str) -> Result<Self, Self::Err> {
        match Name::parse(uri)? {
            Name::Agent(agent) => Ok(agent),
            Name::Aggregator(_) => Err(IdentityError::NotAnAgent { uri: quoted(uri) }),
        }
    }
}

/// An aggregator, as its certificate names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AggregatorIdentity {
    /// The organization that issued the certificate.
    pub organization: Organization,
    /// The DNS name or IP address that agents dial.
    pub host: String,
}

impl fmt::Display for AggregatorIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { organization, host } = self;
        write!(f, "spiffe://{organization}/aggregator/{host}")
    }
}

impl FromStr for AggregatorIdentity {
    type Err = IdentityError;

    fn from_str(uri: &str) -> Result<Self, Self::Err> {
        match Name::parse(uri)? {
            Name::Aggregator(aggregator) => Ok(aggregator),
            Name::Agent(_) => Err(IdentityError::NotAnAggregator { uri: quoted(uri) }),
        }
    }
}

/// Either kind of name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    Agent(AgentIdentity),
    Aggregator(AggregatorIdentity),
}

impl Name {
    pub(crate) fn parse(uri: &str) -> Result<Self, IdentityError> {
        let rest = uri
            .strip_prefix("spiffe://")
            .ok_or_else(|| IdentityError::NotSpiffe { uri: quoted(uri) })?;
        let (organization, path) = rest.split_once('/').unwrap_or((rest, ""));
        let organization = organization
            .parse::<Organization>()
            .map_err(|source| IdentityError::BadOrganization { uri: quoted(uri), source })?;

        let path = path.split('/').collect::<Vec<&str>>();
        match path.as_slice() {
            ["account", account, role @ ("agent" | "organization-agent"), agent] => {
                let account = account.parse::<AccountId>().map_err(|_| {
                    IdentityError::BadAccount { uri: quoted(uri), account: quoted(account) }
                })?;
                let agent = agent
                    .parse::<AgentName>()
                    .map_err(|_| IdentityError::BadAgent { uri: quoted(uri) })?;
                let speaks_for = if *role == "agent" {
                    SpeaksFor::Account(account)
                } else {
                    SpeaksFor::Organization
                };
                Ok(Self::Agent(AgentIdentity { organization, account, agent, speaks_for }))
            }
            ["aggregator", host] if ServerName::try_from(*host).is_ok() => {
                Ok(Self::Aggregator(AggregatorIdentity { organization, host: (*host).to_owned() }))
            }
            _ => Err(IdentityError::WrongPath { uri: quoted(uri) }),
        }
    }
}

/// Why a certificate does not say who its holder is, or says somebody who is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// The bytes are no X.509 certificate that we can read.
    #[error("the certificate cannot be read as X.509: {what}")]
    Unreadable {
        /// What the parser found.
        what: String,
    },
    /// No URI: an ordinary certificate.
    #[error(
        "the certificate has no URI among its alternative names; an orgtrail certificate has exactly one, spiffe://…"
    )]
    NoUri,
    /// More than one URI: which of them would it be?
    #[error(
        "the certificate has {count} URIs among its alternative names; exactly one is accepted"
    )]
    SeveralUris {
        /// How many there are.
        count: usize,
    },
    /// A URI of another kind.
    #[error("the certificate's URI {uri} does not begin with spiffe://")]
    NotSpiffe {
        /// The URI, escaped.
        uri: String,
    },
    /// The part after `spiffe://` names no organization.
    #[error("the certificate's URI {uri} names no valid organization: {source}")]
    BadOrganization {
        /// The URI, escaped.
        uri: String,
        /// The rule.
        #[source]
        source: InvalidOrganization,
    },
    /// The path is neither an agent's nor an aggregator's.
    #[error(
        "the certificate's URI {uri} is neither an agent's (/account/<12 digits>/agent/<name> or \
         /account/<12 digits>/organization-agent/<name>) nor an aggregator's (/aggregator/<host>)"
    )]
    WrongPath {
        /// The URI, escaped.
        uri: String,
    },
    /// An agent's path whose account is no account id.
    #[error("the certificate's URI {uri} has the account {account}; an account id is 12 digits")]
    BadAccount {
        /// The URI, escaped.
        uri: String,
        /// The account in it, escaped.
        account: String,
    },
    /// An agent's path whose last part is no agent name.
    #[error(
        "the certificate's URI {uri} ends in no valid agent name: 1 to 64 of a-z, 0-9, '.', '_' and '-'"
    )]
    BadAgent {
        /// The URI, escaped.
        uri: String,
    },
    /// An aggregator where an agent is expected.
    #[error("the certificate is an aggregator's ({uri}), not an agent's")]
    NotAnAgent {
        /// The URI, escaped.
        uri: String,
    },
    /// An agent where an aggregator is expected.
    #[error("the certificate is an agent's ({uri}), not an aggregator's")]
    NotAnAggregator {
        /// The URI, escaped.
        uri: String,
    },
    /// A valid name of somebody else's organization.
    #[error("the certificate is of organization {theirs} ({uri}), and this is {ours}")]
    ForeignOrganization {
        /// The URI.
        uri: String,
        /// The organization in it.
        theirs: Organization,
        /// Ours.
        ours: Organization,
    },
    /// An operator listed it.
    #[error("the certificate of {uri} is refused: [identity] refuse lists {entry}")]
    Refused {
        /// The URI.
        uri: String,
        /// The entry of the list.
        entry: String,
    },
}

/// A foreign text as messages show it: nothing in it acts on a terminal, and it is not long.
pub(crate) fn quoted(text: &str) -> String {
    let kept = text.chars().take(QUOTED_CHARS_MAX).flat_map(char::escape_debug).collect::<String>();
    if text.chars().count() > QUOTED_CHARS_MAX { format!("{kept}…") } else { kept }
}

#[cfg(test)]
mod tests;
