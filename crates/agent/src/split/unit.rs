//! One thing that is set aside, in parts, without ever being held whole.

use std::collections::VecDeque;

use event::set_aside::{KEPT_BYTES_MAX, PART_BYTES_MAX, Reason, SetAside};
use sha2::{Digest, Sha256};

use super::Found;
use super::place::Place;

/// A unit that is being set aside.
///
/// Its parts begin at multiples of [`PART_BYTES_MAX`], so that after a restart
/// the same content gives the same parts.
pub(super) struct Unit {
    source: String,
    reason: Reason,
    detail: String,
    /// Where it begins; its parts lead back here until the last is yielded.
    start: Place,
    /// Parts that an earlier run yielded.
    yielded: u32,
    part: u32,
    /// Bytes in the parts before the pending one.
    passed: u64,
    pending: Vec<u8>,
    /// Hash and count of what is not kept.
    beyond: Option<(Sha256, u64)>,
}

impl Unit {
    pub(super) fn new(source: &str, reason: Reason, detail: String, start: Place) -> Self {
        Self {
            source: source.to_owned(),
            reason,
            detail,
            yielded: start.part,
            start,
            part: 1,
            passed: 0,
            pending: Vec::new(),
            beyond: None,
        }
    }

    /// How many bytes were given so far.
    pub(super) fn length(&self) -> u64 {
        let beyond = self.beyond.as_ref().map_or(0, |(_, count)| *count);
        self.passed + self.pending.len() as u64 + beyond
    }

    /// Takes the next bytes; parts that are whole, and not the last, go out.
    pub(super) fn push(&mut self, mut bytes: &[u8], out: &mut VecDeque<Found>) {
        while !bytes.is_empty() {
            if let Some((hasher, count)) = &mut self.beyond {
                hasher.update(bytes);
                *count += bytes.len() as u64;
                return;
            }
            if self.pending.len() == PART_BYTES_MAX {
                self.emit(None, out);
                if self.passed >= KEPT_BYTES_MAX {
                    self.beyond = Some((Sha256::new(), 0));
                }
                continue;
            }
            let count = bytes.len().min(PART_BYTES_MAX - self.pending.len());
            let (taken, rest) = bytes.split_at(count);
            self.pending.extend_from_slice(taken);
            bytes = rest;
        }
    }

    /// Ends the unit: its last part goes out and leads to `after`.
    pub(super) fn finish(mut self, after: Place, out: &mut VecDeque<Found>) {
        self.emit(Some(after), out);
    }

    fn emit(&mut self, last: Option<Place>, out: &mut VecDeque<Found>) {
        let bytes = std::mem::take(&mut self.pending);
        let (sha256, length, bytes) = match self.beyond.take() {
            Some((hasher, count)) => (hasher.finalize().into(), count, None),
            None => (Sha256::digest(&bytes).into(), bytes.len() as u64, Some(bytes)),
        };
        let part = self.part;
        let parts = last.as_ref().map(|_| part);
        if part > self.yielded {
            let line = SetAside {
                part,
                parts,
                reason: self.reason,
                detail: self.detail.clone(),
                source: self.source.clone(),
                position: self.start.base + self.start.at + self.passed,
                length,
                sha256,
                bytes,
            }
            .to_line();
            let place = last.unwrap_or(Place { part, ..self.start });
            let position = self.start.base + self.start.at;
            let set_aside = (part == 1).then_some((self.reason, position));
            out.push_back(Found { line, place, set_aside });
        }
        self.passed += length;
        self.part += 1;
    }
}
