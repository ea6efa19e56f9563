//! The table made again from the journal has the same rows, whatever fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::FutureExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use table::{Hold, RebuildReport, SettleReason, Table, TableError, TableSnapshot};
use tokio_util::sync::CancellationToken;

use crate::faulty::{Fault, Faulty};
use crate::world::{ACCOUNTS, World, drain};

/// A rebuild, or what comes of it in so many steps.
pub(crate) async fn rebuild_steps(
    table: &mut Table,
    steps: u64,
) -> Result<RebuildReport, TableError> {
    let (stop, told) = (CancellationToken::new(), AtomicU64::new(0));
    if steps == 0 {
        stop.cancel();
    }
    let tell = |_| {
        if told.fetch_add(1, Ordering::SeqCst) + 1 >= steps {
            stop.cancel();
        }
    };
    table.rebuild(&stop, &tell).await
}

async fn rebuild(table: &mut Table) -> RebuildReport {
    let report = rebuild_steps(table, u64::MAX).await.expect("rebuild");
    assert!(!report.more, "{report:?}");
    report
}

async fn snapshot(world: &World) -> TableSnapshot {
    let store = store::Store::from_objects(Arc::clone(&world.objects), "memory://world");
    TableSnapshot::load(&store, table::TRAIL_DEFAULT).await.expect("load")
}

/// Rows of several passes, with copies in other spellings, partly compacted.
async fn world() -> (World, Table) {
    let mut world = World::new().await;
    let mut table = world.table(Arc::clone(&world.objects), 1).await.expect("open");
    for rows in [40, 3, 17, 25] {
        world.deliver(rows).await;
        drain(&mut table).await.expect("drain");
    }
    (world, table)
}

#[tokio::test(start_paused = true)]
async fn a_rebuilt_table_has_the_rows_it_had_and_nothing_is_left_over() {
    let (world, mut table) = world().await;
    let (rows, totals) = (world.contents().await, snapshot(&world).await.totals().clone());
    let files = world.below("events").await;
    let estimate = table.estimate_rebuild().await.expect("estimate");
    assert_eq!((estimate.rows, estimate.files), (rows.len() as u64, files.len() as u64));
    let report = rebuild(&mut table).await;
    assert_eq!(report.rows, rows.len() as u64);
    assert_eq!((report.replaced, report.expired), (files.len() as u64, 0));
    assert_eq!((&report.left, report.lost_units), (&Vec::new(), 0));
    assert_eq!(world.contents().await, rows);
    let after = snapshot(&world).await.totals().clone();
    assert_eq!((after.counts, after.rebuilds), (totals.counts, 1));
    drain(&mut table).await.expect("drain");
    let there = world.below("events").await;
    assert!(there.iter().all(|file| !files.contains(file)), "every file is a new one");
    assert_eq!(world.below("rebuild").await, Vec::<String>::new());
    world.check_drained().await;
}

#[tokio::test(start_paused = true)]
async fn what_an_earlier_one_left_goes_and_what_a_later_one_makes_stays() {
    let (world, mut table) = world().await;
    let left = |number: u64| format!("trail/default/rebuild/{number:020}/rows/x.parquet");
    for number in [1, 1_000] {
        world.objects.put(&Path::from(left(number)), "rows".into()).await.expect("put");
    }
    rebuild(&mut table).await;
    assert_eq!(world.below("rebuild").await, [left(1_000)]);
}

#[tokio::test(start_paused = true)]
async fn one_that_somebody_gives_up_meanwhile_says_so() {
    let (world, mut table) = world().await;
    let rows = world.contents().await;
    let other = world.table(Arc::clone(&world.objects), 9).await.expect("open");
    let other = std::sync::Mutex::new(other);
    let stop = CancellationToken::new();
    let give_up = |_| {
        let mut other = other.lock().expect("alone");
        let given_up = other.give_up_rebuild().now_or_never().expect("memory answers at once");
        given_up.expect("give up");
    };
    let report = table.rebuild(&stop, &give_up).await.expect("rebuild");
    assert!(report.given_up && !report.more, "{report:?}");
    assert_eq!(world.contents().await, rows);
    assert!(!rebuild(&mut table).await.given_up);
}

#[tokio::test(start_paused = true)]
async fn files_that_are_gone_or_damaged_are_made_again() {
    let (world, mut table) = world().await;
    let rows = world.contents().await;
    let files = world.below("events").await;
    let path = |index: usize| Path::from(files[index].as_str());
    world.objects.delete(&path(0)).await.expect("delete");
    world.objects.put(&path(1), "no Parquet".into()).await.expect("put");
    let report = rebuild(&mut table).await;
    assert_eq!(report.left, Vec::new());
    assert_eq!(world.contents().await, rows);
}

#[tokio::test(start_paused = true)]
async fn what_expired_stays_away_and_what_a_hold_kept_stays() {
    let (mut world, mut table) = world().await;
    let held = Hold {
        case: "C-17".to_owned(),
        account: Some(ACCOUNTS[0].parse().expect("an account")),
        principal: None,
        from: None,
        to: None,
        by: "R. Roe".to_owned(),
        why: "subpoena".to_owned(),
    };
    table.hold(held).await.expect("hold");
    let rows = world.contents().await.len();
    let stop = CancellationToken::new();
    let mut old = world.aged_table(Arc::clone(&world.objects), 2, 30, 40).await;
    let expired = old.expire(u64::MAX, &stop).await.expect("expire").rows;
    assert!(expired > 0 && expired < rows as u64);
    // Of the days that are left with some accounts' files, more comes late.
    world.pass_days(40);
    world.deliver_once(30).await;
    drain(&mut old).await.expect("drain");
    let kept = world.contents().await;
    let report = rebuild(&mut old).await;
    assert_eq!((report.expired, &report.left), (expired, &Vec::new()));
    assert_eq!(world.contents().await, kept);
    // Where that cannot be told from the old files, a partition is left as it is.
    drain(&mut old).await.expect("drain");
    let new = world.below("events").await;
    let late = new.iter().find(|file| file.contains(ACCOUNTS[1])).expect("a file");
    let path = Path::from(late.as_str());
    let bytes = world.objects.get(&path).await.expect("get").bytes().await.expect("bytes");
    world.objects.delete(&path).await.expect("delete");
    let report = rebuild(&mut old).await;
    assert_eq!(report.left.len(), 1, "{report:?}");
    assert!(report.left[0].why.contains(late.as_str()), "{report:?}");
    world.objects.put(&path, bytes.into()).await.expect("put");
    assert_eq!(world.contents().await, kept);
}

#[tokio::test(start_paused = true)]
async fn a_partition_of_which_the_journal_has_lost_rows_is_left_as_it_is() {
    let (mut world, mut table) = world().await;
    let rows = world.contents().await;
    let head = world.head();
    let (path, bytes) = world.lose(head).await;
    let report = rebuild(&mut table).await;
    assert!(report.lost_units >= 25 && !report.left.is_empty(), "{report:?}");
    assert!(report.left.iter().all(|left| left.why.contains("of its rows only")), "{report:?}");
    assert_eq!(world.contents().await, rows);
    world.objects.put(&path, bytes.into()).await.expect("put");
    assert_eq!(rebuild(&mut table).await.left, Vec::new());
    assert_eq!(world.contents().await, rows);
}

#[tokio::test(start_paused = true)]
async fn rows_that_were_lost_when_their_pass_began_stay_in_quarantine() {
    let mut world = World::new().await;
    world.deliver_once(20).await;
    world.deliver_once(20).await;
    let head = world.head();
    let (path, bytes) = world.lose(head).await;
    let mut table = world.table(Arc::clone(&world.objects), 1).await.expect("open");
    drain(&mut table).await.expect("drain");
    world.objects.put(&path, bytes.into()).await.expect("put");
    let rows = world.contents().await;
    assert_eq!(rebuild(&mut table).await.left, Vec::new());
    assert_eq!(world.contents().await, rows);
}

#[tokio::test(start_paused = true)]
async fn it_goes_on_where_it_was_while_passes_and_compaction_go_on() {
    let (mut world, mut table) = world().await;
    let stop = CancellationToken::new();
    let mut rounds = 0;
    loop {
        let report = rebuild_steps(&mut table, 1).await.expect("rebuild");
        assert_eq!(report.left, Vec::new());
        if !report.more {
            break;
        }
        rounds += 1;
        if rounds < 8 {
            world.deliver(12).await;
        }
        // Another process keeps the table meanwhile, and this one is started anew.
        let mut other = world.table(Arc::clone(&world.objects), rounds).await.expect("open");
        while other.pass(&stop).await.expect("pass").is_some() {}
        other.settle(SettleReason::Age).await.expect("settle");
        while other.compact(1, &stop).await.expect("compact").more {}
        other.index(1, &stop).await.expect("index");
        other.copy_days(1, &stop).await.expect("copy");
        world.check_listing().await;
        world.check_snapshot().await;
        world.check_copies().await;
        table = world.table(Arc::clone(&world.objects), 100 + rounds).await.expect("open");
    }
    assert!(rounds > 3, "it takes {rounds} steps");
    drain(&mut table).await.expect("drain");
    world.check_drained().await;
}

#[tokio::test(start_paused = true)]
async fn one_that_is_given_up_leaves_a_whole_table_and_nothing_else() {
    let (world, mut table) = world().await;
    let rows = world.contents().await;
    assert!(!table.give_up_rebuild().await.expect("give up"), "none is under way");
    for steps in 1..5 {
        assert!(rebuild_steps(&mut table, steps).await.expect("rebuild").more);
        assert!(table.give_up_rebuild().await.expect("give up"));
        assert_eq!(world.contents().await, rows, "after {steps} steps");
        assert_eq!(world.below("rebuild").await, Vec::<String>::new());
    }
    drain(&mut table).await.expect("drain");
    world.check_drained().await;
}

#[tokio::test(start_paused = true)]
async fn whatever_fails_it_goes_on_and_ends_with_the_same_rows() {
    let faults =
        [Fault::DieBefore, Fault::DieAfter, Fault::FailBefore, Fault::FailAfter, Fault::FailRead];
    let mut hits = 0;
    for fault in faults {
        for operation in 0.. {
            let mut world = World::new().await;
            let mut table = world.table(Arc::clone(&world.objects), 1).await.expect("open");
            for rows in [20, 9] {
                world.deliver(rows).await;
                drain(&mut table).await.expect("drain");
            }
            let rows = world.contents().await;
            let faulty = Faulty::new(Arc::clone(&world.objects), fault, operation);
            let objects: Arc<dyn ObjectStore> = Arc::new(faulty.clone());
            if let Ok(mut failing) = world.table(objects, 2).await {
                let failed = rebuild_steps(&mut failing, u64::MAX).await;
                assert!(failed.is_err() || !failed.expect("done").more || faulty.was_hit());
            }
            world.check_listing().await;
            world.check_snapshot().await;
            let mut last = world.table(Arc::clone(&world.objects), 3).await.expect("open");
            let report = rebuild(&mut last).await;
            assert_eq!(report.left, Vec::new(), "{fault:?} at {operation}");
            assert_eq!(world.contents().await, rows, "{fault:?} at {operation}");
            drain(&mut last).await.expect("drain");
            world.check_drained().await;
            assert_eq!(world.below("rebuild").await, Vec::<String>::new());
            if !faulty.was_hit() {
                break;
            }
            hits += 1;
        }
    }
    assert!(hits > 100, "{hits} operations failed");
}
