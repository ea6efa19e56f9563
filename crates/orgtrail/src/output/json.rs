//! Rows as JSON objects: in one array, or one on each line.

use std::io;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use super::escape::json_for_terminal;
use super::target::Target;
use super::value::{is_null, write_json, write_string};

pub(super) struct Json {
    array: bool,
    /// Each column's name, as JSON, with its colon.
    names: Vec<Vec<u8>>,
    begun: bool,
}

impl Json {
    pub(super) fn array(schema: &SchemaRef) -> Self {
        Self { array: true, ..Self::lines(schema) }
    }

    pub(super) fn lines(schema: &SchemaRef) -> Self {
        let names = schema.fields().iter().map(|field| {
            let mut name = Vec::new();
            write_string(field.name(), &mut name);
            name.push(b':');
            name
        });
        Self { array: false, names: names.collect(), begun: false }
    }

    pub(super) fn write(&mut self, batch: &RecordBatch, target: &mut Target) -> io::Result<()> {
        let mut line = Vec::new();
        for row in 0..batch.num_rows() {
            line.clear();
            if self.array {
                line.extend_from_slice(if self.begun { b",\n" } else { b"[\n" });
            }
            self.begun = true;
            line.push(b'{');
            let mut first = true;
            for (name, column) in self.names.iter().zip(batch.columns()) {
                if is_null(column, row) {
                    continue;
                }
                if !std::mem::take(&mut first) {
                    line.push(b',');
                }
                line.extend_from_slice(name);
                write_json(column, row, 0, &mut line);
            }
            line.push(b'}');
            if !self.array {
                line.push(b'\n');
            }
            put(&line, target)?;
        }
        Ok(())
    }

    pub(super) fn finish(&mut self, target: &mut Target) -> io::Result<()> {
        match (self.array, self.begun) {
            (true, true) => target.text("\n]\n"),
            (true, false) => target.text("[]\n"),
            (false, _) => Ok(()),
        }
    }
}

/// Writes JSON: as it is, or harmless on a terminal.
pub(super) fn put(json: &[u8], target: &mut Target) -> io::Result<()> {
    if target.terminal {
        target.text(&json_for_terminal(&String::from_utf8_lossy(json)))
    } else {
        target.bytes(json)
    }
}
