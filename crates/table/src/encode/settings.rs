//! How each column of a file is written.
//!
//! - Columns whose values hardly repeat have no dictionary, and no least and
//!   greatest value: they would tell a reader nothing, and comparing costs.
//! - A column of a small file, or of a fresh one, is compressed only where the
//!   file's first rows have bytes for it that are worth a compressor:
//!   `COMPRESS_BYTES_MIN`.
//! - A small file has least and greatest values only of what is asked for by value or
//!   range: it is read whole or left out.
//! - Bloom filters stand on what a single thing is looked up by.
//! - Page statistics are written only where a column can have several pages.

use std::ops::ControlFlow;

use arrow::array::{Array, AsArray, RecordBatch, StringArray};
use arrow::datatypes::DataType;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use parquet::schema::types::{ColumnDescPtr, ColumnPath};

use super::Kind;

/// Fewer bytes of new text than this in a column are not compressed.
const COMPRESS_BYTES_MIN: usize = 4 << 10;

/// Rows of a row group; the writer holds one in memory, encoded.
const PARTITION_GROUP_ROWS: usize = 64 << 10;
const FRESH_GROUP_ROWS: usize = 4 << 10;
/// Encoded bytes of a row group, should its records be huge.
const GROUP_BYTES_MAX: usize = 32 << 20;
/// Rows of a page.
const PARTITION_PAGE_ROWS: usize = 20_000;
const FRESH_PAGE_ROWS: usize = 512;

/// Share of wrong "maybe" answers of a Bloom filter.
const BLOOM_WRONG: f64 = 0.01;

/// Columns whose values hardly repeat and have no order that anybody asks for.
const PLAIN: [&str; 12] = [
    "requestparameters",
    "responseelements",
    "additionaleventdata",
    "requestid",
    "eventid",
    "serviceeventdetails",
    "sharedeventid",
    "insightdetails",
    "aggregatedeventid",
    "timewindow",
    "summary",
    "eventdata",
];

/// The columns of a fresh file whose least and greatest values are kept: what it
/// is sorted by. It lives for an hour, and nothing else tells its row groups apart.
const FRESH_RANGES: [&str; 4] = ["account", "region", "date", "eventtime"];

/// The columns of a small file of one partition whose least and greatest values are kept.
const SMALL_RANGES: [&str; 16] = [
    "eventtime",
    "eventsource",
    "eventname",
    "eventtype",
    "eventcategory",
    "readonly",
    "managementevent",
    "errorcode",
    "sourceipaddress",
    "recipientaccountid",
    "awsregion",
    "useridentity.type",
    "useridentity.arn",
    "useridentity.accountid",
    "useridentity.username",
    "orgtrail_record",
];

/// What is looked up by a single value.
const LOOKED_UP: [&str; 5] = [
    "eventid",
    "sourceipaddress",
    "useridentity.arn",
    "useridentity.accesskeyid",
    "resources.list.element.arn",
];

/// The items of the lists of what rows name: looked up by a single value too, several of
/// each row, and in no order that a least and a greatest value would tell of.
const NAMED: &str = "indicators.list.element";

/// Different ones of them for each row of a row group, at most, in what was seen.
const NAMED_PER_ROW: u64 = 4;

/// Chooses the settings of a file from its first rows; `whole`: it has no others.
pub(super) fn choose(
    kind: Kind,
    columns: &[ColumnDescPtr],
    first: &[RecordBatch],
    whole: bool,
) -> WriterProperties {
    let rows: usize = first.iter().map(RecordBatch::num_rows).sum();
    let (group_rows, page_rows) = match kind {
        Kind::Partition | Kind::Day => (PARTITION_GROUP_ROWS, PARTITION_PAGE_ROWS),
        Kind::Fresh => (FRESH_GROUP_ROWS, FRESH_PAGE_ROWS),
    };
    let may_have_pages = kind != Kind::Fresh && !(whole && rows <= page_rows);
    // Where not all columns have a range, those that have one.
    let (statistics, ranges) = match kind {
        Kind::Fresh => (EnabledStatistics::None, &FRESH_RANGES[..]),
        Kind::Partition | Kind::Day if whole => (EnabledStatistics::None, &SMALL_RANGES[..]),
        Kind::Partition | Kind::Day if may_have_pages => (EnabledStatistics::Page, &[][..]),
        Kind::Partition | Kind::Day => (EnabledStatistics::Chunk, &[][..]),
    };
    let mut builder = WriterProperties::builder()
        .set_created_by(concat!("orgtrail ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_max_row_group_row_count(Some(group_rows))
        .set_max_row_group_bytes(Some(GROUP_BYTES_MAX))
        .set_data_page_row_count_limit(page_rows)
        .set_statistics_enabled(statistics)
        .set_offset_index_disabled(!may_have_pages)
        .set_compression(Compression::UNCOMPRESSED);
    for name in ranges {
        builder = builder.set_column_statistics_enabled(column(name), EnabledStatistics::Chunk);
    }
    let columns = columns.iter().map(|column| column.path());
    for (path, bytes) in columns.zip(new_bytes(first)) {
        // More rows follow, sorted by what they are: these say little of them.
        if bytes >= COMPRESS_BYTES_MIN || (!whole && kind != Kind::Fresh) {
            let zstd = Compression::ZSTD(ZstdLevel::default());
            builder = builder.set_column_compression(path.clone(), zstd);
        }
        if whole && bytes == 0 {
            // It has no value in the file: an empty dictionary, and least and greatest
            // values of nothing, are a fifth of what a file of few rows is.
            builder = builder
                .set_column_dictionary_enabled(path.clone(), false)
                .set_column_statistics_enabled(path.clone(), EnabledStatistics::None);
        }
    }
    for name in PLAIN {
        builder = builder
            .set_column_dictionary_enabled(column(name), false)
            .set_column_encoding(column(name), Encoding::DELTA_LENGTH_BYTE_ARRAY)
            .set_column_statistics_enabled(column(name), EnabledStatistics::None);
    }
    builder = builder.set_column_statistics_enabled(column(NAMED), EnabledStatistics::None);
    for name in ["eventtime", "orgtrail_record", "orgtrail_row"] {
        builder = builder
            .set_column_dictionary_enabled(column(name), false)
            .set_column_encoding(column(name), Encoding::DELTA_BINARY_PACKED);
    }
    if kind != Kind::Fresh {
        let distinct_max = if whole { rows.max(1) } else { group_rows };
        builder = with_bloom_filters(builder, distinct_max);
    }
    builder.build()
}

fn with_bloom_filters(
    mut builder: WriterPropertiesBuilder,
    distinct_max: usize,
) -> WriterPropertiesBuilder {
    for name in LOOKED_UP {
        builder = builder
            .set_column_bloom_filter_fpp(column(name), BLOOM_WRONG)
            .set_column_bloom_filter_max_ndv(column(name), distinct_max as u64);
    }
    builder
        .set_column_bloom_filter_fpp(column(NAMED), BLOOM_WRONG)
        .set_column_bloom_filter_max_ndv(column(NAMED), distinct_max as u64 * NAMED_PER_ROW)
}

fn column(path: &str) -> ColumnPath {
    ColumnPath::new(path.split('.').map(str::to_owned).collect())
}

/// About how many bytes of memory a batch's rows take.
pub(super) fn batch_bytes(batch: &RecordBatch) -> usize {
    batch.columns().iter().map(|column| column.get_array_memory_size()).sum()
}

/// By leaf column, the bytes of the values that differ from the one before, as
/// far as they matter.
fn new_bytes(batches: &[RecordBatch]) -> Vec<usize> {
    let mut weights = Vec::new();
    for batch in batches {
        let mut leaf = 0;
        for array in batch.columns() {
            weigh(array, &mut leaf, &mut weights);
        }
    }
    weights
}

fn weigh(array: &dyn Array, leaf: &mut usize, weights: &mut Vec<usize>) {
    match array.data_type() {
        DataType::Struct(_) => {
            for child in array.as_struct().columns() {
                weigh(child, leaf, weights);
            }
        }
        DataType::List(_) => weigh(array.as_list::<i32>().values(), leaf, weights),
        data_type => {
            if weights.len() == *leaf {
                weights.push(0);
            }
            if let Some(weight) = weights.get_mut(*leaf) {
                *weight = match data_type {
                    DataType::Utf8 => with_text(*weight, array.as_string::<i32>()),
                    // Numbers and times: deltas, a byte or two each.
                    _ => *weight + array.len(),
                };
            }
            *leaf += 1;
        }
    }
}

/// Adds the bytes of an array's new values, until there are enough of them.
fn with_text(weight: usize, array: &StringArray) -> usize {
    if array.values().is_empty() {
        return weight;
    }
    let mut before = "";
    let sum = array.iter().flatten().try_fold(weight, |weight, text| {
        let is_new = std::mem::replace(&mut before, text) != text;
        match weight + if is_new { text.len() } else { 0 } {
            enough if enough >= COMPRESS_BYTES_MIN => ControlFlow::Break(enough),
            weight => ControlFlow::Continue(weight),
        }
    });
    match sum {
        ControlFlow::Break(weight) | ControlFlow::Continue(weight) => weight,
    }
}
