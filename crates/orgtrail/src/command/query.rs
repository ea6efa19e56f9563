//! `orgtrail query`: one SQL statement over everything that was committed.

use std::io::Read as _;

use anyhow::Context;

use super::ask::{Asking, OutputArgs, StoreArgs, usage, usual_format};
use crate::output::Format;

/// The longest statement that is read.
const STATEMENT_BYTES_MAX: u64 = 1 << 20;

/// Ask in SQL. The table is `events`; JSON columns open with json_get(text, 'a.b[0]').
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  orgtrail query --store ./store \"SELECT eventname, count(*) FROM events GROUP BY 1 ORDER BY 2 DESC LIMIT 10\"
  orgtrail query --store ./store -o csv \"SELECT eventtime, useridentity.arn FROM events WHERE errorcode = 'AccessDenied'\"
  orgtrail query --store ./store \"DESCRIBE events\"")]
pub(crate) struct Args {
    /// The statement; - reads it from the standard input
    sql: String,
    #[command(flatten)]
    store: StoreArgs,
    /// The form of the answer [default: table on a terminal, ndjson elsewhere]
    #[arg(short, long, value_enum)]
    output: Option<Format>,
    #[command(flatten)]
    to: OutputArgs,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let sql = match args.sql.as_str() {
        "-" => {
            let mut sql = String::new();
            std::io::stdin()
                .take(STATEMENT_BYTES_MAX)
                .read_to_string(&mut sql)
                .context("read the statement")?;
            sql
        }
        sql => sql.to_owned(),
    };
    let asking = Asking::begin(&args.store, &args.to).await?;
    let answer = asking.engine.sql(&sql).await.map_err(usage)?;
    let format = args.output.unwrap_or_else(|| usual_format(&args.to));
    asking.tell(answer, format, &args.to, Ok, "row").await
}
