//! Rows in the making.

use arrow::array::RecordBatch;

use super::RowSource;
use crate::partition::{Partition, Regions};

/// A builder makes batches of at most this many rows: larger ones are slower.
pub const BATCH_ROWS_MAX: usize = 8192;

/// Why a line is no row.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum QuarantineReason {
    /// Whoever read it from its source set it aside; the word is theirs.
    SetAside(String),
    /// It is not JSON.
    Syntax,
    /// It is JSON, but no record.
    NotAnEvent,
    /// It belongs to an account that its agent may not speak for.
    ForeignAccount,
}

impl QuarantineReason {
    /// The reason as one stable word.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::SetAside(reason) => reason,
            Self::Syntax => "syntax",
            Self::NotAnEvent => "not_an_event",
            Self::ForeignAccount => "foreign_account",
        }
    }
}

/// A line that goes to quarantine instead of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// Why, in one word.
    pub reason: QuarantineReason,
    /// Why, for a person.
    pub detail: String,
}

/// Turns lines of the journal into rows, batch by batch.
#[derive(Debug, Default)]
pub struct RowBuilder {
    rows: usize,
}

impl RowBuilder {
    /// A builder without rows; it is reused from batch to batch.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the record that `line` is (without its line feed), or says why it is none.
    ///
    /// # Errors
    /// The line belongs into quarantine; then nothing was added.
    pub fn push(&mut self, line: &[u8], source: &RowSource<'_>, regions: &mut Regions) -> Result<Partition, Rejected> {
        let _ = (line, source, regions);
        Err(Rejected { reason: QuarantineReason::Syntax, detail: String::new() })
    }

    /// The number of rows since the last `finish`.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// About how many bytes of memory the rows take.
    #[must_use]
    pub fn bytes(&self) -> usize {
        0
    }

    /// The rows so far, with the columns of a partition file.
    #[must_use]
    pub fn finish(&mut self) -> RecordBatch {
        RecordBatch::new_empty(crate::schema::schema())
    }
}
