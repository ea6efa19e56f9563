//! The way out of what is no JSON.
//!
//! Damage begins at a value that cannot be read and ends where the next object
//! surely begins: an object that reads whole, and is a record or carries one,
//! at the start of a line or after another object, and between brackets also
//! after a comma. In a file of lines, any object that is all of its line ends
//! it too. So a document that merely quotes some JSON stays one unit, and a
//! broken line takes nothing with it.
//!
//! Looking for the way out is bounded: attempts may read [`ATTEMPT_FACTOR`]
//! times what was passed, and [`ATTEMPT_BYTES`]; past that only line starts are
//! tried.

use event::json::{Fault, skip_blank};

use super::object::{Inspected, Opening, Shape, inspect, opening};

const ATTEMPT_FACTOR: u64 = 16;
const ATTEMPT_BYTES: u64 = 16 << 20;

/// What is known of a stretch of damage.
pub(super) struct Damage {
    /// Whether the first byte begins the value that could not be read.
    at_value: bool,
    /// Whether any object that is all of its line ends it.
    lines: bool,
    /// The last byte passed that is no blank; a line feed at the beginning.
    before: u8,
    /// Whether a line began since.
    line_begins: bool,
    passed: u64,
    attempted: u64,
}

/// How far the damage goes, as far as can be told.
pub(super) struct Way {
    /// So many bytes belong to the damage.
    pub(super) passed: usize,
    /// After them it ends.
    pub(super) found: bool,
    /// What follows is a log file of its own, whatever was open before.
    pub(super) is_container: bool,
}

impl Damage {
    pub(super) fn new(at_value: bool, lines: bool) -> Self {
        Self { at_value, lines, before: b'\n', line_begins: false, passed: 0, attempted: 0 }
    }

    /// Takes note of bytes that belong to the damage.
    pub(super) fn pass(&mut self, bytes: &[u8]) {
        (self.before, self.line_begins) = self.context(bytes);
        self.passed += bytes.len() as u64;
        self.at_value &= bytes.is_empty();
    }

    /// The last byte that is no blank before the end of `bytes`, and whether a
    /// line began after it.
    fn context(&self, bytes: &[u8]) -> (u8, bool) {
        let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
        match bytes.iter().rposition(|byte| !is_blank(byte)) {
            Some(last) => {
                let blank = bytes.get(last + 1..).unwrap_or_default();
                (bytes.get(last).copied().unwrap_or_default(), blank.contains(&b'\n'))
            }
            None => (self.before, self.line_begins || bytes.contains(&b'\n')),
        }
    }

    /// Looks for the end of the damage in what is held.
    pub(super) fn way_out(&mut self, held: &[u8], top: bool, ended: bool, full: bool) -> Way {
        let mut from = usize::from(self.at_value);
        loop {
            let rest = held.get(from..).unwrap_or_default();
            let Some(offset) = rest.iter().position(|byte| matches!(byte, b'{' | b'[')) else {
                return Way { passed: held.len(), found: false, is_container: false };
            };
            let at = from + offset;
            match self.attempt(held, at, top, ended) {
                Attempt::Ends { is_container } => {
                    return Way { passed: at, found: true, is_container };
                }
                // The window must begin here to take in the whole object.
                Attempt::Unknown if at > 0 || !full => {
                    return Way { passed: at, found: false, is_container: false };
                }
                Attempt::Unknown | Attempt::Not => from = at + 1,
            }
        }
    }

    fn attempt(&mut self, held: &[u8], at: usize, top: bool, ended: bool) -> Attempt {
        let (before, line_begins) = self.context(held.get(..at).unwrap_or_default());
        let line_begins = line_begins || before == b'\n';
        let between = if top { before == b'}' } else { matches!(before, b'}' | b',' | b'[') };
        let spent = self.attempted > ATTEMPT_BYTES + ATTEMPT_FACTOR * (self.passed + at as u64);
        if !line_begins && (!between || spent) {
            return Attempt::Not;
        }
        let is_array = held.get(at) == Some(&b'[');
        let object_at = if is_array { skip_blank(held, at + 1) } else { at };
        let object = held.get(object_at..).unwrap_or_default();
        match object.first() {
            Some(b'{') if is_array && !(top && line_begins) => return Attempt::Not,
            Some(b'{') => {}
            None if !ended => return Attempt::Unknown,
            _ => return Attempt::Not,
        }
        match opening(object) {
            // Within a line it may be one of thousands that are never closed.
            Opening::Elements(_) if line_begins => {
                return Attempt::Ends { is_container: !is_array };
            }
            Opening::Unknown if !ended => return Attempt::Unknown,
            _ => {}
        }
        let inspected = match inspect(object) {
            Ok(inspected) => inspected,
            Err(error) if error.what == Fault::End && !ended => return Attempt::Unknown,
            Err(error) => {
                self.attempted += error.at as u64;
                return Attempt::Not;
            }
        };
        self.attempted += inspected.end as u64;
        match inspected.shape {
            Shape::Other if top && self.lines && line_begins && !is_array => {
                all_of_its_line(object, &inspected, ended)
            }
            Shape::Other => Attempt::Not,
            _ => Attempt::Ends { is_container: false },
        }
    }
}

/// What trying one position came to.
enum Attempt {
    Ends { is_container: bool },
    Not,
    Unknown,
}

fn all_of_its_line(object: &[u8], inspected: &Inspected, ended: bool) -> Attempt {
    let (object, rest) = object.split_at(inspected.end.min(object.len()));
    let next = rest.iter().find(|byte| !matches!(byte, b' ' | b'\t' | b'\r' | b','));
    match next {
        _ if object.contains(&b'\n') => Attempt::Not,
        None if !ended => Attempt::Unknown,
        None | Some(b'\n') => Attempt::Ends { is_container: false },
        Some(_) => Attempt::Not,
    }
}

/// How far a value reaches that is too large to be looked at whole.
#[derive(Default)]
pub(super) struct Large {
    depth: u64,
    in_string: bool,
    escaped: bool,
}

/// How much of what is held belongs to a large value.
pub(super) struct Passed {
    pub(super) count: usize,
    /// It ends there.
    pub(super) is_whole: bool,
    /// From there on it cannot be JSON.
    pub(super) is_broken: bool,
}

impl Large {
    pub(super) fn pass(&mut self, held: &[u8]) -> Passed {
        for (at, &byte) in held.iter().enumerate() {
            if self.in_string {
                match byte {
                    _ if self.escaped => self.escaped = false,
                    b'\\' => self.escaped = true,
                    b'"' => self.in_string = false,
                    0..0x20 => return Passed { count: at, is_whole: false, is_broken: true },
                    _ => {}
                }
                continue;
            }
            match byte {
                b'"' => self.in_string = true,
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.depth == 0 {
                        return Passed { count: at + 1, is_whole: true, is_broken: false };
                    }
                }
                _ => {}
            }
        }
        Passed { count: held.len(), is_whole: false, is_broken: false }
    }
}

/// The end of the value that `bytes` begin with, by its brackets alone: for
/// values that are nested too deep to be read.
pub(super) fn balanced_end(bytes: &[u8]) -> Option<usize> {
    let mut open = Vec::new();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => {
                at = event::json::extent(bytes, at).ok()?;
                continue;
            }
            b'{' | b'[' => open.push(byte),
            b'}' | b']' => {
                let opener = if byte == b'}' { b'{' } else { b'[' };
                if open.pop() != Some(opener) {
                    return None;
                }
                if open.is_empty() {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
        at += 1;
    }
    None
}
