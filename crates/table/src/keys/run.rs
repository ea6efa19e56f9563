//! Runs as bytes: written, merged, read whole.

use bytes::Bytes;
use object_store::path::Path;
use store::Store;

use super::{ENTRY_BYTES, Entry, Key, Place};
use crate::error::TableError;
use crate::files::read_range;
use crate::log::RunAdded;
use crate::state::KeyRun;

const HEADER: &[u8; ENTRY_BYTES] = b"orgtrail/keys/1\n";

/// An object of runs that was not put yet.
#[derive(Debug)]
pub(crate) struct KeyFile {
    pub(crate) bytes: Vec<u8>,
    entries: u64,
}

impl KeyFile {
    /// One without runs.
    pub(crate) fn new() -> Self {
        Self { bytes: HEADER.to_vec(), entries: 0 }
    }

    /// Adds one date's run: new entries, and the runs that they take the place of.
    pub(crate) fn add(&mut self, old: &[Bytes], new: &[Entry], replaces: usize) -> RunAdded {
        let from = self.entries;
        let entries = encode(merged(old, new), &mut self.bytes);
        self.entries += entries;
        RunAdded { from, entries, replaces }
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
    let bytes = bytes.get(index * ENTRY_BYTES..(index + 1) * ENTRY_BYTES)?;
    let (key, place) = bytes.split_first_chunk::<8>()?;
    let place = place.first_chunk::<8>()?;
    Some(Entry { key: Key(u64::from_be_bytes(*key)), place: Place(u64::from_be_bytes(*place)) })
}

/// Merges runs and new entries, all sorted.
pub(super) fn merged(runs: &[Bytes], new: &[Entry]) -> impl Iterator<Item = Entry> {
    let mut all: Vec<Entry> = runs.iter().flat_map(|run| entries(run)).collect();
    all.extend(new);
    // A stable sort finds what is sorted already, and merges it.
    all.sort();
    all.into_iter()
}

/// The bytes of a run in those of its object.
pub(super) fn run_in<'a>(object: &'a [u8], run: &KeyRun) -> &'a [u8] {
    let at = |entries: u64| usize::try_from((entries + 1) * ENTRY_BYTES as u64).ok();
    let range = at(run.from).zip(at(run.from + run.entries));
    range.and_then(|(start, end)| object.get(start..end)).unwrap_or_default()
}

/// Reads a run whole, to merge it.
pub(crate) async fn read_run(store: &Store, run: &KeyRun) -> Result<Bytes, TableError> {
    let entry_bytes = ENTRY_BYTES as u64;
    let start = (run.from + 1) * entry_bytes;
    let range = start..start + run.entries * entry_bytes;
    let wanted = run.entries * entry_bytes;
    let bytes = read_range(store, &Path::from(run.path.as_str()), range).await?;
    if bytes.len() as u64 == wanted {
        return Ok(bytes);
    }
    let what = format!("it has {} of the {wanted} bytes of a run", bytes.len());
    Err(TableError::Damaged { path: run.path.clone(), what })
}
