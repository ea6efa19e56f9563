//! The files below a directory, in an order that does not change.

use std::io;
use std::path::{Path, PathBuf};

use seam::Disk;

/// How deep directories are followed; a link to a directory above would
/// otherwise never end.
const DEPTH_MAX: usize = 64;

/// A file seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) path: PathBuf,
    pub(super) len: u64,
}

/// A directory that cannot be listed.
pub(super) type Unlisted = (PathBuf, io::Error);

/// Calls `see` with each file below `root`, by the order of names: directories
/// and files among each other. What cannot be listed is told as well, and the
/// rest goes on; a directory that is gone meanwhile is nothing.
pub(super) fn walk(disk: &dyn Disk, root: &Path, see: &mut dyn FnMut(Result<Seen, Unlisted>)) {
    directory(disk, root, 0, see);
}

fn directory(
    disk: &dyn Disk,
    dir: &Path,
    depth: usize,
    see: &mut dyn FnMut(Result<Seen, Unlisted>),
) {
    let entries = match disk.list(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound && depth > 0 => return,
        Err(error) => return see(Err((dir.to_owned(), error))),
    };
    for entry in entries {
        let path = dir.join(&entry.name);
        if !entry.is_dir {
            see(Ok(Seen { path, len: entry.len }));
        } else if depth < DEPTH_MAX {
            directory(disk, &path, depth + 1, see);
        } else {
            see(Err((path, io::Error::other("directories nested too deep"))));
        }
    }
}
