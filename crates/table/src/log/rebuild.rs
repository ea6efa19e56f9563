//! What a rebuild writes in the log.

use serde::{Deserialize, Serialize};

use super::DataFile;
use crate::partition::Regions;

/// A step of making the table again from the journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum RebuildStep {
    /// It begins. Files of earlier intents are to be replaced.
    Begin {
        /// The last journal record whose rows are made again.
        to: u64,
    },
    /// The journal is read up to a record, by the passes' own intents.
    Read {
        /// That record.
        to: u64,
        /// Its rows since the step before, if there are any.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        file: Option<DataFile>,
        /// The regions that accounts have shown since then.
        #[serde(default, skip_serializing_if = "Regions::is_empty")]
        regions: Regions,
    },
    /// It ends.
    End {
        /// Whether a person gave it up.
        given_up: bool,
    },
}
