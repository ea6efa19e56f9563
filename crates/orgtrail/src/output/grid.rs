//! Rows as a table for people, as wide as their terminal.
//!
//! The first rows decide how wide columns are; later ones are cut to that, so
//! any number of rows can pass. Where columns do not fit the terminal, each row
//! is shown on its own, a line for each value. A pipe gets full values.

use std::io;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use jiff::tz::TimeZone;

use super::escape::{for_terminal, width, width_of};
use super::target::Target;
use super::value::{local_time, value_text};

/// Rows that decide how wide columns are.
const SAMPLE_ROWS: usize = 1_000;
/// Columns are not made narrower than this.
const WIDTH_MIN: usize = 8;
const GAP: &str = "  ";

pub(super) struct Grid {
    names: Vec<String>,
    sample: Vec<Vec<String>>,
    widths: Option<Vec<usize>>,
    terminal: Option<usize>,
    numeric: Vec<bool>,
    shown: u64,
    zone: TimeZone,
}

impl Grid {
    pub(super) fn new(schema: &SchemaRef, zone: &TimeZone, target: &Target) -> Self {
        let fields = schema.fields();
        Self {
            names: fields.iter().map(|field| for_terminal(field.name()).into_owned()).collect(),
            numeric: fields.iter().map(|field| field.data_type().is_numeric()).collect(),
            sample: Vec::new(),
            widths: None,
            terminal: target.width,
            shown: 0,
            zone: zone.clone(),
        }
    }

    pub(super) fn write(&mut self, batch: &RecordBatch, target: &mut Target) -> io::Result<()> {
        for row in 0..batch.num_rows() {
            let values = batch.columns().iter().map(|column| {
                local_time(column, row, &self.zone).unwrap_or_else(|| value_text(column, row))
            });
            let cells: Vec<String> = values.map(|text| for_terminal(&text).into_owned()).collect();
            match &self.widths {
                Some(_) => self.row(&cells, target)?,
                None => self.sample.push(cells),
            }
            if self.sample.len() >= SAMPLE_ROWS {
                self.begin(target)?;
            }
        }
        Ok(())
    }

    pub(super) fn finish(&mut self, target: &mut Target) -> io::Result<()> {
        if self.widths.is_none() { self.begin(target) } else { Ok(()) }
    }

    fn begin(&mut self, target: &mut Target) -> io::Result<()> {
        let widest = |index: usize| {
            let cells = self.sample.iter().filter_map(|row| row.get(index));
            cells.chain(self.names.get(index)).map(|cell| width(cell)).max().unwrap_or(0)
        };
        let natural: Vec<usize> = (0..self.names.len()).map(widest).collect();
        self.widths = Some(match self.terminal {
            Some(terminal) => fit(natural, terminal),
            None => natural,
        });
        if !self.expanded() && !self.sample.is_empty() {
            let names: Vec<String> = self.names.iter().map(|name| name.to_uppercase()).collect();
            let header = self.line(&names);
            let header = if target.color { format!("\u{1b}[1m{header}\u{1b}[0m") } else { header };
            target.text(&header)?;
            target.text("\n")?;
        }
        for cells in std::mem::take(&mut self.sample) {
            self.row(&cells, target)?;
        }
        Ok(())
    }

    /// Whether rows are shown one value to a line.
    fn expanded(&self) -> bool {
        self.widths.as_ref().is_some_and(Vec::is_empty)
    }

    fn row(&mut self, cells: &[String], target: &mut Target) -> io::Result<()> {
        if !self.expanded() {
            target.text(&self.line(cells))?;
            return target.text("\n");
        }
        self.shown += 1;
        target.text(&format!("-- {} --\n", self.shown))?;
        let label = self.names.iter().map(|name| width(name)).max().unwrap_or(0);
        for (name, cell) in self.names.iter().zip(cells).filter(|(_, cell)| !cell.is_empty()) {
            target.text(&format!("{name:label$}  {cell}\n"))?;
        }
        Ok(())
    }

    fn line(&self, cells: &[String]) -> String {
        let mut line = String::new();
        let widths = self.widths.as_deref().unwrap_or_default();
        for ((cell, room), numeric) in cells.iter().zip(widths).zip(&self.numeric) {
            let cell = cut(cell, *room);
            let padding = " ".repeat(room.saturating_sub(width(&cell)));
            let parts =
                if *numeric { [&padding, cell.as_str()] } else { [cell.as_str(), &padding] };
            line.extend(parts);
            line.push_str(GAP);
        }
        line.trim_end().to_owned()
    }
}

/// Makes the widest columns narrower until all fit; no widths if they cannot.
fn fit(mut widths: Vec<usize>, terminal: usize) -> Vec<usize> {
    let gaps = GAP.len() * widths.len().saturating_sub(1);
    loop {
        let total: usize = widths.iter().sum::<usize>() + gaps;
        if total <= terminal {
            return widths;
        }
        let second = {
            let mut sorted = widths.clone();
            sorted.sort_unstable();
            sorted.dedup();
            sorted.iter().rev().nth(1).copied().unwrap_or(0)
        };
        let Some(widest) = widths.iter_mut().max() else { return widths };
        if *widest <= WIDTH_MIN {
            return Vec::new();
        }
        let floor = second.max(WIDTH_MIN).min(*widest - 1);
        *widest = (*widest - (total - terminal).min(*widest - 1)).max(floor);
    }
}

/// A text cut to a width, with a sign that it was.
fn cut(text: &str, room: usize) -> String {
    if width(text) <= room {
        return text.to_owned();
    }
    let mut short = String::new();
    let mut used = 1;
    for letter in text.chars() {
        used += width_of(letter);
        if used > room {
            break;
        }
        short.push(letter);
    }
    short.push('…');
    short
}
