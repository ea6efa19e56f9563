//! From sources to an aggregator, through a spool.
//!
//! The walk: a [`Source`](source::Source) yields lines and cursor changes,
//! `collect` appends both to the spool, and only when that is on disk does the
//! source move on; `forward` sends what is durable as far as credit goes and
//! releases what is acked. [`Agent`] composes them into lives, one spool each.
//!
//! Layout: `source` (the trait), `split` and what reads files; `collect`; `hold`
//! (spool and places); `align`, `batch`, `forward` over a [`Link`]; `connect`
//! (links of gRPC over TLS); `config`.
//!
//! # What is deliberately absent
//! No Parquet, no SQL, no object store, no journal: a customer's security team
//! can read all of the agent in an afternoon. It listens on no port.

mod agent;
mod align;
mod batch;
mod collect;
mod config;
mod connect;
mod directory;
mod file;
pub mod files;
mod forward;
mod hold;
mod link;
mod places;
pub mod source;
mod split;

pub use agent::{Agent, AgentError, Held, Sources, file_sources, look, take_over};
pub use config::{Config, InvalidConfig, SourceConfig, SpoolConfig};
pub use directory::directory_source;
pub use file::file_source;
pub use hold::{HoldError, Owner};
pub use link::{Connect, ConnectError, Inbound, Link, OUTBOUND_MAX};
