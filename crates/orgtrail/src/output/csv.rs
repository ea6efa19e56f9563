//! Rows as comma-separated values (RFC 4180) that no spreadsheet runs.
//!
//! A text cell that a spreadsheet would take for a formula gets an apostrophe
//! in front. That changes the cell; who needs exact values asks for JSON.

use std::io;

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::SchemaRef;

use super::escape::{for_terminal, is_formula};
use super::target::Target;
use super::value::value_text;

pub(super) struct Csv {
    header: String,
    begun: bool,
}

impl Csv {
    pub(super) fn new(schema: &SchemaRef) -> Self {
        let names = schema.fields().iter().map(|field| cell(field.name(), true, false));
        Self { header: names.collect::<Vec<_>>().join(","), begun: false }
    }

    pub(super) fn write(&mut self, batch: &RecordBatch, target: &mut Target) -> io::Result<()> {
        self.begin(target)?;
        for row in 0..batch.num_rows() {
            let cells = batch.columns().iter().map(|column| {
                let is_text = !column.data_type().is_numeric();
                cell(&value_text(column, row), is_text, target.terminal)
            });
            let line = cells.collect::<Vec<_>>().join(",");
            target.text(&line)?;
            target.text("\r\n")?;
        }
        Ok(())
    }

    pub(super) fn finish(&mut self, target: &mut Target) -> io::Result<()> {
        self.begin(target)
    }

    fn begin(&mut self, target: &mut Target) -> io::Result<()> {
        if std::mem::replace(&mut self.begun, true) {
            return Ok(());
        }
        target.text(&self.header)?;
        target.text("\r\n")
    }
}

fn cell(text: &str, is_text: bool, terminal: bool) -> String {
    let shown = if terminal { for_terminal(text) } else { text.into() };
    let guard = if is_text && is_formula(text) { "'" } else { "" };
    let plain =
        !shown.contains(['"', ',', '\n', '\r']) && shown.trim() == shown && guard.is_empty();
    if plain { shown.into_owned() } else { format!("\"{guard}{}\"", shown.replace('"', "\"\"")) }
}
