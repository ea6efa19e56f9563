//! Indexes and copies of days leave nothing behind that no record names; what waits
//! for compaction is told.

use std::sync::Arc;

use object_store::ObjectStoreExt;
use object_store::path::Path;
use table::{SettleReason, Table};
use tokio_util::sync::CancellationToken;

use crate::world::{World, drain};

async fn derive(table: &mut Table) {
    let stop = CancellationToken::new();
    assert!(!table.index(u64::MAX, &stop).await.expect("index").more);
    assert!(!table.copy_days(u64::MAX, &stop).await.expect("copy").more);
}

/// Each part is full with two or three files, so the day needs a dozen of them.
#[tokio::test]
async fn a_day_that_needs_many_parts_is_indexed_to_its_end() {
    let mut world = World::new().await;
    let mut table = world.table(Arc::clone(&world.objects), 1).await.expect("open");
    for _ in 0..12 {
        world.deliver_once(40).await;
        drain(&mut table).await.expect("drain");
    }
    assert!(!world.below("table/settled").await.is_empty(), "long lists are objects");
    let stop = CancellationToken::new();
    let report = table.index(1_000, &stop).await.expect("index");
    assert!(report.parts > 18 && !report.more, "{report:?}");
    assert_eq!(world.check_index().await, 0, "every file is covered");
    // Each indicator is in one of them, and the log tells in which.
    let snapshot = world.check_snapshot().await;
    for date in snapshot.dates() {
        let mut ranges: Vec<_> =
            snapshot.index_of(date).iter().map(|part| part.range.clone().expect("told")).collect();
        ranges.sort();
        assert!(ranges.len() > 2, "{ranges:?}");
        assert!(ranges.windows(2).all(|pair| pair[0].1 < pair[1].0), "{ranges:?}");
    }
    assert_eq!(table.index(1, &stop).await.expect("index").parts, 0, "nothing is left to do");
}

#[tokio::test]
async fn what_a_process_put_before_it_died_is_gone_with_the_next_part_of_its_day() {
    let mut world = World::new().await;
    world.deliver_once(40).await;
    let mut table = world.table(Arc::clone(&world.objects), 1).await.expect("open");
    drain(&mut table).await.expect("drain");
    let strays = ["index", "days"].map(|part| {
        format!("trail/default/{part}/date=2026-11-18/{:020}-0123456789abcdef.parquet", 1)
    });
    for stray in &strays {
        world.objects.put(&Path::from(stray.as_str()), "left".into()).await.expect("put");
    }
    derive(&mut table).await;
    for (part, stray) in ["index", "days"].iter().zip(&strays) {
        let there = world.below(part).await;
        assert!(there.len() >= 2 && !there.contains(stray), "{there:?}");
    }
    world.check_index().await;
    world.check_copies().await;
}

#[tokio::test]
async fn the_log_tells_how_long_what_waits_for_compaction_takes() {
    let mut world = World::new().await;
    let stop = CancellationToken::new();
    let mut table = world.table(Arc::clone(&world.objects), 2).await.expect("open");
    let now: jiff::Timestamp = "2026-11-20T12:00:00Z".parse().expect("a time");
    for compacted in [false, true] {
        for _ in 0..2 {
            world.deliver_once(12).await;
            while table.pass(&stop).await.expect("pass").is_some() {}
            table.settle(SettleReason::Asked).await.expect("settle");
        }
        let snapshot = world.check_snapshot().await;
        let backlog = snapshot.backlog(now).await.expect("a backlog");
        assert!(backlog.files > 0, "two small files of a day that is over wait");
        assert_eq!(backlog.work_secs.is_some(), compacted, "{backlog:?}");
        while table.compact(1, &stop).await.expect("compact").more {}
        let after = world.check_snapshot().await.backlog(now).await.expect("a backlog");
        assert!(after.files < backlog.files, "less waits: {after:?}");
    }
}
