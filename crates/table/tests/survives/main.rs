//! What passes and settling survive: every crash, every lost answer, rivals.
//!
//! The journal here is made by hand in memory and holds what a journal may:
//! rows of many partitions, units in several parts, lines that are no events.

mod crash;
mod faulty;
mod golden;
mod race;
mod random;
mod world;
