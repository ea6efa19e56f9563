//! One hash for many leaves: the root of a Merkle tree as in RFC 6962, section 2.1
//! (<https://www.rfc-editor.org/rfc/rfc6962#section-2.1>).
//!
//! Leaves are those of [`crate::StreamHasher`]; they begin with 0x00 where they are
//! made, so they go into the tree as they are, and `node = SHA-256(0x01 | left | right)`.
//! A tree of n > 1 leaves has the largest power of two below n on its left.

use sha2::{Digest, Sha256};

use crate::hash::{Hash, sha256};

/// A tree that grows leaf by leaf; of n leaves it keeps at most log2(n) + 1 hashes.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    /// Roots of whole subtrees, the largest first, and how many leaves each has.
    whole: Vec<(u64, Hash)>,
}

impl Tree {
    /// Adds a leaf behind the others.
    pub fn push(&mut self, leaf: Hash) {
        let (mut leaves, mut root) = (1, leaf);
        while let Some((_, left)) = self.whole.pop_if(|(before, _)| *before == leaves) {
            root = node(left, root);
            leaves *= 2;
        }
        self.whole.push((leaves, root));
    }

    /// The root over the leaves so far; without leaves, the hash of nothing.
    #[must_use]
    pub fn root(&self) -> Hash {
        let roots = self.whole.iter().rev().map(|(_, root)| *root);
        roots.reduce(|right, left| node(left, right)).unwrap_or_else(|| sha256(b""))
    }
}

fn node(left: Hash, right: Hash) -> Hash {
    let mut hasher = Sha256::new();
    hasher.update([0x01]);
    hasher.update(left.0);
    hasher.update(right.0);
    Hash(hasher.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The leaves that certificate transparency logs test with, and the roots of
    /// their first 0 to 8.
    #[test]
    fn roots_are_those_of_rfc_6962() {
        let data: [&[u8]; 8] = [
            b"",
            b"\x00",
            b"\x10",
            b"\x20\x21",
            b"\x30\x31",
            b"\x40\x41\x42\x43",
            b"\x50\x51\x52\x53\x54\x55\x56\x57",
            b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
        ];
        let roots = [
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
            "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
            "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
        ];
        let mut tree = Tree::default();
        for (leaves, root) in roots.iter().enumerate() {
            assert_eq!(tree.root().to_string(), *root, "{leaves} leaves");
            if let Some(data) = data.get(leaves) {
                tree.push(sha256(&[&[0][..], data].concat()));
            }
        }
    }

    #[test]
    fn a_tree_has_the_largest_power_of_two_on_its_left() {
        fn root(leaves: &[Hash]) -> Hash {
            match leaves {
                [] => sha256(b""),
                [leaf] => *leaf,
                _ => {
                    let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
                    node(root(left), root(right))
                }
            }
        }
        let leaves: Vec<Hash> = (0..100_u8).map(|number| sha256(&[number])).collect();
        let mut tree = Tree::default();
        for (count, leaf) in leaves.iter().enumerate() {
            assert_eq!(tree.root(), root(leaves.get(..count).expect("in range")), "{count}");
            tree.push(*leaf);
        }
    }
}
