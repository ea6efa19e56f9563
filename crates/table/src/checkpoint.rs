//! Checkpoints: the folded state as objects, so that starting does not read
//! all records, and so that nobody keeps the list of all files in memory.
//!
//! A checkpoint writes, for every date that got files since the last one, an
//! object that lists all files of that date, then the state itself, and then a
//! record that names them with their hashes. Objects count only through that
//! record: one whose bytes have another hash is passed over for the checkpoint
//! before it, and at last for record 1. A damaged, forged or missing state so
//! costs time and nothing else.

use std::collections::BTreeMap;
use std::io::Read as _;

use bytes::Bytes;
use futures::TryStreamExt;
use integrity::sha256;
use ledger::{Head, Ledger};
use object_store::path::Path;
use store::{Store, StoreError};

use crate::error::TableError;
use crate::layout::Layout;
use crate::log::{Body, Checkpoint, DataFile, Manifest, ObjectRef};
use crate::state::{DateFiles, TableState};
use crate::stretch::Stretch;

/// What zstd's frames begin with (RFC 8878, section 3.1.1).
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

const ZSTD_LEVEL: i32 = 3;

/// Inflated bytes of a list: some three million files.
const LIST_BYTES_MAX: u64 = 1 << 30;

/// Records asked for at once: whoever starts has to read a few, and a question should
/// not ask for many that are not there.
const READ_AHEAD: usize = 8;

/// Folds the records after `state`, until the next one is absent.
pub(crate) async fn advance(
    store: &Store,
    ledger: &Ledger,
    state: &mut TableState,
) -> Result<(), TableError> {
    let mut records = ledger.read_from(state.ledger_head(), u64::MAX, READ_AHEAD);
    while let Some(record) = records.try_next().await.map_err(TableError::Ledger)? {
        fold(store, state, &record).await?;
    }
    Ok(())
}

/// Folds one record, with the list of files that it may name.
pub(crate) async fn fold(
    store: &Store,
    state: &mut TableState,
    record: &ledger::Record,
) -> Result<(), TableError> {
    let mut body: Body = record.body().map_err(TableError::Ledger)?;
    if let Body::SettleCommit(commit) = &mut body
        && let Some(list) = commit.files_in.take()
    {
        commit.files = listed(store, &list).await?;
    }
    let head = Head { number: record.number, hash: record.hash };
    state
        .fold(head, record.at, body)
        .map_err(|what| TableError::Contradiction { number: record.number, what })
}

/// The newest state that a checkpoint gives and its record vouches for.
pub(crate) async fn newest(
    store: &Store,
    ledger: &Ledger,
    layout: &Layout,
) -> Result<TableState, TableError> {
    let mut states: Vec<(u64, Path)> = store
        .list(&layout.states(), None)
        .try_filter_map(async |(path, _size)| {
            Ok(Layout::state_number(&path).map(|number| (number, path)))
        })
        .try_collect()
        .await
        .map_err(TableError::Store)?;
    states.sort_unstable();
    for (number, path) in states.into_iter().rev() {
        if let Some(state) = load(store, ledger, number, &path).await? {
            return Ok(state);
        }
        tracing::debug!(%path, "a table state is not what a record names; reading on without it");
    }
    Ok(TableState::new())
}

async fn load(
    store: &Store,
    ledger: &Ledger,
    number: u64,
    path: &Path,
) -> Result<Option<TableState>, TableError> {
    let Some(record) = ledger.read(number).await.map_err(TableError::Ledger)? else {
        return Ok(None);
    };
    let Ok(Body::Checkpoint(checkpoint)) = record.body::<Body>() else { return Ok(None) };
    if checkpoint.state.path != path.as_ref() {
        return Ok(None);
    }
    let Some(bytes) = store.get(path).await.map_err(TableError::Store)? else { return Ok(None) };
    if sha256(&bytes) != checkpoint.state.sha256 {
        return Ok(None);
    }
    let Ok(mut state) = serde_json::from_slice::<TableState>(&bytes) else { return Ok(None) };
    if !state.is_known_format() || state.head + 1 != number {
        return Ok(None);
    }
    state.end_checkpoint(number, &checkpoint);
    state.set_head(Head { number, hash: record.hash });
    Ok(Some(state))
}

/// Writes what a checkpoint after `state` names, and says the record's body.
pub(crate) async fn prepare(
    store: &Store,
    layout: &Layout,
    state: &TableState,
) -> Result<Checkpoint, TableError> {
    let number = state.head + 1;
    let mut dates = BTreeMap::new();
    for (date, files) in &state.dates {
        if files.recent.is_empty() && files.replaced.is_empty() {
            continue;
        }
        let all = date_files(store, files).await?;
        let bytes = packed(&all)?;
        let hash = sha256(&bytes);
        let path = layout.manifest(*date, number, hash);
        put(store, &path, bytes).await?;
        let manifest = Manifest {
            object: ObjectRef { path: path.to_string(), sha256: hash },
            files: all.len() as u64,
            rows: all.iter().map(|file| file.rows).sum(),
            bytes: all.iter().map(|file| file.bytes).sum(),
            stretch: Stretch::of(&all),
        };
        dates.insert(*date, manifest);
    }
    let mut after = state.clone();
    after.apply_manifests(&dates).map_err(|what| TableError::Contradiction { number, what })?;
    let (bytes, hash) = after.canonical();
    let path = layout.state(number, hash);
    put(store, &path, bytes).await?;
    Ok(Checkpoint { state: ObjectRef { path: path.to_string(), sha256: hash }, dates })
}

/// All files of one date: those in its manifest that were not replaced, then the
/// recent ones.
pub(crate) async fn date_files(
    store: &Store,
    files: &DateFiles,
) -> Result<Vec<DataFile>, TableError> {
    let mut all = match &files.manifest {
        None => Vec::new(),
        Some(manifest) => listed(store, &manifest.object).await?,
    };
    all.retain(|file| !files.replaced.contains(&file.path));
    all.extend(files.recent.iter().cloned());
    Ok(all)
}

async fn listed(store: &Store, object: &ObjectRef) -> Result<Vec<DataFile>, TableError> {
    let path = &object.path;
    let bytes = store.get(&Path::from(path.as_str())).await.map_err(TableError::Store)?;
    let Some(bytes) = bytes else { return Err(TableError::Missing { path: path.clone() }) };
    let damaged = |what: String| TableError::Damaged { path: path.clone(), what };
    if sha256(&bytes) != object.sha256 {
        return Err(damaged("its bytes do not have the hash in the log".into()));
    }
    // Lists of earlier releases are plain.
    let text = if bytes.starts_with(&ZSTD_MAGIC) {
        let mut text = Vec::new();
        zstd::stream::read::Decoder::new(bytes.as_ref())
            .and_then(|inflated| inflated.take(LIST_BYTES_MAX).read_to_end(&mut text))
            .map_err(|error| damaged(error.to_string()))?;
        text.into()
    } else {
        bytes
    };
    serde_json::from_slice(&text).map_err(|error| damaged(error.to_string()))
}

/// A list of files as an object: JSON in zstd, a fifth of what it is plain.
fn packed(files: &[DataFile]) -> Result<Vec<u8>, TableError> {
    let text = serde_json::to_vec(files).expect("a list of files is representable in JSON");
    zstd::bulk::compress(&text, ZSTD_LEVEL).map_err(|error| TableError::Encode(error.to_string()))
}

/// Puts the list of files that a record would be too long with.
pub(crate) async fn put_list(
    store: &Store,
    layout: &Layout,
    intent: u64,
    files: &[DataFile],
) -> Result<ObjectRef, TableError> {
    let bytes = packed(files)?;
    let hash = sha256(&bytes);
    let path = layout.settled(intent, hash);
    put(store, &path, bytes).await?;
    Ok(ObjectRef { path: path.to_string(), sha256: hash })
}

/// Makes sure of an object whose name holds its hash. A store that answers "it
/// exists" is not believed: a conflict may have been with a put that never landed,
/// and a record that named such an object would lose the list of a date's files.
async fn put(store: &Store, path: &Path, bytes: Vec<u8>) -> Result<(), TableError> {
    let ensured = store.ensure(path, Bytes::from(bytes)).await;
    ensured.map_err(|error| TableError::Store(StoreError::from(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(part: u64) -> DataFile {
        serde_json::from_value(serde_json::json!({
            "path": format!(
                "trail/default/events/account=111122223333/region=eu-west-1/date=2026-11-20/{part:020}-00000.parquet"
            ),
            "rows": 200, "bytes": 61_000, "sha256": sha256(&part.to_be_bytes()),
        }))
        .expect("a data file")
    }

    #[tokio::test]
    async fn a_list_of_files_is_read_packed_as_it_is_now_and_plain_as_it_was() {
        let store = Store::open("memory://lists").await.expect("a store");
        let files: Vec<DataFile> = (0..1_000).map(file).collect();
        let plain = serde_json::to_vec(&files).expect("JSON");
        let now = packed(&files).expect("packed");
        assert!(now.len() * 4 < plain.len(), "{} bytes of {}", now.len(), plain.len());
        for bytes in [plain, now] {
            let object =
                ObjectRef { path: format!("list-{}", bytes.len()), sha256: sha256(&bytes) };
            put(&store, &Path::from(object.path.as_str()), bytes.clone()).await.expect("put");
            assert_eq!(listed(&store, &object).await.expect("read"), files);
            let forged = ObjectRef { sha256: sha256(b"other"), ..object };
            assert!(matches!(listed(&store, &forged).await, Err(TableError::Damaged { .. })));
        }
    }

    #[tokio::test]
    async fn a_list_that_ends_early_or_is_no_list_is_damaged() {
        let store = Store::open("memory://short-lists").await.expect("a store");
        let packed = packed(&[file(1)]).expect("packed");
        let short = packed.get(..packed.len() - 3).expect("it is longer").to_vec();
        for (name, bytes) in [("short", short), ("empty", Vec::new()), ("other", b"{}".to_vec())] {
            let object = ObjectRef { path: name.to_owned(), sha256: sha256(&bytes) };
            put(&store, &Path::from(name), bytes).await.expect("put");
            assert!(
                matches!(listed(&store, &object).await, Err(TableError::Damaged { .. })),
                "{name}"
            );
        }
    }
}
