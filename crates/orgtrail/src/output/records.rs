//! Rows as the records that they were: a CloudTrail log file.

use std::io;

use arrow::array::RecordBatch;
use table::row::RecordJson;

use super::json::put;
use super::target::Target;

pub(super) struct Records {
    begun: bool,
}

impl Records {
    pub(super) const fn new() -> Self {
        Self { begun: false }
    }

    pub(super) fn write(&mut self, batch: &RecordBatch, target: &mut Target) -> io::Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let records = RecordJson::of(batch).map_err(io::Error::other)?;
        let mut record = Vec::new();
        for row in 0..batch.num_rows() {
            record.clear();
            record.extend_from_slice(if self.begun { b",\n" } else { b"{\"Records\":[\n" });
            self.begun = true;
            records.write(row, &mut record);
            put(&record, target)?;
        }
        Ok(())
    }

    pub(super) fn finish(&mut self, target: &mut Target) -> io::Result<()> {
        target.text(if self.begun { "\n]}\n" } else { "{\"Records\":[]}\n" })
    }
}
