//! The whole record of a row, as CloudTrail Lake's `eventjson` has it.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringBuilder};
use arrow::datatypes::{Field, Schema};
use datafusion::common::{Result, plan_err};
use integrity::sha256;
use table::row::RecordJson;
use table::schema::schema;

use super::{Function, map_text, strings, text, texts};

pub(super) fn functions() -> Vec<Function> {
    vec![
        Function::new("event_json", |given| Ok(given.to_vec()), text, event_json),
        Function::new("sha256_hex", texts::<1>, text, |columns| {
            Ok(map_text(strings(columns, 0)?, |text| {
                Some(sha256(text.as_bytes()).to_string().into())
            }))
        }),
    ]
}

/// The columns that `event_json` takes, in this order.
pub(crate) fn record_columns() -> Vec<String> {
    let schema = schema();
    let own = |name: &&String| !name.starts_with("orgtrail_");
    schema.fields().iter().map(|field| field.name()).filter(own).cloned().collect()
}

fn event_json(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let names = record_columns();
    if names.len() != columns.len() {
        return plan_err!("event_json takes the {} columns of a record", names.len());
    }
    let fields: Vec<Field> = names
        .iter()
        .zip(columns)
        .map(|(name, column)| Field::new(name, column.data_type().clone(), true))
        .collect();
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns.to_vec())?;
    let json = RecordJson::of(&batch)?;
    let mut records = StringBuilder::new();
    let mut record = Vec::new();
    for row in 0..batch.num_rows() {
        record.clear();
        json.write(row, &mut record);
        records.append_value(String::from_utf8_lossy(&record));
    }
    Ok(Arc::new(records.finish()))
}
