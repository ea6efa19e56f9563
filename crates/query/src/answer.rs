//! An answer: its rows, and what they cover.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use futures::StreamExt;

use crate::coverage::Coverage;
use crate::error::QueryError;
use crate::limits::Turn;
use crate::view::View;

/// The rows of an answer, as they come, and what they cover.
pub struct Answer {
    view: Arc<View>,
    rows: SendableRecordBatchStream,
    first: Option<RecordBatch>,
    turn: Turn,
    notes: Vec<String>,
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answer").field("schema", &self.rows.schema()).finish_non_exhaustive()
    }
}

impl Answer {
    /// Runs the plan up to its first rows, so that a view that has become stale
    /// shows itself while another can still be taken.
    pub(crate) async fn begin(
        view: Arc<View>,
        rows: SendableRecordBatchStream,
        turn: Turn,
    ) -> Result<Self, QueryError> {
        let mut answer = Self { view, rows, first: None, turn, notes: Vec::new() };
        answer.first = answer.pull().await.transpose()?;
        Ok(answer)
    }

    /// The columns.
    #[must_use]
    pub fn schema(&self) -> SchemaRef {
        self.rows.schema()
    }

    /// The next rows; none at the end.
    ///
    /// # Errors
    /// If something could not be read. The rows given so far are then not all.
    pub async fn next(&mut self) -> Result<Option<RecordBatch>, QueryError> {
        match self.first.take() {
            Some(first) => Ok(Some(first)),
            None => self.pull().await.transpose(),
        }
    }

    /// All rows that are left.
    ///
    /// # Errors
    /// As [`Answer::next`].
    pub async fn rest(&mut self) -> Result<Vec<RecordBatch>, QueryError> {
        let mut batches = Vec::new();
        while let Some(batch) = self.next().await? {
            batches.push(batch);
        }
        Ok(batches)
    }

    /// What the answer covers; bytes are those read so far.
    #[must_use]
    pub fn coverage(&self) -> Coverage {
        self.view.coverage()
    }

    /// What of the question was read otherwise than it is written.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    pub(crate) fn note(&mut self, notes: Vec<String>) {
        self.notes = notes;
    }

    async fn pull(&mut self) -> Option<Result<RecordBatch, QueryError>> {
        loop {
            match self.turn.in_time(self.rows.next()).await {
                Err(timed_out) => return Some(Err(timed_out)),
                Ok(None) => return None,
                Ok(Some(Ok(batch))) if batch.num_rows() == 0 => {}
                Ok(Some(Ok(batch))) => return Some(Ok(batch)),
                Ok(Some(Err(error))) => {
                    return Some(Err(explain(&self.view, error, self.turn.memory_bytes).await));
                }
            }
        }
    }
}

/// What an error of the engine means: ours, a broken file's, or its own.
pub(crate) async fn explain(
    view: &View,
    error: DataFusionError,
    memory_bytes: usize,
) -> QueryError {
    if let Some(failure) = view.take_failure() {
        return failure;
    }
    match QueryError::of(error, memory_bytes) {
        QueryError::Engine(error) => view.broken_file().await.unwrap_or(QueryError::Engine(error)),
        error => error,
    }
}
