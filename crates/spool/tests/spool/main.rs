//! What a spool survives: every cut, every changed byte, every failing disk.

#![expect(clippy::indexing_slicing, reason = "a test that indexes wrongly fails")]

mod cuts;
mod damage;
mod faults;
mod fixture;
mod limits;
mod walk;
