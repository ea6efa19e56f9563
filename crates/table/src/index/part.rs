//! One part of an index as a Parquet file, sorted by indicator.
//!
//! A lookup reads the footer, finds there which row group can hold its indicator, and
//! reads that: two requests, of which the second is for less than a megabyte.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use arrow::array::{
    ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use super::collect::Seen;

/// Entries of a row group; a lookup reads one, and whoever arranges parts holds one
/// in memory.
const GROUP_ROWS: usize = 8 << 10;

/// Entries that become one Arrow batch.
const BATCH_ROWS: usize = 16 << 10;

/// The columns of an index: `indicator` in ascending order, the `file` and
/// `row_group` where it is, in how many `rows` of it, and the `first` and `last`
/// event time of those, in UTC microseconds.
#[must_use]
pub fn index_schema() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
        let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        Arc::new(Schema::new(vec![
            Field::new("indicator", DataType::Utf8, false),
            Field::new("file", DataType::Utf8, false),
            Field::new("row_group", DataType::Int32, false),
            Field::new("rows", DataType::Int64, false),
            Field::new("first", time.clone(), true),
            Field::new("last", time, true),
        ]))
    });
    Arc::clone(&SCHEMA)
}

/// Gathers the entries of one part.
#[derive(Default)]
pub(super) struct PartBuilder {
    files: Vec<String>,
    places: HashMap<String, usize>,
    entries: Vec<Entry>,
}

struct Entry {
    indicator: Box<str>,
    file: usize,
    row_group: i32,
    seen: Seen,
}

impl PartBuilder {
    /// Adds what a row group of a file names.
    pub(super) fn add(&mut self, file: &str, row_group: usize, seen: HashMap<Box<str>, Seen>) {
        let file = self.place(file);
        let row_group = i32::try_from(row_group).unwrap_or(i32::MAX);
        let entry = |(indicator, seen)| Entry { indicator, file, row_group, seen };
        self.entries.extend(seen.into_iter().map(entry));
    }

    /// Adds what is known of an indicator in a row group of a file.
    pub(super) fn push(&mut self, indicator: &str, file: &str, row_group: i32, seen: Seen) {
        let file = self.place(file);
        self.entries.push(Entry { indicator: indicator.into(), file, row_group, seen });
    }

    /// Where a file stands among those named.
    fn place(&mut self, file: &str) -> usize {
        if let Some(place) = self.places.get(file) {
            return *place;
        }
        self.files.push(file.to_owned());
        self.places.insert(file.to_owned(), self.files.len() - 1);
        self.files.len() - 1
    }

    /// The least and the greatest indicator.
    pub(super) fn range(&self) -> Option<(String, String)> {
        let indicators = || self.entries.iter().map(|entry| &entry.indicator);
        Some((indicators().min()?.to_string(), indicators().max()?.to_string()))
    }

    /// The number of entries.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The file.
    pub(super) fn finish(mut self) -> Result<Bytes, ParquetError> {
        self.entries.sort_unstable_by(Entry::order);
        let options =
            ArrowWriterOptions::new().with_properties(properties()).with_skip_arrow_metadata(true);
        let mut writer = ArrowWriter::try_new_with_options(Vec::new(), index_schema(), options)?;
        for entries in self.entries.chunks(BATCH_ROWS) {
            writer.write(&self.batch(entries)?)?;
        }
        Ok(writer.into_inner()?.into())
    }

    fn batch(&self, entries: &[Entry]) -> Result<RecordBatch, ParquetError> {
        let text = |of: &dyn Fn(&Entry) -> Option<String>| {
            Arc::new(entries.iter().map(of).collect::<StringArray>()) as ArrayRef
        };
        let times = |of: fn(&Seen) -> Option<i64>| {
            let times = entries.iter().map(|entry| of(&entry.seen));
            Arc::new(times.collect::<TimestampMicrosecondArray>().with_timezone("UTC")) as ArrayRef
        };
        let groups = entries.iter().map(|entry| entry.row_group);
        let rows = entries.iter().map(|entry| i64::try_from(entry.seen.rows).unwrap_or(i64::MAX));
        let columns: Vec<ArrayRef> = vec![
            text(&|entry| Some(entry.indicator.to_string())),
            text(&|entry| self.files.get(entry.file).cloned()),
            Arc::new(groups.collect::<Int32Array>()),
            Arc::new(rows.collect::<Int64Array>()),
            times(|seen| seen.first),
            times(|seen| seen.last),
        ];
        Ok(RecordBatch::try_new(index_schema(), columns)?)
    }
}

impl Entry {
    fn order(&self, other: &Self) -> Ordering {
        let key = |entry: &Self| (entry.file, entry.row_group);
        self.indicator.cmp(&other.indicator).then_with(|| key(self).cmp(&key(other)))
    }
}

fn properties() -> WriterProperties {
    let column = |name: &str| ColumnPath::from(name);
    WriterProperties::builder()
        .set_created_by(concat!("orgtrail ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_max_row_group_row_count(Some(GROUP_ROWS))
        .set_statistics_enabled(EnabledStatistics::None)
        .set_column_statistics_enabled(column("indicator"), EnabledStatistics::Chunk)
        .set_offset_index_disabled(true)
        .set_column_dictionary_enabled(column("indicator"), false)
        // Neighbours begin alike.
        .set_column_encoding(column("indicator"), Encoding::DELTA_BYTE_ARRAY)
        .build()
}
