//! agent

pub mod source;
