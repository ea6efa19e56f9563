//! How a file is known: by the hash of its first bytes.
//!
//! Never by its inode, which copies and restores change and deletions reuse.

use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use seam::DiskFile;
use sha2::{Digest, Sha256};

/// How many bytes of a file are hashed to know it again.
pub(super) const HEAD_BYTES: usize = 4096;

/// The beginning of a file: how many bytes, at most [`HEAD_BYTES`], and 64 bits
/// of their SHA-256.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Head {
    pub(super) len: u16,
    pub(super) hash: u64,
}

impl Head {
    /// The head that the first bytes of a file make.
    pub(super) fn of(bytes: &[u8]) -> Self {
        let bytes = bytes.get(..HEAD_BYTES).unwrap_or(bytes);
        let len = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
        Self { len, hash: hash64(bytes) }
    }

    /// Whether a file that begins with `bytes` is the one with this head.
    pub(super) fn begins(self, bytes: &[u8]) -> bool {
        bytes.get(..usize::from(self.len)).is_some_and(|bytes| Self::of(bytes) == self)
    }
}

/// The first [`HEAD_BYTES`] of a file, or all of a shorter one.
pub(super) fn first_bytes(file: &mut dyn DiskFile) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; HEAD_BYTES];
    let mut filled = 0;
    while let Some(room) = bytes.get_mut(filled..).filter(|room| !room.is_empty()) {
        match file.read_at(room, filled as u64)? {
            0 => break,
            read => filled += read,
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

/// 64 bits of a SHA-256.
pub(super) fn hash64(bytes: &[u8]) -> u64 {
    let digest = Sha256::digest(bytes);
    digest.first_chunk().map_or(0, |first| u64::from_be_bytes(*first))
}

/// Eight bytes as eleven characters.
pub(super) fn spell(number: u64) -> String {
    BASE64.encode(number.to_be_bytes())
}

/// What [`spell`] wrote.
pub(super) fn unspell(text: &str) -> Option<u64> {
    let bytes: [u8; 8] = BASE64.decode(text).ok()?.try_into().ok()?;
    Some(u64::from_be_bytes(bytes))
}
