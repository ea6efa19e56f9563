//! Making record n+1.
//!
//! One commit is in flight for one writer, and folded state never advances
//! while an attempt is pending: the caller waits here until it is known whose
//! record n+1 is. If it is another's, that one is folded and the caller decides
//! anew from the state that it left.

use crate::error::JournalError;
use crate::layout;
use crate::read::Journal;
use crate::record::{Body, SegmentRef};
use crate::segment::Packed;
use crate::snapshot::SNAPSHOT_EVERY;
use crate::state::State;
use futures::future::BoxFuture;

/// The version of a record that sweeps: a release that does not know sweeps stops
/// at it instead of passing it over.
const SWEEP_VERSION: u64 = 2;

/// The version of a record by which segments expire: a release that does not know
/// this would call them missing.
const EXPIRE_VERSION: u64 = 3;

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Committed {
    /// Our record is number n and folded.
    Ours(u64),
    /// Another writer's record took the number and is folded; nothing of ours is in.
    Theirs(u64),
}

impl Journal {
    /// Puts a segment under a fresh name and says how a record names it. `after`
    /// is the last record that its writer has folded.
    ///
    /// # Errors
    /// [`JournalError::Segment`] if it is unknown whether the object is there. It
    /// harms nobody: what no record names does not exist.
    pub fn put_segment<'a>(
        &'a self,
        packed: &'a Packed,
        after: u64,
    ) -> BoxFuture<'a, Result<SegmentRef, JournalError>> {
        Box::pin(async move {
            let path = layout::segment(self.clock.now(), after, self.entropy.bytes());
            self.store.ensure(&path, packed.bytes.clone()).await.map_err(JournalError::Segment)?;
            Ok(SegmentRef {
                path: path.to_string(),
                bytes: packed.bytes.len() as u64,
                sha256: packed.sha256,
                frames: packed.frames.clone(),
            })
        })
    }

    /// Tries to make `body` the record after `state`.
    ///
    /// # Errors
    /// [`JournalError::Append`] if the outcome is unknown; `state` has not moved
    /// then, and the caller tries the *same* body again.
    pub fn commit<'a>(
        &'a self,
        state: &'a mut State,
        body: &'a Body,
    ) -> BoxFuture<'a, Result<Committed, JournalError>> {
        Box::pin(async move {
            let number = state.head + 1;
            debug_assert_eq!(state.check(body), Ok(()), "a writer validates before it commits");
            let with_hash = if number.is_multiple_of(SNAPSHOT_EVERY) {
                let (bytes, hash) = state.canonical();
                self.put_snapshot(number, bytes).await;
                Some(Body { state_sha256: Some(hash), ..body.clone() })
            } else {
                None
            };
            let body = with_hash.as_ref().unwrap_or(body);
            // Releases before sweeps would use names that one has made unusable.
            let version = if body.expire.is_some() || body.deleted.is_some() {
                EXPIRE_VERSION
            } else if body.sweep.is_some() {
                SWEEP_VERSION
            } else {
                ledger::VERSION
            };
            let (id, at) = (self.entropy.bytes(), self.clock.now());
            let appended = self
                .ledger
                .append_version(version, &state.ledger_head(), id, at, body)
                .await
                .map_err(JournalError::Append)?;
            match appended {
                ledger::Appended::Ours(record) => {
                    self.fold_record(state, &record)?;
                    Ok(Committed::Ours(number))
                }
                ledger::Appended::Theirs(record) => {
                    self.fold_record(state, &record)?;
                    Ok(Committed::Theirs(number))
                }
            }
        })
    }
}
