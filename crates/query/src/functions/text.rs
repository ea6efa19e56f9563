//! Texts: their parts, patterns, and values as texts.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{Array as _, ArrayRef, Int64Array, StringArray, StringBuilder};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, TimeUnit};
use datafusion::common::cast::as_primitive_array;
use datafusion::common::{Result, exec_err, plan_err};
use datafusion::functions::unicode::{reverse, substr as datafusion_substr};
use datafusion::functions_nested::reverse::array_reverse_udf;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{Expr, cast as cast_expr};

use super::{Function, bigint, strings, text, texts};

pub(super) fn functions() -> Vec<Function> {
    vec![
        Function::new("substr", with_numbers, text, substr)
            .alias("substring")
            .simplified(substr_from_the_beginning),
        Function::new("split_part", with_numbers, text, split_part),
        Function::new("strpos", with_instance, bigint, strpos),
        Function::new("like_pattern", texts::<2>, text, |columns| {
            let mut escapes = strings(columns, 1)?.iter();
            let mut wrong = None;
            let patterns = super::map_text(strings(columns, 0)?, |pattern| {
                let escape = escapes.next().flatten().and_then(|escape| escape.chars().next());
                let said = like_pattern(pattern, escape);
                wrong = wrong.or(said.is_none().then_some(pattern));
                said.map(Cow::Owned)
            });
            match wrong {
                Some(wrong) => exec_err!("{wrong:?}: what is escaped is %, _ or what escapes"),
                None => Ok(patterns),
            }
        }),
        // What casts to VARCHAR become.
        Function::new("varchar", one_value, text, |columns| match columns {
            [times] if matches!(times.data_type(), DataType::Timestamp(..)) => {
                super::time::as_varchar(times)
            }
            [other] => Ok(cast(other, &DataType::Utf8)?),
            _ => plan_err!("a cast takes one value"),
        })
        .simplified(cast_to_text),
        Function::new("typeof", one_value, text, |columns| {
            let name = columns.first().map_or("unknown", |column| type_name(column.data_type()));
            let rows = columns.first().map_or(1, |column| column.len());
            Ok(Arc::new(StringArray::from_iter_values(std::iter::repeat_n(name, rows))))
        }),
        Function::new(
            "reverse",
            |given| match given {
                [list @ DataType::List(_)] => Ok(vec![list.clone()]),
                _ => texts::<1>(given),
            },
            |given| match given.first() {
                Some(list @ DataType::List(_)) => Ok(list.clone()),
                _ => Ok(DataType::Utf8),
            },
            |_| plan_err!("reverse is always said otherwise"),
        )
        .simplified(|arguments, info| {
            let of_list = match arguments.first() {
                Some(first) => matches!(info.get_data_type(first)?, DataType::List(_)),
                None => false,
            };
            let function = if of_list { array_reverse_udf() } else { reverse() };
            Ok(ExprSimplifyResult::Simplified(function.call(arguments)))
        }),
    ]
}

/// A pattern of LIKE in which a backslash escapes, where `escape` did; none if it stands
/// before something that needs no escape.
pub(crate) fn like_pattern(pattern: &str, escape: Option<char>) -> Option<String> {
    let mut said = String::with_capacity(pattern.len());
    let mut letters = pattern.chars();
    while let Some(letter) = letters.next() {
        let literal = if Some(letter) == escape {
            match letters.next() {
                Some(next) if next == letter || matches!(next, '%' | '_') => next,
                _ => return None,
            }
        } else if letter == '\\' {
            letter
        } else {
            said.push(letter);
            continue;
        };
        if matches!(literal, '%' | '_' | '\\') {
            said.push('\\');
        }
        said.push(literal);
    }
    Some(said)
}

fn one_value(given: &[DataType]) -> Result<Vec<DataType>> {
    match given {
        [one] => Ok(vec![one.clone()]),
        _ => plan_err!("takes one value"),
    }
}

/// Only of a time is the text another than that of a cast.
fn cast_to_text(mut arguments: Vec<Expr>, info: &SimplifyContext) -> Result<ExprSimplifyResult> {
    let kind = match arguments.first() {
        Some(first) => info.get_data_type(first)?,
        None => DataType::Null,
    };
    Ok(match (kind, arguments.pop()) {
        (DataType::Utf8, Some(text)) => ExprSimplifyResult::Simplified(text),
        (DataType::Timestamp(..), Some(time)) => ExprSimplifyResult::Original(vec![time]),
        (_, Some(other)) => ExprSimplifyResult::Simplified(cast_expr(other, DataType::Utf8)),
        (_, None) => ExprSimplifyResult::Original(arguments),
    })
}

/// What Trino calls a type.
fn type_name(kind: &DataType) -> &'static str {
    match kind {
        DataType::Boolean => "boolean",
        DataType::Int8 | DataType::UInt8 => "tinyint",
        DataType::Int16 | DataType::UInt16 => "smallint",
        DataType::Int32 | DataType::UInt32 => "integer",
        DataType::Int64 | DataType::UInt64 => "bigint",
        DataType::Float16 | DataType::Float32 => "real",
        DataType::Float64 => "double",
        DataType::Decimal128(..) => "decimal",
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "varchar",
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => "varbinary",
        DataType::Date32 | DataType::Date64 => "date",
        DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => "timestamp(6) with time zone",
        DataType::Timestamp(..) => "timestamp",
        DataType::Interval(_) | DataType::Duration(_) => "interval day to second",
        DataType::List(_) | DataType::LargeList(_) => "array",
        DataType::Map(..) => "map",
        DataType::Struct(_) => "row",
        _ => "unknown",
    }
}

/// A text, perhaps a second one, and numbers.
fn with_numbers(given: &[DataType]) -> Result<Vec<DataType>> {
    match given {
        [_, start] if start.is_numeric() || start.is_null() => {
            Ok(vec![DataType::Utf8, DataType::Int64])
        }
        [_, second, _] if second.is_numeric() => {
            Ok(vec![DataType::Utf8, DataType::Int64, DataType::Int64])
        }
        [_, _, _] => Ok(vec![DataType::Utf8, DataType::Utf8, DataType::Int64]),
        _ => plan_err!("takes a text and a position, and perhaps more"),
    }
}

fn with_instance(given: &[DataType]) -> Result<Vec<DataType>> {
    match given.len() {
        2 => texts::<2>(given),
        3 => Ok(vec![DataType::Utf8, DataType::Utf8, DataType::Int64]),
        _ => plan_err!("takes a text, what is looked for, and perhaps which of them"),
    }
}

fn numbers(columns: &[ArrayRef], at: usize) -> Result<&Int64Array> {
    match columns.get(at) {
        Some(column) => as_primitive_array::<Int64Type>(column),
        None => plan_err!("argument {} is missing", at + 1),
    }
}

/// From a character on, counted from 1, or from the end if it is negative.
fn substr(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let (texts, starts) = (strings(columns, 0)?, numbers(columns, 1)?);
    let lengths =
        columns.get(2).map(|column| as_primitive_array::<Int64Type>(column)).transpose()?;
    let mut parts = StringBuilder::new();
    for (row, (text, start)) in texts.iter().zip(starts).enumerate() {
        let length = lengths.map(|lengths| lengths.is_valid(row).then(|| lengths.value(row)));
        let (Some(text), Some(start), None | Some(Some(_))) = (text, start, length) else {
            parts.append_null();
            continue;
        };
        parts.append_value(part_of(text, start, length.flatten()));
    }
    Ok(Arc::new(parts.finish()))
}

fn part_of(text: &str, start: i64, length: Option<i64>) -> &str {
    let skipped = match usize::try_from(start) {
        Ok(0) => return "",
        Ok(start) => start - 1,
        Err(_) => {
            let from_end = usize::try_from(start.unsigned_abs()).unwrap_or(usize::MAX);
            let Some(skipped) = text.chars().count().checked_sub(from_end) else { return "" };
            skipped
        }
    };
    let at = |text: &str, count: usize| text.char_indices().nth(count).map(|(at, _)| at);
    let Some(from) = at(text, skipped) else { return "" };
    let rest = text.get(from..).unwrap_or_default();
    let Some(length) = length else { return rest };
    let length = usize::try_from(length).unwrap_or(0);
    at(rest, length).and_then(|end| rest.get(..end)).unwrap_or(rest)
}

/// From the beginning on both mean the same, and DataFusion's is faster.
fn substr_from_the_beginning(
    arguments: Vec<Expr>,
    _: &SimplifyContext,
) -> Result<ExprSimplifyResult> {
    let is_positive = |number: &Expr| match number {
        Expr::Literal(value, _) => i64::try_from(value.clone()).is_ok_and(|number| number > 0),
        _ => false,
    };
    Ok(if arguments.iter().skip(1).all(is_positive) {
        ExprSimplifyResult::Simplified(datafusion_substr().call(arguments))
    } else {
        ExprSimplifyResult::Original(arguments)
    })
}

/// One of the parts, counted from 1; past the last there is none.
fn split_part(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let (texts, delimiters, places) =
        (strings(columns, 0)?, strings(columns, 1)?, numbers(columns, 2)?);
    let mut parts = StringBuilder::new();
    for ((text, delimiter), place) in texts.iter().zip(delimiters).zip(places) {
        let (Some(text), Some(delimiter), Some(place)) = (text, delimiter, place) else {
            parts.append_null();
            continue;
        };
        let Some(before) = usize::try_from(place).ok().and_then(|place| place.checked_sub(1))
        else {
            return exec_err!("split_part: parts are counted from 1, so there is no part {place}");
        };
        parts.append_option(text.split(delimiter).nth(before));
    }
    Ok(Arc::new(parts.finish()))
}

/// At which character a text is found, counted from 1; 0 if it is not.
fn strpos(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let pairs = strings(columns, 0)?.iter().zip(strings(columns, 1)?);
    let instances =
        columns.get(2).map(|column| as_primitive_array::<Int64Type>(column)).transpose()?;
    let mut places = Vec::with_capacity(pairs.len());
    for (row, pair) in pairs.enumerate() {
        let instance = instances.map_or(Some(1), |all| all.is_valid(row).then(|| all.value(row)));
        let (Some(text), Some(wanted), Some(instance)) = (pair.0, pair.1, instance) else {
            places.push(None);
            continue;
        };
        let skipped = usize::try_from(instance.unsigned_abs()).ok().and_then(|n| n.checked_sub(1));
        let Some(skipped) = skipped else {
            return exec_err!("strpos: what is found is counted from 1 or, from the end, from -1");
        };
        let at = if instance > 0 {
            text.match_indices(wanted).nth(skipped)
        } else {
            text.rmatch_indices(wanted).nth(skipped)
        };
        let before = at.and_then(|(at, _)| text.get(..at));
        let place = before.map_or(0, |before| before.chars().count() + 1);
        places.push(i64::try_from(place).ok());
    }
    Ok(Arc::new(Int64Array::from(places)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_text_is_counted_from_either_end() {
        for (start, length, expected) in [
            (1, None, "añb"),
            (2, None, "ñb"),
            (2, Some(1), "ñ"),
            (-1, None, "b"),
            (-3, Some(2), "añ"),
            (-4, None, ""),
            (0, None, ""),
            (4, None, ""),
            (1, Some(-1), ""),
            (i64::MIN, None, ""),
        ] {
            assert_eq!(part_of("añb", start, length), expected, "{start} {length:?}");
        }
    }

    #[test]
    fn a_pattern_escapes_what_its_statement_says_and_nothing_else() {
        for (pattern, escape, expected) in [
            ("a_%", None, Some("a_%")),
            (r"DOMAIN\%", None, Some(r"DOMAIN\\%")),
            ("a$_b$$%", Some('$'), Some(r"a\_b$%")),
            (r"a\_b", Some('\\'), Some(r"a\_b")),
            (r"a\$\", Some('$'), None),
            ("a$b", Some('$'), None),
        ] {
            assert_eq!(like_pattern(pattern, escape).as_deref(), expected, "{pattern}");
        }
    }
}
