//! Whoever asks while files are written, settled, merged, indexed, copied, made again
//! and let go gets every row once: all that was committed before, and nothing twice.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use jiff::SignedDuration;
use query::Engine;
use seam::Clock;
use table::{Config, SettleReason, TRAIL_DEFAULT, Table};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::world::{World, end, seams};

/// Events of each writing.
const CHUNK: usize = 200;

/// What the writer has done, for the reader.
#[derive(Default)]
struct Told {
    /// Events that are committed, and those that may be.
    committed: AtomicI64,
    begun: AtomicI64,
    /// Days go, each in one step.
    expiring: AtomicBool,
    over: AtomicBool,
    answers: AtomicI64,
}

/// Rows and distinct ids, by day.
async fn by_day(engine: &Engine) -> BTreeMap<String, (i64, i64)> {
    let sql =
        "SELECT CAST(date AS VARCHAR), count(*), count(DISTINCT eventid) FROM events GROUP BY 1";
    let mut answer = engine.sql(sql).await.expect("an answer");
    let batches = answer.rest().await.expect("rows");
    let rows = batches.iter().flat_map(|batch| {
        let (rows, ids) = (batch.column(1), batch.column(2));
        let (rows, ids) = (rows.as_primitive::<Int64Type>(), ids.as_primitive::<Int64Type>());
        (0..batch.num_rows()).map(move |row| {
            let day = arrow::util::display::array_value_to_string(batch.column(0), row);
            (day.expect("text"), (rows.value(row), ids.value(row)))
        })
    });
    rows.collect()
}

/// Asks until the writer is over, and says what it saw last.
async fn read(engine: Engine, told: Arc<Told>) {
    let mut full = BTreeMap::new();
    while !told.over.load(Ordering::SeqCst) {
        let expiring = told.expiring.load(Ordering::SeqCst);
        let low = told.committed.load(Ordering::SeqCst);
        let found = by_day(&engine).await;
        let high = told.begun.load(Ordering::SeqCst);
        let rows: i64 = found.values().map(|(rows, _)| rows).sum();
        assert!(found.values().all(|(rows, ids)| rows == ids), "a row is there twice: {found:?}");
        if expiring || told.expiring.load(Ordering::SeqCst) {
            // A day is there, or it is not.
            let whole = |(day, rows): (&String, &(i64, i64))| full.get(day) == Some(rows);
            assert!(full.is_empty() || found.iter().all(whole), "{found:?} of {full:?}");
        } else {
            assert!((low..=high).contains(&rows), "{rows} rows where {low} to {high} are");
            if low == high {
                full = found;
            }
        }
        told.answers.fetch_add(1, Ordering::SeqCst);
    }
}

/// A process of some days later that keeps a day for thirty of them.
async fn later(world: &World) -> Table {
    let now = end() + SignedDuration::from_hours(24 * 45);
    let seams = table::Seams { clock: Clock::new(move || now), ..seams() };
    let config = Config { retention_days: NonZeroU32::new(30), ..Config::default() };
    Table::open(world.store.clone(), world.journal.clone(), TRAIL_DEFAULT, seams, config)
        .await
        .expect("open")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_hold_each_row_once_whatever_is_done_to_the_files() {
    let mut world = World::new().await;
    let told = Arc::new(Told::default());
    let mut readers = JoinSet::new();
    for _ in 0..2 {
        readers.spawn(read(world.engine(), Arc::clone(&told)));
    }
    let stop = CancellationToken::new();
    for from in (0..4_000).step_by(CHUNK) {
        told.begun.fetch_add(i64::try_from(CHUNK).expect("small"), Ordering::SeqCst);
        world.write_sample(from, from + CHUNK).await;
        told.committed.fetch_add(i64::try_from(CHUNK).expect("small"), Ordering::SeqCst);
        world.pass().await;
        if from % (3 * CHUNK) == 0 {
            world.table.settle(SettleReason::Asked).await.expect("settle");
            world.table.compact(u64::MAX, &stop).await.expect("compact");
            world.table.index(u64::MAX, &stop).await.expect("index");
            world.table.copy_days(u64::MAX, &stop).await.expect("copy");
        }
    }
    let rebuilt = world.table.rebuild(&stop, &|_| {}).await.expect("rebuild");
    assert!(!rebuilt.more && rebuilt.left.is_empty(), "{rebuilt:?}");
    world.table.index(u64::MAX, &stop).await.expect("index");
    world.table.copy_days(u64::MAX, &stop).await.expect("copy");
    // All that there is has been seen whole before it goes.
    let seen = told.answers.load(Ordering::SeqCst);
    while told.answers.load(Ordering::SeqCst) < seen + 6 {
        tokio::task::yield_now().await;
        assert!(!readers.is_empty(), "the readers go on");
        if let Some(ended) = readers.try_join_next() {
            ended.expect("no reader ends before the writer");
        }
    }
    told.expiring.store(true, Ordering::SeqCst);
    let mut later = later(&world).await;
    let mut expired = 0;
    loop {
        let report = later.expire(1, &stop).await.expect("expire");
        expired += report.rows;
        let seen = told.answers.load(Ordering::SeqCst);
        while told.answers.load(Ordering::SeqCst) < seen + 2 && !readers.is_empty() {
            tokio::task::yield_now().await;
            if let Some(ended) = readers.try_join_next() {
                ended.expect("no reader ends before the writer");
            }
        }
        if !report.more {
            break;
        }
    }
    assert_eq!(expired, 4_000);
    told.over.store(true, Ordering::SeqCst);
    while let Some(ended) = readers.join_next().await {
        ended.expect("every answer was exact");
    }
    assert!(by_day(&world.engine()).await.is_empty(), "all days are gone");
}
