//! Object stores by URL, and what orgtrail may rely on in them.
//!
//! A [`Store`] is a place of immutable objects. Everything orgtrail keeps is
//! built on one ability: **create-only** puts. Of all puts of one name exactly
//! one succeeds, all others are told so, and the first bytes stay. A store that
//! cannot do that would lose events when two aggregators race, so every store
//! is [probed](Store::probe) at start and refused by name if it fails.
//!
//! | URL | what it is |
//! |---|---|
//! | `file:///abs/dir` | [`LocalStore`]: a directory; what is there survives a power cut |
//! | `s3://bucket/prefix` | S3 or what speaks it; credentials as the AWS command line finds them |
//! | `gs://bucket/prefix` | Google Cloud Storage |
//! | `az://container/prefix` | Azure Blob Storage |
//! | `memory://name` | this process's memory, for tests and simulations |
//!
//! Layout, from the outside in: `location` reads the URL, `open` builds the
//! store (`local`, `memory`, `s3` with `credentials`, `cloud` for the rest),
//! `store` is the handle with its operations, `reads` counts what they read and `error`
//! says how they end, `tail` keeps what was read to open an object,
//! `again` is what it does while there is no answer, `probe` is the test at start.
//!
//! # Why our own local store
//! The one that `object_store` brings never calls `fsync`: after a power cut an
//! acknowledged object may be empty or gone. It still serves our reads.
//!
//! # Why three outcomes of a failed create
//! "Somebody has that name", "refused" and "no answer" lead callers to three
//! different places: read what is there, tell a person, or read back and try
//! again. See [`CreateError`], also for an answer that is not what it seems.

mod again;
mod cloud;
mod credentials;
mod error;
mod local;
mod location;
mod memory;
mod open;
mod probe;
mod reads;
mod s3;
mod store;
mod tail;

pub use error::{CreateError, OpenError, StoreError};
pub use local::LocalStore;
pub use probe::ProbeError;
pub use reads::Reads;
pub use store::Store;
pub use tail::Tail;
