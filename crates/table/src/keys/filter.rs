//! Filters say of most keys that no run of a date has them, without looking at the runs.
//!
//! A filter is one of Bloom's, in blocks of 32 bytes, so that a question costs one look
//! into memory; what it denies is in no run, what it does not deny is looked for. It is
//! made of the runs that it covers, and grows with what a pass adds, so that a process
//! that runs passes reads no run for it but those that others have written.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use store::Store;

use super::Key;
use super::cache::Ask;
use super::run::{NewKey, entries, read_run};
use crate::error::TableError;
use crate::state::KeyRun;

/// Keys that the first layer of a filter takes,
const LAYER_KEYS_MIN: usize = 4_096;

/// and how many times as many each other takes as the one before.
const LAYER_GROWTH: usize = 4;

/// Keys for each block of 256 bits: of those that are in no run, a full layer denies all
/// but one in some 1,500.
const KEYS_PER_BLOCK: usize = 12;

/// Entries that are read to look for a key.
const ENTRIES_PER_KEY: u64 = 4_096;

/// Runs are read for a filter if looking for the keys would read the same in so many passes:
/// a filter that is made serves as many, if there is room for it.
const FILTER_PASSES: u64 = 8;

/// The filters of dates, the latest used.
#[derive(Debug)]
pub(super) struct Filters {
    dates: BTreeMap<Date, Filter>,
    bytes_max: usize,
    uses: u64,
}

#[derive(Debug, Default)]
struct Filter {
    layers: Vec<Layer>,
    /// The runs whose keys it has: object, and entries before the run.
    covered: BTreeSet<(String, u64)>,
    used: u64,
}

#[derive(Debug)]
struct Layer {
    blocks: Vec<Block>,
    keys: usize,
}

type Block = [u32; 8];

impl Filters {
    /// None yet; they may take so many bytes.
    pub(super) fn with_bytes(bytes_max: usize) -> Self {
        Self { dates: BTreeMap::new(), bytes_max, uses: 0 }
    }

    /// Those keys that may be in a run of the date; all, where it has no filter and making
    /// one is not worth it: they would be looked for `within` so many entries.
    pub(super) async fn undenied(
        &mut self,
        store: &Store,
        date: Date,
        runs: &[KeyRun],
        asks: &[Ask],
        within: u64,
    ) -> Result<Vec<Ask>, TableError> {
        let read = within.min(ENTRIES_PER_KEY.saturating_mul(asks.len() as u64));
        if !self.cover(store, date, runs, read).await? {
            return Ok(asks.to_vec());
        }
        let Some(filter) = self.dates.get(&date) else { return Ok(asks.to_vec()) };
        Ok(asks.iter().copied().filter(|ask| filter.may_have(ask.key)).collect())
    }

    /// Takes in the keys of a run that is about to take the place of some of `runs`.
    pub(super) fn add(&mut self, date: Date, runs: &[KeyRun], run: &KeyRun, added: &[NewKey]) {
        if !runs.is_empty() && !self.dates.contains_key(&date) {
            return;
        }
        let filter = self.dates.entry(date).or_default();
        let is_covered = |run: &KeyRun| filter.covered.contains(&id(run));
        if !runs.iter().all(is_covered) {
            return;
        }
        // They were just asked for, and are in no run.
        for new in added {
            filter.insert_new(new.entry.key);
        }
        filter.covered.insert(id(run));
        self.limit(date);
    }

    /// Makes the filter of a date cover these runs; false if that is not worth it beside
    /// looking for keys among so many entries, or it would be too large.
    async fn cover(
        &mut self,
        store: &Store,
        date: Date,
        runs: &[KeyRun],
        read: u64,
    ) -> Result<bool, TableError> {
        let all: u64 = runs.iter().map(|run| run.entries).sum();
        if bytes_for(all).is_none_or(|bytes| bytes > self.bytes_max) {
            self.dates.remove(&date);
            return Ok(false);
        }
        let known = self.dates.get(&date);
        let is_covered =
            |run: &&KeyRun| known.is_some_and(|known| known.covered.contains(&id(run)));
        let (covered, missing): (Vec<&KeyRun>, Vec<&KeyRun>) = runs.iter().partition(is_covered);
        let entries_missing: u64 = missing.iter().map(|run| run.entries).sum();
        if entries_missing > read.saturating_mul(FILTER_PASSES) {
            return Ok(false);
        }
        let covered: BTreeSet<_> = covered.into_iter().map(id).collect();
        self.uses += 1;
        let filter = self.dates.entry(date).or_default();
        filter.used = self.uses;
        filter.covered = covered;
        for run in missing {
            let read = read_run(store, run).await?;
            for entry in entries(&read.entries) {
                filter.insert(entry.key);
            }
            filter.covered.insert(id(run));
        }
        self.limit(date);
        Ok(self.dates.contains_key(&date))
    }

    /// Drops the filters that were not used for longest, the date's own at last, until
    /// there is room.
    fn limit(&mut self, date: Date) {
        while self.dates.values().map(Filter::bytes).sum::<usize>() > self.bytes_max {
            let others = self.dates.iter().filter(|(other, _)| **other != date);
            let oldest = others.min_by_key(|(_, filter)| filter.used).map(|(date, _)| *date);
            self.dates.remove(&oldest.unwrap_or(date));
        }
    }
}

/// The bytes of a filter of so many keys.
fn bytes_for(keys: u64) -> Option<usize> {
    let (mut layer, mut room, mut blocks) = (LAYER_KEYS_MIN, 0, 0_usize);
    while room < keys {
        room = room.checked_add(layer as u64)?;
        blocks = blocks.checked_add(layer.div_ceil(KEYS_PER_BLOCK))?;
        layer = layer.checked_mul(LAYER_GROWTH)?;
    }
    blocks.checked_mul(size_of::<Block>())
}

fn id(run: &KeyRun) -> (String, u64) {
    (run.path.clone(), run.from)
}

impl Filter {
    fn may_have(&self, key: Key) -> bool {
        self.layers.iter().any(|layer| layer.may_have(key))
    }

    fn insert(&mut self, key: Key) {
        if !self.may_have(key) {
            self.insert_new(key);
        }
    }

    fn insert_new(&mut self, key: Key) {
        if self.layers.last().is_none_or(Layer::is_full) {
            let keys = self.layers.last().map_or(LAYER_KEYS_MIN, |last| last.room() * LAYER_GROWTH);
            self.layers.push(Layer::new(keys));
        }
        if let Some(layer) = self.layers.last_mut() {
            layer.insert(key);
        }
    }

    fn bytes(&self) -> usize {
        self.layers.iter().map(|layer| layer.blocks.len() * size_of::<Block>()).sum()
    }
}

impl Layer {
    fn new(keys: usize) -> Self {
        Self { blocks: vec![Block::default(); keys.div_ceil(KEYS_PER_BLOCK)], keys: 0 }
    }

    fn room(&self) -> usize {
        self.blocks.len() * KEYS_PER_BLOCK
    }

    fn is_full(&self) -> bool {
        self.keys >= self.room()
    }

    /// Keys are hashes: the upper half says which block, the lower which bits.
    fn block(&self, key: Key) -> usize {
        let blocks = self.blocks.len() as u64;
        usize::try_from(((key.0 >> 32) * blocks) >> 32).unwrap_or(0)
    }

    fn may_have(&self, key: Key) -> bool {
        let Some(block) = self.blocks.get(self.block(key)) else { return false };
        block.iter().zip(bits(key)).all(|(word, bit)| word & bit != 0)
    }

    fn insert(&mut self, key: Key) {
        let at = self.block(key);
        if let Some(block) = self.blocks.get_mut(at) {
            block.iter_mut().zip(bits(key)).for_each(|(word, bit)| *word |= bit);
            self.keys += 1;
        }
    }
}

/// One bit for each word of a block.
fn bits(key: Key) -> Block {
    // Odd numbers, as Parquet's filters multiply with.
    const SALTS: Block = [
        0x47b6_137b,
        0x4497_4d91,
        0x8824_ad5b,
        0xa2b7_289d,
        0x7054_95c7,
        0x2df1_424b,
        0x9efc_4947,
        0x5c6b_fb31,
    ];
    let [.., a, b, c, d] = key.0.to_be_bytes();
    let low = u32::from_be_bytes([a, b, c, d]);
    SALTS.map(|salt| 1 << (low.wrapping_mul(salt) >> 27))
}
