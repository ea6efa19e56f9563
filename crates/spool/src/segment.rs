//! One segment in memory: which frames it holds, and about where.

use std::path::PathBuf;

use crate::format::frame::Key;
use crate::format::segment::FRAMES_AT;

/// A frame's place is remembered once in this many bytes: 4 KiB of memory for a
/// segment of 16 MiB, and at most this much to skip for a reader that jumps.
const MARK_EVERY_BYTES: u64 = 64 << 10;

/// Frames that follow each other without a hole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// The first sequence.
    pub(crate) first: u64,
    /// The last sequence.
    pub(crate) last: u64,
    /// Where the first begins.
    pub(crate) start: u64,
    /// Where the last ends.
    pub(crate) end: u64,
}

/// Where one frame begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) sequence: u64,
    pub(crate) offset: u64,
}

/// One live segment.
#[derive(Debug)]
pub(crate) struct Segment {
    /// The sequence it is named by.
    pub(crate) first: u64,
    pub(crate) path: PathBuf,
    /// Damage was found in it: it is not appended to and never unlinked.
    pub(crate) damaged: bool,
    /// Length of the file.
    pub(crate) len: u64,
    pub(crate) key: Key,
    /// What can be read, in order. One run, unless there is damage.
    pub(crate) runs: Vec<Run>,
    marks: Vec<Place>,
}

impl Segment {
    /// A segment that holds no frame yet.
    pub(crate) fn new(path: PathBuf, id: [u8; 16], first: u64) -> Self {
        Self {
            first,
            path,
            damaged: false,
            len: FRAMES_AT,
            key: Key::new(id, first),
            runs: Vec::new(),
            marks: Vec::new(),
        }
    }

    /// The last sequence that can be read.
    pub(crate) fn last(&self) -> Option<u64> {
        self.runs.last().map(|run| run.last)
    }

    /// Takes note of the frame `sequence` that lies at `start..end`.
    pub(crate) fn push(&mut self, sequence: u64, start: u64, end: u64) {
        match self.runs.last_mut() {
            Some(run) if run.last.checked_add(1) == Some(sequence) && run.end == start => {
                run.last = sequence;
                run.end = end;
                let marked = self.marks.last().map_or(0, |mark| mark.offset);
                if start - marked < MARK_EVERY_BYTES {
                    return;
                }
            }
            _ => self.runs.push(Run { first: sequence, last: sequence, start, end }),
        }
        self.marks.push(Place { sequence, offset: start });
    }

    /// Forgets frames from `offset` on; the counterpart of a cut in the file.
    pub(crate) fn cut(&mut self, offset: u64, last: u64) {
        self.runs.retain(|run| run.start < offset);
        if let Some(run) = self.runs.last_mut().filter(|run| run.end > offset) {
            run.end = offset;
            run.last = last;
        }
        self.marks.retain(|mark| mark.offset < offset);
        self.len = offset;
    }

    /// The run that holds `sequence`, or else the next one behind it.
    pub(crate) fn run_from(&self, sequence: u64) -> Option<Run> {
        let at = self.runs.partition_point(|run| run.last < sequence);
        self.runs.get(at).copied()
    }

    /// The nearest remembered place at or before `sequence`, which lies in `run`.
    pub(crate) fn mark_before(&self, sequence: u64, run: Run) -> Place {
        let at = self.marks.partition_point(|mark| mark.sequence <= sequence);
        let mark = at.checked_sub(1).and_then(|at| self.marks.get(at)).copied();
        mark.unwrap_or(Place { sequence: run.first, offset: run.start })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_found_within_a_mark_and_never_behind_a_hole() {
        let mut segment = Segment::new(PathBuf::new(), [0; 16], 1);
        for sequence in 1..=1000u64 {
            segment.push(sequence, 128 + (sequence - 1) * 1000, 128 + sequence * 1000);
        }
        segment.push(1005, 2_000_000, 2_001_000);
        for sequence in [1, 2, 500, 1000] {
            let run = segment.run_from(sequence).expect("a run");
            let mark = segment.mark_before(sequence, run);
            assert!(mark.sequence <= sequence && sequence - mark.sequence <= 66, "{sequence}");
            assert_eq!(mark.offset, 128 + (mark.sequence - 1) * 1000);
        }
        let run = segment.run_from(1001).expect("the run behind the hole");
        assert_eq!((run.first, run.last), (1005, 1005));
        assert_eq!(segment.mark_before(1005, run).offset, 2_000_000);
        assert_eq!(segment.run_from(1006), None);
    }
}
