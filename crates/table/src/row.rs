//! A record becomes a row, and a row becomes the record again.
//!
//! The way there and the way back lose nothing: the rebuilt record equals the
//! original as a JSON value, numbers by their exact text. What the columns
//! cannot hold is in `unmapped` and `nulls`; `notes` has their rules.
//!
//! Layout: `builder` takes a line, `record` reads it, `object` walks over its
//! bytes; `columns` holds what fits, `notes` the rest; `rebuild` goes back.

mod builder;
mod columns;
mod context;
mod notes;
mod object;
mod rebuild;
mod record;

pub use crate::indicators::with_indicators;
pub use builder::{BATCH_ROWS_MAX, RowBuilder};
pub use context::RowSource;
pub use rebuild::RecordJson;
pub(crate) use record::{Identified, identify};
pub use record::{QuarantineReason, Rejected};
