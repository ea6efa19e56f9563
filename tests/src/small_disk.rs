//! A file system of 16 MiB under a directory, which can be filled and emptied.
//!
//! A tmpfs with a bound on bytes and inodes, or an ext4 in a file on a loop
//! device, whose fsync is a real one. Mounting needs root; where it is not
//! allowed, nothing is checked and that is said.

use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::python::run;

/// Its size.
pub const BYTES: u64 = 16 << 20;

/// How many files and directories fit.
const INODES: u32 = 4_096;

/// The directory of what fills it.
const BALLAST: &str = "ballast";

/// What it is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Memory.
    Tmpfs,
    /// ext4 on a loop device.
    Ext4,
}

/// What it has none left of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    /// Bytes.
    Space,
    /// Inodes.
    Inodes,
}

/// A mounted file system; unmounted when it is dropped.
#[derive(Debug)]
pub struct SmallDisk {
    dir: PathBuf,
}

impl SmallDisk {
    /// Mounts one at `dir`, which is there and empty.
    ///
    /// # Errors
    /// If that is not possible here.
    pub fn mount(kind: Kind, dir: &Path) -> Result<Self> {
        let mut mount = Command::new("mount");
        match kind {
            Kind::Tmpfs => {
                let options = format!("size={BYTES},nr_inodes={INODES},mode=0755");
                mount.args(["-t", "tmpfs", "-o", &options, "tmpfs"]);
            }
            Kind::Ext4 => {
                let image = dir.with_extension("ext4");
                let file = File::create(&image).context("make an image")?;
                file.set_len(BYTES).context("size an image")?;
                let inodes = INODES.to_string();
                run(Command::new("mkfs.ext4")
                    .args(["-q", "-F", "-m", "0", "-N"])
                    .arg(inodes)
                    .arg(&image))?;
                mount.args(["-o", "loop"]).arg(image);
            }
        }
        run(mount.arg(dir)).context("mount a small file system, which takes root")?;
        Ok(Self { dir: dir.to_owned() })
    }

    /// Fills it until nothing more fits.
    ///
    /// # Errors
    /// If anything else than a lack of room is in the way.
    pub fn fill(&self, lack: Lack) -> Result<()> {
        let ballast = self.dir.join(BALLAST);
        let made = fs::create_dir_all(&ballast);
        let filled = made.and_then(|()| match lack {
            Lack::Space => {
                let mut file = File::create(ballast.join("bytes"))?;
                // Down to the last block, in ever smaller steps.
                for step in [1 << 20, 1 << 16, 1 << 12, 1 << 9, 1] {
                    while file.write_all(&vec![0xa5; step]).is_ok() {}
                }
                file.sync_all()
            }
            Lack::Inodes => {
                let mut number = 0_u32;
                loop {
                    number += 1;
                    File::create(ballast.join(number.to_string()))?;
                }
            }
        });
        match filled {
            Err(error) if error.kind() != ErrorKind::StorageFull => {
                Err(error).context("fill a disk")
            }
            _ => Ok(()),
        }
    }

    /// Gives the room back.
    ///
    /// # Errors
    /// If what fills it cannot be removed.
    pub fn empty(&self) -> Result<()> {
        match fs::remove_dir_all(self.dir.join(BALLAST)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error).context("empty a disk"),
            _ => Ok(()),
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a process under test may still end.
        let unmounted = Command::new("umount").arg("-l").arg(&self.dir).status();
        if !unmounted.is_ok_and(|status| status.success()) {
            eprintln!("{} stays mounted", self.dir.display());
        }
    }
}
