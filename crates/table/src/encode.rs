//! Rows become one Parquet file.
//!
//! How a column is written depends on the file's first rows, which is why they
//! are held back: most files are small, and most columns of a small file hold
//! next to nothing. Compressing those costs more than all the rest, because the
//! compressor sets up its tables anew for every column; so a column is
//! compressed only where it has bytes worth it (`settings`).
//!
//! Files hold no Arrow schema: ten kilobytes in each, and the Parquet schema
//! says the same.

mod footer;
mod settings;

use std::sync::LazyLock;

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::{max, min};
use arrow::datatypes::{SchemaRef, TimestampMicrosecondType};
use bytes::Bytes;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::arrow::{ArrowSchemaConverter, ArrowWriter};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::schema::types::SchemaDescriptor;

use crate::schema::{INDICATORS, fresh_schema, schema};

/// The key and the value that a file's footer has of which every row has a list of what it
/// names (`indicators`): whoever looks for rows without one need not read the lists. Files
/// of earlier releases do not say it. (Spark reads no file with a key that has no value.)
pub const ALL_LISTED: (&str, &str) = ("orgtrail.all_listed", "true");

/// So many rows are held back until the file's settings are chosen.
const HELD_ROWS_MAX: usize = 4_096;
/// And so many bytes.
const HELD_BYTES_MAX: usize = 8 << 20;

/// What a file is for; it decides the columns and how the file is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A data file of one partition: large row groups, no partition keys.
    Partition,
    /// Rows of one day and many partitions: large row groups, keys as columns.
    Day,
    /// Rows of many partitions, to be settled: small row groups and pages, so
    /// that many such files can be merged at once; keys as columns.
    Fresh,
}

impl Kind {
    /// The file's columns.
    #[must_use]
    pub fn schema(self) -> SchemaRef {
        match self {
            Self::Partition => schema(),
            Self::Day | Self::Fresh => fresh_schema(),
        }
    }

    /// The same for Parquet; made once, since it costs as much as a small file.
    #[must_use]
    pub fn parquet_schema(self) -> &'static SchemaDescriptor {
        static PARTITION: LazyLock<SchemaDescriptor> = LazyLock::new(|| converted(&schema()));
        static FRESH: LazyLock<SchemaDescriptor> = LazyLock::new(|| converted(&fresh_schema()));
        match self {
            Self::Partition => &PARTITION,
            Self::Day | Self::Fresh => &FRESH,
        }
    }
}

fn converted(schema: &SchemaRef) -> SchemaDescriptor {
    let converted = ArrowSchemaConverter::new().convert(schema);
    converted.expect("every type of ours has one in Parquet")
}

/// A whole Parquet file.
#[derive(Clone, Debug)]
pub struct Encoded {
    /// The file's bytes.
    pub bytes: Bytes,
    /// The number of rows in it.
    pub rows: u64,
    /// Least and greatest event time, in UTC microseconds, if a row has one.
    pub eventtime: Option<(i64, i64)>,
}

/// Writes one Parquet file in memory, in the order the rows are given.
#[derive(Debug)]
pub struct FileWriter {
    kind: Kind,
    rows: usize,
    eventtime: Option<(i64, i64)>,
    /// Whether all rows so far have a list of what they name.
    all_listed: bool,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// The file's first rows, and the bytes they take.
    Held(Vec<RecordBatch>, usize),
    Writing(Box<ArrowWriter<Vec<u8>>>),
}

impl FileWriter {
    /// A file without rows.
    #[must_use]
    pub fn new(kind: Kind) -> Self {
        let stage = Stage::Held(Vec::new(), 0);
        Self { kind, rows: 0, eventtime: None, all_listed: true, stage }
    }

    /// Adds rows: a partition file's columns, or a fresh file's.
    ///
    /// # Errors
    /// The batch has other columns than the file, or one could not be encoded.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<(), ParquetError> {
        if batch.schema_ref().fields() != self.kind.schema().fields() {
            return Err(ParquetError::General("the rows have other columns than the file".into()));
        }
        self.rows += batch.num_rows();
        self.eventtime = widened(self.eventtime, batch);
        let lists = batch.column_by_name(INDICATORS);
        self.all_listed &= lists.is_some_and(|lists| lists.null_count() == 0);
        match &mut self.stage {
            Stage::Writing(writer) => writer.write(batch)?,
            Stage::Held(held, bytes) => {
                held.push(batch.clone());
                *bytes += settings::batch_bytes(batch);
                if has_held_enough(self.rows, *bytes) {
                    let held = std::mem::take(held);
                    self.stage = Stage::Writing(self.start(&held, false)?);
                }
            }
        }
        Ok(())
    }

    /// The number of rows so far.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows as u64
    }

    /// About how many bytes of memory the file takes now.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match &self.stage {
            Stage::Held(_, bytes) => *bytes,
            Stage::Writing(writer) => writer.bytes_written() + writer.memory_size(),
        }
    }

    /// Ends the file.
    ///
    /// # Errors
    /// A column could not be encoded.
    pub fn close(mut self) -> Result<Encoded, ParquetError> {
        let stage = std::mem::replace(&mut self.stage, Stage::Held(Vec::new(), 0));
        let (mut writer, is_small) = match stage {
            Stage::Writing(writer) => (writer, false),
            Stage::Held(held, _) => (self.start(&held, true)?, true),
        };
        if self.all_listed {
            let (key, value) = ALL_LISTED;
            writer.append_key_value_metadata(KeyValue::new(key.to_owned(), value.to_owned()));
        }
        let bytes = if is_small { ended_small(writer)? } else { writer.into_inner()? };
        Ok(Encoded { bytes: bytes.into(), rows: self.rows as u64, eventtime: self.eventtime })
    }

    /// Begins the file with the rows held back; `whole`: they are all it has.
    fn start(
        &self,
        held: &[RecordBatch],
        whole: bool,
    ) -> Result<Box<ArrowWriter<Vec<u8>>>, ParquetError> {
        let columns = self.kind.parquet_schema().columns();
        begun(self.kind, held, settings::choose(self.kind, columns, held, whole))
    }
}

/// A file with its first rows.
fn begun(
    kind: Kind,
    rows: &[RecordBatch],
    settings: WriterProperties,
) -> Result<Box<ArrowWriter<Vec<u8>>>, ParquetError> {
    let options = ArrowWriterOptions::new()
        .with_properties(settings)
        .with_parquet_schema(kind.parquet_schema().clone())
        .with_skip_arrow_metadata(true);
    let mut writer = ArrowWriter::try_new_with_options(Vec::new(), kind.schema(), options)?;
    for batch in rows {
        writer.write(batch)?;
    }
    Ok(Box::new(writer))
}

/// Ends a file that has no more rows than were held back.
fn ended_small(mut writer: Box<ArrowWriter<Vec<u8>>>) -> Result<Vec<u8>, ParquetError> {
    let metadata = writer.finish()?;
    footer::slim(std::mem::take(writer.inner_mut()), metadata)
}

/// The settings with which a file of these rows, and no others, is written.
#[must_use]
pub fn settings(kind: Kind, rows: &[RecordBatch]) -> WriterProperties {
    let (held, whole) = held_of(rows);
    settings::choose(kind, kind.parquet_schema().columns(), held, whole)
}

/// A file of these rows, written with other settings than its own: for comparing them.
///
/// # Errors
/// The rows have other columns than the file, or one could not be encoded.
pub fn encode_with(
    kind: Kind,
    rows: &[RecordBatch],
    settings: WriterProperties,
) -> Result<Bytes, ParquetError> {
    let (_, whole) = held_of(rows);
    let writer = begun(kind, rows, settings)?;
    let bytes = if whole { ended_small(writer)? } else { writer.into_inner()? };
    Ok(bytes.into())
}

/// The rows of these that are held back, and whether they are all.
fn held_of(rows: &[RecordBatch]) -> (&[RecordBatch], bool) {
    let (mut count, mut bytes) = (0, 0);
    for (index, batch) in rows.iter().enumerate() {
        count += batch.num_rows();
        bytes += settings::batch_bytes(batch);
        if has_held_enough(count, bytes) {
            return (rows.get(..=index).unwrap_or(rows), false);
        }
    }
    (rows, true)
}

fn has_held_enough(rows: usize, bytes: usize) -> bool {
    rows >= HELD_ROWS_MAX || bytes >= HELD_BYTES_MAX
}

fn widened(so_far: Option<(i64, i64)>, batch: &RecordBatch) -> Option<(i64, i64)> {
    let times = batch.column_by_name("eventtime")?.as_primitive_opt::<TimestampMicrosecondType>();
    let found = times.and_then(|times| Some((min(times)?, max(times)?)));
    match (so_far, found) {
        (Some((least, greatest)), Some((min, max))) => Some((least.min(min), greatest.max(max))),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests;
