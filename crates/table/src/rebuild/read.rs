//! The journal, read again as the passes read it, as rows sorted by day.

use futures::TryStreamExt;
use integrity::sha256;
use journal::State as JournalState;
use ledger::Head;
use store::StoreError;
use tokio_util::sync::CancellationToken;

use super::{RebuildProgress, RebuildReport, Step, Tell};
use crate::duplicates::Asker;
use crate::error::TableError;
use crate::files::encode_by_day;
use crate::gather::{Gathered, Placed, pin};
use crate::log::{Body, DataFile, PassIntent, RebuildStep};
use crate::partition::Regions;
use crate::pass::KEYS_SINCE;
use crate::table::Table;

/// Records of the table's log asked for at once.
const READ_AHEAD: usize = 32;

impl Table {
    /// Reads on until the end of the rebuild's range.
    pub(super) async fn read_again(
        &mut self,
        number: u64,
        report: &mut RebuildReport,
        stop: &CancellationToken,
        tell: Tell<'_>,
    ) -> Result<Step, TableError> {
        let Some(rebuild) = self.state.rebuild.clone() else { return Ok(Step::Moved) };
        let mut reader = self.journal.fold_to(rebuild.read).await?;
        let mut known = rebuild.regions.clone();
        let mut regions = known.clone();
        let mut log = self.ledger.read_from(Head::EMPTY, u64::MAX, READ_AHEAD);
        let (mut passes, mut bytes): (Vec<Placed>, u64) = (Vec::new(), 0);
        while reader.head < rebuild.to {
            let record = log.try_next().await.map_err(TableError::Ledger)?;
            let record = record.ok_or_else(|| TableError::Contradiction {
                number,
                what: format!("no pass has read journal record {}", rebuild.to),
            })?;
            let intent = match record.body::<Body>().map_err(TableError::Ledger)? {
                Body::PassIntent(intent) if intent.to > reader.head => intent,
                _ => continue,
            };
            let shown = regions.clone();
            let pass = self.gather_again(&intent, &mut reader, regions, report).await?;
            bytes += pass.line_bytes;
            regions = pass.regions;
            if intent.from <= self.state.journal_expired {
                // What its expired rows have shown is in the record that follows.
                let commit = log.try_next().await.map_err(TableError::Ledger)?;
                let commit = commit.map(|record| record.body().map_err(TableError::Ledger));
                if let Some(Body::PassCommit(commit)) = commit.transpose()? {
                    regions = shown;
                    regions.absorb(&commit.regions);
                }
            }
            passes.push(pass.placed);
            if bytes < self.config.limits.pass_bytes && reader.head < rebuild.to {
                continue;
            }
            let added = regions.since(&known);
            known = regions.clone();
            let records = reader.head - self.read_so_far();
            let rows: u64 = passes.iter().map(Placed::rows).sum();
            bytes = 0;
            if !self.put_rows(number, std::mem::take(&mut passes), reader.head, added).await? {
                return Ok(Step::Moved);
            }
            report.records += records;
            report.read_rows += rows;
            tell(RebuildProgress::Read { record: reader.head, to: rebuild.to });
            if stop.is_cancelled() {
                return Ok(Step::Stopped);
            }
        }
        Ok(Step::Done)
    }

    fn read_so_far(&self) -> u64 {
        self.state.rebuild.as_ref().map_or(0, |rebuild| rebuild.read)
    }

    /// The rows that a pass made, from what its intent pins.
    async fn gather_again(
        &mut self,
        intent: &PassIntent,
        reader: &mut JournalState,
        regions: Regions,
        report: &mut RebuildReport,
    ) -> Result<Gathered, TableError> {
        let mut rows = Gathered::new(regions);
        while reader.head < intent.to {
            let next = self.journal.read_next(reader).await?;
            let mut delivered = next.ok_or_else(|| TableError::Contradiction {
                number: self.state.head,
                what: format!("the journal ends before record {}", intent.to),
            })?;
            // What was lost since then is no row again, and its partition is left alone.
            if let Err(damage) = pin(&mut delivered, &intent.damaged) {
                let lost = delivered.batches.iter().filter(|batch| batch.lost);
                let units: u64 = lost.map(|batch| batch.units).sum();
                if damage.expired {
                    report.journal_expired += units;
                } else {
                    report.lost_units += units;
                    tracing::warn!(record = delivered.record, segment = %damage.path, "{}", damage.what);
                }
            }
            rows = self.seams.blocking.run(move || rows.add(&delivered).map(|()| rows)).await?;
        }
        rows.finish()?;
        if intent.row_format >= KEYS_SINCE {
            let asker = Asker::Rebuild(intent.from, intent.to);
            self.leave_out_duplicates(&mut rows, reader, asker).await?;
        }
        Ok(rows)
    }

    /// Puts the rows of some passes, and says that they are there. False if another
    /// process has come further.
    async fn put_rows(
        &mut self,
        number: u64,
        passes: Vec<Placed>,
        to: u64,
        regions: Regions,
    ) -> Result<bool, TableError> {
        let encoded = self.seams.blocking.run(move || encode_by_day(&passes)).await?;
        let mut file = None;
        if let Some(encoded) = encoded {
            let path = self.layout.rebuild_rows(number, to, sha256(&encoded.bytes));
            file = Some(DataFile::of(&path, None, &encoded));
            let put = self.store.ensure(&path, encoded.bytes).await;
            put.map_err(|error| TableError::Store(StoreError::from(error)))?;
        }
        let read = Body::Rebuild(RebuildStep::Read { to, file, regions });
        Ok(self.append_while(number, &read, &[]).await?.is_some())
    }

    /// Makes rows of the first lines that the journal has and forgets them; says how
    /// many units they were, and how many had expired before them.
    pub(super) async fn read_sample(&self, bytes: u64) -> Result<(u64, u64), TableError> {
        let mut reader = self.journal.fold_to(self.state.journal_expired).await?;
        let expired = reader.totals.journaled;
        let mut rows = Gathered::new(Regions::default());
        while rows.line_bytes < bytes && reader.head < self.state.position {
            let Some(delivered) = self.journal.read_next(&mut reader).await? else { break };
            rows = self.seams.blocking.run(move || rows.add(&delivered).map(|()| rows)).await?;
        }
        Ok((reader.totals.journaled - expired, expired))
    }
}
