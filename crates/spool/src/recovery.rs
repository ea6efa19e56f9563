//! What opening a spool found: exactly which bytes and sequences are lost.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;

/// What opening a spool found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// What could not be read, in the order of sequences. It is found again, and
    /// reported again, at each open until its sequences are released.
    pub damage: Vec<Damage>,
    /// A torn tail that was cut: nothing whole followed it.
    pub cut: Option<Cut>,
    /// The trim point could not be read. [`crate::Spool::released`] then says the
    /// least it can be (what lies before the first frame), with a chain of zeroes
    /// that is *not* the chain there.
    pub released_unknown: bool,
}

impl Recovery {
    /// Whether everything that was written could be read.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.damage.is_empty() && !self.released_unknown
    }
}

/// One stretch that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Why.
    pub cause: Cause,
    /// Where the bytes are kept now; for [`Cause::Missing`] the file that should
    /// have held them.
    pub file: PathBuf,
    /// Which bytes of the file.
    pub bytes: Range<u64>,
    /// Which sequences are lost with them.
    pub lost: Lost,
}

/// Why a stretch could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// The bytes are not what was written.
    Unreadable,
    /// A file that should be there is not, or is shorter than it was.
    Missing,
    /// A file of another spool.
    Foreign,
    /// A second copy of sequences that another file holds.
    Duplicate,
}

/// The sequences lost in one stretch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// None: the bytes held no frame, or one that is also elsewhere.
    Nothing,
    /// These, first and last included.
    Range {
        /// The first.
        first: u64,
        /// The last.
        last: u64,
    },
    /// From here on; nothing follows that would say how many.
    From {
        /// The first.
        first: u64,
    },
}

/// A torn tail that was cut off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The segment.
    pub file: PathBuf,
    /// Which bytes were cut.
    pub bytes: Range<u64>,
    /// The sequence that the first of them would have had.
    pub sequence: u64,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unreadable => "unreadable",
            Self::Missing => "missing",
            Self::Foreign => "of another spool",
            Self::Duplicate => "a duplicate",
        })
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Range { start, end } = self.bytes;
        write!(f, "{} bytes {start}..{end}: {}, ", self.file.display(), self.cause)?;
        match self.lost {
            Lost::Nothing => f.write_str("no sequence lost"),
            Lost::Range { first, last } => write!(f, "sequences {first} to {last} lost"),
            Lost::From { first } => write!(f, "sequences from {first} on lost"),
        }
    }
}
