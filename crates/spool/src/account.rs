//! Adds up what was found in the segments: which sequences are lost, and in
//! which bytes. Pure; `recover` acts on it.

use std::ops::Range;

use crate::format::segment::FRAMES_AT;
use crate::recovery::{Cause, Lost};
use crate::segment::Segment;

/// A segment that was read from end to end.
pub(crate) struct Scanned {
    pub(crate) name: String,
    pub(crate) segment: Segment,
    pub(crate) header_whole: bool,
    /// Bytes behind the header that belong to no whole frame.
    pub(crate) bad: Vec<Range<u64>>,
}

/// What the segments amount to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) stretches: Vec<Stretch>,
    /// The last sequence that is known to have been written.
    pub(crate) head: u64,
    /// A torn tail of the last segment, which may be cut.
    pub(crate) torn: Option<Range<u64>>,
}

/// One stretch of lost bytes or numbers.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Stretch {
    pub(crate) cause: Cause,
    /// Which of the segments; `None`: a file that is not there.
    pub(crate) segment: Option<usize>,
    pub(crate) bytes: Range<u64>,
    pub(crate) lost: Lost,
}

/// Adds up segments in order. Damage at or below `released` is of no interest.
///
/// A file in which neither header nor any frame is whole may be anything, so its
/// name is no evidence of numbers: what is lost there follows from its neighbours.
pub(crate) fn account(scanned: &[Scanned], released: u64) -> Account {
    let mut account = Account { head: released, ..Account::default() };
    for (index, this) in scanned.iter().enumerate() {
        let next = scanned.iter().skip(index + 1).find_map(Scanned::begins);
        if let Some(first) = this.begins() {
            let lost = lost_between(account.head, first);
            if lost != Lost::Nothing {
                account.add(Cause::Missing, None, 0..0, lost);
            }
            account.head = account.head.max(first - 1);
        }
        if this.segment.runs.is_empty() {
            account.add_without_frames(index, this, next);
        } else {
            account.add_with_frames(index, this, next, released);
        }
    }
    account
}

impl Scanned {
    /// Where its sequences begin, if anything in it proves that it is a segment.
    pub(crate) fn begins(&self) -> Option<u64> {
        (self.header_whole || !self.segment.runs.is_empty()).then_some(self.segment.first)
    }
}

impl Account {
    fn add(&mut self, cause: Cause, segment: Option<usize>, bytes: Range<u64>, lost: Lost) {
        if let Lost::Range { last, .. } = lost {
            self.head = self.head.max(last);
        }
        self.stretches.push(Stretch { cause, segment, bytes, lost });
    }

    fn add_without_frames(&mut self, index: usize, this: &Scanned, next: Option<u64>) {
        let len = this.segment.len;
        let whole = this.header_whole && !this.segment.damaged;
        match next {
            None if whole => self.torn = this.bad.first().cloned(),
            None => {
                let lost = Lost::From { first: self.head + 1 };
                self.add(Cause::Unreadable, Some(index), 0..len, lost);
            }
            Some(next) => {
                let (cause, bytes) = if whole && this.bad.is_empty() {
                    (Cause::Missing, len..len)
                } else {
                    (Cause::Unreadable, 0..len)
                };
                self.add(cause, Some(index), bytes, lost_between(self.head, next));
            }
        }
    }

    fn add_with_frames(&mut self, index: usize, this: &Scanned, next: Option<u64>, released: u64) {
        if !this.header_whole {
            let bytes = 0..FRAMES_AT.min(this.segment.len);
            self.add(Cause::Unreadable, Some(index), bytes, Lost::Nothing);
        }
        let mut bad = this.bad.iter().cloned().peekable();
        for run in &this.segment.runs {
            let stretch = bad.next_if(|stretch| stretch.end <= run.start);
            let lost = lost_between(self.head, run.first);
            let unreleased = stretch.is_some() && run.first > released + 1;
            if lost != Lost::Nothing || unreleased {
                let bytes = stretch.unwrap_or(run.start..run.start);
                self.add(Cause::Unreadable, Some(index), bytes, lost);
            }
            self.head = self.head.max(run.last);
        }
        let Some(tail) = bad.next() else { return };
        match next {
            Some(next) if next > released + 1 => {
                let lost = lost_between(self.head, next);
                self.add(Cause::Unreadable, Some(index), tail, lost);
            }
            Some(_) => {}
            None if this.header_whole && this.bad.len() == 1 && !this.segment.damaged => {
                self.torn = Some(tail);
            }
            None => {
                let lost = Lost::From { first: self.head + 1 };
                self.add(Cause::Unreadable, Some(index), tail, lost);
            }
        }
    }
}

/// The numbers behind `known` and before `next`.
fn lost_between(known: u64, next: u64) -> Lost {
    if next > known + 1 { Lost::Range { first: known + 1, last: next - 1 } } else { Lost::Nothing }
}
