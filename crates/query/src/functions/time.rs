//! Times: parsing, printing, adding and taking apart. Times are UTC, unless a query
//! says `AT TIME ZONE`: then their parts, their date and their text are of that zone.

mod arithmetic;
mod interval;
mod joda;
mod print;
mod unix;

pub(super) use print::as_varchar;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringBuilder, TimestampMicrosecondArray};
use arrow::compute::{DatePart, cast, date_part};
use arrow::datatypes::{DataType, Int64Type, TimeUnit, TimestampMicrosecondType};
use datafusion::common::{Result, exec_err, plan_datafusion_err, plan_err};
use jiff::civil::{Date, DateTime};
use jiff::fmt::strtime::BrokenDownTime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Unit, Zoned};

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
        Function::new("date_parse", texts::<2>, time, |columns| {
            parsed_by(columns, strftime, broken_down)
        }),
        Function::new("parse_datetime", texts::<2>, time, |columns| {
            parsed_by(columns, joda::strftime, joda::broken_down)
        }),
        Function::new("date_format", time_and_text, text, |columns| formatted(columns, strftime)),
        Function::new("format_datetime", time_and_text, text, |columns| {
            formatted(columns, joda::strftime)
        }),
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
        Function::new("year_of_week", times::<1>, bigint, |columns| {
            part(columns, DatePart::YearISO)
        })
        .alias("yow"),
        Function::new("hour", times::<1>, bigint, |columns| part(columns, DatePart::Hour)),
        Function::new("minute", times::<1>, bigint, |columns| part(columns, DatePart::Minute)),
        Function::new("second", times::<1>, bigint, |columns| part(columns, DatePart::Second)),
        Function::new("millisecond", times::<1>, bigint, millisecond),
    ]);
    all.extend(arithmetic::functions());
    all.extend(print::functions());
    all.extend(unix::functions());
    all.extend(interval::functions());
    all
}

/// The length of an interval in microseconds.
pub(super) fn interval_length() -> Function {
    interval::of_length()
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

/// The same, but a date stays one.
fn as_time_or_day(given: &DataType) -> DataType {
    if *given == DataType::Date32 { DataType::Date32 } else { as_time(given) }
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
fn parsed_by(
    columns: &[ArrayRef],
    words: fn(&str) -> Result<String>,
    parse: fn(&str, &str) -> Option<i64>,
) -> Result<ArrayRef> {
    let (texts, formats) = (strings(columns, 0)?, strings(columns, 1)?);
    let mut memo = Memo::new(words);
    let mut times = Vec::with_capacity(texts.len());
    for (text, format) in texts.iter().zip(formats) {
        let (Some(text), Some(format)) = (text, format) else {
            times.push(None);
            continue;
        };
        let Some(time) = parse(memo.get(format)?, text) else {
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
    let zone = found.offset().map_or(TimeZone::UTC, TimeZone::fixed);
    let zoned = date.to_datetime(time).to_zoned(zone).ok()?;
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
