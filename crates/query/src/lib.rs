//! Questions about events: SQL and the event history, over everything that was
//! committed.
//!
//! An answer covers the committed table *and* the journal's tail: the records
//! after the table's position, turned into rows by the table's own rules. The
//! table's log is folded first and the journal afterwards, so nothing falls
//! between the two and nothing is counted twice. [`Coverage`] says up to which
//! journal record an answer is complete. What could not be read is an error that
//! names the object; an empty answer always means that nothing was there.
//!
//! # Layout, along the walk of a question
//! - [`EventFilter`] becomes an expression, or SQL a plan ([`Engine::sql`]):
//!   `dialect` reads it as it is published, `functions` and `views` are what it
//!   calls and names, `comparison` compares intervals by their length; `limits` gives it a turn
//! - `view`: one snapshot of the table and one range of the journal
//! - `tail`: the journal's lines as rows
//! - `events_table`: what DataFusion sees; `pruning` chooses files, `reader`
//!   reads them and remembers which were opened, `ahead` asks for those that come next
//! - `terms` finds what a condition asks for by name, `lookup` leaves out the
//!   files that an index says do not name it, `lists` the row groups of which
//!   their file says so
//! - `kept`: what several parts of a plan ask for at once is read once
//! - `copies` takes a day's copy for the organization at once where it is less to
//!   read
//! - [`Answer`]: the rows, then what they cover
//! - `trace`: where an access key leads, in several questions
//! - `json_get`: values out of JSON, for people
//!
//! # Why no SQL is ever put together from values
//! Filters hold text that an attacker may have chosen. They become expressions
//! with literals; the SQL parser never sees them.

mod ahead;
mod answer;
mod as_sql;
mod comparison;
mod copies;
mod coverage;
mod ddl;
mod dialect;
mod engine;
mod error;
mod events_table;
mod filter;
mod functions;
mod json_get;
mod json_path;
mod kept;
mod limits;
mod lists;
mod lookup;
mod parquet_rows;
mod pattern;
mod pruning;
mod question;
mod reader;
mod saved;
mod tail;
mod terms;
mod trace;
mod view;
mod views;

pub use answer::Answer;
pub use as_sql::as_sql;
pub use coverage::{Coverage, SourceCoverage};
pub use ddl::{Dialect, Place, ddl, refresh};
pub use engine::{Engine, Options, Selection, TAIL_LIMIT_BYTES};
pub use error::QueryError;
pub use filter::{EventFilter, InvalidFilter};
pub use json_path::{InvalidPath, JsonPath};
pub use limits::{Limits, MEMORY_BYTES, QUESTIONS_MAX, SPILL_BYTES, Scanned, TIME_MAX};
pub use parquet_rows::ParquetRows;
pub use question::Question;
pub use saved::{InvalidParameter, Parameter, Saved};
pub use table::{Known, Loss, LossKind, Statement};
pub use trace::{DEPTH_MAX, HOPS_MAX, Hop, KeyUse, Proof, Trace};
