//! Rows as Parquet, for the next program.

use std::io;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use query::ParquetRows;

use super::target::Target;

pub(super) struct Columnar(ParquetRows);

impl Columnar {
    pub(super) fn new(schema: &SchemaRef) -> io::Result<Self> {
        Ok(Self(ParquetRows::new(schema)?))
    }

    pub(super) fn write(&mut self, batch: &RecordBatch, target: &mut Target) -> io::Result<()> {
        target.bytes(&self.0.add(batch)?)
    }

    pub(super) fn finish(self, target: &mut Target) -> io::Result<()> {
        target.bytes(&self.0.finish()?)
    }
}
