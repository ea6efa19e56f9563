//! From sources to an aggregator, through a spool.
//!
//! The walk: a [`Source`](source::Source) yields lines and cursor changes,
//! `collect` appends both to the spool, and only when that is on disk does the
//! source move on; `forward` sends what is durable as far as credit goes and
//! releases what is acked. [`Agent`] composes them into lives, one spool each.
//!
//! Layout: `source` (the trait), `split` and what reads files; `collect`; `inlet`
//! (what applications push); `hold` (spool and places); `align`, `batch`,
//! `forward` over a [`Link`]; `fate` and `succession` (a spool that cannot go
//! on, and the one after it); `connect` (links of gRPC over TLS); `vitals` (what
//! an operator sees) and `listen`; `config`.
//!
//! # What is deliberately absent
//! No Parquet, no SQL, no object store, no journal: a customer's security team
//! can read all of the agent in an afternoon. It listens nowhere unless told to,
//! and then where only its own machine can reach it.

mod agent;
mod align;
mod batch;
mod collect;
mod config;
mod connect;
mod directory;
mod durable;
mod fate;
mod file;
pub mod files;
mod forward;
mod hold;
mod inlet;
mod link;
mod listen;
mod places;
pub mod source;
mod split;
mod succession;
mod vitals;

pub use agent::{Agent, AgentError, Held, Sources, file_sources, look, restored, take_over};
pub use config::{Config, InvalidConfig, OperationsConfig, PushConfig, SourceConfig, SpoolConfig};
pub use directory::directory_source;
pub use file::file_source;
pub use hold::{HoldError, Owner};
pub use inlet::{Accepted, Inlet, PUSH_BYTES_MAX, PUSH_INFLATED_BYTES_MAX, PushError};
pub use link::{Connect, ConnectError, Inbound, Link, OUTBOUND_MAX};
pub use listen::{Address, Face, Listener};
pub use vitals::Vitals;
