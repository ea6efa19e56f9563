//! What waits for compaction, and how long that takes.
//!
//! The log says when each compaction began and ended and what it merged, so whoever
//! reads the store can tell the pace, without asking the process that compacts.

use futures::future::BoxFuture;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::checkpoint;
use crate::compact::worth_merging;
use crate::config::Limits;
use crate::error::TableError;
use crate::log::Body;
use crate::snapshot::TableSnapshot;

/// Days that [`TableSnapshot::backlog`] looks at.
pub const BACKLOG_DATES: usize = 31;

/// Records of the log that are read to find the last compactions,
const PACE_RECORDS_MAX: u64 = 64;
/// of which so many tell the pace.
const PACE_COMPACTIONS_MAX: usize = 4;

/// What waits for compaction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Partitions with files worth merging.
    pub partitions: u64,
    /// Those files.
    pub files: u64,
    /// Their rows.
    pub rows: u64,
    /// How long merging them takes at the pace of the last compactions, without what
    /// goes on between them; none if nothing waits or none ended lately.
    pub work_secs: Option<u64>,
}

/// Rows merged, and how long it took.
#[derive(Clone, Copy, Debug, Default)]
struct Pace {
    rows: u64,
    took: SignedDuration,
}

impl Pace {
    /// The whole seconds, rounded up, that so many rows take.
    fn secs_for(self, rows: u64) -> Option<u64> {
        let millis = u128::try_from(self.took.as_millis()).ok()?;
        let rows_by_millis = u128::from(self.rows) * 1_000;
        let secs =
            (rows_by_millis > 0).then(|| (u128::from(rows) * millis).div_ceil(rows_by_millis));
        u64::try_from(secs?).ok()
    }
}

impl TableSnapshot {
    /// What compaction would merge now, on the newest [`BACKLOG_DATES`] days.
    ///
    /// # Errors
    /// If the lists of files, or records of the log, cannot be read.
    pub fn backlog(&self, now: Timestamp) -> BoxFuture<'_, Result<Backlog, TableError>> {
        Box::pin(async move {
            let today = now.to_zoned(TimeZone::UTC).date();
            let limits = Limits::default();
            let mut backlog = Backlog::default();
            for (date, files) in self.state.dates.iter().rev().take(BACKLOG_DATES) {
                let files = checkpoint::date_files(&self.store, files).await?;
                for group in worth_merging(files, *date < today, &limits) {
                    backlog.partitions += 1;
                    backlog.files += group.len() as u64;
                    backlog.rows += group.iter().map(|file| file.rows).sum::<u64>();
                }
            }
            if backlog.files > 0 {
                backlog.work_secs = self.pace().await?.secs_for(backlog.rows);
            }
            Ok(backlog)
        })
    }

    /// The pace of the last compactions.
    async fn pace(&self) -> Result<Pace, TableError> {
        let mut pace = Pace::default();
        let mut found = 0;
        let head = self.state.head;
        for number in (head.saturating_sub(PACE_RECORDS_MAX) + 1..=head).rev() {
            let Some(ended) = self.ledger.read(number).await.map_err(TableError::Ledger)? else {
                break;
            };
            let Ok(Body::CompactCommit(commit)) = ended.body::<Body>() else { continue };
            let intent = self.ledger.read(commit.intent).await.map_err(TableError::Ledger)?;
            let Some(began) = intent else { break };
            // Another process may have ended it, by another clock.
            pace.took += ended.at.duration_since(began.at).max(SignedDuration::ZERO);
            pace.rows += commit.rows;
            found += 1;
            if found == PACE_COMPACTIONS_MAX {
                break;
            }
        }
        Ok(pace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_estimated_from_what_rows_took_and_from_nothing_else() {
        let pace = |rows, millis| Pace { rows, took: SignedDuration::from_millis(millis) };
        assert_eq!(pace(1_000, 500).secs_for(10_000), Some(5));
        assert_eq!(pace(1_000, 500).secs_for(1), Some(1), "rounded up");
        assert_eq!(pace(0, 0).secs_for(10_000), None, "no compaction ended lately");
        assert_eq!(pace(1, i64::MAX).secs_for(u64::MAX), None, "past what can be said");
    }
}
