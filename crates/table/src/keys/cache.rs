//! Runs are searched behind filters, through a bounded cache of their chunks.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;

use bytes::Bytes;
use event::AccountId;
use jiff::civil::Date;
use store::Store;

use super::filter::Filters;
use super::run::{Index, NewKey, entry, read_slots, run_in};
use super::{CACHE_BYTES_MAX, ENTRY_BYTES, Entry, Key};
use crate::error::TableError;
use crate::state::KeyRun;

/// Entries of a chunk: 64 KiB.
const CHUNK_ENTRIES: u64 = 4_096;

const CHUNK_BYTES: usize = 4_096 * ENTRY_BYTES;

/// A key that is looked for, and whose event it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ask {
    pub(crate) account: AccountId,
    pub(crate) key: Key,
}

/// Filters, and parts of runs that were read, the latest used.
#[derive(Debug)]
pub(crate) struct KeyCache {
    filters: Filters,
    chunks: HashMap<(String, u64), (Bytes, u64)>,
    /// Chunks by when they were last used.
    used: BTreeMap<u64, (String, u64)>,
    bytes: usize,
    bytes_max: usize,
    uses: u64,
}

impl Default for KeyCache {
    fn default() -> Self {
        Self::with_bytes(CACHE_BYTES_MAX)
    }
}

impl KeyCache {
    /// An empty one that holds at most so many bytes.
    pub(crate) fn with_bytes(bytes_max: usize) -> Self {
        let bytes_max = bytes_max / 2;
        let (chunks, used) = (HashMap::new(), BTreeMap::new());
        Self { filters: Filters::with_bytes(bytes_max), chunks, used, bytes: 0, bytes_max, uses: 0 }
    }

    /// The entries of a date's runs that have one of the keys; these ascend.
    pub(crate) async fn find(
        &mut self,
        store: &Store,
        date: Date,
        runs: &[KeyRun],
        asks: &[Ask],
        found: &mut Vec<Entry>,
    ) -> Result<(), TableError> {
        let accounts: BTreeSet<AccountId> = asks.iter().map(|ask| ask.account).collect();
        let mut parts: Vec<(&KeyRun, Option<AccountId>, Range<u64>)> = Vec::new();
        for run in runs {
            if run.accounts == 0 {
                parts.push((run, None, 0..run.entries));
                continue;
            }
            let index = self.index(store, run).await?;
            let own =
                |account: &AccountId| Some((run, Some(*account), index.find(account.number())?));
            parts.extend(accounts.iter().filter_map(own));
        }
        if parts.is_empty() {
            return Ok(());
        }
        let within = parts.iter().map(|(_, _, part)| part.end - part.start).sum();
        let asks = self.filters.undenied(store, date, runs, asks, within).await?;
        let mut by_account = asks.clone();
        by_account.sort_unstable_by_key(|ask| (ask.account, ask.key));
        for (run, account, part) in parts {
            let own = match account {
                None => &asks[..],
                Some(account) => {
                    let (_, from) = by_account
                        .split_at(by_account.partition_point(|ask| ask.account < account));
                    from.split_at(from.partition_point(|ask| ask.account == account)).0
                }
            };
            let mut search = Search { cache: self, store, run, part, chunk: None };
            for ask in own {
                search.find(ask.key, found).await?;
            }
        }
        Ok(())
    }

    /// Takes in a run that was put, by the bytes of its object and what is new in it, and
    /// is about to take the place of some of `runs`.
    pub(crate) fn add(
        &mut self,
        date: Date,
        runs: &[KeyRun],
        run: &KeyRun,
        object: &[u8],
        added: &[NewKey],
    ) {
        self.filters.add(date, runs, run, added);
        let (index, entries) = run_in(object, run);
        let mut from = run.from;
        for chunk in entries.chunks(CHUNK_BYTES) {
            self.keep((run.path.clone(), from), Bytes::copy_from_slice(chunk));
            from += CHUNK_ENTRIES;
        }
        if run.accounts > 0 {
            let id = (run.path.clone(), run.from - run.accounts);
            self.keep(id, Bytes::copy_from_slice(index));
        }
    }

    async fn index(&mut self, store: &Store, run: &KeyRun) -> Result<Index, TableError> {
        let slots = run.from.saturating_sub(run.accounts)..run.from;
        Ok(Index::of(run, self.slots(store, run, slots).await?))
    }

    async fn chunk(
        &mut self,
        store: &Store,
        run: &KeyRun,
        chunk: u64,
    ) -> Result<Bytes, TableError> {
        let from = run.from + chunk * CHUNK_ENTRIES;
        let entries = (run.entries - chunk * CHUNK_ENTRIES).min(CHUNK_ENTRIES);
        self.slots(store, run, from..from + entries).await
    }

    /// A part of a run's object, kept by where it begins.
    async fn slots(
        &mut self,
        store: &Store,
        run: &KeyRun,
        slots: Range<u64>,
    ) -> Result<Bytes, TableError> {
        self.uses += 1;
        let id = (run.path.clone(), slots.start);
        if let Some((bytes, used)) = self.chunks.get_mut(&id) {
            self.used.remove(used);
            *used = self.uses;
            self.used.insert(self.uses, id);
            return Ok(bytes.clone());
        }
        let bytes = read_slots(store, &run.path, slots).await?;
        self.keep(id, bytes.clone());
        Ok(bytes)
    }

    /// Keeps a chunk, and of the others the latest used for which there is room.
    fn keep(&mut self, id: (String, u64), bytes: Bytes) {
        self.uses += 1;
        self.bytes += bytes.len();
        if let Some((old, used)) = self.chunks.insert(id.clone(), (bytes, self.uses)) {
            self.bytes -= old.len();
            self.used.remove(&used);
        }
        self.used.insert(self.uses, id);
        while self.bytes > self.bytes_max
            && let Some((_, oldest)) = self.used.pop_first()
        {
            if let Some((bytes, _)) = self.chunks.remove(&oldest) {
                self.bytes -= bytes.len();
            }
        }
    }
}

/// Some sorted entries of a run, searched for one key after the other.
struct Search<'a> {
    cache: &'a mut KeyCache,
    store: &'a Store,
    run: &'a KeyRun,
    /// Which of its entries; not none.
    part: Range<u64>,
    /// The chunk looked at last, and its number.
    chunk: Option<(u64, Bytes)>,
}

impl Search<'_> {
    async fn find(&mut self, key: Key, found: &mut Vec<Entry>) -> Result<(), TableError> {
        let Range { start, end } = self.part;
        if start >= end {
            return Ok(());
        }
        let (first, last) = (start / CHUNK_ENTRIES, (end - 1) / CHUNK_ENTRIES);
        // Keys are hashes: spread evenly, so their place among all is known roughly.
        let guess = (u128::from(key.0) * u128::from(end - start)) >> 64;
        let guess = (start + u64::try_from(guess).unwrap_or(u64::MAX)) / CHUNK_ENTRIES;
        let mut at = guess.clamp(first, last);
        let mut bytes = self.get(at).await?;
        while at > first && entry(&bytes, 0).is_some_and(|first| first.key >= key) {
            at -= 1;
            bytes = self.get(at).await?;
        }
        loop {
            let place = |entry: u64| {
                usize::try_from(entry.saturating_sub(at * CHUNK_ENTRIES)).unwrap_or(usize::MAX)
            };
            let (from, to) = (place(start), place(end).min(bytes.len() / ENTRY_BYTES));
            let mut index = lower_bound(&bytes, from..to, key);
            while index < to
                && let Some(entry) = entry(&bytes, index).filter(|entry| entry.key == key)
            {
                found.push(entry);
                index += 1;
            }
            if index < to || at >= last {
                return Ok(());
            }
            at += 1;
            bytes = self.get(at).await?;
        }
    }

    async fn get(&mut self, chunk: u64) -> Result<Bytes, TableError> {
        if let Some((number, bytes)) = &self.chunk
            && *number == chunk
        {
            return Ok(bytes.clone());
        }
        let bytes = self.cache.chunk(self.store, self.run, chunk).await?;
        self.chunk = Some((chunk, bytes.clone()));
        Ok(bytes)
    }
}

/// The first of some entries that is not below `key`, or where they end.
fn lower_bound(bytes: &[u8], entries: Range<usize>, key: Key) -> usize {
    let (mut low, mut high) = (entries.start, entries.end);
    while low < high {
        let middle = low.midpoint(high);
        match entry(bytes, middle) {
            Some(entry) if entry.key < key => low = middle + 1,
            _ => high = middle,
        }
    }
    low
}
