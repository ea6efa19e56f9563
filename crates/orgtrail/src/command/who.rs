//! `orgtrail who`: everything that names a thing, in every account.

use query::Selection;

use super::ask::{Asking, FilterArgs, OutputArgs, StoreArgs, usage, usual_format};
use super::people::for_people;
use crate::output::{Format, print};

/// Show every event that names a key, an ARN, an address or an id, newest first.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  orgtrail who i-0abc1234def567890 --store ./store --since 7d
  orgtrail who 203.0.113.9 --store ./store --error
  orgtrail who arn:aws:s3:::payroll --store ./store --write -o ndjson")]
pub(crate) struct Args {
    /// What is looked for, acting or acted upon: a key, an ARN or its end, a user, a role,
    /// a principal id, an address, an account, an instance id; several mean any of them
    #[arg(value_name = "WHAT", required = true)]
    what: Vec<String>,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    filter: FilterArgs,
    /// At most so many events; 0 means all
    #[arg(long, default_value_t = 100)]
    limit: usize,
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
    let mut filter = args.filter.filter(args.to.now(), &args.to.zone()?)?;
    filter.named = args.what;
    let format = args.output.unwrap_or_else(|| usual_format(&args.to));
    let columns = if format == Format::Id { vec!["eventid".to_owned()] } else { Vec::new() };
    let limit = (args.limit > 0).then_some(args.limit);
    let selection = Selection { columns, limit, newest_first: true };
    if args.show_sql {
        return print(&query::as_sql(&filter, &selection).map_err(usage)?);
    }
    let mut asking = Asking::begin(&args.store, &args.to).await?;
    asking.until(filter.to);
    let answer = asking.ask(asking.engine.events(&filter, &selection)).await.map_err(usage)?;
    let people = format == Format::Table;
    let shape = |batch| if people { for_people(&batch) } else { Ok(batch) };
    asking.tell(answer, format, &args.to, None, shape, "event").await
}
