//! Runs are searched behind filters, through a bounded cache of their chunks.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use jiff::civil::Date;
use object_store::path::Path;
use store::Store;

use super::filter::Filters;
use super::run::{entry, run_in};
use super::{CACHE_BYTES_MAX, ENTRY_BYTES, Entry, Key};
use crate::error::TableError;
use crate::files::read_range;
use crate::state::KeyRun;

/// Entries of a chunk: 64 KiB.
const CHUNK_ENTRIES: u64 = 4_096;

const CHUNK_BYTES: usize = 4_096 * ENTRY_BYTES;

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

    /// The entries of a date's runs that have one of `keys`, which ascend.
    pub(crate) async fn find(
        &mut self,
        store: &Store,
        date: Date,
        runs: &[KeyRun],
        keys: &[Key],
        found: &mut Vec<Entry>,
    ) -> Result<(), TableError> {
        let keys = self.filters.undenied(store, date, runs, keys).await?;
        for run in runs {
            let mut search = Search { cache: self, store, run, chunk: None };
            for key in &keys {
                search.find(*key, found).await?;
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
        added: &[Entry],
    ) {
        self.filters.add(date, runs, run, added);
        let mut from = run.from;
        for chunk in run_in(object, run).chunks(CHUNK_BYTES) {
            self.keep((run.path.clone(), from), Bytes::copy_from_slice(chunk));
            from += CHUNK_ENTRIES;
        }
    }

    async fn chunk(
        &mut self,
        store: &Store,
        run: &KeyRun,
        chunk: u64,
    ) -> Result<Bytes, TableError> {
        self.uses += 1;
        let id = (run.path.clone(), run.from + chunk * CHUNK_ENTRIES);
        if let Some((bytes, used)) = self.chunks.get_mut(&id) {
            self.used.remove(used);
            *used = self.uses;
            self.used.insert(self.uses, id);
            return Ok(bytes.clone());
        }
        let entries = (run.entries - chunk * CHUNK_ENTRIES).min(CHUNK_ENTRIES);
        let start = (id.1 + 1) * ENTRY_BYTES as u64;
        let wanted = entries * ENTRY_BYTES as u64;
        let path = Path::from(run.path.as_str());
        let bytes = read_range(store, &path, start..start + wanted).await?;
        if bytes.len() as u64 != wanted {
            let what = format!("it has {} of the {wanted} bytes of a chunk", bytes.len());
            return Err(TableError::Damaged { path: run.path.clone(), what });
        }
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

/// One run, searched for one key after the other.
struct Search<'a> {
    cache: &'a mut KeyCache,
    store: &'a Store,
    run: &'a KeyRun,
    /// The chunk looked at last, and its number.
    chunk: Option<(u64, Bytes)>,
}

impl Search<'_> {
    async fn find(&mut self, key: Key, found: &mut Vec<Entry>) -> Result<(), TableError> {
        let chunks = self.run.entries.div_ceil(CHUNK_ENTRIES);
        if chunks == 0 {
            return Ok(());
        }
        // Keys are hashes: spread evenly, so their place among all is known roughly.
        let guess = (u128::from(key.0) * u128::from(self.run.entries)) >> 64;
        let guess = u64::try_from(guess).unwrap_or(u64::MAX) / CHUNK_ENTRIES;
        let mut at = guess.min(chunks - 1);
        let mut bytes = self.get(at).await?;
        while at > 0 && entry(&bytes, 0).is_some_and(|first| first.key >= key) {
            at -= 1;
            bytes = self.get(at).await?;
        }
        loop {
            let count = bytes.len() / ENTRY_BYTES;
            let mut index = lower_bound(&bytes, count, key);
            while let Some(entry) = entry(&bytes, index).filter(|entry| entry.key == key) {
                found.push(entry);
                index += 1;
            }
            if index < count || at + 1 >= chunks {
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

/// The index of the first entry that is not below `key`.
fn lower_bound(bytes: &[u8], count: usize, key: Key) -> usize {
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = low.midpoint(high);
        match entry(bytes, middle) {
            Some(entry) if entry.key < key => low = middle + 1,
            _ => high = middle,
        }
    }
    low
}
