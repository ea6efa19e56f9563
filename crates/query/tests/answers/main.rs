//! Answers over table and journal tail equal those of brute force.
//!
//! `world` writes a store by hand; `history` asks it by filter and in SQL,
//! `complete` asks what answers say of themselves, `trace` follows keys, `index` asks with and without an index, `continuous` asks
//! while everything is done to the files.

mod complete;
mod continuous;
mod history;
mod index;
mod trace;
mod world;
