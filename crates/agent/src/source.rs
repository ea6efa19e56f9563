//! Where an agent reads events: the one trait of the house.
//!
//! A source yields [`Piece`]s, each with the line that will travel and the
//! change of the source's cursor that goes with it. `collect` appends both as
//! one record to the spool, so that after a crash the cursor says exactly which
//! pieces are held, whatever prefix of them became durable.
//!
//! # Contract
//! - Every piece carries its own cursor change: a JSON object as text whose
//!   members replace those of the cursor (`null` removes one). The cursor with
//!   all changes so far merged into it, given to [`Source::resume`], yields the
//!   pieces that follow, each once.
//! - Progress that yields nothing (a file without records) rides with the next
//!   piece; until then a restart finds it again.
//! - The merged cursor stays below [`CURSOR_BYTES_MAX`]; a source that has no
//!   room left there waits until it has.
//! - [`Source::next`] may be dropped at any await: what was read by then comes
//!   with the next call.
//! - What a source cannot read as an event it sets aside as a piece like any
//!   other; it never drops it and never stops at it.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::{Map, Value};

/// The largest cursor of one source, as compact JSON.
pub const CURSOR_BYTES_MAX: usize = 64 << 10;

/// How long a source that follows waits before it looks for news.
pub const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// One line and the place after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The line that travels, without a line feed; never empty.
    pub line: Vec<u8>,
    /// How the cursor changes with it: a JSON object as text.
    pub cursor: String,
}

/// What a source says about itself, for status and for completeness.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Everything that had reached the source by then has been yielded; `None`
    /// while that was never so.
    pub caught_up_at: Option<Timestamp>,
    /// Nothing will ever follow: a run that reads to the end has done so.
    pub finished: bool,
    /// Why the source waits although there is something to read.
    pub waits: Option<String>,
    /// How many units were set aside since the start.
    pub set_aside: u64,
    /// How many files or objects may have been read a second time, because
    /// what was known about them was lost.
    pub read_again: u64,
}

/// Why a source cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The source could not be read this time; trying again may help.
    #[error("read {object}")]
    Read {
        /// The file or object.
        object: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// What the source keeps beside the spool could not be written; nothing
    /// more may be yielded until it can.
    #[error("write {object}")]
    State {
        /// The file.
        object: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The cursor is none of this source's: stop, a person has to look.
    #[error("the cursor of source {name} cannot be read: {why}")]
    Cursor {
        /// The source's name.
        name: String,
        /// What is wrong with it.
        why: String,
    },
}

/// Somewhere events come from.
#[async_trait]
pub trait Source: Send {
    /// The name under which the cursor is kept.
    fn name(&self) -> &str;

    /// Goes to where a cursor says; an empty one means the beginning. Called
    /// before the first [`Source::next`] and again after a fork.
    async fn resume(&mut self, cursor: Map<String, Value>) -> Result<(), SourceError>;

    /// The next pieces, about `budget_bytes` of lines and at least one piece if
    /// there is one. None means: nothing now; see [`Source::standing`] and call
    /// again. A source that follows waits here until it looks for news.
    async fn next(&mut self, budget_bytes: usize) -> Result<Vec<Piece>, SourceError>;

    /// What the source says about itself after the pieces yielded so far.
    fn standing(&self) -> Standing;
}
