//! Records of the spool become one batch.
//!
//! A batch is one zstd frame of lines, the chain hashes around it, and what it
//! changes in the cursors. It is as large as credit, the protocol and memory
//! allow, and as small as what there is.

use integrity::{Hash, StreamHasher};
use serde_json::Value;
use spool::Frame;
use wire::v1;
use zstd::bulk::Compressor;

use crate::places::{Changes, Cursors};

/// Inflated bytes that a batch aims at: about 2,000 events, where compression
/// and the cost of a message level off.
pub(crate) const BATCH_BYTES: usize = 3 * 1024 * 1024;

/// Compression level of frames.
const LEVEL: i32 = 1;

/// A batch ready to be sent.
#[derive(Debug)]
pub(crate) struct Encoded {
    pub(crate) message: v1::Batch,
    pub(crate) to: u64,
    pub(crate) chain: Hash,
    pub(crate) cost: u64,
    /// What it changes in the cursors, for when it is acked.
    pub(crate) cursors: Cursors,
}

/// Makes batches; keeps its buffers.
pub(crate) struct Encoder {
    compressor: Compressor<'static>,
    lines: Vec<u8>,
}

impl Encoder {
    pub(crate) fn new() -> std::io::Result<Self> {
        Ok(Self { compressor: Compressor::new(LEVEL)?, lines: Vec::new() })
    }

    /// Encodes a run of records that follows `previous`; none of no records.
    ///
    /// Takes as many as fit `inflated_max` bytes, but one at least.
    pub(crate) fn encode(
        &mut self,
        frames: &[Frame],
        previous: Hash,
        inflated_max: usize,
    ) -> std::io::Result<Option<Encoded>> {
        let Some(first) = frames.first() else { return Ok(None) };
        self.lines.clear();
        let (mut to, mut chain) = (first.sequence, previous);
        let mut changes = Changes::default();
        for frame in frames {
            let more = frame.payload.len() + 1;
            if !self.lines.is_empty() && self.lines.len() + more > inflated_max {
                break;
            }
            debug_assert!(!frame.payload.contains(&b'\n'), "a record is one line");
            self.lines.extend_from_slice(&frame.payload);
            self.lines.push(b'\n');
            chain = StreamHasher::chain(chain, Hash(frame.leaf));
            to = frame.sequence;
            changes.add(&frame.cursors);
        }
        let cursors = changes.finish();
        let frame = self.compressor.compress(&self.lines)?;
        let inflated_bytes = self.lines.len() as u64;
        let cost = wire::batch_cost(frame.len() as u64, inflated_bytes);
        let message = v1::Batch {
            from: first.sequence,
            to,
            previous_chain: previous.0.to_vec().into(),
            chain: chain.0.to_vec().into(),
            cursors: cursors
                .iter()
                .map(|(source, changes)| v1::Cursor {
                    source: source.clone(),
                    changes: Value::Object(changes.clone()).to_string().into_bytes().into(),
                })
                .collect(),
            frame: frame.into(),
            inflated_bytes,
            progress: None,
            signature: bytes::Bytes::new(),
        };
        Ok(Some(Encoded { message, to, chain, cost, cursors }))
    }
}
