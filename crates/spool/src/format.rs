//! The bytes on disk, version 1. Nothing here does I/O.
//!
//! All numbers are little-endian. Every structure carries a CRC-32C; a frame's
//! is keyed with the spool's id, its segment and its offset, so that bytes of
//! another spool, another segment or another place are never taken for it.

pub(crate) mod frame;
pub(crate) mod released;
pub(crate) mod segment;

/// The newest format version this release writes and reads.
pub(crate) const VERSION: u16 = 1;

/// No sequence is larger, so that no sum of a few of them overflows.
const SEQUENCE_MAX: u64 = 1 << 62;

/// Bytes kept free for the agent's public signing key; zero for now.
const SIGNING_KEY_LEN: usize = 64;

/// What a fixed header turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decoded<T> {
    /// Whole, and of a version this release reads.
    Whole(T),
    /// Whole, and of a newer version.
    Newer(u16),
    /// Not what was written.
    Unreadable,
}

/// Takes fixed pieces off the front of some bytes.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*head)
    }

    fn u16(&mut self) -> Option<u16> {
        self.take().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }
}

/// `body`, followed by its CRC-32C.
fn seal(mut body: Vec<u8>) -> Vec<u8> {
    let crc = crc32c::crc32c(&body);
    body.extend_from_slice(&crc.to_le_bytes());
    body
}

/// The body of sealed bytes, if the CRC-32C behind it is right.
fn unseal(sealed: &[u8]) -> Option<&[u8]> {
    let (body, crc) = sealed.split_last_chunk()?;
    (crc32c::crc32c(body) == u32::from_le_bytes(*crc)).then_some(body)
}
