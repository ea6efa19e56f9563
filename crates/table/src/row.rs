//! A record becomes a row, and a row becomes the record again.
//!
//! The way there and the way back lose nothing: the rebuilt record equals the
//! original as a JSON value, numbers by their exact text. What the columns
//! cannot hold is in `unmapped` and `nulls`; `notes` has their rules.
//!
//! Layout: `builder` takes a line, `object` sorts an object's members,
//! `columns` holds what fits, `notes` the rest, `rebuild` goes back.

mod builder;
mod columns;
mod context;
mod notes;
mod object;
mod rebuild;

pub use builder::{BATCH_ROWS_MAX, QuarantineReason, Rejected, RowBuilder};
pub use context::RowSource;
pub use rebuild::RecordJson;
