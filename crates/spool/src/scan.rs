//! Reads one segment from end to end: which frames are whole, and which bytes
//! belong to none.
//!
//! Behind damage, the next frame is looked for at every marker. There a frame
//! must also have the leaf its payload makes: a check of 32 bits is enough where
//! a frame is expected, and too little where any bytes might pass for one.

use std::ops::Range;

use crate::format::frame::{self, HEADER_LEN, MARKER};
use crate::format::segment::FRAMES_AT;
use crate::options::LeafFn;
use crate::segment::Segment;
use crate::window::Window;

/// The most stretches of damage kept apart in one segment; from there on the
/// rest of it is one stretch, which bounds memory.
const STRETCHES_MAX: usize = 4096;

/// Takes note in `segment` of every whole frame, and answers the stretches
/// between `FRAMES_AT` and the end that are none, in order.
pub(crate) fn scan(segment: &mut Segment, window: &mut Window, leaf: &LeafFn) -> Vec<Range<u64>> {
    let len = window.len();
    let mut bad = Vec::new();
    let mut at = FRAMES_AT.min(len);
    let mut next = segment.first;
    segment.len = len;

    while at < len {
        let whole = frame_at(segment, window, at);
        if let Some(frame) = whole.filter(|frame| frame.sequence == next) {
            let end = at + frame.frame_len() as u64;
            segment.push(frame.sequence, at, end);
            at = end;
            next = next.saturating_add(1);
            continue;
        }
        let from = at;
        let found =
            if bad.len() < STRETCHES_MAX { find(segment, window, leaf, at, next) } else { None };
        match found {
            Some((start, frame)) => {
                at = start + frame.frame_len() as u64;
                segment.push(frame.sequence, start, at);
                next = frame.sequence.saturating_add(1);
                bad.push(from..start);
            }
            None => {
                at = len;
                bad.push(from..len);
            }
        }
    }
    bad
}

/// The whole frame that begins at `at`.
fn frame_at(segment: &Segment, window: &mut Window, at: u64) -> Option<frame::Header> {
    let bytes = window.at(at, HEADER_LEN);
    let header = frame::Header::decode(bytes, segment.key, at)?;
    let bytes =
        if bytes.len() < header.frame_len() { window.at(at, header.frame_len()) } else { bytes };
    header.covers(bytes).then_some(header)
}

/// The first whole frame at or behind `at` whose sequence is `least` or later.
fn find(
    segment: &Segment,
    window: &mut Window,
    leaf: &LeafFn,
    at: u64,
    least: u64,
) -> Option<(u64, frame::Header)> {
    let mut at = at;
    loop {
        let bytes = window.at(at, HEADER_LEN);
        if bytes.len() < HEADER_LEN {
            return None;
        }
        let Some(ahead) = bytes.windows(MARKER.len()).position(|piece| piece == MARKER) else {
            at += (bytes.len() - MARKER.len() + 1) as u64;
            continue;
        };
        at += ahead as u64;
        if let Some(header) = frame_at(segment, window, at)
            && header.sequence >= least
        {
            let payload = HEADER_LEN + header.cursors_len..header.frame_len();
            let payload = window.at(at, header.frame_len()).get(payload).unwrap_or_default();
            if leaf(header.sequence, payload) == header.leaf {
                return Some((at, header));
            }
        }
        at += 1;
    }
}
