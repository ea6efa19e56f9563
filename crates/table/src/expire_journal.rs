//! The journal's retention, asked of the table: events that are rows, and that no
//! hold and no rebuild needs, may leave the journal when they are old enough.
//!
//! 1. A record of the table's log says up to which journal record that is. It cannot
//!    follow a hold or the beginning of a rebuild, and from it on no pass compares
//!    events with those of before, so that whoever finishes a pass finds the same.
//! 2. A record of the journal names the segments, with what proves them.
//! 3. After `keep_replaced_secs` they are deleted, a few at a time, and before each few
//!    the table's log is read again: a hold that came meanwhile keeps what is left.
//! 4. A record of the journal says how far that is done.
//!
//! A process that stops anywhere leaves the rest to the next one.

use std::num::NonZeroU32;

use futures::future::BoxFuture;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};
use journal::State as JournalState;
use tokio_util::sync::CancellationToken;

use crate::error::TableError;
use crate::log::{Body, ExpireJournal};
use crate::table::{Table, Won};

/// Journal records after which a deletion says how far it is: one that stops is begun
/// again from there.
const DELETED_RECORDS_MAX: u64 = 4_096;

/// What one step of the journal's retention has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExpireJournalReport {
    /// Segments that have expired.
    pub segments: u64,
    /// Journal records of which the segments are deleted, if they had any.
    pub deleted_records: u64,
    /// Whether there is more to do at once.
    pub more: bool,
}

impl Table {
    /// One step of letting go segments of the journal that were committed more than so
    /// many days ago. Does nothing where no retention is set.
    ///
    /// Dropping the future is safe at any point.
    ///
    /// # Errors
    /// [`TableError::is_retryable`] says whether to call again.
    pub fn expire_journal<'a>(
        &'a mut self,
        retention_days: Option<NonZeroU32>,
        stop: &'a CancellationToken,
    ) -> BoxFuture<'a, Result<ExpireJournalReport, TableError>> {
        Box::pin(async move {
            let mut report = ExpireJournalReport::default();
            let Some(days) = retention_days.map(NonZeroU32::get) else { return Ok(report) };
            self.refresh().await?;
            let is_needed = !self.state.holds.is_empty() || self.state.rebuild.is_some();
            if self.state.open.is_some() || is_needed {
                return Ok(report);
            }
            let mut journal = self.journal_head().await?;
            if journal.expired.to >= self.state.journal_expired
                && let Some(before) = self.days_ago(days)
            {
                let last = self.state.may_expire_journal_to();
                if let Some(to) = self.journal.old_enough(&journal, before, last).await? {
                    let body = Body::ExpireJournal(ExpireJournal { to, retention_days: days });
                    report.more = true;
                    if self.append(&body).await? == Won::Theirs {
                        return Ok(report);
                    }
                }
            }
            let to = self.state.journal_expired;
            if journal.expired.to < to {
                report.segments = self.journal.expire(&mut journal, to, days).await?;
                report.more = true;
            } else {
                self.delete_expired(&mut journal, &mut report, stop).await?;
            }
            Ok(report)
        })
    }

    /// Midnight of so many days ago; none if that is before the calendar begins.
    fn days_ago(&self, days: u32) -> Option<Timestamp> {
        let today = self.seams.clock.now().to_zoned(TimeZone::UTC).date();
        let day = today.checked_sub(i64::from(days).days()).ok()?;
        Some(day.to_zoned(TimeZone::UTC).ok()?.timestamp())
    }

    /// The journal folded to its end, from where the last pass left it.
    async fn journal_head(&self) -> Result<JournalState, TableError> {
        let mut state = match &self.reader {
            Some(reader) => reader.clone(),
            None => return Ok(self.journal.fold().await?),
        };
        self.journal.advance(&mut state).await?;
        Ok(state)
    }

    /// Deletes what expired long enough ago, as long as nothing keeps it.
    async fn delete_expired(
        &mut self,
        journal: &mut JournalState,
        report: &mut ExpireJournalReport,
        stop: &CancellationToken,
    ) -> Result<(), TableError> {
        let kept = SignedDuration::from_secs(i64::from(self.config.keep_replaced_secs));
        let due = journal.expired.at.and_then(|at| at.checked_add(kept).ok());
        if due.is_none_or(|due| due > self.seams.clock.now()) {
            return Ok(());
        }
        let (deleted, to) = (journal.expired.deleted, journal.expired.to);
        let end = to.min(deleted.saturating_add(DELETED_RECORDS_MAX));
        let mut reached = deleted;
        while reached < end && !stop.is_cancelled() {
            self.refresh().await?;
            if !self.state.holds.is_empty() {
                break;
            }
            reached = self.journal.delete_expired(journal, reached).await?;
        }
        if reached > deleted {
            self.journal.end_deletion(journal, reached).await?;
            report.deleted_records = reached - deleted;
            report.more = reached < to && self.state.holds.is_empty();
        }
        Ok(())
    }
}
