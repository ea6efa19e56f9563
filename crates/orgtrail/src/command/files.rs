//! `orgtrail files`: exactly the files that hold the table, for other engines.
//!
//! A listing of `events/` may show a pass in part, and during a compaction the old
//! and the new files of a partition. The table's log says which files count.

use anyhow::Context;
use clap::ValueEnum;
use futures::TryStreamExt;
use store::Store;
use table::{DataFile, Filter, TRAIL_DEFAULT, TableSnapshot};

/// Print exactly the files that hold the table, or SQL that reads them.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  orgtrail files --store file:///var/lib/orgtrail
  orgtrail files --store file:///var/lib/orgtrail -o duckdb > events.sql
  duckdb -c \".read events.sql\" -c \"SELECT count(*) FROM events\"")]
pub(crate) struct Args {
    /// The store: file:///…, s3://…, gs://…, az://…, or a directory.
    #[arg(long, env = "ORGTRAIL_STORE")]
    store: String,
    /// How to print them.
    #[arg(short, long, value_enum, default_value_t = Form::Paths)]
    output: Form,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// One URL or path a line.
    Paths,
    /// A statement for DuckDB that makes the view `events`.
    Duckdb,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let url = super::ask::store_url(&args.store)?;
    let store = Store::open(&url).await.context("open the store")?;
    let table = TableSnapshot::load(&store, TRAIL_DEFAULT).await.context("read the table")?;
    let files: Vec<DataFile> =
        table.files(Filter::default()).try_collect().await.context("list the table's files")?;
    // DuckDB takes a path where a URL of a local file would do for nobody else.
    let base = url.strip_prefix("file://").unwrap_or(&url).trim_end_matches('/');
    let place = |file: &DataFile| format!("{base}/{}", file.path);
    let text = match args.output {
        Form::Paths => files.iter().map(place).collect::<Vec<_>>().join("\n"),
        Form::Duckdb => {
            let (fresh, settled): (Vec<_>, Vec<_>) = files.iter().partition(|file| file.is_fresh());
            duckdb(
                table.position(),
                &settled.into_iter().map(place).collect::<Vec<_>>(),
                &fresh.into_iter().map(place).collect::<Vec<_>>(),
            )
        }
    };
    crate::output::print(&text)
}

/// A view over settled files, whose paths hold the partition, and fresh ones,
/// which have it as columns. Files of earlier releases have fewer columns.
fn duckdb(position: u64, settled: &[String], fresh: &[String]) -> String {
    let list = |files: &[String]| {
        let quoted = files.iter().map(|file| format!("  '{}'", file.replace('\'', "''")));
        quoted.collect::<Vec<_>>().join(",\n")
    };
    let mut parts = Vec::new();
    if !settled.is_empty() {
        parts.push(format!(
            "SELECT * FROM read_parquet([\n{}\n], hive_partitioning = true, union_by_name = true,\n  \
             hive_types = {{'account': VARCHAR, 'region': VARCHAR, 'date': DATE}})",
            list(settled)
        ));
    }
    if !fresh.is_empty() {
        parts.push(format!(
            "SELECT * FROM read_parquet([\n{}\n], hive_partitioning = false, union_by_name = true)",
            list(fresh)
        ));
    }
    if parts.is_empty() {
        return format!("-- no row up to journal record {position}");
    }
    format!(
        "-- every row up to journal record {position}\nCREATE OR REPLACE VIEW events AS\n{};",
        parts.join("\nUNION ALL BY NAME\n")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_statement_reads_settled_and_fresh_files_and_quotes_their_paths() {
        let sql = duckdb(7, &["/a'b/events/x.parquet".into()], &["/a/fresh/y.parquet".into()]);
        assert!(sql.contains("'/a''b/events/x.parquet'"), "{sql}");
        assert!(sql.contains("UNION ALL BY NAME"), "{sql}");
        assert!(sql.starts_with("-- every row up to journal record 7"), "{sql}");
        assert_eq!(duckdb(0, &[], &[]), "-- no row up to journal record 0");
    }
}
