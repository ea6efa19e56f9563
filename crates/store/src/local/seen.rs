//! Which sightings are already durable, so that reading a finished directory
//! does not sync it for each file.
//!
//! A sync makes durable every name that was in the directory before it began.
//! So a name needs no sync of its own if it came about strictly before the
//! directory's last change that a sync has covered, and the directory has not
//! changed since. Times here are the file system's own, of two of its entries,
//! compared with each other and never with a clock; a tie syncs.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// How many directories are remembered; past that, all begin anew.
const SYNCED_DIRS_MAX: usize = 65_536;

/// Seconds and nanoseconds, by the file system.
pub(super) type Moment = (i64, i64);

/// For each directory, its last change when a sync of it began.
#[derive(Default)]
pub(super) struct Synced(Mutex<BTreeMap<PathBuf, Moment>>);

/// What must be told after the sync that a sighting needs.
pub(super) struct Pending(Option<Moment>);

impl Synced {
    /// Whether seeing `file` in `dir` asks for a sync of `dir`.
    pub(super) fn needed(&self, dir: &Path, file: &Path) -> Option<Pending> {
        let changed = fs::metadata(dir).ok().map(|meta| (meta.mtime(), meta.mtime_nsec()));
        let named = fs::metadata(file).ok().map(|meta| (meta.ctime(), meta.ctime_nsec()));
        let (Some(changed), Some(named)) = (changed, named) else { return Some(Pending(None)) };
        let synced = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(dir).copied();
        let covered = synced == Some(changed) && named < changed;
        (!covered).then_some(Pending(Some(changed)))
    }

    /// `dir` was synced after [`Synced::needed`] gave `pending`.
    pub(super) fn done(&self, dir: &Path, pending: &Pending) {
        let Some(changed) = pending.0 else { return };
        let mut synced = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if synced.len() >= SYNCED_DIRS_MAX {
            synced.clear();
        }
        synced.insert(dir.to_owned(), changed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_covered_only_by_a_sync_after_a_later_change() {
        let dir = tempfile::tempdir().expect("temp dir");
        let file = |name: &str| dir.path().join(name);
        // Coarse clocks: long enough for the next change to have a later time.
        let tick = || std::thread::sleep(std::time::Duration::from_millis(30));
        let synced = Synced::default();
        let sync = |pending: Option<Pending>| {
            synced.done(dir.path(), &pending.expect("a sync is needed"));
        };
        fs::write(file("a"), "a").expect("write");
        tick();
        fs::write(file("b"), "b").expect("write");
        sync(synced.needed(dir.path(), &file("a")));
        assert!(synced.needed(dir.path(), &file("a")).is_none(), "older than the synced change");
        assert!(synced.needed(dir.path(), &file("b")).is_some(), "a tie syncs");
        tick();
        fs::write(file("c"), "c").expect("write");
        assert!(synced.needed(dir.path(), &file("a")).is_some(), "the directory changed");
        sync(synced.needed(dir.path(), &file("c")));
        assert!(synced.needed(dir.path(), &file("b")).is_none());
        assert!(synced.needed(dir.path(), &file("absent")).is_some());
    }
}
