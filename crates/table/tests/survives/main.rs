//! What passes and settling survive: every crash, every lost answer, rivals.
//!
//! The journal here is made by hand in memory and holds what a journal may:
//! rows of many partitions, units in several parts, lines that are no events.

#![expect(clippy::indexing_slicing, reason = "a test that indexes wrongly fails")]

mod completeness;
mod crash;
mod damage;
mod derived;
mod direct;
mod expire;
mod expire_journal;
mod expired_lines;
mod faulty;
mod golden;
mod iceberg;
mod old_logs;
mod once;
mod race;
mod random;
mod reader;
mod rebuild;
mod reused;
mod world;
