//! The tables as the Glue catalog's API takes them.

use table::schema::schema;

use super::Place;
use super::columns::hive;

const INPUT_FORMAT: &str = "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat";
const OUTPUT_FORMAT: &str = "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat";
const SERDE: &str = "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe";

/// The partitions: for `aws glue create-table --database-name … --table-input file://…`.
pub(super) fn events(place: &Place) -> String {
    let events = place.events();
    let projection = [
        ("projection.account.type", "enum".to_owned()),
        ("projection.account.values", place.accounts()),
        ("projection.region.type", "enum".to_owned()),
        ("projection.region.values", place.regions()),
    ];
    let template = format!("{events}/account=${{account}}/region=${{region}}/date=${{date}}/");
    let keys = [("account", "string"), ("region", "string"), ("date", "date")];
    let location = Location { path: events, template };
    table_input(place, "orgtrail_events", &keys, &[], &projection, &location)
}

/// The copies of whole days, in which account and region are columns.
pub(super) fn days(place: &Place) -> String {
    let days = place.days();
    let template = format!("{days}/date=${{date}}/");
    let own = [("account", "string"), ("region", "string")];
    let location = Location { path: days, template };
    table_input(place, "orgtrail_days", &[("date", "date")], &own, &[], &location)
}

struct Location {
    path: String,
    template: String,
}

fn table_input(
    place: &Place,
    name: &str,
    keys: &[(&str, &str)],
    own: &[(&str, &str)],
    projection: &[(&str, String)],
    location: &Location,
) -> String {
    let schema = schema();
    let columns: Vec<String> = schema
        .fields()
        .iter()
        .map(|field| column(field.name(), &hive(field.data_type()), 6))
        .chain(own.iter().map(|(name, kind)| column(name, kind, 6)))
        .collect();
    let keys: Vec<String> = keys.iter().map(|(name, kind)| column(name, kind, 4)).collect();
    let fixed = [("classification", "parquet"), ("projection.enabled", "true")];
    let dates = [
        ("projection.date.type", "date".to_owned()),
        ("projection.date.format", "yyyy-MM-dd".to_owned()),
        ("projection.date.range", format!("{},NOW", place.first_date)),
        ("storage.location.template", location.template.clone()),
    ];
    let parameters: Vec<String> = fixed
        .iter()
        .map(|(name, value)| (*name, (*value).to_owned()))
        .chain(projection.iter().cloned())
        .chain(dates)
        .map(|(name, value)| format!("    {name:?}: {}", quoted(&value)))
        .collect();
    format!(
        "{{\n  \"Name\": \"{name}\",\n  \"TableType\": \"EXTERNAL_TABLE\",\n  \
         \"PartitionKeys\": [\n{}\n  ],\n  \"Parameters\": {{\n{}\n  }},\n  \
         \"StorageDescriptor\": {{\n    \"Location\": {},\n    \"InputFormat\": \"{INPUT_FORMAT}\",\n    \
         \"OutputFormat\": \"{OUTPUT_FORMAT}\",\n    \"SerdeInfo\": {{\"SerializationLibrary\": \"{SERDE}\"}},\n    \
         \"Columns\": [\n{}\n    ]\n  }}\n}}\n",
        keys.join(",\n"),
        parameters.join(",\n"),
        quoted(&format!("{}/", location.path)),
        columns.join(",\n"),
    )
}

fn column(name: &str, kind: &str, indent: usize) -> String {
    format!("{:indent$}{{\"Name\": \"{name}\", \"Type\": \"{kind}\"}}", "")
}

/// A JSON string: URLs hold nothing that needs more than this.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
