//! Regular expressions as Trino has them, with look-around and references to groups;
//! `regexp_replace` replaces all matches, and `$1` in a replacement is a group.
//!
//! What needs no stepping back is matched without it, in time linear to the text. For the
//! rest a match gives up, and says so, after a million steps.

use std::sync::Arc;

use arrow::array::{Array as _, ArrayRef, BooleanBuilder, Int64Array, ListBuilder, StringBuilder};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Int64Type};
use datafusion::common::cast::as_primitive_array;
use datafusion::common::{
    DataFusionError, Result, exec_datafusion_err, plan_datafusion_err, plan_err,
};
use datafusion::functions::regex::regexp_like;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use fancy_regex::{Captures, Regex};

use super::{Function, Memo, bigint, boolean, strings, text, texts};

pub(super) fn functions() -> Vec<Function> {
    vec![
        Function::new("regexp_like", texts::<2>, boolean, like).simplified(like_by_datafusion),
        Function::new("regexp_extract", with_group, text, extract),
        Function::new(
            "regexp_extract_all",
            with_group,
            |_| Ok(DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true)))),
            extract_all,
        ),
        Function::new("regexp_replace", replace_takes, text, replace),
        Function::new(
            "regexp_split",
            texts::<2>,
            |_| Ok(DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true)))),
            split,
        ),
        Function::new("regexp_position", texts::<2>, bigint, position),
    ]
}

fn pattern(text: &str) -> Result<Regex> {
    Regex::new(text)
        .map_err(|error| plan_datafusion_err!("{text:?} is no regular expression: {error}"))
}

fn gave_up(error: fancy_regex::Error) -> DataFusionError {
    exec_datafusion_err!("a regular expression: {error}")
}

fn like(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let (texts, patterns) = (strings(columns, 0)?, strings(columns, 1)?);
    let mut memo = Memo::new(pattern);
    let mut found = BooleanBuilder::with_capacity(texts.len());
    for (text, pattern) in texts.iter().zip(patterns) {
        found.append_option(match (text, pattern) {
            (Some(text), Some(pattern)) => {
                Some(memo.get(pattern)?.is_match(text).map_err(gave_up)?)
            }
            _ => None,
        });
    }
    Ok(Arc::new(found.finish()))
}

/// DataFusion knows how to make simple patterns simpler, and nothing of stepping back.
fn like_by_datafusion(arguments: Vec<Expr>, _: &SimplifyContext) -> Result<ExprSimplifyResult> {
    let pattern = match arguments.get(1) {
        Some(Expr::Literal(pattern, _)) => pattern.try_as_str().flatten(),
        _ => None,
    };
    Ok(if pattern.is_some_and(|pattern| regex::Regex::new(pattern).is_ok()) {
        ExprSimplifyResult::Simplified(regexp_like().call(arguments))
    } else {
        ExprSimplifyResult::Original(arguments)
    })
}

fn with_group(given: &[DataType]) -> Result<Vec<DataType>> {
    match given.len() {
        2 => Ok(vec![DataType::Utf8; 2]),
        3 => Ok(vec![DataType::Utf8, DataType::Utf8, DataType::Int64]),
        _ => plan_err!("takes a text, a pattern and perhaps a group"),
    }
}

fn replace_takes(given: &[DataType]) -> Result<Vec<DataType>> {
    match given.len() {
        count @ 2..=4 => Ok(vec![DataType::Utf8; count]),
        _ => plan_err!("takes a text, a pattern and perhaps a replacement"),
    }
}

/// The group of each row; 0, the whole match, unless it is given.
fn groups(columns: &[ArrayRef], rows: usize) -> Result<Int64Array> {
    match columns.get(2) {
        Some(column) => {
            Ok(as_primitive_array::<Int64Type>(&cast(column, &DataType::Int64)?)?.clone())
        }
        None => Ok(std::iter::repeat_n(Some(0), rows).collect()),
    }
}

fn extract(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let (texts, patterns) = (strings(columns, 0)?, strings(columns, 1)?);
    let groups = groups(columns, texts.len())?;
    let mut memo = Memo::new(pattern);
    let mut found = StringBuilder::new();
    for ((text, pattern), group) in texts.iter().zip(patterns).zip(&groups) {
        let part = match (text, pattern, group.and_then(|group| usize::try_from(group).ok())) {
            (Some(text), Some(pattern), Some(group)) => {
                let captures = memo.get(pattern)?.captures(text).map_err(gave_up)?;
                captures.and_then(|captures| captures.get(group)).map(|part| part.as_str())
            }
            _ => None,
        };
        found.append_option(part);
    }
    Ok(Arc::new(found.finish()))
}

fn extract_all(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let (texts, patterns) = (strings(columns, 0)?, strings(columns, 1)?);
    let groups = groups(columns, texts.len())?;
    let mut memo = Memo::new(pattern);
    let mut lists = ListBuilder::new(StringBuilder::new());
    for ((text, pattern), group) in texts.iter().zip(patterns).zip(&groups) {
        let group = group.and_then(|group| usize::try_from(group).ok());
        let (Some(text), Some(pattern), Some(group)) = (text, pattern, group) else {
            lists.append_null();
            continue;
        };
        for captures in memo.get(pattern)?.captures_iter(text) {
            let captures = captures.map_err(gave_up)?;
            lists.values().append_option(captures.get(group).map(|part| part.as_str()));
        }
        lists.append(true);
    }
    Ok(Arc::new(lists.finish()))
}

fn replace(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let (texts, patterns) = (strings(columns, 0)?, strings(columns, 1)?);
    let mut memo = Memo::new(pattern);
    let mut made = StringBuilder::new();
    for (row, (text, pattern)) in texts.iter().zip(patterns).enumerate() {
        let replacement = match columns.get(2) {
            Some(_) => {
                let replacements = strings(columns, 2)?;
                replacements.is_valid(row).then(|| replacements.value(row))
            }
            None => Some(""),
        };
        made.append_option(match (text, pattern, replacement) {
            (Some(text), Some(pattern), Some(replacement)) => {
                let expanded = |captures: &Captures<'_, str>| expanded(replacement, captures);
                let pattern = memo.get(pattern)?;
                Some(pattern.try_replacen(text, 0, expanded).map_err(gave_up)?)
            }
            _ => None,
        });
    }
    Ok(Arc::new(made.finish()))
}

fn split(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let (texts, patterns) = (strings(columns, 0)?, strings(columns, 1)?);
    let mut memo = Memo::new(pattern);
    let mut lists = ListBuilder::new(StringBuilder::new());
    for (text, pattern) in texts.iter().zip(patterns) {
        let (Some(text), Some(pattern)) = (text, pattern) else {
            lists.append_null();
            continue;
        };
        for part in memo.get(pattern)?.split(text) {
            lists.values().append_value(part.map_err(gave_up)?);
        }
        lists.append(true);
    }
    Ok(Arc::new(lists.finish()))
}

/// A replacement with what its groups matched: `$1`, or `${name}`; after a backslash
/// anything is itself. Of digits as many belong to a group's number as there are groups.
fn expanded(replacement: &str, captures: &Captures<'_, str>) -> String {
    let mut made = String::with_capacity(replacement.len());
    let mut rest = replacement.chars();
    while let Some(letter) = rest.next() {
        match letter {
            '\\' => made.extend(rest.next()),
            '$' if rest.as_str().starts_with('{') => {
                let name = rest.as_str().trim_start_matches('{').split('}').next().unwrap_or("");
                made.push_str(captures.name(name).map_or("", |part| part.as_str()));
                rest.by_ref().find(|letter| *letter == '}');
            }
            '$' => {
                let mut group = 0;
                while let Some(digit) =
                    rest.as_str().chars().next().and_then(|one| one.to_digit(10))
                {
                    let longer = group * 10 + digit as usize;
                    if group > 0 && longer >= captures.len() {
                        break;
                    }
                    group = longer;
                    rest.next();
                }
                made.push_str(captures.get(group).map_or("", |part| part.as_str()));
            }
            _ => made.push(letter),
        }
    }
    made
}

/// The place of the first match in letters, from 1; -1 without one.
fn position(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let (texts, patterns) = (strings(columns, 0)?, strings(columns, 1)?);
    let mut memo = Memo::new(pattern);
    let mut places = Int64Array::builder(texts.len());
    for (text, pattern) in texts.iter().zip(patterns) {
        places.append_option(match (text, pattern) {
            (Some(text), Some(pattern)) => {
                let found = memo.get(pattern)?.find(text).map_err(gave_up)?;
                let letters = found.and_then(|found| text.get(..found.start()));
                let place = letters.map(|before| before.chars().count() + 1);
                Some(place.and_then(|place| i64::try_from(place).ok()).unwrap_or(-1))
            }
            _ => None,
        });
    }
    Ok(Arc::new(places.finish()))
}
