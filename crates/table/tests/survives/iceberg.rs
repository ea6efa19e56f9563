//! What is published for Iceberg's readers is whole, and nothing old stays.

use std::collections::BTreeSet;
use std::sync::Arc;

use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use table::{SettleReason, Table, TableError};
use tokio_util::sync::CancellationToken;

use crate::faulty::{Fault, Faulty};
use crate::world::{World, drain};

/// A process whose store others can name.
async fn open(world: &World, objects: Arc<dyn ObjectStore>) -> Result<Table, TableError> {
    world.table_at("s3://bucket/prefix", objects, 1).await
}

/// The objects that are published, without the hashes in their names.
async fn published(world: &World) -> BTreeSet<String> {
    let names = world.below("iceberg/metadata").await.into_iter().map(|path| {
        let name = path.rsplit('/').next().unwrap_or_default().to_owned();
        match name.strip_suffix(".avro").and_then(|name| name.rsplit_once('-')) {
            Some((name, _)) => name.to_owned(),
            None => name,
        }
    });
    names.collect()
}

/// What there is when all of the table as of its last record is published.
async fn all_of(world: &World, table: &Table) -> BTreeSet<String> {
    let record = table.state().head;
    let mut names: BTreeSet<String> =
        [format!("snap-{record}"), format!("v{record}.metadata.json"), "version-hint.text".into()]
            .into();
    names.extend(world.check_snapshot().await.dates().map(|date| date.to_string()));
    names.extend((!table.state().fresh.is_empty()).then(|| "fresh".to_owned()));
    names
}

#[tokio::test]
async fn each_state_is_published_once_and_the_one_before_goes() {
    let mut world = World::new().await;
    let stop = CancellationToken::new();
    let mut table = open(&world, Arc::clone(&world.objects)).await.expect("open");
    for rows in [3, 30, 2] {
        world.deliver(rows).await;
        table.pass(&stop).await.expect("pass");
        assert!(table.publish().await.expect("publish"), "{rows} rows more");
        assert_eq!(published(&world).await, all_of(&world, &table).await);
        assert!(!table.publish().await.expect("publish"), "nothing is new");
    }
    table.settle(SettleReason::Age).await.expect("settle");
    assert!(table.publish().await.expect("publish"));
    assert_eq!(published(&world).await, all_of(&world, &table).await);
    let hint = Path::from("trail/default/iceberg/metadata/version-hint.text");
    let hint = world.objects.get(&hint).await.expect("get").bytes().await.expect("bytes");
    let number = String::from_utf8(hint.to_vec()).expect("text");
    let metadata = format!("trail/default/iceberg/metadata/v{number}.metadata.json");
    let bytes = world.objects.get(&Path::from(metadata)).await.expect("get").bytes().await;
    let told: serde_json::Value = serde_json::from_slice(&bytes.expect("bytes")).expect("json");
    assert_eq!(told["location"], "s3://bucket/prefix/trail/default/iceberg");
    let rows = world.check_snapshot().await.totals().counts.rows.to_string();
    assert_eq!(told["snapshots"][0]["summary"]["total-records"], rows);
}

#[tokio::test]
async fn whatever_fails_the_next_publishing_is_whole_and_alone() {
    let faults = [Fault::DieBefore, Fault::DieAfter, Fault::FailBefore, Fault::FailAfter];
    let mut hits = 0;
    for fault in faults {
        for operation in 0.. {
            let mut world = World::new().await;
            world.deliver(20).await;
            let mut table = open(&world, Arc::clone(&world.objects)).await.expect("open");
            drain(&mut table).await.expect("drain");
            table.publish().await.expect("publish");
            world.deliver(9).await;
            drain(&mut table).await.expect("drain");
            let faulty = Faulty::new(Arc::clone(&world.objects), fault, operation);
            let failing: Arc<dyn ObjectStore> = Arc::new(faulty.clone());
            if let Ok(mut failing) = open(&world, failing).await {
                drop(failing.publish().await);
                // Whoever lives tries again.
                drop(failing.publish().await);
            }
            world.deliver(1).await;
            let mut last = open(&world, Arc::clone(&world.objects)).await.expect("open");
            drain(&mut last).await.expect("drain");
            assert!(last.publish().await.expect("publish"));
            assert_eq!(published(&world).await, all_of(&world, &last).await, "{fault:?}");
            if !faulty.was_hit() {
                break;
            }
            hits += 1;
        }
    }
    assert!(hits > 20, "{hits} operations failed");
}
