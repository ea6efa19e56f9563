//! Hashes that say what was delivered, and in which order.
//!
//! A **leaf** names one delivered line: who sent it, as which number, and its
//! bytes. A **chain** hash names a stream up to a sequence: it changes if any
//! earlier line changes, so two sides that agree on one 32-byte value agree on
//! everything before it. Nothing here does I/O or knows what a line means.
//!
//! ```text
//! leaf(i)  = SHA-256(0x00 | "orgtrail/leaf/1" | account | agent | spool | i | SHA-256(bytes))
//! chain(0) = SHA-256("orgtrail/chain/1" | account | agent | spool)
//! chain(i) = SHA-256(0x02 | chain(i-1) | leaf(i))
//! ```
//!
//! `account` (12 digits), `agent` (its name) and `spool` (16 bytes) are each
//! preceded by their length as a big-endian u32; `i` is a big-endian u64.
//!
//! A **root** names many leaves at once, so that any of them can be shown to be one
//! of them when the others are gone ([`Tree`]).
//!
//! Layout: [`Hash`], [`SpoolId`], [`StreamHasher`], which makes leaves and chain
//! hashes, and [`Tree`].

mod hash;
mod spool_id;
mod stream;
mod tree;

pub use hash::{Hash, InvalidHash, sha256};
pub use spool_id::{InvalidSpoolId, SpoolId};
pub use stream::StreamHasher;
pub use tree::Tree;
