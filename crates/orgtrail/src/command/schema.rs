//! `orgtrail schema`: statements that make the table known to other engines.

use clap::ValueEnum;
use query::{Dialect, Engine, Options, Place};
use seam::{Blocking, Clock, Entropy};
use store::Store;
use table::Seams;

use anyhow::Context;

use super::ask::store_url;
use crate::output::print;

/// Print statements that make the table known to another engine.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  orgtrail schema --ddl duckdb --store ./store | duckdb events.db
  orgtrail schema --ddl athena --store s3://my-bucket/trail
  orgtrail schema --ddl athena --store s3://my-bucket/trail --refresh")]
pub(crate) struct Args {
    /// The engine
    #[arg(long, value_enum, value_name = "ENGINE")]
    ddl: Engines,
    /// The store, whose accounts, regions and first day are then named; without
    /// one, names in capital letters stand for it
    #[arg(long, value_name = "URL", env = "ORGTRAIL_STORE")]
    store: Option<String>,
    /// Only what to say to Athena again when accounts or regions are new
    #[arg(long, requires = "store")]
    refresh: bool,
}

/// An engine that reads the files without us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Engines {
    /// DuckDB
    Duckdb,
    /// Amazon Athena, with partition projection
    Athena,
    /// Trino's Hive connector, with partition projection
    Trino,
    /// Apache Spark
    Spark,
    /// The Glue catalog: the JSON of `aws glue create-table --table-input`
    Glue,
    /// The same of the copies of whole days
    GlueDays,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let place = match &args.store {
        None => Place::default(),
        Some(store) => {
            let url = store_url(store)?;
            let opened = Store::open(&url).await.context("open store")?;
            let (clock, entropy) = (Clock::system(), Entropy::system());
            let seams = Seams { clock, entropy, blocking: Blocking::Pool };
            let engine = Engine::open(opened, seams, Options::default())?;
            // Others know a directory by its path.
            engine.place(url.strip_prefix("file://").unwrap_or(&url)).await?
        }
    };
    if args.refresh {
        return print(&query::refresh(&place));
    }
    let dialect = match args.ddl {
        Engines::Duckdb => Dialect::DuckDb,
        Engines::Athena => Dialect::Athena,
        Engines::Trino => Dialect::Trino,
        Engines::Spark => Dialect::Spark,
        Engines::Glue => Dialect::Glue,
        Engines::GlueDays => Dialect::GlueDays,
    };
    print(&query::ddl(dialect, &place))
}
