//! What appending survives: other writers, and stores that fail in every way.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use faults::{Dice, FaultyStore, StoreRates};
use futures::TryStreamExt;
use futures::future::join_all;
use jiff::Timestamp;
use ledger::{AppendError, Appended, Head, Ledger, LedgerError, Record};
use object_store::ObjectStore;
use object_store::path::Path;
use serde::{Deserialize, Serialize};
use store::Store;

const WRITERS: u64 = 5;
const ITEMS: u64 = 6;

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Item {
    writer: u64,
    item: u64,
}

fn at() -> Timestamp {
    "2026-11-20T09:30:00Z".parse().expect("a time")
}

fn log() -> Path {
    Path::from("journal/log")
}

fn ledger(objects: Arc<dyn ObjectStore>) -> Ledger {
    Ledger::new(Store::from_objects(objects, "test://store"), log())
}

/// A store on which any call may fail in any way.
fn faulty(seed: u64) -> Arc<FaultyStore> {
    FaultyStore::new(Dice::new(seed), StoreRates { refused: 12, ..StoreRates::all(12) })
}

/// The number of the attempt as an id: unique, and the same in every run.
fn id(writer: u64, attempt: u64) -> [u8; 16] {
    (u128::from(writer) << 64 | u128::from(attempt)).to_le_bytes()
}

/// Appends its items, as a careful caller does: state moves only on an answer
/// that is sure, and what is unknown is tried again unchanged.
async fn write(ledger: Ledger, writer: u64, dice_seed: u64) -> BTreeMap<u64, u64> {
    let dice = Dice::new(dice_seed);
    let mut head = Head::EMPTY;
    let mut placed = BTreeMap::new();
    let mut attempt = 0;
    for item in 0..ITEMS {
        let body = Item { writer, item };
        let number = loop {
            match ledger.append(&head, id(writer, attempt), at(), &body).await {
                Ok(Appended::Ours(record)) => {
                    head = record.head();
                    break record.number;
                }
                Ok(Appended::Theirs(record)) => {
                    head = record.head();
                    attempt += 1;
                    // A refused attempt whose forerunner was unknown may have landed late.
                    if record.body::<Item>().expect("an item") == body {
                        break record.number;
                    }
                }
                Err(AppendError::Unknown { .. } | AppendError::Rejected { .. }) => {
                    // Both ways are allowed: the same again, or first a look.
                    if dice.below(2) == 0
                        && let Ok(Some(record)) = ledger.next(&head).await
                    {
                        head = record.head();
                        attempt += 1;
                        if record.body::<Item>().expect("an item") == body {
                            break record.number;
                        }
                    }
                }
                Err(error) => panic!("a sound ledger is called unsound: {error}"),
            }
        };
        attempt += 1;
        placed.insert(item, number);
    }
    placed
}

async fn all(ledger: &Ledger) -> Vec<Record> {
    ledger.read_from(Head::EMPTY, u64::MAX, 16).try_collect().await.expect("a sound ledger")
}

async fn check(ledger: &Ledger, placed: &[BTreeMap<u64, u64>]) {
    let records = all(ledger).await;
    let mut found = BTreeMap::new();
    let mut head = Head::EMPTY;
    for record in &records {
        assert_eq!(record.number, head.number + 1);
        assert_eq!(record.previous, head.hash);
        head = record.head();
        let item = record.body::<Item>().expect("an item");
        let before = found.insert(item, record.number);
        assert_eq!(before, None, "record {} holds an item again", record.number);
    }
    assert_eq!(records.len() as u64, WRITERS * ITEMS);
    for (writer, placed) in (0..).zip(placed) {
        for (item, number) in placed {
            let item = Item { writer, item: *item };
            assert_eq!(found.get(&item), Some(number), "{item:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn whatever_the_store_does_each_item_is_appended_once() {
    for seed in 0..300 {
        let store = faulty(seed);
        let writers = (0..WRITERS).map(|writer| {
            write(ledger(Arc::<FaultyStore>::clone(&store)), writer, seed * WRITERS + writer)
        });
        let placed = join_all(writers).await;
        store.settle().await;
        eprintln!("seed {seed}");
        check(&ledger(Arc::<FaultyStore>::clone(&store)), &placed).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_seed_is_one_history() {
    let run = async |seed| {
        let store = faulty(seed);
        join_all(
            (0..WRITERS)
                .map(|writer| write(ledger(Arc::<FaultyStore>::clone(&store)), writer, writer)),
        )
        .await;
        store.settle().await;
        all(&ledger(store)).await
    };
    assert_eq!(run(7).await, run(7).await);
    assert_ne!(run(7).await, run(8).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writers_on_many_threads_share_one_history() {
    let dir = tempfile::tempdir().expect("temp dir");
    for url in [format!("file://{}", dir.path().display()), "memory://many-threads".to_owned()] {
        let mut writers = tokio::task::JoinSet::new();
        for writer in 0..WRITERS {
            // Each its own handle, as each aggregator has.
            let ledger = Ledger::new(Store::open(&url).await.expect("open"), log());
            writers.spawn(async move { (writer, write(ledger, writer, writer).await) });
        }
        let mut placed = writers.join_all().await;
        placed.sort();
        let placed: Vec<_> = placed.into_iter().map(|(_, placed)| placed).collect();
        check(&Ledger::new(Store::open(&url).await.expect("open"), log()), &placed).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_told_is_said_to_be_unknown_and_then_settles() {
    let dir = tempfile::tempdir().expect("temp dir");
    // A file where the store's directory should be: every put and get fails.
    let root = dir.path().join("store");
    std::fs::write(&root, "in the way").expect("write");
    let store = Store::open(&format!("file://{}", root.display())).await.expect("open");
    let ledger = Ledger::new(store, log());
    let body = Item { writer: 1, item: 1 };
    let error = ledger.append(&Head::EMPTY, id(1, 1), at(), &body).await.expect_err("no store");
    assert!(matches!(error, AppendError::Unknown { .. }), "{error:?}");
    assert!(error.is_retryable());

    std::fs::remove_file(&root).expect("remove");
    let appended = ledger.append(&Head::EMPTY, id(1, 1), at(), &body).await.expect("append");
    assert!(matches!(appended, Appended::Ours(_)));
    let again = ledger.append(&Head::EMPTY, id(1, 1), at(), &body).await.expect("append");
    assert_eq!(again, appended, "the same attempt again is the same record");
    let other = ledger.append(&Head::EMPTY, id(1, 2), at(), &body).await.expect("append");
    assert!(matches!(other, Appended::Theirs(_)), "another attempt is not");
}

#[tokio::test]
async fn reading_follows_to_the_end_and_stops_at_what_it_cannot_believe() {
    let store = Store::open("memory://reading").await.expect("open");
    let ledger = Ledger::new(store.clone(), log());
    let mut head = Head::EMPTY;
    let mut heads = vec![head];
    for item in 0..50 {
        let body = Item { writer: 0, item };
        let appended = ledger.append(&head, id(0, item), at(), &body).await.expect("append");
        let Appended::Ours(record) = appended else { panic!("nobody else writes") };
        head = record.head();
        heads.push(head);
    }
    for concurrency in [0, 1, 16, 200] {
        for from in [0, 1, 48, 49, 50] {
            let start = *heads.get(from).expect("a head");
            let read: Vec<Record> =
                ledger.read_from(start, u64::MAX, concurrency).try_collect().await.expect("read");
            let expected = heads.get(from + 1..).expect("heads");
            assert_eq!(read.iter().map(Record::head).collect::<Vec<_>>(), expected);
        }
    }
    assert_eq!(ledger.read(51).await.expect("read"), None);
    assert_eq!(ledger.next(&head).await.expect("read"), None);

    // Record 31 is replaced by a well-formed one of another history.
    let path = Path::from("journal/log/00000000000000000031.json");
    let forged = ledger.read(31).await.expect("read").expect("there").bytes;
    let forged =
        String::from_utf8(forged.into()).expect("text").replace("\"item\":30", "\"item\":99");
    store.objects().put_opts(&path, forged.into(), Default::default()).await.expect("replace");
    let mut following = ledger.read_from(Head::EMPTY, u64::MAX, 8);
    let mut read = 0;
    let error = loop {
        match following.try_next().await {
            Ok(Some(_)) => read += 1,
            Ok(None) => panic!("the forgery was not noticed"),
            Err(error) => break error,
        }
    };
    assert_eq!(read, 31, "the forged record itself follows record 30");
    let said = error.to_string();
    assert!(matches!(error, LedgerError::Broken { .. }) && !error.is_retryable());
    assert!(said.contains("00000000000000000032.json") && said.contains("restore"), "{said}");

    // Whoever stands at the forged record's true place does not append over the break.
    let next = Bytes::from_static(b"no record");
    store.create(&Path::from("journal/log/00000000000000000051.json"), next).await.expect("put");
    let body = Item { writer: 0, item: 51 };
    let error = ledger.append(&head, id(0, 99), at(), &body).await.expect_err("damaged");
    assert!(matches!(error, AppendError::Ledger { .. }) && !error.is_retryable(), "{error:?}");
}

/// How long folding takes: `cargo test --release -p ledger -- --ignored --nocapture`.
#[tokio::test]
#[ignore = "a measurement"]
async fn a_hundred_thousand_records_are_read_in_seconds() {
    const RECORDS: u64 = 100_000;
    let dir = tempfile::tempdir().expect("temp dir");
    let memory = Ledger::new(Store::open("memory://measured").await.expect("open"), log());
    let folder = dir.path().join(log().as_ref());
    std::fs::create_dir_all(&folder).expect("create");
    let mut head = Head::EMPTY;
    for item in 0..RECORDS {
        let body = Item { writer: 0, item };
        let appended = memory.append(&head, id(0, item), at(), &body).await.expect("append");
        let Appended::Ours(record) = appended else { panic!("nobody else writes") };
        head = record.head();
        let name = record.path.filename().expect("a name").to_owned();
        std::fs::write(folder.join(name), &record.bytes).expect("write");
    }
    let local = Ledger::new(
        Store::open(&format!("file://{}", dir.path().display())).await.expect("open"),
        log(),
    );
    for (name, ledger) in [("memory", memory), ("local", local)] {
        let began = tokio::time::Instant::now();
        let read = ledger
            .read_from(Head::EMPTY, u64::MAX, 16)
            .try_fold(0_u64, async |n, _| Ok(n + 1))
            .await;
        assert_eq!(read.expect("read"), RECORDS);
        eprintln!("{name}: {RECORDS} records in {:?}", began.elapsed());
    }
}
