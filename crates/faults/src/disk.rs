//! A disk in memory that does what real ones do: loses what was not synced, in
//! pieces and out of order; forgets names; fails when told to; fills up.
//!
//! What journaling file systems promise is kept: a renamed directory and what
//! happens in it afterwards do not change places.

#![expect(clippy::indexing_slicing, reason = "an inode's number is its index from its making on")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use seam::{Disk, DiskEntry, DiskFile, Open};

use crate::dice::Dice;

/// One operation in so many fails, of each kind; 0 is never.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskRates {
    /// A write, create, rename or removal fails.
    pub write: u64,
    /// An fsync of a file or directory fails.
    pub sync: u64,
}

/// What goes wrong at an operation that was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// One operation fails.
    Once(io::ErrorKind),
    /// All operations from there on fail.
    FromThenOn(io::ErrorKind),
    /// The power goes: nothing from there on has any effect.
    PowerCut,
}

#[derive(Clone)]
enum Change {
    Write { at: usize, bytes: Vec<u8> },
    Cut { len: usize },
}

impl Change {
    fn apply(&self, data: &mut Vec<u8>) {
        match self {
            Self::Write { at, bytes } => put(data, *at, bytes),
            Self::Cut { len } => data.resize(*len, 0),
        }
    }
}

fn put(data: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    if data.len() < at + bytes.len() {
        data.resize(at + bytes.len(), 0);
    }
    data[at..at + bytes.len()].copy_from_slice(bytes);
}

#[derive(Clone, Default)]
struct Inode {
    /// What a reader sees.
    data: Vec<u8>,
    /// What the platter holds.
    durable: Vec<u8>,
    pending: Vec<Change>,
}

#[derive(Clone)]
enum Naming {
    Link(PathBuf, usize),
    Unlink(PathBuf),
    Rename(PathBuf, PathBuf, usize),
    RenameDir(PathBuf, PathBuf),
}

impl Naming {
    fn apply(&self, names: &mut BTreeMap<PathBuf, usize>) {
        match self {
            Self::Link(path, inode) => drop(names.insert(path.clone(), *inode)),
            Self::Unlink(path) => drop(names.remove(path)),
            Self::Rename(from, to, inode) => {
                names.remove(from);
                names.insert(to.clone(), *inode);
            }
            Self::RenameDir(from, to) => {
                let inside: Vec<PathBuf> =
                    names.keys().filter(|path| path.starts_with(from)).cloned().collect();
                for path in inside {
                    let moved = path.strip_prefix(from).map(|rest| to.join(rest));
                    if let (Some(inode), Ok(moved)) = (names.remove(&path), moved) {
                        names.insert(moved, inode);
                    }
                }
            }
        }
    }

    /// Whether syncing `dir` makes it durable. What happened to a directory's
    /// own name goes with whatever is synced next.
    fn is_of(&self, dir: &Path) -> bool {
        match self {
            Self::Link(path, _) | Self::Unlink(path) | Self::Rename(_, path, _) => {
                path.parent() == Some(dir)
            }
            Self::RenameDir(..) => true,
        }
    }
}

#[derive(Default)]
struct State {
    inodes: Vec<Inode>,
    dirs: BTreeSet<PathBuf>,
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    pending_names: Vec<Naming>,
    operations: u64,
    fault: Option<(u64, Fault)>,
    rates: DiskRates,
    capacity: Option<usize>,
    dice: Option<Dice>,
}

/// The disk; clones are the same disk.
#[derive(Clone, Default)]
pub struct FaultyDisk(Arc<Mutex<State>>);

impl fmt::Debug for FaultyDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultyDisk").finish_non_exhaustive()
    }
}

impl FaultyDisk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The handle a spool takes.
    #[must_use]
    pub fn handle(&self) -> Arc<dyn Disk> {
        Arc::new(self.clone())
    }

    /// From now on counted from 0, the `operation`th operation fails.
    pub fn fail_at(&self, operation: u64, fault: Fault, seed: u64) {
        let mut state = self.state();
        state.operations = 0;
        state.fault = Some((operation, fault));
        state.dice = Some(Dice::new(seed));
    }

    /// The power goes at the `operation`th operation from now on.
    pub fn cut_at(&self, operation: u64) {
        let mut state = self.state();
        let at = state.operations + operation;
        state.fault = Some((at, Fault::PowerCut));
    }

    /// Whether the power has gone.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        let state = self.state();
        matches!(state.fault, Some((at, Fault::PowerCut)) if state.operations > at)
    }

    /// Operations fail at these rates, as these dice fall.
    pub fn set_rates(&self, rates: DiskRates, dice: Dice) {
        let mut state = self.state();
        state.rates = rates;
        state.dice = Some(dice);
    }

    /// No operation that was chosen fails any more.
    pub fn heal(&self) {
        self.state().fault = None;
    }

    /// Operations counted so far.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.state().operations
    }

    /// Bytes that fit; none is no limit.
    pub fn set_capacity(&self, bytes: Option<usize>) {
        self.state().capacity = bytes;
    }

    /// Bytes in all files that have a name.
    #[must_use]
    pub fn used(&self) -> usize {
        self.state().used()
    }

    /// The power goes and comes back: of what was not synced, some of the pieces
    /// are there, and some of the names.
    pub fn crash(&self, seed: u64) {
        self.lose(seed, true);
    }

    /// The same on a disk that writes each file in order: of what was not synced,
    /// a beginning is there.
    pub fn crash_in_order(&self, seed: u64) {
        self.lose(seed, false);
    }

    fn lose(&self, seed: u64, in_pieces: bool) {
        let dice = Dice::new(seed);
        let mut state = self.state();
        for inode in &mut state.inodes {
            let keep_all = dice.one_in(3);
            let mut pending = std::mem::take(&mut inode.pending);
            if !in_pieces {
                pending.truncate(dice.index(pending.len() + 1));
                for change in pending.drain(..) {
                    change.apply(&mut inode.durable);
                }
            }
            for change in pending {
                match change {
                    Change::Write { at, bytes } => {
                        // Pieces of a sector each, every one for itself.
                        for (index, piece) in bytes.chunks(512).enumerate() {
                            if keep_all || dice.below(3) > 0 {
                                put(&mut inode.durable, at + index * 512, piece);
                            }
                        }
                        if dice.one_in(4) {
                            let torn = at + dice.index(bytes.len() + 1);
                            inode.durable.truncate(torn.max(at));
                        }
                    }
                    cut @ Change::Cut { .. } if dice.one_in(2) => cut.apply(&mut inode.durable),
                    Change::Cut { .. } => {}
                }
            }
            inode.data = inode.durable.clone();
        }
        let in_order = dice.one_in(2);
        let mut lost = false;
        let pending = std::mem::take(&mut state.pending_names);
        let last_dir = pending.iter().rposition(|n| matches!(n, Naming::RenameDir(..)));
        for (index, naming) in pending.iter().enumerate() {
            // Whatever came after a directory's renaming may be there only with it.
            let bound = last_dir.is_some_and(|last| index <= last && last + 1 < pending.len());
            lost = !bound && ((in_order && lost) || dice.one_in(2));
            if !lost {
                naming.apply(&mut state.durable_names);
            }
        }
        state.names = state.durable_names.clone();
        state.fault = None;
    }

    /// All files as they read now.
    #[must_use]
    pub fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let state = self.state();
        let read =
            |(path, inode): (&PathBuf, &usize)| (path.clone(), state.inodes[*inode].data.clone());
        state.names.iter().map(read).collect()
    }

    /// A disk that holds just these files, durably.
    #[must_use]
    pub fn holding(files: &BTreeMap<PathBuf, Vec<u8>>) -> Self {
        let disk = Self::default();
        {
            let mut state = disk.state();
            for (path, data) in files {
                let inode = state.inodes.len();
                let (data, durable) = (data.clone(), data.clone());
                state.inodes.push(Inode { data, durable, pending: Vec::new() });
                state.names.insert(path.clone(), inode);
                state.durable_names.insert(path.clone(), inode);
                state.dirs.extend(path.ancestors().skip(1).map(Path::to_path_buf));
            }
        }
        disk
    }
}

impl State {
    fn used(&self) -> usize {
        self.names.values().map(|inode| self.inodes[*inode].data.len()).sum()
    }

    /// Counts an operation. `Err`: it fails now; the number says how far it came.
    fn step(&mut self, one_in: u64) -> Result<(), (io::Error, u64)> {
        let now = self.operations;
        self.operations += 1;
        let kind = match (self.fault, &self.dice) {
            (Some((at, Fault::Once(kind))), _) if at == now => kind,
            (Some((at, Fault::FromThenOn(kind))), _) if now >= at => kind,
            (Some((at, Fault::PowerCut)), _) if now >= at => io::ErrorKind::NotConnected,
            (_, Some(dice)) if dice.one_in(one_in) => io::ErrorKind::Other,
            _ => return Ok(()),
        };
        let cut = kind == io::ErrorKind::NotConnected;
        let how_far = match &self.dice {
            Some(dice) if !cut => dice.below(1 << 20),
            _ => 0,
        };
        Err((io::Error::from(kind), how_far))
    }

    /// An operation that only reads.
    fn read(&mut self) -> io::Result<()> {
        self.step(0).map_err(|(error, _)| error)
    }

    /// An operation that changes something, or nothing if it fails.
    fn write(&mut self) -> io::Result<()> {
        self.step(self.rates.write).map_err(|(error, _)| error)
    }

    fn inode(&self, path: &Path) -> io::Result<usize> {
        self.names.get(path).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Disk for FaultyDisk {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.write()?;
        state.dirs.extend(dir.ancestors().map(Path::to_path_buf));
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DiskEntry>> {
        let mut state = self.state();
        state.read()?;
        let name = |path: &Path| path.file_name().map(std::ffi::OsStr::to_owned);
        let inside = |path: &Path| path.parent() == Some(dir);
        let files =
            state.names.iter().filter(|(path, _)| inside(path)).filter_map(|(path, inode)| {
                let len = state.inodes[*inode].data.len() as u64;
                Some(DiskEntry { name: name(path)?, len, is_dir: false })
            });
        let dirs = state.dirs.iter().filter(|path| inside(path));
        let dirs =
            dirs.filter_map(|path| Some(DiskEntry { name: name(path)?, len: 0, is_dir: true }));
        let mut entries: Vec<DiskEntry> = files.chain(dirs).collect();
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    fn open(&self, path: &Path, how: Open) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.state();
        let inode = match how {
            Open::CreateNew => {
                state.write()?;
                if state.names.contains_key(path) {
                    return Err(io::ErrorKind::AlreadyExists.into());
                }
                let inode = state.inodes.len();
                state.inodes.push(Inode::default());
                state.names.insert(path.to_path_buf(), inode);
                state.pending_names.push(Naming::Link(path.to_path_buf(), inode));
                inode
            }
            Open::Read | Open::Append => {
                state.read()?;
                state.inode(path)?
            }
        };
        Ok(Box::new(FaultyFile { disk: self.clone(), inode }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        let rate = state.rates.write;
        let failed = match state.step(rate) {
            // A failed rename may have happened.
            Err((error, how_far)) if how_far % 2 == 0 => return Err(error),
            Err((error, _)) => Some(error),
            Ok(()) => None,
        };
        let naming = if state.dirs.contains(from) {
            // What happened inside may reach the platter at any time: here, now.
            let (inside, rest): (Vec<_>, Vec<_>) = std::mem::take(&mut state.pending_names)
                .into_iter()
                .partition(|naming| matches!(naming, Naming::Link(path, _) | Naming::Unlink(path) | Naming::Rename(_, path, _) if path.starts_with(from)));
            for naming in inside {
                naming.apply(&mut state.durable_names);
            }
            state.pending_names = rest;
            let moved: Vec<PathBuf> =
                state.dirs.iter().filter(|dir| dir.starts_with(from)).cloned().collect();
            for dir in moved {
                state.dirs.remove(&dir);
                if let Ok(rest) = dir.strip_prefix(from) {
                    let target =
                        if rest.as_os_str().is_empty() { to.to_path_buf() } else { to.join(rest) };
                    state.dirs.insert(target);
                }
            }
            Naming::RenameDir(from.to_path_buf(), to.to_path_buf())
        } else {
            let inode = state.inode(from)?;
            Naming::Rename(from.to_path_buf(), to.to_path_buf(), inode)
        };
        naming.apply(&mut state.names);
        state.pending_names.push(naming);
        failed.map_or(Ok(()), Err)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.write()?;
        state.inode(path)?;
        let naming = Naming::Unlink(path.to_path_buf());
        naming.apply(&mut state.names);
        state.pending_names.push(naming);
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state();
        let rate = state.rates.sync;
        state.step(rate).map_err(|(error, _)| error)?;
        let (synced, rest): (Vec<_>, Vec<_>) = std::mem::take(&mut state.pending_names)
            .into_iter()
            .partition(|naming| naming.is_of(dir));
        for naming in synced {
            naming.apply(&mut state.durable_names);
        }
        state.pending_names = rest;
        Ok(())
    }
}

struct FaultyFile {
    disk: FaultyDisk,
    inode: usize,
}

impl DiskFile for FaultyFile {
    fn read_at(&mut self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut state = self.disk.state();
        state.read()?;
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        let data = state.inodes[self.inode].data.get(offset..).unwrap_or_default();
        // Short reads happen.
        let len = buffer.len().min(data.len()).min(1000);
        buffer[..len].copy_from_slice(&data[..len]);
        Ok(len)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.disk.state();
        let mut result = Ok(());
        let mut len = bytes.len();
        let rate = state.rates.write;
        if let Err((error, how_far)) = state.step(rate) {
            len = usize::try_from(how_far).unwrap_or(0).min(bytes.len());
            result = Err(error);
        } else if let Some(capacity) = state.capacity {
            let room = capacity.saturating_sub(state.used());
            if room < len {
                len = room;
                result = Err(io::ErrorKind::StorageFull.into());
            }
        }
        let inode = &mut state.inodes[self.inode];
        let change = Change::Write { at: inode.data.len(), bytes: bytes[..len].to_vec() };
        change.apply(&mut inode.data);
        inode.pending.push(change);
        result
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut state = self.disk.state();
        let rate = state.rates.sync;
        let step = state.step(rate);
        let inode = &mut state.inodes[self.inode];
        match step {
            Ok(()) => {
                for change in std::mem::take(&mut inode.pending) {
                    change.apply(&mut inode.durable);
                }
                Ok(())
            }
            Err((error, how_far)) => {
                if error.kind() != io::ErrorKind::NotConnected {
                    // What was to be written reads as if it had been, and no
                    // later sync will write it.
                    let some = usize::try_from(how_far).unwrap_or(0) % (inode.pending.len() + 1);
                    for change in inode.pending.drain(..).take(some) {
                        change.apply(&mut inode.durable);
                    }
                }
                Err(error)
            }
        }
    }

    fn set_len(&mut self, len: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        state.write()?;
        let change = Change::Cut { len: usize::try_from(len).unwrap_or(usize::MAX) };
        let inode = &mut state.inodes[self.inode];
        change.apply(&mut inode.data);
        inode.pending.push(change);
        Ok(())
    }

    fn len(&mut self) -> io::Result<u64> {
        let mut state = self.disk.state();
        state.read()?;
        Ok(state.inodes[self.inode].data.len() as u64)
    }
}
