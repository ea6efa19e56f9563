//! A disk in memory that does what real ones do: loses what was not synced, in
//! pieces and out of order; forgets names; fails when told to; fills up.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use seam::{Disk, DiskEntry, DiskFile, Open};

/// A small generator; the same seed gives the same test.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

/// What goes wrong at an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// One operation fails.
    Once(io::ErrorKind),
    /// All operations from there on fail.
    FromThenOn(io::ErrorKind),
    /// The power goes: nothing from there on has any effect.
    PowerCut,
}

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

#[derive(Default)]
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
        }
    }
}

#[derive(Default)]
struct State {
    inodes: Vec<Inode>,
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    pending_names: Vec<Naming>,
    operations: u64,
    fault: Option<(u64, Fault)>,
    capacity: Option<usize>,
    dice: Option<Dice>,
}

/// The disk; clones are the same disk.
#[derive(Clone, Default)]
pub(crate) struct SimDisk(Arc<Mutex<State>>);

impl SimDisk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no test panics inside the disk")
    }

    /// The handle a spool takes.
    pub(crate) fn handle(&self) -> Arc<dyn Disk> {
        Arc::new(self.clone())
    }

    /// From now on counted from 0, the `operation`th operation fails.
    pub(crate) fn fail_at(&self, operation: u64, fault: Fault, seed: u64) {
        let mut state = self.state();
        state.operations = 0;
        state.fault = Some((operation, fault));
        state.dice = Some(Dice::new(seed));
    }

    pub(crate) fn heal(&self) {
        self.state().fault = None;
    }

    pub(crate) fn operations(&self) -> u64 {
        self.state().operations
    }

    pub(crate) fn set_capacity(&self, bytes: Option<usize>) {
        self.state().capacity = bytes;
    }

    /// Bytes in all files that have a name.
    pub(crate) fn used(&self) -> usize {
        self.state().used()
    }

    /// The power goes and comes back: of what was not synced, some of the pieces
    /// are there, and some of the names.
    pub(crate) fn crash(&self, seed: u64) {
        let mut dice = Dice::new(seed);
        let mut state = self.state();
        for inode in &mut state.inodes {
            let keep_all = dice.below(3) == 0;
            for change in std::mem::take(&mut inode.pending) {
                match change {
                    Change::Write { at, bytes } => {
                        // Pieces of a sector each, every one for itself.
                        for (index, piece) in bytes.chunks(512).enumerate() {
                            if keep_all || dice.below(3) > 0 {
                                put(&mut inode.durable, at + index * 512, piece);
                            }
                        }
                        if dice.below(4) == 0 {
                            let torn = at
                                + usize::try_from(dice.below(bytes.len() as u64 + 1))
                                    .expect("small");
                            inode.durable.truncate(torn.max(at));
                        }
                    }
                    cut @ Change::Cut { .. } if dice.below(2) == 0 => cut.apply(&mut inode.durable),
                    Change::Cut { .. } => {}
                }
            }
            inode.data = inode.durable.clone();
        }
        let in_order = dice.below(2) == 0;
        let mut lost = false;
        for naming in std::mem::take(&mut state.pending_names) {
            lost = (in_order && lost) || dice.below(2) == 0;
            if !lost {
                naming.apply(&mut state.durable_names);
            }
        }
        state.names = state.durable_names.clone();
        state.fault = None;
    }

    /// All files as they read now.
    pub(crate) fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let state = self.state();
        let read =
            |(path, inode): (&PathBuf, &usize)| (path.clone(), state.inodes[*inode].data.clone());
        state.names.iter().map(read).collect()
    }

    /// A disk that holds just these files, durably.
    pub(crate) fn holding(files: &BTreeMap<PathBuf, Vec<u8>>) -> Self {
        let disk = Self::default();
        {
            let mut state = disk.state();
            for (path, data) in files {
                let inode = state.inodes.len();
                let (data, durable) = (data.clone(), data.clone());
                state.inodes.push(Inode { data, durable, pending: Vec::new() });
                state.names.insert(path.clone(), inode);
                state.durable_names.insert(path.clone(), inode);
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
    fn step(&mut self) -> Result<(), (io::Error, u64)> {
        let now = self.operations;
        self.operations += 1;
        let kind = match self.fault {
            Some((at, Fault::Once(kind))) if at == now => kind,
            Some((at, Fault::FromThenOn(kind))) if now >= at => kind,
            Some((at, Fault::PowerCut)) if now >= at => io::ErrorKind::NotConnected,
            _ => return Ok(()),
        };
        let cut = kind == io::ErrorKind::NotConnected;
        let how_far = match &mut self.dice {
            Some(dice) if !cut => dice.below(1 << 20),
            _ => 0,
        };
        Err((io::Error::from(kind), how_far))
    }

    fn check(&mut self) -> io::Result<()> {
        self.step().map_err(|(error, _)| error)
    }

    fn inode(&self, path: &Path) -> io::Result<usize> {
        self.names.get(path).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Disk for SimDisk {
    fn create_dir(&self, _dir: &Path) -> io::Result<()> {
        self.state().check()
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DiskEntry>> {
        let mut state = self.state();
        state.check()?;
        let inside = state.names.iter().filter(|(path, _)| path.parent() == Some(dir));
        Ok(inside
            .map(|(path, inode)| DiskEntry {
                name: path.file_name().expect("files have names").to_owned(),
                len: state.inodes[*inode].data.len() as u64,
                is_dir: false,
            })
            .collect())
    }

    fn open(&self, path: &Path, how: Open) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.state();
        state.check()?;
        let inode = match how {
            Open::CreateNew => {
                if state.names.contains_key(path) {
                    return Err(io::ErrorKind::AlreadyExists.into());
                }
                let inode = state.inodes.len();
                state.inodes.push(Inode::default());
                state.names.insert(path.to_path_buf(), inode);
                state.pending_names.push(Naming::Link(path.to_path_buf(), inode));
                inode
            }
            Open::Read | Open::Append => state.inode(path)?,
        };
        Ok(Box::new(SimFile { disk: self.clone(), inode }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        let failed = match state.step() {
            // A failed rename may have happened.
            Err((error, how_far)) if how_far % 2 == 0 => return Err(error),
            Err((error, _)) => Some(error),
            Ok(()) => None,
        };
        let inode = state.inode(from)?;
        let naming = Naming::Rename(from.to_path_buf(), to.to_path_buf(), inode);
        naming.apply(&mut state.names);
        state.pending_names.push(naming);
        failed.map_or(Ok(()), Err)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.check()?;
        state.inode(path)?;
        let naming = Naming::Unlink(path.to_path_buf());
        naming.apply(&mut state.names);
        state.pending_names.push(naming);
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.check()?;
        assert!(state.names.keys().all(|path| path.parent() == Some(dir)), "one directory");
        for naming in std::mem::take(&mut state.pending_names) {
            naming.apply(&mut state.durable_names);
        }
        Ok(())
    }
}

struct SimFile {
    disk: SimDisk,
    inode: usize,
}

impl DiskFile for SimFile {
    fn read_at(&mut self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut state = self.disk.state();
        state.check()?;
        let offset = usize::try_from(offset).expect("small files");
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
        if let Err((error, how_far)) = state.step() {
            len = usize::try_from(how_far).expect("small").min(bytes.len());
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
        let step = state.step();
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
                    let some = usize::try_from(how_far).expect("small") % (inode.pending.len() + 1);
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
        state.check()?;
        let change = Change::Cut { len: usize::try_from(len).expect("small files") };
        let inode = &mut state.inodes[self.inode];
        change.apply(&mut inode.data);
        inode.pending.push(change);
        Ok(())
    }

    fn len(&mut self) -> io::Result<u64> {
        let mut state = self.disk.state();
        state.check()?;
        Ok(state.inodes[self.inode].data.len() as u64)
    }
}
