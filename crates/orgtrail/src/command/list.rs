//! Events one by one, newest first: what `events` and `who` share.

use query::Selection;

use super::ask::{Asking, FilterArgs, OutputArgs, StoreArgs, usage, usual_format};
use super::people::for_people;
use crate::output::{Format, print};

/// Which events, and how they are shown.
#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
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

/// Shows the events that name any of these, or all if there is none.
pub(crate) async fn list(args: ListArgs, named: Vec<String>) -> anyhow::Result<()> {
    let limit = (args.limit > 0).then_some(args.limit);
    if args.show_sql {
        let mut filter = args.filter.filter(args.to.now(), &args.to.zone()?)?;
        filter.named = named;
        let selection = Selection { columns: args.fields, limit, newest_first: true };
        return print(&query::as_sql(&filter, &selection).map_err(usage)?);
    }
    let mut asking = Asking::begin(&args.store, &args.to).await?;
    let mut filter = args.filter.filter(asking.now, &asking.zone)?;
    filter.named = named;
    asking.until(filter.to);
    let format = args.output.unwrap_or_else(|| usual_format(&args.to));
    let columns = match format {
        // A record is made of all its columns.
        Format::Cloudtrail => Vec::new(),
        Format::Id => vec!["eventid".to_owned()],
        _ => args.fields,
    };
    let people = format == Format::Table && columns.is_empty();
    let selection = Selection { columns, limit, newest_first: true };
    let answer = asking.ask(asking.engine.events(&filter, &selection)).await.map_err(usage)?;
    let shape = |batch| if people { for_people(&batch) } else { Ok(batch) };
    asking.tell(answer, format, &args.to, None, shape, "event").await
}
