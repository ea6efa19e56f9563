//! What is still whole of a segment whose bytes are not those of its record.
//!
//! The record says how long each frame and each batch is, and the chain hash
//! before and after every batch. So a batch proves by itself that its lines are
//! those that were committed, whatever became of its neighbours; one that does
//! not is lost, and nothing of it is handed out.

use std::sync::Arc;

use bytes::Bytes;
use integrity::{Hash, StreamHasher};

use crate::read::Origin;
use crate::record::BatchEntry;
use crate::segment::inflate;

/// What proves the lines of one batch.
#[derive(Debug)]
pub(crate) struct Proof {
    pub(crate) entry: BatchEntry,
    pub(crate) origin: Arc<Origin>,
    /// The stream's chain hash before the batch.
    pub(crate) previous: Hash,
}

impl Proof {
    fn covers(&self, lines: &[u8]) -> bool {
        let Origin { account, agent, spool, .. } = self.origin.as_ref();
        let hasher = StreamHasher::new(&account.to_string(), agent.as_str(), *spool);
        let Some(lines) = lines.strip_suffix(b"\n") else { return false };
        let mut chain = self.previous;
        let mut sequence = self.entry.from;
        for line in lines.split(|byte| *byte == b'\n') {
            chain = StreamHasher::chain(chain, hasher.leaf(sequence, line));
            sequence += 1;
        }
        sequence == self.entry.to + 1 && chain == self.entry.chain
    }
}

/// The lines of each batch, in order; none of a batch that is not whole.
pub(crate) fn salvage(
    segment: &Bytes,
    frames: &[(u64, u64, u64)],
    proofs: &[Proof],
) -> Vec<Option<Bytes>> {
    let mut frames = Frames { segment, at: 0, frames: frames.iter(), open: None };
    proofs
        .iter()
        .map(|proof| frames.take(proof.entry.lines()).filter(|lines| proof.covers(lines)))
        .collect()
}

/// Walks the frames, one in memory at a time, over those that do not inflate.
struct Frames<'a> {
    segment: &'a Bytes,
    at: u64,
    frames: std::slice::Iter<'a, (u64, u64, u64)>,
    /// What is left of the frame under way: its lines if it is whole, and how many.
    open: Option<(Option<Bytes>, u64)>,
}

impl Frames<'_> {
    /// The next `count` lines; none if a frame that holds some of them is not whole.
    fn take(&mut self, count: u64) -> Option<Bytes> {
        let mut taken = Some(Vec::new());
        let mut left = count;
        while left > 0 {
            let (frame, lines) = self.next_part()?;
            let wanted = left.min(lines);
            left -= wanted;
            let rest = frame.map(|mut frame| {
                let piece = frame.split_to(length_of(&frame, wanted));
                if let Some(taken) = &mut taken {
                    taken.extend_from_slice(&piece);
                }
                frame
            });
            if rest.is_none() {
                taken = None;
            }
            self.open = (lines > wanted).then_some((rest, lines - wanted));
        }
        taken.map(Bytes::from)
    }

    fn next_part(&mut self) -> Option<(Option<Bytes>, u64)> {
        if let Some(open) = self.open.take() {
            return Some(open);
        }
        let (bytes, inflated, lines) = *self.frames.next()?;
        let end = self.at.saturating_add(bytes);
        let range = usize::try_from(self.at).ok().zip(usize::try_from(end).ok());
        self.at = end;
        let frame = range.and_then(|(start, end)| self.segment.get(start..end));
        Some((frame.and_then(|frame| inflate(frame, inflated, lines).ok()), lines))
    }
}

/// The length of the first `lines` lines.
fn length_of(bytes: &[u8], lines: u64) -> usize {
    let mut ends = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at);
    let last = usize::try_from(lines.saturating_sub(1)).ok().and_then(|skip| ends.nth(skip));
    last.map_or(bytes.len(), |at| at + 1)
}

#[cfg(test)]
mod tests {
    use identity::SpeaksFor;
    use integrity::SpoolId;

    use super::*;
    use crate::segment::{BatchLines, pack};

    /// Batches of these lines, one after the other in one stream.
    fn proofs(batches: &[&[&str]]) -> Vec<Proof> {
        let account = "111122223333".parse().expect("an account");
        let origin = Arc::new(Origin {
            account,
            agent: "main".parse().expect("a name"),
            spool: SpoolId([7; 16]),
            speaks_for: SpeaksFor::Account(account),
        });
        let hasher = StreamHasher::new("111122223333", "main", SpoolId([7; 16]));
        let (mut chain, mut to) = (hasher.start(), 0);
        batches
            .iter()
            .map(|lines| {
                let (previous, from) = (chain, to + 1);
                for line in *lines {
                    to += 1;
                    chain = StreamHasher::chain(chain, hasher.leaf(to, line.as_bytes()));
                }
                let entry = BatchEntry { stream: 1, from, to, chain, continuations: 0 };
                Proof { entry, origin: Arc::clone(&origin), previous }
            })
            .collect()
    }

    fn frame(lines: &[&str]) -> BatchLines {
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        let frame = zstd::bulk::compress(text.as_bytes(), 1).expect("compress");
        BatchLines::Frame { frame: frame.into(), inflated_bytes: text.len() as u64 }
    }

    /// Whatever one byte of a segment becomes, or wherever it ends: a batch is
    /// handed out as it was committed or not at all, and damage in one frame
    /// costs no batch of another.
    #[test]
    fn damage_costs_the_batches_it_touches_and_no_other() {
        let batches: &[&[&str]] = &[&["a", "b"], &["c"], &["d", "e", "f"]];
        let proofs = proofs(batches);
        let framed: Vec<BatchLines> = batches.iter().map(|lines| frame(lines)).collect();
        let counts = batches.iter().map(|lines| lines.len() as u64);
        let packed = pack(framed.iter().zip(counts)).expect("pack");
        let whole: Vec<Option<Bytes>> = batches
            .iter()
            .map(|lines| {
                let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
                Some(text.into())
            })
            .collect();
        assert_eq!(salvage(&packed.bytes, &packed.frames, &proofs), whole);

        let ends: Vec<u64> = packed
            .frames
            .iter()
            .scan(0, |end, frame| {
                *end += frame.0;
                Some(*end)
            })
            .collect();
        for at in 0..packed.bytes.len() {
            for change in [0x01, 0x80, 0xff] {
                let mut bytes = packed.bytes.to_vec();
                *bytes.get_mut(at).expect("in range") ^= change;
                let found = salvage(&bytes.into(), &packed.frames, &proofs);
                let hit = ends.iter().filter(|end| **end <= at as u64).count();
                for (index, (found, whole)) in found.iter().zip(&whole).enumerate() {
                    if index == hit {
                        assert!(found.is_none() || found == whole, "byte {at}");
                    } else {
                        assert_eq!(found, whole, "byte {at}, batch {index}");
                    }
                }
            }
            let found = salvage(&packed.bytes.slice(..at), &packed.frames, &proofs);
            for (index, (found, end)) in found.iter().zip(&ends).enumerate() {
                assert_eq!(found.is_some(), *end <= at as u64, "cut at {at}, batch {index}");
            }
        }
    }

    #[test]
    fn batches_that_share_a_frame_are_lost_together_and_a_batch_over_two_frames_needs_both() {
        let batches: &[&[&str]] = &[&["a"], &["b", "c"], &["d"]];
        let proofs = proofs(batches);
        let framed = [frame(&["a", "b"]), frame(&["c", "d"])];
        let packed = pack(framed.iter().zip([2, 2])).expect("pack");
        let found = |bytes: Vec<u8>| -> Vec<bool> {
            let found = salvage(&bytes.into(), &packed.frames, &proofs);
            found.iter().map(Option::is_some).collect()
        };
        assert_eq!(found(packed.bytes.to_vec()), [true, true, true]);
        let mut first = packed.bytes.to_vec();
        *first.first_mut().expect("a byte") ^= 1;
        assert_eq!(found(first), [false, false, true]);
        let mut last = packed.bytes.to_vec();
        last.pop();
        assert_eq!(found(last), [true, false, false]);
    }

    #[test]
    fn other_lines_of_the_right_number_and_length_are_not_taken_for_the_batch() {
        let proofs = proofs(&[&["a", "b"]]);
        let packed = pack([(&frame(&["a", "x"]), 2)]).expect("pack");
        assert_eq!(salvage(&packed.bytes, &packed.frames, &proofs), [None]);
    }
}
