//! What an audit event is.
//!
//! Everything here is about bytes in memory: what a record is, how to find its
//! members without building a tree, whose account it belongs to, when it was,
//! and how what is no record travels. Nothing here does I/O.
//!
//! Layout: [`json`] finds values, [`record`] says what a record is,
//! [`set_aside`] is the line for everything else, [`time`] reads times,
//! [`indicator`] tells what things are looked for by, and
//! [`AccountId`], [`AgentName`] and [`Region`] are valid by being made.

mod account;
mod agent_name;
pub mod indicator;
pub mod json;
pub mod record;
mod region;
pub mod set_aside;
pub mod time;

pub use account::{AccountId, InvalidAccountId};
pub use agent_name::{AgentName, InvalidAgentName};
pub use region::{InvalidRegion, Region};
