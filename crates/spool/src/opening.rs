//! The steps of opening: what each does to the files.
//!
//! Files are renamed, cut at a torn tail, or (if wholly released) removed; each
//! step may be cut short by a crash and is then simply taken again.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use seam::{Disk, DiskFile, Open};

use crate::account::{Account, Scanned, Stretch};
use crate::append;
use crate::error::OpenError;
use crate::format::{Decoded, released, segment};
use crate::inventory::{Candidate, Inventory, io_error};
use crate::options::LeafFn;
use crate::recovery::{Cause, Cut, Damage, Lost, Recovery};
use crate::release::{self, RELEASED_NAME};
use crate::scan::scan;
use crate::segment::Segment;
use crate::spool::UNSYNCED_NAME;
use crate::window::Window;

/// What a file is called, behind its name, once nothing in it can be read.
const UNREADABLE: &str = "unreadable";

/// A spool on its way to being open.
pub(crate) struct Opening {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) dir: PathBuf,
    pub(crate) found: Inventory,
}

impl Opening {
    pub(crate) fn remove_unfinished(&self) -> Result<(), OpenError> {
        for name in [append::TEMP_NAME, release::TEMP_NAME] {
            if self.found.names.contains(name) {
                self.remove(name)?;
            }
        }
        Ok(())
    }

    /// Nothing says which spool this is: keeps all of it, out of the way.
    pub(crate) fn give_up(mut self) -> Result<OpenError, OpenError> {
        let segments: Vec<_> =
            self.found.segments.iter().map(|candidate| candidate.name.clone()).collect();
        let mut files = segments.len();
        for name in segments {
            self.set_aside(&name)?;
        }
        if self.found.released.is_some() {
            self.set_aside(RELEASED_NAME)?;
            files += 1;
        }
        self.sync_dir()?;
        Ok(OpenError::NoIdentity { dir: self.dir, files })
    }

    /// The trim point; a file that is not one is set aside and reported.
    pub(crate) fn released(
        &mut self,
        recovery: &mut Recovery,
    ) -> Result<Option<(u64, [u8; 32])>, OpenError> {
        if let Some(Decoded::Whole(released)) = self.found.released {
            return Ok(Some((released.sequence, released.chain)));
        }
        recovery.released_unknown = true;
        let (cause, file) = if self.found.released.is_some() {
            (Cause::Unreadable, self.set_aside(RELEASED_NAME)?)
        } else {
            (Cause::Missing, self.dir.join(RELEASED_NAME))
        };
        let bytes = 0..released::FILE_LEN as u64;
        recovery.damage.push(Damage { cause, file, bytes, lost: Lost::Nothing });
        Ok(None)
    }

    /// Reads every segment that is this spool's and not wholly released.
    pub(crate) fn scan_all(
        &mut self,
        id: [u8; 16],
        leaf: &LeafFn,
        released: Option<(u64, [u8; 32])>,
        recovery: &mut Recovery,
    ) -> Result<Vec<Scanned>, OpenError> {
        let mut own = Vec::new();
        for candidate in std::mem::take(&mut self.found.segments) {
            match candidate.header {
                Decoded::Whole(header) if header.id != id => {
                    self.refuse(&candidate, Cause::Foreign, recovery)?;
                }
                Decoded::Whole(header) if header.first != candidate.first => {
                    self.refuse(&candidate, Cause::Duplicate, recovery)?;
                }
                _ => own.push(candidate),
            }
        }

        let mut scanned = Vec::<Scanned>::new();
        let mut last = 0;
        let mut own = own.into_iter().peekable();
        while let Some(candidate) = own.next() {
            let is_released = own.peek().is_some_and(|next| {
                let begun = matches!(next.header, Decoded::Whole(_));
                let until = released.map_or(0, |(released, _)| released);
                begun && candidate.first < next.first && next.first - 1 <= until
            });
            if is_released {
                // A crash came between the trim point and this. Damage stays.
                if !candidate.damaged {
                    self.remove(&candidate.name)?;
                }
                continue;
            }
            if candidate.first <= last {
                self.refuse(&candidate, Cause::Duplicate, recovery)?;
                continue;
            }
            let this = self.scan_one(candidate, id, leaf)?;
            last = this.segment.last().unwrap_or(last);
            scanned.push(this);
        }
        Ok(scanned)
    }

    fn scan_one(
        &self,
        candidate: Candidate,
        id: [u8; 16],
        leaf: &LeafFn,
    ) -> Result<Scanned, OpenError> {
        let path = self.dir.join(&candidate.name);
        let window = self.disk.open(&path, Open::Read).and_then(Window::new);
        let mut window = window.map_err(|source| io_error("open", &path, source))?;
        let mut segment = Segment::new(path, id, candidate.first);
        segment.damaged = candidate.damaged;
        let bad = scan(&mut segment, &mut window, leaf);
        let header_whole = matches!(candidate.header, Decoded::Whole(_));
        Ok(Scanned { name: candidate.name, segment, header_whole, bad })
    }

    /// Renames what is damaged, cuts a torn tail, reports both.
    pub(crate) fn act(
        &mut self,
        mut scanned: Vec<Scanned>,
        account: Account,
        recovery: &mut Recovery,
    ) -> Result<VecDeque<Segment>, OpenError> {
        for index in account.stretches.iter().filter_map(|stretch| stretch.segment) {
            let Some(this) = scanned.get_mut(index) else { continue };
            let damaged_name = segment::damaged_name(this.segment.first);
            if this.segment.runs.is_empty() {
                this.segment.path = self.set_aside(&this.name)?;
            } else if !this.segment.damaged {
                this.segment.path = self.rename(&this.name, damaged_name)?;
            }
            this.segment.damaged = true;
        }
        for stretch in account.stretches {
            let Stretch { cause, segment, bytes, lost } = stretch;
            let file = match (segment.and_then(|index| scanned.get(index)), lost) {
                (Some(this), _) => this.segment.path.clone(),
                (None, Lost::Range { first, .. } | Lost::From { first }) => {
                    self.dir.join(segment::name(first))
                }
                (None, Lost::Nothing) => self.dir.clone(),
            };
            recovery.damage.push(Damage { cause, file, bytes, lost });
        }
        if let (Some(torn), Some(this)) = (account.torn, scanned.last_mut()) {
            let file = this.segment.path.clone();
            self.cut(&file, torn.start)?;
            this.segment.len = torn.start;
            recovery.cut = Some(Cut { file, bytes: torn, sequence: account.head + 1 });
        }
        let segments = scanned.into_iter().map(|this| this.segment);
        Ok(segments.filter(|segment| !(segment.damaged && segment.runs.is_empty())).collect())
    }

    /// Makes sure of the last segment and of all names, and opens that segment for
    /// appending if the next sequence may go there.
    pub(crate) fn last_made_durable(
        &mut self,
        segments: &mut VecDeque<Segment>,
        head: u64,
    ) -> Result<Option<Box<dyn DiskFile>>, OpenError> {
        let mut active = None;
        if let Some(last) = segments.back() {
            if self.found.unsynced {
                self.write_again(&last.path)?;
            }
            // A killed writer leaves bytes that only the operating system has.
            let file = self.disk.open(&last.path, Open::Append).and_then(|mut file| {
                file.sync()?;
                Ok(file)
            });
            let file = file.map_err(|source| io_error("sync", &last.path, source))?;
            let next = last.last().map_or(last.first, |last| last + 1);
            if !last.damaged && next == head + 1 {
                active = Some(file);
            } else if last.runs.is_empty() {
                let path = last.path.clone();
                self.disk.remove(&path).map_err(|source| io_error("remove", &path, source))?;
                segments.pop_back();
            }
        }
        self.sync_dir()?;
        if self.found.unsynced {
            self.remove(UNSYNCED_NAME)?;
        }
        Ok(active)
    }

    /// Replaces a file by a copy of itself. After a failed fsync its bytes may
    /// look written, and be taken for written by every later fsync, while the disk
    /// never got them.
    fn write_again(&self, path: &Path) -> Result<(), OpenError> {
        let temp = self.dir.join(append::TEMP_NAME);
        let copied = || {
            let mut window = Window::new(self.disk.open(path, Open::Read)?)?;
            let mut copy = self.disk.open(&temp, Open::CreateNew)?;
            let mut at = 0;
            while at < window.len() {
                let bytes = window.at(at, 1);
                copy.append(bytes)?;
                at += bytes.len() as u64;
            }
            copy.sync()?;
            self.disk.rename(&temp, path)
        };
        copied().map_err(|source| io_error("write again", path, source))
    }

    fn cut(&self, path: &Path, len: u64) -> Result<(), OpenError> {
        let cut = self.disk.open(path, Open::Append).and_then(|mut file| {
            file.set_len(len)?;
            file.sync()
        });
        cut.map_err(|source| io_error("cut the torn tail of", path, source))
    }

    /// Sets a file aside for good and reports it; nothing of it was needed.
    fn refuse(
        &mut self,
        candidate: &Candidate,
        cause: Cause,
        recovery: &mut Recovery,
    ) -> Result<(), OpenError> {
        let file = self.set_aside(&candidate.name)?;
        let bytes = 0..candidate.len;
        recovery.damage.push(Damage { cause, file, bytes, lost: Lost::Nothing });
        Ok(())
    }

    /// Renames a file to a name that no spool reads and that is not taken.
    fn set_aside(&mut self, name: &str) -> Result<PathBuf, OpenError> {
        let mut target = format!("{name}.{UNREADABLE}");
        let mut copies = 0u64;
        while self.found.names.contains(&target) {
            copies += 1;
            target = format!("{name}.{UNREADABLE}.{copies}");
        }
        self.rename(name, target)
    }

    fn rename(&mut self, name: &str, target: String) -> Result<PathBuf, OpenError> {
        let (from, to) = (self.dir.join(name), self.dir.join(&target));
        self.disk.rename(&from, &to).map_err(|source| io_error("set aside", &from, source))?;
        self.found.names.remove(name);
        self.found.names.insert(target);
        Ok(to)
    }

    fn remove(&self, name: &str) -> Result<(), OpenError> {
        let path = self.dir.join(name);
        let removed = append::remove_if_there(self.disk.as_ref(), &path);
        removed.map_err(|source| io_error("remove", &path, source))
    }

    fn sync_dir(&self) -> Result<(), OpenError> {
        self.disk.sync_dir(&self.dir).map_err(|source| io_error("sync", &self.dir, source))
    }
}
