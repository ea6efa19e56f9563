//! What an operator may set.

use std::num::NonZeroU32;

use serde::Deserialize;

/// The section `[journal]` of the server's configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Segments are kept for so many days after their commit; for ever if it is not
    /// set. Records stay.
    pub retention_days: Option<NonZeroU32>,
}
