//! Statements that make the table known to engines that read the files alone.
//!
//! What is printed is ready to run but for the names in capital letters, and for
//! those nothing is missing either when a store is given. The two views come in
//! each engine's words.

mod columns;
mod glue;

use std::collections::BTreeSet;

use table::schema::{PARTITION_KEYS, schema};

use crate::views::{LAKE, LOGS, PARTITIONED, Words, select};
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
        }
    }
}

impl Place {
    fn events(&self) -> String {
        format!("{}/trail/{}/events", self.store, self.trail)
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
        Dialect::Glue => glue::table_input(place),
    }
}

/// What has to be said again when accounts or regions are new.
#[must_use]
pub fn refresh(place: &Place) -> String {
    format!(
        "ALTER TABLE orgtrail_events SET TBLPROPERTIES (\n  'projection.account.values' = '{}',\n  \
         'projection.region.values' = '{}'\n);\n",
        place.accounts(),
        place.regions()
    )
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

fn duckdb(place: &Place) -> String {
    format!(
        "-- The settled events of a store as DuckDB reads them, and the views of docs/sql.md.\n\
         -- On S3 first: INSTALL httpfs; CREATE SECRET (TYPE s3, PROVIDER credential_chain);\n\
         -- While files are compacted, a partition may count twice for a few minutes: orgtrail\n\
         -- query does not.\n\
         CREATE OR REPLACE VIEW events AS\n\
         SELECT * FROM read_parquet('{}/**/*.parquet',\n  hive_partitioning = true, union_by_name = true,\n  \
         hive_types = {{'account': VARCHAR, 'region': VARCHAR, 'date': DATE}});\n\n\
         -- A JSON object as a map of texts.\n\
         CREATE OR REPLACE MACRO json_text_map(j) AS CASE WHEN json_type(j) = 'OBJECT' THEN\n  \
         map_from_entries(list_transform(json_keys(j), lambda k:\n    \
         {{'k': k, 'v': j ->> ('$.\"' || k || '\"')}})) END;\n{}",
        place.events().replace('\'', "''"),
        views(Words::DuckDb, "events")
    )
}

fn athena(place: &Place) -> String {
    format!(
        "-- Athena: a table over the settled events with partition projection, and the views of\n\
         -- docs/sql.md. Accounts and regions are listed, so that no query has to name one;\n\
         -- `orgtrail schema --ddl athena --refresh` prints what to run when there are new ones.\n\
         -- Run one statement at a time. Rows without a date of their own lie in\n\
         -- date=1970-01-01, before this range.\n\
         CREATE EXTERNAL TABLE orgtrail_events (\n{}\n)\n\
         PARTITIONED BY (account string, region string, `date` date)\n\
         STORED AS PARQUET\n\
         LOCATION '{events}/'\n\
         TBLPROPERTIES (\n  \
         'projection.enabled' = 'true',\n  \
         'projection.account.type' = 'enum',\n  \
         'projection.account.values' = '{}',\n  \
         'projection.region.type' = 'enum',\n  \
         'projection.region.values' = '{}',\n  \
         'projection.date.type' = 'date',\n  \
         'projection.date.format' = 'yyyy-MM-dd',\n  \
         'projection.date.range' = '{},NOW',\n  \
         'storage.location.template' =\n    \
         '{events}/account=${{account}}/region=${{region}}/date=${{date}}/'\n);\n{}",
        column_lines(hive, '`'),
        place.accounts(),
        place.regions(),
        place.first_date,
        views(Words::Trino, "orgtrail_events"),
        events = place.events(),
    )
}

fn of_trino(place: &Place) -> String {
    let list = |values: String| {
        values.split(',').map(|value| format!("'{value}'")).collect::<Vec<_>>().join(", ")
    };
    format!(
        "-- Trino with the Hive connector: run in a schema of a hive catalog.\n\
         CREATE TABLE orgtrail_events (\n{},\n  \
         account varchar WITH (\n    partition_projection_type = 'enum',\n    \
         partition_projection_values = ARRAY[{}]),\n  \
         region varchar WITH (\n    partition_projection_type = 'enum',\n    \
         partition_projection_values = ARRAY[{}]),\n  \
         \"date\" date WITH (\n    partition_projection_type = 'date',\n    \
         partition_projection_format = 'yyyy-MM-dd',\n    \
         partition_projection_range = ARRAY['{}', 'NOW'])\n)\nWITH (\n  \
         format = 'PARQUET',\n  external_location = '{events}/',\n  \
         partitioned_by = ARRAY['account', 'region', 'date'],\n  \
         partition_projection_enabled = true,\n  \
         partition_projection_location_template =\n    \
         '{events}/account=${{account}}/region=${{region}}/date=${{date}}/'\n);\n{}",
        column_lines(trino, '"'),
        list(place.accounts()),
        list(place.regions()),
        place.first_date,
        views(Words::Trino, "orgtrail_events"),
        events = place.events(),
    )
}

fn spark(place: &Place) -> String {
    format!(
        "-- Spark: a table over the settled events, and the views of docs/sql.md.\n\
         -- Run MSCK again when new partitions have come.\n\
         CREATE TABLE orgtrail_events (\n{},\n  {}\n)\nUSING parquet\n\
         PARTITIONED BY (account, region, `date`)\nLOCATION '{}';\n\n\
         MSCK REPAIR TABLE orgtrail_events;\n{}",
        column_lines(hive, '`'),
        PARTITION_KEYS
            .iter()
            .map(|key| match *key {
                "date" => "`date` date".to_owned(),
                key => format!("{key} string"),
            })
            .collect::<Vec<_>>()
            .join(",\n  "),
        place.events(),
        views(Words::Spark, "orgtrail_events"),
    )
}
