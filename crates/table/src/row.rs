//! A record becomes a row.

mod builder;
mod context;
mod rebuild;

pub use builder::{QuarantineReason, Rejected, RowBuilder};
pub use context::RowSource;
pub use rebuild::RecordJson;
