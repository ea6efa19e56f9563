//! JSON text: `json_extract` and its kin. JSON has no type of its own here; it is
//! text, and casts of it to other types are functions (see `dialect::rewrite`).

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{Array as _, ArrayRef, BooleanArray, Int64Array, ListBuilder, StringBuilder};
use arrow::datatypes::{DataType, Field, Int64Type};
use datafusion::common::cast::as_primitive_array;
use datafusion::common::{Result, exec_err, plan_datafusion_err};
use event::json::{elements, members, string_contents, unescape, value_end};

use super::{Function, Memo, bigint, boolean, map_text, strings, text, texts};
use crate::json_path::JsonPath;

pub(super) fn functions() -> Vec<Function> {
    vec![
        Function::new("json_extract", texts::<2>, text, |columns| by_path(columns, compact)),
        Function::new("json_extract_scalar", texts::<2>, text, |columns| by_path(columns, scalar)),
        Function::new("json_query", texts::<2>, text, |columns| by_path(columns, compact)),
        Function::new("json_value", texts::<2>, text, |columns| by_path(columns, scalar)),
        Function::new("json_exists", texts::<2>, boolean, exists),
        Function::new("json_parse", texts::<1>, text, |columns| {
            let texts = strings(columns, 0)?;
            for text in texts.iter().flatten() {
                if !is_json(text) {
                    return exec_err!("json_parse: {text:?} is no JSON");
                }
            }
            Ok(Arc::clone(columns.first().expect("as many as taken")))
        }),
        Function::new("json_format", texts::<1>, text, |columns| {
            Ok(map_text(strings(columns, 0)?, |text| {
                let value = text.trim_ascii();
                if is_json(value) { compact(value.as_bytes()) } else { Some(Cow::Borrowed(text)) }
            }))
        }),
        Function::new(
            "json_array_get",
            |_| Ok(vec![DataType::Utf8, DataType::Int64]),
            text,
            array_get,
        ),
        Function::new("json_array_length", texts::<1>, bigint, |columns| {
            let texts = strings(columns, 0)?.iter();
            let lengths = texts.map(|text| count_elements(text?.trim_ascii().as_bytes()));
            Ok(Arc::new(lengths.collect::<Int64Array>()))
        }),
        Function::new("json_size", texts::<2>, bigint, size),
        Function::new("json_array_contains", texts::<2>, boolean, array_contains),
        Function::new("is_json_scalar", texts::<1>, boolean, |columns| {
            let texts = strings(columns, 0)?.iter();
            let found = texts.map(|text| Some(!text?.trim_ascii().starts_with(['{', '['])));
            Ok(Arc::new(found.collect::<BooleanArray>()))
        }),
        // What casts of JSON become.
        Function::new("json_scalar", texts::<1>, text, |columns| {
            Ok(map_text(strings(columns, 0)?, |text| {
                let value = text.trim_ascii().as_bytes();
                // Text that is no JSON is text already.
                if is_json(text) { scalar(value) } else { Some(Cow::Borrowed(text)) }
            }))
        }),
        Function::new("json_texts", texts::<1>, text_list, |columns| list(columns, scalar_or_json)),
        Function::new("json_elements", texts::<1>, text_list, |columns| list(columns, compact)),
    ]
}

fn text_list(_: &[DataType]) -> Result<DataType> {
    Ok(DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true))))
}

fn path(text: &str) -> Result<JsonPath> {
    JsonPath::parse_rooted(text).map_err(|error| plan_datafusion_err!("{error}"))
}

/// A scalar's text; nothing for an object, an array or null.
pub(super) fn scalar(value: &[u8]) -> Option<Cow<'_, str>> {
    match value.first()? {
        b'{' | b'[' => None,
        _ => scalar_or_json(value),
    }
}

/// A string's text, any other value's JSON; nothing for null.
pub(super) fn scalar_or_json(value: &[u8]) -> Option<Cow<'_, str>> {
    if value == b"null" {
        return None;
    }
    match string_contents(value) {
        // A lone surrogate has no text; its JSON has.
        Some(contents) => match unescape(contents) {
            Ok(text) => Some(text),
            Err(_) => compact(value),
        },
        None => compact(value),
    }
}

/// JSON without blanks between its tokens, as Trino writes it: published queries
/// look for `"instanceId":"i-1"` with LIKE.
fn compact(value: &[u8]) -> Option<Cow<'_, str>> {
    let json = std::str::from_utf8(value).ok()?;
    let mut outside = String::new();
    let (mut in_string, mut escaped) = (false, false);
    for letter in json.chars() {
        match letter {
            ' ' | '\t' | '\r' | '\n' if !in_string => continue,
            '"' if !escaped => in_string = !in_string,
            _ => {}
        }
        escaped = in_string && letter == '\\' && !escaped;
        outside.push(letter);
    }
    Some(if outside.len() == json.len() { Cow::Borrowed(json) } else { Cow::Owned(outside) })
}

fn is_json(text: &str) -> bool {
    let bytes = text.trim_ascii().as_bytes();
    value_end(bytes, 0).is_ok_and(|end| end == bytes.len())
}

fn by_path(
    columns: &[ArrayRef],
    tell: impl for<'a> Fn(&'a [u8]) -> Option<Cow<'a, str>>,
) -> Result<ArrayRef> {
    let (texts, paths) = (strings(columns, 0)?, strings(columns, 1)?);
    let mut memo = Memo::new(path);
    let mut found = StringBuilder::new();
    for (text, path) in texts.iter().zip(paths) {
        let (Some(text), Some(path)) = (text, path) else {
            found.append_null();
            continue;
        };
        found.append_option(memo.get(path)?.find(text).and_then(&tell));
    }
    Ok(Arc::new(found.finish()))
}

/// Whether there is something at a path, be it null.
fn exists(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let (texts, paths) = (strings(columns, 0)?, strings(columns, 1)?);
    let mut memo = Memo::new(path);
    let mut found = BooleanArray::builder(texts.len());
    for (text, path) in texts.iter().zip(paths) {
        found.append_option(match (text, path) {
            (Some(text), Some(path)) => Some(memo.get(path)?.find(text).is_some()),
            _ => None,
        });
    }
    Ok(Arc::new(found.finish()))
}

fn array_get(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let texts = strings(columns, 0)?;
    let indices = as_primitive_array::<Int64Type>(columns.get(1).expect("as many as taken"))?;
    let mut found = StringBuilder::new();
    for (text, index) in texts.iter().zip(indices) {
        let element = text.zip(index).and_then(|(text, index)| {
            let array = text.trim_ascii().as_bytes();
            let index = if index < 0 { count_elements(array)? + index } else { index };
            elements(array).ok()?.nth(usize::try_from(index).ok()?)?.ok()
        });
        found.append_option(element.and_then(compact));
    }
    Ok(Arc::new(found.finish()))
}

fn count_elements(array: &[u8]) -> Option<i64> {
    let mut count = 0;
    for element in elements(array).ok()? {
        element.ok()?;
        count += 1;
    }
    Some(count)
}

/// Members of an object, elements of an array, 0 for a scalar.
fn size(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let (texts, paths) = (strings(columns, 0)?, strings(columns, 1)?);
    let mut memo = Memo::new(path);
    let mut sizes = Int64Array::builder(texts.len());
    for (text, path) in texts.iter().zip(paths) {
        let size = match (text, path) {
            (Some(text), Some(path)) => {
                memo.get(path)?.find(text).and_then(|value| match value.first()? {
                    b'{' => i64::try_from(members(value).ok()?.count()).ok(),
                    b'[' => count_elements(value),
                    _ => Some(0),
                })
            }
            _ => None,
        };
        sizes.append_option(size);
    }
    Ok(Arc::new(sizes.finish()))
}

fn array_contains(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let (texts, wanted) = (strings(columns, 0)?, strings(columns, 1)?);
    let found = texts.iter().zip(wanted).map(|(text, wanted)| {
        let wanted = wanted?;
        let array = elements(text?.trim_ascii().as_bytes()).ok()?;
        let mut texts = array.filter_map(std::result::Result::ok).filter_map(scalar);
        Some(texts.any(|text| text == wanted))
    });
    Ok(Arc::new(found.collect::<BooleanArray>()))
}

/// The elements of arrays, as `tell` says them.
fn list(
    columns: &[ArrayRef],
    tell: impl for<'a> Fn(&'a [u8]) -> Option<Cow<'a, str>>,
) -> Result<ArrayRef> {
    let mut lists = ListBuilder::new(StringBuilder::new());
    for text in strings(columns, 0)? {
        let array = text.and_then(|text| elements(text.trim_ascii().as_bytes()).ok());
        let Some(array) = array else {
            lists.append_null();
            continue;
        };
        for element in array.filter_map(std::result::Result::ok) {
            lists.values().append_option(tell(element));
        }
        lists.append(true);
    }
    Ok(Arc::new(lists.finish()))
}
