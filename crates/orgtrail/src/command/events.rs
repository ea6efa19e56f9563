//! `orgtrail events`: the event history, newest first.

use super::ask::{Asking, FilterArgs, OutputArgs, StoreArgs, usage, usual_format};
use super::people::for_people;
use crate::output::{Format, print};
use query::Selection;

/// Show events, newest first.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  orgtrail events --store ./store --since 24h --error
  orgtrail events --store ./store --key AKIAIOSFODNN7EXAMPLE --from 2026-11-18 --to 2026-11-19
  orgtrail events --store ./store --event 'Delete*' --account '!111122223333' -o ndjson
  orgtrail events --store ./store --principal svc-backup --fields eventtime,eventname,requestparameters.bucketName")]
pub(crate) struct Args {
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    filter: FilterArgs,
    /// At most so many events; 0 means all
    #[arg(long, default_value_t = 100)]
    limit: usize,
    /// Only these columns, or what lies in them: eventname,useridentity.arn
    #[arg(long, value_delimiter = ',')]
    fields: Vec<String>,
    /// The form of the answer [default: table on a terminal, ndjson elsewhere]
    #[arg(short, long, value_enum)]
    output: Option<Format>,
    /// Print the question as SQL and do not ask
    #[arg(long)]
    show_sql: bool,
    #[command(flatten)]
    to: OutputArgs,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    if args.show_sql {
        let filter = args.filter.filter(args.to.now(), &args.to.zone()?)?;
        let limit = (args.limit > 0).then_some(args.limit);
        let selection = Selection { columns: args.fields, limit, newest_first: true };
        return print(&query::as_sql(&filter, &selection).map_err(usage)?);
    }
    let mut asking = Asking::begin(&args.store, &args.to).await?;
    let filter = args.filter.filter(asking.now, &asking.zone)?;
    asking.until(filter.to);
    let format = args.output.unwrap_or_else(|| usual_format(&args.to));
    let columns = match format {
        // A record is made of all its columns.
        Format::Cloudtrail => Vec::new(),
        Format::Id => vec!["eventid".to_owned()],
        _ => args.fields,
    };
    let people = format == Format::Table && columns.is_empty();
    let limit = (args.limit > 0).then_some(args.limit);
    let selection = Selection { columns, limit, newest_first: true };
    let answer =
        asking.ask(Box::pin(asking.engine.events(&filter, &selection))).await.map_err(usage)?;
    let shape = |batch| if people { for_people(&batch) } else { Ok(batch) };
    asking.tell(answer, format, &args.to, None, shape, "event").await
}
