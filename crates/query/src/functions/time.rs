//! Times: parsing, printing, adding and taking apart. Times are UTC, unless a query
//! says `AT TIME ZONE`: then their parts, their date and their text are of that zone.

mod joda;

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
        Function::new("to_iso8601", times::<1>, text, to_iso8601),
        Function::new("date_parse", texts::<2>, time, |columns| parsed_by(columns, strftime)),
        Function::new("parse_datetime", texts::<2>, time, |columns| {
            parsed_by(columns, joda::strftime)
        }),
        Function::new("date_format", time_and_text, text, |columns| formatted(columns, strftime)),
        Function::new("format_datetime", time_and_text, text, |columns| {
            formatted(columns, joda::strftime)
        }),
        Function::new(
            "date_add",
            |given| match given {
                [_, _, time] => Ok(vec![DataType::Utf8, DataType::Int64, as_time(time)]),
                _ => plan_err!("takes a unit, a number and a time"),
            },
            |given| Ok(given.last().map_or(DataType::Null, as_time)),
            date_add,
        ),
        Function::new(
            "date_diff",
            |given| match given {
                [_, from, to] => Ok(vec![DataType::Utf8, as_time(from), as_time(to)]),
                _ => plan_err!("takes a unit and two times"),
            },
            bigint,
            date_diff,
        ),
        Function::new("date", times::<1>, date, |columns| dates(columns, |date| date)),
        Function::new("last_day_of_month", times::<1>, date, |columns| {
            dates(columns, Date::last_of_month)
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
        Function::new("millisecond", times::<1>, bigint, millisecond),
    ]);
    all
}

fn time(_: &[DataType]) -> Result<DataType> {
    Ok(DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())))
}

fn date(_: &[DataType]) -> Result<DataType> {
    Ok(DataType::Date32)
}

/// Arguments that are times, each of its own zone.
fn times<const N: usize>(given: &[DataType]) -> Result<Vec<DataType>> {
    match given.len() {
        count if count == N => Ok(given.iter().map(as_time).collect()),
        _ => plan_err!("takes {N} time"),
    }
}

fn time_and_text(given: &[DataType]) -> Result<Vec<DataType>> {
    match given {
        [time, _] => Ok(vec![as_time(time), DataType::Utf8]),
        _ => plan_err!("takes a time and a format"),
    }
}

/// What a value becomes that is taken as a time: in its own zone, or else in UTC.
fn as_time(given: &DataType) -> DataType {
    let zone = match given {
        DataType::Timestamp(_, Some(zone)) => Arc::clone(zone),
        _ => "UTC".into(),
    };
    DataType::Timestamp(TimeUnit::Microsecond, Some(zone))
}

/// The zone of a column of times.
fn zone(columns: &[ArrayRef], at: usize) -> Result<TimeZone> {
    match columns.get(at).map(|column| column.data_type()) {
        Some(DataType::Timestamp(_, Some(zone))) => match time_zone(zone) {
            Some(zone) => Ok(zone),
            None => plan_err!("{zone:?} is no time zone"),
        },
        _ => Ok(TimeZone::UTC),
    }
}

/// `America/New_York`, `UTC`, `+05:30`.
pub(crate) fn time_zone(name: &str) -> Option<TimeZone> {
    if name.starts_with(['+', '-']) {
        let offset = BrokenDownTime::parse("%:z", name).ok()?.offset()?;
        return Some(TimeZone::fixed(offset));
    }
    TimeZone::get(name).ok()
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

fn zoned(micros: i64, zone: &TimeZone) -> Result<Zoned> {
    Ok(instant(micros)?.to_zoned(zone.clone()))
}

fn to_iso8601(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let zone = zone(columns, 0)?;
    let mut made = StringBuilder::new();
    for micros in micros(columns, 0)? {
        made.append_option(match micros {
            Some(micros) if zone == TimeZone::UTC => Some(instant(micros)?.to_string()),
            Some(micros) => {
                Some(zoned(micros, &zone)?.strftime("%Y-%m-%dT%H:%M:%S%.f%:z").to_string())
            }
            None => None,
        });
    }
    Ok(Arc::new(made.finish()))
}

/// The days of times, in their zone.
fn dates(columns: &[ArrayRef], make: fn(Date) -> Date) -> Result<ArrayRef> {
    let zone = zone(columns, 0)?;
    let mut days = arrow::array::Date32Builder::new();
    for micros in micros(columns, 0)? {
        let date = micros.map(|micros| zoned(micros, &zone)).transpose()?.map(|time| time.date());
        let since = |date| make(date).since((Unit::Day, Date::constant(1970, 1, 1)));
        days.append_option(match date {
            Some(date) => Some(
                since(date)
                    .map_err(|error| plan_datafusion_err!("no such date: {error}"))?
                    .get_days(),
            ),
            None => None,
        });
    }
    Ok(Arc::new(days.finish()))
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

/// Texts as times, by a format that `words` says in strftime's.
fn parsed_by(columns: &[ArrayRef], words: fn(&str) -> Result<String>) -> Result<ArrayRef> {
    let (texts, formats) = (strings(columns, 0)?, strings(columns, 1)?);
    let mut memo = Memo::new(words);
    let mut times = Vec::with_capacity(texts.len());
    for (text, format) in texts.iter().zip(formats) {
        let (Some(text), Some(format)) = (text, format) else {
            times.push(None);
            continue;
        };
        let Some(time) = broken_down(memo.get(format)?, text) else {
            return exec_err!("{text:?} is no time of the format {format:?}");
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

/// Times as texts, by a format that `words` says in strftime's.
fn formatted(columns: &[ArrayRef], words: fn(&str) -> Result<String>) -> Result<ArrayRef> {
    let (times, formats, zone) = (micros(columns, 0)?, strings(columns, 1)?, zone(columns, 0)?);
    let mut memo = Memo::new(words);
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
        let text = jiff::fmt::strtime::format(memo.get(format)?, &zoned(micros, &zone)?)
            .map_err(|error| plan_datafusion_err!("a time as {format:?}: {error}"))?;
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
    let zone = zone(columns, 2)?;
    let mut memo = Memo::new(unit);
    let mut sums = Vec::with_capacity(times.len());
    for ((unit, count), time) in units.iter().zip(counts).zip(times) {
        sums.push(match (unit, count, time) {
            (Some(unit), Some(count), Some(time)) => {
                Some(add(*memo.get(unit)?, count, &zoned(time, &zone)?)?)
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
                let unit = *memo.get(unit)?;
                let span = zoned(from, &zone)?
                    .until((unit, &zoned(to, &zone)?))
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

fn millisecond(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let of = |micros: i64| micros.rem_euclid(1_000_000) / 1_000;
    Ok(Arc::new(micros(columns, 0)?.unary::<_, Int64Type>(of)))
}

/// From Monday, 1, to Sunday, 7.
fn day_of_week(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let days = part(columns, DatePart::DayOfWeekMonday0)?;
    let days: arrow::array::Int64Array =
        days.as_primitive::<Int64Type>().iter().map(|day| day.map(|day| day + 1)).collect();
    Ok(Arc::new(days))
}
