//! Times as texts without a format.

use std::sync::Arc;

use arrow::array::{ArrayRef, StringBuilder};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use datafusion::common::Result;
use jiff::tz::TimeZone;

use super::{as_time, instant, micros, zone, zoned};
use crate::functions::{Function, text};

pub(super) fn functions() -> Vec<Function> {
    vec![
        Function::new(
            "to_iso8601",
            |given| match given {
                [DataType::Date32] => Ok(vec![DataType::Date32]),
                _ => super::times::<1>(given),
            },
            text,
            |columns| match columns {
                [days] if days.data_type() == &DataType::Date32 => Ok(cast(days, &DataType::Utf8)?),
                columns => written(columns, "%Y-%m-%dT%H:%M:%S", "%:z", "Z"),
            },
        ),
        // As CloudTrail writes times.
        Function::new("event_time", super::times::<1>, text, |columns| {
            let mut made = StringBuilder::new();
            for micros in micros(columns, 0)? {
                made.append_option(micros.map(instant).transpose()?.map(|time| time.to_string()));
            }
            Ok(Arc::new(made.finish()))
        }),
    ]
}

/// What a cast to VARCHAR makes of times: `2026-11-20 01:02:03.000 UTC`.
pub(in crate::functions) fn as_varchar(times: &ArrayRef) -> Result<ArrayRef> {
    let has_zone = matches!(times.data_type(), DataType::Timestamp(_, Some(_)));
    let times = cast(times, &as_time(times.data_type()))?;
    let (zone, utc) = if has_zone { (" %Q", " UTC") } else { ("", "") };
    written(&[times], "%Y-%m-%d %H:%M:%S", zone, utc)
}

/// Times by a format, milliseconds (or as many microseconds as there are), and their zone.
fn written(columns: &[ArrayRef], format: &str, with_zone: &str, utc: &str) -> Result<ArrayRef> {
    let zone = zone(columns, 0)?;
    let ending = if zone == TimeZone::UTC { utc } else { with_zone };
    let (millis, all) = (format!("{format}.%3f{ending}"), format!("{format}.%6f{ending}"));
    let mut made = StringBuilder::new();
    for micros in micros(columns, 0)? {
        let Some(micros) = micros else {
            made.append_null();
            continue;
        };
        let format = if micros % 1_000 == 0 { &millis } else { &all };
        made.append_value(zoned(micros, &zone)?.strftime(format).to_string());
    }
    Ok(Arc::new(made.finish()))
}
