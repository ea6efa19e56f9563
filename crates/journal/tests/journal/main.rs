//! What the journal survives.

#![expect(clippy::indexing_slicing, reason = "a test that indexes wrongly fails")]

mod damage;
mod expire;
mod sweep;
mod world;
