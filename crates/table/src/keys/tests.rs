use std::sync::Arc;

use bytes::Bytes;
use object_store::memory::InMemory;
use object_store::path::Path;
use store::Store;

use super::run::{encode, merged};
use super::*;

fn account(text: &str) -> AccountId {
    text.parse().expect("an account")
}

fn entries(seed: u64, count: u64) -> Vec<Entry> {
    let mut all: Vec<Entry> = (0..count)
        .filter_map(|index| {
            let key = Key::new(account("111122223333"), &format!("{seed}-{index}"))?;
            Some(Entry { key, place: Place::new(seed, index)? })
        })
        .collect();
    all.sort_unstable();
    all
}

#[test]
fn a_place_keeps_record_and_row_and_has_bounds() {
    let place = Place::new((1 << 36) - 1, (1 << 28) - 1).expect("in bounds");
    assert_eq!((place.record(), place.row()), ((1 << 36) - 1, (1 << 28) - 1));
    assert_eq!(Place::new(1 << 36, 0), None);
    assert_eq!(Place::new(0, 1 << 28), None);
    assert!(Place::new(2, 0) > Place::new(1, 9));
}

#[test]
fn an_event_without_an_id_has_no_key() {
    assert_eq!(Key::new(account("111122223333"), ""), None);
    assert_ne!(Key::new(account("111122223333"), "a"), Key::new(account("111122223334"), "a"));
}

#[test]
fn merging_keeps_every_entry_in_order() {
    let runs = [entries(1, 100), entries(2, 7), entries(3, 0)];
    let bytes: Vec<Bytes> = runs
        .iter()
        .map(|run| {
            let mut bytes = Vec::new();
            encode(run.iter().copied(), &mut bytes);
            bytes.into()
        })
        .collect();
    let new = entries(4, 33);
    let mut all: Vec<Entry> = runs.concat();
    all.extend(&new);
    all.sort_unstable();
    assert_eq!(merged(&bytes, &new).collect::<Vec<_>>(), all);
}

#[test]
fn a_day_of_passes_leaves_few_runs_and_merges_little() {
    let mut runs: Vec<KeyRun> = Vec::new();
    let (mut written, mut most) = (0, 0);
    for _ in 0..1_440 {
        let (count, merged) = runs_to_merge(&runs, 700, 0);
        runs.truncate(runs.len() - count);
        runs.push(KeyRun { path: String::new(), from: 0, entries: 700 + merged });
        written += 700 + merged;
        most = most.max(runs.len());
    }
    assert!(most <= 8, "{most} runs");
    assert!(written < 12 * 700 * 1_440, "each entry is written {} times", written / 700 / 1_440);
}

#[tokio::test]
async fn every_entry_is_found_and_nothing_else_however_small_the_cache() {
    let store = Store::from_objects(Arc::new(InMemory::new()), "memory://keys");
    let mut all = entries(1, 20_000);
    // One key many times, across chunks.
    let often = all[10_000].key;
    all.extend((0..9_000).filter_map(|row| Some(Entry { key: often, place: Place::new(9, row)? })));
    all.sort_unstable();
    let mut file = KeyFile::new();
    file.add(&[], &entries(5, 3), 0);
    file.add(&[], &all, 0);
    let path = Path::from("keys/1.keys");
    store.create(&path, file.bytes.into()).await.expect("create");
    let run = KeyRun { path: path.to_string(), from: 3, entries: all.len() as u64 };
    for bytes_max in [1 << 20, 70_000] {
        let mut cache = KeyCache::with_bytes(bytes_max);
        let mut keys: Vec<Key> = all.iter().map(|entry| entry.key).collect();
        keys.dedup();
        let mut found = Vec::new();
        cache.find(&store, &run, &keys, &mut found).await.expect("find");
        assert_eq!(found, all);
        let absent: Vec<Key> = entries(2, 1_000).iter().map(|entry| entry.key).collect();
        found.clear();
        cache.find(&store, &run, &absent, &mut found).await.expect("find");
        assert_eq!(found, []);
    }
}
