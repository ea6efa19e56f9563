//! Segments: batches to one object of zstd frames, and back.
//!
//! A segment is ordinary NDJSON in zstd frames: `zstdcat` or DuckDB reads it with
//! nothing of ours. A batch that inflates to at least [`FRAME_BYTES_MIN`] keeps
//! the frame that its agent made. Smaller ones share frames, since a frame of
//! one event costs several times what the event costs among others.

use bytes::{Buf, Bytes};
use integrity::{Hash, sha256};

/// A batch that inflates to this much keeps its own frame.
pub const FRAME_BYTES_MIN: usize = 256 * 1024;

/// Shared frames are cut at this many inflated bytes.
const SHARED_FRAME_BYTES: usize = 4 * 1024 * 1024;

/// Room that is made ahead for lines that several frames hold.
const RESERVE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// No frame inflates to more than this; what claims to is damaged.
const FRAME_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Compression level of shared frames while a segment has little for them: what
/// quiet agents send is then the whole segment, and a tenth fewer bytes for ever
/// are worth a few hundredths of a processor now.
const SHARED_LEVEL_QUIET: i32 = 12;

/// Compression level of shared frames in a segment that has much for them.
const SHARED_LEVEL_BUSY: i32 = 3;

/// What a segment may have for shared frames, inflated, to count as quiet.
const QUIET_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// The lines of one batch, as the buffer keeps them.
#[derive(Clone, Debug)]
pub enum BatchLines {
    /// The agent's own zstd frame, checked to inflate to exactly these lines.
    Frame {
        /// One zstd frame.
        frame: Bytes,
        /// Its inflated size.
        inflated_bytes: u64,
    },
    /// The lines themselves, each ended by a line feed.
    Plain(Bytes),
}

impl BatchLines {
    /// Inflated size in bytes.
    #[must_use]
    pub fn inflated_bytes(&self) -> u64 {
        match self {
            Self::Frame { inflated_bytes, .. } => *inflated_bytes,
            Self::Plain(lines) => lines.len() as u64,
        }
    }

    /// What it occupies in memory.
    #[must_use]
    pub fn held_bytes(&self) -> u64 {
        match self {
            Self::Frame { frame, .. } => frame.len() as u64,
            Self::Plain(lines) => lines.len() as u64,
        }
    }
}

/// A segment ready to be put.
#[derive(Clone, Debug)]
pub struct Packed {
    /// The object's bytes.
    pub bytes: Bytes,
    /// Their hash.
    pub sha256: Hash,
    /// Compressed bytes, inflated bytes and lines of each frame.
    pub frames: Vec<(u64, u64, u64)>,
}

/// Makes one segment of batches (lines and their count), keeping their order.
///
/// # Errors
/// Only if zstd fails, which it does for lack of memory.
pub fn pack<'a>(
    batches: impl IntoIterator<Item = (&'a BatchLines, u64)>,
) -> std::io::Result<Packed> {
    let batches: Vec<_> = batches.into_iter().collect();
    let mut packer = Packer::new(&batches);
    for (batch, lines) in batches {
        match batch {
            BatchLines::Plain(plain) => packer.share(plain, lines)?,
            BatchLines::Frame { frame, inflated_bytes } => {
                packer.end_shared()?;
                packer.bytes.extend_from_slice(frame);
                packer.frames.push((frame.len() as u64, *inflated_bytes, lines));
            }
        }
    }
    packer.end_shared()?;
    let sha256 = sha256(&packer.bytes);
    Ok(Packed { bytes: packer.bytes.into(), sha256, frames: packer.frames })
}

struct Packer {
    bytes: Vec<u8>,
    frames: Vec<(u64, u64, u64)>,
    shared: Vec<u8>,
    shared_lines: u64,
    shared_level: i32,
}

impl Packer {
    fn new(batches: &[(&BatchLines, u64)]) -> Self {
        let shared_bytes: u64 = batches
            .iter()
            .map(|(batch, _)| match batch {
                BatchLines::Plain(plain) => plain.len() as u64,
                BatchLines::Frame { .. } => 0,
            })
            .sum();
        let is_quiet = shared_bytes <= QUIET_BYTES_MAX;
        Self {
            bytes: Vec::new(),
            frames: Vec::new(),
            shared: Vec::new(),
            shared_lines: 0,
            shared_level: if is_quiet { SHARED_LEVEL_QUIET } else { SHARED_LEVEL_BUSY },
        }
    }

    fn share(&mut self, plain: &[u8], lines: u64) -> std::io::Result<()> {
        self.shared.extend_from_slice(plain);
        self.shared_lines += lines;
        if self.shared.len() >= SHARED_FRAME_BYTES { self.end_shared() } else { Ok(()) }
    }

    fn end_shared(&mut self) -> std::io::Result<()> {
        if self.shared.is_empty() {
            return Ok(());
        }
        let frame = zstd::bulk::compress(&self.shared, self.shared_level)?;
        self.frames.push((frame.len() as u64, self.shared.len() as u64, self.shared_lines));
        self.bytes.extend_from_slice(&frame);
        self.shared.clear();
        self.shared_lines = 0;
        Ok(())
    }
}

/// Walks a segment's lines from its first on, one frame in memory at a time.
#[derive(Debug)]
pub struct Lines {
    segment: Bytes,
    frames: std::vec::IntoIter<(u64, u64, u64)>,
    frame: Bytes,
    /// The row of the frame's first line, its lines, and where each of them ends.
    first_row: u64,
    frame_lines: u64,
    ends: Vec<usize>,
}

impl Lines {
    /// A walk over a segment that has these frames.
    #[must_use]
    pub fn new(segment: Bytes, frames: Vec<(u64, u64, u64)>) -> Self {
        Self {
            segment,
            frames: frames.into_iter(),
            frame: Bytes::new(),
            first_row: 0,
            frame_lines: 0,
            ends: Vec::new(),
        }
    }

    /// The next `count` lines, each ended by a line feed.
    ///
    /// # Errors
    /// A sentence about how the segment differs from what its record says.
    pub fn take(&mut self, count: u64) -> Result<Bytes, String> {
        let mut taken = Vec::new();
        let mut left = count;
        loop {
            if self.frame.is_empty() && !self.inflate_next()? {
                return Err(format!("it ends {left} lines early"));
            }
            let (bytes, lines) = prefix(&self.frame, left);
            let piece = self.frame.split_to(bytes);
            left -= lines;
            if left == 0 && taken.is_empty() {
                return Ok(piece);
            }
            if taken.is_empty() {
                taken.reserve(piece.len() + self.inflated_ahead(left));
            }
            taken.extend_from_slice(&piece);
            if left == 0 {
                return Ok(taken.into());
            }
        }
    }

    /// About how many bytes the frames have that hold the next `lines`.
    fn inflated_ahead(&self, mut lines: u64) -> usize {
        let mut ahead = 0_u64;
        for (_, inflated, held) in self.frames.as_slice() {
            if lines == 0 || ahead >= RESERVE_BYTES_MAX {
                break;
            }
            ahead += inflated;
            lines = lines.saturating_sub(*held);
        }
        usize::try_from(ahead.min(RESERVE_BYTES_MAX)).unwrap_or(0)
    }

    /// The line of a row, without its line feed; rows must ascend, and walks
    /// that take and walks that look do not mix.
    ///
    /// # Errors
    /// As [`Lines::take`].
    pub(crate) fn line(&mut self, row: u64) -> Result<&[u8], String> {
        while self.first_row + self.frame_lines <= row {
            self.first_row += self.frame_lines;
            self.frame_lines = 0;
            self.ends.clear();
            let Some((bytes, _, lines)) = self.frames.as_slice().first().copied() else {
                return Err(format!("it ends before row {row}"));
            };
            self.frame_lines = lines;
            if self.first_row + lines <= row {
                let bytes = usize::try_from(bytes).unwrap_or(usize::MAX).min(self.segment.len());
                self.segment.advance(bytes);
                self.frames.next();
            } else {
                self.inflate_next()?;
                let ends = self.frame.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
                self.ends.extend(ends.map(|(at, _)| at));
            }
        }
        let index = usize::try_from(row - self.first_row).unwrap_or(usize::MAX);
        let start = index.checked_sub(1).and_then(|before| self.ends.get(before));
        let start = start.map_or(0, |end| end + 1);
        let line = self.ends.get(index).and_then(|end| self.frame.get(start..*end));
        line.ok_or_else(|| format!("row {row} was passed already"))
    }

    fn inflate_next(&mut self) -> Result<bool, String> {
        let Some((bytes, inflated, lines)) = self.frames.next() else { return Ok(false) };
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        if bytes > self.segment.len() {
            return Err("its frames are not those of its record".to_owned());
        }
        self.frame = inflate(&self.segment.split_to(bytes), inflated, lines)?;
        Ok(true)
    }
}

/// The lines of one frame, if they are as many and as long as the record says.
pub(crate) fn inflate(frame: &[u8], inflated: u64, lines: u64) -> Result<Bytes, String> {
    let inflated = usize::try_from(inflated).unwrap_or(usize::MAX);
    if inflated > FRAME_BYTES_MAX {
        return Err("its frames are not those of its record".to_owned());
    }
    let text = zstd::bulk::decompress(frame, inflated)
        .map_err(|error| format!("a frame does not inflate: {error}"))?;
    let found = memchr::memchr_iter(b'\n', &text).count() as u64;
    if text.len() != inflated || found != lines || text.last() != Some(&b'\n') {
        return Err("a frame's size or lines are not those of its record".to_owned());
    }
    Ok(text.into())
}

/// The length of the first `lines` lines of `bytes` (or of all), and their number.
fn prefix(bytes: &[u8], lines: u64) -> (usize, u64) {
    let mut found = 0;
    for at in memchr::memchr_iter(b'\n', bytes) {
        found += 1;
        if found == lines {
            return (at + 1, found);
        }
    }
    (bytes.len(), found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(lines: &[&str]) -> BatchLines {
        BatchLines::Plain(lines.iter().map(|line| format!("{line}\n")).collect::<String>().into())
    }

    fn frame(lines: &[&str]) -> BatchLines {
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        let frame = zstd::bulk::compress(text.as_bytes(), 1).expect("compress");
        BatchLines::Frame { frame: frame.into(), inflated_bytes: text.len() as u64 }
    }

    #[test]
    fn batches_come_back_in_their_order_whatever_frames_they_share() {
        let batches =
            [plain(&["a"]), frame(&["b", "c"]), plain(&["d", "e"]), plain(&["f"]), frame(&["g"])];
        let counts = [1, 2, 2, 1, 1];
        let packed = pack(batches.iter().zip(counts)).expect("pack");
        assert_eq!(packed.frames.len(), 4, "d, e and f share a frame");
        let mut lines = Lines::new(packed.bytes.clone(), packed.frames.clone());
        let read: Vec<_> = counts.map(|count| lines.take(count).expect("lines")).into();
        assert_eq!(read, ["a\n", "b\nc\n", "d\ne\n", "f\n", "g\n"]);
        assert!(lines.take(1).is_err(), "nothing follows");

        let mut single = Lines::new(packed.bytes.clone(), packed.frames.clone());
        for (row, line) in [(0, "a"), (2, "c"), (5, "f"), (6, "g")] {
            assert_eq!(single.line(row).expect("a row"), line.as_bytes());
        }
        assert!(single.line(7).is_err(), "there is no such row");
        let mut whole = Lines::new(packed.bytes, packed.frames);
        assert_eq!(whole.take(7).expect("lines"), "a\nb\nc\nd\ne\nf\ng\n");
    }

    #[test]
    fn a_segment_is_plain_zstd_of_many_frames() {
        let packed = pack([(&frame(&["a"]), 1), (&plain(&["b"]), 1)]).expect("pack");
        let text = zstd::stream::decode_all(packed.bytes.as_ref()).expect("inflate");
        assert_eq!(text, b"a\nb\n");
    }

    #[test]
    fn any_changed_byte_of_a_segment_is_noticed() {
        let packed = pack([(&plain(&["{\"a\":1}", "{\"b\":2}"]), 2)]).expect("pack");
        for at in 0..packed.bytes.len() {
            let mut bytes = packed.bytes.to_vec();
            *bytes.get_mut(at).expect("in range") ^= 0x40;
            assert_ne!(sha256(&bytes), packed.sha256, "byte {at}");
        }
    }
}
