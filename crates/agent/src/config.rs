//! `agent.toml` as written, and what the code may trust.

use std::collections::BTreeSet;
use std::path::PathBuf;

use seam::Guards;
use serde::Deserialize;

use crate::listen::Address;

/// The configuration of one agent.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where the agent keeps its spool and what its sources remember.
    pub state_dir: PathBuf,
    /// Who takes the events.
    pub aggregator: Aggregator,
    /// Who the agent is.
    pub identity: Identity,
    /// Where events are read.
    #[serde(rename = "source", default)]
    pub sources: Vec<SourceConfig>,
    /// Where applications push events.
    #[serde(rename = "push", default)]
    pub pushes: Vec<PushConfig>,
    /// What an operator can look at.
    #[serde(default)]
    pub operations: OperationsConfig,
    /// How much may be kept while nobody takes it.
    #[serde(default)]
    pub spool: SpoolConfig,
}

/// `[aggregator]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Aggregator {
    /// `host:port` of each aggregator; tried in this order, then again.
    pub endpoints: Vec<String>,
}

/// `[identity]`: PEM files; changed files are taken into use without a restart.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// The certificate authority that aggregator and agent share.
    pub ca: PathBuf,
    /// The agent's certificate.
    pub certificate: PathBuf,
    /// Its private key, readable by the agent alone.
    pub key: PathBuf,
    /// Aggregator certificates not to be talked to: SHA-256 fingerprints or SPIFFE URIs.
    #[serde(default)]
    pub refuse: Vec<String>,
}

/// `[[source]]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceConfig {
    /// The name its cursor is kept under, for ever: another name reads anew.
    pub name: String,
    /// A file, or a directory with everything below it.
    pub path: PathBuf,
    /// How far behind events the path is known to be, in seconds, where that is known.
    #[serde(default)]
    pub known_delay_secs: Option<u64>,
}

/// `[[push]]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PushConfig {
    /// The name of the source that its events come from; no `[[source]]` has it.
    pub name: String,
    /// `127.0.0.1:port` or `unix:/path`: nowhere that others can reach.
    pub listen: String,
}

/// `[operations]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OperationsConfig {
    /// Where `/healthz`, `/readyz` and `/metrics` are answered; nowhere if absent.
    pub listen: Option<String>,
}

/// `[spool]`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SpoolConfig {
    /// What the spool may occupy on disk; when it is full, sources wait.
    pub disk_bytes_max: u64,
    /// The size of its segment files.
    pub segment_bytes: u64,
    /// Which guards hold, in the spool and in forwarding it; in what is shipped, all.
    #[serde(skip)]
    pub guards: Guards,
}

impl Default for SpoolConfig {
    fn default() -> Self {
        let guards = Guards::default();
        Self { disk_bytes_max: 1024 * 1024 * 1024, segment_bytes: 16 * 1024 * 1024, guards }
    }
}

/// A configuration that cannot work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidConfig {
    /// No aggregator is named.
    #[error("aggregator.endpoints is empty; name at least one \"host:port\"")]
    NoEndpoint,
    /// An endpoint is not `host:port`.
    #[error("aggregator.endpoints has {0:?}, which is not \"host:port\"")]
    Endpoint(String),
    /// No source is named, so there is nothing to do.
    #[error("neither a [[source]] nor a [[push]] is configured")]
    NoSource,
    /// A source's name cannot be kept in a cursor.
    #[error("source name {0:?} is not 1 to 64 of a-z, 0-9, '.', '_' and '-'")]
    SourceName(String),
    /// Two sources share a name.
    #[error("two sources are named {0:?}")]
    TwoSources(String),
    /// An address cannot be listened on.
    #[error("{setting}: {why}")]
    Listen {
        /// The setting.
        setting: String,
        /// What is wrong with it.
        why: String,
    },
    /// The spool's sizes do not fit each other.
    #[error(
        "spool.disk_bytes_max ({max}) must be at least four times spool.segment_bytes ({segment}), which is at least 65536"
    )]
    Spool {
        /// `disk_bytes_max`
        max: u64,
        /// `segment_bytes`
        segment: u64,
    },
}

impl Config {
    /// Checks that the agent can work with it.
    ///
    /// # Errors
    /// The first setting that cannot be.
    pub fn check(&self) -> Result<(), InvalidConfig> {
        if self.aggregator.endpoints.is_empty() {
            return Err(InvalidConfig::NoEndpoint);
        }
        for endpoint in &self.aggregator.endpoints {
            let valid = endpoint.rsplit_once(':').is_some_and(|(host, port)| {
                !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port != 0)
            });
            if !valid {
                return Err(InvalidConfig::Endpoint(endpoint.clone()));
            }
        }
        if self.sources.is_empty() && self.pushes.is_empty() {
            return Err(InvalidConfig::NoSource);
        }
        let mut names = BTreeSet::new();
        let sources = self.sources.iter().map(|source| &source.name);
        for name in sources.chain(self.pushes.iter().map(|push| &push.name)) {
            if name.parse::<event::AgentName>().is_err() {
                return Err(InvalidConfig::SourceName(name.clone()));
            }
            if !names.insert(name) {
                return Err(InvalidConfig::TwoSources(name.clone()));
            }
        }
        let pushes =
            self.pushes.iter().map(|push| (format!("push {:?} listen", push.name), &push.listen));
        let operations = self.operations.listen.iter();
        let operations = operations.map(|listen| ("operations.listen".to_owned(), listen));
        for (setting, listen) in pushes.chain(operations) {
            if let Err(why) = listen.parse::<Address>() {
                return Err(InvalidConfig::Listen { setting, why });
            }
        }
        let SpoolConfig { disk_bytes_max: max, segment_bytes: segment, .. } = self.spool;
        if segment < 64 * 1024 || max / 4 < segment {
            return Err(InvalidConfig::Spool { max, segment });
        }
        Ok(())
    }
}
