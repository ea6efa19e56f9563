//! What the world hands in: the time, randomness and a disk.
//!
//! Everything of orgtrail that keeps a promise about durability takes these as
//! values, so that a simulation can own them: the same code then runs against a
//! virtual clock, a seeded generator and a disk that loses what was not synced.
//! The two other seams are not here because they already are values of their
//! own: an object store is an `Arc<dyn ObjectStore>`, and a network link is a
//! pair of bounded channels of wire messages (see `agent` and `aggregator`).
//!
//! Layout: [`Clock`], [`Entropy`], [`Blocking`], [`Gate`], [`Disk`] with its real
//! form [`LocalDisk`], [`Guards`].
//!
//! # Why a trait for the disk and none for the rest
//! Time and randomness are one function each, so a closure says it all. A disk
//! is a dozen operations whose failures differ, which is what traits are for.

mod blocking;
mod clock;
mod disk;
mod entropy;
mod gate;
mod guards;

pub use blocking::Blocking;
pub use clock::Clock;
pub use disk::{Disk, DiskEntry, DiskFile, LocalDisk, Open};
pub use entropy::Entropy;
pub use gate::Gate;
pub use guards::{Guard, Guards};
