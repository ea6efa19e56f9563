//! A synthetic organization from a seed: for the demo, benchmarks and tests.
//!
//! [`Organization::events`] gives its records in time order, spelled as
//! CloudTrail spells them; [`Organization::write_log_files`] writes them as
//! the log files that CloudTrail delivers; [`Organization::account_events`]
//! gives one account's records one by one, as a slow agent meets them. The
//! same seed, shape, count and end are the same bytes, everywhere.
//!
//! The walk: `organization` has accounts, an `account` has principals
//! (`principal`) who choose from what can be done (`action`) when it is time
//! (`rhythm`), `draft` writes the record, and `incident` plays out among it.
//!
//! # Why
//! Records are written into a buffer from templates and never built as trees:
//! a million of them take some seconds, so benchmarks measure what they test.
//! The random numbers are our own (`dice`), since a library's may change.

mod account;
mod action;
mod dice;
mod draft;
mod events;
mod incident;
mod log_files;
mod organization;
mod principal;
mod rhythm;
mod stamp;

pub use events::{AccountEvents, Event, Events};
pub use incident::Incident;
pub use log_files::{Grouping, Written};
pub use organization::{Organization, Shape};
