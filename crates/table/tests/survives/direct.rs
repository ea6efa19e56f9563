//! What passes write directly into partitions, and what waits to be settled.

use std::sync::Arc;

use table::Limits;
use tokio_util::sync::CancellationToken;

use crate::world::{World, limits};

/// The world's busy partition has more rows than this in a record, no other one has.
const BUSY_ROWS: u64 = 12;

async fn files_after_a_pass(partition_rows_min: u64, pass_bytes: u64) -> (Vec<String>, bool) {
    let mut world = World::new().await;
    world.deliver_once(4 * BUSY_ROWS).await;
    let objects = Arc::clone(&world.objects);
    let limits =
        Limits { partition_rows_min, pass_bytes, settle_rows_per_file: BUSY_ROWS, ..limits() };
    let mut table = world.table_with("memory://world", objects, 2, limits).await.expect("open");
    let report = table.pass(&CancellationToken::new()).await.expect("pass").expect("rows");
    (world.below("events").await, report.more)
}

#[tokio::test]
async fn a_pass_leaves_what_is_not_worth_a_file_to_settling() {
    let (files, more) = files_after_a_pass(1_000, 1 << 20).await;
    assert!(!more, "all that waits is in the pass");
    assert!(files.is_empty(), "a thousand rows are not there: {files:?}");
}

#[tokio::test]
async fn in_a_backlog_rows_that_settling_finds_worth_a_file_are_written_once() {
    let (files, more) = files_after_a_pass(1_000, 1).await;
    assert!(more, "a pass of one byte ends after its first record");
    assert_eq!(files.len(), 1, "the busy partition has its file: {files:?}");
}

#[tokio::test]
async fn a_backlog_never_raises_the_rows_that_a_file_needs() {
    let (files, _) = files_after_a_pass(2, 1).await;
    assert!(files.len() > 1, "two rows are enough: {files:?}");
}
