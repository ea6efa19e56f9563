//! Answers over table and journal tail equal those of brute force.
//!
//! `world` writes a store by hand; `history` asks it by filter and in SQL,
//! `complete` asks what answers say of themselves, `trace` follows keys, `index`
//! asks with and without an index, `continuous` while everything is done to the files.

#![expect(clippy::indexing_slicing, reason = "a test that indexes wrongly fails")]

mod complete;
mod continuous;
mod history;
mod index;
mod trace;
mod world;
