//! Segments of the journal that are gone or are not what was committed.

use std::sync::Arc;

use object_store::ObjectStoreExt;
use object_store::path::Path;
use table::{Table, TableError};

use crate::faulty::{Fault, Faulty};
use crate::world::{World, drain};

async fn world() -> World {
    let mut world = World::new().await;
    for rows in [14, 9, 17, 3] {
        world.deliver_once(rows).await;
    }
    world
}

async fn table(world: &World) -> Result<Table, TableError> {
    world.table(Arc::clone(&world.objects), 2).await
}

/// The pass takes its units into quarantine under that reason, and what lies
/// before and behind becomes rows as ever: the sum closes.
#[tokio::test(start_paused = true)]
async fn units_of_a_lost_segment_are_in_quarantine_and_the_pass_goes_on() {
    for (missing, reason) in [(true, "segment_missing"), (false, "segment_damaged")] {
        let mut world = world().await;
        let (path, whole) = world.lose(4).await;
        if !missing {
            let cut = whole.slice(..whole.len() / 2);
            world.objects.put(&path, cut.into()).await.expect("put");
        }
        let mut table = table(&world).await.expect("open");
        drain(&mut table).await.expect("drain");
        world.check_drained().await;

        let totals = &table.state().totals;
        assert_eq!(totals.reasons[reason], 12, "nine rows and three that were none");
        let damage = &totals.damage;
        assert_eq!((damage.segments, damage.units), (1, 12));
        let named = &damage.first[0];
        assert_eq!((named.record, named.segment.as_str()), (4, path.as_ref()));
        let lost: Vec<(u64, u64)> =
            named.lost.iter().map(|batch| (batch.first, batch.last)).collect();
        assert_eq!(lost, [(15, 23), (5, 8)], "the sequences of both streams");
    }
}

/// What an intent pinned as lost stays lost for whoever finishes it, though the
/// bytes are back: two processes would otherwise make different rows of it.
#[tokio::test(start_paused = true)]
async fn what_an_intent_pins_as_lost_stays_so_wherever_its_process_dies() {
    for operation in 0..12 {
        let mut world = world().await;
        let (path, whole) = world.lose(4).await;
        let faulty = Faulty::new(Arc::clone(&world.objects), Fault::DieBefore, operation);
        if let Ok(mut table) = world.table(Arc::new(faulty.clone()), 2).await {
            drop(drain(&mut table).await);
        }
        let began = table(&world).await.expect("open").state().head > 0;
        if began {
            world.objects.put(&path, whole.into()).await.expect("put");
        }
        let mut table = table(&world).await.expect("open");
        drain(&mut table).await.expect("the next process finishes");
        let pinned = table.state().totals.damage.segments;
        assert!(pinned == 1 || began, "operation {operation}");
        if pinned == 1 {
            world.check_drained().await;
        }
    }
}

/// Damage that comes between an intent and its commit is named, and waits for
/// the object instead of making other rows than were pinned.
#[tokio::test(start_paused = true)]
async fn damage_that_comes_inside_a_pass_is_named_and_mended_by_the_object() {
    let world = world().await;
    let faulty = Faulty::new(Arc::clone(&world.objects), Fault::DieBefore, 1);
    let mut dying = world.table(Arc::new(faulty), 2).await.expect("open");
    drop(drain(&mut dying).await);
    assert!(table(&world).await.expect("open").state().open.is_some());

    let record: serde_json::Value = {
        let path = Path::from(format!("journal/log/{:020}.json", 3));
        let bytes = world.objects.get(&path).await.expect("get").bytes().await.expect("bytes");
        serde_json::from_slice(&bytes).expect("json")
    };
    let path = Path::from(record["segment"]["path"].as_str().expect("a path"));
    let whole = world.objects.get(&path).await.expect("get").bytes().await.expect("bytes");
    world.objects.delete(&path).await.expect("delete");
    let mut next = table(&world).await.expect("open");
    let error = drain(&mut next).await.expect_err("it cannot be finished by what it pins");
    assert!(error.is_retryable());
    let said = error.to_string();
    assert!(said.contains(path.as_ref()) && said.contains("record 3"), "{said}");

    world.objects.put(&path, whole.into()).await.expect("put");
    drain(&mut next).await.expect("mended");
    world.check_drained().await;
}
