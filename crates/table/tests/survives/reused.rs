//! Rows that share an eventID are marked, all of them, whichever came first.

use std::collections::BTreeSet;
use std::sync::Arc;

use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use store::Store;
use table::{SettleReason, TRAIL_DEFAULT, Table, TableSnapshot};
use tokio_util::sync::CancellationToken;

use crate::faulty::{Fault, Faulty};
use crate::rebuild::rebuild_steps;
use crate::world::{World, drain};

type Places = BTreeSet<(u64, u64)>;

fn event(id: &str, name: &str, region: &str, time: &str) -> Vec<u8> {
    format!(
        "{{\"eventVersion\":\"1.08\",\"eventID\":\"{id}\",\"eventName\":\"{name}\",\
         \"eventTime\":\"{time}\",\"awsRegion\":\"{region}\",\
         \"recipientAccountId\":\"111122223333\"}}"
    )
    .into_bytes()
}

/// An event of the day before yesterday.
fn of(id: &str, name: &str, region: &str) -> Vec<u8> {
    event(id, name, region, "2026-11-18T10:00:00Z")
}

async fn open(world: &World, seed: u64) -> Table {
    world.table(Arc::clone(&world.objects), seed).await.expect("open")
}

/// Passes until nothing waits.
async fn pass(table: &mut Table) {
    let stop = CancellationToken::new();
    while table.pass(&stop).await.expect("pass").is_some() {}
}

async fn snapshot(world: &World) -> TableSnapshot {
    let store = Store::from_objects(Arc::clone(&world.objects), "memory://world");
    TableSnapshot::load(&store, TRAIL_DEFAULT).await.expect("load")
}

/// Rows that wait for their mark, as the state says it.
fn waiting(table: &Table) -> usize {
    let state = serde_json::to_value(table.state()).expect("json");
    let all = state["marks"].as_array().into_iter().flatten();
    all.map(|of| of["rows"].as_array().expect("rows").len()).sum()
}

fn marked(rows: &[((u64, u64), String)]) -> Places {
    let is_marked = |anomalies: &str| {
        let count = anomalies.split(',').filter(|one| *one == "event_id_reused").count();
        assert!(count <= 1, "marked once: {anomalies}");
        count == 1
    };
    rows.iter().filter(|(_, anomalies)| is_marked(anomalies)).map(|(place, _)| *place).collect()
}

/// The settled rows with a mark, of so many.
async fn marked_of(world: &World, rows: usize) -> Places {
    let places = world.places().await;
    assert_eq!(places.len(), rows);
    marked(&places)
}

/// One eventID in three regions, and rows beside it; nothing is marked yet but what came
/// later. Gives the places of the three.
async fn world() -> (World, Table, Places) {
    let mut world = World::new().await;
    let mut table = open(&world, 1).await;
    let mut places = Places::new();
    for (name, region) in [("A", "eu-west-1"), ("B", "us-east-1"), ("C", "ap-south-1")] {
        places.insert((world.head() + 1, 0));
        let beside = of(&format!("beside-{name}"), "X", region);
        world.deliver_lines(vec![of("e1", name, region), beside]).await;
        pass(&mut table).await;
        table.settle(SettleReason::Asked).await.expect("settle");
    }
    (world, table, places)
}

#[tokio::test]
async fn the_earlier_row_of_another_partition_is_marked_by_its_next_compaction() {
    let (world, mut table, places) = world().await;
    let before = world.contents().await;
    let first = *places.first().expect("three");
    assert!(!marked_of(&world, 6).await.contains(&first), "its file was not written since");
    assert_eq!(waiting(&table), 1, "the second has its mark, since it came later");
    drain(&mut table).await.expect("drain");
    assert_eq!(marked_of(&world, 6).await, places);
    assert_eq!(waiting(&table), 0);
    let after = world.contents().await;
    assert_eq!(after.len(), before.len());
    assert_eq!(after.difference(&before).count(), 1, "nothing else is another");
    let files = world.below("events").await;
    drain(&mut table).await.expect("drain");
    assert_eq!(world.below("events").await, files, "and once is enough");
}

#[tokio::test]
async fn a_row_in_a_fresh_file_gets_its_mark_when_it_is_settled() {
    let mut world = World::new().await;
    let mut table = open(&world, 1).await;
    let first = world.head() + 1;
    world.deliver_lines(vec![of("e1", "A", "eu-west-1"), of("e2", "X", "eu-west-1")]).await;
    pass(&mut table).await;
    world.deliver_lines(vec![of("e1", "B", "eu-west-1")]).await;
    pass(&mut table).await;
    assert_eq!(waiting(&table), 1);
    table.settle(SettleReason::Asked).await.expect("settle");
    assert_eq!(marked_of(&world, 3).await, [(first, 0), (first + 1, 0)].into());
    assert_eq!(waiting(&table), 0);
}

#[tokio::test]
async fn an_event_of_another_time_of_its_day_is_found_and_one_of_another_day_is_not() {
    let mut world = World::new().await;
    let mut table = open(&world, 1).await;
    let first = world.head() + 1;
    for time in ["2026-11-18T10:00:00Z", "2026-11-18T23:59:59Z", "2026-11-19T00:00:00Z"] {
        world.deliver_lines(vec![event("e1", "A", "eu-west-1", time)]).await;
        drain(&mut table).await.expect("drain");
    }
    assert_eq!(marked_of(&world, 3).await, [(first, 0), (first + 1, 0)].into());
}

/// An event from the future lies under 1970-01-01.
#[tokio::test]
async fn an_event_from_the_future_is_marked_when_its_day_has_come() {
    let mut world = World::new().await;
    let mut table = open(&world, 2).await;
    let first = world.head() + 1;
    world.deliver_lines(vec![event("e1", "A", "eu-west-1", "2026-11-22T00:00:00Z")]).await;
    world.deliver_lines(vec![event("e1", "A", "eu-west-1", "2026-11-25T00:00:00Z")]).await;
    drain(&mut table).await.expect("drain");
    let both: Places = [(first, 0), (first + 1, 0)].into();
    assert_eq!(marked_of(&world, 2).await, both, "they are of one date");
    world.pass_days(3);
    world.deliver_lines(vec![event("e1", "B", "eu-west-1", "2026-11-22T00:00:00Z")]).await;
    world.deliver_lines(vec![event("e2", "B", "eu-west-1", "2026-11-22T00:00:00Z")]).await;
    drain(&mut table).await.expect("drain");
    assert_eq!(marked_of(&world, 4).await.len(), 3);
}

#[tokio::test]
async fn a_copy_of_the_day_is_made_anew_with_the_mark() {
    let mut world = World::new().await;
    let mut table = open(&world, 1).await;
    let stop = CancellationToken::new();
    let lines = [("e1", "eu-west-1"), ("e2", "us-east-1"), ("e3", "ap-south-1")];
    let first = world.head() + 1;
    world.deliver_lines(lines.iter().map(|(id, region)| of(id, "A", region)).collect()).await;
    drain(&mut table).await.expect("drain");
    let derive = async |table: &mut Table| {
        assert!(!table.index(u64::MAX, &stop).await.expect("index").more);
        assert!(!table.copy_days(u64::MAX, &stop).await.expect("copy").more);
    };
    derive(&mut table).await;
    assert!(world.check_copies().await > 0);
    world.deliver_lines(vec![of("e2", "B", "eu-west-1")]).await;
    drain(&mut table).await.expect("drain");
    let in_copies = async || {
        let snapshot = snapshot(&world).await;
        let parts = snapshot.dates().flat_map(|date| snapshot.copies_of(date).to_vec());
        let paths: Vec<Path> = parts.map(|part| Path::from(part.file.path.as_str())).collect();
        world.places_in(&paths).await
    };
    let left = in_copies().await;
    assert!(left.iter().all(|(place, _)| *place != (first, 1)), "its copy is dropped: {left:?}");
    derive(&mut table).await;
    world.check_copies().await;
    let copied = in_copies().await;
    assert!(copied.iter().any(|(place, _)| *place == (first, 1)), "and made again");
    let settled = world.places().await;
    assert!(copied.iter().all(|row| settled.contains(row)), "{copied:?}");
    world.check_index().await;
}

#[tokio::test(start_paused = true)]
async fn a_rebuild_marks_the_same_rows_whether_they_had_their_mark_or_not() {
    for compacted in [false, true] {
        let (mut world, mut table, places) = world().await;
        if compacted {
            drain(&mut table).await.expect("drain");
        }
        let report = rebuild_steps(&mut table, u64::MAX).await.expect("rebuild");
        assert_eq!((report.left.len(), report.lost_units), (0, 0));
        assert_eq!(marked(&world.places().await), places, "compacted: {compacted}");
        let rows = world.contents().await;
        drain(&mut table).await.expect("drain");
        assert_eq!(marked_of(&world, 6).await, places);
        assert_eq!(world.contents().await, rows, "what waited for compaction is there already");
        assert_eq!(waiting(&table), 0);
        // What comes while a rebuild is under way marks rows of before, too.
        assert!(rebuild_steps(&mut table, 1).await.expect("rebuild").more);
        let late = world.head() + 1;
        world.deliver_lines(vec![of("beside-A", "Y", "eu-west-1")]).await;
        drain(&mut table).await.expect("drain");
        let report = rebuild_steps(&mut table, u64::MAX).await.expect("rebuild");
        assert_eq!((report.left.len(), report.more), (0, false));
        drain(&mut table).await.expect("drain");
        let now = marked_of(&world, 7).await;
        assert!(now.contains(&(places.first().expect("three").0, 1)), "{now:?}");
        assert!(now.contains(&(late, 0)) && now.len() == 5, "{now:?}");
        assert_eq!(waiting(&table), 0);
    }
}

/// The first rules named no earlier rows.
#[tokio::test(start_paused = true)]
async fn a_pass_that_an_earlier_release_began_is_finished_by_its_rules_and_a_rebuild_marks_all() {
    let mut world = World::new().await;
    let mut table = open(&world, 1).await;
    let first = world.head() + 1;
    world.deliver_lines(vec![of("e1", "A", "eu-west-1")]).await;
    drain(&mut table).await.expect("drain");
    world.deliver_lines(vec![of("e1", "B", "eu-west-1")]).await;
    let store = Store::from_objects(Arc::clone(&world.objects), "memory://world");
    let ledger = ledger::Ledger::new(store, Path::from("trail/default/table/log"));
    let head = table.state().head;
    let last = ledger.read(head).await.expect("read").expect("a record");
    let body = serde_json::json!({"pass_intent": {
        "from": table.state().position + 1, "to": world.head(), "trail_version": 1,
        "row_format": 2, "partition_rows_min": 8,
    }});
    let appended = ledger.append(&last.head(), [7; 16], last.at, &body).await.expect("append");
    assert!(matches!(appended, ledger::Appended::Ours(_)));
    let mut table = open(&world, 2).await;
    drain(&mut table).await.expect("drain");
    assert_eq!(marked_of(&world, 2).await, [(first + 1, 0)].into());
    rebuild_steps(&mut table, u64::MAX).await.expect("rebuild");
    drain(&mut table).await.expect("drain");
    assert_eq!(marked_of(&world, 2).await, [(first, 0), (first + 1, 0)].into());
}

/// A state object names what waits, and an older release does not begin there.
#[tokio::test]
async fn what_waits_for_its_mark_outlives_a_checkpoint() {
    let (mut world, mut table, places) = world().await;
    let checkpoint = serde_json::to_value(table.state()).expect("json")["checkpoint"].clone();
    for number in 0..8 {
        world.deliver_lines(vec![of(&format!("more-{number}"), "X", "eu-west-1")]).await;
        pass(&mut table).await;
    }
    let state = serde_json::to_value(table.state()).expect("json");
    assert!(state["checkpoint"].as_u64() > checkpoint.as_u64());
    let path = Path::from(
        state["states"].as_array().expect("two").last().expect("one").as_str().expect("a path"),
    );
    let bytes = world.objects.get(&path).await.expect("get").bytes().await.expect("bytes");
    let object: serde_json::Value = serde_json::from_slice(&bytes).expect("json");
    assert_eq!(
        (&object["format"], object["marks"][0]["rows"].to_string()),
        (&4.into(), format!("[[{},0]]", places.first().expect("three").0))
    );
    let mut next = open(&world, 9).await;
    assert_eq!(next.state(), table.state());
    drain(&mut next).await.expect("drain");
    assert_eq!(marked_of(&world, 14).await, places);
}

#[tokio::test]
async fn with_the_last_file_of_a_day_go_the_marks_that_wait() {
    let (world, table, _) = world().await;
    assert_eq!(waiting(&table), 1);
    let stop = CancellationToken::new();
    let mut old = world.aged_table(Arc::clone(&world.objects), 2, 30, 40).await;
    assert_eq!(old.expire(u64::MAX, &stop).await.expect("expire").rows, 6);
    assert_eq!(waiting(&old), 0);
    drain(&mut old).await.expect("drain");
    assert_eq!(world.places().await, []);
}

#[tokio::test]
async fn whatever_fails_all_are_marked_in_the_end_and_no_row_is_lost_or_twice() {
    let faults =
        [Fault::DieBefore, Fault::DieAfter, Fault::FailBefore, Fault::FailAfter, Fault::FailRead];
    let mut hits = 0;
    for fault in faults {
        for operation in 0.. {
            let mut world = World::new().await;
            let mut table = open(&world, 1).await;
            let first = world.head() + 1;
            // One settled, and one fresh.
            world.deliver_lines(vec![of("e1", "A", "eu-west-1"), of("e2", "X", "us-east-1")]).await;
            drain(&mut table).await.expect("drain");
            world.deliver_lines(vec![of("e3", "A", "eu-west-1")]).await;
            pass(&mut table).await;
            world.deliver_lines(vec![of("e1", "B", "us-east-1"), of("e3", "B", "eu-west-1")]).await;
            let faulty = Faulty::new(Arc::clone(&world.objects), fault, operation);
            let objects: Arc<dyn ObjectStore> = Arc::new(faulty.clone());
            if let Ok(mut failing) = world.table(objects, 2).await
                && let Err(error) = drain(&mut failing).await
            {
                assert!(error.is_retryable(), "{fault:?} at {operation}: {error:?}");
                assert!(snapshot(&world).await.totals().counts.close());
                if matches!(fault, Fault::FailBefore | Fault::FailAfter | Fault::FailRead) {
                    drain(&mut failing).await.expect("the same process goes on");
                }
            }
            let mut last = open(&world, 3).await;
            drain(&mut last).await.expect("drain");
            let all: Places = [(first, 0), (first + 1, 0), (first + 2, 0), (first + 2, 1)].into();
            assert_eq!(marked_of(&world, 5).await, all, "{fault:?} at {operation}");
            assert_eq!(waiting(&last), 0);
            if !faulty.was_hit() {
                break;
            }
            hits += 1;
        }
    }
    assert!(hits > 60, "{hits} operations failed");
}
