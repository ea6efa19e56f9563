//! Appending: one create-only put, and finding out whose record is there.
//!
//! A put that did not plainly succeed is read back. Our bytes there mean
//! success, another writer's mean we lost the number to them, and nothing there
//! means the *same* bytes are put again: an earlier attempt that lands late then
//! meets its own copy or makes ours fail, and either way one copy is there.

use std::time::Duration;

use jiff::Timestamp;
use seam::Guard;
use serde::Serialize;
use store::CreateError;

use crate::error::AppendError;
use crate::read::Ledger;
use crate::record::{Head, Record, VERSION};

/// How often the same record is put before the caller is told that it is
/// unknown. Each attempt has the store's own repetitions inside.
const ATTEMPTS_MAX: u32 = 5;
/// The pause after the first attempt; each following one is twice as long.
const BACKOFF_FIRST: Duration = Duration::from_millis(50);
/// The longest pause.
const BACKOFF_MAX: Duration = Duration::from_secs(2);

/// Whose record now follows the head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Appended {
    /// Ours.
    Ours(Record),
    /// Another writer's, read back. Nothing of ours was kept.
    Theirs(Record),
}

impl Ledger {
    /// Tries to make `body` the record after `head`. `id` is random and belongs
    /// to this body: whoever tries the body again passes the same.
    ///
    /// # Errors
    /// See [`AppendError`]. With [`AppendError::Unknown`] the record may still
    /// come to be there; the caller must not act as if it were, nor as if it
    /// were not.
    pub async fn append<T: Serialize + Sync>(
        &self,
        head: &Head,
        id: [u8; 16],
        at: Timestamp,
        body: &T,
    ) -> Result<Appended, AppendError> {
        self.append_version(VERSION, head, id, at, body).await
    }

    /// [`Ledger::append`] of a body that releases which read only older versions
    /// must stop at.
    ///
    /// # Errors
    /// As [`Ledger::append`].
    pub async fn append_version<T: Serialize + Sync>(
        &self,
        version: u64,
        head: &Head,
        id: [u8; 16],
        at: Timestamp,
        body: &T,
    ) -> Result<Appended, AppendError> {
        let path = self.path(head.number + 1);
        let ours = Record::make(path.clone(), version, head, id, at, body)?;
        let guards = self.guards;
        let mut may_land_later = false;
        let mut attempt = 1;
        loop {
            if !guards.hold(Guard::CreateOnlyRecords) {
                drop(self.store.delete(&path).await);
            }
            let failure = match self.store.create(&path, ours.bytes.clone()).await {
                Ok(()) => return Ok(Appended::Ours(ours)),
                Err(failure) => failure,
            };
            may_land_later |= matches!(failure, CreateError::Unknown { .. });
            let source: Box<dyn std::error::Error + Send + Sync> = match self.next(head).await {
                Ok(Some(found)) if found.bytes == ours.bytes && guards.hold(Guard::ReadBack) => {
                    return Ok(Appended::Ours(found));
                }
                Ok(Some(found)) => return Ok(Appended::Theirs(found)),
                Ok(None) => match failure {
                    source @ CreateError::Rejected { .. } if !may_land_later => {
                        let source = Box::new(source);
                        return Err(AppendError::Rejected { path: path.to_string(), source });
                    }
                    source @ CreateError::Broken { .. } => {
                        let source = Box::new(source);
                        return Err(AppendError::Broken { path: path.to_string(), source });
                    }
                    failure => Box::new(failure),
                },
                Err(source) if source.is_retryable() => Box::new(source),
                Err(source) => {
                    let source = Box::new(source);
                    return Err(AppendError::Ledger { path: path.to_string(), source });
                }
            };
            if attempt == ATTEMPTS_MAX {
                if !guards.hold(Guard::OneCommitInFlight) {
                    return Ok(Appended::Ours(ours));
                }
                let path = path.to_string();
                return Err(AppendError::Unknown { path, attempts: attempt, source });
            }
            tracing::debug!(%path, attempt, error = %source, "putting the same record again");
            tokio::time::sleep(pause(attempt, id)).await;
            attempt += 1;
        }
    }
}

/// Half of the attempt's backoff, and a part of the other half by the luck of
/// the id, so that writers who collided do not collide again.
fn pause(attempt: u32, id: [u8; 16]) -> Duration {
    let full = BACKOFF_FIRST.saturating_mul(1 << (attempt - 1).min(16)).min(BACKOFF_MAX);
    let [luck, ..] = u128::from_le_bytes(id).wrapping_mul(u128::from(attempt)).to_be_bytes();
    full / 2 + (full / 2).mul_f64(f64::from(luck) / 256.0)
}
