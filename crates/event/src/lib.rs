//! What an audit event is.
//!
//! Everything here is about bytes in memory: what a record is, how to find its
//! members without building a tree, whose account it belongs to, when it was.
//! Nothing here does I/O.

mod account;
mod agent_name;
mod region;

pub use account::{AccountId, InvalidAccountId};
pub use agent_name::{AgentName, InvalidAgentName};
pub use region::{InvalidRegion, Region};
