//! Event ids, one a line: what the next command takes.

use std::io;

use arrow::array::{Array, RecordBatch};

use super::escape::for_terminal;
use super::target::Target;
use super::value::value_text;

pub(super) fn write(batch: &RecordBatch, target: &mut Target) -> io::Result<()> {
    let Some(ids) = batch.column_by_name("eventid") else {
        return Err(io::Error::other("the answer has no column eventid to print"));
    };
    for row in 0..ids.len() {
        if ids.is_valid(row) {
            target.text(&for_terminal(&value_text(ids, row)))?;
            target.text("\n")?;
        }
    }
    Ok(())
}
