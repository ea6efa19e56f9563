//! A scanner for JSON: finds where values begin and end, and builds nothing.
//!
//! It accepts exactly RFC 8259, in one pass over the bytes, eight at a time
//! inside strings. It never recurses: nesting is a stack of bits, at most
//! [`DEPTH_MAX`] deep. UTF-8 is checked once per piece, by the standard library.
//!
//! Layout: `scan` walks one value, `members` walks an object or an array,
//! `text` takes strings out of their escapes and lines out of their breaks,
//! `canonical` makes one text of all spellings of a value.
//!
//! # Why not a parser
//! The agent needs the bytes of a record and three of its members; the table
//! needs some forty members as spans. A tree would be built to be thrown away.

mod canonical;
mod members;
mod scan;
mod text;

use std::fmt;

pub use canonical::canonical;
pub use members::{Elements, Member, Members, elements, members};
pub use scan::{extent, skip_blank, string_end, value_end};
pub use text::{compact_line_breaks, key_is, plain_key, string_contents, unescape};

/// How deep arrays and objects may nest in one value.
pub const DEPTH_MAX: usize = 512;

/// What makes bytes no JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The input ends inside a value; more bytes might complete it.
    End,
    /// A byte that cannot stand here.
    Byte,
    /// A raw control character inside a string.
    Control,
    /// A backslash that begins no escape.
    Escape,
    /// A `\u` escape of half a character.
    Surrogate,
    /// Bytes that are not UTF-8.
    Utf8,
    /// More than [`DEPTH_MAX`] levels.
    Depth,
}

/// Where bytes stop being JSON, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} at byte {at}")]
pub struct SyntaxError {
    /// Offset into the bytes that were given.
    pub at: usize,
    /// What is wrong there.
    pub what: Fault,
}

impl SyntaxError {
    pub(crate) fn new(at: usize, what: Fault) -> Self {
        Self { at, what }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::End => "input ends inside a value",
            Self::Byte => "unexpected byte",
            Self::Control => "raw control character in a string",
            Self::Escape => "invalid escape",
            Self::Surrogate => "half a surrogate pair",
            Self::Utf8 => "invalid utf-8",
            Self::Depth => "nesting deeper than 512",
        })
    }
}

#[cfg(test)]
mod tests;
