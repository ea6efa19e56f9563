//! Placing a file so that it survives a power cut.
//!
//! ```text
//! 1  each missing directory is made, and its parent synced, from the top down
//! 2  the bytes go to a new file in `.tmp`, which is synced
//! 3  the file gets its name: hard link (create-only), or rename (replace)
//! 4  the directory of that name is synced; only now the put has succeeded
//! 5  the name in `.tmp` is removed
//! ```
//!
//! A directory found in place counts as durable only if this process synced its
//! parent itself: another process may have made it and not come that far.
//!
//! # Why leftovers are swept by the file system's own clock
//! Several processes share one store, and one may be slow in step 2. Once per
//! process, before its first put, leftovers are removed that are a day older
//! than a file made just now. Should a put really have taken that long, its
//! step 3 fails and nothing is lost.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, Once, PoisonError};
use std::time::Duration;

use object_store::PutPayload;
use seam::Entropy;

use super::seen::Synced;

/// Leftovers younger than this may belong to a put that is under way.
const LEFTOVER_AGE_MIN: Duration = Duration::from_secs(24 * 60 * 60);
/// How many directories are remembered as durable; past that, all are checked anew.
const DURABLE_DIRS_MAX: usize = 65_536;
/// How often a put begins again because a directory vanished under it.
const ATTEMPTS_MAX: usize = 3;

/// What a name gets.
pub(super) enum Content {
    /// These bytes.
    Bytes(PutPayload),
    /// What another object has.
    SameAs(PathBuf),
}

/// What happens if the name is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Create,
    Replace,
}

/// Why a file was not placed, or not surely.
#[derive(Debug, thiserror::Error)]
pub(super) enum PlaceError {
    #[error("the name is taken")]
    Exists,
    #[error("there is nothing to copy")]
    NoSource,
    #[error("{action} {}", path.display())]
    Io {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// Nothing is known about durability any more.
    #[error("a directory could not be synced; check the disk and start this process anew")]
    Poisoned,
}

/// Places files, and remembers which directories are durable.
pub(super) struct Placer {
    unfinished: PathBuf,
    /// Makes names in `unfinished` that no other process makes.
    token: u128,
    made: AtomicU64,
    durable: Mutex<BTreeSet<PathBuf>>,
    synced: Synced,
    poisoned: AtomicBool,
    swept: Once,
}

impl Placer {
    pub(super) fn new(unfinished: PathBuf, entropy: Entropy) -> Self {
        Self {
            unfinished,
            token: u128::from_le_bytes(entropy.bytes()),
            made: AtomicU64::new(0),
            durable: Mutex::new(BTreeSet::new()),
            synced: Synced::default(),
            poisoned: AtomicBool::new(false),
            swept: Once::new(),
        }
    }

    /// Gives `target` its content, durably.
    pub(super) fn place(
        &self,
        target: &Path,
        content: &Content,
        mode: Mode,
    ) -> Result<(), PlaceError> {
        self.check_health()?;
        let dir = target.parent().expect("an object's file lies in the store's root");
        let mut attempt = 1;
        loop {
            self.ensure_dir(&self.unfinished)?;
            self.swept.call_once(|| self.sweep());
            self.ensure_dir(dir)?;
            match self.name(target, content, mode) {
                Err(PlaceError::Io { source, .. })
                    if source.kind() == io::ErrorKind::NotFound && attempt < ATTEMPTS_MAX =>
                {
                    // Somebody removed a directory that we remember as made.
                    self.durable().clear();
                    attempt += 1;
                }
                other => break other?,
            }
        }
        self.sync_dir(dir)
    }

    /// Makes durable that `file` is where it was seen.
    pub(super) fn sync_sighting(&self, file: &Path) -> Result<(), PlaceError> {
        self.check_health()?;
        let Some(dir) = file.parent() else { return Ok(()) };
        if let Some(pending) = self.synced.needed(dir, file) {
            self.sync_dir(dir)?;
            self.synced.done(dir, &pending);
        }
        Ok(())
    }

    fn name(&self, target: &Path, content: &Content, mode: Mode) -> Result<(), PlaceError> {
        let made = self.made.fetch_add(1, Ordering::Relaxed);
        let unfinished = self.unfinished.join(format!("{:032x}-{made}", self.token));
        let named = self.fill(&unfinished, content).and_then(|()| match mode {
            Mode::Create => match fs::hard_link(&unfinished, target) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    Err(PlaceError::Exists)
                }
                linked => linked.map_err(failed("name", target)),
            },
            Mode::Replace => fs::rename(&unfinished, target).map_err(failed("name", target)),
        });
        if mode == Mode::Create || named.is_err() {
            match fs::remove_file(&unfinished) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    tracing::warn!(path = %unfinished.display(), %error, "an unfinished file stays behind");
                }
                _ => {}
            }
        }
        named
    }

    fn fill(&self, file: &Path, content: &Content) -> Result<(), PlaceError> {
        match content {
            Content::Bytes(payload) => {
                let mut open = File::create_new(file).map_err(failed("create", file))?;
                for chunk in payload {
                    open.write_all(chunk).map_err(failed("write", file))?;
                }
                open.sync_all().map_err(failed("sync", file))
            }
            Content::SameAs(source) => match fs::hard_link(source, file) {
                Err(error) if error.kind() == io::ErrorKind::NotFound && !source.is_file() => {
                    Err(PlaceError::NoSource)
                }
                linked => linked.map_err(failed("link", source)),
            },
        }
    }

    /// Makes a directory and those above it that are missing, all of it durably.
    fn ensure_dir(&self, dir: &Path) -> Result<(), PlaceError> {
        if self.durable().contains(dir) {
            return Ok(());
        }
        let root = self.unfinished.parent().expect("the unfinished lie in the store's root");
        // Above the root, what is in place is not ours to sync.
        let found = dir.is_dir();
        if found && !dir.starts_with(root) {
            return Ok(());
        }
        if let Some(parent) = dir.parent() {
            self.ensure_dir(parent)?;
            match fs::create_dir(dir) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => {}
                made => made.map_err(failed("create", dir))?,
            }
            if found && dir == root {
                // It may not be readable for us, and was most likely there before.
                if let Err(error) = File::open(parent).and_then(|open| open.sync_all()) {
                    tracing::debug!(path = %parent.display(), %error, "did not sync the directory that holds the store");
                }
            } else {
                self.sync_dir(parent)?;
            }
        }
        let mut durable = self.durable();
        if durable.len() >= DURABLE_DIRS_MAX {
            durable.clear();
        }
        durable.insert(dir.to_owned());
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> Result<(), PlaceError> {
        let open = File::open(dir).map_err(failed("open", dir))?;
        open.sync_all().map_err(|source| {
            self.poisoned.store(true, Ordering::Release);
            tracing::error!(path = %dir.display(), error = %source, "could not sync a directory of the store; refusing to go on until restarted");
            PlaceError::Io { action: "sync", path: dir.to_owned(), source }
        })
    }

    /// Whether what is durable is known: see [`LocalStore`](super::LocalStore).
    pub(super) fn check_health(&self) -> Result<(), PlaceError> {
        if self.poisoned.load(Ordering::Acquire) { Err(PlaceError::Poisoned) } else { Ok(()) }
    }

    fn durable(&self) -> std::sync::MutexGuard<'_, BTreeSet<PathBuf>> {
        self.durable.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sweep(&self) {
        if let Err(error) = self.sweep_leftovers() {
            tracing::warn!(path = %self.unfinished.display(), %error, "did not sweep unfinished files");
        }
    }

    fn sweep_leftovers(&self) -> io::Result<()> {
        let marker = self.unfinished.join(format!("{:032x}-now", self.token));
        let now = File::create_new(&marker)?.metadata()?.modified()?;
        fs::remove_file(&marker)?;
        for entry in fs::read_dir(&self.unfinished)? {
            let entry = entry?;
            // Another process may sweep at the same time.
            let Ok(modified) = entry.metadata().and_then(|meta| meta.modified()) else { continue };
            let age = now.duration_since(modified).unwrap_or_default();
            if age >= LEFTOVER_AGE_MIN {
                let path = entry.path();
                tracing::info!(path = %path.display(), "removing a leftover of an interrupted put");
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
impl Placer {
    pub(super) fn poison(&self) {
        self.poisoned.store(true, Ordering::Release);
    }
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> PlaceError {
    let path = path.to_owned();
    move |source| PlaceError::Io { action, path, source }
}
