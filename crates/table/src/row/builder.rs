//! Lines of the journal become rows, batch by batch.
//!
//! A line is scanned once before anything is appended, so a line that is no
//! record leaves no trace. The batch's order is the order of the lines.

use std::sync::Arc;

use super::RowSource;
use super::columns::{Column, TextColumn, append_members};
use super::notes::Notes;
use super::object::Scan;
use super::record::{QuarantineReason, Record, Rejected};
use crate::indicators::with_indicators;
use crate::partition::{Anomalies, Partition, Regions, place};
use crate::schema::{RECORD, record_schema};
use arrow::array::{ArrayRef, Int64Builder, RecordBatch};
use event::AccountId;

/// A batch of rows should be finished when it has so many: larger ones are slower.
pub const BATCH_ROWS_MAX: usize = 8_192;

/// And when it holds so much text, should its records be huge: offsets are 31 bits.
const BATCH_BYTES_MAX: usize = 64 << 20;

/// What a row takes besides its text: offsets, validity, fixed columns.
const ROW_FIXED_BYTES: usize = 400;

/// Turns lines of the journal into rows, batch by batch.
#[derive(Debug)]
pub struct RowBuilder {
    columns: Vec<Column>,
    unmapped: TextColumn,
    nulls: TextColumn,
    anomalies: TextColumn,
    agent: TextColumn,
    journal_record: Int64Builder,
    journal_row: Int64Builder,
    scan: Scan,
    notes: Notes,
    agent_text: AgentText,
    rows: usize,
    bytes: usize,
}

impl Default for RowBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl RowBuilder {
    /// A builder without rows; it is meant to be used for batch after batch.
    #[must_use]
    pub fn new() -> Self {
        Self {
            columns: RECORD.iter().map(|member| Column::new(&member.shape)).collect(),
            unmapped: TextColumn::default(),
            nulls: TextColumn::default(),
            anomalies: TextColumn::default(),
            agent: TextColumn::default(),
            journal_record: Int64Builder::new(),
            journal_row: Int64Builder::new(),
            scan: Scan::default(),
            notes: Notes::default(),
            agent_text: AgentText::default(),
            rows: 0,
            bytes: 0,
        }
    }

    /// Adds the record that `line` is (without its line feed), or says why it is none.
    ///
    /// # Errors
    /// The line belongs into quarantine. Then nothing was added, nor any region shown.
    pub fn push(
        &mut self,
        line: &[u8],
        source: &RowSource<'_>,
        regions: &mut Regions,
    ) -> Result<Partition, Rejected> {
        let mut scan = std::mem::take(&mut self.scan);
        let pushed = Record::read(line, &mut scan).and_then(|record| {
            let placed = place(&record.claims(), source, regions);
            let (partition, anomalies) = placed.map_err(|not_covered| Rejected {
                reason: QuarantineReason::AccountNotCovered,
                detail: not_covered.to_string(),
            })?;
            self.append(&record, anomalies, source);
            Ok(partition)
        });
        self.scan = scan;
        let partition = pushed?;
        self.rows += 1;
        self.bytes += line.len() + ROW_FIXED_BYTES;
        Ok(partition)
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

    /// Whether the batch should be finished before the next row.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.rows >= BATCH_ROWS_MAX || self.bytes >= BATCH_BYTES_MAX
    }

    /// About how many bytes of memory these rows take.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes the rows so far, with the columns of a partition file.
    #[must_use]
    pub fn finish(&mut self) -> RecordBatch {
        let rows = with_indicators(self.finish_records());
        rows.expect("the rows have a record's columns, and no list is longer than its texts")
    }

    /// The same with a record's columns only: for rows that are sorted before they are
    /// written, which makes their lists cheaper.
    pub(crate) fn finish_records(&mut self) -> RecordBatch {
        self.rows = 0;
        self.bytes = 0;
        let mut columns: Vec<ArrayRef> = self.columns.iter_mut().map(Column::finish).collect();
        for text in [&mut self.unmapped, &mut self.nulls, &mut self.anomalies, &mut self.agent] {
            columns.push(Arc::new(text.finish()));
        }
        for number in [&mut self.journal_record, &mut self.journal_row] {
            columns.push(Arc::new(number.finish()));
        }
        RecordBatch::try_new(record_schema(), columns)
            .expect("every column got one value for each row")
    }

    fn append(&mut self, record: &Record<'_>, anomalies: Anomalies, source: &RowSource<'_>) {
        self.notes.clear();
        let Record { whole, object } = record;
        append_members(RECORD, &mut self.columns, whole, *object, &mut self.notes);
        self.nulls.append_option(self.notes.nulls_text().map(str::as_bytes));
        self.unmapped.append_option(self.notes.unmapped_text());
        self.anomalies.append_option(anomalies.text().as_deref().map(str::as_bytes));
        self.agent.append(self.agent_text.of(source));
        self.journal_record.append_value(journal_number(source.record));
        self.journal_row.append_value(journal_number(source.row));
    }
}

/// `<account>/<name>` of an agent, kept because its rows mostly come together.
#[derive(Debug, Default)]
struct AgentText {
    account: Option<AccountId>,
    text: String,
}

impl AgentText {
    fn of(&mut self, source: &RowSource<'_>) -> &[u8] {
        let is_same = self.account == Some(source.agent_account)
            && self.text.split_once('/').is_some_and(|(_, agent)| agent == source.agent);
        if !is_same {
            self.account = Some(source.agent_account);
            self.text = format!("{}/{}", source.agent_account, source.agent);
        }
        self.text.as_bytes()
    }
}

/// Journal positions are counted one by one; none ever passes 63 bits.
fn journal_number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
