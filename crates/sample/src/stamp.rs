//! A second, with the text that records have for it.

use jiff::Timestamp;

/// A second and its text `2026-11-20T11:31:02Z`.
#[derive(Clone, Debug)]
pub(crate) struct Stamp {
    second: i64,
    text: String,
}

impl Stamp {
    pub(crate) fn new(second: i64) -> Self {
        let mut stamp = Self { second: i64::MIN, text: String::new() };
        stamp.set(second);
        stamp
    }

    /// Takes another second; costs nothing if it is the same.
    pub(crate) fn set(&mut self, second: i64) {
        if second != self.second {
            self.second = second;
            self.text = Self::time(second).to_string();
        }
    }

    pub(crate) const fn second(&self) -> i64 {
        self.second
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The second as a timestamp; the epoch if no calendar has it.
    pub(crate) fn time(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap_or(Timestamp::UNIX_EPOCH)
    }
}
