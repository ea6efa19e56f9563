//! Sources of files: one file, or a directory with all below it.
//!
//! A run that reads to the end takes what is there and ends. A run that follows
//! looks for news every second, for new files as for files that grew, across
//! restarts and rotation.
//!
//! A file is known by its path and its first 4 KiB, never by its inode. If its
//! path is gone, or holds another file now, and a new path begins with the same
//! bytes, then the file was renamed: it is continued there. If both paths hold
//! those bytes they are two files, and both are read; a run that follows waits
//! some rounds before it believes so, because a log that is copied and then cut
//! looks the same for a while.
//!
//! Layout: `head` is how a file is known, `cursor` what is committed, `finished`
//! the index of what was read to its end, `walk` lists, `round` decides what is
//! to be read, `reader` reads it.
//!
//! # Why an index beside the cursor
//! A cursor of 64 KiB holds 500 files; a directory may hold a million. Those
//! that were read to their end leave the cursor, which then only counts them
//! and keeps the sum of their hashes. If the index is lost, the files are
//! counted again; if the sum is another, they are read again and that is said
//! loudly: an event twice can be found, an event never read cannot.

mod cursor;
mod finished;
mod head;
mod reader;
mod round;
mod walk;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use seam::{Blocking, Clock, Disk};
use serde_json::{Map, Value};
use tokio::time::Instant;

use crate::source::{POLL_INTERVAL, Piece, Source, SourceError, Standing};
use reader::Reader;
pub(crate) use reader::Scope;

/// What a source of files is made from.
#[derive(Clone, Debug)]
pub struct Options {
    /// The name under which its cursor is kept.
    pub name: String,
    /// The file or directory.
    pub path: PathBuf,
    /// The directory beside the spool where the index of finished files lies.
    pub state_dir: PathBuf,
    /// Whether to follow new and growing files, or to read to the end once.
    pub follow: bool,
    /// Whether its agent may deliver any account's records: then a record of
    /// another account than its folder's is set apart.
    pub organization: bool,
}

/// A file or a directory as a source.
pub struct Files {
    name: String,
    follow: bool,
    blocking: Blocking,
    reader: Arc<Mutex<Reader>>,
    standing: Standing,
    /// When to look for news again.
    look_at: Option<Instant>,
}

impl Files {
    pub(crate) fn new(
        options: Options,
        scope: Scope,
        disk: Arc<dyn Disk>,
        clock: Clock,
        blocking: Blocking,
    ) -> Self {
        let (name, follow) = (options.name.clone(), options.follow);
        let reader = Arc::new(Mutex::new(Reader::new(options, scope, disk, clock)));
        Self { name, follow, blocking, reader, standing: Standing::default(), look_at: None }
    }

    fn lock(&self) -> MutexGuard<'_, Reader> {
        // A reader that panicked has told no piece that it did not hold.
        self.reader.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `work` on the reader, off the async threads.
    async fn on_reader<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Reader) -> R + Send + 'static,
    ) -> R {
        let reader = Arc::clone(&self.reader);
        let run = move || work(&mut reader.lock().unwrap_or_else(PoisonError::into_inner));
        self.blocking.run(run).await
    }
}

#[async_trait]
impl Source for Files {
    fn name(&self) -> &str {
        &self.name
    }

    async fn resume(&mut self, cursor: Map<String, Value>) -> Result<(), SourceError> {
        self.on_reader(move |reader| reader.resume(&cursor)).await?;
        self.look_at = None;
        let standing = self.lock().standing();
        self.standing = standing;
        Ok(())
    }

    async fn next(&mut self, budget_bytes: usize) -> Result<Vec<Piece>, SourceError> {
        if let Some(at) = self.look_at {
            tokio::time::sleep_until(at).await;
        }
        self.look_at = None;
        let began = Instant::now();
        // Pieces stay with the reader until they are taken below, where nothing
        // can be dropped any more.
        let outcome = self.on_reader(move |reader| reader.read(budget_bytes)).await;
        let (pieces, standing) = {
            let mut reader = self.lock();
            (reader.take_ready(), reader.standing())
        };
        self.standing = standing;
        if pieces.is_empty() {
            outcome?;
            if self.follow {
                // A directory that takes long to list is listed less often.
                self.look_at = Some(Instant::now() + POLL_INTERVAL.max(began.elapsed() * 4));
            }
        }
        Ok(pieces)
    }

    fn standing(&self) -> Standing {
        self.standing.clone()
    }
}

#[cfg(test)]
mod tests;
