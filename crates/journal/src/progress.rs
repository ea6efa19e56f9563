//! How far an agent says it has come: the only ground for any statement of
//! completeness.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What an agent last said of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The last sequence in its spool.
    pub head: u64,
    /// When the aggregator heard it.
    pub heard_at: Timestamp,
    /// By source name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sources: BTreeMap<String, SourceProgress>,
}

/// What an agent knows of one of its sources.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceProgress {
    /// When the source was last read to its end; absent if never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caught_up_at: Option<Timestamp>,
    /// How far behind events the source itself is known to be, in seconds;
    /// absent if it cannot say, and then completeness is unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known_delay_secs: Option<u64>,
}
