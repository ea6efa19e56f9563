//! Snapshots of the folded state, so that starting does not read all records.
//!
//! Every 32nd record carries the SHA-256 of the state before it. A snapshot
//! is used only if its bytes have that hash; otherwise the next older one is
//! tried, and at last record 1. So a damaged, forged or missing snapshot costs
//! time and nothing else.
//!
//! A question reads the records since the snapshot, so there are many of late; of
//! those longer ago every 32nd is kept, for whoever reads the journal from there.

use bytes::Bytes;
use futures::TryStreamExt;
use ledger::LedgerError;

use crate::error::JournalError;
use crate::layout;
use crate::read::Journal;
use crate::record::Body;
use crate::state::State;

/// How many records lie between two snapshots. Releases before this had one every
/// 1,024, and what vouches for a snapshot is its record alone.
pub(crate) const SNAPSHOT_EVERY: u64 = 32;

/// How many records lie between two snapshots that stay.
const KEPT_EVERY: u64 = 1_024;

impl Journal {
    /// Keeps the state before record `number`, for whoever starts later.
    pub(crate) async fn put_snapshot(&self, number: u64, bytes: Vec<u8>) {
        let path = layout::snapshot(number);
        // It only saves time, and another writer may have put the same one.
        if let Err(error) = self.store.create(&path, Bytes::from(bytes)).await {
            tracing::debug!(%path, %error, "did not put a snapshot");
        }
        let old = number.saturating_sub(KEPT_EVERY);
        if !old.is_multiple_of(KEPT_EVERY) {
            let path = layout::snapshot(old);
            if let Err(error) = self.store.delete(&path).await {
                tracing::debug!(%path, %error, "an old snapshot stays");
            }
        }
    }

    /// The newest state up to record `last` that a snapshot gives and a record
    /// vouches for.
    pub(crate) async fn newest_snapshot(&self, last: u64) -> Result<State, JournalError> {
        // One page of a listing, where it is known what is looked for.
        if last < u64::MAX
            && let Some(after) = last.checked_sub(2 * KEPT_EVERY)
            && let Some(state) = self.newest_between(Some(after), last).await?
        {
            return Ok(state);
        }
        Ok(self.newest_between(None, last).await?.unwrap_or_else(State::new))
    }

    async fn newest_between(
        &self,
        after: Option<u64>,
        last: u64,
    ) -> Result<Option<State>, JournalError> {
        let mut numbers: Vec<u64> = self
            .store
            .list(&layout::snapshots(), after.map(layout::snapshot).as_ref())
            .try_filter_map(async |(path, _size)| Ok(layout::snapshot_number(&path)))
            .try_collect()
            .await
            .map_err(JournalError::Store)?;
        // A snapshot is of the state before the record that it is named by.
        numbers.retain(|number| number.saturating_sub(1) <= last);
        numbers.sort_unstable();
        for number in numbers.into_iter().rev() {
            if let Some(state) = self.snapshot(number).await? {
                self.learn(&state);
                return Ok(Some(state));
            }
            tracing::warn!(
                number,
                "a journal snapshot is not what its record says; reading on without it"
            );
        }
        Ok(None)
    }

    async fn snapshot(&self, number: u64) -> Result<Option<State>, JournalError> {
        let path = layout::snapshot(number);
        let bytes = self.store.get(&path).await.map_err(JournalError::Store)?;
        let record = match self.ledger.read(number).await {
            Ok(record) => record,
            // A record that is no record vouches for nothing.
            Err(LedgerError::Damaged { .. }) => None,
            Err(error) => return Err(JournalError::Ledger(error)),
        };
        let (Some(bytes), Some(record)) = (bytes, record) else { return Ok(None) };
        let Ok(body) = record.body::<Body>() else { return Ok(None) };
        if body.state_sha256 != Some(integrity::sha256(&bytes)) {
            return Ok(None);
        }
        let state = serde_json::from_slice::<State>(&bytes).ok();
        Ok(state.filter(|state| state.is_known_format() && state.head + 1 == number))
    }
}
