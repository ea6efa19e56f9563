//! When an event was: RFC 3339 text as microseconds since 1970, and UTC days.

/// Microseconds of a UTC day.
pub const DAY_MICROS: i64 = 86_400 * 1_000_000;

/// The instant that `text` names as `YYYY-MM-DDTHH:MM:SS[.f…](Z|±hh:mm)`, in
/// microseconds since 1970; digits past the sixth are cut off.
///
/// `None` for anything else, also for a 30th of February or a 61st second.
#[must_use]
pub fn parse(text: &[u8]) -> Option<i64> {
    let (date_time, rest) = text.split_first_chunk::<19>()?;
    let [
        y1,
        y2,
        y3,
        y4,
        b'-',
        o1,
        o2,
        b'-',
        d1,
        d2,
        b'T' | b't',
        h1,
        h2,
        b':',
        m1,
        m2,
        b':',
        s1,
        s2,
    ] = date_time
    else {
        return None;
    };
    let year = digits(&[*y1, *y2, *y3, *y4])?;
    let (month, day) = (digits(&[*o1, *o2])?, digits(&[*d1, *d2])?);
    let (hour, minute, second) = (digits(&[*h1, *h2])?, digits(&[*m1, *m2])?, digits(&[*s1, *s2])?);
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let (micros, zone) = fraction(rest)?;
    let days = days_from_date(year, month, day)?;
    let seconds = days * 86_400 + hour * 3_600 + minute * 60 + second - offset_seconds(zone)?;
    Some(seconds * 1_000_000 + micros)
}

fn digits(text: &[u8]) -> Option<i64> {
    text.iter().try_fold(0, |number, digit| {
        digit.is_ascii_digit().then(|| number * 10 + i64::from(digit - b'0'))
    })
}

/// The microseconds of a fraction at the start of `text`, and what follows it.
fn fraction(text: &[u8]) -> Option<(i64, &[u8])> {
    let Some(rest) = text.strip_prefix(b".") else { return Some((0, text)) };
    let length = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (fraction, zone) = rest.split_at(length);
    if fraction.is_empty() {
        return None;
    }
    let mut micros = digits(fraction.get(..6).unwrap_or(fraction))?;
    for _ in length..6 {
        micros *= 10;
    }
    Some((micros, zone))
}

fn offset_seconds(zone: &[u8]) -> Option<i64> {
    match zone {
        b"Z" | b"z" => Some(0),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let (hours, minutes) = (digits(&[*h1, *h2])?, digits(&[*m1, *m2])?);
            let seconds = hours * 3_600 + minutes * 60;
            let valid = hours < 24 && minutes < 60;
            valid.then_some(if *sign == b'-' { -seconds } else { seconds })
        }
        _ => None,
    }
}

/// Days from 1970-01-01 to a date, if the calendar has it.
#[must_use]
pub fn days_from_date(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let last = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 => 28 + i64::from(leap),
        _ => return None,
    };
    if !(1..=last).contains(&day) {
        return None;
    }
    // Years begin in March here, so that the leap day is a year's last.
    let year = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    Some(
        era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year
            - 719_468,
    )
}

/// Year, month and day of a number of days since 1970-01-01.
#[must_use]
pub fn date_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

/// The UTC day of an instant, in days since 1970-01-01.
#[must_use]
pub fn day_of(micros: i64) -> i64 {
    micros.div_euclid(DAY_MICROS)
}

/// A day as `YYYY-MM-DD`.
#[must_use]
pub fn date_text(days: i64) -> String {
    let (year, month, day) = date_from_days(days);
    format!("{year:04}-{month:02}-{day:02}")
}

/// The day that `YYYY-MM-DD` names.
#[must_use]
pub fn parse_date(text: &[u8]) -> Option<i64> {
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = text else { return None };
    days_from_date(digits(&[*y1, *y2, *y3, *y4])?, digits(&[*m1, *m2])?, digits(&[*d1, *d2])?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_what_jiff_reads_or_nothing() {
        let same = |text: &str| {
            let expected = text.parse::<jiff::Timestamp>().expect(text).as_microsecond();
            assert_eq!(parse(text.as_bytes()), Some(expected), "{text}");
        };
        same("2026-11-20T13:55:02Z");
        same("2024-02-29T23:59:59.5Z");
        same("2014-01-01T00:00:00.123456Z");
        same("2023-07-10T11:45:00+05:30");
        same("2023-07-10T11:45:00.000-11:00");
        same("0001-01-01T00:00:00Z");
        same("1969-12-31T23:59:59.999999Z");
        assert_eq!(parse(b"1970-01-01T00:00:00.0000019Z"), Some(1), "cut, not rounded");
        for wrong in [
            "",
            "...",
            "2026-11-20",
            "2026-11-20T13:55:02",
            "2026-13-01T00:00:00Z",
            "2023-02-29T00:00:00Z",
            "2026-11-20T24:00:00Z",
            "2026-11-20T13:55:60Z",
            "2026-11-20 13:55:02Z",
            "2026-11-20T13:55:02.Z",
            "2026-11-20T13:55:02Zx",
            "2026-11-20T13:55:02+24:00",
            "2026-11-20T13:55:02+0530",
            "+026-11-20T13:55:02Z",
        ] {
            assert_eq!(parse(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn days_and_dates_are_each_others_inverse() {
        for days in (-800_000..800_000).step_by(7) {
            let (year, month, day) = date_from_days(days);
            assert_eq!(days_from_date(year, month, day), Some(days));
        }
        assert_eq!(date_text(0), "1970-01-01");
        assert_eq!(date_text(day_of(-1)), "1969-12-31");
        assert_eq!(parse_date(b"2024-02-29").map(date_text).as_deref(), Some("2024-02-29"));
        assert_eq!(parse_date(b"2023-02-29"), None);
    }
}
