//! Retention lets go what is old, and nothing else, whatever fails.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::TryStreamExt;
use table::{Filter, Hold, Release, Table, TableSnapshot};
use tokio_util::sync::CancellationToken;

use crate::faulty::{Fault, Faulty};
use crate::world::{ACCOUNTS, World, drain};

const DAYS: u32 = 30;

/// Settled rows of two days, and the process that made them.
async fn world() -> (World, Table) {
    let mut world = World::new().await;
    world.deliver_once(40).await;
    let mut table = world.table(Arc::clone(&world.objects), 1).await.expect("open");
    drain(&mut table).await.expect("drain");
    (world, table)
}

async fn expire(table: &mut Table) -> u64 {
    let stop = CancellationToken::new();
    let report = table.expire(u64::MAX, &stop).await.expect("expire");
    assert!(!report.more);
    report.rows
}

/// The accounts and days of the files there are, and their rows.
async fn left(world: &World) -> (BTreeSet<(String, String)>, u64) {
    let snapshot = snapshot(world).await;
    let files: Vec<_> = snapshot.files(Filter::default()).try_collect().await.expect("files");
    let rows = files.iter().map(|file| file.rows).sum();
    let partitions = files.into_iter().filter_map(|file| file.partition);
    let places = partitions.map(|one| (one.account.to_string(), one.date.to_string())).collect();
    assert_eq!(snapshot.totals().counts.rows, rows + snapshot.totals().expired.rows);
    assert!(snapshot.totals().counts.close());
    (places, rows)
}

async fn snapshot(world: &World) -> TableSnapshot {
    let store = store::Store::from_objects(Arc::clone(&world.objects), "memory://world");
    TableSnapshot::load(&store, table::TRAIL_DEFAULT).await.expect("load")
}

#[tokio::test]
async fn a_day_goes_when_it_and_its_commit_are_old_enough() {
    let (world, mut young) = world().await;
    let rows = left(&world).await.1;
    assert_eq!(expire(&mut young).await, 0, "no retention is set");
    for (days, gone) in [(0, 0), (29, 0), (30, 0), (31, rows)] {
        let mut table = world.aged_table(Arc::clone(&world.objects), 2, DAYS, days).await;
        assert_eq!(expire(&mut table).await, gone, "after {days} days");
    }
    assert_eq!(left(&world).await, (BTreeSet::new(), 0));
    let expired = snapshot(&world).await.totals().expired;
    assert_eq!((expired.rows, expired.last.map(|date| date.to_string())), {
        (rows, Some("2026-11-19".to_owned()))
    });
    // Sweeps delete the files, and quarantine of that time.
    let mut table = world.aged_table(Arc::clone(&world.objects), 3, DAYS, 32).await;
    let stop = CancellationToken::new();
    for _ in 0..3 {
        table.compact(0, &stop).await.expect("sweep");
        table.expire(u64::MAX, &stop).await.expect("expire");
    }
    assert_eq!(world.below("events").await, Vec::<String>::new());
    assert_eq!(world.below("quarantine").await, Vec::<String>::new());
    assert_eq!(world.below("index").await, Vec::<String>::new());
}

#[tokio::test]
async fn what_is_read_in_late_stays_as_long_as_it_would_have() {
    let (mut world, _) = world().await;
    let mut table = world.aged_table(Arc::clone(&world.objects), 2, DAYS, 31).await;
    assert!(expire(&mut table).await > 0);
    world.pass_days(31);
    world.deliver_once(8).await;
    drain(&mut table).await.expect("drain");
    assert_eq!(expire(&mut table).await, 0, "committed today");
    assert_eq!(left(&world).await.1, 8);
    let mut later = world.aged_table(Arc::clone(&world.objects), 3, DAYS, 63).await;
    assert_eq!(expire(&mut later).await, 8);
}

#[tokio::test]
async fn a_hold_keeps_what_it_names_until_it_is_released() {
    let (world, mut table) = world().await;
    let hold = Hold {
        case: "C-17".to_owned(),
        account: Some(ACCOUNTS[0].parse().expect("an account")),
        principal: None,
        from: Some("2026-11-19".parse().expect("a date")),
        to: None,
        by: "R. Roe".to_owned(),
        why: "subpoena".to_owned(),
    };
    table.hold(hold.clone()).await.expect("hold");
    let again = table.hold(hold.clone()).await.expect_err("it is held");
    assert_eq!(again.to_string(), "case C-17 has a hold already");
    for (case, why) in [("", "x"), ("a/b", "x"), ("C-18", " "), ("C-18", "a\nb")] {
        let (case, why) = (case.to_owned(), why.to_owned());
        table.hold(Hold { case, why, ..hold.clone() }).await.expect_err("no hold");
    }
    let mut later = world.aged_table(Arc::clone(&world.objects), 2, DAYS, 40).await;
    assert!(expire(&mut later).await > 0);
    let kept = BTreeSet::from([(ACCOUNTS[0].to_owned(), "2026-11-19".to_owned())]);
    assert_eq!(left(&world).await.0, kept);
    assert!(!world.below("quarantine").await.is_empty(), "nobody knows whose it is");
    let release = |case: &str| Release {
        case: case.to_owned(),
        by: "R. Roe".to_owned(),
        why: "closed".to_owned(),
    };
    later.release(release("C-18")).await.expect_err("there is none");
    later.release(release("C-17")).await.expect("release");
    assert!(expire(&mut later).await > 0);
    assert_eq!(left(&world).await, (BTreeSet::new(), 0));
}

#[tokio::test]
async fn a_hold_is_set_whatever_a_process_that_died_has_left_open() {
    for operation in 0..12 {
        let mut world = World::new().await;
        world.deliver_once(12).await;
        let faulty = Faulty::new(Arc::clone(&world.objects), Fault::DieBefore, operation);
        let stop = CancellationToken::new();
        if let Ok(mut dying) = world.table(Arc::new(faulty), 1).await {
            drop(dying.pass(&stop).await);
        }
        let mut table = world.table(Arc::clone(&world.objects), 2).await.expect("open");
        let hold = Hold {
            case: "C-1".to_owned(),
            account: None,
            principal: None,
            from: None,
            to: None,
            by: "R. Roe".to_owned(),
            why: "a case".to_owned(),
        };
        table.hold(hold).await.expect("held");
        assert_eq!(snapshot(&world).await.state().holds().count(), 1, "at {operation}");
        drain(&mut table).await.expect("drain");
        world.check_snapshot().await;
    }
}

#[tokio::test]
async fn a_process_that_dies_while_days_expire_leaves_what_the_next_one_finishes() {
    for fault in [Fault::DieBefore, Fault::DieAfter, Fault::FailBefore, Fault::FailAfter] {
        for operation in 0.. {
            let (world, _) = world().await;
            let faulty = Faulty::new(Arc::clone(&world.objects), fault, operation);
            let objects = Arc::new(faulty.clone());
            let stop = CancellationToken::new();
            let mut table = world.aged_table(objects, 2, DAYS, 40).await;
            if let Err(error) = table.expire(u64::MAX, &stop).await {
                assert!(error.is_retryable(), "{fault:?} at {operation}: {error:?}");
            }
            drop(table.compact(0, &stop).await);
            left(&world).await;
            let mut next = world.aged_table(Arc::clone(&world.objects), 3, DAYS, 41).await;
            expire(&mut next).await;
            for _ in 0..3 {
                next.compact(0, &stop).await.expect("sweep");
            }
            assert_eq!(left(&world).await, (BTreeSet::new(), 0));
            assert_eq!(world.below("events").await, Vec::<String>::new());
            if !faulty.was_hit() {
                break;
            }
        }
    }
}
