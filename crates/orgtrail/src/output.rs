//! Answers on paper: rows as a table, JSON, NDJSON or CSV, records as they were.
//!
//! Event text is hostile: somebody else chose it. Tables never let it move the
//! cursor, change colours or turn the direction of reading; CSV cells never
//! become formulas; JSON keeps exact values, and on a terminal spells dangerous
//! letters as escapes, which is the same value.
//!
//! `value` gives one value as text or JSON, `escape` makes text harmless,
//! `grid`, `json`, `csv`, `records`,
//! `columnar` and `ids` are the forms, `target` is where they go.

mod columnar;
mod csv;
mod escape;
mod grid;
mod ids;
mod json;
mod records;
mod target;
mod value;

use std::io::{self, Write as _};

use anyhow::Context as _;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use clap::ValueEnum;
use jiff::tz::TimeZone;

pub(crate) use escape::{for_terminal, json_for_terminal};
pub(crate) use target::{Color, Target};
pub(crate) use value::time_text;

/// A form of output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Columns for people.
    Table,
    /// One JSON array of objects.
    Json,
    /// One JSON object per line.
    Ndjson,
    /// Comma-separated values with a header.
    Csv,
    /// A CloudTrail log file: {"Records":[…]}, equal to the originals as JSON values.
    Cloudtrail,
    /// Rows as Parquet, for the next program.
    Parquet,
    /// Event ids, one a line.
    Id,
}

/// Writes batches in one form, one after the other.
pub(crate) struct Writer {
    form: Form,
    target: Target,
    rows: u64,
}

enum Form {
    Grid(grid::Grid),
    Json(json::Json),
    Csv(csv::Csv),
    Records(records::Records),
    Columnar(Box<columnar::Columnar>),
    Ids,
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").field("rows", &self.rows).finish_non_exhaustive()
    }
}

impl Writer {
    /// A writer of rows with these columns; people see times in `zone`.
    ///
    /// # Errors
    /// If the form cannot hold such columns.
    pub(crate) fn new(
        format: Format,
        schema: &SchemaRef,
        zone: &TimeZone,
        target: Target,
    ) -> io::Result<Self> {
        let form = match format {
            Format::Table => Form::Grid(grid::Grid::new(schema, zone, &target)),
            Format::Json => Form::Json(json::Json::array(schema)),
            Format::Ndjson => Form::Json(json::Json::lines(schema)),
            Format::Csv => Form::Csv(csv::Csv::new(schema)),
            Format::Cloudtrail => Form::Records(records::Records::new()),
            Format::Parquet => Form::Columnar(Box::new(columnar::Columnar::new(schema)?)),
            Format::Id => Form::Ids,
        };
        Ok(Self { form, target, rows: 0 })
    }

    /// Writes some rows.
    ///
    /// # Errors
    /// If the target cannot be written, or rows lack what the form needs.
    pub(crate) fn write(&mut self, batch: &RecordBatch) -> io::Result<()> {
        self.rows += batch.num_rows() as u64;
        match &mut self.form {
            Form::Grid(grid) => grid.write(batch, &mut self.target),
            Form::Json(json) => json.write(batch, &mut self.target),
            Form::Csv(csv) => csv.write(batch, &mut self.target),
            Form::Records(records) => records.write(batch, &mut self.target),
            Form::Columnar(columnar) => columnar.write(batch, &mut self.target),
            Form::Ids => ids::write(batch, &mut self.target),
        }
    }

    /// Writes what ends the form and hands everything to the target; says how
    /// many rows there were. Without this call a file is not put in place.
    ///
    /// # Errors
    /// If the target cannot be written.
    pub(crate) fn finish(mut self) -> io::Result<u64> {
        match self.form {
            Form::Grid(mut grid) => grid.finish(&mut self.target)?,
            Form::Json(mut json) => json.finish(&mut self.target)?,
            Form::Csv(mut csv) => csv.finish(&mut self.target)?,
            Form::Records(mut records) => records.finish(&mut self.target)?,
            Form::Columnar(columnar) => columnar.finish(&mut self.target)?,
            Form::Ids => {}
        }
        self.target.finish()?;
        Ok(self.rows)
    }
}

/// Prints an answer to standard output; a reader that has gone is no error.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    let written = out
        .write_all(text.as_bytes())
        .and_then(|()| if text.ends_with('\n') { Ok(()) } else { out.write_all(b"\n") });
    match written.and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.context("write to standard output"),
    }
}

#[cfg(test)]
mod tests;
