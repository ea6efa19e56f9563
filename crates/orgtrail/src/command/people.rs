//! An event in the words of people: when, where, what, who, from where, with
//! what result.

use std::sync::Arc;

use anyhow::Context;
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray, StructArray};
use arrow::datatypes::{DataType, Field, Schema, TimestampMicrosecondType};

use crate::output::time_text;

/// Rows with the columns that people look at.
pub(crate) fn for_people(batch: &RecordBatch) -> anyhow::Result<RecordBatch> {
    let column =
        |name: &str| batch.column_by_name(name).with_context(|| format!("no column {name}"));
    let times = column("eventtime")?.as_primitive::<TimestampMicrosecondType>();
    let time =
        (0..batch.num_rows()).map(|row| times.is_valid(row).then(|| short_time(times.value(row))));
    let identity = column("useridentity")?.as_struct();
    let who = (0..batch.num_rows()).map(|row| Some(who(identity, row)));
    let (codes, messages) = (column("errorcode")?, column("errormessage")?);
    let result =
        (0..batch.num_rows()).map(|row| Some(result(text(codes, row), text(messages, row))));
    let columns: [(&str, ArrayRef); 7] = [
        ("time (UTC)", Arc::new(time.collect::<StringArray>())),
        ("account", Arc::clone(column("account")?)),
        ("region", Arc::clone(column("region")?)),
        ("event", Arc::clone(column("eventname")?)),
        ("who", Arc::new(who.collect::<StringArray>())),
        ("from", Arc::clone(column("sourceipaddress")?)),
        ("result", Arc::new(result.collect::<StringArray>())),
    ];
    let fields: Vec<Field> =
        columns.iter().map(|(name, _)| Field::new(*name, DataType::Utf8, true)).collect();
    let columns = columns.into_iter().map(|(_, column)| column).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).context("choose columns")
}

/// `2026-11-20 11:31:02`
fn short_time(micros: i64) -> String {
    let time = time_text(micros);
    time.strip_suffix('Z').unwrap_or(&time).replacen('T', " ", 1)
}

fn text(column: &ArrayRef, row: usize) -> Option<&str> {
    let column = column.as_string_opt::<i32>()?;
    column.is_valid(row).then(|| column.value(row))
}

fn member<'a>(of: &'a StructArray, name: &str, row: usize) -> Option<&'a str> {
    if of.is_null(row) {
        return None;
    }
    text(of.column_by_name(name)?, row).filter(|text| !text.is_empty())
}

/// Who acted, as briefly as it stays clear.
fn who(identity: &StructArray, row: usize) -> String {
    let of = |name| member(identity, name, row);
    let arn = of("arn").unwrap_or_default();
    match of("type").unwrap_or_default() {
        "Root" => Some("root".to_owned()),
        "IAMUser" => of("username").map(|name| format!("user:{name}")),
        "AssumedRole" => arn
            .rsplit_once(":assumed-role/")
            .and_then(|(_, rest)| rest.split_once('/'))
            .map(assumed),
        "AWSService" => of("invokedby").map(|service| format!("service:{service}")),
        "AWSAccount" => of("accountid").map(|account| format!("account:{account}")),
        _ => None,
    }
    .or_else(|| {
        let names = ["username", "arn", "principalid", "invokedby", "accountid", "type"];
        names.into_iter().find_map(of).map(str::to_owned)
    })
    .unwrap_or_else(|| "-".to_owned())
}

/// `sso:anna via Admin` for single sign-on, `session via role` for other roles.
fn assumed((role, session): (&str, &str)) -> String {
    match role.strip_prefix("AWSReservedSSO_") {
        Some(set) => {
            format!("sso:{session} via {}", set.rsplit_once('_').map_or(set, |(set, _)| set))
        }
        None => format!("{session} via {role}"),
    }
}

fn result(code: Option<&str>, message: Option<&str>) -> String {
    match (code, message) {
        (None | Some(""), None | Some("")) => "ok".to_owned(),
        (None | Some(""), Some(_)) => "failed".to_owned(),
        (Some(code), _) if code.contains("AccessDenied") || code.contains("Unauthorized") => {
            "denied".to_owned()
        }
        (Some(code), _) => code.to_owned(),
    }
}
