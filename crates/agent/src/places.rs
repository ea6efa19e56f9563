//! Places: where each source stands, durably, beside the spool.
//!
//! A record in the spool carries the cursor changes that go with it. Before the
//! spool forgets acked records, what they changed is folded into one small file:
//!
//! ```json
//! {"version":1,"spool":"<32 hex>","sequence":42,"cursors":{"trail":{"AbC…":182931}}}
//! ```
//!
//! So the cursors are always `file + changes of the spool's records above its
//! sequence`, also while no aggregator can be asked. The file is replaced in one
//! step (write, sync, rename, sync the directory), and it is never ahead of what
//! the journal has acked.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use event::json::{Members, SyntaxError, unescape};
use integrity::SpoolId;
use seam::Disk;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::durable;

/// The cursors of all sources, by name.
pub(crate) type Cursors = BTreeMap<String, Map<String, Value>>;

const VERSION: u32 = 1;

/// No file of places is larger: 64 sources of 64 KiB and their names.
const FILE_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// The file as written.
#[derive(Serialize, Deserialize)]
struct Written {
    version: u32,
    spool: SpoolId,
    sequence: u64,
    cursors: Cursors,
}

/// Keeps the cursors as of one acked sequence.
pub(crate) struct Places {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    /// The sequence that `cursors` belong to.
    pub(crate) sequence: u64,
    /// The cursors there.
    pub(crate) cursors: Cursors,
}

impl Places {
    /// What the file in `dir` says of `spool`; none if there is none that does.
    pub(crate) fn load(
        disk: Arc<dyn Disk>,
        dir: &Path,
        spool: SpoolId,
    ) -> io::Result<Option<Self>> {
        let path = dir.join("places.json");
        let Some(bytes) = durable::read(disk.as_ref(), &path, FILE_BYTES_MAX)? else {
            return Ok(None);
        };
        let written = match serde_json::from_slice::<Written>(&bytes) {
            Ok(written) if written.version == VERSION => written,
            Ok(written) => {
                let what =
                    format!("places.json has version {}; this release reads 1", written.version);
                return Err(io::Error::other(what));
            }
            // A damaged file is no loss: the aggregator knows the cursors too.
            Err(_) => return Ok(None),
        };
        let Written { spool: of, sequence, cursors, .. } = written;
        Ok((of == spool).then(|| Self { disk, dir: dir.to_owned(), sequence, cursors }))
    }

    /// Places that begin at `sequence` with these cursors; not yet durable.
    pub(crate) fn new(disk: Arc<dyn Disk>, dir: &Path, sequence: u64, cursors: Cursors) -> Self {
        Self { disk, dir: dir.to_owned(), sequence, cursors }
    }

    /// Makes them durable as the places of `spool`.
    pub(crate) fn save(&self, spool: SpoolId) -> io::Result<()> {
        let written = Written {
            version: VERSION,
            spool,
            sequence: self.sequence,
            cursors: self.cursors.clone(),
        };
        let bytes = serde_json::to_vec(&written).map_err(io::Error::other)?;
        durable::replace(self.disk.as_ref(), &self.dir, "places.json", &bytes)
    }
}

/// Merges the changes of one spool record: `{"<source>":{…}}` as text.
///
/// Text that is no such object changes nothing; the spool's checksums make that
/// a defect of ours, not of a disk.
pub(crate) fn merge(cursors: &mut Cursors, changes: &[u8]) {
    if changes.is_empty() {
        return;
    }
    let parsed = serde_json::from_slice::<BTreeMap<String, Map<String, Value>>>(changes);
    debug_assert!(parsed.is_ok(), "the spool holds cursor changes of ours");
    for (source, changes) in parsed.unwrap_or_default() {
        let cursor = cursors.entry(source).or_default();
        for (key, value) in changes {
            if value.is_null() {
                cursor.remove(&key);
            } else {
                cursor.insert(key, value);
            }
        }
    }
}

/// The changes of several records as one set, without applying them: of each
/// member the last, and a removal stays a null.
///
/// A file's records change the same member over and over. What the next record
/// overwrites is dropped unread, and only what stands at the end is parsed.
#[derive(Debug, Default)]
pub(crate) struct Changes<'a> {
    /// Source, key and value of each change, as they are spelt.
    spelt: Vec<[&'a [u8]; 3]>,
}

impl<'a> Changes<'a> {
    /// Adds what the next record changes: `{"<source>":{…}}` as text.
    pub(crate) fn add(&mut self, changes: &'a [u8]) {
        if changes.is_empty() {
            return;
        }
        let added = self.add_members(changes);
        debug_assert!(added.is_ok(), "the spool holds cursor changes of ours");
    }

    fn add_members(&mut self, changes: &'a [u8]) -> Result<(), SyntaxError> {
        for source in Members::starting(changes, 0)? {
            let source = source?;
            for change in Members::starting(source.value, 0)? {
                let change = change?;
                let next = [source.key, change.key, change.value];
                match self.spelt.last_mut() {
                    Some(last) if last[..2] == next[..2] => *last = next,
                    _ => self.spelt.push(next),
                }
            }
        }
        Ok(())
    }

    /// The set.
    pub(crate) fn finish(self) -> Cursors {
        let mut cursors = Cursors::new();
        for [source, key, value] in self.spelt {
            let names = unescape(source).and_then(|source| Ok((source, unescape(key)?)));
            let (Ok((source, key)), Ok(value)) = (names, serde_json::from_slice::<Value>(value))
            else {
                debug_assert!(false, "the spool holds cursor changes of ours");
                continue;
            };
            cursors.entry(source.into_owned()).or_default().insert(key.into_owned(), value);
        }
        cursors
    }
}

/// The member of a cursor that counts what was pushed. No source that is read
/// again has one of that name, so a record says by itself what it is.
pub(crate) const PUSHED: &str = "push";

/// Whether a record with these cursor changes was pushed: nobody has it but us.
pub(crate) fn is_pushed(changes: &[u8]) -> bool {
    // The text is ours; most records are told apart without reading it as JSON.
    let named = changes.windows(PUSHED.len()).any(|piece| piece == PUSHED.as_bytes());
    named
        && serde_json::from_slice::<Cursors>(changes)
            .is_ok_and(|cursors| cursors.values().any(|cursor| cursor.contains_key(PUSHED)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_changes_the_last_of_each_member_stands() {
        let records: [&[u8]; 6] = [
            br#"{"trail":{"a":[1,2,"x"]}}"#,
            br#"{"trail":{"a":[7,2,"x"]}}"#,
            br#"{"trail":{"a":null,"finished":{"files":1}}}"#,
            b"",
            br#"{"an \"app\"":{"push":17}}"#,
            br#"{"trail":{"b":[],"\u0061":[3]}}"#,
        ];
        let mut changes = Changes::default();
        records.iter().for_each(|record| changes.add(record));
        let expected =
            r#"{"an \"app\"":{"push":17},"trail":{"a":[3],"b":[],"finished":{"files":1}}}"#;
        let expected: Cursors = serde_json::from_str(expected).expect("cursors");
        assert_eq!(changes.finish(), expected);
    }

    #[test]
    fn a_record_says_by_itself_whether_it_was_pushed() {
        assert!(is_pushed(br#"{"app":{"push":17}}"#));
        assert!(!is_pushed(br#"{"push":{"AbCdEfGhIjk":[17,4096,"x"]}}"#), "a source of that name");
        assert!(!is_pushed(br#"{"trail":{"finished":{"files":1,"sum":"0","path":"push"}}}"#));
        assert!(!is_pushed(b""));
    }
}
