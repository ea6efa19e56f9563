//! One frame: a fixed header, then cursors, then payload.
//!
//! ```text
//!  0  f5 "otf"            marker (f5 occurs in no UTF-8 text)
//!  4  u32   payload bytes
//!  8  u32   cursors bytes
//! 12  u32   crc32c of cursors and payload
//! 16  u64   sequence
//! 24  [32]  leaf
//! 56  [4]   zero
//! 60  u32   crc32c of (spool id, segment's first sequence, offset, bytes 0..60)
//! 64  cursors, payload
//! ```
//!
//! The header has its own check, so that a frame with a damaged body still says
//! its number and length, and so that looking for the next whole frame behind
//! damage costs one short check per marker.

use super::{Fields, SEQUENCE_MAX};
use crate::options::{CURSORS_BYTES_MAX, PAYLOAD_BYTES_MAX};

/// Length of a frame's header.
pub(crate) const HEADER_LEN: usize = 64;

/// What every frame begins with.
pub(crate) const MARKER: [u8; 4] = *b"\xf5otf";

const CHECKED_LEN: usize = HEADER_LEN - 4;

/// What binds frames to their spool and segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key(u32);

impl Key {
    pub(crate) fn new(id: [u8; 16], segment_first: u64) -> Self {
        Self(crc32c::crc32c_append(crc32c::crc32c(&id), &segment_first.to_le_bytes()))
    }

    fn check(self, offset: u64, header: &[u8]) -> u32 {
        crc32c::crc32c_append(crc32c::crc32c_append(self.0, &offset.to_le_bytes()), header)
    }
}

/// What a frame's header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) payload_len: usize,
    pub(crate) cursors_len: usize,
    pub(crate) sequence: u64,
    pub(crate) leaf: [u8; 32],
    body_crc: u32,
}

impl Header {
    /// Reads the header that begins at `offset` of a segment. `None`: no frame
    /// of this segment begins there.
    pub(crate) fn decode(bytes: &[u8], key: Key, offset: u64) -> Option<Self> {
        let bytes = bytes.get(..HEADER_LEN)?;
        let (checked, crc) = bytes.split_last_chunk()?;
        let mut fields = Fields(checked);
        if fields.take()? != MARKER || key.check(offset, checked) != u32::from_le_bytes(*crc) {
            return None;
        }
        let payload_len = usize::try_from(fields.u32()?).ok()?;
        let cursors_len = usize::try_from(fields.u32()?).ok()?;
        let body_crc = fields.u32()?;
        let sequence = fields.u64()?;
        let leaf = fields.take()?;
        let within_limits = payload_len <= PAYLOAD_BYTES_MAX
            && cursors_len <= CURSORS_BYTES_MAX
            && sequence <= SEQUENCE_MAX;
        within_limits.then_some(Self { payload_len, cursors_len, sequence, leaf, body_crc })
    }

    /// Length of the whole frame.
    pub(crate) fn frame_len(&self) -> usize {
        HEADER_LEN + self.cursors_len + self.payload_len
    }

    /// Whether `frame` (header and body) holds the body this header was made for.
    pub(crate) fn covers(&self, frame: &[u8]) -> bool {
        frame
            .get(HEADER_LEN..self.frame_len())
            .is_some_and(|body| crc32c::crc32c(body) == self.body_crc)
    }
}

/// Length of the frame that holds these.
pub(crate) fn frame_len(payload: &[u8], cursors: &[u8]) -> usize {
    HEADER_LEN + cursors.len() + payload.len()
}

/// Writes the frame that will lie at `offset` of its segment behind `out`.
/// Lengths are within their limits; `append` has seen to that.
pub(crate) fn encode(
    out: &mut Vec<u8>,
    key: Key,
    offset: u64,
    sequence: u64,
    leaf: [u8; 32],
    cursors: &[u8],
    payload: &[u8],
) {
    let body_crc = crc32c::crc32c_append(crc32c::crc32c(cursors), payload);
    let start = out.len();
    out.extend_from_slice(&MARKER);
    for len in [payload.len(), cursors.len()] {
        let len = u32::try_from(len).expect("append refuses longer entries");
        out.extend_from_slice(&len.to_le_bytes());
    }
    out.extend_from_slice(&body_crc.to_le_bytes());
    out.extend_from_slice(&sequence.to_le_bytes());
    out.extend_from_slice(&leaf);
    out.resize(start + CHECKED_LEN, 0);
    let crc = key.check(offset, out.get(start..).unwrap_or_default());
    out.extend_from_slice(&crc.to_le_bytes());
    out.extend_from_slice(cursors);
    out.extend_from_slice(payload);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_only_itself_in_its_own_place() {
        let key = Key::new([1; 16], 5);
        let mut bytes = Vec::new();
        encode(&mut bytes, key, 128, 9, [3; 32], b"cursor", b"payload");
        let header = Header::decode(&bytes, key, 128).expect("a header");
        assert_eq!(header.sequence, 9);
        assert_eq!(header.frame_len(), bytes.len());
        assert!(header.covers(&bytes));

        assert_eq!(Header::decode(&bytes, key, 129), None, "another offset");
        assert_eq!(Header::decode(&bytes, Key::new([1; 16], 6), 128), None, "another segment");
        assert_eq!(Header::decode(&bytes, Key::new([2; 16], 5), 128), None, "another spool");
    }
}
