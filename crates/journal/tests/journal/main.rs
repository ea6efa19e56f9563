//! What the journal survives.

#![expect(clippy::indexing_slicing, reason = "a test that indexes wrongly fails")]

mod damage;
mod expire;
mod snapshot;
mod sweep;
mod world;
