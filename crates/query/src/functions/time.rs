//! Times: parsing, printing, adding and taking apart. All times are UTC.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringBuilder, TimestampMicrosecondArray};
use arrow::compute::{DatePart, cast, date_part};
use arrow::datatypes::{DataType, Int64Type, TimeUnit, TimestampMicrosecondType};
use datafusion::common::{Result, exec_err, plan_datafusion_err, plan_err};
use jiff::civil::{Date, DateTime};
use jiff::fmt::strtime::BrokenDownTime;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, Unit, Zoned};

use super::{Function, Memo, bigint, strings, text, texts};

pub(super) fn functions() -> Vec<Function> {
    let mut all = vec![
        Function::new("from_iso8601_timestamp", texts::<1>, time, |columns| {
            parsed(columns, |text| match iso8601(text) {
                Some(time) => Ok(time),
                None => exec_err!("from_iso8601_timestamp: {text:?} is no ISO 8601 time"),
            })
        }),
        Function::new("from_iso8601_date", texts::<1>, date, |columns| {
            let times = parsed(columns, |text| match iso8601(text) {
                Some(time) => Ok(time),
                None => exec_err!("from_iso8601_date: {text:?} is no ISO 8601 date"),
            })?;
            Ok(cast(&times, &DataType::Date32)?)
        }),
        Function::new("to_iso8601", times::<1>, text, |columns| {
            let mut made = StringBuilder::new();
            for micros in micros(columns, 0)? {
                made.append_option(micros.map(instant).transpose()?.map(|time| time.to_string()));
            }
            Ok(Arc::new(made.finish()))
        }),
        Function::new("date_parse", texts::<2>, time, date_parse),
        Function::new(
            "date_format",
            |given| match given.len() {
                2 => Ok(vec![time(&[])?, DataType::Utf8]),
                _ => plan_err!("takes a time and a format"),
            },
            text,
            date_format,
        ),
        Function::new(
            "date_add",
            |given| match given.len() {
                3 => Ok(vec![DataType::Utf8, DataType::Int64, time(&[])?]),
                _ => plan_err!("takes a unit, a number and a time"),
            },
            time,
            date_add,
        ),
        Function::new(
            "date_diff",
            |given| match given.len() {
                3 => Ok(vec![DataType::Utf8, time(&[])?, time(&[])?]),
                _ => plan_err!("takes a unit and two times"),
            },
            bigint,
            date_diff,
        ),
        Function::new("date", times::<1>, date, |columns| match columns.first() {
            Some(times) => Ok(cast(times, &DataType::Date32)?),
            None => plan_err!("date takes a time"),
        }),
    ];
    all.extend([
        Function::new("year", times::<1>, bigint, |columns| part(columns, DatePart::Year)),
        Function::new("quarter", times::<1>, bigint, |columns| part(columns, DatePart::Quarter)),
        Function::new("month", times::<1>, bigint, |columns| part(columns, DatePart::Month)),
        Function::new("week", times::<1>, bigint, |columns| part(columns, DatePart::Week))
            .alias("week_of_year"),
        Function::new("day", times::<1>, bigint, |columns| part(columns, DatePart::Day))
            .alias("day_of_month"),
        Function::new("day_of_week", times::<1>, bigint, day_of_week).alias("dow"),
        Function::new("day_of_year", times::<1>, bigint, |columns| {
            part(columns, DatePart::DayOfYear)
        })
        .alias("doy"),
        Function::new("hour", times::<1>, bigint, |columns| part(columns, DatePart::Hour)),
        Function::new("minute", times::<1>, bigint, |columns| part(columns, DatePart::Minute)),
        Function::new("second", times::<1>, bigint, |columns| part(columns, DatePart::Second)),
    ]);
    all
}

fn time(_: &[DataType]) -> Result<DataType> {
    Ok(DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())))
}

fn date(_: &[DataType]) -> Result<DataType> {
    Ok(DataType::Date32)
}

fn times<const N: usize>(given: &[DataType]) -> Result<Vec<DataType>> {
    Ok(vec![time(given)?; N])
}

fn micros(columns: &[ArrayRef], at: usize) -> Result<&TimestampMicrosecondArray> {
    match columns.get(at).and_then(|column| column.as_primitive_opt::<TimestampMicrosecondType>()) {
        Some(times) => Ok(times),
        None => plan_err!("argument {} is no time", at + 1),
    }
}

fn of_times(times: impl Iterator<Item = Option<i64>>) -> ArrayRef {
    Arc::new(times.collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
}

fn instant(micros: i64) -> Result<Timestamp> {
    Timestamp::from_microsecond(micros)
        .map_err(|error| plan_datafusion_err!("no such time: {error}"))
}

fn zoned(micros: i64) -> Result<Zoned> {
    Ok(instant(micros)?.to_zoned(TimeZone::UTC))
}

/// Texts as times. What the asker wrote wrongly is an error and not an empty answer.
fn parsed(columns: &[ArrayRef], parse: impl Fn(&str) -> Result<i64>) -> Result<ArrayRef> {
    let texts = strings(columns, 0)?;
    let times = texts.iter().map(|text| text.map(&parse).transpose());
    Ok(of_times(times.collect::<Result<Vec<_>>>()?.into_iter()))
}

/// A time, a local time (UTC then) or a date.
fn iso8601(text: &str) -> Option<i64> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(time.as_microsecond());
    }
    let civil = text.parse::<DateTime>().ok().or_else(|| {
        text.parse::<Date>().ok().map(|date| date.to_datetime(jiff::civil::Time::midnight()))
    })?;
    Some(civil.to_zoned(TimeZone::UTC).ok()?.timestamp().as_microsecond())
}

/// A MySQL format, as `date_format` and `date_parse` take it, in strftime's words.
fn strftime(format: &str) -> Result<String> {
    let mut made = String::new();
    let mut letters = format.chars();
    while let Some(letter) = letters.next() {
        if letter != '%' {
            made.push(letter);
            continue;
        }
        made.push_str(match letters.next() {
            Some('a') => "%a",
            Some('b') => "%b",
            Some('c') => "%-m",
            Some('d') => "%d",
            Some('e') => "%-d",
            Some('f') => "%6f",
            Some('H') => "%H",
            Some('h' | 'I') => "%I",
            Some('i') => "%M",
            Some('j') => "%j",
            Some('k') => "%-H",
            Some('l') => "%-I",
            Some('M') => "%B",
            Some('m') => "%m",
            Some('p') => "%p",
            Some('r') => "%I:%M:%S %p",
            Some('s' | 'S') => "%S",
            Some('T') => "%H:%M:%S",
            Some('v') => "%V",
            Some('W') => "%A",
            Some('w') => "%w",
            Some('x') => "%G",
            Some('Y') => "%Y",
            Some('y') => "%y",
            Some('%') => "%%",
            Some(other) => return plan_err!("%{other} is not known in a time format"),
            None => return plan_err!("a time format ends in %"),
        });
    }
    Ok(made)
}

fn date_parse(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let (texts, formats) = (strings(columns, 0)?, strings(columns, 1)?);
    let mut memo = Memo::new(strftime);
    let mut times = Vec::with_capacity(texts.len());
    for (text, format) in texts.iter().zip(formats) {
        let (Some(text), Some(format)) = (text, format) else {
            times.push(None);
            continue;
        };
        let Some(time) = broken_down(memo.get(format)?, text) else {
            return exec_err!("date_parse: {text:?} is not of the format {format:?}");
        };
        times.push(Some(time));
    }
    Ok(of_times(times.into_iter()))
}

/// What a text says of a time; what it leaves open is the beginning.
fn broken_down(format: &str, text: &str) -> Option<i64> {
    let found = BrokenDownTime::parse(format, text).ok()?;
    let date = found.to_date().ok().or_else(|| {
        let (year, month) = (found.year()?, found.month().unwrap_or(1));
        Date::new(year, month, found.day().unwrap_or(1)).ok()
    })?;
    let time = found.to_time().ok().or_else(|| {
        jiff::civil::Time::new(found.hour().unwrap_or(0), found.minute().unwrap_or(0), 0, 0).ok()
    })?;
    let zoned = date.to_datetime(time).to_zoned(TimeZone::UTC).ok()?;
    Some(zoned.timestamp().as_microsecond())
}

fn date_format(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let (times, formats) = (micros(columns, 0)?, strings(columns, 1)?);
    let mut memo = Memo::new(strftime);
    let mut made = StringBuilder::new();
    // Neighbours often have the same day, and formats are mostly of days.
    let mut last: Option<(i64, String, String)> = None;
    for (micros, format) in times.iter().zip(formats) {
        let (Some(micros), Some(format)) = (micros, format) else {
            made.append_null();
            continue;
        };
        let known = last.as_ref().filter(|(at, of, _)| *at == micros && of == format);
        if let Some((_, _, text)) = known {
            made.append_value(text);
            continue;
        }
        let text = jiff::fmt::strtime::format(memo.get(format)?, &zoned(micros)?)
            .map_err(|error| plan_datafusion_err!("date_format: {error}"))?;
        made.append_value(&text);
        last = Some((micros, format.to_owned(), text));
    }
    Ok(Arc::new(made.finish()))
}

fn unit(text: &str) -> Result<Unit> {
    match text.to_ascii_lowercase().trim_end_matches('s') {
        "millisecond" => Ok(Unit::Millisecond),
        "second" => Ok(Unit::Second),
        "minute" => Ok(Unit::Minute),
        "hour" => Ok(Unit::Hour),
        "day" => Ok(Unit::Day),
        "week" => Ok(Unit::Week),
        "month" => Ok(Unit::Month),
        "year" => Ok(Unit::Year),
        _ => plan_err!("{text:?} is no unit: write second, minute, hour, day, week, month, year"),
    }
}

fn date_add(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let (units, times) = (strings(columns, 0)?, micros(columns, 2)?);
    let Some(counts) = columns.get(1).and_then(|column| column.as_primitive_opt::<Int64Type>())
    else {
        return plan_err!("date_add takes a number");
    };
    let mut memo = Memo::new(unit);
    let mut sums = Vec::with_capacity(times.len());
    for ((unit, count), time) in units.iter().zip(counts).zip(times) {
        sums.push(match (unit, count, time) {
            (Some(unit), Some(count), Some(time)) => Some(add(*memo.get(unit)?, count, time)?),
            _ => None,
        });
    }
    Ok(of_times(sums.into_iter()))
}

fn add(unit: Unit, count: i64, micros: i64) -> Result<i64> {
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
    let sum = span.and_then(|span| {
        Timestamp::from_microsecond(micros)?.to_zoned(TimeZone::UTC).checked_add(span)
    });
    sum.map(|time| time.timestamp().as_microsecond())
        .map_err(|error| plan_datafusion_err!("date_add: {error}"))
}

/// How many whole units lie between two times.
fn date_diff(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let (units, from, to) = (strings(columns, 0)?, micros(columns, 1)?, micros(columns, 2)?);
    let mut memo = Memo::new(unit);
    let mut counts = arrow::array::Int64Array::builder(from.len());
    for ((unit, from), to) in units.iter().zip(from).zip(to) {
        counts.append_option(match (unit, from, to) {
            (Some(unit), Some(from), Some(to)) => {
                let unit = *memo.get(unit)?;
                let span = zoned(from)?
                    .until((unit, &zoned(to)?))
                    .map_err(|error| plan_datafusion_err!("date_diff: {error}"))?;
                Some(match unit {
                    Unit::Millisecond => span.get_milliseconds(),
                    Unit::Second => span.get_seconds(),
                    Unit::Minute => span.get_minutes(),
                    Unit::Hour => span.get_hours().into(),
                    Unit::Week => span.get_weeks().into(),
                    Unit::Month => span.get_months().into(),
                    Unit::Year => span.get_years().into(),
                    _ => span.get_days().into(),
                })
            }
            _ => None,
        });
    }
    Ok(Arc::new(counts.finish()))
}

fn part(columns: &[ArrayRef], part: DatePart) -> Result<ArrayRef> {
    let parts = date_part(micros(columns, 0)?, part)?;
    Ok(cast(&parts, &DataType::Int64)?)
}

/// From Monday, 1, to Sunday, 7.
fn day_of_week(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let days = part(columns, DatePart::DayOfWeekMonday0)?;
    let days: arrow::array::Int64Array =
        days.as_primitive::<Int64Type>().iter().map(|day| day.map(|day| day + 1)).collect();
    Ok(Arc::new(days))
}
