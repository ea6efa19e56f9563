//! Not shipped: the real code under a seeded world.
//!
//! Agents, aggregators and passes over the table run as they are, on one thread
//! and in virtual time. What the world hands them is ours: links that lose,
//! double, reorder and break; a store and disks that fail in the ways that those
//! do; processes that are killed at any await or paused and woken; machines that
//! are installed anew, put back, or copied; clocks that jump. After every step
//! the promises are checked; when the faults stop, everything must arrive, once.
//!
//! Layout: [`Plan`] (what a run is made of), `link`, `source`, `process`,
//! `machine` (an agent's), `server` (an aggregator's), `truth` (what must be so),
//! `trace` (what happened), and [`World`], which runs one seed. [`outage`] is a
//! day without a store.
//!
//! `.ci/sim` is the command; see `docs/reliability.md`.

mod link;
mod machine;
pub mod outage;
mod plan;
mod process;
mod pushes;
mod server;
mod source;
mod trace;
mod truth;
mod world;

pub use plan::{Mode, Plan};
pub use world::{Failure, Outcome, World};
