//! Runs as bytes: written, merged, read whole.

use std::collections::BTreeSet;
use std::ops::Range;

use bytes::Bytes;
use event::AccountId;
use object_store::path::Path;
use store::Store;

use super::{ENTRY_BYTES, Entry, Key, Place};
use crate::error::TableError;
use crate::files::read_range;
use crate::log::RunAdded;
use crate::state::KeyRun;

/// How an object's runs are sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyOrder {
    /// By key alone, as the first releases had it.
    Key,
    /// By account and key, behind an index.
    Account,
}

impl KeyOrder {
    fn header(self) -> &'static [u8; ENTRY_BYTES] {
        match self {
            Self::Key => b"orgtrail/keys/1\n",
            Self::Account => b"orgtrail/keys/2\n",
        }
    }
}

/// A new entry, and whose event it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct NewKey {
    pub(crate) account: AccountId,
    pub(crate) entry: Entry,
}

/// Where the entries of each account lie in a run; empty for a run without an index.
#[derive(Clone, Debug)]
pub(super) struct Index {
    bytes: Bytes,
    entries: u64,
}

impl Index {
    /// The index of a run, from its bytes.
    pub(super) fn of(run: &KeyRun, bytes: Bytes) -> Self {
        Self { bytes, entries: run.entries }
    }

    /// The entries of the account of this number, if there are any.
    pub(super) fn find(&self, account: u64) -> Option<Range<u64>> {
        let accounts = self.bytes.len() / ENTRY_BYTES;
        let (mut low, mut high) = (0, accounts);
        while low < high {
            let middle = low.midpoint(high);
            match self.at(middle) {
                Some((other, _)) if other < account => low = middle + 1,
                _ => high = middle,
            }
        }
        let (_, from) = self.at(low).filter(|(found, _)| *found == account)?;
        let to = self.at(low + 1).map_or(self.entries, |(_, from)| from);
        (from < to && to <= self.entries).then_some(from..to)
    }

    fn accounts(&self) -> impl Iterator<Item = u64> {
        (0..self.bytes.len() / ENTRY_BYTES).filter_map(|place| Some(self.at(place)?.0))
    }

    /// The account at `place`, and the entries before its own.
    fn at(&self, place: usize) -> Option<(u64, u64)> {
        numbers(&self.bytes, place)
    }
}

/// A run that was read whole.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    index: Index,
    pub(super) entries: Bytes,
}

impl Run {
    /// The entries of the account of this number.
    fn of(&self, account: u64) -> &[u8] {
        let at = |entries: u64| usize::try_from(entries).ok()?.checked_mul(ENTRY_BYTES);
        let range = self.index.find(account);
        let range = range.and_then(|range| Some(at(range.start)?..at(range.end)?));
        range.and_then(|range| self.entries.get(range)).unwrap_or_default()
    }
}

/// An object of runs that was not put yet.
#[derive(Debug)]
pub(crate) struct KeyFile {
    pub(crate) bytes: Vec<u8>,
    order: KeyOrder,
}

impl KeyFile {
    /// One without runs.
    pub(crate) fn new(order: KeyOrder) -> Self {
        Self { bytes: order.header().to_vec(), order }
    }

    /// Adds one date's run: new entries, and the runs that they take the place of, which
    /// are sorted alike.
    pub(crate) fn add(&mut self, old: &[Run], new: &[NewKey], replaces: usize) -> RunAdded {
        let (accounts, entries) = match self.order {
            KeyOrder::Key => {
                let runs = old.iter().map(|run| run.entries.as_ref());
                let new = new.iter().map(|new| new.entry);
                (0, encode(merged(runs, new), &mut self.bytes))
            }
            KeyOrder::Account => self.add_by_account(old, new),
        };
        let slots = (self.bytes.len() / ENTRY_BYTES) as u64;
        RunAdded { from: slots - 1 - entries, entries, accounts, replaces }
    }

    /// One account after the other, so that in memory is the run and one account more.
    fn add_by_account(&mut self, old: &[Run], new: &[NewKey]) -> (u64, u64) {
        let mut new = new.to_vec();
        new.sort_unstable();
        let known = old.iter().flat_map(|run| run.index.accounts());
        let accounts: BTreeSet<u64> =
            known.chain(new.iter().map(|new| new.account.number())).collect();
        let index = self.bytes.len();
        self.bytes.resize(index + accounts.len() * ENTRY_BYTES, 0);
        let mut entries = 0;
        for (place, account) in accounts.iter().enumerate() {
            let at = index + place * ENTRY_BYTES;
            if let Some(slot) = self.bytes.get_mut(at..at + ENTRY_BYTES) {
                let (number, before) = slot.split_at_mut(8);
                number.copy_from_slice(&account.to_be_bytes());
                before.copy_from_slice(&u64::to_be_bytes(entries));
            }
            let from = new.partition_point(|new| new.account.number() < *account);
            let own = new.iter().skip(from).take_while(|new| new.account.number() == *account);
            let runs = old.iter().map(|run| run.of(*account));
            entries += encode(merged(runs, own.map(|new| new.entry)), &mut self.bytes);
        }
        (accounts.len() as u64, entries)
    }
}

/// The entries of a run's bytes.
pub(super) fn entries(bytes: &[u8]) -> impl Iterator<Item = Entry> {
    (0..bytes.len() / ENTRY_BYTES).map_while(|index| entry(bytes, index))
}

/// Appends entries; they are sorted.
pub(super) fn encode(entries: impl Iterator<Item = Entry>, out: &mut Vec<u8>) -> u64 {
    let mut count = 0;
    for Entry { key, place } in entries {
        out.extend_from_slice(&key.0.to_be_bytes());
        out.extend_from_slice(&place.0.to_be_bytes());
        count += 1;
    }
    count
}

/// The entry at `index` of a run's bytes.
pub(super) fn entry(bytes: &[u8], index: usize) -> Option<Entry> {
    let (key, place) = numbers(bytes, index)?;
    Some(Entry { key: Key(key), place: Place(place) })
}

/// The two numbers at `index` of bytes that are pairs of them.
fn numbers(bytes: &[u8], index: usize) -> Option<(u64, u64)> {
    let bytes = bytes.get(index * ENTRY_BYTES..(index + 1) * ENTRY_BYTES)?;
    let (one, other) = bytes.split_first_chunk::<8>()?;
    Some((u64::from_be_bytes(*one), u64::from_be_bytes(*other.first_chunk::<8>()?)))
}

/// Merges runs and new entries, all sorted.
pub(super) fn merged<'a>(
    runs: impl Iterator<Item = &'a [u8]>,
    new: impl Iterator<Item = Entry>,
) -> impl Iterator<Item = Entry> {
    let mut all: Vec<Entry> = runs.flat_map(entries).collect();
    all.extend(new);
    // A stable sort finds what is sorted already, and merges it.
    all.sort();
    all.into_iter()
}

/// The bytes of a run's index and of its entries, in those of its object.
pub(super) fn run_in<'a>(object: &'a [u8], run: &KeyRun) -> (&'a [u8], &'a [u8]) {
    let at = |slot: u64| usize::try_from((slot + 1) * ENTRY_BYTES as u64).ok();
    let part = |range: Range<u64>| {
        let range = at(range.start).zip(at(range.end));
        range.and_then(|(start, end)| object.get(start..end)).unwrap_or_default()
    };
    (part(run.from.saturating_sub(run.accounts)..run.from), part(run.from..run.from + run.entries))
}

/// Reads a run whole, to merge it.
pub(crate) async fn read_run(store: &Store, run: &KeyRun) -> Result<Run, TableError> {
    let first = run.from.saturating_sub(run.accounts);
    let mut bytes = read_slots(store, &run.path, first..run.from + run.entries).await?;
    let index = usize::try_from(run.from - first).unwrap_or(usize::MAX) * ENTRY_BYTES;
    let entries = bytes.split_off(index.min(bytes.len()));
    Ok(Run { index: Index::of(run, bytes), entries })
}

/// Reads so many bytes of an object as the slots behind its header take, an entry each.
pub(super) async fn read_slots(
    store: &Store,
    path: &str,
    slots: Range<u64>,
) -> Result<Bytes, TableError> {
    let at = |slot: u64| (slot + 1) * ENTRY_BYTES as u64;
    let range = at(slots.start)..at(slots.end);
    let wanted = range.end - range.start;
    let bytes = read_range(store, &Path::from(path), range).await?;
    if bytes.len() as u64 == wanted {
        return Ok(bytes);
    }
    let what = format!("it has {} of the {wanted} bytes of a run", bytes.len());
    Err(TableError::Damaged { path: path.to_owned(), what })
}
