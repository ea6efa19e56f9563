//! The footer of a small file, without what nobody asks a small file.
//!
//! The writer says of every column how often each encoding and each level occurs, and how
//! long its texts are, for readers that plan memory or skip by it. A file of one small row group is
//! read whole, and with eighty columns those members are a fifth of what it is.

use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataWriter, RowGroupMetaData};

/// A file's last bytes: the footer's length and a magic.
const END_BYTES: usize = 8;

/// Replaces the footer of a file; one with a page index, which tells where that is, stays.
pub(super) fn slim(mut file: Vec<u8>, metadata: ParquetMetaData) -> Result<Vec<u8>, ParquetError> {
    if metadata.column_index().is_some() || metadata.offset_index().is_some() {
        return Ok(file);
    }
    let length = file.last_chunk::<END_BYTES>().and_then(|end| end.first_chunk::<4>());
    let length = length.and_then(|length| usize::try_from(u32::from_le_bytes(*length)).ok());
    let start = length.and_then(|length| file.len().checked_sub(END_BYTES + length));
    let no_footer = || ParquetError::General("a file was written without a footer".into());
    file.truncate(start.ok_or_else(no_footer)?);
    let mut builder = metadata.into_builder();
    let groups: Result<Vec<_>, _> = builder.take_row_groups().into_iter().map(group).collect();
    let metadata = builder.set_row_groups(groups?).build();
    ParquetMetaDataWriter::new(&mut file, &metadata).finish()?;
    Ok(file)
}

fn group(group: RowGroupMetaData) -> Result<RowGroupMetaData, ParquetError> {
    let columns = group.columns().iter().map(|column| {
        let builder = column.clone().into_builder();
        builder
            .clear_page_encoding_stats()
            .set_repetition_level_histogram(None)
            .set_definition_level_histogram(None)
            .set_unencoded_byte_array_data_bytes(None)
            .build()
    });
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    group.into_builder().set_column_metadata(columns).build()
}
