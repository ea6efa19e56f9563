//! Numbered, create-only, hash-linked records on a store.
//!
//! A ledger is how several writers without a leader agree on one history. It
//! is a folder of objects numbered from 1; record n+1 is made with a create-only
//! put, so of all writers who try exactly one succeeds, and it names the hash of
//! record n, so that history cannot be changed behind a reader's back. Records
//! are never rewritten or deleted. The end is where the next number is absent.
//!
//! ```text
//! <prefix>/00000000000000000042.json
//! {"version":1,"number":42,"previous":"<hex SHA-256 of record 41's bytes>",
//!  "id":"<uuid of this attempt>","at":"2026-11-20T09:30:00.125Z", …the body's members…}
//! ```
//!
//! `previous` of record 1 is 64 zeros. A record's bytes are what was put, byte
//! for byte; nothing here depends on a canonical form of JSON. `at` is the
//! writer's clock and is for people only.
//!
//! Layout: [`Record`] and [`Head`] are what there is, [`Ledger`] reads it
//! (`read`) and adds to it (`append`), [`LedgerError`] and [`AppendError`] say
//! how that fails.
//!
//! # Why reading never lists
//! A listing of a hundred thousand names costs more than following them, some
//! stores list with delay, and "the next number is absent" is the very condition
//! that a create-only put decides on.
//!
//! # Why an attempt has an id
//! Two writers with nothing to say would otherwise make equal bytes, and each
//! would read the other's record back as its own.

mod append;
mod error;
mod layout;
mod read;
mod record;

pub use append::Appended;
pub use error::{AppendError, LedgerError};
pub use read::Ledger;
pub use record::{FORMAT_VERSION, Head, Record, VERSION};
