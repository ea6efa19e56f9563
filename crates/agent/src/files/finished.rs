//! The index of finished files: which files were read to their end, exactly.
//!
//! It lies beside the spool, because a cursor of 64 KiB cannot name a million
//! files. The file begins with [`MAGIC`]; then come entries of [`ENTRY_BYTES`],
//! each three big-endian u64: key of the path, hash of the head, size read. A
//! later entry of the same key replaces an earlier one.
//!
//! Entries are durable before the cursor that counts them is handed out, so the
//! index always knows at least what the cursor says. It may know more: after a
//! fork, files that the journal does not have. So it is opened for a cursor: it
//! is cut where its files are exactly those that the cursor counts, and if
//! there is no such place it is lost.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use seam::{Disk, DiskFile, Open};
use sha2::{Digest, Sha256};

use super::cursor::Finished;

const MAGIC: &[u8; 24] = b"orgtrail finished files1";
const ENTRY_BYTES: usize = 24;

/// How many finished files are remembered: 24 bytes of memory each.
pub(super) const FINISHED_MAX: usize = 1_000_000;

/// How many entries wait in a map before they are sorted in among the rest.
const RECENT_MAX: usize = 16_384;

/// How many entries are read at once.
const READ_ENTRIES: usize = 4096;

/// The Bloom filter's words: 2 MiB, 16 bits for each of a million files.
const HEADS_WORDS: usize = 1 << 18;

/// Which words and bits of the filter a head sets.
fn places(head: u64) -> [(usize, u64); 4] {
    [0, 1, 2, 3].map(|number| {
        let word = (head >> (12 * number)) & (HEADS_WORDS as u64 - 1);
        let bit = 1 << (head.rotate_right(7 * number + 40) & 63);
        (usize::try_from(word).unwrap_or(0), bit)
    })
}

/// One finished file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry {
    pub(super) key: u64,
    pub(super) head: u64,
    pub(super) size: u64,
}

impl Entry {
    fn to_bytes(self) -> [u8; ENTRY_BYTES] {
        let mut bytes = [0; ENTRY_BYTES];
        let numbers = [self.key, self.head, self.size];
        for (place, number) in bytes.chunks_mut(8).zip(numbers) {
            place.copy_from_slice(&number.to_be_bytes());
        }
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let number = |at: usize| bytes.get(at..at + 8)?.try_into().ok().map(u64::from_be_bytes);
        Some(Self { key: number(0)?, head: number(8)?, size: number(16)? })
    }

    /// What the entry adds to the sum of all.
    fn weight(self) -> u128 {
        let digest = Sha256::digest(self.to_bytes());
        digest.first_chunk().map_or(0, |first| u128::from_be_bytes(*first))
    }
}

/// The index, open.
pub(super) struct Index {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    file: Option<Box<dyn DiskFile>>,
    sorted: Vec<Entry>,
    recent: BTreeMap<u64, Entry>,
    /// A Bloom filter of the heads: most new files were never seen by another
    /// name, and need no look at all entries.
    heads: Vec<u64>,
    files: u64,
    sum: u128,
}

impl Index {
    /// Opens the index at `path` for a cursor that counts `finished`; `None` if
    /// it does not hold what the cursor counts.
    pub(super) fn open(
        disk: Arc<dyn Disk>,
        path: &Path,
        finished: &Finished,
    ) -> io::Result<Option<Self>> {
        let mut index = Self::empty(disk, path);
        let mut file = match index.disk.open(path, Open::Append) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok((finished.files == 0).then_some(index));
            }
            Err(error) => return Err(error),
        };
        let Some(keep) = index.matching_bytes(file.as_mut(), finished)? else { return Ok(None) };
        index.clear();
        index.replay(file.as_mut(), keep, |_, _| ())?;
        if file.len()? > keep {
            file.set_len(keep)?;
            file.sync()?;
        }
        index.file = Some(file);
        Ok(Some(index))
    }

    /// Begins an empty index in place of whatever is at `path`.
    pub(super) fn anew(disk: Arc<dyn Disk>, path: &Path) -> io::Result<Self> {
        match disk.remove(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(Self::empty(disk, path)),
        }
    }

    pub(super) fn empty(disk: Arc<dyn Disk>, path: &Path) -> Self {
        Self {
            disk,
            path: path.to_owned(),
            file: None,
            sorted: Vec::new(),
            recent: BTreeMap::new(),
            heads: vec![0; HEADS_WORDS],
            files: 0,
            sum: 0,
        }
    }

    fn clear(&mut self) {
        self.sorted = Vec::new();
        self.recent.clear();
        (self.files, self.sum) = (0, 0);
    }

    /// The last length at which the file holds exactly what a cursor counts.
    fn matching_bytes(
        &mut self,
        file: &mut dyn DiskFile,
        finished: &Finished,
    ) -> io::Result<Option<u64>> {
        let mut magic = [0; MAGIC.len()];
        let read = file.read_at(&mut magic, 0)?;
        if read < magic.len() || magic != *MAGIC {
            // Cut off while it was made: it counts nothing yet.
            let is_torn = magic.get(..read).is_some_and(|torn| MAGIC.starts_with(torn));
            if finished.files == 0 && is_torn {
                file.set_len(0)?;
                file.append(MAGIC)?;
                return Ok(Some(MAGIC.len() as u64));
            }
            return Ok(None);
        }
        let mut keep = (finished.files == 0 && finished.sum == 0).then_some(MAGIC.len() as u64);
        let end = file.len()?;
        self.replay(file, end, |index, at| {
            if index.files == finished.files && index.sum == finished.sum {
                keep = Some(at);
            }
        })?;
        Ok(keep)
    }

    /// Takes in the entries of the first `end` bytes; `seen` hears of each with
    /// the position after it.
    fn replay(
        &mut self,
        file: &mut dyn DiskFile,
        end: u64,
        mut seen: impl FnMut(&Self, u64),
    ) -> io::Result<()> {
        let mut at = MAGIC.len() as u64;
        let mut buffer = vec![0; READ_ENTRIES * ENTRY_BYTES];
        while at + ENTRY_BYTES as u64 <= end {
            let left = usize::try_from(end - at).unwrap_or(usize::MAX);
            let count = buffer.len().min(left);
            let read = file.read_at(buffer.get_mut(..count).unwrap_or_default(), at)?;
            let whole = read - read % ENTRY_BYTES;
            if whole == 0 {
                break;
            }
            for bytes in buffer.get(..whole).unwrap_or_default().chunks(ENTRY_BYTES) {
                let Some(entry) = Entry::from_bytes(bytes) else { continue };
                self.insert(entry);
                at += ENTRY_BYTES as u64;
                seen(self, at);
            }
        }
        Ok(())
    }

    fn insert(&mut self, entry: Entry) {
        if let Some(old) = self.get(entry.key) {
            self.sum = self.sum.wrapping_sub(old.weight());
        } else {
            self.files += 1;
        }
        self.sum = self.sum.wrapping_add(entry.weight());
        self.recent.insert(entry.key, entry);
        for (word, bit) in places(entry.head) {
            if let Some(bits) = self.heads.get_mut(word) {
                *bits |= bit;
            }
        }
        if self.recent.len() < RECENT_MAX {
            return;
        }
        let recent = std::mem::take(&mut self.recent);
        self.sorted.retain(|old| !recent.contains_key(&old.key));
        self.sorted.extend(recent.into_values());
        self.sorted.sort_unstable();
    }

    /// The finished file with this key.
    pub(super) fn get(&self, key: u64) -> Option<Entry> {
        if let Some(entry) = self.recent.get(&key) {
            return Some(*entry);
        }
        let at = self.sorted.binary_search_by_key(&key, |entry| entry.key).ok()?;
        self.sorted.get(at).copied()
    }

    /// The finished files whose head has this hash, in order of their keys.
    pub(super) fn with_head(&self, head: u64) -> Vec<Entry> {
        let may_be = places(head)
            .into_iter()
            .all(|(word, bit)| self.heads.get(word).is_some_and(|bits| bits & bit > 0));
        if !may_be {
            return Vec::new();
        }
        let same = |entry: &&Entry| entry.head == head;
        let replaced = |entry: &&Entry| self.recent.contains_key(&entry.key);
        let old = self.sorted.iter().filter(same).filter(|entry| !replaced(entry));
        let mut found: Vec<_> = old.chain(self.recent.values().filter(same)).copied().collect();
        found.sort_unstable();
        found
    }

    /// Whether no more files can be remembered.
    pub(super) fn is_full(&self) -> bool {
        self.sorted.len() + self.recent.len() >= FINISHED_MAX
    }

    /// How many files there are, and the sum of their hashes.
    pub(super) fn standing(&self) -> (u64, u128) {
        (self.files, self.sum)
    }

    /// Remembers files, durably when this returns.
    pub(super) fn add(&mut self, entries: &[Entry]) -> io::Result<()> {
        if self.file.is_none() {
            let dir = self.path.parent().unwrap_or(Path::new("."));
            self.disk.create_dir(dir)?;
            let mut file = self.disk.open(&self.path, Open::CreateNew)?;
            file.append(MAGIC)?;
            file.sync()?;
            self.disk.sync_dir(dir)?;
            self.file = Some(file);
        }
        let bytes: Vec<u8> = entries.iter().flat_map(|entry| entry.to_bytes()).collect();
        if let Some(file) = &mut self.file {
            file.append(&bytes)?;
            file.sync()?;
        }
        for entry in entries {
            self.insert(*entry);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use seam::LocalDisk;

    use super::*;

    fn entries(from: u64, to: u64) -> Vec<Entry> {
        (from..to).map(|key| Entry { key, head: key / 2, size: key * 10 }).collect()
    }

    fn standing(index: &Index) -> Finished {
        let (files, sum) = index.standing();
        Finished { files, sum, path: String::new() }
    }

    /// The index may be ahead of the cursor by any number of entries, and its
    /// last entry may be torn: it is cut to what the cursor counts.
    #[test]
    fn an_index_is_cut_to_exactly_what_the_cursor_counts() {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = dir.path().join("state/x.finished");
        let disk: Arc<dyn Disk> = Arc::new(LocalDisk);
        let nothing = Finished::default();
        let mut index = Index::open(disk.clone(), &path, &nothing).expect("open").expect("empty");
        index.add(&entries(0, 20_000)).expect("add");
        let first = standing(&index);
        index.add(&[Entry { key: 5, head: 9, size: 99 }]).expect("add");
        let second = standing(&index);
        index.add(&entries(20_000, 30_000)).expect("add");
        drop(index);
        let index = Index::open(disk.clone(), &path, &second).expect("open").expect("there");
        assert_eq!(standing(&index), second);
        assert_eq!(index.get(5).map(|entry| entry.size), Some(99), "the later entry counts");
        assert_eq!(index.get(19_999).map(|entry| entry.size), Some(199_990));
        assert_eq!(index.get(20_000), None, "the cursor does not count it");
        assert_eq!(index.with_head(50).len(), 2);
        drop(index);
        let mut file = disk.open(&path, Open::Append).expect("open");
        file.append(&[1; 10]).expect("append");
        let index = Index::open(disk.clone(), &path, &first).expect("open").expect("there");
        assert_eq!(index.get(5).map(|entry| entry.size), Some(50));
        drop(index);
        assert!(Index::open(disk.clone(), &path, &second).expect("open").is_none(), "lost");
        assert!(Index::open(disk.clone(), &dir.path().join("y"), &first).expect("open").is_none());
        let index = Index::open(disk, &path, &nothing).expect("open").expect("empty");
        assert_eq!(index.get(1), None);
    }
}
