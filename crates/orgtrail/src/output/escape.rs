//! Makes untrusted text harmless for a terminal, a CSV reader and a person's eye.

use std::borrow::Cow;
use std::fmt::Write as _;

/// The text with everything spelled out that could move the cursor, change the
/// terminal, or make text look like other text.
pub(crate) fn for_terminal(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_dangerous) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for letter in text.chars() {
        match letter {
            '\n' => safe.push_str("\\n"),
            '\r' => safe.push_str("\\r"),
            '\t' => safe.push_str("\\t"),
            letter if is_dangerous(letter) => {
                // A String takes whatever is written.
                write!(safe, "\\u{{{:x}}}", u32::from(letter)).unwrap_or_default();
            }
            letter => safe.push(letter),
        }
    }
    Cow::Owned(safe)
}

/// JSON with the letters spelled as JSON escapes that a terminal should not
/// see: another spelling of the same value.
pub(crate) fn json_for_terminal(json: &str) -> Cow<'_, str> {
    let hidden = |letter: char| is_dangerous(letter) && letter != '\n';
    if !json.chars().any(hidden) {
        return Cow::Borrowed(json);
    }
    let mut safe = String::with_capacity(json.len() + 16);
    for letter in json.chars() {
        if hidden(letter) {
            for unit in letter.encode_utf16(&mut [0; 2]) {
                write!(safe, "\\u{unit:04x}").unwrap_or_default();
            }
        } else {
            safe.push(letter);
        }
    }
    Cow::Owned(safe)
}

/// Whether a letter controls instead of showing: C0, C1, direction marks,
/// letters of no width, separators, tags.
fn is_dangerous(letter: char) -> bool {
    letter.is_control()
        || matches!(
            letter,
            '\u{ad}'
                | '\u{61c}'
                | '\u{115f}'..='\u{1160}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{3164}'
                | '\u{feff}'
                | '\u{ffa0}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

/// Whether a spreadsheet would take a cell of this text for a formula.
pub(crate) fn is_formula(text: &str) -> bool {
    let first = text.trim_start_matches([' ', '\u{a0}']).chars().next();
    first.is_some_and(|first| {
        matches!(
            first,
            '=' | '+' | '-' | '@' | '\t' | '\r' | '\n' | '＝' | '＋' | '－' | '＠' | '|' | '%'
        )
    })
}

/// How many columns of a terminal a letter takes, about.
pub(crate) fn width_of(letter: char) -> usize {
    match u32::from(letter) {
        0x300..=0x36f | 0x483..=0x489 | 0x591..=0x5bd | 0xfe00..=0xfe0f | 0xfe20..=0xfe2f => 0,
        0x1100..=0x115f
        | 0x2e80..=0xa4cf
        | 0xac00..=0xd7a3
        | 0xf900..=0xfaff
        | 0xfe30..=0xfe6f
        | 0xff00..=0xff60
        | 0xffe0..=0xffe6
        | 0x1f300..=0x1faff
        | 0x20000..=0x3fffd => 2,
        _ => 1,
    }
}

/// How many columns of a terminal a text takes, about.
pub(crate) fn width(text: &str) -> usize {
    text.chars().map(width_of).sum()
}
