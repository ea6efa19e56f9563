//! An answer as a Parquet file, made piece by piece.

use std::io;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::basic::{Compression, ZstdLevel};
use datafusion::parquet::file::properties::WriterProperties;

/// Rows of one row group, which bounds what is held.
const GROUP_ROWS_MAX: usize = 65_536;

/// Turns rows into the bytes of a Parquet file.
pub struct ParquetRows(ArrowWriter<Vec<u8>>);

impl std::fmt::Debug for ParquetRows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ParquetRows").finish_non_exhaustive()
    }
}

impl ParquetRows {
    /// A file of rows with these columns.
    ///
    /// # Errors
    /// If Parquet has no type for a column.
    pub fn new(schema: &SchemaRef) -> io::Result<Self> {
        let level = ZstdLevel::try_new(3).map_err(io::Error::other)?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(level))
            .set_max_row_group_row_count(Some(GROUP_ROWS_MAX))
            .build();
        let writer = ArrowWriter::try_new(Vec::new(), SchemaRef::clone(schema), Some(properties));
        Ok(Self(writer.map_err(io::Error::other)?))
    }

    /// Adds rows, and gives the bytes that are ready.
    ///
    /// # Errors
    /// If the rows have other columns.
    pub fn add(&mut self, batch: &RecordBatch) -> io::Result<Vec<u8>> {
        self.0.write(batch).map_err(io::Error::other)?;
        Ok(std::mem::take(self.0.inner_mut()))
    }

    /// The bytes that end the file.
    ///
    /// # Errors
    /// If the last rows cannot be encoded.
    pub fn finish(self) -> io::Result<Vec<u8>> {
        self.0.into_inner().map_err(io::Error::other)
    }
}
