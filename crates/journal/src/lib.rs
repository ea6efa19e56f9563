//! The verbatim truth: everything that agents forwarded, in the order of its commits.
//!
//! The journal is a [`ledger`] of commit records under `journal/log/`. A record
//! may name one **segment**, an object of events exactly as they were sent, and
//! says how far each agent's stream has come with it. So an event and the
//! progress it makes become durable in one step, and never one without the other.
//!
//! Folding the records in order gives a [`State`]: which spools are active, the
//! watermark, chain and cursors of every stream. Folding is a pure function:
//! whoever has the same records has the same state.
//!
//! Layout, in the order of the walk: [`Body`] (what a record says), `segment`
//! (batches to frames and back), [`State`] (validate and fold), `commit` (make
//! record n+1), `read` (records and their events), `salvage` (what is left of a
//! damaged segment), `snapshot` (so that starting does not read all records),
//! `leaves` (what an agent may ask of its own stream), `sweep` (what no record
//! names goes), `expire` (segments whose time is over go), `promises` (what must always hold), `layout` (the only place that
//! forms paths here).
//!
//! # Why events are not parsed here
//! A poisonous event must not be able to stop a batch. What a line means is the
//! business of the views derived from the journal.

mod commit;
mod config;
mod error;
mod expire;
mod layout;
mod leaves;
mod progress;
pub mod promises;
mod read;
mod record;
mod salvage;
mod segment;
mod snapshot;
mod state;
mod sweep;

pub use commit::Committed;
pub use config::Config;
pub use error::JournalError;
pub use leaves::{Leaves, Reach};
pub use progress::{Progress, SourceProgress};
pub use read::{Delivered, DeliveredBatch, DeliveredGap, Journal, Origin, SegmentDamage};
pub use record::{
    BatchEntry, Body, Certificate, Expire, ExpiredSegment, Gap, Open, SegmentRef, Sweep,
};
pub use segment::{BatchLines, FRAME_BYTES_MIN, Lines, Packed, pack};
pub use state::{AgentKey, AgentState, Expired, Invalid, State, Stream, Totals};
pub use sweep::{SWEEP_LAG_RECORDS, Swept};
