//! Reads a file forward through one buffer, whatever its length.
//!
//! A block that the disk refuses twice is handed out as zeroes: no check will
//! take them for anything, so a bad sector costs what lies on it and no more.

use std::io;

use seam::DiskFile;

/// How much is read at once, unless one frame is longer.
const WINDOW_BYTES: usize = 256 << 10;

/// What is given up together when a disk refuses to read.
const BLOCK_BYTES: usize = 4096;

/// A moving view of a file.
pub(crate) struct Window {
    file: Box<dyn DiskFile>,
    buffer: Vec<u8>,
    /// Where the buffer's first byte lies in the file.
    start: u64,
    len: u64,
}

impl Window {
    pub(crate) fn new(mut file: Box<dyn DiskFile>) -> io::Result<Self> {
        let len = file.len()?;
        Ok(Self { file, buffer: Vec::new(), start: 0, len })
    }

    /// Length of the file.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// What is buffered from `at` on: at least `need` bytes, unless the file
    /// ends before. `at` never goes back behind an earlier one.
    pub(crate) fn at(&mut self, at: u64, need: usize) -> &[u8] {
        let skip = usize::try_from(at - self.start).unwrap_or(usize::MAX);
        if self.buffer.len() < skip.saturating_add(need) {
            self.refill(at, skip, need);
        }
        let skip = usize::try_from(at - self.start).unwrap_or(usize::MAX);
        self.buffer.get(skip..).unwrap_or_default()
    }

    fn refill(&mut self, at: u64, skip: usize, need: usize) {
        let drop = skip.min(self.buffer.len());
        self.buffer.drain(..drop);
        if self.buffer.is_empty() {
            self.start = at;
        } else {
            self.start += drop as u64;
        }
        let kept = self.buffer.len();
        let from = self.start + kept as u64;
        let left = usize::try_from(self.len.saturating_sub(from)).unwrap_or(usize::MAX);
        let more = need.max(WINDOW_BYTES).saturating_sub(kept).min(left);
        self.buffer.resize(kept + more, 0);
        let fresh = self.buffer.get_mut(kept..).unwrap_or_default();
        let read = read_or_zeroes(self.file.as_mut(), fresh, from);
        self.buffer.truncate(kept + read);
    }
}

/// Reads until the buffer is full or the file ends; answers how far.
pub(crate) fn read_full(
    file: &mut dyn DiskFile,
    buffer: &mut [u8],
    offset: u64,
) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

fn read_or_zeroes(file: &mut dyn DiskFile, buffer: &mut [u8], offset: u64) -> usize {
    if let Ok(read) = read_full(file, buffer, offset) {
        return read;
    }
    let mut at = offset;
    for block in buffer.chunks_mut(BLOCK_BYTES) {
        if read_full(file, block, at).is_err() {
            block.fill(0);
        }
        at += block.len() as u64;
    }
    buffer.len()
}
