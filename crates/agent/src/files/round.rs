//! One look at all files: which are new, which grew, which were renamed.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use seam::Open;
use tracing::warn;

use super::cursor::{Progress, Tracked};
use super::head::{HEAD_BYTES, Head, first_bytes, hash64};
use super::reader::{Reader, Todo};
use super::walk::{Seen, Unlisted, walk};
use crate::source::SourceError;

/// How many files one round takes on; the next takes on the others.
const TODO_MAX: usize = 16_384;

/// How many new files one round holds against known ones.
const SUSPECTS_MAX: usize = 1_024;

/// In how many rounds a file that ends too soon must have the same length
/// before it counts as cut off.
const PATIENCE_ROUNDS: u32 = 10;

/// In how many rounds two paths must hold the same bytes before they count as
/// two files.
const COPY_ROUNDS: u32 = 5;

/// In how many rounds a file must be gone before it is forgotten.
const GONE_ROUNDS: u32 = 5;

/// A finished file whose size is the same is held against its head every so
/// many rounds: it may have been replaced by another of the same size.
const VERIFY_ROUNDS: u64 = 64;

/// What one round has seen.
pub(super) struct Round {
    began: Timestamp,
    /// Whether all that was there will have been read when it ends.
    pub(super) complete: bool,
    /// The first file that could not be read.
    pub(super) unreadable: Option<(PathBuf, io::Error)>,
    seen: BTreeSet<u64>,
    /// Paths that hold another file than before.
    changed: BTreeMap<u64, Seen>,
    /// New paths that begin like a known file, and those files.
    suspects: Vec<(u64, Seen, BTreeSet<u64>)>,
}

impl Reader {
    /// Looks at all files and decides what is to be read.
    pub(super) fn begin_round(&mut self) {
        let mut round = Round {
            began: self.clock.now(),
            complete: true,
            unreadable: None,
            seen: BTreeSet::new(),
            changed: BTreeMap::new(),
            suspects: Vec::new(),
        };
        let disk = Arc::clone(&self.disk);
        let root = self.root.clone();
        if let Some(only) = self.only.clone() {
            // A file's directory, but not what is below it.
            match disk.list(&root) {
                Ok(entries) => {
                    for entry in entries.into_iter().filter(|entry| !entry.is_dir) {
                        let beside = entry.name.as_encoded_bytes();
                        if beside.starts_with(only.as_encoded_bytes()) {
                            let path = root.join(&entry.name);
                            self.see(&mut round, Ok(Seen { path, len: entry.len }));
                        }
                    }
                }
                Err(error) => self.see(&mut round, Err((root.clone(), error))),
            }
        } else {
            walk(disk.as_ref(), &root, &mut |seen| self.see(&mut round, seen));
        }
        self.renamed(&mut round);
        self.replaced(&mut round);
        self.looked.retain(|key, _| round.seen.contains(key));
        if round.unreadable.is_none() {
            self.told.clear();
        }
        self.gone(&round);
        self.rounds += 1;
        self.round = Some(round);
    }

    /// Ends a round when all its files were read; whether to go on at once.
    pub(super) fn end_round(&mut self) -> Result<bool, SourceError> {
        let Some(round) = self.round.take() else { return Ok(false) };
        if round.complete {
            self.standing_mut().caught_up_at = Some(round.began);
        }
        if self.follow {
            return Ok(false);
        }
        if let Some((path, source)) = round.unreadable {
            return Err(SourceError::Read { object: path.display().to_string(), source });
        }
        self.standing_mut().finished = round.complete;
        Ok(!round.complete && self.standing().waits.is_none())
    }

    fn see(&mut self, round: &mut Round, seen: Result<Seen, Unlisted>) {
        let seen = match seen {
            Ok(seen) => seen,
            Err((path, error)) => {
                self.cannot_read(round, &path, error);
                return;
            }
        };
        let key = hash64(self.below_root(&seen.path).as_os_str().as_encoded_bytes());
        let known = self.cursor.files.get(&key).cloned();
        if self.looked.contains_key(&key) {
            round.seen.insert(key);
        }
        if known.is_some() {
            round.seen.insert(key);
            self.paths.insert(key, self.below_root(&seen.path).to_owned());
        }
        match known.or_else(|| self.finished(key)) {
            Some(tracked) => self.see_known(round, key, seen, tracked),
            None => self.see_new(round, key, seen),
        }
    }

    /// What the index knows of a file.
    fn finished(&self, key: u64) -> Option<Tracked> {
        let entry = self.index.get(key)?;
        let len = u16::try_from(entry.size.min(HEAD_BYTES as u64)).unwrap_or(u16::MAX);
        let head = Head { len, hash: entry.head };
        Some(Tracked { head, progress: Progress::Done(entry.size) })
    }

    fn see_known(&mut self, round: &mut Round, key: u64, seen: Seen, tracked: Tracked) {
        let mut last = false;
        if tracked.progress == Progress::Done(seen.len) {
            let turn = self.rounds.wrapping_add(key).is_multiple_of(VERIFY_ROUNDS);
            if !turn && (self.follow || self.rounds > 0) {
                return;
            }
        } else if let Some(looked) =
            self.looked.get_mut(&key).filter(|looked| looked.len == seen.len)
        {
            looked.rounds += 1;
            round.complete &= looked.line;
            if looked.line || looked.rounds < PATIENCE_ROUNDS {
                return;
            }
            last = true;
        }
        let same = seen.len >= tracked.size_min();
        match self.first_bytes(&seen.path) {
            Ok(first) if same && tracked.head.begins(&first) => {
                if tracked.progress != Progress::Done(seen.len) {
                    self.take_on(
                        round,
                        Todo { path: seen.path, key, tracked: Some(tracked), last },
                    );
                }
            }
            Ok(first) => {
                let mut like = self.like(&first);
                like.remove(&key);
                if !like.is_empty() {
                    round.suspects.push((key, seen.clone(), like));
                }
                round.changed.insert(key, seen);
            }
            Err(error) => self.cannot_read(round, &seen.path, error),
        }
    }

    fn see_new(&mut self, round: &mut Round, key: u64, seen: Seen) {
        if seen.len == 0 {
            return;
        }
        let is_wanted = self.only.is_none() || seen.path.file_name() == self.only.as_deref();
        let mut last = false;
        if let Some(looked) = self.looked.get_mut(&key).filter(|looked| looked.len == seen.len) {
            looked.rounds += 1;
            round.complete &= looked.line;
            if looked.line || looked.rounds < PATIENCE_ROUNDS {
                return;
            }
            last = true;
        }
        if self.todo.len() >= TODO_MAX || round.suspects.len() >= SUSPECTS_MAX {
            round.complete = false;
            return;
        }
        if !self.cursor.files.is_empty() || self.index.standing().0 > 0 {
            match self.first_bytes(&seen.path) {
                Ok(first) => {
                    let mut like = self.like(&first);
                    like.remove(&key);
                    if !like.is_empty() {
                        round.suspects.push((key, seen, like));
                        return;
                    }
                }
                Err(error) => return self.cannot_read(round, &seen.path, error),
            }
        }
        if is_wanted {
            self.take_on(round, Todo { path: seen.path, key, tracked: None, last });
        }
    }

    /// The known files that begin with these bytes.
    fn like(&self, first: &[u8]) -> BTreeSet<u64> {
        let mut heads = BTreeMap::new();
        let mut like: BTreeSet<_> = self
            .cursor
            .files
            .iter()
            .filter(|(_, tracked)| usize::from(tracked.head.len) <= first.len())
            .filter(|(_, tracked)| {
                let len = usize::from(tracked.head.len);
                let head = heads
                    .entry(len)
                    .or_insert_with(|| Head::of(first.get(..len).unwrap_or_default()));
                *head == tracked.head
            })
            .map(|(&key, _)| key)
            .collect();
        let finished = self.index.with_head(Head::of(first).hash);
        like.extend(finished.into_iter().map(|entry| entry.key));
        like
    }

    fn take_on(&mut self, round: &mut Round, todo: Todo) {
        if self.todo.len() < TODO_MAX {
            self.todo.push_back(todo);
        } else {
            round.complete = false;
        }
    }

    fn first_bytes(&self, path: &Path) -> io::Result<Vec<u8>> {
        first_bytes(self.disk.open(path, Open::Read)?.as_mut())
    }

    /// Decides for each new file that begins like a known one whether it is
    /// that one under a new name, or a copy.
    fn renamed(&mut self, round: &mut Round) {
        let suspects = std::mem::take(&mut round.suspects);
        let still: BTreeSet<u64> = suspects.iter().map(|(key, _, _)| *key).collect();
        self.copies.retain(|key, _| still.contains(key));
        if suspects.is_empty() {
            return;
        }
        let wanted: BTreeSet<u64> = suspects.iter().flat_map(|(_, _, like)| like.clone()).collect();
        let standing = self.unchanged(&wanted, round);
        let mut moves = BTreeMap::new();
        for (key, seen, like) in suspects {
            let is_free = |old: &&u64| {
                !standing.contains(old)
                    && !moves.contains_key(*old)
                    && self.size_min(**old) <= seen.len
            };
            if let Some(&old) = like.iter().find(is_free) {
                round.changed.remove(&key);
                moves.insert(old, (key, seen));
            } else if !round.changed.contains_key(&key) {
                self.copied(round, key, seen);
            }
        }
        // All leave their old names before any takes a new one: names may move
        // in a row.
        let moves: Vec<_> = moves
            .into_iter()
            .filter_map(|(old, (key, seen))| Some((self.leave(old)?, key, seen)))
            .collect();
        for (tracked, key, seen) in moves {
            self.continue_as(round, tracked, key, seen);
        }
    }

    /// The fewest bytes that a known file has.
    fn size_min(&self, key: u64) -> u64 {
        let known = self.cursor.files.get(&key).cloned().or_else(|| self.finished(key));
        known.map_or(0, |known| known.size_min())
    }

    /// A new file that begins like one that still stands where it was.
    fn copied(&mut self, round: &mut Round, key: u64, seen: Seen) {
        let is_wanted = self.only.is_none() || seen.path.file_name() == self.only.as_deref();
        let rounds = self.copies.entry(key).or_default();
        *rounds += 1;
        if self.follow && *rounds < COPY_ROUNDS {
            round.complete = false;
        } else if is_wanted {
            self.copies.remove(&key);
            self.take_on(round, Todo { path: seen.path, key, tracked: None, last: false });
        }
    }

    /// Which of the wanted files still stand under their old path.
    fn unchanged(&self, wanted: &BTreeSet<u64>, round: &Round) -> BTreeSet<u64> {
        let mut standing = BTreeSet::new();
        let mut check = |seen: Seen| {
            let key = hash64(self.below_root(&seen.path).as_os_str().as_encoded_bytes());
            if !wanted.contains(&key) || round.changed.contains_key(&key) {
                return;
            }
            let known = self.cursor.files.get(&key).cloned().or_else(|| self.finished(key));
            let first = self.first_bytes(&seen.path).unwrap_or_default();
            if known.is_some_and(|known| seen.len >= known.size_min() && known.head.begins(&first))
            {
                standing.insert(key);
            }
        };
        walk(self.disk.as_ref(), &self.root, &mut |seen| {
            if let Ok(seen) = seen {
                check(seen);
            }
        });
        standing
    }

    /// Takes what is known of a file from its old name.
    fn leave(&mut self, old: u64) -> Option<Tracked> {
        self.looked.remove(&old);
        self.missing.remove(&old);
        match self.cursor.files.contains_key(&old) {
            true => self.cursor.remove(old),
            false => self.finished(old),
        }
    }

    /// Goes on with a file under its new name.
    fn continue_as(&mut self, round: &mut Round, tracked: Tracked, key: u64, seen: Seen) {
        self.copies.remove(&key);
        self.paths.insert(key, self.below_root(&seen.path).to_owned());
        self.cursor.set(key, tracked.clone());
        round.seen.insert(key);
        if tracked.progress != Progress::Done(seen.len) {
            // The older events first.
            self.todo.push_front(Todo {
                path: seen.path,
                key,
                tracked: Some(tracked),
                last: false,
            });
        }
    }

    /// Begins anew where a path holds another file.
    fn replaced(&mut self, round: &mut Round) {
        for (key, seen) in std::mem::take(&mut round.changed) {
            self.looked.remove(&key);
            if let Some(Tracked { progress: Progress::At(_), .. }) = self.cursor.remove(key) {
                warn!(source = %self.name, file = %seen.path.display(), "replaced before it was read to its end");
            }
            if seen.len > 0 {
                let todo = Todo { path: seen.path, key, tracked: None, last: false };
                self.take_on(round, todo);
            }
        }
    }

    /// Forgets files that are gone for good.
    fn gone(&mut self, round: &Round) {
        if !self.follow || round.unreadable.is_some() {
            return;
        }
        let keys: Vec<u64> = self.cursor.files.keys().copied().collect();
        for key in keys {
            if round.seen.contains(&key) {
                self.missing.remove(&key);
                continue;
            }
            let rounds = self.missing.entry(key).or_default();
            *rounds += 1;
            if *rounds < GONE_ROUNDS {
                continue;
            }
            self.missing.remove(&key);
            self.looked.remove(&key);
            let path = self.paths.remove(&key).unwrap_or_default();
            if let Some(Tracked { progress: Progress::At(_), .. }) = self.cursor.remove(key) {
                warn!(source = %self.name, file = %path.display(), "gone before it was read to its end");
            }
        }
    }
}
