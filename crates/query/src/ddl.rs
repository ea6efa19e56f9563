//! Statements that make the table known to engines that read the files alone.
//!
//! What is printed is ready to run but for the names in capital letters, and for
//! those nothing is missing either when a store is given. The two views come in
//! each engine's words.
//!
//! `orgtrail_events` is a table over the partitions by account, region and day, and
//! `orgtrail_days` one over the copies of whole days. For engines that list a folder for
//! every account, region and day before they read a byte, `events` reads the copy where a
//! day has one; DuckDB has that as `events_by_day`.

mod columns;
mod glue;

use std::collections::BTreeSet;

use jiff::civil::Date;
use table::schema::{PARTITION_KEYS, schema};

use crate::views::{EVENTS, LAKE, LOGS, PARTITIONED, Words, select};
use columns::{hive, trino};

/// An engine that statements are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// DuckDB.
    DuckDb,
    /// Amazon Athena.
    Athena,
    /// Trino, with its Hive connector.
    Trino,
    /// Apache Spark.
    Spark,
    /// The Glue catalog's table, as JSON for `aws glue create-table`.
    Glue,
    /// The same of the copies of whole days.
    GlueDays,
}

/// What statements say of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The store's URL or directory, without a slash at its end.
    pub store: String,
    /// The trail.
    pub trail: String,
    /// The accounts that are known.
    pub accounts: BTreeSet<String>,
    /// The regions that are known.
    pub regions: BTreeSet<String>,
    /// The first day.
    pub first_date: String,
    /// The days of which all settled rows are in a copy for the organization at once.
    pub copied: BTreeSet<Date>,
}

/// Text that stands where a store has to be named.
const STORE_UNNAMED: &str = "s3://BUCKET/PREFIX";

impl Default for Place {
    fn default() -> Self {
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Self {
            store: STORE_UNNAMED.to_owned(),
            trail: "default".to_owned(),
            accounts: set(&["111122223333", "444455556666"]),
            regions: set(&["us-east-1", "eu-west-1"]),
            first_date: "2026-01-01".to_owned(),
            copied: BTreeSet::new(),
        }
    }
}

impl Place {
    fn events(&self) -> String {
        format!("{}/trail/{}/events", self.store, self.trail)
    }

    fn days(&self) -> String {
        format!("{}/trail/{}/days", self.store, self.trail)
    }

    /// The condition that a day has a copy; none if no day has.
    fn is_copied(&self, quote: char) -> Option<String> {
        let mut ranges: Vec<(Date, Date)> = Vec::new();
        for date in &self.copied {
            match ranges.last_mut() {
                Some((_, last)) if last.tomorrow().is_ok_and(|next| next == *date) => *last = *date,
                _ => ranges.push((*date, *date)),
            }
        }
        let between = |(first, last): &(Date, Date)| {
            format!("{quote}date{quote} BETWEEN DATE '{first}' AND DATE '{last}'")
        };
        let conditions: Vec<String> = ranges.iter().map(between).collect();
        (!conditions.is_empty()).then(|| format!("({})", conditions.join(" OR\n  ")))
    }

    /// With the places of rows that tell no account or region.
    fn accounts(&self) -> String {
        let unknown = "000000000000".to_owned();
        let all: BTreeSet<&String> = self.accounts.iter().chain([&unknown]).collect();
        all.into_iter().map(String::as_str).collect::<Vec<_>>().join(",")
    }

    fn regions(&self) -> String {
        let unknown = "unknown".to_owned();
        let all: BTreeSet<&String> = self.regions.iter().chain([&unknown]).collect();
        all.into_iter().map(String::as_str).collect::<Vec<_>>().join(",")
    }
}

/// The statements.
#[must_use]
pub fn ddl(dialect: Dialect, place: &Place) -> String {
    match dialect {
        Dialect::DuckDb => duckdb(place),
        Dialect::Athena => athena(place),
        Dialect::Trino => of_trino(place),
        Dialect::Spark => spark(place),
        Dialect::Glue => glue::events(place),
        Dialect::GlueDays => glue::days(place),
    }
}

/// What has to be said again when accounts or regions are new, or days have copies.
#[must_use]
pub fn refresh(place: &Place) -> String {
    format!(
        "ALTER TABLE orgtrail_events SET TBLPROPERTIES (\n  'projection.account.values' = '{}',\n  \
         'projection.region.values' = '{}'\n);\n\n{}",
        place.accounts(),
        place.regions(),
        events_view(place, '"'),
    )
}

/// The view that reads a day's copy where there is one, and the partitions of the
/// other days.
fn events_view(place: &Place, quote: char) -> String {
    let columns: Vec<String> = schema()
        .fields()
        .iter()
        .map(|field| field.name().as_str())
        .chain(PARTITION_KEYS)
        .map(|name| if name == "date" { format!("{quote}date{quote}") } else { name.to_owned() })
        .collect();
    let columns = columns.join(", ");
    match place.is_copied(quote) {
        None => format!(
            "-- No day is named that has a copy for the organization: `--store` and `--refresh` do that.\n\
             CREATE OR REPLACE VIEW {EVENTS} AS\nSELECT {columns}\nFROM orgtrail_events;\n"
        ),
        Some(copied) => format!(
            "CREATE OR REPLACE VIEW {EVENTS} AS\nSELECT {columns}\nFROM orgtrail_days\nWHERE {copied}\n\
             UNION ALL\nSELECT {columns}\nFROM orgtrail_events\nWHERE NOT {copied};\n"
        ),
    }
}

fn views(words: Words, table: &str) -> String {
    let mut text = String::new();
    for view in [LOGS, PARTITIONED, LAKE] {
        if let Some(select) = select(view, words, table) {
            text.push_str(&format!("\nCREATE OR REPLACE VIEW {view} AS\n{select};\n"));
        }
    }
    text
}

/// The columns, each `name type`, but for the partition keys.
fn column_lines(of: fn(&arrow::datatypes::DataType) -> String, quote: char) -> String {
    let schema = schema();
    let lines = schema
        .fields()
        .iter()
        .map(|field| format!("  {quote}{}{quote} {}", field.name(), of(field.data_type())));
    lines.collect::<Vec<_>>().join(",\n")
}

/// DuckDB's view of days where they have a copy, and of partitions where they have none.
fn duckdb_by_day(place: &Place) -> String {
    let Some(copied) = place.is_copied('"') else {
        return "-- No day is named that has a copy for the organization: `--store` and `--refresh` do that.\n\
                CREATE OR REPLACE VIEW events_by_day AS SELECT * FROM events;\n"
            .to_owned();
    };
    format!(
        "-- The same, from the copies of whole days where there are any: faster across accounts.\n\
         -- Events that came late to such a day, after this was printed, are in events alone.\n\
         CREATE OR REPLACE VIEW events_by_day AS\n\
         SELECT * FROM read_parquet('{}/**/*.parquet',\n  hive_partitioning = true, union_by_name = true,\n  \
         hive_types = {{'date': DATE}})\nWHERE {copied}\n\
         UNION ALL BY NAME\nSELECT * FROM events\nWHERE NOT {copied};\n",
        place.days().replace('\'', "''"),
    )
}

fn duckdb(place: &Place) -> String {
    format!(
        "-- The settled events of a store as DuckDB reads them, and the views of docs/sql.md.\n\
         -- On S3 first: INSTALL httpfs; CREATE SECRET (TYPE s3, PROVIDER credential_chain);\n\
         -- While files are compacted, a partition may count twice for a few minutes: orgtrail\n\
         -- query does not.\n\
         CREATE OR REPLACE VIEW events AS\n\
         SELECT * FROM read_parquet('{}/**/*.parquet',\n  hive_partitioning = true, union_by_name = true,\n  \
         hive_types = {{'account': VARCHAR, 'region': VARCHAR, 'date': DATE}});\n\n\
         {}\n\
         -- A JSON object as a map of texts.\n\
         CREATE OR REPLACE MACRO json_text_map(j) AS CASE WHEN json_type(j) = 'OBJECT' THEN\n  \
         map_from_entries(list_transform(json_keys(j), lambda k:\n    \
         {{'k': k, 'v': j ->> ('$.\"' || k || '\"')}})) END;\n{}",
        place.events().replace('\'', "''"),
        duckdb_by_day(place),
        views(Words::DuckDb, EVENTS)
    )
}

fn athena(place: &Place) -> String {
    format!(
        "-- Athena: tables over the settled events with partition projection, and the views of\n\
         -- docs/sql.md. Ask events: it reads a day's copy for the organization where there is one,\n\
         -- and its partitions where there is none. Accounts and regions are listed, so that no\n\
         -- query has to name one; `orgtrail schema --ddl athena --refresh` prints what to run,\n\
         -- once a day, when there are new ones or more days have copies. Events that came late to\n\
         -- a copied day are in orgtrail_events at once, and in events after they were copied.\n\
         -- Run one statement at a time. Rows without a date of their own lie in\n\
         -- date=1970-01-01, before this range.\n\
         CREATE EXTERNAL TABLE orgtrail_events (\n{columns}\n)\n\
         PARTITIONED BY (account string, region string, `date` date)\n\
         STORED AS PARQUET\n\
         LOCATION '{events}/'\n\
         TBLPROPERTIES (\n  \
         'projection.enabled' = 'true',\n  \
         'projection.account.type' = 'enum',\n  \
         'projection.account.values' = '{accounts}',\n  \
         'projection.region.type' = 'enum',\n  \
         'projection.region.values' = '{regions}',\n{range},\n  \
         'storage.location.template' =\n    \
         '{events}/account=${{account}}/region=${{region}}/date=${{date}}/'\n);\n\n\
         CREATE EXTERNAL TABLE orgtrail_days (\n{columns},\n  `account` string,\n  `region` string\n)\n\
         PARTITIONED BY (`date` date)\n\
         STORED AS PARQUET\n\
         LOCATION '{days}/'\n\
         TBLPROPERTIES (\n  \
         'projection.enabled' = 'true',\n{range},\n  \
         'storage.location.template' = '{days}/date=${{date}}/'\n);\n\n{events_view}{views}",
        columns = column_lines(hive, '`'),
        accounts = place.accounts(),
        regions = place.regions(),
        range = format_args!(
            "  'projection.date.type' = 'date',\n  \
             'projection.date.format' = 'yyyy-MM-dd',\n  \
             'projection.date.range' = '{},NOW'",
            place.first_date
        ),
        events_view = events_view(place, '"'),
        views = views(Words::Trino, EVENTS),
        events = place.events(),
        days = place.days(),
    )
}

fn of_trino(place: &Place) -> String {
    let list = |values: String| {
        values.split(',').map(|value| format!("'{value}'")).collect::<Vec<_>>().join(", ")
    };
    let date = format!(
        "\"date\" date WITH (\n    partition_projection_type = 'date',\n    \
         partition_projection_format = 'yyyy-MM-dd',\n    \
         partition_projection_range = ARRAY['{}', 'NOW'])",
        place.first_date
    );
    format!(
        "-- Trino with the Hive connector: run in a schema of a hive catalog. Ask events: it reads\n\
         -- a day's copy for the organization where there is one, and its partitions where there is\n\
         -- none. Print this again, once a day, for new accounts, regions and copied days.\n\
         CREATE TABLE orgtrail_events (\n{columns},\n  \
         account varchar WITH (\n    partition_projection_type = 'enum',\n    \
         partition_projection_values = ARRAY[{accounts}]),\n  \
         region varchar WITH (\n    partition_projection_type = 'enum',\n    \
         partition_projection_values = ARRAY[{regions}]),\n  \
         {date}\n)\nWITH (\n  \
         format = 'PARQUET',\n  external_location = '{events}/',\n  \
         partitioned_by = ARRAY['account', 'region', 'date'],\n  \
         partition_projection_enabled = true,\n  \
         partition_projection_location_template =\n    \
         '{events}/account=${{account}}/region=${{region}}/date=${{date}}/'\n);\n\n\
         CREATE TABLE orgtrail_days (\n{columns},\n  account varchar,\n  region varchar,\n  \
         {date}\n)\nWITH (\n  \
         format = 'PARQUET',\n  external_location = '{days}/',\n  \
         partitioned_by = ARRAY['date'],\n  \
         partition_projection_enabled = true,\n  \
         partition_projection_location_template = '{days}/date=${{date}}/'\n);\n\n{events_view}{views}",
        columns = column_lines(trino, '"'),
        accounts = list(place.accounts()),
        regions = list(place.regions()),
        events_view = events_view(place, '"'),
        views = views(Words::Trino, EVENTS),
        events = place.events(),
        days = place.days(),
    )
}

fn spark(place: &Place) -> String {
    format!(
        "-- Spark: tables over the settled events, and the views of docs/sql.md. Ask events: it\n\
         -- reads a day's copy for the organization where there is one, and its partitions where\n\
         -- there is none. Print this again, and run MSCK, when new partitions have come.\n\
         CREATE TABLE IF NOT EXISTS orgtrail_events (\n{columns},\n  \
         account string,\n  region string,\n  `date` date\n)\nUSING parquet\n\
         PARTITIONED BY (account, region, `date`)\nLOCATION '{events}';\n\n\
         MSCK REPAIR TABLE orgtrail_events;\n\n\
         CREATE TABLE IF NOT EXISTS orgtrail_days (\n{columns},\n  \
         account string,\n  region string,\n  `date` date\n)\nUSING parquet\n\
         PARTITIONED BY (`date`)\nLOCATION '{days}';\n\n\
         MSCK REPAIR TABLE orgtrail_days;\n\n{events_view}{views}",
        columns = column_lines(hive, '`'),
        events_view = events_view(place, '`'),
        views = views(Words::Spark, EVENTS),
        events = place.events(),
        days = place.days(),
    )
}
