//! The columns' types as others name them.

use arrow::datatypes::{DataType, Fields};

/// Hive's names, which Athena, Glue and Spark take.
pub(super) fn hive(kind: &DataType) -> String {
    match kind {
        DataType::Boolean => "boolean".to_owned(),
        DataType::Int64 => "bigint".to_owned(),
        DataType::Date32 => "date".to_owned(),
        DataType::Timestamp(..) => "timestamp".to_owned(),
        DataType::Struct(members) => format!("struct<{}>", each(members, ':', hive)),
        DataType::List(item) => format!("array<{}>", hive(item.data_type())),
        _ => "string".to_owned(),
    }
}

pub(super) fn trino(kind: &DataType) -> String {
    match kind {
        DataType::Boolean => "boolean".to_owned(),
        DataType::Int64 => "bigint".to_owned(),
        DataType::Date32 => "date".to_owned(),
        DataType::Timestamp(..) => "timestamp(3)".to_owned(),
        DataType::Struct(members) => format!("row({})", each(members, ' ', trino)),
        DataType::List(item) => format!("array({})", trino(item.data_type())),
        _ => "varchar".to_owned(),
    }
}

fn each(members: &Fields, between: char, of: fn(&DataType) -> String) -> String {
    let named = members
        .iter()
        .map(|member| format!("{}{between}{}", member.name(), of(member.data_type())));
    named.collect::<Vec<_>>().join(if between == ':' { "," } else { ", " })
}
