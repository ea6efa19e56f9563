//! What files are there, and what their first bytes say. Changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use seam::{Disk, Open};

use crate::error::OpenError;
use crate::format::released::{self, Released};
use crate::format::segment::{self, Header};
use crate::format::{Decoded, VERSION};
use crate::release::{RELEASED_NAME, RESERVE_NAME};
use crate::spool::UNSYNCED_NAME;
use crate::window::Window;

/// The files of a spool directory.
pub(crate) struct Inventory {
    /// `None`: there is no such file.
    pub(crate) released: Option<Decoded<Released>>,
    /// Ordered by the sequence in their name, damaged ones first.
    pub(crate) segments: Vec<Candidate>,
    /// Whether the last one who wrote here saw an fsync fail.
    pub(crate) unsynced: bool,
    /// Whether there is room set apart.
    pub(crate) reserve: bool,
    /// All names, so that nothing is renamed onto something else.
    pub(crate) names: BTreeSet<String>,
}

/// A file whose name is that of a segment.
pub(crate) struct Candidate {
    pub(crate) name: String,
    pub(crate) first: u64,
    pub(crate) damaged: bool,
    pub(crate) header: Decoded<Header>,
    pub(crate) len: u64,
}

impl Inventory {
    /// Whether anything in the directory belongs to a spool; a directory that is
    /// not there holds nothing.
    pub(crate) fn any(disk: &dyn Disk, dir: &Path) -> Result<bool, OpenError> {
        match disk.list(dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(source) => Err(io_error("list", dir, source)),
            Ok(entries) => Ok(entries
                .iter()
                .filter_map(|entry| entry.name.to_str().filter(|_| !entry.is_dir))
                .any(|name| name == RELEASED_NAME || segment::parse_name(name).is_some())),
        }
    }

    pub(crate) fn take(disk: &dyn Disk, dir: &Path) -> Result<Self, OpenError> {
        let entries = disk.list(dir).map_err(|source| io_error("list", dir, source))?;
        let mut found = Self {
            released: None,
            segments: Vec::new(),
            unsynced: false,
            reserve: false,
            names: BTreeSet::new(),
        };
        for entry in entries {
            // A name that is no text is none of ours.
            let Ok(name) = entry.name.into_string() else { continue };
            found.names.insert(name.clone());
            let path = dir.join(&name);
            match (name.as_str(), segment::parse_name(&name)) {
                _ if entry.is_dir => {}
                (RELEASED_NAME, _) => {
                    let bytes = first_bytes(disk, &path, released::FILE_LEN)?;
                    found.released = Some(known(&path, Released::decode(&bytes))?);
                }
                (RESERVE_NAME, _) => found.reserve = true,
                (UNSYNCED_NAME, _) => found.unsynced = true,
                (_, Some((first, damaged))) => {
                    let bytes = first_bytes(disk, &path, segment::HEADER_LEN)?;
                    let header = known(&path, Header::decode(&bytes))?;
                    let len = entry.len;
                    found.segments.push(Candidate { name, first, damaged, header, len });
                }
                _ => {}
            }
        }
        found.segments.sort_by_key(|candidate| (candidate.first, !candidate.damaged));
        Ok(found)
    }

    /// Which spool this is: the trim point says so, or else most segments do.
    pub(crate) fn id(&self) -> Option<[u8; 16]> {
        if let Some(Decoded::Whole(released)) = self.released {
            return Some(released.id);
        }
        let mut votes = BTreeMap::<[u8; 16], usize>::new();
        for candidate in &self.segments {
            if let Decoded::Whole(header) = candidate.header {
                *votes.entry(header.id).or_default() += 1;
            }
        }
        votes.into_iter().max_by_key(|(_, votes)| *votes).map(|(id, _)| id)
    }
}

fn first_bytes(disk: &dyn Disk, path: &Path, len: usize) -> Result<Vec<u8>, OpenError> {
    let file = disk.open(path, Open::Read).map_err(|source| io_error("open", path, source))?;
    let mut window = Window::new(file).map_err(|source| io_error("read", path, source))?;
    let bytes = window.at(0, len);
    Ok(bytes.get(..len).unwrap_or(bytes).to_vec())
}

/// Refuses what a newer release wrote: it is not damage.
fn known<T>(path: &Path, decoded: Decoded<T>) -> Result<Decoded<T>, OpenError> {
    match decoded {
        Decoded::Newer(version) => {
            Err(OpenError::Version { file: path.to_path_buf(), version, supported: VERSION })
        }
        other => Ok(other),
    }
}

pub(crate) fn io_error(doing: &'static str, path: &Path, source: io::Error) -> OpenError {
    OpenError::Io { doing, path: path.to_path_buf(), source }
}
