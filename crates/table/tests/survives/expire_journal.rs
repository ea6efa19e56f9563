//! The journal lets go what the table has and nothing needs, and nothing else.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use futures::{FutureExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use seam::Clock;
use table::{Hold, Release, Table, TableError, TableSnapshot};
use tokio_util::sync::CancellationToken;

use crate::faulty::{Fault, Faulty};
use crate::rebuild::rebuild_steps;
use crate::world::{World, drain};

pub(crate) const DAYS: Option<NonZeroU32> = NonZeroU32::new(30);

/// Journal records 3 to 22 of the first day and 23 to 25 of 20 days later are rows.
pub(crate) async fn world() -> World {
    let mut world = World::new().await;
    for _ in 0..20 {
        world.deliver_once(3).await;
    }
    world.pass_days(20);
    for _ in 0..3 {
        world.deliver_once(9).await;
    }
    let mut table = world.table(Arc::clone(&world.objects), 1).await.expect("open");
    drain(&mut table).await.expect("drain");
    world
}

/// A process of 40 days later, whose table keeps everything.
pub(crate) async fn later(world: &World, objects: Arc<dyn ObjectStore>) -> Table {
    world.aged_table(objects, 2, 0, 40).await
}

/// And one whose clock is ahead of that one's.
async fn later_still(world: &World, objects: Arc<dyn ObjectStore>) -> Table {
    world.aged_table(objects, 3, 0, 41).await
}

/// Steps until there is no more to do at once.
pub(crate) async fn expire(table: &mut Table) -> Result<(u64, u64), TableError> {
    let stop = CancellationToken::new();
    let (mut segments, mut deleted) = (0, 0);
    loop {
        let report = table.expire_journal(DAYS, &stop).await?;
        segments += report.segments;
        deleted += report.deleted_records;
        if !report.more {
            return Ok((segments, deleted));
        }
    }
}

async fn segments(world: &World) -> usize {
    let listed = world.objects.list(Some(&Path::from("journal/segment")));
    listed.try_collect::<Vec<_>>().await.expect("list").len()
}

async fn expired(world: &mut World) -> journal::Expired {
    world.catch_up().await;
    world.state.expired
}

async fn snapshot(world: &World) -> TableSnapshot {
    let store = store::Store::from_objects(Arc::clone(&world.objects), "memory://world");
    TableSnapshot::load(&store, table::TRAIL_DEFAULT).await.expect("load")
}

fn hold(case: &str) -> Hold {
    Hold {
        case: case.to_owned(),
        account: Some("777777777777".parse().expect("an account")),
        principal: None,
        from: None,
        to: None,
        by: "R. Roe".to_owned(),
        why: "subpoena".to_owned(),
    }
}

fn release(case: &str) -> Release {
    let (by, why) = ("R. Roe".to_owned(), "closed".to_owned());
    Release { case: case.to_owned(), by, why }
}

#[tokio::test]
async fn what_is_old_and_in_the_table_leaves_the_journal_and_the_rows_stay() {
    let mut world = world().await;
    let rows = world.contents().await;
    let stop = CancellationToken::new();
    let mut table = later(&world, Arc::clone(&world.objects)).await;
    let unset = table.expire_journal(None, &stop).await.expect("nothing");
    assert_eq!(unset, table::ExpireJournalReport::default(), "no retention is set");
    assert_eq!(expire(&mut table).await.expect("expire"), (20, 22));
    let now = expired(&mut world).await;
    assert_eq!((now.to, now.deleted, now.segments, now.damaged), (22, 22, 20, 0));
    assert_eq!(segments(&world).await, 3);
    assert_eq!(expire(&mut table).await.expect("expire"), (0, 0), "once");
    // Passes go on, and what they leave at its place is found.
    world.deliver_once(5).await;
    drain(&mut table).await.expect("drain");
    assert!(world.contents().await.is_superset(&rows));
    world.check_drained().await;
    let state = snapshot(&world).await.state().clone();
    assert_eq!(state.journal_expired, 22);
    // An older release does not begin at a checkpoint that says what it does not know.
    let mut knowing = 0;
    for path in world.below("table/state").await {
        let bytes = world.objects.get(&Path::from(path)).await.expect("get").bytes().await;
        let state: serde_json::Value = serde_json::from_slice(&bytes.expect("b")).expect("json");
        assert_eq!(state["format"], 4);
        knowing += u64::from(state.get("journal_expired").is_some());
    }
    assert!(knowing > 0, "checkpoints are made");
}

#[tokio::test]
async fn a_log_that_lets_the_journal_go_where_something_needs_it_is_refused() {
    let world = world().await;
    let mut table = later(&world, Arc::clone(&world.objects)).await;
    let store = store::Store::from_objects(Arc::clone(&world.objects), "memory://world");
    let ledger = ledger::Ledger::new(store, Path::from("trail/default/table/log"));
    let position = table.state().position;
    let let_go = async |to: u64| {
        let head = snapshot(&world).await.state().head;
        let last = ledger.read(head).await.expect("read").expect("a record");
        let body = serde_json::json!({"expire_journal": {"to": to, "retention_days": 30}});
        let appended = ledger.append(&last.head(), [7; 16], last.at, &body).await.expect("append");
        assert!(matches!(appended, ledger::Appended::Ours(_)));
        let store = store::Store::from_objects(Arc::clone(&world.objects), "memory://world");
        let loaded = TableSnapshot::load(&store, table::TRAIL_DEFAULT).await;
        let refused = loaded.err().map(|error| error.to_string());
        if refused.is_some() {
            let path = format!("trail/default/table/log/{:020}.json", head + 1);
            world.objects.delete(&Path::from(path)).await.expect("delete");
        }
        refused.is_some_and(|error| error.contains("which something needs"))
    };
    assert!(let_go(position + 1).await, "it is no row yet");
    table.hold(hold("C-1")).await.expect("hold");
    assert!(let_go(5).await, "a hold stands");
    table.release(release("C-1")).await.expect("release");
    assert!(!let_go(5).await);
    assert!(let_go(5).await, "once");
    table.refresh().await.expect("refresh");
    rebuild_steps(&mut table, 1).await.expect("rebuild");
    assert!(let_go(6).await, "a rebuild is under way");
}

#[tokio::test]
async fn what_is_no_row_yet_stays_however_old_it_is() {
    let mut world = World::new().await;
    world.deliver_once(3).await;
    let mut table = world.table(Arc::clone(&world.objects), 1).await.expect("open");
    drain(&mut table).await.expect("drain");
    world.deliver_once(3).await;
    let mut table = later(&world, Arc::clone(&world.objects)).await;
    expire(&mut table).await.expect("expire");
    assert_eq!((expired(&mut world).await.to, segments(&world).await), (3, 1));
    drain(&mut table).await.expect("drain");
    world.check_drained().await;
    expire(&mut table).await.expect("expire");
    assert!(expired(&mut world).await.to >= 4);
}

#[tokio::test]
async fn any_hold_stops_it_and_whatever_had_expired_is_deleted_after_its_release_only() {
    let mut world = world().await;
    let stop = CancellationToken::new();
    let mut table = later(&world, Arc::clone(&world.objects)).await;
    table.hold(hold("C-1")).await.expect("hold");
    assert_eq!(expire(&mut table).await.expect("expire"), (0, 0));
    assert_eq!(expired(&mut world).await, journal::Expired::default());
    table.release(release("C-1")).await.expect("release");
    let first = table.expire_journal(DAYS, &stop).await.expect("expire");
    assert_eq!((first.segments, first.deleted_records, first.more), (20, 0, true));
    let mut other = later(&world, Arc::clone(&world.objects)).await;
    other.hold(hold("C-2")).await.expect("hold");
    assert_eq!(expire(&mut table).await.expect("expire"), (0, 0));
    assert_eq!((expired(&mut world).await.to, segments(&world).await), (22, 23));
    table.release(release("C-2")).await.expect("release");
    assert_eq!(expire(&mut table).await.expect("expire"), (0, 22));
    assert_eq!(segments(&world).await, 3);
}

/// A hold that comes while segments are being deleted keeps those that are left.
#[tokio::test]
async fn a_hold_between_two_deletions_keeps_what_is_left() {
    let mut world = world().await;
    let stop = CancellationToken::new();
    let mut table = later(&world, Arc::clone(&world.objects)).await;
    table.expire_journal(DAYS, &stop).await.expect("expire");
    // It dies after three deletions.
    let dying = Faulty::new(Arc::clone(&world.objects), Fault::DieAfter, 2);
    let mut dying = later_still(&world, Arc::new(dying)).await;
    dying.expire_journal(DAYS, &stop).await.expect_err("it dies");
    let left = segments(&world).await;
    assert!((4..23).contains(&left), "{left}");
    let mut table = later_still(&world, Arc::clone(&world.objects)).await;
    table.hold(hold("C-1")).await.expect("hold");
    assert_eq!(expire(&mut table).await.expect("expire"), (0, 0));
    assert_eq!(segments(&world).await, left);
    let now = expired(&mut world).await;
    assert_eq!((now.to, now.deleted), (22, 0));
    table.release(release("C-1")).await.expect("release");
    assert_eq!(expire(&mut table).await.expect("expire"), (0, 22));
    assert_eq!(segments(&world).await, 3);
}

/// The table's log is read again before each few deletions, however lately it was read.
#[tokio::test]
async fn a_hold_that_comes_when_deleting_has_begun_is_seen_before_the_first_deletion() {
    let mut world = world().await;
    let mut table = later(&world, Arc::clone(&world.objects)).await;
    table.expire_journal(DAYS, &CancellationToken::new()).await.expect("expire");
    // The clock is asked how old records are, and then whether deletion is due.
    let asked = AtomicU64::new(0);
    let holder = Mutex::new(later(&world, Arc::clone(&world.objects)).await);
    let now = "2027-01-01T12:00:00Z".parse().expect("a time");
    let clock = Clock::new(move || {
        if asked.fetch_add(1, Ordering::SeqCst) == 1 {
            let mut holder = holder.lock().expect("alone");
            let held = holder.hold(hold("C-1")).now_or_never().expect("memory answers at once");
            held.expect("hold");
        }
        now
    });
    let mut deleting = world.clocked_table(clock, 0).await;
    assert_eq!(expire(&mut deleting).await.expect("expire"), (0, 0));
    assert_eq!(deleting.state().holds().count(), 1, "it came in between");
    assert_eq!((expired(&mut world).await.deleted, segments(&world).await), (0, 23));
}

#[tokio::test]
async fn segments_stay_for_those_who_read_them_until_their_time_to_stay_is_over() {
    let mut world = world().await;
    let mut table = world.patient_table(40, 3_600).await;
    assert_eq!(expire(&mut table).await.expect("expire"), (20, 0));
    assert_eq!((expired(&mut world).await.deleted, segments(&world).await), (0, 23));
    let mut table = world.patient_table(41, 3_600).await;
    assert_eq!(expire(&mut table).await.expect("expire"), (0, 22));
}

#[tokio::test]
async fn a_process_that_dies_anywhere_leaves_what_the_next_one_finishes() {
    for fault in [Fault::DieBefore, Fault::DieAfter, Fault::FailBefore, Fault::FailAfter] {
        for operation in 0.. {
            let mut world = world().await;
            let rows = world.contents().await;
            let faulty = Faulty::new(Arc::clone(&world.objects), fault, operation);
            let mut table = later(&world, Arc::new(faulty.clone())).await;
            if let Err(error) = expire(&mut table).await {
                assert!(error.is_retryable(), "{fault:?} at {operation}: {error:?}");
            }
            let at = format!("{fault:?} at {operation}");
            let now = expired(&mut world).await;
            let let_go = snapshot(&world).await.state().journal_expired;
            assert!(now.deleted <= now.to && now.to <= let_go, "{at}: {now:?}, {let_go}");
            assert!(now.to == 22 || segments(&world).await == 23, "{at}");
            assert_eq!(now.damaged, 0, "{at}");
            let mut next = later_still(&world, Arc::clone(&world.objects)).await;
            expire(&mut next).await.expect("expire");
            let now = expired(&mut world).await;
            assert_eq!((now.to, now.deleted, now.segments), (22, 22, 20), "{at}");
            assert_eq!(segments(&world).await, 3, "{at}");
            assert_eq!(world.contents().await, rows, "{at}");
            if !faulty.was_hit() {
                break;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_rebuild_keeps_the_journal_and_one_that_comes_later_says_what_has_expired() {
    let mut world = world().await;
    let rows = world.contents().await;
    let mut table = later(&world, Arc::clone(&world.objects)).await;
    assert!(rebuild_steps(&mut table, 1).await.expect("rebuild").more);
    assert_eq!(expire(&mut table).await.expect("expire"), (0, 0));
    assert_eq!(segments(&world).await, 23);
    let report = rebuild_steps(&mut table, u64::MAX).await.expect("rebuild");
    assert_eq!((report.more, report.journal_expired, report.left.len()), (false, 0, 0));
    expire(&mut table).await.expect("expire");
    // Days of which all rows are young: they can be made again.
    world.catch_up().await;
    let estimate = table.estimate_rebuild().await.expect("estimate");
    assert!(estimate.units > 0 && estimate.units < 100, "{estimate:?}");
    let report = rebuild_steps(&mut table, u64::MAX).await.expect("rebuild");
    let units = expired(&mut world).await.units;
    assert_eq!((report.journal_expired, report.lost_units), (units, 0));
    assert!(!report.left.is_empty());
    let says = |why: &str| why.contains("segments up to its record 22 have expired by retention");
    assert!(report.left.iter().all(|left| says(&left.why)), "{:?}", report.left);
    assert_eq!(world.contents().await, rows);
    drain(&mut table).await.expect("drain");
    world.check_drained().await;
}

/// A table that is made anew has not what expired before: its units are accounted for.
#[tokio::test(start_paused = true)]
async fn a_table_that_is_made_anew_says_which_units_had_expired() {
    let mut world = world().await;
    let mut table = later(&world, Arc::clone(&world.objects)).await;
    expire(&mut table).await.expect("expire");
    let trail: Vec<_> =
        world.objects.list(Some(&Path::from("trail"))).try_collect().await.expect("l");
    for object in trail {
        world.objects.delete(&object.location).await.expect("delete");
    }
    let mut table = later(&world, Arc::clone(&world.objects)).await;
    drain(&mut table).await.expect("drain");
    let units = expired(&mut world).await.units;
    let totals = snapshot(&world).await.totals().clone();
    assert!(totals.counts.close());
    assert_eq!(totals.reasons.get("segment_expired"), Some(&units));
    assert_eq!(totals.reasons.get("segment_missing"), None);
    expire(&mut table).await.expect("nothing is left to do");
}
