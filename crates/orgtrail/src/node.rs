//! A node: one aggregator, one table and the operations listener on one store.
//!
//! `serve` runs one until it is told to stop, `demo` runs one until its agents
//! are done. Stopping is starting in reverse: the aggregator drains, then the
//! table takes in what that committed and settles, then the listener closes.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aggregator::{Health, Metrics, Server};
use anyhow::Context;
use identity::Credentials;
use journal::{Journal, SWEEP_LAG_RECORDS};
use prometheus_client::registry::Registry;
use rustls::ServerConfig;
use seam::{Blocking, Clock, Entropy};
use store::Store;
use table::{SettleReason, Table, TableError};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::operations::Operations;

/// How often the table looks whether a pass is due.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// How long the table rests after a pass that failed.
const RETRY: Duration = Duration::from_secs(5);

/// How often the table looks for files that are worth merging.
const COMPACT_EVERY: Duration = Duration::from_secs(300);

/// How often segments that no record names are looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(3_600);

/// How often an ageing certificate is warned of.
const WARN_EVERY: Duration = Duration::from_secs(3_600);

/// What a node is made from.
pub(crate) struct Plan {
    pub(crate) store: Store,
    pub(crate) aggregator: aggregator::Config,
    pub(crate) journal: journal::Config,
    pub(crate) table: table::Config,
    pub(crate) credentials: Arc<Credentials<ServerConfig>>,
    /// Where operations are answered; nowhere for a demo.
    pub(crate) operations: Option<String>,
}

/// A node that listens and runs.
pub(crate) struct Node {
    /// Where agents connect.
    pub(crate) address: SocketAddr,
    /// Where operations are answered.
    pub(crate) operations: Option<SocketAddr>,
    aggregator: Task,
    table: Task,
    others: Task,
}

/// A task of a node and the way to stop it.
struct Task {
    tasks: JoinSet<anyhow::Result<()>>,
    stop: CancellationToken,
}

impl Task {
    fn spawn(
        stop: CancellationToken,
        run: impl Future<Output = anyhow::Result<()>> + Send + 'static,
    ) -> Self {
        let mut tasks = JoinSet::new();
        tasks.spawn(run);
        Self { tasks, stop }
    }

    async fn ended(&mut self) -> anyhow::Result<()> {
        match self.tasks.join_next().await {
            Some(Ok(result)) => result,
            Some(Err(error)) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Some(Err(_)) => Ok(()),
            None => std::future::pending().await,
        }
    }

    async fn finish(&mut self) -> anyhow::Result<()> {
        self.stop.cancel();
        let mut first = Ok(());
        while !self.tasks.is_empty() {
            first = first.and(self.ended().await);
        }
        first
    }
}

impl Node {
    /// Probes the store, reads the journal, and starts everything.
    pub(crate) async fn start(plan: Plan) -> anyhow::Result<Self> {
        let Plan { store, aggregator, journal, table, credentials, operations } = plan;
        let journal_days = journal.retention_days;
        let seams = (Clock::system(), Entropy::system(), Blocking::Pool);
        store.probe(&seams.1).await.context("probe the store")?;
        let journal = Journal::new(store.clone(), seams.0.clone(), seams.1.clone(), Blocking::Pool);
        let metrics = Metrics::default();
        let health = Health::default();
        let mut registry = Registry::default();
        metrics.register(&mut registry);

        let server = Server::start(
            aggregator,
            journal.clone(),
            Arc::clone(&credentials),
            seams.clone(),
            metrics,
            health.clone(),
        )
        .await?;
        let address = server.address().context("read the listener's address")?;
        let table_seams =
            table::Seams { clock: seams.0.clone(), entropy: seams.1, blocking: Blocking::Pool };
        let swept = journal.clone();
        let pass_age = Duration::from_secs(u64::from(table.pass_age_secs));
        let pass_bytes = table.limits.pass_bytes;
        let table = Table::open(store, journal, table::TRAIL_DEFAULT, table_seams, table).await?;
        let gauges = TableGauges::register(&mut registry);
        let gauges_swept = Counter::default();
        registry.register(
            "orgtrail_journal_swept",
            "Segments deleted that no record names",
            gauges_swept.clone(),
        );

        let stop = CancellationToken::new();
        let serving = server.run(stop.clone());
        let aggregator = Task::spawn(stop, async move { serving.await.context("aggregate") });
        let stop = CancellationToken::new();
        let keeper =
            Keeper { table, health: health.clone(), journal_days, pass_age, pass_bytes, gauges };
        let table = Task::spawn(stop.clone(), keeper.run(stop));
        let stop = CancellationToken::new();
        let mut others = Task::spawn(stop.clone(), warn(credentials, seams.0, stop.clone()));
        others.tasks.spawn(sweep(swept, gauges_swept, stop.clone()));
        let mut operations_address = None;
        if let Some(listen) = operations {
            let operations =
                Operations::bind(&listen, health, Arc::new(Mutex::new(registry))).await?;
            operations_address = Some(operations.address()?);
            others.tasks.spawn(operations.run(stop));
        }
        Ok(Self { address, operations: operations_address, aggregator, table, others })
    }

    /// Waits until a part of it ends by itself, which is a failure.
    pub(crate) async fn failed(&mut self) -> anyhow::Result<()> {
        tokio::select! {
            biased;
            ended = self.aggregator.ended() => ended,
            ended = self.table.ended() => ended,
            ended = self.others.ended() => ended,
        }
    }

    /// Drains: sessions, commits, the table's last pass, settling.
    pub(crate) async fn drain(mut self) -> anyhow::Result<()> {
        let aggregated = self.aggregator.finish().await;
        let kept = self.table.finish().await;
        let others = self.others.finish().await;
        aggregated.and(kept).and(others)
    }
}

/// Keeps the table up with the journal.
struct Keeper {
    table: Table,
    health: Health,
    /// For how many days the journal keeps events.
    journal_days: Option<NonZeroU32>,
    pass_age: Duration,
    pass_bytes: u64,
    gauges: TableGauges,
}

impl Keeper {
    /// Runs passes and settling until `stop`, then a last pass and settling.
    async fn run(mut self, stop: CancellationToken) -> anyhow::Result<()> {
        let mut last_pass = Instant::now();
        let mut last_compaction = Instant::now();
        let mut taken_bytes = 0;
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            let (head, bytes) = self.health.journal();
            let waits = head > self.table.state().position;
            let due = last_pass.elapsed() >= self.pass_age
                || bytes.saturating_sub(taken_bytes) >= self.pass_bytes;
            if !(waits && due) {
                if last_compaction.elapsed() >= COMPACT_EVERY && !self.compact(&stop).await {
                    last_compaction = Instant::now();
                }
                continue;
            }
            let taken = self.pass(&stop).await;
            match taken {
                Ok(Some(line_bytes)) => taken_bytes = (taken_bytes + line_bytes).min(bytes),
                Ok(None) => {
                    taken_bytes = bytes;
                    last_pass = Instant::now();
                }
                // Ingest goes on; what waits is in the journal.
                Err(error) => {
                    report(&error);
                    if !error.is_retryable() {
                        self.gauges.stopped.set(1);
                        stop.cancelled().await;
                        return Ok(());
                    }
                    rest(&stop, RETRY).await;
                }
            }
        }
        self.finish().await;
        Ok(())
    }

    /// One pass, and settling if that is worth it; if more waits, the bytes of lines that
    /// it took.
    async fn pass(&mut self, stop: &CancellationToken) -> Result<Option<u64>, TableError> {
        let report = self.table.pass(stop).await?;
        if let Some(reason) = self.table.should_settle() {
            self.table.settle(reason).await?;
        }
        self.gauges.set(&self.table);
        self.publish().await;
        Ok(report.filter(|report| report.more).map(|report| report.line_bytes))
    }

    /// Names the table's files for other engines. What fails is done next time.
    async fn publish(&mut self) {
        if let Err(error) = self.table.publish().await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "could not publish Iceberg metadata"
            );
        }
    }

    /// One step of compaction, or else of indexing, of copying a day or of expiry, at
    /// last of the journal's, so that passes go between; true if more waits.
    async fn compact(&mut self, stop: &CancellationToken) -> bool {
        let step = async {
            let compacted = self.table.compact(1, stop).await?;
            Ok(compacted.more
                || self.table.index(1, stop).await?.more
                || self.table.copy_days(1, stop).await?.more
                || self.table.expire(1, stop).await?.more
                || self.table.expire_journal(self.journal_days, stop).await?.more)
        };
        match step.await {
            Ok(more) => {
                self.gauges.set(&self.table);
                self.publish().await;
                more
            }
            Err(error) => {
                report(&error);
                false
            }
        }
    }

    /// The last pass and settling at drain. What fails stays for the next start.
    async fn finish(&mut self) {
        let never = CancellationToken::new();
        loop {
            match self.table.pass(&never).await {
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(error) => return report(&error),
            }
        }
        if let Err(error) = self.table.settle(SettleReason::Drain).await {
            report(&error);
        }
        self.publish().await;
    }
}

fn report(error: &TableError) {
    tracing::error!(
        error = error as &dyn std::error::Error,
        "a table pass failed; events are safe in the journal"
    );
}

async fn rest(stop: &CancellationToken, time: Duration) {
    tokio::select! {
        biased;
        () = stop.cancelled() => {}
        () = tokio::time::sleep(time) => {}
    }
}

/// Deletes segments that no record names, now and then. Any number of nodes may.
async fn sweep(journal: Journal, deleted: Counter, stop: CancellationToken) -> anyhow::Result<()> {
    let mut pause = SWEEP_EVERY;
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(pause) => {}
        }
        let swept = async {
            let mut state = journal.fold().await?;
            journal.sweep(&mut state, SWEEP_LAG_RECORDS).await
        };
        pause = match swept.await {
            Ok(swept) => {
                deleted.inc_by(swept.deleted);
                if swept.more { RETRY } else { SWEEP_EVERY }
            }
            // Orphans cost space and nothing else; the committer reports the store.
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "could not sweep");
                SWEEP_EVERY
            }
        };
    }
}

/// Warns of the aggregator's own ageing certificate.
async fn warn(
    credentials: Arc<Credentials<ServerConfig>>,
    clock: Clock,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    use identity::Validity;
    loop {
        match credentials.validity(clock.now()) {
            Validity::Good => {}
            Validity::LastThird { until } => {
                tracing::warn!(%until, "the certificate is in the last third of its time; issue a new one");
            }
            Validity::Expired { since } => {
                tracing::error!(%since, "the certificate has expired; every agent refuses it");
            }
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(WARN_EVERY) => {}
        }
    }
}

/// What is shown of the table under `orgtrail_table_…`.
#[derive(Clone, Debug, Default)]
struct TableGauges {
    position: Gauge,
    rows: Gauge,
    quarantined: Gauge,
    files: Gauge,
    fresh_files: Gauge,
    damaged_segments: Gauge,
    stopped: Gauge,
}

type Counter = prometheus_client::metrics::counter::Counter;
type Gauge = prometheus_client::metrics::gauge::Gauge;

impl TableGauges {
    fn register(registry: &mut Registry) -> Self {
        let gauges = Self::default();
        let registry = registry.sub_registry_with_prefix("orgtrail_table");
        registry.register("position", "Last journal record in the table", gauges.position.clone());
        registry.register("rows", "Rows in committed files", gauges.rows.clone());
        registry.register("quarantined", "Units in quarantine", gauges.quarantined.clone());
        registry.register("files", "Committed data files", gauges.files.clone());
        registry.register("fresh_files", "Files not yet settled", gauges.fresh_files.clone());
        registry.register(
            "damaged_segments",
            "Segments of the journal of which units are lost",
            gauges.damaged_segments.clone(),
        );
        registry.register(
            "stopped",
            "1 once passes have stopped until a person acts; events are safe in the journal",
            gauges.stopped.clone(),
        );
        gauges
    }

    fn set(&self, table: &Table) {
        let state = table.state();
        let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        self.position.set(number(state.position));
        self.rows.set(number(state.totals.counts.rows));
        self.quarantined.set(number(state.totals.counts.quarantined));
        self.files.set(number(state.totals.files));
        self.fresh_files.set(number(state.fresh.len() as u64));
        self.damaged_segments.set(number(state.totals.damage.segments));
    }
}
