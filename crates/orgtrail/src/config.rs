//! `orgtrail.toml` as written.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Context;
use event::{AccountId, AgentName, Region};
use identity::{Files, Refuse};
use serde::Deserialize;
use table::Expected;

use crate::exit::Misconfigured;

/// The configuration of `orgtrail serve`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) store: StoreConfig,
    pub(crate) identity: IdentityConfig,
    #[serde(default)]
    pub(crate) aggregator: aggregator::Config,
    #[serde(default)]
    pub(crate) journal: journal::Config,
    #[serde(default)]
    pub(crate) table: table::Config,
    #[serde(default)]
    pub(crate) organization: Organization,
    #[serde(default)]
    pub(crate) operations: Operations,
}

/// `[organization]`: what answers have to be complete of. Nothing need be named.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Organization {
    /// Accounts that must be heard of.
    pub(crate) accounts: BTreeSet<AccountId>,
    /// Regions that each must have shown.
    pub(crate) regions: BTreeSet<String>,
    /// Agents that are turned off for good, as `account/name`.
    pub(crate) retired_agents: BTreeSet<String>,
}

impl Organization {
    /// What passes pin of it.
    fn expected(&self) -> anyhow::Result<Expected> {
        for region in &self.regions {
            region
                .parse::<Region>()
                .with_context(|| format!("organization.regions has {region:?}"))?;
        }
        for agent in &self.retired_agents {
            let parts = agent.split_once('/');
            let is_agent = parts.is_some_and(|(account, name)| {
                account.parse::<AccountId>().is_ok() && name.parse::<AgentName>().is_ok()
            });
            anyhow::ensure!(
                is_agent,
                "organization.retired_agents has {agent:?}: write ACCOUNT/NAME, as orgtrail status does"
            );
        }
        Ok(Expected {
            accounts: self.accounts.clone(),
            regions: self.regions.clone(),
            retired_agents: self.retired_agents.clone(),
        })
    }
}

/// `[store]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StoreConfig {
    /// `file:///…`, `s3://…`, `gs://…` or `az://…`.
    pub(crate) url: String,
}

/// `[identity]`: PEM files; changed files are taken into use without a restart.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct IdentityConfig {
    pub(crate) ca: PathBuf,
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    /// Certificates not to be listened to: SHA-256 fingerprints or SPIFFE URIs.
    #[serde(default)]
    pub(crate) refuse: Vec<String>,
}

/// `[operations]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Operations {
    /// Where `/healthz`, `/readyz` and `/metrics` are answered.
    pub(crate) listen: String,
}

impl Default for Operations {
    fn default() -> Self {
        Self { listen: "127.0.0.1:9317".to_owned() }
    }
}

impl Config {
    /// Reads and checks a file. Paths in it are relative to its directory.
    pub(crate) fn load(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("read {}", path.display()))
            .context(Misconfigured)?;
        let mut config: Self = toml::from_str(&text)
            .with_context(|| format!("read {}", path.display()))
            .context(Misconfigured)?;
        config
            .aggregator
            .check()
            .with_context(|| format!("check {}", path.display()))
            .context(Misconfigured)?;
        let expected = config.organization.expected();
        let expected = expected.with_context(|| format!("check {}", path.display()));
        config.table.expected = Some(expected.context(Misconfigured)?);
        let base = path.parent().unwrap_or(Path::new("")).to_owned();
        for file in
            [&mut config.identity.ca, &mut config.identity.certificate, &mut config.identity.key]
        {
            *file = base.join(&*file);
        }
        Ok(config)
    }
}

impl IdentityConfig {
    pub(crate) fn files(&self) -> Files {
        Files { ca: self.ca.clone(), certificate: self.certificate.clone(), key: self.key.clone() }
    }

    pub(crate) fn refuse(&self) -> anyhow::Result<Refuse> {
        Refuse::parse(self.refuse.iter().map(String::as_str))
            .context("read identity.refuse")
            .context(Misconfigured)
    }
}
