//! Events whose lines the journal has let go are compared by their rows.

use std::sync::Arc;

use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use store::Store;
use table::{Hold, Table};
use tokio_util::sync::CancellationToken;

use crate::expire_journal::{DAYS, expire, later, world};
use crate::faulty::{Fault, Faulty};
use crate::rebuild::rebuild_steps;
use crate::world::{ACCOUNTS, World, drain};

/// Four events in the journal's first lines and in the table, settled or not; the journal
/// has let them go.
async fn expired(is_settled: bool) -> World {
    let mut world = World::new().await;
    world.deliver_once(4).await;
    let mut table = world.table(Arc::clone(&world.objects), 1).await.expect("open");
    if is_settled {
        drain(&mut table).await.expect("drain");
    } else {
        pass(&mut table).await;
    }
    let mut old = later(&world, Arc::clone(&world.objects)).await;
    expire(&mut old).await.expect("expire");
    world.catch_up().await;
    world
}

async fn pass(table: &mut Table) {
    let stop = CancellationToken::new();
    while table.pass(&stop).await.expect("pass").is_some() {}
}

/// Rows, and how many of them are marked.
async fn counted(world: &World) -> (usize, usize) {
    let rows = world.contents().await;
    (rows.len(), rows.iter().filter(|row| row.contains("event_id_reused")).count())
}

#[tokio::test(start_paused = true)]
async fn a_copy_is_found_and_other_json_is_marked_wherever_the_row_is() {
    for is_settled in [true, false] {
        let mut world = expired(is_settled).await;
        world.deliver_again(&[0, 1]).await;
        world.deliver_elsewhere(2).await;
        world.deliver_again(&[3]).await;
        let mut table = later(&world, Arc::clone(&world.objects)).await;
        drain(&mut table).await.expect("drain");
        assert_eq!(table.state().totals.counts.duplicates, 3, "settled: {is_settled}");
        assert_eq!(counted(&world).await, (5, 2), "settled: {is_settled}");
        let rows = world.contents().await;
        let report = rebuild_steps(&mut table, u64::MAX).await.expect("rebuild");
        assert!(!report.left.is_empty(), "what has expired cannot be made again");
        assert_eq!(world.contents().await, rows);
    }
}

/// Whether the bytes are deleted yet decides nothing, so whoever finishes a pass finds
/// the same: what has expired is compared by its rows.
#[tokio::test(start_paused = true)]
async fn a_copy_of_an_event_that_has_expired_is_no_row_and_a_rebuild_knows_what_its_pass_found() {
    for deletes in [false, true] {
        let mut world = world().await;
        // Copies of an event that will expire, found while it could be read.
        world.deliver_again(&[1, 2]).await;
        // Another event with an eventID of one that will, in a partition of its own.
        world.deliver_elsewhere(3).await;
        let mut table = later(&world, Arc::clone(&world.objects)).await;
        drain(&mut table).await.expect("drain");
        let before = table.state().totals.counts;
        let stop = CancellationToken::new();
        table.expire_journal(DAYS, &stop).await.expect("expire");
        if deletes {
            expire(&mut table).await.expect("delete");
        }
        world.catch_up().await;
        // Of the first event of all, and of one that is young enough.
        world.deliver_again(&[0, 65]).await;
        drain(&mut table).await.expect("drain");
        let after = table.state().totals.counts;
        assert_eq!(after.duplicates, before.duplicates + 2);
        let contents = world.contents().await;
        assert_eq!(contents.iter().filter(|row| row.contains("event_id_reused")).count(), 2);
        let report = rebuild_steps(&mut table, u64::MAX).await.expect("rebuild");
        assert_eq!(report.lost_units, 0);
        assert_eq!(world.contents().await, contents, "deleted: {deletes}");
    }
}

/// The first rules compared no rows.
#[tokio::test]
async fn a_pass_that_an_earlier_release_began_is_finished_by_its_rules() {
    let mut world = expired(true).await;
    world.deliver_again(&[0]).await;
    let table = later(&world, Arc::clone(&world.objects)).await;
    let store = Store::from_objects(Arc::clone(&world.objects), "memory://world");
    let ledger = ledger::Ledger::new(store, Path::from("trail/default/table/log"));
    let last = ledger.read(table.state().head).await.expect("read").expect("a record");
    let body = serde_json::json!({"pass_intent": {
        "from": table.state().position + 1, "to": world.head(), "trail_version": 1,
        "row_format": 2, "partition_rows_min": 8,
    }});
    let appended = ledger.append(&last.head(), [7; 16], last.at, &body).await.expect("append");
    assert!(matches!(appended, ledger::Appended::Ours(_)));
    let mut table = later(&world, Arc::clone(&world.objects)).await;
    drain(&mut table).await.expect("drain");
    assert_eq!(table.state().totals.counts.duplicates, 0);
}

#[tokio::test]
async fn an_event_whose_row_is_gone_stays_and_no_pass_waits_for_it() {
    let mut world = expired(true).await;
    for path in world.below("events").await {
        world.objects.delete(&Path::from(path)).await.expect("delete");
    }
    world.deliver_again(&[0, 1]).await;
    let mut table = later(&world, Arc::clone(&world.objects)).await;
    pass(&mut table).await;
    let counts = table.state().totals.counts;
    assert_eq!((counts.rows, counts.duplicates), (6, 0));
}

#[tokio::test]
async fn an_event_whose_row_has_expired_stays_though_its_key_is_there() {
    let mut world = expired(true).await;
    let mut table = world.aged_table(Arc::clone(&world.objects), 5, 30, 45).await;
    let held = Hold {
        case: "C-17".to_owned(),
        account: Some(ACCOUNTS[2].parse().expect("an account")),
        principal: None,
        from: None,
        to: None,
        by: "R. Roe".to_owned(),
        why: "subpoena".to_owned(),
    };
    table.hold(held).await.expect("hold");
    let stop = CancellationToken::new();
    let gone = table.expire(u64::MAX, &stop).await.expect("expire").rows;
    assert!(gone > 0 && gone < 4, "{gone}");
    // The first is of an account that no hold keeps.
    world.deliver_again(&[0]).await;
    drain(&mut table).await.expect("drain");
    assert_eq!(table.state().totals.counts.duplicates, 0);
    assert_eq!(world.contents().await.len() as u64, 4 - gone + 1);
}

#[tokio::test]
async fn whoever_finishes_a_pass_finds_the_same() {
    let mut hits = 0;
    for fault in [Fault::DieBefore, Fault::DieAfter, Fault::FailAfter, Fault::FailRead] {
        for operation in 0.. {
            let mut world = expired(operation % 2 == 0).await;
            world.deliver_again(&[0, 1]).await;
            world.deliver_elsewhere(2).await;
            let faulty = Faulty::new(Arc::clone(&world.objects), fault, operation);
            let at = format!("{fault:?} at {operation}");
            let store: Arc<dyn ObjectStore> = Arc::new(faulty.clone());
            if let Ok(mut failing) = world.table(store, 6).await
                && let Err(error) = drain(&mut failing).await
            {
                assert!(error.is_retryable(), "{at}: {error:?}");
            }
            let mut last = later(&world, Arc::clone(&world.objects)).await;
            drain(&mut last).await.expect("drain");
            assert_eq!(last.state().totals.counts.duplicates, 2, "{at}");
            assert_eq!(counted(&world).await, (5, 2), "{at}");
            if !faulty.was_hit() {
                break;
            }
            hits += 1;
        }
    }
    assert!(hits > 40, "{hits} operations failed");
}
