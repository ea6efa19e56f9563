//! What a local store promises, short of the power cut itself (see
//! `tests/power_cut.rs` for that).

use std::fs::{self, File};
use std::time::{Duration, SystemTime};

use futures::future::join_all;
use object_store::ObjectStoreExt;

use super::*;

fn open(root: &FilePath) -> LocalStore {
    LocalStore::new(root, Entropy::system()).expect("open")
}

fn create() -> PutOptions {
    PutOptions { mode: PutMode::Create, ..PutOptions::default() }
}

async fn names(store: &LocalStore, prefix: Option<&Path>) -> Vec<String> {
    let listed: Vec<ObjectMeta> = store.list(prefix).try_collect().await.expect("list");
    let mut names: Vec<_> = listed.iter().map(|object| object.location.to_string()).collect();
    names.sort();
    names
}

async fn text(store: &LocalStore, path: &str) -> String {
    let found = store.get(&Path::from(path)).await.expect("get");
    String::from_utf8(found.bytes().await.expect("bytes").into()).expect("text")
}

#[tokio::test]
async fn an_object_keeps_its_first_bytes_and_nothing_unfinished_shows() {
    for name in ["plain", "a b#c%20~é", "x=1"] {
        let dir = tempfile::tempdir().expect("temp dir");
        let root = dir.path().join(name).join("deep");
        let store = open(&root);
        let path = Path::from("journal/log/1.json");

        assert!(matches!(store.get(&path).await, Err(Error::NotFound { .. })));
        assert!(names(&store, None).await.is_empty());
        assert!(!root.is_dir(), "reading makes nothing");

        store.put_opts(&path, "one".into(), create()).await.expect("first");
        let second = store.put_opts(&path, "two".into(), create()).await;
        assert!(matches!(second, Err(Error::AlreadyExists { .. })), "{second:?}");
        assert_eq!(text(&store, "journal/log/1.json").await, "one");
        store.put(&path, "three".into()).await.expect("replace");
        assert_eq!(text(&store, "journal/log/1.json").await, "three");

        assert_eq!(names(&store, None).await, ["journal/log/1.json"]);
        assert_eq!(names(&store, Some(&Path::from("journal"))).await, ["journal/log/1.json"]);
        let top = store.list_with_delimiter(None).await.expect("list");
        assert_eq!(top.common_prefixes, [Path::from("journal")]);
        let left = fs::read_dir(root.join(UNFINISHED)).expect("unfinished").count();
        assert_eq!(left, 0, "finished puts leave nothing behind");

        store.delete(&path).await.expect("delete");
        assert!(matches!(store.get(&path).await, Err(Error::NotFound { .. })));
    }
}

#[tokio::test]
async fn of_many_racing_creates_one_wins_also_across_processes() {
    let dir = tempfile::tempdir().expect("temp dir");
    // Two handles share nothing but the directory, as two processes would.
    let stores = [open(dir.path()), open(dir.path())];
    for round in 0..20 {
        let path = Path::from(format!("race/{round}"));
        let racers = (0..16).map(|racer: usize| {
            let store = stores.get(racer % 2).expect("two stores");
            store.put_opts(&path, format!("racer {racer}").into(), create())
        });
        let outcomes = join_all(racers).await;
        let winners: Vec<_> =
            (0..16).filter(|racer| outcomes.get(*racer).expect("16").is_ok()).collect();
        assert_eq!(winners.len(), 1, "round {round}");
        assert!(
            outcomes
                .iter()
                .all(|outcome| { matches!(outcome, Ok(_) | Err(Error::AlreadyExists { .. })) })
        );
        let kept = text(stores.first().expect("one"), path.as_ref()).await;
        assert_eq!(kept, format!("racer {}", winners.first().expect("one")));
    }
}

#[tokio::test]
async fn leftovers_are_swept_when_a_day_old_and_are_never_objects() {
    let dir = tempfile::tempdir().expect("temp dir");
    let unfinished = dir.path().join(UNFINISHED);
    fs::create_dir(&unfinished).expect("create");
    for (name, age_secs) in [("old", 25 * 3600), ("young", 3600)] {
        let file = File::create(unfinished.join(name)).expect("create");
        #[expect(clippy::disallowed_methods, reason = "the age of a real file")]
        let then = SystemTime::now() - Duration::from_secs(age_secs);
        file.set_modified(then).expect("age");
    }
    let store = open(dir.path());
    assert!(names(&store, None).await.is_empty());
    let inside = Path::from(".tmp/young");
    assert!(matches!(store.get(&inside).await, Err(Error::NotSupported { .. })));
    assert!(store.put(&inside, "x".into()).await.is_err());
    assert!(store.delete(&inside).await.is_err());
    assert_eq!(fs::read_dir(&unfinished).expect("list").count(), 2, "opening sweeps nothing");

    store.put(&Path::from("x"), "x".into()).await.expect("put");
    assert!(unfinished.join("young").is_file(), "may belong to a put under way");
    assert!(!unfinished.join("old").is_file());
}

#[tokio::test]
async fn a_directory_that_vanished_is_made_again() {
    let dir = tempfile::tempdir().expect("temp dir");
    let store = open(&dir.path().join("store"));
    store.put(&Path::from("a/b/1"), "1".into()).await.expect("put");
    fs::remove_dir_all(dir.path().join("store")).expect("remove");
    store.put(&Path::from("a/b/2"), "2".into()).await.expect("put");
    assert_eq!(names(&store, None).await, ["a/b/2"]);
}

#[tokio::test]
async fn copies_and_renames_keep_create_only() {
    let dir = tempfile::tempdir().expect("temp dir");
    let store = open(dir.path());
    let [one, two, three] = ["d/one", "e/two", "f/three"].map(Path::from);
    store.put(&one, "1".into()).await.expect("put");
    store.put(&two, "2".into()).await.expect("put");
    let taken = store.copy_if_not_exists(&one, &two).await;
    assert!(matches!(taken, Err(Error::AlreadyExists { .. })), "{taken:?}");
    store.copy_if_not_exists(&one, &three).await.expect("copy");
    store.put(&one, "other".into()).await.expect("replace");
    assert_eq!(text(&store, "f/three").await, "1", "a copy is not the same object");
    store.rename(&three, &two).await.expect("rename");
    assert_eq!(text(&store, "e/two").await, "1");
    let absent = store.copy(&three, &two).await;
    assert!(matches!(absent, Err(Error::NotFound { .. })), "{absent:?}");
    assert_eq!(names(&store, None).await, ["d/one", "e/two"]);
}

#[tokio::test]
async fn after_a_failed_directory_sync_nothing_is_claimed_any_more() {
    let dir = tempfile::tempdir().expect("temp dir");
    let store = open(dir.path());
    let path = Path::from("x");
    store.put(&path, "x".into()).await.expect("put");
    store.placer.poison();
    for refused in [
        store.put(&Path::from("y"), "y".into()).await.map(|_| ()),
        store.get(&path).await.map(|_| ()),
    ] {
        let said = format!("{:?}", refused.expect_err("refused"));
        assert!(said.contains("Poisoned"), "{said}");
    }
    assert!(open(dir.path()).get(&path).await.is_ok(), "a new process begins anew");
}
