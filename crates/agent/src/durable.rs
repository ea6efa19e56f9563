//! Small files that are replaced in one step: write, sync, rename, sync the
//! directory. A crash leaves the old file or the new one, never a part.

use std::io;
use std::path::Path;

use seam::{Disk, Open};

/// The bytes of a file, or of its beginning; none if it is not there.
pub(crate) fn read(disk: &dyn Disk, path: &Path, bytes_max: u64) -> io::Result<Option<Vec<u8>>> {
    let mut file = match disk.open(path, Open::Read) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let len = file.len()?.min(bytes_max);
    let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
    let mut read = 0;
    while let Some(rest) = bytes.get_mut(read..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, read as u64)? {
            0 => break,
            more => read += more,
        }
    }
    bytes.truncate(read);
    Ok(Some(bytes))
}

/// Makes `bytes` the file `name` in `dir`, durably.
pub(crate) fn replace(disk: &dyn Disk, dir: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let new = dir.join(format!("{name}.new"));
    remove(disk, &new)?;
    let mut file = disk.open(&new, Open::CreateNew)?;
    file.append(bytes)?;
    file.sync()?;
    disk.rename(&new, &dir.join(name))?;
    disk.sync_dir(dir)
}

/// Removes a file; one that is not there is removed already.
pub(crate) fn remove(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    match disk.remove(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
