//! What each setting of a data file is worth: the same rows written in turn with the
//! table's own settings and with one of them changed.
//!
//! `cargo bench -p table --bench settings -- 200000 [RECORDS.ndjson.gz…]` prints a table for
//! a day of generated records in one file, for files of 1,000 and of 200 rows, and for
//! the records of each given file (one JSON record a line), as one partition's file.
//! CPU time of this thread, the median of some rounds in which each way has its turn.
//! "needle": bytes read to find one access key's requests; "one column": to count event names.
//! docs/files.md tells what was chosen by it.

#![expect(clippy::print_stdout, reason = "a benchmark prints its table")]

use std::io::Read as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, AsArray, BooleanArray, Date32Array, RecordBatch, StringArray};
use arrow::compute::kernels::cmp;
use arrow::compute::{SortColumn, concat_batches, lexsort_to_indices, take_record_batch};
use bytes::Bytes;
use jiff::Timestamp;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowPredicateFn, ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
    RowFilter,
};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::PageIndexPolicy;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use parquet::file::reader::{ChunkReader, Length};
use parquet::schema::types::ColumnPath;
use sample::{Organization, Shape};
use table::encode::{Kind, encode_with, settings};
use table::partition::Regions;
use table::row::{BATCH_ROWS_MAX, RowBuilder, RowSource};
use table::schema::fresh_schema;

/// Each way is taken so often.
const ROUNDS: usize = 5;
/// Rows that are given to a writer at once.
const WRITE_ROWS: usize = 1_024;
/// The table's order.
const ORDER: [&str; 4] = ["eventsource", "eventname", "useridentity.arn", "eventtime"];
/// Columns whose values hardly repeat.
const DISTINCT: [&str; 5] =
    ["requestparameters", "responseelements", "additionaleventdata", "requestid", "eventid"];

/// What rows name.
const NAMES: &str = "indicators.list.element";

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let events = words.iter().find_map(|word| word.parse().ok()).unwrap_or(200_000);
    let end = "2026-11-20T12:00:00Z".parse().expect("a time");
    let shape = Shape { accounts: 50, regions: 8, days: 1 };
    let organization = Organization::with_shape(1, shape);
    let lines = organization.events(events, end).map(|event| event.record);
    let day = with_keys(&rows(lines));
    compare("a day of an organization, one file", Kind::Day, &day, usize::MAX);
    let shape = Shape { accounts: 1, regions: 1, days: 1 };
    let organization = Organization::with_shape(1, shape);
    let lines = organization.events(events.min(50_000), end).map(|event| event.record);
    let one = rows(lines);
    compare("partition files of 1,000 rows", Kind::Partition, &one, 1_000);
    compare(
        "partition files of 200 rows",
        Kind::Partition,
        &one.slice(0, one.num_rows().min(20_000)),
        200,
    );
    for path in words.iter().filter(|word| word.ends_with(".ndjson.gz")) {
        let rows = rows(records(path).into_iter());
        compare(path.rsplit('/').next().unwrap_or(path), Kind::Partition, &rows, usize::MAX);
    }
}

fn records(path: &str) -> Vec<Vec<u8>> {
    let file = std::fs::File::open(path).expect("the file");
    let mut text = Vec::new();
    flate2::read::MultiGzDecoder::new(file).read_to_end(&mut text).expect("gzip");
    text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(<[u8]>::to_vec).collect()
}

/// Records as rows; lines that are none are left out.
fn rows(lines: impl Iterator<Item = Vec<u8>>) -> RecordBatch {
    let mut builder = RowBuilder::new();
    let mut regions = Regions::default();
    let mut batches = Vec::new();
    for (number, line) in (0..).zip(lines) {
        let source = RowSource {
            agent_account: event::AccountId::UNKNOWN,
            agent: "central",
            speaks_for: None,
            committed_at: Timestamp::constant(1_795_176_000, 0),
            record: 1 + number / 2_000,
            row: number % 2_000,
        };
        let _not_a_record = builder.push(&line, &source, &mut regions);
        if builder.len() == BATCH_ROWS_MAX {
            batches.push(builder.finish());
        }
    }
    batches.push(builder.finish());
    concat_batches(&Kind::Partition.schema(), &batches).expect("rows of one schema")
}

/// The rows with account, region and date, as a copy of a day has them.
fn with_keys(rows: &RecordBatch) -> RecordBatch {
    let text = |name: &str| rows.column_by_name(name).expect("a column").clone();
    let mut columns = rows.columns().to_vec();
    let accounts: StringArray = text("recipientaccountid")
        .as_string::<i32>()
        .iter()
        .map(|one| Some(one.unwrap_or_default()))
        .collect();
    columns.push(Arc::new(accounts));
    columns.push(text("awsregion"));
    columns.push(Arc::new(Date32Array::from(vec![20_777; rows.num_rows()])));
    RecordBatch::try_new(fresh_schema(), columns).expect("the columns of a day")
}

/// A way to write rows.
struct Way {
    name: &'static str,
    order: &'static [&'static str],
    change: Change,
}

type Change =
    fn(&WriterProperties, WriterPropertiesBuilder, &[ColumnPath]) -> WriterPropertiesBuilder;

fn ways(kind: Kind) -> Vec<Way> {
    let same: Change = |_, builder, _| builder;
    let way = |name, change| Way { name, order: &ORDER, change };
    let sorted = |name, order| Way { name, order, change: same };
    let mut ways = vec![way("as the table writes them", same)];
    if kind == Kind::Day {
        ways.push(sorted("sorted by time", &["eventtime"]));
        ways.push(sorted("sorted by account, time", &["recipientaccountid", "eventtime"]));
        ways.push(sorted("sorted by arn, time", &["useridentity.arn", "eventtime"]));
        ways.push(sorted(
            "sorted by account, source, name, time",
            &["recipientaccountid", "eventsource", "eventname", "eventtime"],
        ));
        ways.push(way("row groups of 16,384 rows", |_, builder, _| {
            builder.set_max_row_group_row_count(Some(16 << 10))
        }));
        ways.push(way("row groups of 131,072 rows", |_, builder, _| {
            builder.set_max_row_group_row_count(Some(128 << 10))
        }));
        ways.push(way("row groups of 1,048,576 rows", |_, builder, _| {
            builder.set_max_row_group_row_count(Some(1 << 20))
        }));
        ways.push(way("pages of 2,000 rows", |_, builder, _| {
            builder.set_data_page_row_count_limit(2_000)
        }));
        ways.push(way("pages of 5,000 rows", |_, builder, _| {
            builder.set_data_page_row_count_limit(5_000)
        }));
        ways.push(way("pages of 100,000 rows", |_, builder, _| {
            builder.set_data_page_row_count_limit(100_000)
        }));
        ways.push(way("statistics of columns only", |_, builder, _| {
            builder.set_statistics_enabled(EnabledStatistics::Chunk)
        }));
        ways.push(way("no page index", |_, builder, _| {
            builder.set_statistics_enabled(EnabledStatistics::Chunk).set_offset_index_disabled(true)
        }));
    } else {
        ways.push(sorted("sorted by time", &["eventtime"]));
        ways.push(way("every column compressed", |_, builder, columns| {
            with_each(builder, columns, |builder, column| {
                builder.set_column_compression(column, zstd(1))
            })
        }));
        ways.push(way("no column compressed", |_, builder, columns| {
            with_each(builder, columns, |builder, column| {
                builder.set_column_compression(column, Compression::UNCOMPRESSED)
            })
        }));
    }
    ways.push(way("zstd 3", |base, builder, columns| {
        recompressed(base, builder, columns, zstd(3))
    }));
    ways.push(way("zstd 9", |base, builder, columns| {
        recompressed(base, builder, columns, zstd(9))
    }));
    ways.push(way("snappy", |base, builder, columns| {
        recompressed(base, builder, columns, Compression::SNAPPY)
    }));
    ways.push(way("lz4_raw", |base, builder, columns| {
        recompressed(base, builder, columns, Compression::LZ4_RAW)
    }));
    ways.push(way("no statistics", |_, builder, columns| {
        let builder = with_each(builder, columns, |builder, column| {
            builder.set_column_statistics_enabled(column, EnabledStatistics::None)
        });
        builder.set_statistics_enabled(EnabledStatistics::None)
    }));
    ways.push(way("statistics of every column", |_, builder, columns| {
        with_each(builder, columns, |builder, column| {
            builder.set_column_statistics_enabled(column, EnabledStatistics::Page)
        })
    }));
    ways.push(way("no Bloom filters", |_, builder, columns| {
        with_each(builder, columns, |builder, column| {
            builder.set_column_bloom_filter_enabled(column, false)
        })
    }));
    ways.push(way("Bloom filters wrong in 5 %", |base, builder, columns| {
        wrong_in(base, builder, columns, 0.05)
    }));
    ways.push(way("Bloom filters wrong in 0.1 %", |base, builder, columns| {
        wrong_in(base, builder, columns, 0.001)
    }));
    ways.push(way("dictionaries of distinct values", |_, builder, _| {
        with_each(builder, &DISTINCT.map(path), |builder, column| {
            builder.set_column_dictionary_enabled(column, true)
        })
    }));
    ways.push(way("distinct values plainly encoded", |_, builder, _| {
        with_each(builder, &DISTINCT.map(path), |builder, column| {
            builder.set_column_encoding(column, Encoding::PLAIN)
        })
    }));
    ways.push(way("distinct values as prefixes", |_, builder, _| {
        with_each(builder, &DISTINCT.map(path), |builder, column| {
            builder.set_column_encoding(column, Encoding::DELTA_BYTE_ARRAY)
        })
    }));
    let names: [(&str, Change); 4] = [
        ("names with a dictionary", |_, builder, _| {
            builder.set_column_dictionary_enabled(path(NAMES), true)
        }),
        ("names plainly encoded", |_, builder, _| {
            builder
                .set_column_dictionary_enabled(path(NAMES), false)
                .set_column_encoding(path(NAMES), Encoding::PLAIN)
        }),
        ("names with their lengths apart", |_, builder, _| {
            builder
                .set_column_dictionary_enabled(path(NAMES), false)
                .set_column_encoding(path(NAMES), Encoding::DELTA_LENGTH_BYTE_ARRAY)
        }),
        ("names as prefixes", |_, builder, _| {
            builder
                .set_column_dictionary_enabled(path(NAMES), false)
                .set_column_encoding(path(NAMES), Encoding::DELTA_BYTE_ARRAY)
        }),
    ];
    ways.extend(names.map(|(name, change)| way(name, change)));
    ways.push(way("no dictionaries", |_, builder, columns| {
        with_each(builder, columns, |builder, column| {
            builder.set_column_dictionary_enabled(column, false)
        })
    }));
    ways
}

fn zstd(level: i32) -> Compression {
    Compression::ZSTD(ZstdLevel::try_new(level).expect("a level of zstd"))
}

fn path(name: &str) -> ColumnPath {
    ColumnPath::new(name.split('.').map(str::to_owned).collect())
}

fn with_each(
    builder: WriterPropertiesBuilder,
    columns: &[ColumnPath],
    change: impl Fn(WriterPropertiesBuilder, ColumnPath) -> WriterPropertiesBuilder,
) -> WriterPropertiesBuilder {
    columns.iter().fold(builder, |builder, column| change(builder, column.clone()))
}

/// What the table compresses, compressed in another way.
fn recompressed(
    base: &WriterProperties,
    builder: WriterPropertiesBuilder,
    columns: &[ColumnPath],
    with: Compression,
) -> WriterPropertiesBuilder {
    with_each(builder, columns, |builder, column| match base.compression(&column) {
        Compression::UNCOMPRESSED => builder,
        _ => builder.set_column_compression(column, with),
    })
}

fn wrong_in(
    base: &WriterProperties,
    builder: WriterPropertiesBuilder,
    columns: &[ColumnPath],
    share: f64,
) -> WriterPropertiesBuilder {
    with_each(builder, columns, |builder, column| match base.bloom_filter_properties(&column) {
        Some(_) => builder.set_column_bloom_filter_fpp(column, share),
        None => builder,
    })
}

/// What one way cost.
#[derive(Default)]
struct Cost {
    write: Vec<Duration>,
    read: Vec<Duration>,
    bytes: usize,
    files: usize,
    needle_bytes: u64,
    column_bytes: u64,
}

fn compare(name: &str, kind: Kind, rows: &RecordBatch, file_rows: usize) {
    let count = rows.num_rows();
    let ways = ways(kind);
    let mut costs: Vec<Cost> = ways.iter().map(|_| Cost::default()).collect();
    let key = seldom_key(rows);
    for round in 0..ROUNDS {
        for turn in 0..ways.len() {
            let at = (round * 7 + turn) % ways.len();
            let (Some(way), Some(cost)) = (ways.get(at), costs.get_mut(at)) else { continue };
            let sorted = sorted(rows, way.order, file_rows);
            let (spent, files) =
                cpu(|| sorted.iter().map(|rows| write(kind, rows, way)).collect::<Vec<_>>());
            cost.write.push(spent);
            let (spent, read) = cpu(|| files.iter().map(read_all).sum::<usize>());
            assert_eq!(read, count, "every row is read back");
            cost.read.push(spent);
            cost.files = files.len();
            cost.bytes = files.iter().map(Bytes::len).sum();
            if round == 0 {
                cost.needle_bytes = files.iter().map(|file| needle(file, &key)).sum();
                cost.column_bytes = files.iter().map(one_column).sum();
            }
        }
    }
    println!("\n{name}: {count} rows");
    println!(
        "{:<40}{:>12}{:>10}{:>12}{:>12}{:>14}{:>12}",
        "", "write us/ev", "B/event", "KiB/file", "read us/ev", "one column B", "needle B"
    );
    for (way, cost) in ways.iter().zip(&costs) {
        let per_event = |spent: &[Duration]| median(spent).as_secs_f64() * 1e6 / count as f64;
        println!(
            "{:<40}{:>12.2}{:>10.1}{:>12.1}{:>12.2}{:>14}{:>12}",
            way.name,
            per_event(&cost.write),
            cost.bytes as f64 / count as f64,
            cost.bytes as f64 / 1024.0 / cost.files as f64,
            per_event(&cost.read),
            cost.column_bytes,
            cost.needle_bytes,
        );
    }
}

fn median(spent: &[Duration]) -> Duration {
    let mut spent = spent.to_vec();
    spent.sort();
    spent.get(spent.len() / 2).copied().unwrap_or_default()
}

/// The rows in this order, cut into files.
fn sorted(rows: &RecordBatch, order: &[&str], file_rows: usize) -> Vec<RecordBatch> {
    let files = (0..rows.num_rows()).step_by(file_rows.min(rows.num_rows().max(1)));
    let files = files.map(|from| rows.slice(from, file_rows.min(rows.num_rows() - from)));
    let sort = |rows: RecordBatch| {
        let columns: Vec<SortColumn> = order
            .iter()
            .map(|name| SortColumn { values: column(&rows, name), options: None })
            .collect();
        let places = lexsort_to_indices(&columns, None).expect("columns with an order");
        take_record_batch(&rows, &places).expect("rows")
    };
    files.map(sort).collect()
}

fn column(rows: &RecordBatch, path: &str) -> ArrayRef {
    let mut names = path.split('.');
    let first = names.next().and_then(|name| rows.column_by_name(name)).expect("a column").clone();
    names.fold(first, |column, name| {
        column.as_struct().column_by_name(name).expect("a member").clone()
    })
}

fn write(kind: Kind, rows: &RecordBatch, way: &Way) -> Bytes {
    let pieces: Vec<RecordBatch> = (0..rows.num_rows())
        .step_by(WRITE_ROWS)
        .map(|from| rows.slice(from, WRITE_ROWS.min(rows.num_rows() - from)))
        .collect();
    let base = settings(kind, &pieces);
    let columns: Vec<ColumnPath> =
        kind.parquet_schema().columns().iter().map(|column| column.path().clone()).collect();
    let changed = (way.change)(&base, base.clone().into_builder(), &columns).build();
    encode_with(kind, &pieces, changed).expect("written")
}

fn read_all(file: &Bytes) -> usize {
    let reader = ParquetRecordBatchReaderBuilder::try_new(file.clone()).expect("a footer");
    let batches = reader.with_batch_size(WRITE_ROWS).build().expect("a reader");
    batches.map(|batch| batch.expect("a batch").num_rows()).sum()
}

/// An access key that few rows have.
fn seldom_key(rows: &RecordBatch) -> String {
    let keys = column(rows, "useridentity.accesskeyid");
    let mut counts = std::collections::BTreeMap::<&str, usize>::new();
    for key in keys.as_string::<i32>().iter().flatten() {
        *counts.entry(key).or_default() += 1;
    }
    let seldom =
        counts.iter().filter(|(key, _)| key.starts_with('A')).min_by_key(|(_, count)| **count);
    seldom.map_or_else(String::new, |(key, _)| (*key).to_owned())
}

/// A file that counts what is read of it.
#[derive(Clone)]
struct Counted {
    bytes: Bytes,
    read: Arc<AtomicU64>,
}

impl Length for Counted {
    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }
}

impl ChunkReader for Counted {
    type T = bytes::buf::Reader<Bytes>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        self.bytes.get_read(start)
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        self.read.fetch_add(length as u64, Ordering::Relaxed);
        self.bytes.get_bytes(start, length)
    }
}

/// Bytes that are read of pages, and of the Bloom filters asked before.
fn needle(file: &Bytes, key: &str) -> u64 {
    let counted = Counted { bytes: file.clone(), read: Arc::default() };
    let read = Arc::clone(&counted.read);
    let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Optional);
    let metadata = ArrowReaderMetadata::load(file, options).expect("a footer");
    let schema = metadata.metadata().file_metadata().schema_descr_ptr();
    let leaf = |name: &str| {
        let found = schema.columns().iter().position(|column| column.path().string() == name);
        found.expect("a column")
    };
    let at = leaf("useridentity.accesskeyid");
    let mut groups = Vec::new();
    let mut filters = 0;
    for group in 0..metadata.metadata().num_row_groups() {
        let builder =
            ParquetRecordBatchReaderBuilder::new_with_metadata(file.clone(), metadata.clone());
        let filter = builder.get_row_group_column_bloom_filter(group, at).expect("a filter");
        let length = metadata.metadata().row_group(group).column(at).bloom_filter_length();
        filters += length.map_or(0, |length| u64::try_from(length).unwrap_or(0));
        if filter.is_none_or(|filter| filter.check(&key)) {
            groups.push(group);
        }
    }
    let wanted = StringArray::new_scalar(key);
    let predicate = ArrowPredicateFn::new(ProjectionMask::leaves(&schema, [at]), move |rows| {
        let keys = column(&rows, "useridentity.accesskeyid");
        let is_it: BooleanArray = cmp::eq(keys.as_string::<i32>(), &wanted)?;
        Ok(is_it)
    });
    let shown =
        ProjectionMask::leaves(&schema, ["eventtime", "eventname", "requestparameters"].map(leaf));
    let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(counted, metadata)
        .with_row_groups(groups)
        .with_projection(shown)
        .with_row_filter(RowFilter::new(vec![Box::new(predicate)]))
        .build()
        .expect("a reader");
    for batch in reader {
        batch.expect("a batch");
    }
    read.load(Ordering::Relaxed) + filters
}

/// Bytes of the pages of event names.
fn one_column(file: &Bytes) -> u64 {
    let metadata = ArrowReaderMetadata::load(file, ArrowReaderOptions::new()).expect("a footer");
    let groups = metadata.metadata().row_groups().iter();
    let of_names = groups.flat_map(|group| {
        group.columns().iter().filter(|column| column.column_path().string() == "eventname")
    });
    of_names.map(|column| column.byte_range().1).sum()
}

/// What `work` makes, and the time this thread spent on it.
fn cpu<T>(work: impl Fn() -> T) -> (Duration, T) {
    let start = Instant::now();
    let before = on_cpu();
    let made = work();
    match (before, on_cpu()) {
        (Some(before), Some(after)) => (after - before, made),
        _ => (start.elapsed(), made),
    }
}

/// How long this thread was on a CPU, where the system says so.
fn on_cpu() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    Some(Duration::from_nanos(text.split_whitespace().next()?.parse().ok()?))
}
