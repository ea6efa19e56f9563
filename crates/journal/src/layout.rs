//! Object paths below `journal/`. No other module forms one.

use jiff::{Timestamp, tz::TimeZone};
use object_store::path::Path;

/// Where the commit records are.
pub(crate) fn log() -> Path {
    Path::from("journal/log")
}

/// A fresh segment's path: `journal/segment/2026/11/20/<id>.ndjson.zst`.
///
/// The date only spreads and orders names for people; nothing depends on it.
pub(crate) fn segment(at: Timestamp, id: [u8; 16]) -> Path {
    let day = at.to_zoned(TimeZone::UTC).strftime("%Y/%m/%d").to_string();
    Path::from(format!("journal/segment/{day}/{}.ndjson.zst", hex::encode(id)))
}

/// Where the snapshots are.
pub(crate) fn snapshots() -> Path {
    Path::from("journal/snapshot")
}

/// The snapshot of the state before record `number`.
pub(crate) fn snapshot(number: u64) -> Path {
    Path::from(format!("journal/snapshot/{number:020}.json"))
}

/// The record number in a snapshot's path.
pub(crate) fn snapshot_number(path: &Path) -> Option<u64> {
    path.filename()?.strip_suffix(".json")?.parse().ok()
}
