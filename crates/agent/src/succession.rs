//! From a spool that cannot go on to the one that follows it.
//!
//! What sources can be read again for is not carried over; what was pushed and is
//! not committed is copied, in its order. Every step may be cut short by a crash:
//!
//! 1. The new spool is built beside the old one, in `spool.next`, to its end.
//! 2. `replaces.json` names it. Until then what lies there means nothing, and the
//!    next attempt begins anew.
//! 3. The old one becomes `spool.left-<id>`; nothing in it is deleted.
//! 4. The new one becomes `spool`. A start that finds no spool does this step.
//!
//! Only what is called `spool` is ever forwarded, so no record goes two ways.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use integrity::SpoolId;
use seam::Disk;
use spool::{Entry, Spool};

use crate::config::SpoolConfig;
use crate::durable;
use crate::fate::Replaces;
use crate::hold::{Hold, HoldError, Owner, leaf, spool_dir};

/// The spool that a spool leaves behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Heir {
    /// What the new spool replaces, as the journal said.
    pub(crate) replaces: Option<SpoolId>,
    /// The old spool's pushed records behind this sequence are not committed.
    pub(crate) copy_behind: u64,
}

fn next_dir(state_dir: &Path) -> PathBuf {
    state_dir.join("spool.next")
}

fn places_error(state_dir: &Path) -> impl Fn(io::Error) -> HoldError {
    let dir = state_dir.to_owned();
    move |source| HoldError::Places { dir: dir.clone(), source }
}

/// Steps 1 and 2: builds the spool `id` out of what `old` has pushed. Says how
/// many records that are. Blocks.
pub(crate) fn build(
    disk: &Arc<dyn Disk>,
    state_dir: &Path,
    config: SpoolConfig,
    owner: &Owner,
    old: &Hold,
    (id, heir): (SpoolId, Heir),
) -> Result<u64, HoldError> {
    let io = places_error(state_dir);
    let dir = next_dir(state_dir);
    disk.create_dir(&dir).map_err(&io)?;
    for entry in disk.list(&dir).map_err(&io)?.into_iter().filter(|entry| !entry.is_dir) {
        durable::remove(disk.as_ref(), &dir.join(entry.name)).map_err(&io)?;
    }
    disk.sync_dir(&dir).map_err(&io)?;
    let options = spool::Options {
        dir,
        segment_bytes: config.segment_bytes,
        disk_bytes_max: config.disk_bytes_max,
        guards: config.guards,
    };
    let mut next = Spool::create(Arc::clone(disk), options, id.0, leaf(owner.hasher(id)))?;
    old.each_pushed(heir.copy_behind, |frames| {
        let entries: Vec<Entry<'_>> = frames
            .iter()
            .map(|frame| Entry { payload: &frame.payload, cursors: &frame.cursors })
            .collect();
        next.append(&entries).map(|_| ())
    })?;
    let copied = next.sync()?;
    drop(next);
    Replaces::new(id, heir.replaces).save(disk.as_ref(), state_dir).map_err(&io)?;
    Ok(copied)
}

/// Step 3: renames the spool directory to `spool.left-<id>`. Blocks.
pub(crate) fn put_aside(disk: &dyn Disk, state_dir: &Path, id: SpoolId) -> io::Result<()> {
    disk.rename(&spool_dir(state_dir), &state_dir.join(format!("spool.left-{id}")))?;
    disk.sync_dir(state_dir)
}

/// Step 4, where there is no spool: what was built to its end takes its place.
/// Says whether there was such a one. Blocks.
pub(crate) fn succeed(
    disk: &Arc<dyn Disk>,
    state_dir: &Path,
    owner: &Owner,
    config: SpoolConfig,
) -> Result<bool, HoldError> {
    let io = places_error(state_dir);
    let Some(made) = Replaces::load(disk.as_ref(), state_dir).map_err(&io)? else {
        return Ok(false);
    };
    let dir = next_dir(state_dir);
    let options = spool::Options {
        dir: dir.clone(),
        segment_bytes: config.segment_bytes,
        disk_bytes_max: config.disk_bytes_max,
        guards: config.guards,
    };
    let opened = Spool::open(Arc::clone(disk), options, |id| leaf(owner.hasher(SpoolId(id))))?;
    let is_it = opened.as_ref().is_some_and(|(next, _)| SpoolId(next.id()) == made.spool);
    drop(opened);
    if !is_it {
        return Ok(false);
    }
    disk.rename(&dir, &spool_dir(state_dir)).map_err(&io)?;
    disk.sync_dir(state_dir).map_err(&io)?;
    Ok(true)
}
