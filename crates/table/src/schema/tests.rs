//! What users are told about the columns is what the columns are.

use super::*;

/// Column, type and field of every line of the page's last table.
fn documented() -> Vec<[String; 3]> {
    let page = include_str!("../../../../docs/schema.md");
    let (_, columns) = page.split_once("## Columns").expect("the columns' heading");
    let lines = columns.lines().filter(|line| line.starts_with("| `"));
    let cell = |cell: Option<&str>| cell.expect("a cell").trim().trim_matches('`').to_owned();
    lines
        .map(|line| {
            let mut cells = line.split('|').skip(1);
            [cell(cells.next()), cell(cells.next()), cell(cells.next())]
        })
        .collect()
}

fn expect_members(members: &[Member], column: &str, field: &str, out: &mut Vec<[String; 3]>) {
    for member in members {
        let (column, field) =
            (format!("{column}{}", member.column), format!("{field}{}", member.key));
        let (word, inner) = match member.shape {
            Shape::Text => ("text", None),
            Shape::Json => ("JSON text", None),
            Shape::Boolean => ("boolean", None),
            Shape::Time => ("timestamp", None),
            Shape::Struct(members) => ("struct", Some((members, "."))),
            Shape::List(members) => ("list of struct", Some((members, "[]."))),
        };
        out.push([column.clone(), word.to_owned(), field.clone()]);
        if let Some((members, step)) = inner {
            expect_members(members, &format!("{column}."), &format!("{field}{step}"), out);
        }
    }
}

#[test]
fn every_column_is_documented_as_it_is() {
    let mut expected = Vec::new();
    expect_members(RECORD, "", "", &mut expected);
    for field in schema().fields().iter().skip(RECORD.len()) {
        let word = match (field.name().as_str(), field.data_type()) {
            (UNMAPPED, DataType::Utf8) => "JSON text",
            (_, DataType::Utf8) => "text",
            (_, DataType::Int64) => "bigint",
            (INDICATORS, DataType::List(_)) => "list of text",
            other => panic!("no word for {other:?}"),
        };
        expected.push([field.name().clone(), word.to_owned(), String::new()]);
    }
    assert_eq!(documented(), expected);
}

#[test]
fn no_column_of_a_partition_file_repeats_a_partition_keys_name() {
    let schema = schema();
    for key in PARTITION_KEYS {
        assert!(schema.field_with_name(key).is_err(), "{key}");
    }
    assert_eq!(fresh_schema().fields().len(), schema.fields().len() + PARTITION_KEYS.len());
}

/// Athena, Spark and DuckDB do not tell names apart by case.
#[test]
fn names_are_lower_case_and_different() {
    fn check(fields: &Fields) {
        for (index, field) in fields.iter().enumerate() {
            assert_eq!(*field.name(), field.name().to_ascii_lowercase());
            assert!(fields.iter().skip(index + 1).all(|other| other.name() != field.name()));
            if let DataType::Struct(fields) = field.data_type() {
                check(fields);
            }
        }
    }
    check(fresh_schema().fields());
}
