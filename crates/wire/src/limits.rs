//! The limits that both sides of a session keep, and what a batch costs.
//!
//! An agent that stays within them is never refused for size; an aggregator
//! that enforces them can say beforehand what a session may make it hold.

use crate::v1::delivery_client::DeliveryClient;
use crate::v1::delivery_server::{Delivery, DeliveryServer};

/// The protocol version that this release speaks.
pub const PROTOCOL_VERSION: u32 = 2;

/// The most bytes of a batch's zstd frame.
pub const BATCH_COMPRESSED_BYTES_MAX: usize = 2 << 20;

/// The most bytes that a batch's lines inflate to, line feeds included.
pub const BATCH_INFLATED_BYTES_MAX: usize = 8 << 20;

/// The most lines of a batch. No agent comes near: a record has 20 bytes at
/// least, and a batch aims at 3 MiB. Each line costs a hash, however short it is.
pub const BATCH_LINES_MAX: u64 = 256 << 10;

/// The most bytes of one source's whole cursor.
pub const CURSOR_BYTES_MAX: usize = 64 << 10;

/// The most sources that one agent reads, so that a Welcome with all its
/// cursors, or a batch that changes them all, is one message.
pub const SOURCES_MAX: usize = 64;

/// The most bytes of one message.
pub const MESSAGE_BYTES_MAX: usize = 8 << 20;

/// A session in which an agent has said nothing for twice this long is dead.
pub const HEARTBEAT_SECS: u64 = 60;

/// How much of a batch's inflated size counts towards its cost.
pub const BATCH_COST_INFLATED_BYTES_MAX: u64 = 256 << 10;

// A frame and every cursor fit one message, with room for the other fields.
const _: () = assert!(
    BATCH_COMPRESSED_BYTES_MAX + SOURCES_MAX * CURSOR_BYTES_MAX + (64 << 10) <= MESSAGE_BYTES_MAX
);

/// What a batch takes from the agent's credit.
///
/// The frame is what the aggregator holds, so it counts whole. Small batches
/// count by their inflated size, up to the size at which frames stop sharing:
/// an aggregator re-compresses those together and holds them inflated.
#[must_use]
pub fn batch_cost(frame_bytes: u64, inflated_bytes: u64) -> u64 {
    frame_bytes.max(inflated_bytes.min(BATCH_COST_INFLATED_BYTES_MAX))
}

/// A client over `channel` that keeps the message limit.
pub fn client<C>(channel: C) -> DeliveryClient<C>
where
    C: tonic::client::GrpcService<tonic::body::Body>,
    C::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    C::ResponseBody: tonic::codegen::Body<Data = tonic::codegen::Bytes> + Send + 'static,
    <C::ResponseBody as tonic::codegen::Body>::Error:
        Into<Box<dyn std::error::Error + Send + Sync>> + Send,
{
    DeliveryClient::new(channel)
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX)
}

/// A server for `delivery` that keeps the message limit.
pub fn server<D: Delivery>(delivery: D) -> DeliveryServer<D> {
    DeliveryServer::new(delivery)
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_costs_what_the_aggregator_holds_for_it() {
        let check = |frame, inflated, cost| {
            assert_eq!(batch_cost(frame, inflated), cost, "{frame} of {inflated}")
        };
        check(0, 0, 0);
        check(700, 1_000, 1_000);
        check(40_000, 256 << 10, 256 << 10);
        check(40_000, 8 << 20, 256 << 10);
        check(2 << 20, 8 << 20, 2 << 20);
        check(900, 800, 900);
    }
}
