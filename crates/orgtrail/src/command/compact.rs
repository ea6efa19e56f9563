//! `orgtrail compact`: settles fresh rows, merges small files, and brings indexes
//! and copies of days up to date, by hand.
//!
//! A server does the same by itself; both may work on one store at once.

use std::convert::Infallible;

use anyhow::Context;
use journal::Journal;
use seam::{Blocking, Clock, Entropy};
use store::Store;
use table::{Config, SettleReason, TRAIL_DEFAULT, Table};
use tokio_util::sync::CancellationToken;

/// Settle fresh rows, merge small files into large ones, and index closed days.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  orgtrail compact --store file:///var/lib/orgtrail
  orgtrail compact --store s3://bucket/trail --keep-replaced-secs 3600")]
pub(crate) struct Args {
    /// The store: file:///…, s3://…, gs://…, az://…, or a directory.
    #[arg(long, env = "ORGTRAIL_STORE")]
    store: String,
    /// Replaced files stay for this many seconds, for whoever is reading them.
    #[arg(long, default_value_t = Config::default().keep_replaced_secs)]
    keep_replaced_secs: u32,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let config = Config { keep_replaced_secs: args.keep_replaced_secs, ..Config::default() };
    let mut table = open(&args.store, config).await?;
    let stop = CancellationToken::new();
    let work = async {
        let settled = table.settle(SettleReason::Asked).await.context("settle")?;
        let compacted = table.compact(u64::MAX, &stop).await.context("compact")?;
        let indexed = table.index(u64::MAX, &stop).await.context("index")?;
        let copied = table.copy_days(u64::MAX, &stop).await.context("copy days")?;
        table.publish().await.context("publish Iceberg metadata")?;
        table.sweep().await.context("delete what was replaced")?;
        anyhow::Ok((settled, compacted, indexed, copied))
    };
    // What has begun is finished; Ctrl-C ends between two steps.
    let interrupted = async {
        if tokio::signal::ctrl_c().await.is_ok() {
            stop.cancel();
        }
        std::future::pending::<Infallible>().await
    };
    let (settled, compacted, indexed, copied) = tokio::select! {
        done = work => done?,
        never = interrupted => match never {},
    };
    crate::output::print(&format!(
        "settled    {} rows of {} fresh files into {} files\n\
         compacted  {} rows of {} files into {} files, {} bytes{}\n\
         indexed    {} rows of {} files: {} indicators, {} bytes{}\n\
         copied     {} rows of {} files into {} files of whole days, {} bytes{}",
        settled.rows,
        settled.inputs,
        settled.files,
        compacted.rows,
        compacted.inputs,
        compacted.files,
        compacted.bytes,
        if compacted.more { "; more waits" } else { "" },
        indexed.rows,
        indexed.files,
        indexed.entries,
        indexed.bytes,
        if indexed.more { "; more waits" } else { "" },
        copied.rows,
        copied.files,
        copied.parts,
        copied.bytes,
        if copied.more { "; more waits" } else { "" },
    ))
}

/// The table of a store's default trail, to be written.
pub(crate) async fn open(store: &str, config: Config) -> anyhow::Result<Table> {
    open_trail(store, TRAIL_DEFAULT, config).await
}

/// The table of a trail, to be written.
pub(crate) async fn open_trail(store: &str, trail: &str, config: Config) -> anyhow::Result<Table> {
    let store = Store::open(&super::ask::store_url(store)?).await.context("open the store")?;
    let seams = table::Seams {
        clock: Clock::system(),
        entropy: Entropy::system(),
        blocking: Blocking::Pool,
    };
    store.probe(&seams.entropy).await.context("probe the store")?;
    let table::Seams { clock, entropy, blocking } = seams.clone();
    let journal = Journal::new(store.clone(), clock, entropy, blocking);
    Table::open(store, journal, trail, seams, config).await.context("open the table")
}
