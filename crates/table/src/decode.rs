//! Rows are read back from a Parquet file, one row group at a time.
//!
//! Whoever reads fetches bytes itself: first the end of the file, which holds
//! the footer, then each row group's range. Nothing here does I/O, and never is
//! more than one row group needed in memory.

use std::ops::{Range, RangeInclusive};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use parquet::DecodeResult;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::arrow::push_decoder::ParquetPushDecoderBuilder;
use parquet::errors::ParquetError;
use parquet::file::metadata::{
    ColumnChunkMetaData, PageIndexPolicy, ParquetMetaDataReader, RowGroupMetaData,
};
use parquet::file::statistics::Statistics;

/// A good first guess at how many of a file's last bytes hold its footer.
pub const FOOTER_GUESS_BYTES: u64 = 64 << 10;

/// A file's footer: its columns, and where its row groups are.
#[derive(Clone, Debug)]
pub struct Footer {
    reader: ArrowReaderMetadata,
}

impl Footer {
    /// Reads the footer from the last bytes of a file.
    ///
    /// # Errors
    /// `ParquetError::NeedMoreData(n)`: the last `n` bytes are needed. Anything
    /// else: it is no Parquet file.
    pub fn parse(tail: Bytes, file_bytes: u64) -> Result<Self, ParquetError> {
        let mut reader = ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Skip);
        reader.try_parse_sized(&tail, file_bytes)?;
        let metadata = Arc::new(reader.finish()?);
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        Ok(Self { reader: ArrowReaderMetadata::try_new(metadata, options)? })
    }

    /// The number of rows in the file.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.groups().iter().map(|group| group.num_rows().unsigned_abs()).sum()
    }

    /// The file's columns.
    #[must_use]
    pub fn schema(&self) -> &SchemaRef {
        self.reader.schema()
    }

    /// Each row group's byte range in the file.
    #[must_use]
    pub fn row_groups(&self) -> Vec<Range<u64>> {
        self.groups().iter().map(|group| range_of(group.columns())).collect()
    }

    /// The days of row group `index`, since 1970-01-01, where its file has them as a
    /// column and knows their range.
    #[must_use]
    pub fn days(&self, index: usize) -> Option<RangeInclusive<i32>> {
        let columns = self.groups().get(index)?.columns().iter();
        let mut dates = columns.filter(|column| column.column_path().string() == "date");
        match dates.next()?.statistics()? {
            Statistics::Int32(days) => Some(*days.min_opt()?..=*days.max_opt()?),
            _ => None,
        }
    }

    /// The rows of row group `index`.
    #[must_use]
    pub fn group_rows(&self, index: usize) -> u64 {
        self.groups().get(index).map_or(0, |group| group.num_rows().unsigned_abs())
    }

    /// A range that holds all texts of a top-level column of row group `index`, where the
    /// file knows one.
    #[must_use]
    pub fn texts(&self, index: usize, column: &str) -> Option<(String, String)> {
        let columns = self.groups().get(index)?.columns().iter();
        let mut of_name = columns.filter(|one| one.column_path().string() == column);
        let statistics = of_name.next()?.statistics()?;
        let text = |bytes: Option<&[u8]>| String::from_utf8(bytes?.to_vec()).ok();
        Some((text(statistics.min_bytes_opt())?, text(statistics.max_bytes_opt())?))
    }

    /// Reads row group `index`, whose byte range holds `bytes`, in batches.
    ///
    /// # Errors
    /// There is no such row group, or the bytes are not its own.
    pub fn read(
        &self,
        index: usize,
        bytes: Bytes,
        batch_rows: usize,
    ) -> Result<impl Iterator<Item = Result<RecordBatch, ParquetError>> + use<>, ParquetError> {
        let range = self.groups().get(index).map_or(0..0, |group| range_of(group.columns()));
        self.read_projected(index, (range, bytes), batch_rows, ProjectionMask::all())
    }

    /// The range that holds the top-level columns of these names in row group `index`.
    #[must_use]
    pub fn columns_range(&self, index: usize, columns: &[&str]) -> Range<u64> {
        let of_group = self.groups().get(index).map_or(&[][..], RowGroupMetaData::columns);
        let name_of = |column: &ColumnChunkMetaData| column.column_path().parts().first().cloned();
        let is_wanted = |column: &&ColumnChunkMetaData| {
            name_of(column).is_some_and(|name| columns.contains(&name.as_str()))
        };
        range_of(of_group.iter().filter(is_wanted))
    }

    /// Reads only the top-level columns of these names of row group `index`, from a range
    /// of the file that holds them and its bytes.
    ///
    /// # Errors
    /// As [`Footer::read`].
    pub fn read_columns(
        &self,
        index: usize,
        bytes: (Range<u64>, Bytes),
        batch_rows: usize,
        columns: &[&str],
    ) -> Result<impl Iterator<Item = Result<RecordBatch, ParquetError>> + use<>, ParquetError> {
        let fields = self.schema().fields().iter().enumerate();
        let wanted = fields.filter(|(_, field)| columns.contains(&field.name().as_str()));
        let file_schema = self.reader.metadata().file_metadata().schema_descr();
        let mask = ProjectionMask::roots(file_schema, wanted.map(|(root, _)| root));
        self.read_projected(index, bytes, batch_rows, mask)
    }

    /// The least and the greatest number in a top-level column of row group `index`,
    /// where the file knows them.
    #[must_use]
    pub fn numbers(&self, index: usize, column: &str) -> Option<RangeInclusive<i64>> {
        let columns = self.groups().get(index)?.columns().iter();
        let mut of_name = columns.filter(|one| one.column_path().string() == column);
        match of_name.next()?.statistics()? {
            Statistics::Int64(numbers) => Some(*numbers.min_opt()?..=*numbers.max_opt()?),
            _ => None,
        }
    }

    fn read_projected(
        &self,
        index: usize,
        (range, bytes): (Range<u64>, Bytes),
        batch_rows: usize,
        columns: ProjectionMask,
    ) -> Result<impl Iterator<Item = Result<RecordBatch, ParquetError>> + use<>, ParquetError> {
        let groups = self.groups().len();
        if index >= groups {
            let what = format!("the file has {groups} row groups, not {index}");
            return Err(ParquetError::General(what));
        }
        let mut decoder = ParquetPushDecoderBuilder::new_with_metadata(self.reader.clone())
            .with_row_groups(vec![index])
            .with_projection(columns)
            .with_batch_size(batch_rows)
            .build()?;
        decoder.push_range(range, bytes)?;
        let batches = match decoder.try_next_reader()? {
            DecodeResult::Data(reader) => Some(reader),
            DecodeResult::Finished => None,
            DecodeResult::NeedsData(ranges) => {
                return Err(ParquetError::General(format!(
                    "row group {index} has columns outside its own bytes, at {ranges:?}"
                )));
            }
        };
        Ok(batches.into_iter().flatten().map(|batch| batch.map_err(ParquetError::from)))
    }

    fn groups(&self) -> &[RowGroupMetaData] {
        self.reader.metadata().row_groups()
    }
}

/// From the first byte of its first column to the last byte of its last one.
fn range_of<'a>(columns: impl IntoIterator<Item = &'a ColumnChunkMetaData>) -> Range<u64> {
    let columns = columns.into_iter().map(|column| {
        let (start, length) = column.byte_range();
        start..start + length
    });
    columns.reduce(|one, other| one.start.min(other.start)..one.end.max(other.end)).unwrap_or(0..0)
}

#[cfg(test)]
mod tests;
