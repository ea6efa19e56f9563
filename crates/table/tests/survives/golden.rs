//! The records of the table's log, as a person reads them.
//!
//! `UPDATE_GOLDEN=1` rewrites the files; a change of them is a change of format.

use std::path::PathBuf;
use std::sync::Arc;

use object_store::ObjectStoreExt;
use object_store::path::Path;
use table::Limits;

use crate::world::{World, drain, limits};

/// Hashes and sizes of Parquet follow from the encoder, which may change.
fn without_encoder(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Object(members) => {
            for (key, member) in members {
                if ["sha256", "previous"].contains(&key.as_str()) {
                    *member = "<hash>".into();
                } else if key == "bytes" {
                    *member = "<bytes>".into();
                } else if key == "path" {
                    let path = member.as_str().unwrap_or_default();
                    *member = hidden_hash(path).into();
                } else {
                    without_encoder(member);
                }
            }
        }
        serde_json::Value::Array(items) => items.iter_mut().for_each(without_encoder),
        serde_json::Value::String(text) => *text = hidden_hash(text),
        _ => {}
    }
}

/// State and manifest objects have a hash in their name.
fn hidden_hash(text: &str) -> String {
    let ending = [".json.zst", ".json"].into_iter().find(|ending| text.ends_with(ending));
    match (text.rsplit_once('-'), ending) {
        (Some((start, _)), Some(ending)) => format!("{start}-<hash>{ending}"),
        _ => text.to_owned(),
    }
}

/// Bounds under which a settling's record names its files.
fn named() -> Limits {
    Limits { files_named_max: 100, ..limits() }
}

#[tokio::test]
async fn the_logs_records_read_as_documented() {
    let mut world = World::new().await;
    world.report("2026-11-20T11:58:00.5Z".parse().expect("a time")).await;
    world.deliver(12).await;
    let mut table = world
        .table_with("memory://world", Arc::clone(&world.objects), 2, named())
        .await
        .expect("open");
    drain(&mut table).await.expect("drain");
    world.deliver(2).await;
    drain(&mut table).await.expect("drain");
    let mut kinds = std::collections::BTreeMap::new();
    for number in 1..=table.state().head {
        let path = Path::from(format!("trail/default/table/log/{number:020}.json"));
        let bytes = world.objects.get(&path).await.expect("get").bytes().await.expect("bytes");
        let mut record: serde_json::Value = serde_json::from_slice(&bytes).expect("json");
        without_encoder(&mut record);
        let envelope = ["version", "number", "previous", "id", "at"];
        let kind = record
            .as_object()
            .expect("an object")
            .keys()
            .find(|key| !envelope.contains(&key.as_str()));
        kinds.entry(kind.expect("a kind").clone()).or_insert(record);
    }
    let known = [
        "checkpoint",
        "compact_commit",
        "compact_intent",
        "pass_commit",
        "pass_intent",
        "settle_commit",
        "settle_intent",
        "sweep",
    ];
    assert_eq!(kinds.keys().collect::<Vec<_>>(), known);
    for (kind, record) in kinds {
        let file =
            PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/{kind}.json"));
        let text = serde_json::to_string_pretty(&record).expect("json") + "\n";
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::create_dir_all(file.parent().expect("a parent")).expect("create");
            std::fs::write(&file, text).expect("write");
        } else {
            let golden = std::fs::read_to_string(&file).expect("the golden file");
            assert_eq!(
                text, golden,
                "{kind}: the format changed; UPDATE_GOLDEN=1 if it was meant to"
            );
        }
    }
}
