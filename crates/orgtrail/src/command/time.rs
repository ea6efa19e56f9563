//! Times as people type them.
//!
//! `90m`, `24h`, `7d` ago; `now`, `today`, `yesterday`; a date; RFC 3339. A
//! date or day means its first moment as a beginning and the end of it as an
//! end, so `--from monday's date --to friday's` takes the whole of Friday.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};

/// Which side of a range a time is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    From,
    To,
}

/// A text that is no time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no time: write 90m, 24h, 7d, today, yesterday, 2026-11-20 or 2026-11-20T09:30:00Z"
)]
pub(crate) struct InvalidTime(String);

/// What `text` means at `now` in `zone`.
pub(crate) fn parse(
    text: &str,
    side: Side,
    now: Timestamp,
    zone: &TimeZone,
) -> Result<Timestamp, InvalidTime> {
    let invalid = || InvalidTime(text.to_owned());
    let today = now.to_zoned(zone.clone()).date();
    match text {
        "now" => return Ok(now),
        "today" => return day(today, side, zone).ok_or_else(invalid),
        "yesterday" => {
            return day(today.yesterday().map_err(|_| invalid())?, side, zone).ok_or_else(invalid);
        }
        _ => {}
    }
    if let Some(ago) = span(text) {
        return now.checked_sub(ago).map_err(|_| invalid());
    }
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time);
    }
    if text.len() == 10
        && let Ok(date) = text.parse::<Date>()
    {
        return day(date, side, zone).ok_or_else(invalid);
    }
    let civil = text.parse::<DateTime>().map_err(|_| invalid())?;
    civil.to_zoned(zone.clone()).map(|time| time.timestamp()).map_err(|_| invalid())
}

/// How long ago `90m` is.
pub(super) fn span(text: &str) -> Option<SignedDuration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        "w" => 604_800,
        _ => return None,
    };
    let plain = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let number: i64 = plain.then(|| number.parse().ok()).flatten()?;
    Some(SignedDuration::from_secs(number.checked_mul(seconds)?))
}

fn day(date: Date, side: Side, zone: &TimeZone) -> Option<Timestamp> {
    let date = match side {
        Side::From => date,
        Side::To => date.checked_add(1.day()).ok()?,
    };
    date.to_zoned(zone.clone()).ok().map(|time| time.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_and_machines_may_write_times_their_way() {
        let now: Timestamp = "2026-11-20T11:31:02Z".parse().expect("a time");
        let check = |text: &str, side: Side, expected: Option<&str>| {
            let found = parse(text, side, now, &TimeZone::UTC).ok().map(|time| time.to_string());
            assert_eq!(found.as_deref(), expected, "{text}");
        };
        check("90m", Side::From, Some("2026-11-20T10:01:02Z"));
        check("24h", Side::From, Some("2026-11-19T11:31:02Z"));
        check("7d", Side::From, Some("2026-11-13T11:31:02Z"));
        check("now", Side::To, Some("2026-11-20T11:31:02Z"));
        check("today", Side::From, Some("2026-11-20T00:00:00Z"));
        check("yesterday", Side::From, Some("2026-11-19T00:00:00Z"));
        check("yesterday", Side::To, Some("2026-11-20T00:00:00Z"));
        check("2026-11-18", Side::From, Some("2026-11-18T00:00:00Z"));
        check("2026-11-18", Side::To, Some("2026-11-19T00:00:00Z"));
        check("2026-11-18T09:30:00Z", Side::To, Some("2026-11-18T09:30:00Z"));
        check("2026-11-18T09:30:00+02:00", Side::From, Some("2026-11-18T07:30:00Z"));
        check("2026-11-18T09:30", Side::From, Some("2026-11-18T09:30:00Z"));
        for text in [
            "",
            "m",
            "-5m",
            "5",
            "5x",
            "1.5h",
            "99999999999999999999d",
            "20-11-2026",
            "2026-02-30",
            "soon",
        ] {
            check(text, Side::From, None);
        }
    }
}
