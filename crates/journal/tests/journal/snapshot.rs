//! What reading from anywhere costs.

use std::sync::Arc;

use futures::TryStreamExt;
use journal::{Body, Journal};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use seam::{Blocking, Clock, Entropy};
use store::Store;

use crate::world::World;

async fn snapshots(world: &World) -> Vec<u64> {
    let listed = world.objects.list(Some(&Path::from("journal/snapshot")));
    let objects: Vec<_> = listed.try_collect().await.expect("list");
    let number = |path: &Path| path.filename()?.strip_suffix(".json")?.parse().ok();
    let mut numbers: Vec<u64> =
        objects.iter().map(|object| number(&object.location).expect("a number")).collect();
    numbers.sort_unstable();
    numbers
}

#[tokio::test(start_paused = true)]
async fn snapshots_of_late_are_many_and_of_long_ago_few() {
    let mut world = World::new().await;
    while world.state.head < 3_100 {
        world.commit(&Body::default()).await;
    }
    let mut expected: Vec<u64> = (2_080..=3_072).step_by(32).collect();
    expected.splice(0..0, [1_024, 2_048]);
    assert_eq!(snapshots(&world).await, expected);
}

#[tokio::test(start_paused = true)]
async fn a_question_reads_few_records_before_the_place_that_it_asks_about() {
    let mut world = World::new().await;
    while world.state.head < 3_100 {
        world.commit(&Body::default()).await;
    }
    let store =
        Store::from_objects(Arc::clone(&world.objects) as Arc<dyn ObjectStore>, "memory://j");
    let requests = async |number: u64| {
        let store = store.counted_apart();
        let journal =
            Journal::new(store.clone(), Clock::system(), Entropy::system(), Blocking::Inline);
        assert_eq!(journal.fold_to(number).await.expect("fold").head, number);
        store.reads().requests()
    };
    // The listing, the snapshot, the record that vouches for it, and the records behind.
    assert_eq!(requests(3_099).await, 3 + 28);
    assert_eq!(requests(3_071).await, 3);
    assert_eq!(requests(3_070).await, 3 + 31);
    for number in [0, 5, 1_023, 1_500, 2_047, 3_100] {
        let requests = requests(number).await;
        assert!(requests <= 4 + 1_024, "{number}: {requests}");
    }
    // What the listing finds near is damaged, and what is further off serves.
    for number in snapshots(&world).await.into_iter().filter(|number| *number > 1_024) {
        let path = Path::from(format!("journal/snapshot/{number:020}.json"));
        world.objects.delete(&path).await.expect("delete");
    }
    assert_eq!(requests(3_099).await, 4 + 3_099 - 1_023);
}
