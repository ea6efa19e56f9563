//! What the log says of a data file.

use integrity::{Hash, sha256};
use jiff::Timestamp;
use jiff::civil::Date;
use object_store::path::Path;
use serde::{Deserialize, Serialize};

use crate::encode::Encoded;
use crate::layout::{Layout, Place};
use crate::partition::Partition;

/// One committed Parquet object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "DataFileMembers", into = "DataFileMembers")]
pub struct DataFile {
    /// Its path in the store.
    pub path: String,
    /// Whose rows it holds; none for a fresh file and a copy of a day, which have rows
    /// of any partition.
    pub partition: Option<Partition>,
    /// How many rows.
    pub rows: u64,
    /// Its size.
    pub bytes: u64,
    /// SHA-256 of the whole object.
    pub sha256: Hash,
    /// The earliest event time in it; none if no row has one.
    pub min_eventtime: Option<Timestamp>,
    /// The latest.
    pub max_eventtime: Option<Timestamp>,
}

impl DataFile {
    /// What the log says of an encoded file.
    pub(crate) fn of(path: &Path, partition: Option<Partition>, encoded: &Encoded) -> Self {
        let time = |micros: i64| Timestamp::from_microsecond(micros).ok();
        Self {
            path: path.to_string(),
            partition,
            rows: encoded.rows,
            bytes: encoded.bytes.len() as u64,
            sha256: sha256(&encoded.bytes),
            min_eventtime: encoded.eventtime.and_then(|(min, _)| time(min)),
            max_eventtime: encoded.eventtime.and_then(|(_, max)| time(max)),
        }
    }

    /// The day that a settled file's path says.
    #[must_use]
    pub fn date_of(path: &str) -> Option<Date> {
        match Layout::place(path)? {
            Place::Partition(partition) | Place::Staged(partition) => Some(partition.date),
            Place::Fresh | Place::Day | Place::Rebuilt => None,
        }
    }

    /// Whether its rows are not settled yet: then account, region and date are
    /// columns in it.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        self.partition.is_none()
    }
}

#[derive(Clone, Serialize, Deserialize)]
struct DataFileMembers {
    path: String,
    rows: u64,
    bytes: u64,
    sha256: Hash,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    min_eventtime: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_eventtime: Option<Timestamp>,
}

impl From<DataFile> for DataFileMembers {
    fn from(file: DataFile) -> Self {
        let DataFile { path, partition: _, rows, bytes, sha256, min_eventtime, max_eventtime } =
            file;
        Self { path, rows, bytes, sha256, min_eventtime, max_eventtime }
    }
}

impl TryFrom<DataFileMembers> for DataFile {
    type Error = String;

    fn try_from(members: DataFileMembers) -> Result<Self, Self::Error> {
        let DataFileMembers { path, rows, bytes, sha256, min_eventtime, max_eventtime } = members;
        let partition = match Layout::place(&path) {
            Some(Place::Fresh | Place::Day | Place::Rebuilt) => None,
            Some(Place::Partition(partition) | Place::Staged(partition)) => Some(partition),
            None => return Err(format!("{path:?} is no data file's path")),
        };
        Ok(Self { path, partition, rows, bytes, sha256, min_eventtime, max_eventtime })
    }
}
