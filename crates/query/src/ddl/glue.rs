//! The table as the Glue catalog's API takes it.

use table::schema::schema;

use super::Place;
use super::columns::hive;

const INPUT_FORMAT: &str = "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat";
const OUTPUT_FORMAT: &str = "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat";
const SERDE: &str = "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe";

/// For `aws glue create-table --database-name … --table-input file://…`.
pub(super) fn table_input(place: &Place) -> String {
    let schema = schema();
    let columns: Vec<String> = schema
        .fields()
        .iter()
        .map(|field| column(field.name(), &hive(field.data_type()), 6))
        .collect();
    let keys =
        [column("account", "string", 4), column("region", "string", 4), column("date", "date", 4)];
    let events = place.events();
    let template = format!("{events}/account=${{account}}/region=${{region}}/date=${{date}}/");
    let parameters = [
        ("classification", "parquet".to_owned()),
        ("projection.enabled", "true".to_owned()),
        ("projection.account.type", "enum".to_owned()),
        ("projection.account.values", place.accounts()),
        ("projection.region.type", "enum".to_owned()),
        ("projection.region.values", place.regions()),
        ("projection.date.type", "date".to_owned()),
        ("projection.date.format", "yyyy-MM-dd".to_owned()),
        ("projection.date.range", format!("{},NOW", place.first_date)),
        ("storage.location.template", template),
    ];
    let parameters: Vec<String> =
        parameters.iter().map(|(name, value)| format!("    {name:?}: {}", quoted(value))).collect();
    format!(
        "{{\n  \"Name\": \"orgtrail_events\",\n  \"TableType\": \"EXTERNAL_TABLE\",\n  \
         \"PartitionKeys\": [\n{}\n  ],\n  \"Parameters\": {{\n{}\n  }},\n  \
         \"StorageDescriptor\": {{\n    \"Location\": {},\n    \"InputFormat\": \"{INPUT_FORMAT}\",\n    \
         \"OutputFormat\": \"{OUTPUT_FORMAT}\",\n    \"SerdeInfo\": {{\"SerializationLibrary\": \"{SERDE}\"}},\n    \
         \"Columns\": [\n{}\n    ]\n  }}\n}}\n",
        keys.join(",\n"),
        parameters.join(",\n"),
        quoted(&format!("{events}/")),
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
