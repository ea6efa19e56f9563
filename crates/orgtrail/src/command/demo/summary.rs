//! What a demo tells at its end.

use std::collections::BTreeSet;
use std::time::Instant;

use anyhow::{Context, ensure};
use futures::TryStreamExt;
use sample::Incident;
use serde::Serialize;
use store::Store;
use table::{Filter, TRAIL_DEFAULT, TableSnapshot};

use super::ground::Ground;
use crate::command::status::Status;

/// One demo's figures; `--json` prints them.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    /// Units that agents put into their spools.
    pub(super) events_read: u64,
    pub(super) journaled: u64,
    pub(super) rows: u64,
    pub(super) quarantined: u64,
    pub(super) duplicates: u64,
    pub(super) unselected: u64,
    pub(super) accounts: usize,
    pub(super) regions: usize,
    pub(super) files: u64,
    pub(super) bytes_parquet: u64,
    pub(super) seconds: f64,
    #[serde(skip)]
    closes: bool,
}

impl Summary {
    pub(super) async fn read(
        store: &Store,
        events_read: u64,
        began: Instant,
    ) -> anyhow::Result<Self> {
        let status = Status::read(store).await?;
        let snapshot = TableSnapshot::load(store, TRAIL_DEFAULT).await.context("read the table")?;
        let (mut accounts, mut regions) = (BTreeSet::new(), BTreeSet::new());
        let mut files = std::pin::pin!(snapshot.files(Filter::default()));
        while let Some(file) = files.try_next().await.context("read the table")? {
            if let Some(partition) = &file.partition {
                accounts.insert(partition.account);
                regions.insert(partition.region.clone());
            }
        }
        let seconds = (began.elapsed().as_secs_f64() * 1_000.0).round() / 1_000.0;
        Ok(Self {
            events_read,
            journaled: status.journal.journaled,
            rows: status.table.rows,
            quarantined: status.table.quarantined,
            duplicates: status.table.duplicates,
            unselected: status.table.unselected,
            accounts: accounts.len(),
            regions: regions.len(),
            files: status.table.files,
            bytes_parquet: status.table.bytes,
            seconds,
            closes: status.closes && status.table.waiting == 0,
        })
    }

    pub(super) fn json(&self) -> anyhow::Result<String> {
        serde_json::to_string(self).context("write JSON")
    }

    /// Whether every event read is somewhere, once.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        ensure!(
            self.closes && self.events_read == self.journaled,
            "the sum does not close: {} read, {} journaled, {} rows, {} quarantined",
            self.events_read,
            self.journaled,
            self.rows,
            self.quarantined
        );
        Ok(())
    }
}

/// Tells a person what there is now and how to ask more.
pub(super) async fn tell(
    summary: &Summary,
    _store: &Store,
    ground: &Ground,
    _incident: Option<&Incident>,
) -> anyhow::Result<()> {
    let text = format!(
        "{} events read = {} rows + {} quarantined; {} accounts, {} regions, {} files, {:.1} MB; {:.1} s\nstore: {}\n",
        summary.events_read,
        summary.rows,
        summary.quarantined,
        summary.accounts,
        summary.regions,
        summary.files,
        summary.bytes_parquet as f64 / 1e6,
        summary.seconds,
        ground.store_url(),
    );
    crate::output::print(&text)
}
