//! What a spool is opened with, and what it never exceeds.

use std::path::PathBuf;
use std::sync::Arc;

use seam::Guards;

/// The longest payload of one entry, in bytes.
pub const PAYLOAD_BYTES_MAX: usize = 4 << 20;

/// The longest cursors of one entry, in bytes.
pub const CURSORS_BYTES_MAX: usize = 128 << 10;

/// Makes the leaf of a payload at a sequence.
pub type LeafFn = Arc<dyn Fn(u64, &[u8]) -> [u8; 32] + Send + Sync>;

/// Where a spool lies and how large it may grow.
#[derive(Clone, Debug)]
pub struct Options {
    /// Its directory. Nothing else belongs in there.
    pub dir: PathBuf,
    /// A segment that has reached this many bytes is followed by a new one.
    pub segment_bytes: u64,
    /// All live segments together stay at or below this many bytes.
    pub disk_bytes_max: u64,
    /// Which guards hold; in what is shipped, all.
    pub guards: Guards,
}

impl Options {
    /// The usual sizes: segments of 16 MiB, 1 GiB together.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        let guards = Guards::default();
        Self { dir: dir.into(), segment_bytes: 16 << 20, disk_bytes_max: 1 << 30, guards }
    }
}
