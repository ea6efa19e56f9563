//! Whoever wants to do harm, by what is read or by what is said, harms nothing.
//!
//! The two programs as people start them. `corpus`: files that were made to be
//! read wrongly (`oracle/hostile.py` makes them). `agents`: peers with a valid
//! certificate that break the protocol; `crowds`: peers that are too many, too
//! slow or too fast. Every case ends in a clear answer, every event has one fate
//! (the independent checker says so), and memory stays below a bound.
//!
//! `ORGTRAIL_HOSTILE=long` makes the files larger and more, and waits for
//! time-outs that the usual form only looks at from their beginning.

mod agents;
mod corpus;
mod crowds;
mod probe;

/// Whether the long form was asked for.
fn is_long() -> bool {
    std::env::var("ORGTRAIL_HOSTILE").is_ok_and(|form| form == "long")
}

/// A record of `account`.
fn record(account: &str, number: u64) -> String {
    format!(
        r#"{{"eventVersion":"1.11","eventTime":"2026-11-20T12:00:00Z","eventSource":"s3.amazonaws.com","eventName":"GetObject","awsRegion":"eu-west-1","eventID":"00000000-0000-4000-8000-{number:012}","recipientAccountId":"{account}"}}"#
    )
}
