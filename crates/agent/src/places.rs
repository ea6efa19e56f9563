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

use integrity::SpoolId;
use seam::{Disk, Open};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

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
        let mut file = match disk.open(&dir.join("places.json"), Open::Read) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        let len = file.len()?.min(FILE_BYTES_MAX);
        let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
        let mut read = 0;
        while let Some(rest) = bytes.get_mut(read..).filter(|rest| !rest.is_empty()) {
            match file.read_at(rest, read as u64)? {
                0 => break,
                more => read += more,
            }
        }
        bytes.truncate(read);
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
        let (path, new) = (self.dir.join("places.json"), self.dir.join("places.json.new"));
        match self.disk.remove(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = self.disk.open(&new, Open::CreateNew)?;
        file.append(&bytes)?;
        file.sync()?;
        self.disk.rename(&new, &path)?;
        self.disk.sync_dir(&self.dir)
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

/// Collects the changes of several records into one set, without applying them:
/// later ones win, and a removal stays a null.
pub(crate) fn gather(all: &mut Cursors, changes: &[u8]) {
    if changes.is_empty() {
        return;
    }
    let parsed = serde_json::from_slice::<BTreeMap<String, Map<String, Value>>>(changes);
    debug_assert!(parsed.is_ok(), "the spool holds cursor changes of ours");
    for (source, changes) in parsed.unwrap_or_default() {
        all.entry(source).or_default().extend(changes);
    }
}
