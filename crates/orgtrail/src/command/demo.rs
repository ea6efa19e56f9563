//! `orgtrail demo`: the whole walk on this machine.
//!
//! A CA, an aggregator with a local store, and agents that deliver over mutual
//! TLS on loopback: the same code as in production, in one process. Without
//! `--from` it makes a synthetic organization with one hidden incident.

mod ground;
mod party;
mod summary;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use seam::Clock;
use store::Store;
use tokio_util::sync::CancellationToken;

use crate::node::{Node, Plan};
use ground::Ground;
use party::Party;
use summary::Summary;

/// See it work: agents, aggregator, journal and table on this machine.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  orgtrail demo                                  a synthetic organization with an incident in it
  orgtrail demo --from /var/log/cloudtrail       your own CloudTrail files
  orgtrail demo --events 20000 --dir /tmp/trail  fewer events, another place")]
pub(crate) struct Args {
    /// How many events to make.
    #[arg(long, default_value_t = 200_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    events: u64,
    /// Where everything goes; one that an earlier demo made is made anew.
    #[arg(long, default_value = "orgtrail-demo")]
    dir: PathBuf,
    /// Take the CloudTrail files there (a file or a directory) instead of making events.
    #[arg(long, value_name = "PATH", conflicts_with = "events")]
    from: Option<PathBuf>,
    /// Print one JSON object instead of answers.
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    if let Some(from) = &args.from
        && !from.try_exists().with_context(|| format!("look at {}", from.display()))?
    {
        return Err(anyhow::anyhow!("there is nothing at {} (--from)", from.display()))
            .context(crate::exit::Misconfigured);
    }
    let began = Instant::now();
    let ground = Ground::prepare(&args.dir)?;
    let progress = Progress::new(args.json);
    let now = Clock::system().now();

    let (party, incident) = match &args.from {
        Some(from) => (Party::organization(from), None),
        None => {
            let organization = ground::organization();
            progress.say(&format!(
                "making {} events of {} accounts in {} regions",
                args.events,
                organization.accounts().len(),
                organization.regions().len()
            ));
            let end = ground::end_of_sample(now);
            let (party, incident) = Party::sample(&organization, &ground, args.events, end)?;
            (party, Some(incident))
        }
    };
    ground.issue_certificates(&party)?;
    let store = Store::open(&ground.store_url()).await.context("open the store")?;
    let mut node = Node::start(Plan {
        store: store.clone(),
        aggregator: aggregator::Config {
            listen: "127.0.0.1:0".to_owned(),
            ..aggregator::Config::default()
        },
        journal: journal::Config::default(),
        table: table::Config::default(),
        credentials: ground.aggregator_credentials()?,
        operations: None,
    })
    .await?;

    progress.say(&format!(
        "{} agents deliver over mutual TLS to an aggregator at {}",
        party.members.len(),
        node.address
    ));
    let read = Arc::new(AtomicU64::new(0));
    let stop = CancellationToken::new();
    let agents = party.run(&ground, node.address, &read, stop.clone());
    tokio::pin!(agents);
    let total = party.events;
    loop {
        tokio::select! {
            biased;
            delivered = &mut agents => break delivered?,
            ended = node.failed() => {
                ended?;
                bail!("the aggregator ended before its agents did");
            }
            _ = tokio::signal::ctrl_c() => {
                stop.cancel();
                bail!("interrupted");
            }
            () = tokio::time::sleep(Duration::from_millis(200)) => {
                progress.at(read.load(Ordering::Relaxed), total);
            }
        }
    }
    progress.say("all acked; settling the table");
    node.drain().await?;

    let summary = Summary::read(&store, read.load(Ordering::Relaxed), began).await?;
    progress.done();
    if args.json {
        crate::output::print(&summary.json()?)?;
    } else {
        summary::tell(&summary, &store, &ground, incident.as_ref()).await?;
    }
    summary.check()
}

/// A bar on a terminal, plain lines elsewhere, nothing beside JSON.
struct Progress {
    bar: ProgressBar,
    terminal: bool,
    quiet: bool,
    said_at: std::cell::Cell<Instant>,
}

/// How often a plain line says how far it is.
const PLAIN_EVERY: Duration = Duration::from_secs(10);

impl Progress {
    fn new(quiet: bool) -> Self {
        let terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
        let target = if terminal && !quiet {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(None, target);
        if let Ok(style) = ProgressStyle::with_template("{bar:30} {human_pos} events, {per_sec}") {
            bar.set_style(style);
        }
        Self { bar, terminal, quiet, said_at: std::cell::Cell::new(Instant::now()) }
    }

    fn say(&self, line: &str) {
        if !self.quiet {
            self.bar.suspend(|| eprintln!("{line}"));
        }
    }

    fn at(&self, read: u64, total: Option<u64>) {
        if let Some(total) = total {
            self.bar.set_length(total);
        }
        self.bar.set_position(read);
        if !self.terminal && !self.quiet && self.said_at.get().elapsed() >= PLAIN_EVERY {
            self.said_at.set(Instant::now());
            eprintln!("{read} events read");
        }
    }

    fn done(&self) {
        self.bar.finish_and_clear();
    }
}
