//! The demo's directory: what is in it, and how it is made anew.
//!
//! ```text
//! <dir>/.orgtrail-demo      says that a demo made it, so that the next may remake it
//! <dir>/ca/                 the certificate authority and what it issued
//! <dir>/logs/               the synthetic organization's CloudTrail files
//! <dir>/agents/<account>/   each agent's state
//! <dir>/store/              the store: journal, table
//! ```

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use identity::ca::{self, Authority, Existing, Request};
use identity::{Credentials, Files, Organization, Refuse};
use jiff::Timestamp;
use rustls::{ClientConfig, ServerConfig};
use seam::{Clock, Entropy};

use super::party::{Member, Party};

/// The organization's name in the demo's certificates.
const ORGANIZATION: &str = "demo";

/// The seed of the synthetic organization; the same one gives the same events.
const SEED: u64 = 20_261_120;

const MARK: &str = ".orgtrail-demo";

/// The directory of one demo.
pub(super) struct Ground {
    pub(super) dir: PathBuf,
}

/// The synthetic organization.
pub(super) fn organization() -> sample::Organization {
    sample::Organization::new(SEED)
}

/// The sample ends with the last whole day, so that a run is repeatable all day.
pub(super) fn end_of_sample(now: Timestamp) -> Timestamp {
    let midnight = now.as_second() - now.as_second().rem_euclid(86_400);
    Timestamp::from_second(midnight).unwrap_or(now)
}

fn request<'a>(out: &'a Path, clock: &Clock, entropy: &'a Entropy) -> Request<'a> {
    let (valid_days, existing) = (ca::VALID_DAYS, Existing::Keep);
    Request { out, valid_days, existing, now: clock.now(), entropy }
}

impl Ground {
    /// Makes the directory; one that an earlier demo made is emptied first.
    pub(super) fn prepare(dir: &Path) -> anyhow::Result<Self> {
        let shown = dir.display();
        let mark = dir.join(MARK);
        if dir.is_dir() {
            let mut entries = std::fs::read_dir(dir).with_context(|| format!("read {shown}"))?;
            if mark.is_file() {
                for part in ["ca", "logs", "agents", "store"] {
                    match std::fs::remove_dir_all(dir.join(part)) {
                        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                            return Err(error).with_context(|| format!("empty {shown}/{part}"));
                        }
                        _ => {}
                    }
                }
            } else if entries.next().is_some() {
                bail!("{shown} is not empty and no demo made it; choose another --dir");
            }
        }
        std::fs::create_dir_all(dir).with_context(|| format!("make {shown}"))?;
        std::fs::write(&mark, "made by orgtrail demo; the next demo empties this directory\n")
            .with_context(|| format!("write {}", mark.display()))?;
        let dir = dir.canonicalize().with_context(|| format!("resolve {shown}"))?;
        Ok(Self { dir })
    }

    pub(super) fn logs(&self) -> PathBuf {
        self.dir.join("logs")
    }

    pub(super) fn store_url(&self) -> String {
        url::Url::from_directory_path(self.dir.join("store"))
            .map(|url| url.to_string())
            .unwrap_or_default()
    }

    pub(super) fn state_dir(&self, member: &Member) -> PathBuf {
        self.dir.join("agents").join(member.account.to_string())
    }

    /// Makes the CA, and a certificate for the aggregator and each agent.
    pub(super) fn issue_certificates(&self, party: &Party) -> anyhow::Result<()> {
        let (clock, entropy) = (Clock::system(), Entropy::system());
        let organization: Organization = ORGANIZATION.parse().context("name the organization")?;
        let dir = self.dir.join("ca");
        ca::init(&dir, &organization, clock.now(), &entropy).context("make a CA")?;
        let authority = Authority::open(&dir).context("open the CA")?;
        let out = dir.join("issued").join("aggregator");
        authority
            .issue_server("127.0.0.1", &request(&out, &clock, &entropy))
            .context("issue the aggregator's certificate")?;
        for member in &party.members {
            let out = dir.join("issued").join(member.account.to_string());
            authority
                .issue_agent(
                    member.account,
                    &member.agent,
                    member.organization,
                    &request(&out, &clock, &entropy),
                )
                .context("issue an agent's certificate")?;
        }
        Ok(())
    }

    pub(super) fn aggregator_credentials(&self) -> anyhow::Result<Arc<Credentials<ServerConfig>>> {
        let files = self.files("aggregator", "server");
        let credentials = Credentials::for_aggregator(files, Refuse::nobody(), Clock::system())
            .context("load the aggregator's certificate")?;
        Ok(Arc::new(credentials))
    }

    pub(super) fn agent_credentials(
        &self,
        member: &Member,
    ) -> anyhow::Result<Arc<Credentials<ClientConfig>>> {
        let files = self.files(&member.account.to_string(), "agent");
        let credentials = Credentials::for_agent(files, Clock::system())
            .context("load an agent's certificate")?;
        Ok(Arc::new(credentials))
    }

    fn files(&self, holder: &str, name: &str) -> Files {
        let dir = self.dir.join("ca").join("issued").join(holder);
        Files {
            ca: self.dir.join("ca").join("ca.pem"),
            certificate: dir.join(format!("{name}.pem")),
            key: dir.join(format!("{name}.key")),
        }
    }
}
