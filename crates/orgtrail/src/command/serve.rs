//! `orgtrail serve`: an aggregator and its table.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use identity::Credentials;
use seam::Clock;
use store::Store;

use crate::config::Config;
use crate::exit::Misconfigured;
use crate::node::{Node, Plan};
use crate::signals::Signals;

/// How often a changed configuration is looked for; of it only `identity.refuse`
/// takes effect without a restart.
const RELOAD_EVERY: Duration = Duration::from_secs(2);

/// Take events from agents, keep them, and write the table.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  orgtrail serve --config orgtrail.toml
  orgtrail serve --config orgtrail.toml --check")]
pub(crate) struct Args {
    /// The configuration file.
    #[arg(long, env = "ORGTRAIL_CONFIG", default_value = "/etc/orgtrail/orgtrail.toml")]
    config: PathBuf,
    /// Only check the configuration and the certificate.
    #[arg(long)]
    check: bool,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let config = Config::load(&args.config)?;
    let credentials = Credentials::for_aggregator(
        config.identity.files(),
        config.identity.refuse()?,
        Clock::system(),
    )
    .context("load certificate")
    .context(Misconfigured)?;
    if args.check {
        let uri = credentials.certificate().uri();
        eprintln!("{}: ok; this aggregator is {uri}", args.config.display());
        return Ok(());
    }
    let credentials = Arc::new(credentials);
    let store = Store::open(&config.store.url).await.context("open the store")?;
    let mut signals = Signals::new()?;
    let plan = Plan {
        store,
        aggregator: config.aggregator.clone(),
        journal: config.journal.clone(),
        table: config.table.clone(),
        credentials: Arc::clone(&credentials),
        operations: Some(config.operations.listen.clone()),
    };
    let mut node = Node::start(plan).await?;
    let operations = node.operations.map(|address| address.to_string()).unwrap_or_default();
    tracing::info!(
        store = %config.store.url,
        agents = %node.address,
        %operations,
        "serving"
    );
    let mut text = std::fs::read_to_string(&args.config).unwrap_or_default();
    loop {
        tokio::select! {
            biased;
            _ = signals.next() => break,
            ended = node.failed() => {
                let drained = node.drain().await;
                return ended.and(drained);
            }
            () = tokio::time::sleep(RELOAD_EVERY) => {
                if let Ok(now) = std::fs::read_to_string(&args.config)
                    && now != text
                {
                    text = now;
                    reload(&args.config, &credentials);
                }
            }
        }
    }
    tracing::info!("draining");
    node.drain().await?;
    tracing::info!("stopped");
    Ok(())
}

/// Puts a changed `identity.refuse` in force; a bad file changes nothing.
fn reload(path: &std::path::Path, credentials: &Credentials<rustls::ServerConfig>) {
    match Config::load(path).and_then(|config| config.identity.refuse()) {
        Ok(refuse) => {
            credentials.set_refuse(refuse);
            tracing::info!("took identity.refuse into use");
        }
        Err(error) => tracing::error!("the changed configuration is no good: {error:#}"),
    }
}
