//! Not shipped: the real delivery code under a seeded world.
//!
//! Agents and aggregators run as they are, on one thread and in virtual time.
//! What the world hands them is ours: links that lose, double and break, a
//! store that fails in the ways that stores have, processes that are killed at
//! any await, spools that are lost or rolled back. When the faults stop,
//! everything must arrive, once.
//!
//! Layout: [`Dice`] (all chance), [`FaultyStore`], `link`, `source`, and
//! [`World`], which runs one seed and checks what it left in the journal.
//!
//! # What is not simulated yet
//! Disks are real ones in a temporary directory: a kill loses no write here. What
//! a power cut does to a spool is tested in `spool`, at every operation.

mod dice;
mod link;
mod source;
mod store;
mod world;

pub use dice::Dice;
pub use store::FaultyStore;
pub use world::{Outcome, Plan, World};
