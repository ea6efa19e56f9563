//! The batch frame reader: what an agent with a valid certificate may send.
//!
//! The first byte chooses: the bytes are a whole message, or lines that are
//! packed as an agent packs them and then falsified in the places that the next
//! bytes name.
#![no_main]

use aggregator::check_batch;
use integrity::{Hash, SpoolId, StreamHasher};
use libfuzzer_sys::fuzz_target;
use prost::Message as _;
use wire::v1::{Batch, FromAgent, from_agent};

fuzz_target!(|data: &[u8]| {
    let hasher = StreamHasher::new("111122223333", "main", SpoolId([7; 16]));
    let Some((choice, rest)) = data.split_first() else { return };
    if choice % 4 == 0 {
        if let Ok(FromAgent { message: Some(from_agent::Message::Batch(batch)) }) =
            FromAgent::decode(rest)
        {
            check(&hasher, &batch);
        }
        return;
    }
    let Some((orders, lines)) = rest.split_first_chunk::<8>() else { return };
    let [from, lie, at, with, more @ ..] = *orders;
    let batch = packed(&hasher, u64::from(from) + 1, lines, choice % 4 == 2);
    if lie == 0 {
        let told = check_batch(&hasher, &batch);
        // What ends in a line feed is as many lines as it has; the rest is no batch.
        let count = lines.iter().filter(|byte| **byte == b'\n').count() as u64;
        let whole = lines.last() == Some(&b'\n');
        assert_eq!(told.ok(), whole.then_some(count), "{} lines", count);
        return;
    }
    check(&hasher, &falsified(batch, lie, usize::from(at), with, more));
});

/// Whatever a batch is, it is checked to an end, and what passes is consistent.
fn check(hasher: &StreamHasher, batch: &Batch) {
    if let Ok(lines) = check_batch(hasher, batch) {
        assert!(lines > 0 && lines <= wire::BATCH_LINES_MAX);
        assert_eq!(lines, batch.to - batch.from + 1);
        assert!(batch.inflated_bytes >= lines);
        assert!(batch.inflated_bytes <= wire::BATCH_INFLATED_BYTES_MAX as u64);
    }
}

fn packed(hasher: &StreamHasher, from: u64, text: &[u8], stored: bool) -> Batch {
    let previous = Hash([9; 32]);
    let (mut chain, mut to) = (previous, from - 1);
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        to += 1;
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        chain = StreamHasher::chain(chain, hasher.leaf(to, line));
    }
    let level = if stored { -7 } else { 1 };
    Batch {
        from,
        to,
        previous_chain: previous.0.to_vec().into(),
        chain: chain.0.to_vec().into(),
        frame: zstd::bulk::compress(text, level).expect("memory to memory").into(),
        inflated_bytes: text.len() as u64,
        ..Batch::default()
    }
}

fn falsified(mut batch: Batch, lie: u8, at: usize, with: u8, more: [u8; 4]) -> Batch {
    let number = u64::from(u32::from_le_bytes(more));
    let mut frame = batch.frame.to_vec();
    match lie % 12 {
        0 => batch.from = number,
        1 => batch.to = number,
        2 => batch.to = u64::MAX - number,
        3 => batch.inflated_bytes = number,
        4 => batch.inflated_bytes = u64::MAX - number,
        5 => frame.truncate(at),
        6 => frame.extend_from_slice(&more),
        7 => frame.extend_from_within(..),
        8 | 9 => {
            if let Some(byte) = frame.get_mut(at) {
                *byte ^= with;
            }
        }
        10 => batch.chain = more.to_vec().into(),
        _ => batch.previous_chain = vec![with; at].into(),
    }
    batch.frame = frame.into();
    batch
}
