//! Object paths below `journal/`. No other module forms one.

use jiff::{Timestamp, tz::TimeZone};
use object_store::path::Path;

/// Where the commit records are.
pub(crate) fn log() -> Path {
    Path::from("journal/log")
}

/// A fresh segment's path: `journal/segment/2026/11/20/<after>-<id>.ndjson.zst`,
/// where `after` is the record, in hexadecimal, that its writer had read last.
///
/// The date only spreads and orders names for people; nothing depends on it.
/// `after` says which sweep has made the name unusable.
pub(crate) fn segment(at: Timestamp, after: u64, id: [u8; 16]) -> Path {
    let day = at.to_zoned(TimeZone::UTC).strftime("%Y/%m/%d").to_string();
    Path::from(format!("journal/segment/{day}/{after:x}-{}.ndjson.zst", hex::encode(id)))
}

/// Where the segments of one day are.
pub(crate) fn segments_of(at: Timestamp) -> Path {
    Path::from(format!("journal/segment/{}", at.to_zoned(TimeZone::UTC).strftime("%Y/%m/%d")))
}

/// Where the segments are.
pub(crate) fn segments() -> Path {
    Path::from("journal/segment")
}

/// The record that a segment's writer had read last; 0 in names of earlier
/// releases, which did not say. None if it is no segment's path.
pub(crate) fn segment_after(path: &str) -> Option<u64> {
    let name = path.strip_prefix("journal/segment/")?.rsplit('/').next()?;
    let name = name.strip_suffix(".ndjson.zst")?;
    let (after, id) = name.split_once('-').unwrap_or(("0", name));
    let is_id = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_id { u64::from_str_radix(after, 16).ok() } else { None }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_says_after_which_record_it_was_made() {
        let at = "2026-11-20T09:30:00Z".parse().expect("a time");
        let path = segment(at, 0x1a2f, [7; 16]);
        assert!(path.as_ref().starts_with("journal/segment/2026/11/20/1a2f-0707"), "{path}");
        assert_eq!(segment_after(path.as_ref()), Some(0x1a2f));
        let old = format!("journal/segment/2026/11/20/{}.ndjson.zst", "07".repeat(16));
        assert_eq!(segment_after(&old), Some(0));
        for other in
            ["journal/log/1.json", "journal/segment/x.zst", "journal/segment/1-2.ndjson.zst"]
        {
            assert_eq!(segment_after(other), None, "{other}");
        }
    }
}
