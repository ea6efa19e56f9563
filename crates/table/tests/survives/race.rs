//! Several processes on one store.

use std::sync::Arc;

use table::SettleReason;
use tokio_util::sync::CancellationToken;

use crate::faulty::{Fault, Faulty};
use crate::world::{World, drain};

#[tokio::test]
async fn two_processes_in_turn_give_each_row_once() {
    let mut world = World::new().await;
    let stop = CancellationToken::new();
    let mut one = world.table(Arc::clone(&world.objects), 2).await.expect("open");
    let mut two = world.table(Arc::clone(&world.objects), 3).await.expect("open");
    for rows in 1..12 {
        world.deliver(rows).await;
        let (a, b) = futures::join!(one.pass(&stop), two.pass(&stop));
        let passes = [a.expect("one"), b.expect("two")];
        assert!(passes.iter().flatten().count() <= 2);
        world.check_listing().await;
        world.check_snapshot().await;
        if rows % 4 == 0 {
            let reason = SettleReason::Asked;
            let (a, b) = futures::join!(one.settle(reason), two.settle(reason));
            a.expect("one");
            b.expect("two");
            world.check_snapshot().await;
        }
    }
    drain(&mut one).await.expect("drain");
    world.check_drained().await;
}

/// The first process stands still after its intent; the second finishes it,
/// settles and sweeps; then the first goes on where it stood.
#[tokio::test]
async fn a_process_that_slept_through_everything_changes_nothing() {
    for operation in 0..12 {
        let mut world = World::new().await;
        world.deliver(6).await;
        let stop = CancellationToken::new();
        let slow = Faulty::new(Arc::clone(&world.objects), Fault::FailBefore, operation);
        let mut one = world.table(Arc::new(slow), 2).await.expect("open");
        let first = one.pass(&stop).await;
        world.deliver(2).await;
        let mut two = world.table(Arc::clone(&world.objects), 3).await.expect("open");
        drain(&mut two).await.expect("drain");
        world.check_drained().await;
        if first.is_err() {
            drain(&mut one).await.expect("the slow one wakes");
        }
        world.check_drained().await;
    }
}

#[tokio::test]
async fn a_process_leaves_the_work_to_another_one_that_has_just_begun_it() {
    let mut world = World::new().await;
    let stop = CancellationToken::new();
    let mut watching = world.table(Arc::clone(&world.objects), 2).await.expect("open");
    world.deliver(6).await;
    // Dies right after its intent.
    let dying = Arc::new(Faulty::new(Arc::clone(&world.objects), Fault::DieAfter, 0));
    let mut dying = world.table(dying, 3).await.expect("open");
    dying.pass(&stop).await.expect_err("dies");
    assert_eq!(watching.pass(&stop).await.expect("pass"), None, "it may still be at it");
    let mut next = world.table(Arc::clone(&world.objects), 4).await.expect("open");
    let report = next.pass(&stop).await.expect("pass").expect("a found intent is finished");
    assert_eq!(report.counts.rows, 6);
    watching.refresh().await.expect("refresh");
    drain(&mut watching).await.expect("drain");
    world.check_drained().await;
}

#[tokio::test]
async fn a_stop_before_the_intent_leaves_nothing_behind() {
    let mut world = World::new().await;
    world.deliver(6).await;
    let stop = CancellationToken::new();
    stop.cancel();
    let mut table = world.table(Arc::clone(&world.objects), 2).await.expect("open");
    assert_eq!(table.pass(&stop).await.expect("pass"), None);
    assert_eq!(table.state().head, 0);
    drain(&mut table).await.expect("drain");
    world.check_drained().await;
}
