//! What a row costs: from record to row, from rows to a file, and back.
//!
//! `cargo bench -p table --bench rows -- 400000` prints one table, of CPU time
//! of this thread, the least of three rounds.

#![expect(clippy::print_stdout, reason = "a benchmark prints its table")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, AsArray, Date32Array, RecordBatch, StringArray};
use arrow::compute::interleave_record_batch;
use arrow::datatypes::TimestampMicrosecondType;
use jiff::Timestamp;
use sample::{Organization, Shape};
use table::decode::Footer;
use table::encode::{Encoded, FileWriter, Kind};
use table::partition::{Partition, Regions};
use table::row::{BATCH_ROWS_MAX, RecordJson, RowBuilder, RowSource, with_indicators};
use table::schema::{INDICATORS, fresh_schema};

/// Rows of a file like those that passes leave to be settled.
const FRESH_ROWS: usize = 20_000;
/// Rows that a merge hands to a writer at once.
const WRITE_ROWS: usize = 1_024;

/// Other work on the machine makes a round slow, never fast.
const ROUNDS: usize = 3;

/// Where a row is: its batch, its row there.
type Place = (usize, usize);

struct Rows {
    batches: Vec<RecordBatch>,
    partitions: BTreeMap<Partition, Vec<Place>>,
}

fn main() {
    let events = std::env::args().find_map(|word| word.parse().ok()).unwrap_or(200_000);
    let shape = Shape { accounts: 25, regions: 4, days: 2 };
    let end = "2026-11-20T12:00:00Z".parse().expect("a time");
    let organization = Organization::with_shape(1, shape);
    let lines: Vec<Vec<u8>> = organization.events(events, end).map(|event| event.record).collect();
    let json_bytes: usize = lines.iter().map(Vec::len).sum();
    println!("{events} records of {} bytes on average", json_bytes / lines.len().max(1));
    println!("{:<42}{:>10}{:>10}{:>9}{:>11}", "", "us/event", "ms/file", "files", "B/event");

    let (spent, rows) = cpu(|| to_rows(&lines));
    print("record -> row", spent, events, &[]);
    print("  the same, memory reused", cpu(|| scan(&lines)).0, events, &[]);
    let (spent, bytes) = cpu(|| rebuild(&rows.batches));
    print("row -> record", spent, events, &[]);
    assert!(bytes > 0);

    let delivered: Vec<RecordBatch> = rows.batches.iter().map(without_lists).collect();
    print("rows -> their lists, as delivered", cpu(|| list(&delivered)).0, events, &[]);
    let places: Vec<_> = rows.partitions.values().map(|places| sorted(&rows, places)).collect();
    let in_order: Vec<RecordBatch> = places
        .iter()
        .flat_map(|places| gather(&rows, places))
        .map(|rows| without_lists(&rows))
        .collect();
    print("  the same, sorted", cpu(|| list(&in_order)).0, events, &[]);

    for size in [15, 200, 800, 1_000, 5_000, 100_000] {
        let pieces = rows.partitions.values().flat_map(|places| places.chunks(size));
        let pieces: Vec<Vec<RecordBatch>> = pieces
            .filter(|piece| size > 1_000 || piece.len() == size)
            .take(400)
            .map(|piece| gather(&rows, &sorted(&rows, piece)))
            .collect();
        let taken: usize = pieces.iter().flatten().map(RecordBatch::num_rows).sum();
        let write = || pieces.iter().map(|piece| write(piece, Kind::Partition)).collect();
        let (spent, files): (_, Vec<Encoded>) = cpu(write);
        print(&format!("rows -> partition files of {size} rows"), spent, taken as u64, &files);
    }

    let fresh = with_keys(&rows);
    let pieces: Vec<_> = fresh.chunks(FRESH_ROWS / WRITE_ROWS).collect();
    let write = || pieces.iter().map(|piece| write(piece, Kind::Fresh)).collect();
    let (spent, files): (_, Vec<Encoded>) = cpu(write);
    let taken: usize = fresh.iter().map(RecordBatch::num_rows).sum();
    print(&format!("rows -> fresh files of {FRESH_ROWS} rows"), spent, taken as u64, &files);
    let (spent, ()) = cpu(|| files.iter().for_each(read));
    print("fresh file -> rows", spent, taken as u64, &[]);
}

fn to_rows(lines: &[Vec<u8>]) -> Rows {
    let mut builder = RowBuilder::new();
    let mut regions = Regions::default();
    let mut rows = Rows { batches: Vec::new(), partitions: BTreeMap::new() };
    for (number, line) in lines.iter().enumerate() {
        let place = (rows.batches.len(), builder.len());
        let partition = builder.push(line, &source(number as u64), &mut regions).expect("a record");
        rows.partitions.entry(partition).or_default().push(place);
        if builder.len() == BATCH_ROWS_MAX {
            rows.batches.push(builder.finish());
        }
    }
    rows.batches.push(builder.finish());
    rows
}

fn scan(lines: &[Vec<u8>]) {
    let mut builder = RowBuilder::new();
    let mut regions = Regions::default();
    for line in lines {
        builder.push(line, &source(0), &mut regions).expect("a record");
        if builder.len() == BATCH_ROWS_MAX {
            drop(builder.finish());
        }
    }
}

fn without_lists(batch: &RecordBatch) -> RecordBatch {
    let lists = batch.schema().index_of(INDICATORS).expect("the column");
    let others: Vec<usize> = (0..batch.num_columns()).filter(|at| *at != lists).collect();
    batch.project(&others).expect("columns")
}

fn list(batches: &[RecordBatch]) {
    for batch in batches {
        drop(with_indicators(batch.clone()).expect("lists"));
    }
}

fn source(number: u64) -> RowSource<'static> {
    RowSource {
        agent_account: event::AccountId::UNKNOWN,
        agent: "central",
        speaks_for: None,
        committed_at: Timestamp::constant(1_795_176_000, 0),
        record: 1 + number / 2_000,
        row: number % 2_000,
    }
}

/// The places in the table's order: source, name, arn, time.
fn sorted(rows: &Rows, places: &[Place]) -> Vec<Place> {
    let mut places = places.to_vec();
    let text = |column: &ArrayRef, row: usize| column.as_string::<i32>().value(row).to_owned();
    places.sort_by_cached_key(|&(batch, row)| {
        let batch = rows.batches.get(batch).expect("a batch");
        let column = |name| batch.column_by_name(name).expect("a column");
        let identity = column("useridentity").as_struct();
        let time = column("eventtime").as_primitive::<TimestampMicrosecondType>().value(row);
        let arn = text(identity.column_by_name("arn").expect("arn"), row);
        (text(column("eventsource"), row), text(column("eventname"), row), arn, time)
    });
    places
}

fn gather(rows: &Rows, places: &[Place]) -> Vec<RecordBatch> {
    let batches: Vec<&RecordBatch> = rows.batches.iter().collect();
    let pieces = places.chunks(WRITE_ROWS);
    pieces.map(|piece| interleave_record_batch(&batches, piece).expect("rows")).collect()
}

/// All rows in the order of a fresh file, with its columns.
fn with_keys(rows: &Rows) -> Vec<RecordBatch> {
    let mut fresh = Vec::new();
    for (partition, places) in &rows.partitions {
        for batch in gather(rows, &sorted(rows, places)) {
            let count = batch.num_rows();
            let mut columns = batch.columns().to_vec();
            let text = |text: String| Arc::new(StringArray::from(vec![text; count])) as ArrayRef;
            columns.push(text(partition.account.to_string()));
            columns.push(text(partition.region.to_string()));
            columns.push(Arc::new(Date32Array::from(vec![20_777; count])));
            fresh.push(RecordBatch::try_new(fresh_schema(), columns).expect("fresh columns"));
        }
    }
    fresh
}

fn write(batches: &[RecordBatch], kind: Kind) -> Encoded {
    let mut writer = FileWriter::new(kind);
    for batch in batches {
        writer.write(batch).expect("written");
    }
    writer.close().expect("closed")
}

fn read(file: &Encoded) {
    let footer = Footer::parse(file.bytes.clone(), file.bytes.len() as u64).expect("a footer");
    let mut rows = 0;
    for (index, range) in footer.row_groups().into_iter().enumerate() {
        let at = |position: u64| usize::try_from(position).expect("in memory");
        let bytes = file.bytes.slice(at(range.start)..at(range.end));
        let batches = footer.read(index, bytes, WRITE_ROWS).expect("a row group");
        rows += batches.map(|batch| batch.expect("a batch").num_rows() as u64).sum::<u64>();
    }
    assert_eq!(rows, file.rows);
}

fn rebuild(batches: &[RecordBatch]) -> usize {
    let mut bytes = 0;
    let mut record = Vec::new();
    for batch in batches {
        let records = RecordJson::of(batch).expect("all columns");
        for row in 0..batch.num_rows() {
            record.clear();
            records.write(row, &mut record);
            bytes += record.len();
        }
    }
    bytes
}

fn print(what: &str, spent: Duration, events: u64, files: &[Encoded]) {
    let micros = spent.as_secs_f64() * 1e6;
    let per_event = micros / events.max(1) as f64;
    print!("{what:<42}{per_event:>10.2}");
    if !files.is_empty() {
        let bytes: usize = files.iter().map(|file| file.bytes.len()).sum();
        let count = files.len() as f64;
        print!(
            "{:>10.2}{count:>9}{:>11.1}",
            micros / 1e3 / count,
            bytes as f64 / events.max(1) as f64
        );
    }
    println!();
}

/// What `work` makes, and the time this thread spent on it: the least of some rounds.
fn cpu<T>(work: impl Fn() -> T) -> (Duration, T) {
    let round = || {
        let start = Instant::now();
        let before = on_cpu();
        let made = work();
        match (before, on_cpu()) {
            (Some(before), Some(after)) => (after - before, made),
            _ => (start.elapsed(), made),
        }
    };
    let first = round();
    (1..ROUNDS)
        .map(|_| round())
        .fold(first, |least, next| if next.0 < least.0 { next } else { least })
}

/// How long this thread was on a CPU, where the system says so.
fn on_cpu() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    Some(Duration::from_nanos(text.split_whitespace().next()?.parse().ok()?))
}
