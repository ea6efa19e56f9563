//! What can go wrong, one variant for each thing a caller does about it.

use std::io;
use std::path::PathBuf;

/// Why a spool could not be made or opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// There is a spool already: open it.
    #[error("{dir} holds a spool already: open it, or name an empty directory")]
    AlreadyExists {
        /// The directory.
        dir: PathBuf,
    },
    /// Another process (or another value in this one) has it open. Stop.
    #[error("spool {dir} is open elsewhere: two agents cannot share one spool directory")]
    Locked {
        /// The directory.
        dir: PathBuf,
    },
    /// A newer release wrote it. Stop; nothing was touched.
    #[error(
        "{file} has spool format {version}, this release reads up to {supported}: use a newer one"
    )]
    Version {
        /// The file that says so.
        file: PathBuf,
        /// Its format version.
        version: u16,
        /// The newest version this release reads.
        supported: u16,
    },
    /// No file says which spool this is any more. All of them were renamed to
    /// `….unreadable` and kept; the next start finds no spool and makes one.
    #[error(
        "spool {dir} has lost its id: its {files} files are kept as *.unreadable, \
         and the next start begins a new spool"
    )]
    NoIdentity {
        /// The directory.
        dir: PathBuf,
        /// How many files were set aside.
        files: usize,
    },
    /// The disk refused. Retryable.
    #[error("{doing} {path}")]
    Io {
        /// What was tried, as a verb.
        doing: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// What the disk said.
        #[source]
        source: io::Error,
    },
}

/// Why entries could not be appended or made durable, or a trim point not moved.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// No room. Nothing of the call was kept; wait for a release and try again.
    #[error(
        "spool {dir} is full: {used} of {max} bytes used, {needed} more needed; \
         it empties as the aggregator acks, or raise spool disk_bytes_max"
    )]
    Full {
        /// The directory.
        dir: PathBuf,
        /// Bytes in live segments.
        used: u64,
        /// The limit on them.
        max: u64,
        /// Bytes the call needs.
        needed: u64,
        /// What the disk said, if it was the disk and not the limit.
        #[source]
        source: Option<io::Error>,
    },
    /// An entry is longer than any spool takes. Nothing of the call was kept;
    /// trying again does not help.
    #[error("entry of {bytes} bytes: a payload has at most {max} bytes")]
    TooLarge {
        /// Its length in bytes.
        bytes: usize,
        /// The most it may have.
        max: usize,
    },
    /// A release was asked for beyond what is durable. Nothing was changed.
    #[error("release to {to}: only {durable} is durable")]
    NotDurable {
        /// The sequence asked for.
        to: u64,
        /// The last durable sequence.
        durable: u64,
    },
    /// An earlier failure left unknown what is on disk. Drop this value, open
    /// the spool again, and go on from the cursors found in it.
    #[error("spool {dir} must be reopened: {cause}")]
    Poisoned {
        /// The directory.
        dir: PathBuf,
        /// The failure that did it.
        cause: String,
    },
    /// The disk refused. Nothing of the call was kept; if the failure leaves
    /// anything unknown, the next call answers [`AppendError::Poisoned`].
    #[error("{doing} {path}")]
    Io {
        /// What was tried, as a verb.
        doing: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// What the disk said.
        #[source]
        source: io::Error,
    },
}

/// Why frames could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// These sequences were released, and their bytes may be gone.
    #[error("sequence {from} was released: reading begins after {released}")]
    Released {
        /// The sequence asked for.
        from: u64,
        /// The trim point.
        released: u64,
    },
    /// These sequences cannot be read; what follows them can.
    #[error("sequences {first} to {last} cannot be read: read on from {}", last.saturating_add(1))]
    Hole {
        /// The first sequence that is missing, which is the one asked for.
        first: u64,
        /// The last sequence that is missing.
        last: u64,
    },
    /// Bytes that were whole when the spool was opened no longer are. Open it
    /// again: that finds and reports exactly what is lost.
    #[error("{path} changed at byte {at} (sequence {sequence}): reopen the spool")]
    Damaged {
        /// The segment.
        path: PathBuf,
        /// Where its bytes stop making sense.
        at: u64,
        /// The sequence expected there.
        sequence: u64,
    },
    /// The disk refused. Retryable.
    #[error("{doing} {path}")]
    Io {
        /// What was tried, as a verb.
        doing: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the disk said.
        #[source]
        source: io::Error,
    },
}
