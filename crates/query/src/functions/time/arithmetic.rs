//! Times moved, compared and cut by units: `date_add`, `date_diff`, `date_trunc`.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, TimestampMicrosecondArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use datafusion::common::{Result, exec_err, plan_datafusion_err, plan_err};
use datafusion::functions::datetime::date_trunc;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{Expr, cast as cast_expr};
use jiff::{Span, Unit, Zoned};

use super::{as_time, as_time_or_day, micros, zone, zoned};
use crate::functions::{Function, Memo, bigint, strings};

pub(super) fn functions() -> Vec<Function> {
    vec![
        Function::new(
            "date_add",
            |given| match given {
                [_, _, time] => Ok(vec![DataType::Utf8, DataType::Int64, as_time_or_day(time)]),
                _ => plan_err!("takes a unit, a number and a time"),
            },
            |given| Ok(given.last().map_or(DataType::Null, as_time_or_day)),
            date_add,
        ),
        Function::new(
            "date_trunc",
            |given| match given {
                [_, time] => Ok(vec![DataType::Utf8, as_time_or_day(time)]),
                _ => plan_err!("takes a unit and a time"),
            },
            |given| Ok(given.last().map_or(DataType::Null, as_time_or_day)),
            |_| plan_err!("date_trunc is always said as DataFusion's"),
        )
        .simplified(truncated),
        Function::new(
            "date_diff",
            |given| match given {
                [_, from, to] => Ok(vec![DataType::Utf8, as_time(from), as_time(to)]),
                _ => plan_err!("takes a unit and two times"),
            },
            bigint,
            date_diff,
        ),
    ]
}

/// DataFusion makes a time of a date that it truncates.
fn truncated(mut arguments: Vec<Expr>, info: &SimplifyContext) -> Result<ExprSimplifyResult> {
    let is_day = match arguments.last() {
        Some(time) => info.get_data_type(time)? == DataType::Date32,
        None => false,
    };
    if !is_day {
        return Ok(ExprSimplifyResult::Simplified(date_trunc().call(arguments)));
    }
    let day = arguments.pop().map(|day| cast_expr(day, as_time(&DataType::Date32)));
    arguments.extend(day);
    let truncated = cast_expr(date_trunc().call(arguments), DataType::Date32);
    Ok(ExprSimplifyResult::Simplified(truncated))
}

/// A unit, and how many of it.
fn unit(text: &str) -> Result<(Unit, i64)> {
    Ok(match text.to_ascii_lowercase().trim_end_matches('s') {
        "millisecond" => (Unit::Millisecond, 1),
        "second" => (Unit::Second, 1),
        "minute" => (Unit::Minute, 1),
        "hour" => (Unit::Hour, 1),
        "day" => (Unit::Day, 1),
        "week" => (Unit::Week, 1),
        "month" => (Unit::Month, 1),
        "quarter" => (Unit::Month, 3),
        "year" => (Unit::Year, 1),
        _ => {
            return plan_err!(
                "{text:?} is no unit: write second, minute, hour, day, week, month, quarter, year"
            );
        }
    })
}

fn date_add(columns: &[ArrayRef]) -> Result<ArrayRef> {
    if let [units, counts, days] = columns
        && days.data_type() == &DataType::Date32
    {
        for text in strings(columns, 0)?.iter().flatten() {
            if unit(text)?.0 < Unit::Day {
                return exec_err!("date_add: a date has no {text}; cast it to TIMESTAMP");
            }
        }
        let times = cast(days, &as_time(days.data_type()))?;
        let sums = date_add(&[Arc::clone(units), Arc::clone(counts), times])?;
        return Ok(cast(&sums, &DataType::Date32)?);
    }
    let (units, times) = (strings(columns, 0)?, micros(columns, 2)?);
    let Some(counts) = columns.get(1).and_then(|column| column.as_primitive_opt::<Int64Type>())
    else {
        return plan_err!("date_add takes a number");
    };
    let zone = zone(columns, 2)?;
    let mut memo = Memo::new(unit);
    let mut sums = Vec::with_capacity(times.len());
    for ((unit, count), time) in units.iter().zip(counts).zip(times) {
        sums.push(match (unit, count, time) {
            (Some(unit), Some(count), Some(time)) => {
                let (unit, each) = *memo.get(unit)?;
                Some(add(unit, count.saturating_mul(each), &zoned(time, &zone)?)?)
            }
            _ => None,
        });
    }
    let sums = sums.into_iter().collect::<TimestampMicrosecondArray>();
    Ok(Arc::new(sums.with_timezone_opt(times.timezone())))
}

fn add(unit: Unit, count: i64, time: &Zoned) -> Result<i64> {
    let span = match unit {
        Unit::Millisecond => Span::new().try_milliseconds(count),
        Unit::Second => Span::new().try_seconds(count),
        Unit::Minute => Span::new().try_minutes(count),
        Unit::Hour => Span::new().try_hours(count),
        Unit::Week => Span::new().try_weeks(count),
        Unit::Month => Span::new().try_months(count),
        Unit::Year => Span::new().try_years(count),
        _ => Span::new().try_days(count),
    };
    let sum = span.and_then(|span| time.checked_add(span));
    sum.map(|time| time.timestamp().as_microsecond())
        .map_err(|error| plan_datafusion_err!("date_add: {error}"))
}

/// How many whole units lie between two times.
fn date_diff(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let (units, from, to) = (strings(columns, 0)?, micros(columns, 1)?, micros(columns, 2)?);
    let zone = zone(columns, 1)?;
    let mut memo = Memo::new(unit);
    let mut counts = arrow::array::Int64Array::builder(from.len());
    for ((unit, from), to) in units.iter().zip(from).zip(to) {
        counts.append_option(match (unit, from, to) {
            (Some(unit), Some(from), Some(to)) => {
                let (unit, each) = *memo.get(unit)?;
                let span = zoned(from, &zone)?
                    .until((unit, &zoned(to, &zone)?))
                    .map_err(|error| plan_datafusion_err!("date_diff: {error}"))?;
                let count = match unit {
                    Unit::Millisecond => span.get_milliseconds(),
                    Unit::Second => span.get_seconds(),
                    Unit::Minute => span.get_minutes(),
                    Unit::Hour => span.get_hours().into(),
                    Unit::Week => span.get_weeks().into(),
                    Unit::Month => span.get_months().into(),
                    Unit::Year => span.get_years().into(),
                    _ => span.get_days().into(),
                };
                Some(count / each)
            }
            _ => None,
        });
    }
    Ok(Arc::new(counts.finish()))
}
