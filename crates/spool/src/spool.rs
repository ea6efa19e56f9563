//! The spool itself: what is known about it in memory, and its small questions.

use std::any::Any;
use std::collections::VecDeque;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use seam::{Disk, DiskFile, Guard, Open};

use crate::error::AppendError;
use crate::options::{LeafFn, Options};
use crate::read::Reader;
use crate::segment::Segment;

/// Keeps two from opening one directory.
pub(crate) const LOCK_NAME: &str = "lock";

/// Left behind by a failed fsync: what was written last may be in the operating
/// system's memory only, whatever a later fsync says. It need not survive a power
/// cut, because that memory does not either.
pub(crate) const UNSYNCED_NAME: &str = "unsynced";

/// One entry to append.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// The bytes to deliver.
    pub payload: &'a [u8],
    /// What this entry changes in its readers' places; may be empty.
    pub cursors: &'a [u8],
}

/// One entry as it is read back. Frames read together share one buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its number, from 1.
    pub sequence: u64,
    /// Its leaf, made when it was appended.
    pub leaf: [u8; 32],
    /// The cursors it was appended with.
    pub cursors: Bytes,
    /// The payload it was appended with.
    pub payload: Bytes,
}

/// A durable queue of frames. All calls block.
pub struct Spool {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) options: Options,
    pub(crate) id: [u8; 16],
    pub(crate) leaf: LeafFn,
    pub(crate) released: (u64, [u8; 32]),
    pub(crate) head: u64,
    pub(crate) durable: u64,
    /// Live segments, in order; the last one is appended to if `active` is open.
    pub(crate) segments: VecDeque<Segment>,
    pub(crate) active: Option<Box<dyn DiskFile>>,
    /// Frames before they are written together.
    pub(crate) scratch: Vec<u8>,
    pub(crate) reader: Option<Reader>,
    /// Whether there is room set apart for a trim point on a full disk.
    pub(crate) reserve: bool,
    /// Why nothing can be written any more.
    pub(crate) poisoned: Option<String>,
    /// Held, never read.
    pub(crate) _lock: Box<dyn Any + Send + Sync>,
}

impl Spool {
    /// The spool's name, for ever.
    #[must_use]
    pub fn id(&self) -> [u8; 16] {
        self.id
    }

    /// The last appended sequence; 0 before the first.
    #[must_use]
    pub fn head(&self) -> u64 {
        self.head
    }

    /// The last sequence that survives a power cut.
    #[must_use]
    pub fn durable(&self) -> u64 {
        self.durable
    }

    /// The trim point, and the chain handed in with it.
    #[must_use]
    pub fn released(&self) -> (u64, [u8; 32]) {
        self.released
    }

    /// Bytes in live segments, which `disk_bytes_max` bounds.
    #[must_use]
    pub fn disk_bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.len).sum()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.options.dir.join(name)
    }

    pub(crate) fn refuse_if_poisoned(&self) -> Result<(), AppendError> {
        match &self.poisoned {
            None => Ok(()),
            Some(cause) => {
                Err(AppendError::Poisoned { dir: self.options.dir.clone(), cause: cause.clone() })
            }
        }
    }

    /// Nothing is known any more about what was written last: writes no more
    /// until reopened, and tells whoever does that. Gives the error back.
    pub(crate) fn poison(&mut self, error: AppendError) -> AppendError {
        if !self.options.guards.hold(Guard::PoisonAfterFailedSync) {
            return error;
        }
        let cause = match &error {
            AppendError::Io { source, .. } => format!("{error}: {source}"),
            other => other.to_string(),
        };
        self.poisoned.get_or_insert(cause);
        self.active = None;
        // A disk that refuses this too will hardly let the spool be opened again.
        drop(self.disk.open(&self.path(UNSYNCED_NAME), Open::CreateNew));
        error
    }
}

impl fmt::Debug for Spool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spool")
            .field("dir", &self.options.dir)
            .field("released", &self.released.0)
            .field("durable", &self.durable)
            .field("head", &self.head)
            .field("poisoned", &self.poisoned)
            .finish_non_exhaustive()
    }
}
