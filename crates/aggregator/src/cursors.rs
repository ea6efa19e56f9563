//! Cursors between messages and the journal: JSON objects of bounded length.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use wire::v1;

/// One source's changes in a batch: all that its cursor was and all that it becomes.
const CHANGES_BYTES_MAX: usize = 2 * wire::CURSOR_BYTES_MAX;

/// All changes in a batch.
const ALL_BYTES_MAX: usize = wire::SOURCES_MAX * wire::CURSOR_BYTES_MAX;

/// Longest source name, in bytes.
pub(crate) const SOURCE_NAME_BYTES_MAX: usize = 256;

/// What a batch changes, and how long that is when it is written again.
#[derive(Debug)]
pub(crate) struct Changes {
    pub(crate) by_source: BTreeMap<String, Map<String, Value>>,
    pub(crate) bytes: usize,
}

/// Cursor changes that are none, or too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidChanges {
    #[error(
        "cursor changes are at most {} JSON objects of {CHANGES_BYTES_MAX} bytes, each with a \
         source name of at most {SOURCE_NAME_BYTES_MAX} bytes",
        wire::SOURCES_MAX
    )]
    Form,
    #[error("a batch has {0} bytes of cursor changes; the limit is {ALL_BYTES_MAX}")]
    Length(usize),
}

impl Changes {
    /// The cursor changes of a batch, if each is a JSON object within its limit.
    pub(crate) fn read(cursors: &[v1::Cursor]) -> Result<Self, InvalidChanges> {
        let mut all = Self { by_source: BTreeMap::new(), bytes: 0 };
        for cursor in cursors {
            let fits = cursor.changes.len() <= CHANGES_BYTES_MAX
                && cursor.source.len() <= SOURCE_NAME_BYTES_MAX
                && all.by_source.len() < wire::SOURCES_MAX;
            let changes = serde_json::from_slice::<Map<String, Value>>(&cursor.changes);
            let (true, Ok(changes)) = (fits, changes) else { return Err(InvalidChanges::Form) };
            let text = serde_json::to_vec(&changes).map_err(|_| InvalidChanges::Form)?;
            all.bytes += cursor.source.len() + text.len();
            all.by_source.insert(cursor.source.clone(), changes);
        }
        if all.bytes > ALL_BYTES_MAX {
            return Err(InvalidChanges::Length(all.bytes));
        }
        Ok(all)
    }
}

/// Cursors as an agent is told them.
pub(crate) fn told(cursors: Vec<(String, Map<String, Value>)>) -> Vec<v1::Cursor> {
    cursors
        .into_iter()
        .map(|(source, members)| v1::Cursor {
            source,
            changes: Value::Object(members).to_string().into_bytes().into(),
        })
        .collect()
}
