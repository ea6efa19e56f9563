//! Re-hashing: a batch is what it says, or it is refused whole.
//!
//! Everything in a batch is checked against everything else before it may enter
//! the buffer: the frame inflates to the size it claims and to nothing more, the
//! lines are as many as the sequences, and the chain over their leaves ends
//! where the batch says. What the lines mean is not looked at.

use bytes::Bytes;
use event::record::RECORD_LIMIT_BYTES;
use event::set_aside;
use integrity::{Hash, StreamHasher};
use journal::{BatchLines, FRAME_BYTES_MIN};
use wire::v1;

/// A batch whose parts agree with each other.
#[derive(Clone, Debug)]
pub(crate) struct Verified {
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) previous_chain: Hash,
    pub(crate) chain: Hash,
    pub(crate) continuations: u64,
    pub(crate) lines: BatchLines,
}

/// How a batch contradicts itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Contradiction {
    /// There is no such range.
    #[error("a batch runs from {from} to {to}")]
    Range {
        /// Its first sequence.
        from: u64,
        /// Its last one.
        to: u64,
    },
    /// A part of it is too large.
    #[error("a batch has {what} of {bytes} bytes; the limit is {limit}")]
    Limit {
        /// The part.
        what: &'static str,
        /// How large it is.
        bytes: u64,
        /// How large it may be.
        limit: u64,
    },
    /// It has too many lines.
    #[error("a batch has {lines} lines; the limit is {}", wire::BATCH_LINES_MAX)]
    TooManyLines {
        /// How many it says.
        lines: u64,
    },
    /// A hash has another length.
    #[error("a chain hash is not 32 bytes")]
    Hash,
    /// The frame is not what it claims.
    #[error("the frame does not inflate to {claimed} bytes: {why}")]
    Frame {
        /// The size that was told.
        claimed: u64,
        /// What is wrong.
        why: String,
    },
    /// Lines and sequences differ.
    #[error("the frame has {found} lines for {expected} sequences")]
    Lines {
        /// Lines so far.
        found: u64,
        /// Sequences.
        expected: u64,
    },
    /// The hashes differ.
    #[error("the chain over the lines does not end where the batch says")]
    Chain,
}

/// Asks of a batch what is asked before it may enter the buffer: does it agree
/// with itself? The number of its lines if so.
///
/// # Errors
/// With the first contradiction.
pub fn check_batch(hasher: &StreamHasher, batch: &v1::Batch) -> Result<u64, Contradiction> {
    verify(hasher, batch).map(|verified| verified.to - verified.from + 1)
}

/// Inflates and re-hashes a batch. Blocks for the time that takes.
pub(crate) fn verify(hasher: &StreamHasher, batch: &v1::Batch) -> Result<Verified, Contradiction> {
    let (from, to) = (batch.from, batch.to);
    let limit = |what, bytes: usize, limit: usize| {
        if bytes > limit {
            Err(Contradiction::Limit { what, bytes: bytes as u64, limit: limit as u64 })
        } else {
            Ok(())
        }
    };
    if from == 0 || to < from || to == u64::MAX {
        return Err(Contradiction::Range { from, to });
    }
    let expected = to - from + 1;
    if expected > wire::BATCH_LINES_MAX {
        return Err(Contradiction::TooManyLines { lines: expected });
    }
    let inflated_bytes = usize::try_from(batch.inflated_bytes).unwrap_or(usize::MAX);
    limit("a frame", batch.frame.len(), wire::BATCH_COMPRESSED_BYTES_MAX)?;
    limit("an inflated frame", inflated_bytes, wire::BATCH_INFLATED_BYTES_MAX)?;
    let hash = |bytes: &[u8]| Hash::try_from(bytes).map_err(|_| Contradiction::Hash);
    let previous_chain = hash(&batch.previous_chain)?;
    let chain = hash(&batch.chain)?;

    let inflated = inflate(&batch.frame, inflated_bytes)
        .map_err(|why| Contradiction::Frame { claimed: batch.inflated_bytes, why })?;
    let mut end = previous_chain;
    let mut continuations = 0;
    let mut found = 0;
    let mut begin = 0;
    for line_feed in memchr::memchr_iter(b'\n', &inflated) {
        let line = inflated.get(begin..line_feed).unwrap_or_default();
        begin = line_feed + 1;
        if found == expected {
            return Err(Contradiction::Lines { found: found + 1, expected });
        }
        limit("a line", line.len(), RECORD_LIMIT_BYTES)?;
        end = StreamHasher::chain(end, hasher.leaf(from + found, line));
        continuations += u64::from(set_aside::is_continuation(line));
        found += 1;
    }
    if found != expected || begin != inflated.len() {
        return Err(Contradiction::Lines { found, expected });
    }
    if end != chain {
        return Err(Contradiction::Chain);
    }
    let lines = if inflated.len() >= FRAME_BYTES_MIN {
        BatchLines::Frame { frame: batch.frame.clone(), inflated_bytes: batch.inflated_bytes }
    } else {
        BatchLines::Plain(Bytes::from(inflated))
    };
    Ok(Verified { from, to, previous_chain, chain, continuations, lines })
}

/// Inflates exactly one zstd frame to exactly `size` bytes.
fn inflate(frame: &[u8], size: usize) -> Result<Vec<u8>, String> {
    let length = zstd::zstd_safe::find_frame_compressed_size(frame)
        .map_err(|code| zstd::zstd_safe::get_error_name(code).to_owned())?;
    if length != frame.len() {
        return Err("it is not exactly one zstd frame".to_owned());
    }
    let inflated = zstd::bulk::decompress(frame, size).map_err(|error| error.to_string())?;
    if inflated.len() != size {
        return Err(format!("it inflates to {}", inflated.len()));
    }
    Ok(inflated)
}
