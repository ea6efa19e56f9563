//! A place in a source object from which splitting can go on.

/// What is open around a place, outermost first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    /// An object that holds records in one of its members.
    Object,
    /// An array whose elements are records.
    Array,
}

/// A place between two pieces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    /// Raw offset at which the content begins; more than 0 when a finished
    /// object has grown.
    pub(crate) base: u64,
    /// Content offset; with `raw`, an offset in the object itself.
    pub(crate) at: u64,
    /// What is open there.
    pub(crate) frames: Vec<Frame>,
    /// How many parts of the unit that begins there have been yielded.
    pub(crate) part: u32,
    /// Whether what lies there cannot be inflated and is set aside raw.
    pub(crate) raw: bool,
}

impl Place {
    /// What is open, as a short word: `o` an object, `a` an array, `!` raw.
    pub(crate) fn word(&self) -> String {
        let frames = self.frames.iter().map(|frame| match frame {
            Frame::Object => 'o',
            Frame::Array => 'a',
        });
        if self.raw { "!".to_owned() } else { frames.collect() }
    }

    /// Takes back what [`Place::word`] wrote; `None` for any other word.
    pub(crate) fn with_word(mut self, word: &str) -> Option<Self> {
        self.raw = word == "!";
        if !self.raw {
            self.frames = word
                .chars()
                .map(|letter| match letter {
                    'o' => Some(Frame::Object),
                    'a' => Some(Frame::Array),
                    _ => None,
                })
                .collect::<Option<_>>()?;
        }
        Some(self)
    }
}
