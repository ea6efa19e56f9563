//! `orgtrail query`: one SQL statement over everything that was committed, or one
//! of the questions that ship with the program.

use std::io::Read as _;

use anyhow::Context;
use query::{InvalidParameter, Question, Saved};

use super::ask::{Asking, OutputArgs, StoreArgs, usage, usual_format};
use super::time::{Side, parse};
use crate::exit::Misused;
use crate::output::{Format, print};

/// The longest statement that is read.
const STATEMENT_BYTES_MAX: u64 = 1 << 20;
/// Rows of a table that nobody said a number for.
const TABLE_ROWS_MAX: u64 = 10_000;

/// Ask in SQL, or one of the questions that ship with orgtrail.
///
/// The table is `events`; JSON columns open with json_get(text, 'a.b[0]'). Queries
/// written for Athena's CloudTrail table ask `cloudtrail_logs`, those for CloudTrail
/// Lake `cloudtrail_lake`, or the data store's id.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  orgtrail query --store ./store \"SELECT eventname, count(*) FROM events GROUP BY 1 ORDER BY 2 DESC LIMIT 10\"
  orgtrail query --list
  orgtrail query --store ./store key-activity --param key=AKIAIOSFODNN7EXAMPLE --param since=7d
  orgtrail query --store ./store --table my_trail_table=cloudtrail_logs - < athena.sql
  orgtrail query --store ./store \"DESCRIBE events\"")]
pub(crate) struct Args {
    /// The statement, or a saved question's name; - reads a statement from the standard input
    #[arg(required_unless_present = "list")]
    sql: Option<String>,
    /// List the saved questions, with their parameters
    #[arg(long)]
    list: bool,
    /// A value of a saved question's parameter; times as in --since
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    param: Vec<(String, String)>,
    /// Another name for a table: what the statement says, and what it is here
    #[arg(long, value_name = "NAME=TABLE", value_parser = pair)]
    table: Vec<(String, String)>,
    /// Print the SQL and do not ask
    #[arg(long)]
    show_sql: bool,
    /// At most so many rows; 0 means all [default: 10000 in a table, all elsewhere]
    #[arg(long)]
    limit: Option<u64>,
    #[command(flatten)]
    store: StoreArgs,
    /// The form of the answer [default: table on a terminal, ndjson elsewhere]
    #[arg(short, long, value_enum)]
    output: Option<Format>,
    #[command(flatten)]
    to: OutputArgs,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    if name.is_empty() {
        return Err("write NAME=VALUE".to_owned());
    }
    Ok((name.to_owned(), value.to_owned()))
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    if args.list {
        return print(&list());
    }
    let asked = match args.sql.as_deref() {
        Some("-") | None => {
            let mut sql = String::new();
            std::io::stdin()
                .take(STATEMENT_BYTES_MAX + 1)
                .read_to_string(&mut sql)
                .context("read the statement")?;
            if sql.len() as u64 > STATEMENT_BYTES_MAX {
                let why = format!("a statement has at most {STATEMENT_BYTES_MAX} bytes");
                return Err(anyhow::Error::msg(why).context(Misused));
            }
            sql
        }
        Some(sql) => sql.to_owned(),
    };
    let mut question = question(&asked, &args)?;
    for (name, table) in &args.table {
        question.tables.push((name.to_lowercase(), table.to_lowercase()));
    }
    if args.show_sql {
        let mut sql = question.sql.clone();
        for (name, value) in &question.parameters {
            sql.push_str(&format!("\n-- ${name} is {value:?}"));
        }
        return print(&sql);
    }
    let asking = Asking::begin(&args.store, &args.to).await?;
    let answer = asking.ask(Box::pin(asking.engine.ask(&question))).await.map_err(usage)?;
    let format = args.output.unwrap_or_else(|| usual_format(&args.to));
    let rows = args.limit.unwrap_or(if format == Format::Table { TABLE_ROWS_MAX } else { 0 });
    let rows_max = (rows > 0).then_some(rows);
    asking.tell(answer, format, &args.to, rows_max, Ok, "row").await
}

/// A statement as it is, a saved question with its parameters.
fn question(asked: &str, args: &Args) -> anyhow::Result<Question> {
    let name = asked.trim();
    let is_name = !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if !is_name {
        let parameters = args.param.clone();
        return Ok(Question { parameters, ..Question::sql(asked) });
    }
    let Some(saved) = Saved::find(name) else {
        let near = Saved::all().into_iter().find(|saved| {
            saved.name.contains(name)
                || name.split('-').any(|word| word.len() > 3 && saved.name.contains(word))
        });
        let near = near.map_or_else(String::new, |saved| format!("; did you mean {}?", saved.name));
        return Err(anyhow::Error::msg(format!(
            "no saved question is called {name}{near} (orgtrail query --list names all)"
        ))
        .context(Misused));
    };
    let (now, zone) = (args.to.now(), args.to.zone()?);
    saved
        .with(&args.param, |text| {
            let time = parse(text, Side::From, now, &zone).context(Misused)?;
            Ok::<_, anyhow::Error>(time.to_string())
        })
        .map_err(|error| match error.downcast::<InvalidParameter>() {
            Ok(error) => anyhow::Error::new(error).context(Misused),
            Err(error) => error,
        })
}

/// The saved questions, for people.
fn list() -> String {
    let mut text = String::new();
    for saved in Saved::all() {
        let technique = saved.technique.map(|id| format!(" ({id})")).unwrap_or_default();
        text.push_str(&format!("{}{technique}\n    {}\n", saved.name, saved.answers));
        for parameter in &saved.parameters {
            let default = match parameter.default {
                None => " (needed)".to_owned(),
                Some("") => String::new(),
                Some(default) => format!(" [default: {default}]"),
            };
            let (name, means) = (parameter.name, parameter.means);
            text.push_str(&format!("    --param {name}=…  {means}{default}\n"));
        }
    }
    text
}
