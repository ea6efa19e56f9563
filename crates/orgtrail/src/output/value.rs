//! One value of a batch, as text for people or as JSON.

use arrow::array::{Array, ArrayRef, AsArray, MapArray};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Date32Type, Float32Type, Float64Type, TimeUnit, TimestampMicrosecondType,
};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

/// How deep values are taken apart; columns of the table are four deep.
const DEPTH_MAX: usize = 32;

/// A value as text: a string is itself, what is nested is JSON, nothing is empty.
pub(crate) fn value_text(array: &dyn Array, row: usize) -> String {
    if is_null(array, row) {
        return String::new();
    }
    let mut json = Vec::new();
    write_json(array, row, 0, &mut json);
    let json = String::from_utf8_lossy(&json).into_owned();
    match serde_json::from_str::<String>(&json) {
        Ok(text) => text,
        Err(_) => json,
    }
}

/// Whether there is no value. A column of nothing but NULL has no type, and to Arrow values.
pub(super) fn is_null(array: &dyn Array, row: usize) -> bool {
    array.is_null(row) || array.data_type() == &DataType::Null
}

/// A time as RFC 3339 in UTC, with as many digits as it needs.
pub(crate) fn time_text(micros: i64) -> String {
    Timestamp::from_microsecond(micros)
        .map_or_else(|_| format!("{micros} µs"), |time| time.to_string())
}

/// A time as people in `zone` write it, with its offset; none for UTC, where
/// [`time_text`] does, and for what is no time.
pub(crate) fn local_time(array: &dyn Array, row: usize, zone: &TimeZone) -> Option<String> {
    let DataType::Timestamp(_, Some(own)) = array.data_type() else { return None };
    // A query that says AT TIME ZONE wants that one.
    let is_utc = matches!(&**own, "UTC" | "+00:00");
    if !is_utc || array.is_null(row) || *zone == TimeZone::UTC {
        return None;
    }
    let micros = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let one = cast(&array.slice(row, 1), &micros).ok()?;
    let micros = one.as_primitive::<TimestampMicrosecondType>().value(0);
    let time = Timestamp::from_microsecond(micros).ok()?.to_zoned(zone.clone());
    Some(time.strftime("%Y-%m-%dT%H:%M:%S%.f%:z").to_string())
}

/// Appends a value as JSON. Members that are null are left out.
pub(crate) fn write_json(array: &dyn Array, row: usize, depth: usize, out: &mut Vec<u8>) {
    if is_null(array, row) || depth > DEPTH_MAX {
        out.extend_from_slice(b"null");
        return;
    }
    match array.data_type() {
        DataType::Boolean => {
            out.extend_from_slice(if array.as_boolean().value(row) { b"true" } else { b"false" })
        }
        DataType::Utf8 => write_string(array.as_string::<i32>().value(row), out),
        DataType::LargeUtf8 => write_string(array.as_string::<i64>().value(row), out),
        DataType::Utf8View => write_string(array.as_string_view().value(row), out),
        DataType::Float32 => {
            write_number(f64::from(array.as_primitive::<Float32Type>().value(row)), out)
        }
        DataType::Float64 => write_number(array.as_primitive::<Float64Type>().value(row), out),
        kind if kind.is_integer() => out.extend_from_slice(shown(array, row).as_bytes()),
        DataType::Date32 => {
            write_string(&date_text(array.as_primitive::<Date32Type>().value(row)), out)
        }
        DataType::Timestamp(..) => write_string(&timestamp_text(array, row), out),
        DataType::Struct(fields) => {
            out.push(b'{');
            let mut first = true;
            for (field, column) in fields.iter().zip(array.as_struct().columns()) {
                if is_null(column, row) {
                    continue;
                }
                if !std::mem::take(&mut first) {
                    out.push(b',');
                }
                write_string(field.name(), out);
                out.push(b':');
                write_json(column, row, depth + 1, out);
            }
            out.push(b'}');
        }
        DataType::Map(..) => write_map(array.as_map(), row, depth, out),
        DataType::List(_) => write_list(&array.as_list::<i32>().value(row), depth, out),
        DataType::LargeList(_) => write_list(&array.as_list::<i64>().value(row), depth, out),
        DataType::FixedSizeList(..) => {
            write_list(&array.as_fixed_size_list().value(row), depth, out)
        }
        DataType::Dictionary(_, kind) => match cast(&array.slice(row, 1), kind) {
            Ok(values) => write_json(&values, 0, depth + 1, out),
            Err(_) => write_string(&shown(array, row), out),
        },
        _ => write_string(&shown(array, row), out),
    }
}

/// A map as an object.
fn write_map(maps: &MapArray, row: usize, depth: usize, out: &mut Vec<u8>) {
    let entries = maps.value(row);
    let [keys, values] = entries.columns() else { return out.extend_from_slice(b"null") };
    out.push(b'{');
    for entry in 0..entries.len() {
        if entry > 0 {
            out.push(b',');
        }
        write_string(&value_text(keys, entry), out);
        out.push(b':');
        write_json(values, entry, depth + 1, out);
    }
    out.push(b'}');
}

fn write_list(values: &ArrayRef, depth: usize, out: &mut Vec<u8>) {
    out.push(b'[');
    for row in 0..values.len() {
        if row > 0 {
            out.push(b',');
        }
        write_json(values, row, depth + 1, out);
    }
    out.push(b']');
}

pub(crate) fn write_string(text: &str, out: &mut Vec<u8>) {
    serde_json::to_writer(out, text).expect("memory takes what is written");
}

fn write_number(number: f64, out: &mut Vec<u8>) {
    if number.is_finite() {
        serde_json::to_writer(out, &number).expect("memory takes what is written");
    } else {
        write_string(&number.to_string(), out);
    }
}

/// Whatever else there is, as the library shows it.
fn shown(array: &dyn Array, row: usize) -> String {
    let formatter = ArrayFormatter::try_new(array, &FormatOptions::default());
    formatter.map(|formatter| formatter.value(row).to_string()).unwrap_or_default()
}

fn date_text(days: i32) -> String {
    let epoch = Date::constant(1970, 1, 1);
    let span = jiff::SignedDuration::from_hours(i64::from(days) * 24);
    epoch.checked_add(span).map_or_else(|_| days.to_string(), |date| date.to_string())
}

fn timestamp_text(array: &dyn Array, row: usize) -> String {
    let one = array.slice(row, 1);
    let DataType::Timestamp(_, zone) = array.data_type() else { return shown(array, row) };
    let Ok(one) = cast(&one, &DataType::Timestamp(TimeUnit::Microsecond, zone.clone())) else {
        return shown(array, row);
    };
    let micros = one.as_primitive::<TimestampMicrosecondType>().value(0);
    match zone.as_deref() {
        None | Some("UTC" | "+00:00") => time_text(micros),
        // The query says AT TIME ZONE.
        Some(_) => shown(&one, 0),
    }
}
