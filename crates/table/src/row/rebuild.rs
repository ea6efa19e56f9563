//! A row becomes the record again.
//!
//! Members come in the columns' order, then what `unmapped` has besides: the
//! same JSON value as the original, not the same bytes.

use std::borrow::Cow;

use arrow::array::{
    Array, AsArray, BooleanArray, ListArray, RecordBatch, StringArray, StructArray,
    TimestampMicrosecondArray,
};
use arrow::compute::cast;
use arrow::datatypes::TimestampMicrosecondType;
use arrow::error::ArrowError;
use event::json::{members, unescape};
use event::time::{DAY_MICROS, date_from_days, day_of};

use crate::schema::{Member, NULLS, RECORD, Shape, UNMAPPED, data_type};

/// Rebuilds records, as JSON values equal to the originals, from a batch of rows.
///
/// The batch needs the record's columns and `unmapped` and `nulls`, by name and
/// in any order; views and dictionaries, as query engines make them, are fine.
#[derive(Debug)]
pub struct RecordJson {
    columns: Vec<Values>,
    unmapped: StringArray,
    nulls: StringArray,
}

impl RecordJson {
    /// Finds the columns of `batch`.
    ///
    /// # Errors
    /// A column is absent, or of a type that does not convert to its own.
    pub fn of(batch: &RecordBatch) -> Result<Self, ArrowError> {
        let column = |name: &str, shape: &Shape| {
            let found = batch.column_by_name(name).ok_or_else(|| {
                ArrowError::SchemaError(format!("a record cannot be rebuilt without column {name}"))
            })?;
            cast(found, &data_type(shape))
        };
        let text =
            |name: &str| Ok::<_, ArrowError>(column(name, &Shape::Text)?.as_string().clone());
        let values = |member: &Member| {
            Ok::<_, ArrowError>(Values::of(&*column(member.column, &member.shape)?, &member.shape))
        };
        Ok(Self {
            columns: RECORD.iter().map(values).collect::<Result<_, _>>()?,
            unmapped: text(UNMAPPED)?,
            nulls: text(NULLS)?,
        })
    }

    /// Appends the record of this row to `out`, as one line without line feed.
    ///
    /// # Panics
    /// If the batch has no such row.
    pub fn write(&self, row: usize, out: &mut Vec<u8>) {
        let nulls = if self.nulls.is_null(row) { "" } else { self.nulls.value(row) };
        let unmapped = if self.unmapped.is_null(row) { "" } else { self.unmapped.value(row) };
        let mut path = String::new();
        write_object(
            RECORD,
            &self.columns,
            row,
            unmapped.as_bytes(),
            &mut Nulls { nulls, path: &mut path },
            out,
        );
    }
}

/// The values of one column.
#[derive(Debug)]
enum Values {
    Text(StringArray),
    Json(StringArray),
    Boolean(BooleanArray),
    Time(TimestampMicrosecondArray),
    Struct(StructArray, &'static [Member], Vec<Self>),
    List(ListArray, &'static [Member], Vec<Self>),
}

impl Values {
    fn of(array: &dyn Array, shape: &Shape) -> Self {
        match shape {
            Shape::Text => Self::Text(array.as_string().clone()),
            Shape::Json => Self::Json(array.as_string().clone()),
            Shape::Boolean => Self::Boolean(array.as_boolean().clone()),
            Shape::Time => Self::Time(array.as_primitive::<TimestampMicrosecondType>().clone()),
            Shape::Struct(members) => {
                let array = array.as_struct();
                Self::Struct(array.clone(), members, Self::of_members(array, members))
            }
            Shape::List(members) => {
                let array = array.as_list::<i32>();
                Self::List(
                    array.clone(),
                    members,
                    Self::of_members(array.values().as_struct(), members),
                )
            }
        }
    }

    fn of_members(array: &StructArray, members: &'static [Member]) -> Vec<Self> {
        let values = array.columns().iter().zip(members);
        values.map(|(column, member)| Self::of(column, &member.shape)).collect()
    }

    fn is_null(&self, row: usize) -> bool {
        match self {
            Self::Text(array) | Self::Json(array) => array.is_null(row),
            Self::Boolean(array) => array.is_null(row),
            Self::Time(array) => array.is_null(row),
            Self::Struct(array, ..) => array.is_null(row),
            Self::List(array, ..) => array.is_null(row),
        }
    }

    /// Writes a value that is not null; `rest` is what `unmapped` has of an object.
    fn write(&self, row: usize, rest: &[u8], nulls: &mut Nulls<'_>, out: &mut Vec<u8>) {
        match self {
            Self::Text(array) => write_string(array.value(row), out),
            Self::Json(array) => out.extend_from_slice(array.value(row).as_bytes()),
            Self::Boolean(array) => {
                out.extend_from_slice(if array.value(row) { b"true" } else { b"false" });
            }
            Self::Time(array) => write_time(array.value(row), out),
            Self::Struct(_, members, columns) => {
                write_object(members, columns, row, rest, nulls, out)
            }
            Self::List(array, members, columns) => {
                let offsets = array.value_offsets();
                let at = |row: usize| offsets.get(row).and_then(|end| usize::try_from(*end).ok());
                let (start, end) = (at(row).unwrap_or(0), at(row + 1).unwrap_or(0));
                out.push(b'[');
                for element in start..end {
                    if element > start {
                        out.push(b',');
                    }
                    // An array with anything else in its elements is in `unmapped`, whole.
                    let mut none = Nulls { nulls: "", path: &mut String::new() };
                    write_object(members, columns, element, b"", &mut none, out);
                }
                out.push(b']');
            }
        }
    }
}

/// The members that are `null`, and the object that is being written.
struct Nulls<'a> {
    nulls: &'a str,
    path: &'a mut String,
}

impl Nulls<'_> {
    /// Whether the record has this member as `null`.
    fn has(&self, key: &str) -> bool {
        !self.nulls.is_empty()
            && self.nulls.split(',').any(|path| path.strip_prefix(self.path.as_str()) == Some(key))
    }
}

/// One member of `unmapped`: its name if it is text, then key and value as they stand.
struct Other<'a> {
    name: Option<Cow<'a, str>>,
    key: &'a [u8],
    value: &'a [u8],
}

fn others_of(unmapped: &[u8]) -> Vec<Other<'_>> {
    let walk = if unmapped.is_empty() { None } else { members(unmapped).ok() };
    let member = walk.into_iter().flatten().map_while(Result::ok);
    member
        .map(|member| Other {
            name: unescape(member.key).ok(),
            key: member.key,
            value: member.value,
        })
        .collect()
}

fn write_object(
    members: &[Member],
    columns: &[Values],
    row: usize,
    unmapped: &[u8],
    nulls: &mut Nulls<'_>,
    out: &mut Vec<u8>,
) {
    let mut others = others_of(unmapped);
    out.push(b'{');
    let start = out.len();
    for (member, column) in members.iter().zip(columns) {
        let mut rest: &[u8] = b"";
        if !others.is_empty() {
            let is_it = |other: &&Other<'_>| other.name.as_deref() == Some(member.key);
            let mut held = others.iter().filter(is_it);
            match (held.next(), held.next()) {
                (None, _) => {}
                // What is left of an object is united with its struct.
                (Some(one), None)
                    if matches!(column, Values::Struct(..)) && one.value.starts_with(b"{") =>
                {
                    rest = one.value;
                    others.retain(|other| other.name.as_deref() != Some(member.key));
                }
                // Otherwise `unmapped` has the value itself.
                (Some(_), _) => continue,
            }
        }
        if !column.is_null(row) {
            write_key(member.key.as_bytes(), start, out);
            let outer = nulls.path.len();
            if matches!(column, Values::Struct(..)) {
                nulls.path.push_str(member.key);
                nulls.path.push('.');
            }
            column.write(row, rest, nulls, out);
            nulls.path.truncate(outer);
        } else if nulls.has(member.key) {
            write_key(member.key.as_bytes(), start, out);
            out.extend_from_slice(b"null");
        }
    }
    for other in others {
        write_key(other.key, start, out);
        out.extend_from_slice(other.value);
    }
    out.push(b'}');
}

fn write_key(key: &[u8], start: usize, out: &mut Vec<u8>) {
    if out.len() > start {
        out.push(b',');
    }
    out.push(b'"');
    out.extend_from_slice(key);
    out.extend_from_slice(b"\":");
}

fn write_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    let needs_escape = |byte: &u8| *byte < 0x20 || *byte == b'"' || *byte == b'\\';
    while let Some(at) = rest.iter().position(needs_escape) {
        let (plain, escaped) = rest.split_at(at);
        out.extend_from_slice(plain);
        match escaped.first() {
            Some(byte @ (b'"' | b'\\')) => out.extend_from_slice(&[b'\\', *byte]),
            Some(byte) => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            None => {}
        }
        rest = escaped.get(1..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

/// The column alone stands for a time only if it was written like this.
fn write_time(micros: i64, out: &mut Vec<u8>) {
    let days = day_of(micros);
    let (year, month, day) = date_from_days(days);
    let seconds = (micros - days * DAY_MICROS) / 1_000_000;
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    let text = format!("\"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z\"");
    out.extend_from_slice(text.as_bytes());
}
