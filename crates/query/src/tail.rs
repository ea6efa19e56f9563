//! The journal's tail: the records after the table's position, as rows.
//!
//! Rows are made by the table's own rules, starting from the regions that the
//! table has seen, so a row looks here as it will look after the next pass; an
//! event that is a row already is left out, as that pass will do. The
//! tail is bounded: past its limit the answer ends at the record it reached.

use std::sync::Arc;

use arrow::array::{Date32Array, RecordBatch, StringBuilder};
use arrow::error::ArrowError;
use event::set_aside::is_continuation;
use identity::SpeaksFor;
use jiff::Timestamp;
use journal::{Delivered, Journal};
use seam::Blocking;
use table::partition::{Partition, Regions};
use table::row::{BATCH_ROWS_MAX, RowBuilder, RowSource};
use table::schema::fresh_schema;
use table::{Completeness, Losses, TableSnapshot};

use crate::coverage::SourceCoverage;
use crate::error::QueryError;
use crate::pruning::days;

/// The journal after the table's position, as far as it was read.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    /// Its rows, with account, region and date.
    pub(crate) batches: Vec<RecordBatch>,
    pub(crate) rows: u64,
    /// Units whose event another row holds.
    pub(crate) duplicates: u64,
    /// Units that are no events.
    pub(crate) rejected: u64,
    /// Units that are lost with their segments.
    pub(crate) lost: u64,
    /// Events that gap records declare lost.
    pub(crate) gaps: u64,
    /// The last record read.
    pub(crate) record: u64,
    pub(crate) committed_at: Option<Timestamp>,
    /// The journal goes on.
    pub(crate) truncated: bool,
    /// It may go on, and what follows cannot be believed.
    pub(crate) damaged: Option<String>,
    pub(crate) sources: Vec<SourceCoverage>,
    /// What statements of completeness rest on, at its end,
    pub(crate) completeness: Completeness,
    /// and the regions that accounts have shown.
    pub(crate) regions: Regions,
}

impl Tail {
    /// Reads the records after the table's position until there is none, or
    /// their lines have come to `limit_bytes`.
    pub(crate) async fn read(
        journal: &Journal,
        table: &TableSnapshot,
        limit_bytes: u64,
        blocking: Blocking,
    ) -> Result<Self, QueryError> {
        let position = table.position();
        let mut state = match journal.fold_to(position).await {
            Ok(state) => state,
            // The table's rows are there all the same.
            Err(error) if error.is_damage() => {
                let damaged = Some(sentence(&error));
                return Ok(Self {
                    record: position,
                    damaged,
                    completeness: table.state().completeness.clone(),
                    regions: table.regions().clone(),
                    ..Self::default()
                });
            }
            Err(error) => return Err(QueryError::Journal(error)),
        };
        let mut rows = Rows::new(table.regions().clone());
        let known = &table.state().completeness;
        let mut losses = Losses::default();
        let (mut truncated, mut damaged) = (false, None);
        loop {
            if rows.bytes >= limit_bytes {
                let mut beyond = state.clone();
                truncated = match journal.advance(&mut beyond).await {
                    Err(error) if !error.is_damage() => return Err(QueryError::Journal(error)),
                    _ => beyond.head > state.head,
                };
                break;
            }
            let delivered = match journal.read_next(&mut state).await {
                Ok(Some(delivered)) => delivered,
                Ok(None) => break,
                Err(error) if error.is_damage() => {
                    damaged = Some(sentence(&error));
                    break;
                }
                Err(error) => return Err(QueryError::Journal(error)),
            };
            losses.add_of(&delivered, &state, known);
            rows = blocking
                .run(move || {
                    rows.add(&delivered)?;
                    Ok::<_, ArrowError>(rows)
                })
                .await
                .map_err(|error| QueryError::Engine(Box::new(error.into())))?;
        }
        rows.finish_batch().map_err(|error| QueryError::Engine(Box::new(error.into())))?;
        let (batches, duplicates) = table
            .without_duplicates(journal, &state, blocking, std::mem::take(&mut rows.batches))
            .await
            .map_err(QueryError::Table)?;
        let sources = state.agents.iter().flat_map(|(key, agent)| {
            // What the sources had read is up to that head.
            let watermark = state.active(key).map_or(0, |(_, stream)| stream.watermark);
            let behind = agent.progress.head.saturating_sub(watermark);
            agent.progress.sources.iter().map(move |(source, progress)| SourceCoverage {
                account: key.account,
                agent: key.agent.clone(),
                source: source.clone(),
                caught_up_at: progress.caught_up_at,
                known_delay_secs: progress.known_delay_secs,
                behind,
            })
        });
        Ok(Self {
            sources: sources.collect(),
            completeness: known.with(&state, losses),
            regions: rows.regions,
            batches,
            rows: rows.rows - duplicates,
            duplicates,
            rejected: rows.rejected,
            lost: rows.lost,
            gaps: state.totals.lost,
            record: state.head,
            committed_at: state.committed_at,
            truncated,
            damaged,
        })
    }
}

/// An error and its causes, as one sentence.
fn sentence(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// Rows in the making.
struct Rows {
    builder: RowBuilder,
    regions: Regions,
    partitions: Vec<Partition>,
    batches: Vec<RecordBatch>,
    rows: u64,
    rejected: u64,
    lost: u64,
    bytes: u64,
}

impl Rows {
    fn new(regions: Regions) -> Self {
        Self {
            builder: RowBuilder::new(),
            regions,
            partitions: Vec::new(),
            batches: Vec::new(),
            rows: 0,
            rejected: 0,
            lost: 0,
            bytes: 0,
        }
    }

    fn add(&mut self, delivered: &Delivered) -> Result<(), ArrowError> {
        for batch in &delivered.batches {
            if batch.lost {
                self.lost += batch.units;
                continue;
            }
            let mut source = RowSource {
                agent_account: batch.origin.account,
                agent: batch.origin.agent.as_str(),
                speaks_for: match batch.origin.speaks_for {
                    SpeaksFor::Account(account) => Some(account),
                    SpeaksFor::Organization => None,
                },
                committed_at: delivered.committed_at,
                record: delivered.record,
                row: batch.first_row,
            };
            for line in
                batch.lines.strip_suffix(b"\n").unwrap_or(&batch.lines).split(|byte| *byte == b'\n')
            {
                self.add_line(line, &source)?;
                source.row += 1;
            }
            self.bytes += batch.lines.len() as u64;
        }
        Ok(())
    }

    fn add_line(&mut self, line: &[u8], source: &RowSource<'_>) -> Result<(), ArrowError> {
        match self.builder.push(line, source, &mut self.regions) {
            Ok(partition) => {
                self.partitions.push(partition);
                self.rows += 1;
                if self.builder.len() >= BATCH_ROWS_MAX {
                    self.finish_batch()?;
                }
            }
            Err(_) if is_continuation(line) => {}
            Err(_) => self.rejected += 1,
        }
        Ok(())
    }

    fn finish_batch(&mut self) -> Result<(), ArrowError> {
        if self.partitions.is_empty() {
            return Ok(());
        }
        let (mut accounts, mut regions) = (StringBuilder::new(), StringBuilder::new());
        for partition in &self.partitions {
            accounts.append_value(partition.account.to_string());
            regions.append_value(partition.region.as_str());
        }
        let dates: Date32Array =
            self.partitions.iter().map(|partition| days(partition.date)).collect();
        self.partitions.clear();
        let mut columns = self.builder.finish().columns().to_vec();
        columns.push(Arc::new(accounts.finish()));
        columns.push(Arc::new(regions.finish()));
        columns.push(Arc::new(dates));
        self.batches.push(RecordBatch::try_new(fresh_schema(), columns)?);
        Ok(())
    }
}
