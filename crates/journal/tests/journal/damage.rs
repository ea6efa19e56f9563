//! What reading survives: records, segments and snapshots that are damaged or gone.

use std::sync::Arc;
use std::time::Duration;

use journal::{Body, Delivered};
use object_store::ObjectStoreExt;
use object_store::path::Path;

use crate::world::World;

fn lines(delivered: &Delivered) -> Vec<&[u8]> {
    delivered.batches.iter().map(|batch| batch.lines.as_ref()).collect()
}

#[tokio::test(start_paused = true)]
async fn any_changed_byte_of_a_segment_loses_its_units_and_is_said_and_reading_goes_on() {
    let mut world = World::new().await;
    world.deliver().await;
    world.deliver().await;
    let path = world.segment(2).await;
    let whole = world.bytes(&path).await;
    let mut changed: Vec<Vec<u8>> = (0..whole.len())
        .flat_map(|at| {
            [0x01, 0xff].map(|change| {
                let mut bytes = whole.clone();
                bytes[at] ^= change;
                bytes
            })
        })
        .collect();
    changed.extend((0..whole.len()).map(|cut| whole[..cut].to_vec()));
    for bytes in changed {
        world.put(&path, bytes).await;
        let all = world.read().await;
        let damage = all[1].damage.as_ref().expect("damage is said");
        assert!(!damage.missing && damage.path == path.as_ref(), "{damage:?}");
        let batch = &all[1].batches[0];
        assert_eq!((batch.first_sequence, batch.line_count, batch.units), (1, 2, 2));
        // A flag of the frame may change nothing of what it inflates to.
        assert!(batch.lost == batch.lines.is_empty());
        assert!(batch.lost || batch.lines == "{\"event\":1}\n{\"event\":2}\n");
        assert_eq!(lines(&all[2]), [b"{\"event\":3}\n{\"event\":4}\n"]);
        assert_eq!(all[2].damage, None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_missing_segment_loses_its_units_and_one_that_comes_late_loses_nothing() {
    let mut world = World::new().await;
    world.deliver().await;
    world.deliver().await;
    let path = world.segment(2).await;
    let whole = world.bytes(&path).await;
    world.objects.delete(&path).await.expect("delete");
    let all = world.read().await;
    assert!(all[1].damage.as_ref().is_some_and(|damage| damage.missing));
    assert!(all[1].batches[0].lost);
    assert!(!all[2].batches[0].lost);

    let (objects, late) = (Arc::clone(&world.objects), path.clone());
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(async move {
        tokio::time::sleep(Duration::from_secs(1)).await;
        objects.put(&late, whole.into()).await.expect("put");
    });
    let all = world.read().await;
    assert_eq!(all[1].damage, None, "a store that lists late is asked again");
    assert_eq!(lines(&all[1]), [b"{\"event\":1}\n{\"event\":2}\n"]);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_added_behind_a_damaged_record_and_readers_answer_up_to_it() {
    let mut world = World::new().await;
    for _ in 0..4 {
        world.deliver().await;
    }
    let path = World::record(3);
    let whole = world.bytes(&path).await;
    for at in 0..whole.len() {
        for change in [0x01, 0xff] {
            let mut bytes = whole.clone();
            bytes[at] ^= change;
            world.put(&path, bytes).await;
            let error = world.journal.fold().await.expect_err("nothing may be added");
            assert!(error.is_damage() && !error.is_retryable(), "byte {at}: {error:?}");
            let said = format!("{error:?}");
            let next = World::record(4);
            let names = [path.as_ref(), next.as_ref(), "number: 3"];
            assert!(names.iter().any(|name| said.contains(name)), "byte {at}: {said}");
            let (state, damage) = world.journal.fold_readable().await.expect("readable");
            assert!(damage.is_some());
            assert!(state.head == 2 || state.head == 3, "byte {at}: {}", state.head);
        }
    }
    for cut in 0..whole.len() {
        world.put(&path, whole[..cut].to_vec()).await;
        let (state, damage) = world.journal.fold_readable().await.expect("readable");
        assert_eq!((state.head, damage.is_some()), (2, true), "cut at {cut}");
    }
    world.put(&path, whole).await;
    assert_eq!(world.journal.fold().await.expect("restored"), world.state);
}

#[tokio::test(start_paused = true)]
async fn a_record_that_is_cut_short_once_is_read_again() {
    let mut world = World::new().await;
    world.deliver().await;
    let path = World::record(2);
    let whole = world.bytes(&path).await;
    world.put(&path, whole[..40].to_vec()).await;
    let (objects, late) = (Arc::clone(&world.objects), path.clone());
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(async move {
        tokio::time::sleep(Duration::from_millis(50)).await;
        objects.put(&late, whole.into()).await.expect("put");
    });
    assert_eq!(world.journal.fold().await.expect("fold").head, 2);
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_that_is_damaged_missing_or_unvouched_costs_reading_and_nothing_else() {
    let mut world = World::new().await;
    while world.state.head < 1_030 {
        world.commit(&Body::default()).await;
    }
    let path = Path::from(format!("journal/snapshot/{:020}.json", 1_024));
    let whole = world.bytes(&path).await;
    let fold = async || world.journal.fold().await.expect("fold");
    assert_eq!(fold().await, world.state);
    for at in (0..whole.len()).step_by(61) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x01;
        world.put(&path, bytes).await;
        assert_eq!(fold().await, world.state, "byte {at}");
    }
    world.put(&path, whole[..whole.len() / 2].to_vec()).await;
    assert_eq!(fold().await, world.state);
    let forged = Path::from(format!("journal/snapshot/{:020}.json", 1_027));
    world.put(&forged, whole.clone()).await;
    assert_eq!(fold().await, world.state, "no record vouches for it");
    world.objects.delete(&path).await.expect("delete");
    assert_eq!(fold().await, world.state);

    // The record that vouches is itself damaged: the fold says which one.
    world.put(&path, whole).await;
    world.put(&World::record(1_024), b"{".to_vec()).await;
    let (state, damage) = world.journal.fold_readable().await.expect("readable");
    assert_eq!(state.head, 1_023);
    assert!(format!("{damage:?}").contains("00000000000000001024.json"), "{damage:?}");
}
