//! Intervals: how long they are, and so many times as long.
//!
//! Arrow keeps months, days and nanoseconds apart, and compares one after the other: to it
//! nineteen days in seconds are less than two days. So intervals are compared by their
//! length (`comparison`).

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, IntervalMonthDayNanoArray};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Float64Type, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit,
};
use datafusion::common::{Result, exec_err, plan_err};

use crate::functions::{Function, bigint};

const DAY_NANOS: i128 = 86_400_000_000_000;

const INTERVAL: DataType = DataType::Interval(IntervalUnit::MonthDayNano);

pub(super) fn functions() -> Vec<Function> {
    vec![
        of_length(),
        Function::new("to_milliseconds", one_interval, bigint, |columns| {
            let lengths = lengths(columns)?;
            Ok(Arc::new(lengths.unary::<_, arrow::datatypes::Int64Type>(|micros| micros / 1_000)))
        }),
        // What `n * INTERVAL '1' DAY` becomes.
        Function::new(
            "interval_times",
            |_| Ok(vec![INTERVAL, DataType::Float64]),
            |_| Ok(INTERVAL),
            interval_times,
        ),
    ]
}

/// The length of an interval in microseconds.
pub(super) fn of_length() -> Function {
    Function::new("interval_length", one_interval, bigint, |columns| {
        Ok(Arc::new(lengths(columns)?))
    })
}

fn one_interval(given: &[DataType]) -> Result<Vec<DataType>> {
    match given {
        [DataType::Interval(_) | DataType::Duration(_) | DataType::Null] => Ok(vec![INTERVAL]),
        _ => plan_err!("takes an interval"),
    }
}

fn lengths(columns: &[ArrayRef]) -> Result<Int64Array> {
    let [intervals] = columns else { return plan_err!("an interval is missing") };
    let intervals = cast(intervals, &INTERVAL)?;
    let mut lengths = Vec::with_capacity(intervals.len());
    for interval in intervals.as_primitive::<IntervalMonthDayNanoType>() {
        lengths.push(match interval {
            Some(IntervalMonthDayNano { months, .. }) if months != 0 => {
                return exec_err!(
                    "a month is no number of days: compare with days, or add it to a time"
                );
            }
            Some(interval) => i64::try_from(nanos(interval) / 1_000).ok(),
            None => None,
        });
    }
    Ok(Int64Array::from(lengths))
}

fn nanos(interval: IntervalMonthDayNano) -> i128 {
    i128::from(interval.days) * DAY_NANOS + i128::from(interval.nanoseconds)
}

fn interval_times(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let [intervals, factors] = columns else {
        return plan_err!("an interval is multiplied by a number");
    };
    let intervals = intervals.as_primitive::<IntervalMonthDayNanoType>();
    let mut products = Vec::with_capacity(intervals.len());
    for (interval, factor) in intervals.iter().zip(factors.as_primitive::<Float64Type>()) {
        let (Some(interval), Some(factor)) = (interval, factor) else {
            products.push(None);
            continue;
        };
        let Some(product) = product(interval, factor) else {
            return exec_err!("{factor} times as long is longer than an interval can be");
        };
        products.push(Some(product));
    }
    Ok(Arc::new(IntervalMonthDayNanoArray::from(products)))
}

#[expect(clippy::cast_possible_truncation, reason = "what is out of bounds is refused after it")]
#[expect(clippy::cast_precision_loss, reason = "a double is what one multiplies with")]
fn product(interval: IntervalMonthDayNano, factor: f64) -> Option<IntervalMonthDayNano> {
    let months = (f64::from(interval.months) * factor).round();
    let nanos = (nanos(interval) as f64 * factor).round();
    if !months.is_finite() || months.abs() > f64::from(i32::MAX) || !nanos.is_finite() {
        return None;
    }
    let nanos = nanos as i128;
    let days = i32::try_from(nanos / DAY_NANOS).ok()?;
    let rest = i64::try_from(nanos % DAY_NANOS).ok()?;
    Some(IntervalMonthDayNano::new(months as i32, days, rest))
}
