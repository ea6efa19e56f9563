//! The demo's agents: who they are, and running them to their end.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use agent::{Agent, Connect, Inlet, Owner, SourceConfig, SpoolConfig, Vitals, file_sources};
use anyhow::Context;
use event::{AccountId, AgentName};
use identity::SpeaksFor;
use jiff::Timestamp;
use sample::{Grouping, Incident, Organization};
use seam::{Blocking, Clock, Disk, Entropy, Gate, LocalDisk};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::ground::Ground;

/// The account that an agent of somebody's own files runs in: none is known.
const FROM_ACCOUNT: AccountId = AccountId::UNKNOWN;

/// All agents of a demo.
pub(super) struct Party {
    pub(super) members: Vec<Member>,
    /// How many events they will read, if that is known.
    pub(super) events: Option<u64>,
}

/// One agent.
pub(super) struct Member {
    pub(super) account: AccountId,
    pub(super) agent: AgentName,
    /// Whether it may deliver any account's records.
    pub(super) organization: bool,
    path: PathBuf,
    /// How far behind events what lies there is, if that is known.
    known_delay_secs: Option<u64>,
}

fn name(text: &str) -> AgentName {
    text.parse().expect("the demo's agent names are valid")
}

impl Party {
    /// One organization agent that reads what is at `path`.
    pub(super) fn organization(path: &Path) -> Self {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let member = Member {
            account: FROM_ACCOUNT,
            agent: name("central"),
            organization: true,
            path,
            known_delay_secs: None,
        };
        Self { members: vec![member], events: None }
    }

    /// An agent in every account of the sample, whose files are written first.
    pub(super) fn sample(
        organization: &Organization,
        ground: &Ground,
        events: u64,
        end: Timestamp,
    ) -> anyhow::Result<(Self, Incident)> {
        let logs = ground.logs();
        organization
            .write_log_files(&logs, events, end, Grouping::default(), |_| {})
            .with_context(|| format!("write sample logs to {}", logs.display()))?;
        let below = logs.join("AWSLogs").join(organization.id());
        let members = organization
            .accounts()
            .into_iter()
            .map(|account| Member {
                account,
                agent: name("main"),
                organization: false,
                path: below.join(account.to_string()),
                // All of it is written before an agent begins.
                known_delay_secs: Some(0),
            })
            // With very few events an account may have none, and then no folder.
            .filter(|member| member.path.is_dir())
            .collect();
        Ok((Self { members, events: Some(events) }, organization.incident()))
    }

    /// Runs every agent until all it read is acked.
    pub(super) async fn run(
        &self,
        ground: &Ground,
        aggregator: SocketAddr,
        read: &Arc<AtomicU64>,
        stop: CancellationToken,
    ) -> anyhow::Result<()> {
        let mut tasks = JoinSet::new();
        for member in &self.members {
            let agent = member.agent(ground, aggregator, read)?;
            let stop = stop.clone();
            let who = format!("{}/{}", member.account, member.agent);
            tasks.spawn(async move {
                agent.run(true, stop).await.with_context(|| format!("run agent {who}"))
            });
        }
        while let Some(ended) = tasks.join_next().await {
            match ended {
                Ok(result) => result?,
                Err(error) => std::panic::resume_unwind(error.into_panic()),
            }
        }
        Ok(())
    }
}

impl Member {
    fn agent(
        &self,
        ground: &Ground,
        aggregator: SocketAddr,
        read: &Arc<AtomicU64>,
    ) -> anyhow::Result<Agent> {
        let state_dir = ground.state_dir(self);
        let disk: Arc<dyn Disk> = Arc::new(LocalDisk);
        let clock = Clock::system();
        let source = SourceConfig {
            name: "logs".to_owned(),
            path: self.path.clone(),
            known_delay_secs: self.known_delay_secs,
        };
        let speaks_for = if self.organization {
            SpeaksFor::Organization
        } else {
            SpeaksFor::Account(self.account)
        };
        let credentials = ground.agent_credentials(self)?;
        Ok(Agent {
            sources: file_sources(
                vec![source],
                state_dir.clone(),
                speaks_for,
                true,
                (Arc::clone(&disk), clock.clone(), Blocking::Pool),
            ),
            state_dir,
            owner: Owner { account: self.account.to_string(), agent: self.agent.to_string() },
            spool: SpoolConfig::default(),
            connect: Connect::grpc(vec![aggregator.to_string()], credentials),
            disk,
            clock,
            entropy: Entropy::system(),
            blocking: Blocking::Pool,
            gate: Gate::default(),
            label: "orgtrail demo".to_owned(),
            read: Arc::clone(read),
            pushes: Vec::new(),
            inlet: Inlet::default(),
            vitals: Vitals::default(),
        })
    }
}
