//! Retention: days whose time is over leave the table.
//!
//! A day expires when `retention_days` have passed both since the day itself and
//! since the last of its files was committed, so that what was read in late, or
//! compacted late, does not vanish on its first night. A record names the files,
//! their rows and the rule; then they are no longer of the table, and are deleted
//! as replaced files are: after `keep_replaced_secs`, by a sweep. With a day's
//! last file go its event keys and its index; what comes of it later is new.
//! Objects of quarantine go by the day of their commit.
//!
//! A **hold** keeps files whatever their age, until it is released.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use futures::TryStreamExt;
use futures::future::BoxFuture;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use object_store::path::Path;
use tokio_util::sync::CancellationToken;

use crate::checkpoint::date_files;
use crate::error::TableError;
use crate::hold::Hold;
use crate::layout::Layout;
use crate::log::{Body, DataFile, Expire};
use crate::state::DateFiles;
use crate::table::{Table, Won};

/// Objects that one record names at most.
const OBJECTS_MAX: usize = 1_000;

/// What has expired.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExpireReport {
    /// Data files.
    pub files: u64,
    /// Rows in them.
    pub rows: u64,
    /// Objects of quarantine.
    pub quarantined: u64,
    /// Whether it stopped early, so that more may wait.
    pub more: bool,
}

/// What was found of dates and of quarantine, so that it is not looked for again.
#[derive(Debug, Default)]
pub(crate) struct Aged {
    /// When the newest file of a date was committed.
    committed: BTreeMap<Date, (DateFiles, Timestamp)>,
    /// The holds under which that was found.
    holds: BTreeMap<String, Hold>,
    /// The day on which quarantine was listed.
    quarantine: Option<Date>,
}

impl Table {
    /// Lets go what is older than the configuration allows, or until `stop`; at
    /// most `steps` records. Does nothing where no retention is set.
    ///
    /// Dropping the future is safe at any point.
    ///
    /// # Errors
    /// [`TableError::is_retryable`] says whether to call again.
    pub fn expire<'a>(
        &'a mut self,
        steps: u64,
        stop: &'a CancellationToken,
    ) -> BoxFuture<'a, Result<ExpireReport, TableError>> {
        Box::pin(async move {
            let mut report = ExpireReport::default();
            let Some(days) = self.config.retention_days.map(NonZeroU32::get) else {
                return Ok(report);
            };
            self.refresh().await?;
            let today = self.seams.clock.now().to_zoned(TimeZone::UTC).date();
            // Dates before the calendar begins: then nothing is old enough.
            let Ok(last) = today.checked_sub(i64::from(days).days()) else { return Ok(report) };
            for step in 0.. {
                if self.state.open.is_some() {
                    report.more = true;
                    break;
                }
                let Some(expire) = self.due_to_expire(days, last).await? else { break };
                if step >= steps || stop.is_cancelled() {
                    report.more = true;
                    break;
                }
                let rows: u64 = expire.files.iter().map(|file| file.rows).sum();
                let (files, quarantined) =
                    (expire.files.len() as u64, expire.quarantine.len() as u64);
                let date = expire.date;
                if self.append(&Body::Expire(expire)).await? == Won::Theirs {
                    report.more = true;
                    break;
                }
                match date {
                    Some(date) => tracing::info!(%date, files, rows, days, "expired"),
                    None => tracing::info!(objects = quarantined, days, "expired in quarantine"),
                }
                report.files += files;
                report.rows += rows;
                report.quarantined += quarantined;
            }
            Ok(report)
        })
    }

    /// The oldest files that nothing keeps, of days up to `last`.
    async fn due_to_expire(&mut self, days: u32, last: Date) -> Result<Option<Expire>, TableError> {
        if self.aged.holds != self.state.holds {
            self.aged = Aged { holds: self.state.holds.clone(), ..Aged::default() };
        }
        let dates: Vec<Date> = self.state.dates.range(..last).map(|(date, _)| *date).collect();
        for date in dates {
            let Some(of_date) = self.state.dates.get(&date).cloned() else { continue };
            let known = self.aged.committed.get(&date).filter(|(files, _)| *files == of_date);
            if known.is_some_and(|(_, at)| at.to_zoned(TimeZone::UTC).date() >= last) {
                continue;
            }
            let mut files = date_files(&self.store, &of_date).await?;
            let committed_at = self.newest_commit(&files).await?;
            if committed_at.to_zoned(TimeZone::UTC).date() >= last {
                self.aged.committed.insert(date, (of_date, committed_at));
                continue;
            }
            files.retain(|file| !self.state.is_held(file));
            files.sort_by(|one, other| one.path.cmp(&other.path));
            files.truncate(OBJECTS_MAX);
            if files.is_empty() {
                // All of them are held.
                self.aged.committed.insert(date, (of_date, Timestamp::MAX));
                continue;
            }
            let quarantine = Vec::new();
            return Ok(Some(Expire { date: Some(date), retention_days: days, files, quarantine }));
        }
        self.old_quarantine(days, last).await
    }

    /// When the newest of some files was committed, or its commit begun.
    async fn newest_commit(&self, files: &[DataFile]) -> Result<Timestamp, TableError> {
        let intents =
            files.iter().filter_map(|file| Layout::intent_of(&Path::from(file.path.as_str())));
        let Some(newest) = intents.max() else { return Ok(Timestamp::MAX) };
        let record = self.ledger.read(newest).await.map_err(TableError::Ledger)?;
        record.map(|record| record.at).ok_or_else(|| TableError::Contradiction {
            number: newest,
            what: "files are named by it, and it is not there".to_owned(),
        })
    }

    /// Objects of quarantine that were committed on days before `last`; looked for
    /// once a day. A hold of any kind keeps them all: nobody knows whose they are.
    async fn old_quarantine(
        &mut self,
        days: u32,
        last: Date,
    ) -> Result<Option<Expire>, TableError> {
        if self.aged.quarantine == Some(last) || !self.state.holds.is_empty() {
            return Ok(None);
        }
        let listed: Vec<(Path, u64)> = self
            .store
            .list(&self.layout.quarantine(), None)
            .try_collect()
            .await
            .map_err(TableError::Store)?;
        let old = listed.into_iter().map(|(path, _)| path).filter(|path| {
            Layout::quarantine_date(path).is_some_and(|date| date < last)
                && !self.state.is_unused(path.as_ref())
        });
        let quarantine: Vec<String> = old.take(OBJECTS_MAX).map(|path| path.to_string()).collect();
        if quarantine.is_empty() {
            self.aged.quarantine = Some(last);
            return Ok(None);
        }
        Ok(Some(Expire { date: None, retention_days: days, files: Vec::new(), quarantine }))
    }
}
