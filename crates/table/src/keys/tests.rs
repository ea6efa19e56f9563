use std::sync::Arc;

use bytes::Bytes;
use object_store::memory::InMemory;
use object_store::path::Path;
use store::Store;

use super::run::{encode, merged};
use super::*;

const DATE: Date = jiff::civil::date(2026, 11, 20);

fn account(text: &str) -> AccountId {
    text.parse().expect("an account")
}

fn entries(seed: u64, count: u64) -> Vec<Entry> {
    let maker = KeyMaker::of(account("111122223333"));
    let mut all: Vec<Entry> = (0..count)
        .filter_map(|index| {
            let key = maker.key(&format!("{seed}-{index}"))?;
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
    let [one, other] = ["111122223333", "111122223334"].map(|text| KeyMaker::of(account(text)));
    assert_eq!(one.key(""), None);
    assert_ne!(one.key("a"), other.key("a"));
    assert_eq!(one.key("a"), Some(Key(0x450c_dbfa_4ffa_e181)), "the key is a format");
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

/// Runs that a day of passes leaves at most, and how often an entry is written.
fn a_day_of_passes(to_merge: impl Fn(&[KeyRun], u64, u64) -> (usize, u64)) -> (usize, u64) {
    let mut runs: Vec<KeyRun> = Vec::new();
    let (mut written, mut most) = (0, 0);
    for _ in 0..1_440 {
        let (count, merged) = to_merge(&runs, 700, 0);
        let last: u64 = runs.iter().rev().take(count).map(|run| run.entries).sum();
        assert_eq!(merged, last, "it says what it merges");
        runs.truncate(runs.len() - count);
        runs.push(KeyRun { path: String::new(), from: 0, entries: 700 + merged });
        written += 700 + merged;
        most = most.max(runs.len());
    }
    (most, written.div_ceil(700 * 1_440))
}

#[test]
fn a_day_of_passes_leaves_few_runs_and_merges_little() {
    assert_eq!(a_day_of_passes(runs_to_merge), (22, 4));
    assert_eq!(a_day_of_passes(runs_to_merge_at_first), (7, 7));
}

#[test]
fn what_is_merged_stays_within_its_bounds() {
    let run = |entries| KeyRun { path: String::new(), from: 0, entries };
    let large: Vec<KeyRun> = (0..20).map(|_| run(RUN_ENTRIES_MAX / 8)).collect();
    let (count, merged) = runs_to_merge(&large, RUN_ENTRIES_MAX / 8, 0);
    assert_eq!((count, merged), (7, RUN_ENTRIES_MAX / 8 * 7));
    let (count, merged) = runs_to_merge(&large, RUN_ENTRIES_MAX / 8, MERGE_ENTRIES_MAX / 2);
    assert_eq!((count, merged), (4, RUN_ENTRIES_MAX / 2), "in one pass, of all dates");
    let full: Vec<KeyRun> = (0..20).map(|_| run(RUN_ENTRIES_MAX)).collect();
    assert_eq!(runs_to_merge(&full, RUN_ENTRIES_MAX, 0), (0, 0), "full ones stay");
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
        let runs = std::slice::from_ref(&run);
        cache.find(&store, DATE, runs, &keys, &mut found).await.expect("find");
        assert_eq!(found, all);
        let absent: Vec<Key> = entries(2, 1_000).iter().map(|entry| entry.key).collect();
        found.clear();
        cache.find(&store, DATE, runs, &absent, &mut found).await.expect("find");
        assert_eq!(found, []);
    }
}

/// What a filter does not know of must be looked for.
#[tokio::test]
async fn runs_of_others_are_found_whatever_a_filter_was_made_of() {
    let store = Store::from_objects(Arc::new(InMemory::new()), "memory://keys");
    let mut runs: Vec<KeyRun> = Vec::new();
    let mut all: Vec<Entry> = Vec::new();
    let mut cache = KeyCache::with_bytes(1 << 20);
    for number in 0..40 {
        let added = entries(number, 500);
        let (replaces, _) = runs_to_merge(&runs, added.len() as u64, 0);
        let mut old = Vec::new();
        for run in runs.iter().rev().take(replaces) {
            old.push(read_run(&store, run).await.expect("read"));
        }
        let mut file = KeyFile::new();
        let run = file.add(&old, &added, replaces);
        let path = Path::from(format!("keys/{number}.keys"));
        store.create(&path, file.bytes.clone().into()).await.expect("create");
        let run = KeyRun { path: path.to_string(), from: run.from, entries: run.entries };
        // Every third pass is another process's.
        if number % 3 != 2 {
            cache.add(DATE, &runs, &run, &file.bytes, &added);
        }
        runs.truncate(runs.len() - replaces);
        runs.push(run);
        all.extend(added);
        all.sort_unstable();
        let keys: Vec<Key> = all.iter().map(|entry| entry.key).collect();
        let mut found = Vec::new();
        cache.find(&store, DATE, &runs, &keys, &mut found).await.expect("find");
        found.sort_unstable();
        assert_eq!(found, all, "after pass {number}");
        let absent: Vec<Key> = entries(1_000 + number, 100).iter().map(|entry| entry.key).collect();
        found.clear();
        cache.find(&store, DATE, &runs, &absent, &mut found).await.expect("find");
        assert_eq!(found, []);
    }
    assert!(runs.len() < 40, "some were merged");
}
