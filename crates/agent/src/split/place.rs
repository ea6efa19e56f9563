//! A place in a source object from which splitting can go on.

use std::fmt;

/// A container that is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    /// An object that holds records in one of its members.
    Object,
    /// An array whose elements are records.
    Array,
}

/// How many containers may be open around a record.
pub(crate) const FRAMES_MAX: usize = 8;

/// What is open around a place: at most [`FRAMES_MAX`] containers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Frames {
    len: u8,
    /// A bit for each, set for an object.
    objects: u8,
}

impl Frames {
    /// Whether nothing is open.
    pub(crate) fn is_empty(self) -> bool {
        self.len == 0
    }

    /// Whether so many more fit.
    pub(crate) fn has_room_for(self, more: usize) -> bool {
        usize::from(self.len) + more <= FRAMES_MAX
    }

    /// The innermost one.
    pub(crate) fn last(self) -> Option<Frame> {
        let bit = self.len.checked_sub(1)?;
        Some(if self.objects >> bit & 1 == 1 { Frame::Object } else { Frame::Array })
    }

    /// Opens one more; there must be room.
    pub(crate) fn push(&mut self, frame: Frame) {
        assert!(self.has_room_for(1), "callers ask for room first");
        let bit = 1 << self.len;
        self.objects = match frame {
            Frame::Object => self.objects | bit,
            Frame::Array => self.objects & !bit,
        };
        self.len += 1;
    }

    /// Closes the innermost one.
    pub(crate) fn pop(&mut self) {
        self.len = self.len.saturating_sub(1);
        self.objects &= !(u8::MAX << self.len);
    }
}

/// A place between two pieces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    /// Raw offset at which the content begins; more than 0 when a finished
    /// object has grown.
    pub(crate) base: u64,
    /// Content offset; with `raw`, an offset in the object itself.
    pub(crate) at: u64,
    /// What is open there.
    pub(crate) frames: Frames,
    /// How many parts of the unit that begins there have been yielded.
    pub(crate) part: u32,
    /// Whether what lies there cannot be inflated and is set aside raw.
    pub(crate) raw: bool,
}

/// A place's frames as a short word: `o` an object, `a` an array, outermost
/// first; `!` for raw bytes.
pub(crate) struct Word(Place);

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.raw {
            return f.write_str("!");
        }
        let frames = self.0.frames;
        for bit in 0..frames.len {
            f.write_str(if frames.objects >> bit & 1 == 1 { "o" } else { "a" })?;
        }
        Ok(())
    }
}

impl Place {
    /// What is open, as a short word.
    pub(crate) fn word(self) -> Word {
        Word(self)
    }

    /// Takes back what [`Place::word`] wrote; `None` for any other word.
    pub(crate) fn with_word(mut self, word: &str) -> Option<Self> {
        self.raw = word == "!";
        self.frames = Frames::default();
        for letter in word.chars().filter(|_| !self.raw) {
            if !self.frames.has_room_for(1) {
                return None;
            }
            self.frames.push(match letter {
                'o' => Frame::Object,
                'a' => Frame::Array,
                _ => return None,
            });
        }
        Some(self)
    }
}
