//! Making a spool, and opening what is left of one.
//!
//! Every segment that is not wholly released is read and checked frame by frame:
//! at more than a gigabyte a second that costs less than a special case would. A
//! torn tail is cut only at the end of the last segment and only if nothing whole
//! follows. Everything else that cannot be read stays as it is under a new name,
//! so that opening twice finds the same.
//!
//! What this relies on: a segment has its name only with a durable header, and a
//! new one is begun only when the one before is durable. What it never does:
//! overwrite or remove bytes that were not released, or end because of one file.

use std::any::Any;
use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::sync::Arc;

use seam::Disk;

use crate::account::{Scanned, account};
use crate::error::{AppendError, OpenError};
use crate::inventory::{Inventory, io_error};
use crate::opening::Opening;
use crate::options::{LeafFn, Options};
use crate::recovery::Recovery;
use crate::spool::{LOCK_NAME, Spool};

impl Spool {
    /// Makes a new spool with the name `id`, durably.
    ///
    /// # Errors
    /// See [`OpenError`]. A spool that could not be made is not there.
    pub fn create(
        disk: Arc<dyn Disk>,
        options: Options,
        id: [u8; 16],
        leaf: LeafFn,
    ) -> Result<Self, OpenError> {
        let dir = options.dir.clone();
        disk.create_dir(&dir).map_err(|source| io_error("create", &dir, source))?;
        let lock = lock(disk.as_ref(), &dir)?;
        if Inventory::any(disk.as_ref(), &dir)? {
            return Err(OpenError::AlreadyExists { dir });
        }
        let mut spool = Self {
            disk,
            options,
            id,
            leaf,
            released: (0, [0; 32]),
            head: 0,
            durable: 0,
            segments: VecDeque::new(),
            active: None,
            scratch: Vec::new(),
            reader: None,
            reserve: false,
            poisoned: None,
            _lock: lock,
        };
        spool.write_released(0, [0; 32]).map_err(|error| not_made(error, &dir))?;
        spool.set_reserve_apart();
        Ok(spool)
    }

    /// Opens the spool in a directory, or says that there is none. `leaf_for_id`
    /// is asked once, with the spool's name.
    ///
    /// # Errors
    /// See [`OpenError`]. Damage is no error: it is in the [`Recovery`].
    pub fn open(
        disk: Arc<dyn Disk>,
        options: Options,
        leaf_for_id: impl FnOnce([u8; 16]) -> LeafFn,
    ) -> Result<Option<(Self, Recovery)>, OpenError> {
        if !Inventory::any(disk.as_ref(), &options.dir)? {
            return Ok(None);
        }
        let lock = lock(disk.as_ref(), &options.dir)?;
        let found = Inventory::take(disk.as_ref(), &options.dir)?;
        let mut opening = Opening { disk, dir: options.dir.clone(), found };
        opening.remove_unfinished()?;

        let Some(id) = opening.found.id() else { return Err(opening.give_up()?) };
        let leaf = leaf_for_id(id);
        let mut recovery = Recovery::default();
        let released = opening.released(&mut recovery)?;
        let scanned = opening.scan_all(id, &leaf, released, &mut recovery)?;
        let released = released.unwrap_or_else(|| {
            let first = scanned.iter().find_map(Scanned::begins);
            (first.map_or(0, |first| first - 1), [0; 32])
        });
        let account = account(&scanned, released.0);
        let head = account.head;
        let mut segments = opening.act(scanned, account, &mut recovery)?;
        let active = opening.last_made_durable(&mut segments, head)?;

        let reserve = opening.found.reserve;
        let mut spool = Self {
            disk: opening.disk,
            options,
            id,
            leaf,
            released,
            head,
            durable: head,
            segments,
            active,
            scratch: Vec::new(),
            reader: None,
            reserve,
            poisoned: None,
            _lock: lock,
        };
        if spool.active.is_none() {
            // Without one to append to, what is released may go to the last.
            spool.unlink_all_released();
        }
        if recovery.released_unknown {
            // The spool's name may stand nowhere else any more. Where there is no room for
            // it, the next start finds no spool, and begins a new one.
            drop(spool.write_released(spool.released.0, spool.released.1));
        }
        spool.set_reserve_apart();
        Ok(Some((spool, recovery)))
    }
}

fn lock(disk: &dyn Disk, dir: &Path) -> Result<Box<dyn Any + Send + Sync>, OpenError> {
    let path = dir.join(LOCK_NAME);
    disk.lock(&path).map_err(|source| match source.kind() {
        io::ErrorKind::WouldBlock => OpenError::Locked { dir: dir.to_path_buf() },
        _ => io_error("lock", &path, source),
    })
}

fn not_made(error: AppendError, dir: &Path) -> OpenError {
    match error {
        AppendError::Io { doing, path, source } => OpenError::Io { doing, path, source },
        other => io_error("create", dir, io::Error::other(other)),
    }
}
