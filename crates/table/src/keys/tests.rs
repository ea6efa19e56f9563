use std::sync::Arc;

use object_store::memory::InMemory;
use object_store::path::Path;
use store::Store;

use super::run::entries as entries_of;
use super::*;
use crate::log::RunAdded;

const DATE: Date = jiff::civil::date(2026, 11, 20);

fn account(text: &str) -> AccountId {
    text.parse().expect("an account")
}

/// Entries of three accounts, the second of which has most; sorted by key.
fn entries(seed: u64, count: u64) -> Vec<NewKey> {
    let accounts = ["000000000007", "111122223333", "444455556666"].map(account);
    let makers = accounts.map(KeyMaker::of);
    let mut all: Vec<NewKey> = (0..count)
        .filter_map(|index| {
            let which = [1, 0, 1, 1, 2, 1, 1][usize::try_from(index % 7).ok()?];
            let key = makers[which].key(&format!("{seed}-{index}"))?;
            let entry = Entry { key, place: Place::new(seed, index)? };
            Some(NewKey { account: accounts[which], entry })
        })
        .collect();
    all.sort_unstable_by_key(|new| new.entry);
    all
}

fn asks(of: &[NewKey]) -> Vec<Ask> {
    let mut asks: Vec<Ask> =
        of.iter().map(|new| Ask { account: new.account, key: new.entry.key }).collect();
    asks.dedup();
    asks
}

/// The entries themselves, sorted.
fn plain(of: &[NewKey]) -> Vec<Entry> {
    let mut all: Vec<Entry> = of.iter().map(|new| new.entry).collect();
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

#[tokio::test]
async fn merging_keeps_every_entry_of_each_account_in_order() {
    let store = Store::from_objects(Arc::new(InMemory::new()), "memory://merge");
    for order in [KeyOrder::Key, KeyOrder::Account] {
        let runs = [entries(1, 100), entries(2, 7), entries(5, 1)];
        let mut file = KeyFile::new(order);
        let path = format!("keys/{order:?}.keys");
        let added: Vec<RunAdded> = runs.iter().map(|run| file.add(&[], run, 0)).collect();
        store.create(&Path::from(path.as_str()), file.bytes.into()).await.expect("create");
        let mut old = Vec::new();
        for added in added {
            old.push(read_run(&store, &added.run_in(&path)).await.expect("a run"));
        }
        let new = entries(4, 33);
        let mut all: Vec<NewKey> = runs.concat();
        all.extend(&new);
        let mut file = KeyFile::new(order);
        let merged = file.add(&old, &new, 3);
        let path = format!("keys/{order:?}-merged.keys");
        store.create(&Path::from(path.as_str()), file.bytes.into()).await.expect("create");
        assert_eq!(merged.accounts, if order == KeyOrder::Key { 0 } else { 3 });
        match order {
            KeyOrder::Key => all.sort_unstable_by_key(|new| new.entry),
            KeyOrder::Account => all.sort_unstable(),
        }
        let all: Vec<Entry> = all.iter().map(|new| new.entry).collect();
        let run = read_run(&store, &merged.run_in(&path)).await.expect("a run");
        assert_eq!(entries_of(&run.entries).collect::<Vec<_>>(), all, "{order:?}");
    }
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
        runs.push(KeyRun { path: String::new(), from: 0, entries: 700 + merged, accounts: 1 });
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
    let run = |entries| KeyRun { path: String::new(), from: 0, entries, accounts: 1 };
    let large: Vec<KeyRun> = (0..20).map(|_| run(RUN_ENTRIES_MAX / 8)).collect();
    let (count, merged) = runs_to_merge(&large, RUN_ENTRIES_MAX / 8, 0);
    assert_eq!((count, merged), (7, RUN_ENTRIES_MAX / 8 * 7));
    let (count, merged) = runs_to_merge(&large, RUN_ENTRIES_MAX / 8, MERGE_ENTRIES_MAX / 2);
    assert_eq!((count, merged), (4, RUN_ENTRIES_MAX / 2), "in one pass, of all dates");
    let full: Vec<KeyRun> = (0..20).map(|_| run(RUN_ENTRIES_MAX)).collect();
    assert_eq!(runs_to_merge(&full, RUN_ENTRIES_MAX, 0), (0, 0), "full ones stay");
}

#[test]
fn runs_of_an_earlier_release_are_not_merged_with_others() {
    let run = |accounts| KeyRun { path: String::new(), from: 9, entries: 700, accounts };
    let old: Vec<KeyRun> = (0..20).map(|_| run(0)).collect();
    assert_eq!(runs_to_merge_by_account(&old, 700, 0), (0, 0));
    let new: Vec<KeyRun> = (0..20).map(|_| run(1)).collect();
    let all = runs_to_merge_by_account(&new, 700, 0);
    assert_eq!(all, runs_to_merge(&new, 700, 0));
    let upgraded: Vec<KeyRun> = old.into_iter().chain(new).collect();
    assert_eq!(runs_to_merge_by_account(&upgraded, 700, 0), all);
}

#[tokio::test]
async fn every_entry_is_found_and_nothing_else_however_small_the_cache() {
    let store = Store::from_objects(Arc::new(InMemory::new()), "memory://keys");
    let mut all = entries(1, 20_000);
    // One key many times, across chunks.
    let often = all[10_000];
    let again = |row| Some(Entry { key: often.entry.key, place: Place::new(9, row)? });
    all.extend((0..9_000).filter_map(|row| Some(NewKey { entry: again(row)?, ..often })));
    all.sort_unstable_by_key(|new| new.entry);
    for order in [KeyOrder::Key, KeyOrder::Account] {
        let mut file = KeyFile::new(order);
        file.add(&[], &entries(5, 3), 0);
        let added = file.add(&[], &all, 0);
        let path = format!("keys/{order:?}.keys");
        store.create(&Path::from(path.as_str()), file.bytes.into()).await.expect("create");
        let run = added.run_in(&path);
        for bytes_max in [1 << 20, 70_000] {
            let mut cache = KeyCache::with_bytes(bytes_max);
            let mut found = Vec::new();
            let runs = std::slice::from_ref(&run);
            cache.find(&store, DATE, runs, &asks(&all), &mut found).await.expect("find");
            found.sort_unstable();
            assert_eq!(found, plain(&all), "{order:?}");
            found.clear();
            let absent = asks(&entries(2, 1_000));
            cache.find(&store, DATE, runs, &absent, &mut found).await.expect("find");
            assert_eq!(found, []);
            // The same keys as if they were another account's.
            let others: Vec<Ask> = asks(&all)
                .into_iter()
                .map(|ask| Ask { account: account("999999999999"), ..ask })
                .collect();
            cache.find(&store, DATE, runs, &others, &mut found).await.expect("find");
            assert_eq!(found.is_empty(), order == KeyOrder::Account);
        }
    }
}

/// Logs of many days that come account by account ask of each day for few accounts.
#[tokio::test]
async fn of_a_day_with_many_accounts_little_is_read_for_one_of_them() {
    let store = Store::from_objects(Arc::new(InMemory::new()), "memory://accounts");
    let accounts: Vec<AccountId> =
        (0..400).map(|number| account(&format!("{number:012}"))).collect();
    let of = |account: AccountId| {
        let maker = KeyMaker::of(account);
        (0..1_000).filter_map(move |index| {
            let entry = Entry { key: maker.key(&index.to_string())?, place: Place::new(1, index)? };
            Some(NewKey { account, entry })
        })
    };
    let all: Vec<NewKey> = accounts.iter().flat_map(|account| of(*account)).collect();
    let mut file = KeyFile::new(KeyOrder::Account);
    let added = file.add(&[], &all, 0);
    let bytes = file.bytes.len() as u64;
    store.create(&Path::from("keys/1.keys"), file.bytes.into()).await.expect("create");
    let run = added.run_in("keys/1.keys");
    let mut own: Vec<NewKey> = of(accounts[200]).collect();
    own.sort_unstable_by_key(|new| new.entry);
    let mut found = Vec::new();
    let store = store.counted_apart();
    let mut cache = KeyCache::default();
    cache.find(&store, DATE, &[run], &asks(&own), &mut found).await.expect("find");
    found.sort_unstable();
    assert_eq!(found, plain(&own));
    let read = store.reads().bytes();
    assert!(read * 20 < bytes, "{read} of {bytes} bytes");
}

/// What a filter does not know of must be looked for.
#[tokio::test]
async fn runs_of_others_are_found_whatever_a_filter_was_made_of() {
    let store = Store::from_objects(Arc::new(InMemory::new()), "memory://keys");
    let mut runs: Vec<KeyRun> = Vec::new();
    let mut all: Vec<NewKey> = Vec::new();
    let mut cache = KeyCache::with_bytes(1 << 20);
    for number in 0..40 {
        let added = entries(number, 500);
        // The first ones are of an earlier release.
        let order = if number < 11 { KeyOrder::Key } else { KeyOrder::Account };
        let to_merge = if number < 11 { runs_to_merge } else { runs_to_merge_by_account };
        let (replaces, _) = to_merge(&runs, added.len() as u64, 0);
        let mut old = Vec::new();
        for run in runs.iter().rev().take(replaces) {
            old.push(read_run(&store, run).await.expect("read"));
        }
        let mut file = KeyFile::new(order);
        let path = format!("keys/{number}.keys");
        let run = file.add(&old, &added, replaces).run_in(&path);
        store.create(&Path::from(path), file.bytes.clone().into()).await.expect("create");
        // Every third pass is another process's.
        if number % 3 != 2 {
            cache.add(DATE, &runs, &run, &file.bytes, &added);
        }
        runs.truncate(runs.len() - replaces);
        runs.push(run);
        all.extend(added);
        all.sort_unstable_by_key(|new| new.entry);
        let mut found = Vec::new();
        cache.find(&store, DATE, &runs, &asks(&all), &mut found).await.expect("find");
        found.sort_unstable();
        assert_eq!(found, plain(&all), "after pass {number}");
        found.clear();
        let absent = asks(&entries(1_000 + number, 100));
        cache.find(&store, DATE, &runs, &absent, &mut found).await.expect("find");
        assert_eq!(found, []);
    }
    assert!(runs.len() < 40, "some were merged");
}
