//! From agents to the journal: sessions, admission, commits, acks.
//!
//! The walk of a batch: [`session`](Session) receives it, `verify` inflates it
//! and hashes every line again, [`Buffer`] admits it if it continues its stream,
//! [`Committer`] makes the buffer one segment and one commit record, and only
//! then the session acks. A batch that is not committed when the process dies
//! is still in its agent's spool.
//!
//! What bounds memory: an agent sends only what it was given credit for, credit
//! comes from one pool of `buffer_bytes`, and what is buffered holds its credit
//! until it is committed. The aggregator keeps no state on disk.
//!
//! Layout: `serve` (TLS and gRPC in front) with `accept` (who may connect),
//! `session` with its `allowance` and `cursors`, `pace` (how often), `verify`,
//! `buffer` and `credit` (whose turn it is), `committer` with `flush`, `config`,
//! `metrics`, `health`.
//!
//! # Why one committer
//! One commit is in flight for one process, so commits have one order and one
//! owner, and folded state never advances behind somebody's back. Several
//! aggregators on one store race on record n+1, and nobody has to lead.

mod accept;
mod allowance;
mod buffer;
mod committer;
mod config;
mod credit;
mod cursors;
mod flush;
mod health;
mod lines;
mod metrics;
mod pace;
mod serve;
mod session;
mod verify;

pub use buffer::Buffer;
pub use committer::{Committer, CommitterError, Requests};
pub use config::{Config, InvalidConfig};
pub use health::Health;
pub use metrics::Metrics;
pub use serve::{ServeError, Server};
pub use session::{Doubt, Session, SessionEnd};
pub use verify::{Contradiction, check_batch};
