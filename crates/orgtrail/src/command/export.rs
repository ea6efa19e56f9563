//! `orgtrail export`: every event that a filter wants, as a stream.

use super::ask::{Asking, FilterArgs, OutputArgs, StoreArgs, usage};
use crate::output::Format;
use clap::ValueEnum;
use query::Selection;

/// Write events out: as the records they were, or as rows.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  orgtrail export --store ./store --out november.json --from 2026-11-01 --to 2026-11-30
  orgtrail export --store ./store --account 111122223333 -o ndjson | zstd > events.ndjson.zst")]
pub(crate) struct Args {
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    filter: FilterArgs,
    /// The form of the export
    #[arg(short, long, value_enum, default_value_t = Form::Cloudtrail)]
    output: Form,
    #[command(flatten)]
    to: OutputArgs,
}

/// A form that holds everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// A CloudTrail log file: {"Records":[…]}, equal to the originals as JSON values
    Cloudtrail,
    /// One row per line as JSON
    Ndjson,
    /// Rows as Parquet
    Parquet,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let mut asking = Asking::begin(&args.store, &args.to).await?;
    let filter = args.filter.filter(asking.now, &asking.zone)?;
    asking.until(filter.to);
    let answer = asking
        .ask(Box::pin(asking.engine.events(&filter, &Selection::default())))
        .await
        .map_err(usage)?;
    let format = match args.output {
        Form::Cloudtrail => Format::Cloudtrail,
        Form::Ndjson => Format::Ndjson,
        Form::Parquet => Format::Parquet,
    };
    asking.tell(answer, format, &args.to, None, Ok, "event").await
}
