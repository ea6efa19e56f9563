//! Formats of `format_datetime` and `parse_datetime`: those of Joda-Time, where a letter
//! that is repeated is a field and text stands between single quotes (Trino, "Date and
//! time functions and operators", "Java date functions").

use datafusion::common::{Result, plan_err};

/// The same in strftime's words.
pub(super) fn strftime(format: &str) -> Result<String> {
    let mut made = String::new();
    let mut letters = format.chars().peekable();
    while let Some(letter) = letters.next() {
        if letter == '\'' {
            quoted(&mut letters, &mut made);
            continue;
        }
        if !letter.is_ascii_alphabetic() {
            push(letter, &mut made);
            continue;
        }
        let mut count = 1;
        while letters.next_if_eq(&letter).is_some() {
            count += 1;
        }
        match field(letter, count) {
            Some(field) => made.push_str(field),
            None => {
                let field = letter.to_string().repeat(count);
                return plan_err!("{field} is not known in a time format");
            }
        }
    }
    Ok(made)
}

/// Text to the next single quote; two of them are one.
fn quoted(letters: &mut std::iter::Peekable<std::str::Chars<'_>>, made: &mut String) {
    if letters.next_if_eq(&'\'').is_some() {
        made.push('\'');
        return;
    }
    while let Some(letter) = letters.next() {
        if letter != '\'' {
            push(letter, made);
        } else if letters.next_if_eq(&'\'').is_some() {
            made.push('\'');
        } else {
            return;
        }
    }
    // Joda lets the last one be left out.
}

/// What a text says of a time by such a format, in strftime's words. A zone may be written
/// with a colon, without one, or as `Z`.
pub(super) fn broken_down(format: &str, text: &str) -> Option<i64> {
    let found = super::broken_down(format, text);
    if found.is_some() || !(format.contains("%z") || format.contains("%:z")) {
        return found;
    }
    let colons = format.replace("%z", "%:z");
    super::broken_down(&colons, text)
        .or_else(|| super::broken_down(&format.replace("%:z", "%z"), text))
        .or_else(|| super::broken_down(&colons, &format!("{}+00:00", text.strip_suffix('Z')?)))
}

fn push(letter: char, made: &mut String) {
    made.push_str(if letter == '%' { "%" } else { "" });
    made.push(letter);
}

fn field(letter: char, count: usize) -> Option<&'static str> {
    Some(match (letter, count) {
        ('y' | 'Y', 2) => "%y",
        ('y' | 'Y', _) => "%Y",
        ('x', _) => "%G",
        ('w', _) => "%V",
        ('M', 1) => "%-m",
        ('M', 2) => "%m",
        ('M', 3) => "%b",
        ('M', _) => "%B",
        ('d', 1) => "%-d",
        ('d', 2) => "%d",
        ('D', _) => "%j",
        ('e', _) => "%u",
        ('E', 1..=3) => "%a",
        ('E', _) => "%A",
        ('a', _) => "%p",
        ('H', 1) => "%-H",
        ('H', 2) => "%H",
        ('h', 1) => "%-I",
        ('h', 2) => "%I",
        ('m', 1) => "%-M",
        ('m', 2) => "%M",
        ('s', 1) => "%-S",
        ('s', 2) => "%S",
        ('S', 1) => "%1f",
        ('S', 2) => "%2f",
        ('S', 3) => "%3f",
        ('S', 6) => "%6f",
        ('z', _) => "%Z",
        ('Z', 1) => "%z",
        ('Z', 2) => "%:z",
        ('Z', _) => "%Q",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_of_joda_is_said_in_the_words_of_strftime() {
        for (joda, expected) in [
            ("yyyy-MM-dd'T'HH:mm:ss.SSS", "%Y-%m-%dT%H:%M:%S.%3f"),
            ("EEE d MMM yy, h:mm a", "%a %-d %b %y, %-I:%M %p"),
            ("''yyyy'' 'o''clock' 100%", "'%Y' o'clock 100%%"),
            ("EEEE ZZ", "%A %:z"),
            ("ss'Z", "%SZ"),
        ] {
            assert_eq!(strftime(joda).expect(joda), expected, "{joda}");
        }
        assert!(strftime("yyyy-QQ").is_err());
    }
}
