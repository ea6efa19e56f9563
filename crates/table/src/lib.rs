//! The table: Parquet by account, region and date, derived from the journal.
//!
//! It is what people query, and it can be rebuilt: the journal is the truth.
//! A **pass** reads what the journal has gained, makes rows of it and commits
//! them together with the journal position that it reached, so every unit of
//! the journal is a row once, or in quarantine with its reason. Partitions that
//! gathered many rows get a file of their own; all other rows go into one
//! **fresh** file, which **settling** later moves into the partitions.
//!
//! The table has its own [`ledger`] of records. An *intent* pins everything its
//! rows depend on and stays open until its *commit*; at most one is open, and
//! whoever finds it finishes it with what it pins. Files are create-only and
//! named by their intent. Several processes may so run passes on one store, and
//! a process that dies anywhere leaves nothing that another cannot finish.
//!
//! # Layout, along the walk
//! - an event becomes a row: [`schema`], [`partition`], [`row`]
//! - rows become files and come back: [`encode`], [`decode`]
//! - `gather` (journal to rows), `order` (how rows are sorted), `files` (sort,
//!   encode, put), `quarantine` (what is no event)
//! - `indicators`: the list of what a row names, made of its other columns
//! - `duplicates` (one event, one row) with `keys` (which events were seen) and `marks`
//!   (rows in files whose eventID was used again); `find`: rows by their place
//! - `pass`; `settle` and `compact` with `merge`; `backlog`: what waits for the latter
//! - `completeness`: up to when the events of each account are known to be all
//!   there, and what is lost
//! - `index`: which files of a day that is over name a key, an ARN, an address
//! - `day`: copies of days that are over, for the organization at once; `stretch`
//!   is which files such a copy, or a part of an index, was made of
//! - `rebuild`: all of it made again from the journal
//! - `iceberg`: the same files in the words that other engines know
//! - `expire`: days whose time is over, `expire_journal`: what the journal may let go
//!   by its own retention, and `hold`: what is kept all the same
//! - `log` (what a record says), `state` (fold), `checkpoint` (the folded state
//!   as objects), [`Table`] (one process's hold on it), [`TableSnapshot`] (what
//!   a reader sees), `layout` (the only place that forms paths below `trail/`)
//!
//! # What readers of plain files may rely on
//! Nothing but Parquet of an open or committed intent ends in `.parquet` below
//! `events/` and `fresh/`. Rows below `events/` are settled: there each row is
//! once, and none that will not be committed, though a pass or a settling may
//! be seen in part; but while compaction replaces a partition's files, and for
//! `keep_replaced_secs` after, the old files and the new ones lie there side by
//! side. Who needs to be exact takes the files that a snapshot names (`orgtrail
//! files`). Fresh rows lie below `fresh/` only; while settling is under
//! way, and until its inputs are swept, the same rows may be seen there and
//! below `events/`, so plain readers take one of the two. A [`TableSnapshot`]
//! takes both, and is exact.
//!
//! # Why a log of its own and not the names of files
//! A listing cannot say which files belong together, so a reader would see
//! rows twice while settling replaces files. A record can, in one step.

pub mod decode;
pub mod encode;
pub mod partition;
pub mod row;
pub mod schema;

mod backlog;
mod checkpoint;
mod choose;
mod compact;
mod completeness;
mod config;
mod day;
mod duplicates;
mod error;
mod expire;
mod expire_journal;
mod files;
mod find;
mod gather;
mod hold;
mod iceberg;
mod index;
mod indicators;
mod keys;
mod layout;
mod log;
mod marks;
mod merge;
mod open_file;
mod order;
mod pass;
mod quarantine;
mod rebuild;
mod settle;
mod snapshot;
mod state;
mod stretch;
mod table;

pub use backlog::{BACKLOG_DATES, Backlog};
pub use compact::CompactReport;
pub use completeness::{
    Completeness, Expected, Known, LOSSES_MAX, Loss, LossKind, Losses, Standing, Statement, name_of,
};
pub use config::{Config, Limits};
pub use day::{DayPart, DayReport};
pub use error::TableError;
pub use expire::ExpireReport;
pub use expire_journal::ExpireJournalReport;
pub use hold::{Hold, Release};
pub use index::{IndexPart, IndexReport, index_schema};
pub use layout::TRAIL_DEFAULT;
pub use log::{Counts, DamagedSegment, DataFile, LostBatch, QuarantineFile, SettleReason};
pub use pass::PassReport;
pub use rebuild::{Left, RebuildEstimate, RebuildProgress, RebuildReport};
pub use settle::SettleReport;
pub use snapshot::{Filter, TableSnapshot};
pub use state::{Damage, Expired, FreshFile, Open, Rebuild, TableState, Totals};
pub use stretch::Stretch;
pub use table::{Seams, Table};
