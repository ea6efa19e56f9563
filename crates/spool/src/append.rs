//! Appending and making durable: the only code that writes frames.
//!
//! A call is one stretch of one segment. If any part of it fails, the stretch is
//! cut off again and the cut made durable, so that a refused entry does not come
//! back after a crash; if the cut fails too, the spool is poisoned.

use std::io;
use std::path::Path;

use seam::{DiskFile, Guard, Open};

use crate::error::AppendError;
use crate::format::{frame, segment};
use crate::options::{CURSORS_BYTES_MAX, PAYLOAD_BYTES_MAX};
use crate::segment::Segment;
use crate::spool::{Entry, Spool};

/// Frames are gathered to about this many bytes for one write.
const WRITE_BYTES: usize = 1 << 20;

/// A file under this name is not finished and means nothing.
pub(crate) const TEMP_NAME: &str = "segment.temp";

impl Spool {
    /// Appends entries, all or none; answers the last sequence. They are durable
    /// only after [`Spool::sync`].
    ///
    /// # Errors
    /// See [`AppendError`]: after any of them nothing of the call is kept.
    pub fn append(&mut self, entries: &[Entry<'_>]) -> Result<u64, AppendError> {
        self.refuse_if_poisoned()?;
        let needed = total_len(entries)?;
        if entries.is_empty() {
            return Ok(self.head);
        }
        match self.append_once(entries, needed) {
            Err(AppendError::Full { .. }) if self.unlink_all_released() => {
                self.append_once(entries, needed)
            }
            other => other,
        }
    }

    /// Makes everything appended durable; answers the durable head.
    ///
    /// # Errors
    /// A failed fsync poisons the spool until it is opened again.
    pub fn sync(&mut self) -> Result<u64, AppendError> {
        self.refuse_if_poisoned()?;
        if self.durable < self.head
            && let Some(file) = &mut self.active
        {
            if self.options.guards.hold(Guard::SyncBeforeUse)
                && let Err(source) = file.sync()
            {
                return Err(self.poison_back("sync", source));
            }
            self.durable = self.head;
        }
        Ok(self.durable)
    }

    fn append_once(&mut self, entries: &[Entry<'_>], needed: u64) -> Result<u64, AppendError> {
        let goes_on = self.active.is_some()
            && self.segments.back().is_some_and(|active| {
                active.runs.is_empty() || active.len + needed <= self.options.segment_bytes
            });
        let more = if goes_on { needed } else { needed + segment::FRAMES_AT };
        if self.disk_bytes().saturating_add(more) > self.options.disk_bytes_max {
            return Err(self.full(more, None));
        }
        if !goes_on {
            self.sync()?;
            self.begin_segment(more)?;
        }
        let (Some(file), Some(active)) = (&mut self.active, self.segments.back_mut()) else {
            // Only a failed fsync closes the active segment, and it poisons.
            return self.refuse_if_poisoned().map(|()| self.head);
        };

        let start = active.len;
        let head = self.head;
        self.scratch.clear();
        let mut written = Ok(());
        for entry in entries {
            let sequence = self.head + 1;
            let leaf = (self.leaf)(sequence, entry.payload);
            let Entry { payload, cursors } = entry;
            frame::encode(
                &mut self.scratch,
                active.key,
                active.len,
                sequence,
                leaf,
                cursors,
                payload,
            );
            let end = active.len + frame::frame_len(payload, cursors) as u64;
            active.push(sequence, active.len, end);
            active.len = end;
            self.head = sequence;
            if self.scratch.len() >= WRITE_BYTES {
                written = file.append(&self.scratch);
                self.scratch.clear();
            }
            if written.is_err() {
                break;
            }
        }
        let written = written.and_then(|()| file.append(&self.scratch));
        self.scratch.clear();
        self.scratch.shrink_to(2 * WRITE_BYTES);
        match written {
            Ok(()) => Ok(self.head),
            Err(source) => Err(self.cut_back(start, head, more, source)),
        }
    }

    /// Takes back what a failed call wrote, and says what failed.
    fn cut_back(&mut self, start: u64, head: u64, more: u64, source: io::Error) -> AppendError {
        self.head = head;
        let (Some(file), Some(active)) = (&mut self.active, self.segments.back_mut()) else {
            return self.poison_back("append to", source);
        };
        active.cut(start, head);
        if let Err(source) = file.set_len(start).and_then(|()| file.sync()) {
            return self.poison_back("cut back", source);
        }
        self.durable = head;
        if is_full(&source) {
            return self.full(more, Some(source));
        }
        AppendError::Io { doing: "append to", path: active.path.clone(), source }
    }

    /// Begins the segment of the next sequence. It gets its name only with a
    /// durable header, so a segment without one is damage and nothing else.
    fn begin_segment(&mut self, needed: u64) -> Result<(), AppendError> {
        let first = self.head + 1;
        let header = segment::Header { id: self.id, first }.encode();
        let temp = self.path(TEMP_NAME);
        let file = match self.write_temp(&temp, &header) {
            Ok(file) => file,
            Err(AppendError::Io { source, .. }) if is_full(&source) => {
                return Err(self.full(needed, Some(source)));
            }
            Err(error) => return Err(error),
        };
        let path = self.path(&segment::name(first));
        self.publish_temp(&temp, &path)?;
        self.segments.push_back(Segment::new(path, self.id, first));
        self.active = Some(file);
        Ok(())
    }

    /// Writes a file under a temporary name and makes its bytes durable.
    pub(crate) fn write_temp(
        &mut self,
        temp: &Path,
        bytes: &[u8],
    ) -> Result<Box<dyn DiskFile>, AppendError> {
        let failed = |source| AppendError::Io { doing: "write", path: temp.to_path_buf(), source };
        remove_if_there(self.disk.as_ref(), temp).map_err(failed)?;
        let mut file = self.disk.open(temp, Open::CreateNew).map_err(failed)?;
        let (written, synced) = match file.append(bytes) {
            Ok(()) => (Ok(()), file.sync()),
            Err(error) => (Err(error), Ok(())),
        };
        if written.is_err() || synced.is_err() {
            // If that fails too, whoever writes the next one removes it first.
            drop(self.disk.remove(temp));
        }
        written.map_err(failed)?;
        match synced {
            Ok(()) => Ok(file),
            // Some file systems find room only now; nothing relies on this file yet.
            Err(source) if is_full(&source) => Err(failed(source)),
            Err(source) => Err(self.poison(failed(source))),
        }
    }

    /// Gives a finished file its name, durably.
    pub(crate) fn publish_temp(&mut self, temp: &Path, path: &Path) -> Result<(), AppendError> {
        let renamed = self.disk.rename(temp, path);
        let published = renamed.and_then(|()| {
            let durable = self.options.guards.hold(Guard::SyncDirectory);
            if durable { self.disk.sync_dir(&self.options.dir) } else { Ok(()) }
        });
        published.map_err(|source| {
            let path = path.to_path_buf();
            self.poison(AppendError::Io { doing: "publish", path, source })
        })
    }

    pub(crate) fn full(&self, needed: u64, source: Option<io::Error>) -> AppendError {
        AppendError::Full {
            dir: self.options.dir.clone(),
            used: self.disk_bytes(),
            max: self.options.disk_bytes_max,
            needed,
            source,
        }
    }

    fn poison_back(&mut self, doing: &'static str, source: io::Error) -> AppendError {
        let path = self.segments.back().map(|active| active.path.clone());
        let path = path.unwrap_or_else(|| self.options.dir.clone());
        self.poison(AppendError::Io { doing, path, source })
    }
}

/// Whether the disk has no room, as against being broken.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Removes a file; one that is not there is removed already.
pub(crate) fn remove_if_there(disk: &dyn seam::Disk, path: &Path) -> io::Result<()> {
    match disk.remove(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn total_len(entries: &[Entry<'_>]) -> Result<u64, AppendError> {
    let mut total = 0u64;
    for Entry { payload, cursors } in entries {
        for (bytes, max) in [(payload.len(), PAYLOAD_BYTES_MAX), (cursors.len(), CURSORS_BYTES_MAX)]
        {
            if bytes > max {
                return Err(AppendError::TooLarge { bytes, max });
            }
        }
        total += frame::frame_len(payload, cursors) as u64;
    }
    Ok(total)
}
