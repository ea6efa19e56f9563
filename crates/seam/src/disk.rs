//! A local disk, as a value: the operations whose order and durability matter.
//!
//! All calls block. Callers that live on an async runtime run them on its
//! blocking pool in production and inline in a simulation.
//!
//! # Contract
//! - What [`DiskFile::append`] wrote survives a power cut only after
//!   [`DiskFile::sync`] answered `Ok`. After a failed `sync` nothing is known
//!   about any byte written since the last good one.
//! - A created, renamed or removed name survives only after
//!   [`Disk::sync_dir`] on its directory answered `Ok`.
//! - [`Disk::rename`] replaces its target in one step.

use std::any::Any;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Open {
    /// An existing file, to read.
    Read,
    /// A file that must not exist yet, to append to and read.
    CreateNew,
    /// An existing file, to append to at its end and read.
    Append,
}

/// One name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskEntry {
    /// The name, without its directory.
    pub name: std::ffi::OsString,
    /// Size in bytes; 0 for a directory.
    pub len: u64,
    /// Whether it is a directory (symbolic links are followed).
    pub is_dir: bool,
}

/// A directory tree that files can be kept in.
pub trait Disk: Send + Sync {
    /// Makes a directory and its missing parents, durably.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;
    /// The names in a directory, sorted.
    fn list(&self, dir: &Path) -> io::Result<Vec<DiskEntry>>;
    /// Opens a file.
    fn open(&self, path: &Path, how: Open) -> io::Result<Box<dyn DiskFile>>;
    /// Gives a file another name, replacing what had that name.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in a directory durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Takes the lock that a file stands for, until the answer is dropped or the
    /// process ends; `WouldBlock` if somebody else holds it. A disk that only one
    /// process can reach has nothing to lock.
    fn lock(&self, _path: &Path) -> io::Result<Box<dyn Any + Send + Sync>> {
        Ok(Box::new(()))
    }
}

/// One open file.
pub trait DiskFile: Send {
    /// Reads at an offset; 0 bytes means the end of the file.
    fn read_at(&mut self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes all bytes at the end.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Makes everything written so far durable.
    fn sync(&mut self) -> io::Result<()>;
    /// Cuts the file to a length (or extends it with zeroes).
    fn set_len(&mut self, len: u64) -> io::Result<()>;
    /// The current length in bytes.
    fn len(&mut self) -> io::Result<u64>;
    /// Whether the file has no bytes.
    fn is_empty(&mut self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
}

/// The operating system's file system.
#[derive(Clone, Copy, Debug, Default)]
pub struct LocalDisk;

impl Disk for LocalDisk {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        if dir.is_dir() {
            return Ok(());
        }
        let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty());
        if let Some(parent) = parent {
            self.create_dir(parent)?;
        }
        match fs::create_dir(dir) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => {}
            other => other?,
        }
        self.sync_dir(parent.unwrap_or(Path::new(".")))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DiskEntry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            // A link that points nowhere is no file; the next listing sees it mended.
            let Ok(meta) = fs::metadata(entry.path()) else { continue };
            let is_dir = meta.is_dir();
            let len = if is_dir { 0 } else { meta.len() };
            entries.push(DiskEntry { name: entry.file_name(), len, is_dir });
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    fn open(&self, path: &Path, how: Open) -> io::Result<Box<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        options.read(true);
        match how {
            Open::Read => &mut options,
            Open::CreateNew => options.append(true).create_new(true),
            Open::Append => options.append(true),
        };
        Ok(Box::new(LocalFile(options.open(path)?)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Any + Send + Sync>> {
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
        file.try_lock()?;
        Ok(Box::new(file))
    }
}

#[derive(Debug)]
struct LocalFile(File);

impl DiskFile for LocalFile {
    fn read_at(&mut self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.seek(SeekFrom::Start(offset))?;
        self.0.read(buffer)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn set_len(&mut self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn len(&mut self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn appended_bytes_read_back_at_their_offset_after_a_rename() {
        let dir = tempfile::tempdir().expect("temp dir");
        let disk = LocalDisk;
        let nested = dir.path().join("a/b");
        disk.create_dir(&nested).expect("create");
        let mut file = disk.open(&nested.join("x"), Open::CreateNew).expect("open");
        file.append(b"hello ").expect("append");
        file.append(b"world").expect("append");
        file.sync().expect("sync");
        disk.rename(&nested.join("x"), &nested.join("y")).expect("rename");
        disk.sync_dir(&nested).expect("sync dir");
        let mut buffer = [0; 16];
        let mut again = disk.open(&nested.join("y"), Open::Read).expect("open");
        assert_eq!(again.read_at(&mut buffer, 6).expect("read"), 5);
        assert_eq!(buffer.get(..5), Some(b"world".as_slice()));
        assert!(disk.open(&nested.join("y"), Open::CreateNew).is_err(), "create-new refuses");
        assert_eq!(disk.list(dir.path()).expect("list").len(), 1);
    }

    #[test]
    fn a_lock_has_one_holder_and_ends_with_it() {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = dir.path().join("lock");
        let held = LocalDisk.lock(&path).expect("lock");
        let error = LocalDisk.lock(&path).expect_err("held elsewhere");
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        drop(held);
        LocalDisk.lock(&path).expect("free again");
    }
}
