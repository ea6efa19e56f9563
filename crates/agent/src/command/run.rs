//! `orgtrail-agent run`

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use identity::{Credentials, Files, Refuse, Validity};
use rustls::ClientConfig;
use seam::{Blocking, Clock, Disk, Entropy, Gate, LocalDisk};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use agent::{Address, Agent, Config, Connect, Face, Inlet, Listener, Owner, Vitals, file_sources};

/// How often changed certificate files are looked for.
const RELOAD_EVERY: Duration = Duration::from_secs(2);

/// How often an ageing certificate is warned of.
const WARN_EVERY: Duration = Duration::from_secs(3_600);

/// Threads for disk, splitting and compression: each may keep what it once used.
const BLOCKING_THREADS_MAX: usize = 3;

/// Deliver events.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The configuration file.
    #[arg(long, env = "ORGTRAIL_AGENT_CONFIG", default_value = "/etc/orgtrail/agent.toml")]
    config: PathBuf,
    /// Read every source to its end, wait for the last ack, and exit.
    #[arg(long)]
    once: bool,
    /// Only check the configuration and the certificate.
    #[arg(long)]
    check: bool,
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let config = super::config(&args.config)?;
    let clock = Clock::system();
    let paths = Files {
        ca: config.identity.ca.clone(),
        certificate: config.identity.certificate.clone(),
        key: config.identity.key.clone(),
    };
    let credentials = Credentials::for_agent(paths, clock.clone())
        .context("load certificate")
        .context(super::Misconfigured)?;
    credentials.set_refuse(refuse(&config)?);
    let credentials = Arc::new(credentials);
    let peer = credentials.peer();
    if args.check {
        eprintln!("{}: ok; this agent is {}", args.config.display(), peer.identity);
        return Ok(());
    }
    let disk: Arc<dyn Disk> = Arc::new(LocalDisk);
    let agent = Agent {
        state_dir: config.state_dir.clone(),
        owner: Owner {
            account: peer.identity.account.to_string(),
            agent: peer.identity.agent.to_string(),
        },
        spool: config.spool,
        sources: file_sources(
            config.sources.clone(),
            config.state_dir.clone(),
            peer.identity.speaks_for,
            args.once,
            (Arc::clone(&disk), clock.clone(), Blocking::Pool),
        ),
        connect: Connect::grpc(config.aggregator.endpoints.clone(), Arc::clone(&credentials)),
        disk,
        clock: clock.clone(),
        entropy: Entropy::system(),
        blocking: Blocking::Pool,
        gate: Gate::default(),
        label: label(),
        read: Arc::default(),
        pushes: config.pushes.iter().map(|push| push.name.clone()).collect(),
        inlet: Inlet::default(),
        vitals: Vitals::default(),
    };
    tracing::info!(agent = %peer.identity, state_dir = %config.state_dir.display(), "starting");
    // Two cores are plenty: one compresses, one reads.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .enable_all()
        .build()
        .context("start runtime")?;
    runtime.block_on(async {
        let stop = CancellationToken::new();
        let mut listening = JoinSet::new();
        for listener in listeners(&config, &agent).await? {
            listening.spawn(listener.run(stop.clone()));
        }
        let running = agent.run(args.once, stop.clone());
        tokio::pin!(running);
        let watching = watch(credentials, args.config.clone(), clock, stop.clone());
        tokio::pin!(watching);
        tokio::select! {
            biased;
            ended = &mut running => return ended.context("deliver events"),
            signal = terminated() => signal?,
            () = &mut watching => {}
        }
        tracing::info!("stopping; what is not acked stays in the spool");
        stop.cancel();
        let ended = running.await.context("deliver events");
        while listening.join_next().await.is_some() {}
        ended
    })
}

/// Where applications push, and what operators look at.
async fn listeners(config: &Config, agent: &Agent) -> anyhow::Result<Vec<Listener>> {
    let pushes = config.pushes.iter().map(|push| {
        let (source, inlet) = (push.name.clone(), agent.inlet.clone());
        (&push.listen, Face::Push { source, inlet, blocking: agent.blocking })
    });
    let operations = config.operations.listen.iter();
    let operations = operations.map(|listen| (listen, Face::Operations(agent.vitals.clone())));
    let mut bound = Vec::new();
    for (listen, face) in pushes.chain(operations) {
        let address: Address = listen.parse().map_err(anyhow::Error::msg)?;
        let listener = Listener::bind(&address, face).await;
        bound.push(listener.with_context(|| format!("listen on {listen}"))?);
    }
    Ok(bound)
}

/// Who an instance that gets fenced is told about: host and process.
fn label() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = host.trim();
    let host = if host.is_empty() { "unknown host" } else { host };
    format!("{host}, process {}", std::process::id())
}

async fn terminated() -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut term = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    let mut int = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
    tokio::select! {
        biased;
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
    Ok(())
}

/// Whom `[identity] refuse` lists.
fn refuse(config: &Config) -> anyhow::Result<Refuse> {
    Refuse::parse(config.identity.refuse.iter().map(String::as_str))
        .context("read identity.refuse")
        .context(super::Misconfigured)
}

/// Takes changed certificate files and a changed `identity.refuse` into use, and
/// warns of ageing certificates.
async fn watch(
    credentials: Arc<Credentials<ClientConfig>>,
    path: PathBuf,
    clock: Clock,
    stop: CancellationToken,
) {
    let mut warned: Option<tokio::time::Instant> = None;
    let mut text = std::fs::read_to_string(&path).unwrap_or_default();
    loop {
        match credentials.validity(clock.now()) {
            Validity::Good => warned = None,
            Validity::LastThird { until } if warned.is_none_or(|at| at.elapsed() > WARN_EVERY) => {
                tracing::warn!(%until, "the certificate is in the last third of its time; issue a new one");
                warned = Some(tokio::time::Instant::now());
            }
            Validity::Expired { since } if warned.is_none_or(|at| at.elapsed() > WARN_EVERY) => {
                tracing::error!(%since, "the certificate has expired; every aggregator refuses it");
                warned = Some(tokio::time::Instant::now());
            }
            _ => {}
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = tokio::time::sleep(RELOAD_EVERY) => {}
        }
        let held = Arc::clone(&credentials);
        match Blocking::Pool.run(move || held.reload_if_changed()).await {
            Ok(true) => tracing::info!("took changed certificate files into use"),
            Ok(false) => {}
            Err(error) => tracing::error!(
                error = &error as &dyn std::error::Error,
                "changed certificate files are no good; the old ones stay in use"
            ),
        }
        if let Ok(now) = std::fs::read_to_string(&path)
            && now != text
        {
            text = now;
            match super::config(&path).and_then(|config| refuse(&config)) {
                Ok(refuse) => {
                    credentials.set_refuse(refuse);
                    tracing::info!("took identity.refuse into use");
                }
                Err(error) => tracing::error!("the changed configuration is no good: {error:#}"),
            }
        }
    }
}
