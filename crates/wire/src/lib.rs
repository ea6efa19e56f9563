//! The words that an agent and an aggregator exchange.
//!
//! [`v1`] is generated from `proto/orgtrail/delivery/v1/delivery.proto`, which
//! is where each message is explained. Beside it stands what a schema cannot
//! say: the limits that both sides keep, and what a batch costs in credit.
//!
//! Fields are only ever added, so an agent one release older or newer keeps
//! working; `tests/` fixes the encoded bytes of one of each message.
//!
//! Layout: [`v1`] the messages, client and server; `limits` the constants and
//! [`batch_cost`]; [`client`] and [`server`], which apply the limits so that
//! nobody can forget to.
//!
//! # Why nothing here checks a message
//! What makes a batch valid depends on the stream's state in the journal. That
//! is the aggregator's to know; this crate would only hold half of the rule.

mod limits;

pub use limits::{
    BATCH_COMPRESSED_BYTES_MAX, BATCH_COST_INFLATED_BYTES_MAX, BATCH_INFLATED_BYTES_MAX,
    BATCH_LINES_MAX, CURSOR_BYTES_MAX, HEARTBEAT_SECS, MESSAGE_BYTES_MAX, PROTOCOL_VERSION,
    SOURCES_MAX, batch_cost, client, server,
};

/// Version 1 of the delivery protocol, generated.
#[allow(
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    clippy::all,
    reason = "generated from /proto"
)]
#[allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "generated"
)]
#[allow(clippy::let_underscore_must_use, clippy::large_futures, reason = "generated")]
pub mod v1 {
    tonic::include_proto!("orgtrail.delivery.v1");
}
