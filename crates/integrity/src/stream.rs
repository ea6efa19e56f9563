//! Leaf and chain hashes of one stream (account, agent, spool).

use sha2::{Digest, Sha256};

use crate::hash::{Hash, sha256};
use crate::spool_id::SpoolId;

const LEAF_DOMAIN: &[u8] = b"orgtrail/leaf/1";
const CHAIN_DOMAIN: &[u8] = b"orgtrail/chain/1";

/// Makes the leaves and chain hashes of one stream.
///
/// The stream's name is absorbed once; each leaf costs two short hashes.
#[derive(Clone, Debug)]
pub struct StreamHasher {
    leaf_prefix: Sha256,
    start: Hash,
}

impl StreamHasher {
    /// A hasher for the stream of `account` (12 digits), `agent` (its name) and
    /// `spool`.
    #[must_use]
    pub fn new(account: &str, agent: &str, spool: SpoolId) -> Self {
        let name = [account.as_bytes(), agent.as_bytes(), spool.0.as_slice()];

        let mut leaf_prefix = Sha256::new();
        leaf_prefix.update([0x00]);
        leaf_prefix.update(LEAF_DOMAIN);
        let mut start = Sha256::new();
        start.update(CHAIN_DOMAIN);
        for part in name {
            let len = u32::try_from(part.len()).expect("names are short");
            for hasher in [&mut leaf_prefix, &mut start] {
                hasher.update(len.to_be_bytes());
                hasher.update(part);
            }
        }
        Self { leaf_prefix, start: Hash(start.finalize().into()) }
    }

    /// The chain hash before the first line.
    #[must_use]
    pub fn start(&self) -> Hash {
        self.start
    }

    /// The leaf of the line `bytes` at `sequence`.
    #[must_use]
    pub fn leaf(&self, sequence: u64, bytes: &[u8]) -> Hash {
        let mut hasher = self.leaf_prefix.clone();
        hasher.update(sequence.to_be_bytes());
        hasher.update(sha256(bytes).0);
        Hash(hasher.finalize().into())
    }

    /// The chain hash after `leaf`, given the one before it.
    #[must_use]
    pub fn chain(previous: Hash, leaf: Hash) -> Hash {
        let mut hasher = Sha256::new();
        hasher.update([0x02]);
        hasher.update(previous.0);
        hasher.update(leaf.0);
        Hash(hasher.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hasher(account: &str, agent: &str, spool: u8) -> StreamHasher {
        StreamHasher::new(account, agent, SpoolId([spool; 16]))
    }

    /// Written out byte by byte, so that no change of the code can change the format.
    #[test]
    fn hashes_are_those_of_the_written_format() {
        let mut prefix = Vec::new();
        for part in [b"111122223333".as_slice(), b"main", &[7; 16]] {
            prefix.extend_from_slice(&u32::try_from(part.len()).expect("short").to_be_bytes());
            prefix.extend_from_slice(part);
        }
        let leaf_bytes =
            [&[0][..], b"orgtrail/leaf/1", &prefix, &5u64.to_be_bytes(), &sha256(b"{}").0].concat();
        let start_bytes = [b"orgtrail/chain/1".as_slice(), &prefix].concat();

        let hasher = hasher("111122223333", "main", 7);
        assert_eq!(hasher.leaf(5, b"{}"), sha256(&leaf_bytes));
        assert_eq!(hasher.start(), sha256(&start_bytes));
        let chained = StreamHasher::chain(hasher.start(), hasher.leaf(5, b"{}"));
        let chain_bytes = [&[2][..], &hasher.start().0, &hasher.leaf(5, b"{}").0].concat();
        assert_eq!(chained, sha256(&chain_bytes));
    }

    #[test]
    fn every_part_of_a_stream_changes_its_leaves() {
        let base = hasher("111122223333", "main", 1).leaf(1, b"x");
        for (what, other) in [
            ("account", hasher("111122223334", "main", 1).leaf(1, b"x")),
            ("agent", hasher("111122223333", "mail", 1).leaf(1, b"x")),
            ("spool", hasher("111122223333", "main", 2).leaf(1, b"x")),
            ("sequence", hasher("111122223333", "main", 1).leaf(2, b"x")),
            ("bytes", hasher("111122223333", "main", 1).leaf(1, b"y")),
        ] {
            assert_ne!(base, other, "{what}");
        }
    }
}
