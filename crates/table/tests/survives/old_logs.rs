//! What earlier releases have written is read.

use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use arrow::array::AsArray;
use futures::TryStreamExt;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use store::Store;
use table::{Completeness, Filter, TRAIL_DEFAULT, TableSnapshot};
use tokio_util::sync::CancellationToken;

use crate::world::{World, drain};

/// The log of a table before row format 2: no keys of events, no compaction.
#[tokio::test]
async fn a_log_of_the_first_format_is_folded_to_what_it_said() {
    let objects: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/format-1");
    for number in 1..=5 {
        let name = format!("{number:020}.json");
        let bytes = std::fs::read(folder.join(&name)).expect("the fixture");
        let path = Path::from(format!("trail/{TRAIL_DEFAULT}/table/log/{name}"));
        objects.put(&path, bytes.into()).await.expect("put");
    }
    let store = Store::from_objects(objects, "memory://old");
    let snapshot = TableSnapshot::load(&store, TRAIL_DEFAULT).await.expect("load");
    assert_eq!(snapshot.state().head, 5);
    let totals = snapshot.totals();
    assert_eq!((totals.counts.rows, totals.counts.duplicates, totals.compactions), (60, 0, 0));
    assert_eq!(snapshot.state().completeness, Completeness::default(), "nothing was pinned");
    let files: Vec<_> = snapshot.files(Filter::default()).try_collect().await.expect("files");
    assert_eq!(files.len() as u64, totals.files);
    assert_eq!(files.iter().map(|file| file.rows).sum::<u64>(), 60);
}

/// Copies a folder's files into a store, under their paths.
async fn put_all(objects: &dyn ObjectStore, root: &FilePath, folder: &FilePath) {
    for entry in std::fs::read_dir(folder).expect("the fixture") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            Box::pin(put_all(objects, root, &path)).await;
            continue;
        }
        let name = path.strip_prefix(root).expect("below it").to_str().expect("text");
        let bytes = std::fs::read(&path).expect("a file");
        objects.put(&Path::from(name), bytes.into()).await.expect("put");
    }
}

/// How many rows of the table have a list of what they name, and how many have none.
async fn listed(world: &World) -> (usize, usize) {
    let store = Store::from_objects(Arc::clone(&world.objects), "memory://world");
    let snapshot = TableSnapshot::load(&store, TRAIL_DEFAULT).await.expect("load");
    let files: Vec<_> = snapshot.files(Filter::default()).try_collect().await.expect("files");
    let (mut with, mut without) = (0, 0);
    for file in files {
        for batch in world.batches(&Path::from(file.path.as_str())).await {
            let Some(lists) = batch.column_by_name("indicators") else {
                without += batch.num_rows();
                continue;
            };
            let lists = lists.as_list::<i32>();
            let identities = batch.column_by_name("useridentity").expect("a column").as_struct();
            let arns = identities.column_by_name("arn").expect("a member").as_string::<i32>();
            for (list, arn) in lists.iter().zip(arns) {
                let list = list.expect("a list");
                assert!(list.as_string::<i32>().iter().any(|name| name == arn), "{arn:?}");
                with += 1;
            }
        }
    }
    (with, without)
}

/// A store of row format 2, whose files have no lists of what rows name: some settled,
/// and an open intent to settle the rest.
#[tokio::test]
async fn what_row_format_2_began_is_finished_and_its_rows_get_their_lists() {
    let mut world = World::new().await;
    world.deliver(12).await;
    world.deliver(13).await;
    world.objects = Arc::new(InMemory::new());
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/format-2");
    put_all(&*world.objects, &root, &root).await;
    world.check_snapshot().await;
    assert_eq!(listed(&world).await, (0, 25));
    let mut table = world.table(Arc::clone(&world.objects), 3).await.expect("open");
    assert!(table.state().open.is_some() && !table.state().fresh.is_empty());

    drain(&mut table).await.expect("drain");
    world.check_drained().await;
    let (with, without) = listed(&world).await;
    assert!(with >= 13 && with + without == 25, "{with} and {without}");

    // An index is made of both kinds of files.
    let stop = CancellationToken::new();
    let mut later = world.aged_table(Arc::clone(&world.objects), 4, 0, 3).await;
    while later.index(u64::MAX, &stop).await.expect("index").more {}
    assert_eq!(world.check_index().await, 0);

    let report = table.rebuild(&stop, &|_| {}).await.expect("rebuild");
    assert!(report.left.is_empty(), "{report:?}");
    world.check_snapshot().await;
    assert_eq!(listed(&world).await, (25, 0));
}

/// The list follows from a row's other columns: a pass that pinned row format 2 gives rows with
/// lists too, whoever finishes it.
#[tokio::test]
async fn passes_of_every_row_format_give_rows_with_lists() {
    for row_format in 1..=3 {
        let mut world = World::new().await;
        world.deliver_once(20).await;
        let limits = table::Limits { row_format, ..crate::world::limits() };
        let objects = Arc::clone(&world.objects);
        let mut table = world.table_with("memory://world", objects, 2, limits).await.expect("open");
        drain(&mut table).await.expect("drain");
        world.check_drained().await;
        assert_eq!(listed(&world).await, (20, 0), "row format {row_format}");
    }
}
