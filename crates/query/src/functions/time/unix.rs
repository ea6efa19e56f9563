//! Times as seconds since 1970.

use std::sync::Arc;

use arrow::array::{Array as _, ArrayRef, AsArray, Float64Array, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Float64Type, TimeUnit};
use datafusion::common::{Result, exec_err, plan_err};

use super::{as_time, micros, time_zone, times};
use crate::functions::Function;

pub(super) fn functions() -> Vec<Function> {
    vec![
        Function::new(
            "to_unixtime",
            times::<1>,
            |_| Ok(DataType::Float64),
            |columns| {
                let seconds = |micros: i64| micros as f64 / 1e6;
                let seconds: Float64Array =
                    micros(columns, 0)?.iter().map(|at| at.map(seconds)).collect();
                Ok(Arc::new(seconds))
            },
        ),
        Function::new(
            "from_unixtime",
            |given| match given {
                [_] => Ok(vec![DataType::Float64]),
                [_, _] => Ok(vec![DataType::Float64, DataType::Utf8]),
                _ => plan_err!("takes seconds and perhaps a zone"),
            },
            |_| Ok(as_time(&DataType::Null)),
            from_unixtime,
        )
        .typed(|_, constants| match constants {
            [_, Some(zone)] if time_zone(zone).is_some() => {
                Ok(DataType::Timestamp(TimeUnit::Microsecond, Some((*zone).into())))
            }
            [_] => Ok(as_time(&DataType::Null)),
            _ => plan_err!("from_unixtime takes the name of a zone, such as 'Europe/Berlin'"),
        }),
    ]
}

/// To the millisecond, as Trino has it.
fn from_unixtime(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let Some(seconds) = columns.first().and_then(|one| one.as_primitive_opt::<Float64Type>())
    else {
        return plan_err!("from_unixtime takes seconds");
    };
    let mut times = Vec::with_capacity(seconds.len());
    for second in seconds {
        times.push(match second {
            // Years 0 to 9999.
            Some(second) if (-62_167_219_200.0..253_402_300_800.0).contains(&second) => {
                #[expect(clippy::cast_possible_truncation, reason = "within the bounds above")]
                let millis = (second * 1e3).round() as i64;
                Some(millis * 1_000)
            }
            Some(second) => {
                return exec_err!("from_unixtime: {second} seconds are past the year 9999");
            }
            None => None,
        });
    }
    let times = times.into_iter().collect::<TimestampMicrosecondArray>();
    let zone = match columns.get(1).and_then(|zones| zones.as_string_opt::<i32>()) {
        Some(zones) if !zones.is_empty() => zones.value(0).to_owned(),
        _ => "UTC".to_owned(),
    };
    Ok(Arc::new(times.with_timezone(zone)))
}
