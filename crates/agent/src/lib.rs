//! agent

pub mod source;
mod split;
