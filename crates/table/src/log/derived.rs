//! What indexes and copies of days write in the log: they follow from the files.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::day::DayPart;
use crate::index::IndexPart;

/// A part of a day's index of indicators.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct IndexCommit {
    /// The day.
    pub(crate) date: Date,
    /// The part.
    pub(crate) part: IndexPart,
    /// Paths of the parts that it takes the place of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) replaces: Vec<String>,
}

/// All parts of a day's index, arranged by indicator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Arranged {
    /// The day.
    pub(crate) date: Date,
    /// The parts.
    pub(crate) parts: Vec<IndexPart>,
    /// Paths of those that they take the place of.
    pub(crate) replaces: Vec<String>,
}

/// A part of a day's copy for the organization at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DayCommit {
    /// The day.
    pub(crate) date: Date,
    /// The part.
    pub(crate) part: DayPart,
    /// Paths of the parts that it takes the place of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) replaces: Vec<String>,
}
