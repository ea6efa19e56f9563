//! The line that carries what is no record.
//!
//! ```json
//! {"orgtrail_set_aside":{"part":1,"parts":1,"reason":"not_an_event","detail":"…",
//!  "source":"<path or object>","position":0,"length":5,"sha256":"<hex>","bytes":"<base64>"}}
//! ```
//!
//! (in one line). A unit larger than [`PART_BYTES_MAX`] travels as numbered
//! parts: each line tells its own position, length and hash, and only the last
//! one knows how many there are (`parts` is null before it), so that a unit of
//! any length is passed on without being held. A unit counts once, at its first
//! part. `bytes` is absent where they were not kept: past [`KEPT_BYTES_MAX`] of
//! one unit only length and hash remain.
//!
//! `part` is written first so that [`is_continuation`] need not parse.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::json::{members, string_contents, unescape};
use crate::record::{RECORD_LIMIT_BYTES, SET_ASIDE_MEMBER};

/// The most bytes that one line carries: in base64, with all the rest of the
/// line, they stay below [`RECORD_LIMIT_BYTES`].
pub const PART_BYTES_MAX: usize = (RECORD_LIMIT_BYTES - 3 * TEXT_BYTES_MAX) / 4 * 3;

/// How much of one unit is kept.
pub const KEPT_BYTES_MAX: u64 = 64 << 20;

/// The most bytes of `source` and of `detail` in a line, escapes included.
const TEXT_BYTES_MAX: usize = 8 << 10;

const START: &str = "{\"orgtrail_set_aside\":{\"part\":";

/// Why something is no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// JSON, but not what an audit record looks like.
    NotAnEvent,
    /// Not JSON.
    Syntax,
    /// JSON but for bytes that are not UTF-8.
    InvalidUtf8,
    /// Nested deeper than is read.
    TooDeep,
    /// Larger than a record may be.
    TooLarge,
    /// The source ends in the middle of it.
    Truncated,
    /// Compressed bytes that cannot be inflated.
    Decompress,
    /// It has the member by which this mark is told.
    AmbiguousMark,
    /// A record of another account than the folder that it lay in.
    ForeignAccount,
}

impl Reason {
    /// All reasons.
    pub const ALL: [Self; 9] = [
        Self::NotAnEvent,
        Self::Syntax,
        Self::InvalidUtf8,
        Self::TooDeep,
        Self::TooLarge,
        Self::Truncated,
        Self::Decompress,
        Self::AmbiguousMark,
        Self::ForeignAccount,
    ];

    /// The reason as one stable word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotAnEvent => "not_an_event",
            Self::Syntax => "syntax",
            Self::InvalidUtf8 => "invalid_utf8",
            Self::TooDeep => "too_deep",
            Self::TooLarge => "too_large",
            Self::Truncated => "truncated",
            Self::Decompress => "decompress",
            Self::AmbiguousMark => "ambiguous_mark",
            Self::ForeignAccount => "foreign_account",
        }
    }

    /// The reason that a word stands for.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == word)
    }
}

/// One part of something set aside; most have one part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetAside {
    /// Number of this part in its unit, from 1.
    pub part: u32,
    /// How many parts the unit has; only its last part knows.
    pub parts: Option<u32>,
    /// Why it is no record.
    pub reason: Reason,
    /// The same for a person, with numbers; may be empty.
    pub detail: String,
    /// The file or object it was found in.
    pub source: String,
    /// Where this part begins: a byte of the source's inflated content, or of
    /// the source itself where that could not be inflated.
    pub position: u64,
    /// How many bytes this part stands for.
    pub length: u64,
    /// SHA-256 of this part's bytes.
    pub sha256: [u8; 32],
    /// The bytes, unless they were not kept.
    pub bytes: Option<Vec<u8>>,
}

impl SetAside {
    /// The line, without a line feed.
    #[must_use]
    pub fn to_line(&self) -> Vec<u8> {
        let parts = self.parts.map_or_else(|| "null".to_owned(), |parts| parts.to_string());
        let mut line = format!(
            "{START}{},\"parts\":{parts},\"reason\":\"{}\",\"detail\":{},\"source\":{},\
             \"position\":{},\"length\":{},\"sha256\":\"{}\"",
            self.part,
            self.reason.as_str(),
            quoted(&self.detail),
            quoted(&self.source),
            self.position,
            self.length,
            self.sha256.iter().map(|byte| format!("{byte:02x}")).collect::<String>(),
        );
        if let Some(bytes) = &self.bytes {
            line.push_str(",\"bytes\":\"");
            line.push_str(&BASE64.encode(bytes));
            line.push('"');
        }
        line.push_str("}}");
        line.into_bytes()
    }

    /// Reads a line back; `None` if it is no such line.
    #[must_use]
    pub fn parse(line: &[u8]) -> Option<Self> {
        let mut outer = members(line).ok()?;
        let mark = outer.next()?.ok()?;
        if mark.key != SET_ASIDE_MEMBER.as_bytes() || outer.next().is_some() {
            return None;
        }
        let mut found = Self {
            part: 0,
            parts: None,
            reason: Reason::NotAnEvent,
            detail: String::new(),
            source: String::new(),
            position: 0,
            length: 0,
            sha256: [0; 32],
            bytes: None,
        };
        for member in members(mark.value).ok()? {
            let member = member.ok()?;
            let value = member.value;
            match member.key {
                b"part" => found.part = number(value)?,
                b"parts" if value == b"null" => found.parts = None,
                b"parts" => found.parts = Some(number(value)?),
                b"reason" => found.reason = Reason::from_word(&text(value)?)?,
                b"detail" => found.detail = text(value)?,
                b"source" => found.source = text(value)?,
                b"position" => found.position = number(value)?,
                b"length" => found.length = number(value)?,
                b"sha256" => found.sha256 = hex32(string_contents(value)?)?,
                b"bytes" => found.bytes = Some(BASE64.decode(string_contents(value)?).ok()?),
                // A later release may say more.
                _ => {}
            }
        }
        (found.part > 0).then_some(found)
    }
}

/// Whether a line is a later part of a unit, which was counted already.
#[must_use]
pub fn is_continuation(line: &[u8]) -> bool {
    line.strip_prefix(START.as_bytes()).is_some_and(|rest| !rest.starts_with(b"1,"))
}

/// Whether a line has the form of something set aside.
#[must_use]
pub fn is_set_aside(line: &[u8]) -> bool {
    line.starts_with(START.as_bytes())
}

fn text(value: &[u8]) -> Option<String> {
    Some(unescape(string_contents(value)?).ok()?.into_owned())
}

fn number<T: std::str::FromStr>(value: &[u8]) -> Option<T> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

fn hex32(digits: &[u8]) -> Option<[u8; 32]> {
    let mut out = [0; 32];
    if digits.len() != 64 {
        return None;
    }
    for (byte, pair) in out.iter_mut().zip(digits.chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(out)
}

/// A JSON string of at most [`TEXT_BYTES_MAX`]; what is longer ends in "…".
fn quoted(text: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::from("\"");
    for character in text.chars() {
        if out.len() > TEXT_BYTES_MAX - 16 {
            out.push('…');
            break;
        }
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            control if u32::from(control) < 0x20 => {
                let written = write!(out, "\\u{:04x}", u32::from(control));
                written.expect("a string takes whatever is written");
            }
            plain => out.push(plain),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(part: u32, bytes: Option<Vec<u8>>) -> SetAside {
        SetAside {
            part,
            parts: Some(part),
            reason: Reason::Truncated,
            detail: "ends in a \"string\"\n".to_owned(),
            source: "/logs/ä\u{1}.json.gz".to_owned(),
            position: 7,
            length: 3,
            sha256: [0xab; 32],
            bytes,
        }
    }

    #[test]
    fn a_line_reads_back_as_what_was_set_aside() {
        for case in [
            sample(1, Some(vec![0, 255, 10])),
            sample(2, None),
            SetAside { parts: None, ..sample(3, Some(Vec::new())) },
        ] {
            let line = case.to_line();
            assert!(!line.contains(&b'\n'), "one line");
            assert_eq!(crate::record::classify(&line), Ok(crate::record::Kind::SetAsideMark));
            assert_eq!(SetAside::parse(&line), Some(case));
        }
        for reason in Reason::ALL {
            assert_eq!(Reason::from_word(reason.as_str()), Some(reason));
        }
    }

    #[test]
    fn only_later_parts_are_continuations() {
        assert!(!is_continuation(&sample(1, None).to_line()));
        assert!(is_continuation(&sample(2, None).to_line()));
        assert!(is_continuation(&sample(10, None).to_line()));
        assert!(!is_continuation(b"{\"eventVersion\":\"1\"}"));
        assert!(is_set_aside(&sample(1, None).to_line()));
    }

    #[test]
    fn the_largest_part_fits_into_a_record_line() {
        let long = "\u{1}".repeat(100_000);
        let line = SetAside {
            detail: long.clone(),
            source: long,
            bytes: Some(vec![7; PART_BYTES_MAX]),
            ..sample(u32::MAX, None)
        }
        .to_line();
        assert!(line.len() <= RECORD_LIMIT_BYTES, "{} bytes", line.len());
        assert!(SetAside::parse(&line).is_some());
    }

    #[test]
    fn a_line_with_anything_beside_the_mark_is_none_of_ours() {
        let line = String::from_utf8(sample(1, None).to_line()).expect("utf-8");
        let more = line.replacen('{', "{\"a\":1,", 1);
        assert_eq!(SetAside::parse(more.as_bytes()), None);
        let after = format!("{},\"a\":1}}", line.strip_suffix('}').expect("object"));
        assert_eq!(SetAside::parse(after.as_bytes()), None);
        assert_eq!(SetAside::parse(b"{\"orgtrail_set_aside\":1}"), None);
    }
}
