//! Not shipped: what the world does to a program, from a seed.
//!
//! The one home of faults for all tests: [`Dice`] (all chance of a run),
//! [`FaultyStore`] (an object store with the failures that stores have) and
//! [`FaultyDisk`] (a disk that loses what was not synced, fails and fills up).
//! Each wraps memory, so what truly landed is known.

mod dice;
mod disk;
mod store;

pub use dice::Dice;
pub use disk::{DiskRates, Fault, FaultyDisk};
pub use store::{FaultyStore, Note, StoreRates};
