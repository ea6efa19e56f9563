//! Asks for the ends of files before it is their turn.
//!
//! A scan opens one file in each of its parts at a time, and has to wait for it: in object
//! storage a hundred times longer than it takes to decode a small one. So those that come
//! next are asked for while the ones before are awaited and decoded.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use datafusion::common::runtime::SpawnedTask;
use object_store::path::Path;
use store::{Store, StoreError};

use crate::reader::end_of;

/// Files that are asked for before their turn: 8 MiB at most.
const AHEAD_FILES_MAX: usize = 64;

/// How many of them, passed over by later ones, may still be opened. What a scan found out on
/// its way that it need not open is let go after as many more.
const PASSED_FILES_MAX: usize = 16;

/// The bytes that a file ends with, asked for and perhaps here.
pub(crate) type Asked = SpawnedTask<Result<Bytes, StoreError>>;

/// The files of one scan, which opens them in the order of their paths.
pub(crate) struct Ahead {
    store: Store,
    files: Mutex<Files>,
}

struct Files {
    /// What was not asked for yet, with its size in bytes.
    left: VecDeque<(Path, u64)>,
    /// What was, and was not opened yet.
    asked: VecDeque<(Path, Asked)>,
}

impl fmt::Debug for Ahead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ahead").finish_non_exhaustive()
    }
}

impl Ahead {
    /// Files by path and size in bytes, of which none is asked for before one is opened.
    pub(crate) fn new(store: Store, files: impl Iterator<Item = (Path, u64)>) -> Self {
        let mut left: Vec<(Path, u64)> = files.collect();
        left.sort_unstable();
        let files = Files { left: left.into(), asked: VecDeque::new() };
        Self { store, files: Mutex::new(files) }
    }

    /// A file is opened: gives its end, if that was asked for, and asks for those of the next.
    pub(crate) fn opens(&self, path: &Path) -> Option<Asked> {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let Files { left, asked } = &mut *files;
        let its = asked.iter().position(|(other, _)| other == path);
        let its = its.and_then(|at| asked.remove(at)).map(|(_, end)| end);
        let passed = asked.iter().take_while(|(other, _)| other < path).count();
        asked.drain(..passed.saturating_sub(PASSED_FILES_MAX));
        while left.front().is_some_and(|(next, _)| next <= path) {
            left.pop_front();
        }
        while asked.len() < AHEAD_FILES_MAX
            && let Some((next, file_bytes)) = left.pop_front()
        {
            let (store, of) = (self.store.clone(), next.clone());
            let end = async move { store.get_range(&of, end_of(file_bytes)).await };
            asked.push_back((next, SpawnedTask::spawn(end)));
        }
        its
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(number: usize) -> Path {
        Path::from(format!("files/{number:03}"))
    }

    /// Files of so many bytes as their number says, which are opened one after another.
    async fn files(count: usize) -> (Store, Ahead) {
        let store = Store::open(&format!("memory://ahead-{count}")).await.expect("open");
        for number in 0..count {
            let bytes = Bytes::from(vec![b'x'; number]);
            store.create(&path(number), bytes).await.expect("create");
        }
        let listed = (0..count).rev().map(|number| (path(number), number as u64));
        let ahead = Ahead::new(store.clone(), listed);
        (store, ahead)
    }

    #[tokio::test]
    async fn whoever_opens_files_in_turn_finds_all_but_the_first_asked_for() {
        let (_store, ahead) = files(200).await;
        assert!(ahead.opens(&path(0)).is_none());
        for number in 1..200 {
            let end = ahead.opens(&path(number)).expect("asked for").join().await;
            assert_eq!(end.expect("joined").expect("there").len(), number);
        }
        assert!(ahead.opens(&path(7)).is_none(), "given once");
    }

    #[tokio::test]
    async fn what_is_never_opened_keeps_nothing_from_being_asked_for() {
        let (store, ahead) = files(1_000).await;
        ahead.opens(&path(0));
        for number in [400, 401, 402, 900] {
            ahead.opens(&path(number));
        }
        assert!(ahead.opens(&path(901)).is_some());
        tokio::task::yield_now().await;
        let asked = ahead.files.lock().expect("a lock").asked.len();
        assert!(asked <= AHEAD_FILES_MAX, "{asked}");
        assert!(store.reads().requests() < 300, "passed over and not asked for");
    }

    #[tokio::test]
    async fn a_sibling_that_is_late_finds_its_file() {
        let (_store, ahead) = files(100).await;
        ahead.opens(&path(0));
        ahead.opens(&path(2));
        ahead.opens(&path(3));
        assert!(ahead.opens(&path(1)).is_some());
    }

    #[tokio::test]
    async fn a_file_that_is_gone_is_told_to_whoever_opens_it() {
        let (store, ahead) = files(10).await;
        store.delete(&path(5)).await.expect("delete");
        ahead.opens(&path(4));
        let end = ahead.opens(&path(5)).expect("asked for").join().await.expect("joined");
        assert!(matches!(end, Err(StoreError::Absent { .. })), "{end:?}");
    }
}
