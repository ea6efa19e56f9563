//! A disk in memory, on which nothing fails and every sync holds.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use seam::{Disk, DiskEntry, DiskFile, Open};

type Bytes = Arc<Mutex<Vec<u8>>>;

/// The disk; clones are the same one.
#[derive(Clone, Debug, Default)]
pub struct MemoryDisk(Arc<Mutex<BTreeMap<PathBuf, Bytes>>>);

struct MemoryFile(Bytes);

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl MemoryDisk {
    /// Puts a file there, whatever was there before.
    pub fn write(&self, path: impl Into<PathBuf>, bytes: Vec<u8>) {
        locked(&self.0).insert(path.into(), Arc::new(Mutex::new(bytes)));
    }

    /// All files and what is in them.
    #[must_use]
    pub fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let files = locked(&self.0);
        files.iter().map(|(path, bytes)| (path.clone(), locked(bytes).clone())).collect()
    }

    /// Another disk with the same files.
    #[must_use]
    pub fn copy(&self) -> Self {
        let copy = Self::default();
        for (path, bytes) in self.files() {
            copy.write(path, bytes);
        }
        copy
    }
}

impl Disk for MemoryDisk {
    fn create_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DiskEntry>> {
        let files = locked(&self.0);
        let mut entries: BTreeMap<OsString, DiskEntry> = BTreeMap::new();
        for (path, bytes) in files.iter() {
            let Ok(below) = path.strip_prefix(dir) else { continue };
            let mut parts = below.components();
            let Some(name) = parts.next() else { continue };
            let name = name.as_os_str().to_owned();
            let is_dir = parts.next().is_some();
            let len = if is_dir { 0 } else { locked(bytes).len() as u64 };
            entries.insert(name.clone(), DiskEntry { name, len, is_dir });
        }
        Ok(entries.into_values().collect())
    }

    fn open(&self, path: &Path, how: Open) -> io::Result<Box<dyn DiskFile>> {
        let mut files = locked(&self.0);
        let bytes = match (how, files.get(path)) {
            (Open::CreateNew, Some(_)) => return Err(io::ErrorKind::AlreadyExists.into()),
            (Open::CreateNew, None) => Arc::clone(files.entry(path.to_owned()).or_default()),
            (Open::Read | Open::Append, Some(bytes)) => Arc::clone(bytes),
            (Open::Read | Open::Append, None) => return Err(io::ErrorKind::NotFound.into()),
        };
        Ok(Box::new(MemoryFile(bytes)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut files = locked(&self.0);
        let bytes = files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        files.insert(to.to_owned(), bytes);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        locked(&self.0).remove(path).map(drop).ok_or(io::ErrorKind::NotFound.into())
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }
}

impl DiskFile for MemoryFile {
    fn read_at(&mut self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let bytes = locked(&self.0);
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
        let count = buffer.len().min(bytes.len() - from);
        buffer[..count].copy_from_slice(&bytes[from..from + count]);
        Ok(count)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        locked(&self.0).extend_from_slice(bytes);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn set_len(&mut self, len: u64) -> io::Result<()> {
        // No limit of ours asks for more; a disk would make a sparse file.
        assert!(len <= 64 << 20, "a file is extended to {len} bytes");
        locked(&self.0).resize(usize::try_from(len).expect("below 64 MiB"), 0);
        Ok(())
    }

    fn len(&mut self) -> io::Result<u64> {
        Ok(locked(&self.0).len() as u64)
    }
}
