//! What earlier releases have written is read.

use std::path::PathBuf;
use std::sync::Arc;

use futures::TryStreamExt;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use store::Store;
use table::{Completeness, Filter, TRAIL_DEFAULT, TableSnapshot};

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
