//! Rows become one Parquet file.

use arrow::array::RecordBatch;
use bytes::Bytes;
use parquet::errors::ParquetError;

/// What a file is for; it decides the schema and how the file is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A data file of one partition: large row groups, no partition keys.
    Partition,
    /// Rows of many partitions, to be settled: small row groups, keys as columns.
    Fresh,
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
}

impl FileWriter {
    /// A file without rows.
    #[must_use]
    pub fn new(kind: Kind) -> Self {
        Self { kind }
    }

    /// Adds rows: a partition file's columns, or a fresh file's.
    ///
    /// # Errors
    /// The batch has other columns than the file.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<(), ParquetError> {
        let _ = (batch, self.kind);
        Ok(())
    }

    /// About how many bytes of memory the file takes now.
    #[must_use]
    pub fn bytes(&self) -> usize {
        0
    }

    /// Ends the file.
    ///
    /// # Errors
    /// A column could not be encoded.
    pub fn close(self) -> Result<Encoded, ParquetError> {
        Ok(Encoded { bytes: Bytes::new(), rows: 0, eventtime: None })
    }
}
