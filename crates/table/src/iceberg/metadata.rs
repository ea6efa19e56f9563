//! The table's metadata, as JSON (Iceberg specification, "Table Metadata", version 2).

use integrity::sha256;
use jiff::Timestamp;
use serde_json::json;

use super::columns::{last_id, name_mapping, schema};
use super::manifest::Spec;

/// What is said of the table as of one record of its log.
pub(super) struct Table<'a> {
    /// How others name the store.
    pub(super) base: &'a str,
    /// Where the metadata is, below it.
    pub(super) location: String,
    /// The record, which names the snapshot.
    pub(super) record: u64,
    /// When it is published.
    pub(super) at: Timestamp,
    /// The list of its manifests, below the base.
    pub(super) manifest_list: String,
    pub(super) files: u64,
    pub(super) rows: u64,
    pub(super) bytes: u64,
}

impl Table<'_> {
    pub(super) fn json(&self) -> String {
        let Self { base, location, record, manifest_list, .. } = self;
        let location = format!("{base}/{location}");
        let at = self.at.as_millisecond();
        let spec = |spec: Spec| json!({ "spec-id": spec.id(), "fields": spec.fields() });
        let snapshot = json!({
            "snapshot-id": record,
            "sequence-number": record,
            "timestamp-ms": at,
            "manifest-list": format!("{base}/{manifest_list}"),
            "schema-id": 0,
            "summary": {
                "operation": "overwrite",
                "total-data-files": self.files.to_string(),
                "total-records": self.rows.to_string(),
                "total-files-size": self.bytes.to_string(),
            },
        });
        let table = json!({
            "format-version": 2,
            "table-uuid": uuid(&location),
            "location": location,
            "last-sequence-number": record,
            "last-updated-ms": at,
            "last-column-id": last_id(),
            "current-schema-id": 0,
            "schemas": [schema()],
            "default-spec-id": Spec::Partition.id(),
            "partition-specs": [spec(Spec::Any), spec(Spec::Partition)],
            "last-partition-id": 1_002,
            "default-sort-order-id": 0,
            "sort-orders": [{ "order-id": 0, "fields": [] }],
            "properties": { "schema.name-mapping.default": name_mapping().to_string() },
            "current-snapshot-id": record,
            "refs": { "main": { "snapshot-id": record, "type": "branch" } },
            "snapshots": [snapshot],
            "snapshot-log": [{ "timestamp-ms": at, "snapshot-id": record }],
            "metadata-log": [],
        });
        table.to_string()
    }
}

/// An id that is the table's for as long as it lies where it does, in the form of RFC
/// 9562, version 8.
fn uuid(location: &str) -> String {
    let mut bytes = sha256(location.as_bytes()).0;
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = hex::encode(bytes);
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    format!("{}-{}-{}-{}-{}", part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32))
}
