//! The spool itself: what is known about it in memory, and its small questions.

use std::sync::Arc;

use bytes::Bytes;
use seam::Disk;

use crate::error::{AppendError, OpenError, ReadError};
use crate::options::{LeafFn, Options};
use crate::recovery::Recovery;

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
pub struct Spool {}

#[expect(unused_variables, clippy::missing_errors_doc, reason = "the interface, ahead of its code")]
impl Spool {
    /// Makes a new spool with the name `id`, durably.
    pub fn create(
        disk: Arc<dyn Disk>,
        options: Options,
        id: [u8; 16],
        leaf: LeafFn,
    ) -> Result<Self, OpenError> {
        unimplemented!("create")
    }

    /// Opens the spool in a directory, or says that there is none.
    pub fn open(
        disk: Arc<dyn Disk>,
        options: Options,
        leaf_for_id: impl FnOnce([u8; 16]) -> LeafFn,
    ) -> Result<Option<(Self, Recovery)>, OpenError> {
        unimplemented!("open")
    }

    /// The spool's name, for ever.
    pub fn id(&self) -> [u8; 16] {
        unimplemented!("id")
    }

    /// The last appended sequence; 0 before the first.
    pub fn head(&self) -> u64 {
        unimplemented!("head")
    }

    /// The last sequence that survives a power cut.
    pub fn durable(&self) -> u64 {
        unimplemented!("durable")
    }

    /// The trim point, and the chain handed in with it.
    pub fn released(&self) -> (u64, [u8; 32]) {
        unimplemented!("released")
    }

    /// Bytes in live segments, which `disk_bytes_max` bounds.
    pub fn disk_bytes(&self) -> u64 {
        unimplemented!("disk_bytes")
    }

    /// Appends entries, all or none; answers the last sequence. Durable only
    /// after [`Spool::sync`].
    pub fn append(&mut self, entries: &[Entry<'_>]) -> Result<u64, AppendError> {
        unimplemented!("append")
    }

    /// Makes everything appended durable; answers the durable head. A failure
    /// poisons the spool until it is opened again.
    pub fn sync(&mut self) -> Result<u64, AppendError> {
        unimplemented!("sync")
    }

    /// Durable frames from a sequence on, without a hole between them: as many as
    /// fit `bytes_max` bytes, at least one if there is one, none at the end.
    pub fn read(&mut self, from: u64, bytes_max: usize) -> Result<Vec<Frame>, ReadError> {
        unimplemented!("read")
    }

    /// Moves the trim point to `to` (durably) and then unlinks what lies wholly
    /// at or below it. At or below the present trim point it does nothing.
    pub fn release(&mut self, to: u64, chain: [u8; 32]) -> Result<(), AppendError> {
        unimplemented!("release")
    }
}
