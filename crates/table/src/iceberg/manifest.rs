//! Manifests: lists of data files, and the list of a snapshot's manifests.

use bytes::Bytes;
use jiff::Timestamp;
use jiff::civil::Date;
use object_store::path::Path;
use serde_json::{Value, json};

use super::avro::{Values, container};
use super::columns::{PARTITION_IDS, eventtime_id, schema};
use crate::layout::Layout;
use crate::log::DataFile;
use crate::order::day_number;
use crate::partition::Partition;
use crate::schema::PARTITION_KEYS;

/// The status of a file that was there before. All are: nothing is told of which
/// snapshot added what.
const EXISTING: i64 = 0;

/// How files tell whose rows they hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spec {
    /// Rows of any partition, with account, region and date as columns.
    Any,
    /// Rows of one partition, which the manifest names.
    Partition,
}

impl Spec {
    /// Its id in the table's metadata.
    pub(super) fn id(self) -> i64 {
        match self {
            Self::Any => 0,
            Self::Partition => 1,
        }
    }

    /// Its fields there.
    pub(super) fn fields(self) -> Value {
        match self {
            Self::Any => json!([]),
            Self::Partition => (1_000..)
                .zip(PARTITION_KEYS.into_iter().zip(PARTITION_IDS))
                .map(|(id, (name, source))| {
                    json!({ "field-id": id, "source-id": source, "name": name, "transform": "identity" })
                })
                .collect(),
        }
    }
}

/// A manifest that was put.
#[derive(Clone, Debug)]
pub(super) struct Manifest {
    /// Where.
    pub(super) path: String,
    /// Its bytes.
    pub(super) length: u64,
    pub(super) spec: Spec,
    pub(super) counts: Counts,
}

/// What a manifest's files are together.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts {
    files: u64,
    rows: u64,
    /// The newest intent that one of them is of.
    newest: u64,
    /// The oldest.
    oldest: u64,
    /// The least and the greatest of account, region and date.
    ranges: Option<(Partition, Partition)>,
}

impl Counts {
    fn of(files: &[DataFile]) -> Self {
        let intents = files.iter().map(intent);
        let partitions = || files.iter().filter_map(|file| file.partition.as_ref());
        let range = || {
            Some((
                Partition {
                    account: partitions().map(|one| one.account).min()?,
                    region: partitions().map(|one| one.region.clone()).min()?,
                    date: partitions().map(|one| one.date).min()?,
                },
                Partition {
                    account: partitions().map(|one| one.account).max()?,
                    region: partitions().map(|one| one.region.clone()).max()?,
                    date: partitions().map(|one| one.date).max()?,
                },
            ))
        };
        Self {
            files: files.len() as u64,
            rows: files.iter().map(|file| file.rows).sum(),
            newest: intents.clone().max().unwrap_or(0),
            oldest: intents.min().unwrap_or(0),
            ranges: range(),
        }
    }
}

fn intent(file: &DataFile) -> u64 {
    Layout::intent_of(&Path::from(file.path.as_str())).unwrap_or(0)
}

/// A manifest of these files, and what they are together.
pub(super) fn of_files(spec: Spec, files: &[DataFile], base: &str) -> (Bytes, Counts) {
    let mut files: Vec<&DataFile> = files.iter().collect();
    files.sort_by(|one, other| one.path.cmp(&other.path));
    let eventtime = eventtime_id();
    let mut values = Values::default();
    for file in &files {
        let intent = intent(file);
        values.long(EXISTING);
        for number in [intent, intent, intent] {
            values.some();
            values.count(number);
        }
        // The data file: content (data), where, and in which format.
        values.long(0);
        values.bytes(format!("{base}/{}", file.path).as_bytes());
        values.bytes(b"PARQUET");
        if let (Spec::Partition, Some(partition)) = (spec, &file.partition) {
            for text in [partition.account.to_string(), partition.region.to_string()] {
                values.some();
                values.bytes(text.as_bytes());
            }
            values.some();
            values.long(day_number(partition.date).into());
        }
        values.count(file.rows);
        values.count(file.bytes);
        for bound in [file.min_eventtime, file.max_eventtime] {
            bounds(&mut values, eventtime, bound);
        }
    }
    let metadata = [
        ("schema", schema().to_string()),
        ("schema-id", "0".to_owned()),
        ("partition-spec", spec.fields().to_string()),
        ("partition-spec-id", spec.id().to_string()),
        ("format-version", "2".to_owned()),
        ("content", "data".to_owned()),
    ];
    let bytes = container(&entry_schema(spec).to_string(), &metadata, files.len(), &values);
    let owned: Vec<DataFile> = files.into_iter().cloned().collect();
    (bytes, Counts::of(&owned))
}

/// A map with the one bound that is known.
fn bounds(values: &mut Values, id: u32, bound: Option<Timestamp>) {
    let Some(bound) = bound else { return values.none() };
    values.some();
    values.long(1);
    values.long(id.into());
    values.bytes(&bound.as_microsecond().to_le_bytes());
    values.long(0);
}

/// The list of a snapshot's manifests.
pub(super) fn of_manifests(manifests: &[Manifest], record: u64, base: &str) -> Bytes {
    let mut values = Values::default();
    for manifest in manifests {
        let Counts { files, rows, newest, oldest, ranges } = &manifest.counts;
        values.bytes(format!("{base}/{}", manifest.path).as_bytes());
        values.count(manifest.length);
        values.long(manifest.spec.id());
        // Data, not deletes.
        values.long(0);
        values.count(*newest);
        values.count(*oldest);
        values.count(*newest);
        // Added, existing, deleted: files, then rows.
        for count in [0, *files, 0, 0, *rows, 0] {
            values.count(count);
        }
        match ranges {
            Some((least, greatest)) if manifest.spec == Spec::Partition => {
                values.some();
                values.long(3);
                let text = |one: &Partition| [one.account.to_string(), one.region.to_string()];
                for (least, greatest) in text(least).iter().zip(text(greatest)) {
                    summary(&mut values, least.as_bytes(), greatest.as_bytes());
                }
                let day = |date: Date| day_number(date).to_le_bytes();
                summary(&mut values, &day(least.date), &day(greatest.date));
                values.long(0);
            }
            _ => values.none(),
        }
    }
    let metadata = [
        ("format-version", "2".to_owned()),
        ("snapshot-id", record.to_string()),
        ("sequence-number", record.to_string()),
        ("parent-snapshot-id", "null".to_owned()),
    ];
    container(&list_schema().to_string(), &metadata, manifests.len(), &values)
}

fn summary(values: &mut Values, least: &[u8], greatest: &[u8]) {
    values.boolean(false);
    for bound in [least, greatest] {
        values.some();
        values.bytes(bound);
    }
}

fn field(name: &str, id: u32, kind: Value) -> Value {
    json!({ "name": name, "type": kind, "field-id": id })
}

fn optional(name: &str, id: u32, kind: Value) -> Value {
    json!({ "name": name, "type": ["null", kind], "default": null, "field-id": id })
}

/// A map from ids, which Avro's own maps cannot have.
fn map(key: u32, value: u32) -> Value {
    json!({
        "type": "array",
        "logicalType": "map",
        "items": {
            "type": "record",
            "name": format!("k{key}_v{value}"),
            "fields": [
                field("key", key, json!("int")),
                field("value", value, json!("bytes")),
            ],
        },
    })
}

/// Iceberg specification, "Manifests": `manifest_entry`, as far as it is used.
fn entry_schema(spec: Spec) -> Value {
    let partition = match spec {
        Spec::Any => json!([]),
        Spec::Partition => json!([
            optional("account", 1_000, json!("string")),
            optional("region", 1_001, json!("string")),
            optional("date", 1_002, json!({ "type": "int", "logicalType": "date" })),
        ]),
    };
    let data_file = json!({
        "type": "record",
        "name": "r2",
        "fields": [
            field("content", 134, json!("int")),
            field("file_path", 100, json!("string")),
            field("file_format", 101, json!("string")),
            field("partition", 102, json!({ "type": "record", "name": "r102", "fields": partition })),
            field("record_count", 103, json!("long")),
            field("file_size_in_bytes", 104, json!("long")),
            optional("lower_bounds", 125, map(126, 127)),
            optional("upper_bounds", 128, map(129, 130)),
        ],
    });
    json!({
        "type": "record",
        "name": "manifest_entry",
        "fields": [
            field("status", 0, json!("int")),
            optional("snapshot_id", 1, json!("long")),
            optional("sequence_number", 3, json!("long")),
            optional("file_sequence_number", 4, json!("long")),
            field("data_file", 2, data_file),
        ],
    })
}

/// Iceberg specification, "Manifest Lists": `manifest_file`.
fn list_schema() -> Value {
    let summary = json!({
        "type": "record",
        "name": "r508",
        "fields": [
            field("contains_null", 509, json!("boolean")),
            optional("lower_bound", 510, json!("bytes")),
            optional("upper_bound", 511, json!("bytes")),
        ],
    });
    json!({
        "type": "record",
        "name": "manifest_file",
        "fields": [
            field("manifest_path", 500, json!("string")),
            field("manifest_length", 501, json!("long")),
            field("partition_spec_id", 502, json!("int")),
            field("content", 517, json!("int")),
            field("sequence_number", 515, json!("long")),
            field("min_sequence_number", 516, json!("long")),
            field("added_snapshot_id", 503, json!("long")),
            field("added_files_count", 504, json!("int")),
            field("existing_files_count", 505, json!("int")),
            field("deleted_files_count", 506, json!("int")),
            field("added_rows_count", 512, json!("long")),
            field("existing_rows_count", 513, json!("long")),
            field("deleted_rows_count", 514, json!("long")),
            optional("partitions", 507, json!({ "type": "array", "items": summary, "element-id": 508 })),
        ],
    })
}
