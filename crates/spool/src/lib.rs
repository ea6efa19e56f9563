//! A durable local queue of bytes: what an agent read, until it is acked.
//!
//! # What it promises
//! - What [`Spool::sync`] answered as durable is there after any crash, and is
//!   read back with the bytes, the sequence and the leaf it was written with.
//! - Sequences begin at 1 and have no hole: a call of [`Spool::append`] that
//!   fails keeps nothing, and a full disk is such a failure, not an end.
//! - Nothing is unlinked before the trim point that covers it is durable.
//! - What cannot be read is reported to the byte and kept under another name;
//!   what lies behind it is still read.
//!
//! # How it is laid out on disk
//! One directory: `released` (the trim point, `format::released`), segments
//! `00000000000000000001.seg` named by the first sequence they hold
//! (`format::segment`), `reserve` (room for a trim point on a full disk), and
//! `lock`. A segment with damage in it is called `….damaged` and still read; one
//! in which nothing can be read is called `….unreadable` and left alone.
//!
//! # How the code is laid out
//! [`Spool`] is opened (`recover`: take the `inventory`, `scan` each segment,
//! `account` for what is lost, act on it: `opening`), written (`append`), read (`read`) and
//! trimmed (`release`). `segment` knows what is where in a segment, `window` reads
//! a file forward, `format` is bytes only.
//!
//! # Why the spool knows nothing of events
//! A payload is bytes, cursors are bytes, the chain is 32 bytes handed in at
//! release; the leaf is made by a function given at open. So the part that must
//! survive a power cut is small enough to be tested at every byte.
//!
//! # Why not a memory map, an embedded database, or one file as a ring
//! A map turns a failing disk into a signal and cannot tell a failed write from
//! a good one. A database brings a second log beneath this one. A ring
//! overwrites its past, and what cannot be read here is never overwritten.

mod account;
mod append;
mod error;
mod format;
mod inventory;
mod opening;
mod options;
mod read;
mod recover;
mod recovery;
mod release;
mod scan;
mod segment;
mod spool;
mod window;

pub use error::{AppendError, OpenError, ReadError};
pub use options::{CURSORS_BYTES_MAX, LeafFn, Options, PAYLOAD_BYTES_MAX};
pub use recovery::{Cause, Cut, Damage, Lost, Recovery};
pub use spool::{Entry, Frame, Spool};
