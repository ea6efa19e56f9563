//! Releasing: the trim point first, durably, and only then the bytes below it.
//!
//! A full disk must not keep a spool from emptying, and a trim point is a file to
//! be written: so some room is set apart (`reserve`), given back for one write
//! when the disk is full, and set apart again when there is room.

use std::io;
use std::path::Path;

use seam::{Guard, Open};

use crate::append::{is_full, remove_if_there};
use crate::error::AppendError;
use crate::format::released::Released;
use crate::spool::Spool;

/// The trim point's file.
pub(crate) const RELEASED_NAME: &str = "released";

/// A file under this name is not finished and means nothing.
pub(crate) const TEMP_NAME: &str = "released.temp";

/// Room set apart for it.
pub(crate) const RESERVE_NAME: &str = "reserve";
const RESERVE_BYTES: usize = 64 << 10;

impl Spool {
    /// Moves the trim point to `to`, durably, and then unlinks the segments that
    /// lie wholly at or below it. At or below the present trim point it does
    /// nothing. A segment that the disk refuses to unlink is tried again later.
    ///
    /// # Errors
    /// See [`AppendError`]. Of a failed release, nothing was unlinked.
    pub fn release(&mut self, to: u64, chain: [u8; 32]) -> Result<(), AppendError> {
        self.refuse_if_poisoned()?;
        if to > self.durable {
            return Err(AppendError::NotDurable { to, durable: self.durable });
        }
        if to <= self.released.0 {
            return Ok(());
        }
        if !self.options.guards.hold(Guard::TrimBeforeUnlink) {
            self.released = (to, chain);
            while self.segments.len() > 1 && self.unlink_first_if_released() {}
        }
        self.write_released(to, chain)?;
        while self.segments.len() > 1 && self.unlink_first_if_released() {}
        self.set_reserve_apart();
        Ok(())
    }

    /// Makes a trim point durable.
    pub(crate) fn write_released(&mut self, to: u64, chain: [u8; 32]) -> Result<(), AppendError> {
        let bytes = Released { id: self.id, sequence: to, chain }.encode();
        let temp = self.path(TEMP_NAME);
        match self.write_temp(&temp, &bytes) {
            Err(AppendError::Io { source, .. }) if is_full(&source) && self.reserve => {
                self.give_reserve_back();
                self.write_temp(&temp, &bytes)?
            }
            other => other?,
        };
        self.publish_temp(&temp, &self.path(RELEASED_NAME))?;
        self.released = (to, chain);
        Ok(())
    }

    /// Unlinks everything if all of it is released: the last resort of an append
    /// that finds no room. Answers whether anything went.
    pub(crate) fn unlink_all_released(&mut self) -> bool {
        if self.released.0 < self.head {
            return false;
        }
        let before = self.segments.len();
        while self.unlink_first_if_released() {}
        if self.segments.is_empty() {
            self.active = None;
        }
        self.segments.len() < before
    }

    /// Unlinks the oldest segment if every frame in it is released.
    fn unlink_first_if_released(&mut self) -> bool {
        let Some(oldest) = self.segments.front() else { return false };
        if oldest.last().is_none_or(|last| last > self.released.0) {
            return false;
        }
        // What holds damage stays on disk for whoever wants to look into it.
        if !oldest.damaged && remove_if_there(self.disk.as_ref(), &oldest.path).is_err() {
            return false;
        }
        self.forget_reader(oldest.first);
        self.segments.pop_front();
        true
    }

    /// Sets room apart, if there is none and the disk has some. Without it, a
    /// release on a full disk waits for room like everything else.
    pub(crate) fn set_reserve_apart(&mut self) {
        if self.reserve {
            return;
        }
        let path = self.path(RESERVE_NAME);
        match self.write_reserve(&path) {
            Ok(()) => self.reserve = true,
            Err(_) => drop(remove_if_there(self.disk.as_ref(), &path)),
        }
    }

    fn write_reserve(&self, path: &Path) -> io::Result<()> {
        let mut file = self.disk.open(path, Open::CreateNew)?;
        file.append(&[0; RESERVE_BYTES])
    }

    fn give_reserve_back(&mut self) {
        self.reserve = self.disk.remove(&self.path(RESERVE_NAME)).is_err();
    }
}
