//! What questions may use: memory, time, disk, and turns.
//!
//! A question takes a turn before it reads anything and gives it back when its
//! [`Answer`](crate::Answer) is dropped; with it everything that it started stops.

use std::future::Future;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use datafusion::physical_plan::ExecutionPlan;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::error::QueryError;
use crate::view::View;

/// Memory that one engine's questions may use together.
pub const MEMORY_BYTES: usize = 1 << 30;
/// Disk that they may use together for what does not fit.
pub const SPILL_BYTES: u64 = 16 << 30;
/// Time that one question may take.
pub const TIME_MAX: Duration = Duration::from_secs(3_600);
/// Questions that are answered at once; others wait their turn.
pub const QUESTIONS_MAX: usize = 8;

/// What questions may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Memory of all together; past it they spill or fail.
    pub memory_bytes: usize,
    /// Disk of all together, for what does not fit in memory.
    pub spill_bytes: u64,
    /// Time of each; none means as long as it takes.
    pub time: Option<Duration>,
    /// Questions answered at once.
    pub questions_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes: MEMORY_BYTES,
            spill_bytes: SPILL_BYTES,
            time: Some(TIME_MAX),
            questions_max: QUESTIONS_MAX,
        }
    }
}

/// What was read so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scanned {
    /// Rows that came out of files and the journal's tail.
    pub rows: u64,
    /// Bytes read from files.
    pub bytes: u64,
}

/// The questions under way.
#[derive(Debug)]
pub(crate) struct Running {
    limits: Limits,
    turns: Arc<Semaphore>,
    scans: Mutex<Vec<Weak<Scan>>>,
}

impl Running {
    pub(crate) fn new(limits: Limits) -> Self {
        let turns = Arc::new(Semaphore::new(limits.questions_max.max(1)));
        Self { limits, turns, scans: Mutex::default() }
    }

    /// Waits for a turn; the time spent so counts.
    pub(crate) async fn begin(&self, view: &Arc<View>) -> Result<Turn, QueryError> {
        let deadline = self.limits.time.and_then(|time| Instant::now().checked_add(time));
        let limit = self.limits.time.unwrap_or_default();
        let memory_bytes = self.limits.memory_bytes;
        let permit = in_time(deadline, limit, Arc::clone(&self.turns).acquire_owned()).await?;
        let permit = permit.expect("nobody closes it");
        let scan = Arc::new(Scan { view: Arc::clone(view), plan: OnceLock::new() });
        let mut scans = self.scans.lock().unwrap_or_else(PoisonError::into_inner);
        scans.retain(|scan| scan.strong_count() > 0);
        scans.push(Arc::downgrade(&scan));
        Ok(Turn { _permit: permit, scan, deadline, limit, memory_bytes })
    }

    pub(crate) fn scanned(&self) -> Scanned {
        let scans = self.scans.lock().unwrap_or_else(PoisonError::into_inner);
        let each = scans.iter().filter_map(Weak::upgrade).map(|scan| scan.scanned());
        each.fold(Scanned::default(), |sum, one| Scanned {
            rows: sum.rows + one.rows,
            bytes: sum.bytes + one.bytes,
        })
    }
}

/// What one question reads.
#[derive(Debug)]
struct Scan {
    view: Arc<View>,
    plan: OnceLock<Arc<dyn ExecutionPlan>>,
}

impl Scan {
    fn scanned(&self) -> Scanned {
        let rows = self.plan.get().map_or(0, leaf_rows);
        Scanned { rows, bytes: self.view.store.reads().bytes() }
    }
}

fn leaf_rows(plan: &Arc<dyn ExecutionPlan>) -> u64 {
    let inputs = plan.children();
    if inputs.is_empty() {
        let metrics = plan.metrics().and_then(|metrics| metrics.output_rows());
        return metrics.map_or(0, |rows| rows as u64);
    }
    inputs.into_iter().map(leaf_rows).sum()
}

/// The right to be answered, for as long as it is held.
#[derive(Debug)]
pub(crate) struct Turn {
    _permit: OwnedSemaphorePermit,
    scan: Arc<Scan>,
    deadline: Option<Instant>,
    limit: Duration,
    pub(crate) memory_bytes: usize,
}

impl Turn {
    /// Remembers the plan, whose progress is asked for.
    pub(crate) fn runs(&self, plan: Arc<dyn ExecutionPlan>) {
        drop(self.scan.plan.set(plan));
    }

    /// What `work` gives, unless the question's time is over.
    pub(crate) async fn in_time<T>(&self, work: impl Future<Output = T>) -> Result<T, QueryError> {
        in_time(self.deadline, self.limit, work).await
    }
}

async fn in_time<T>(
    deadline: Option<Instant>,
    limit: Duration,
    work: impl Future<Output = T>,
) -> Result<T, QueryError> {
    match deadline {
        Some(deadline) => tokio::time::timeout_at(deadline, work)
            .await
            .map_err(|_| QueryError::TimedOut { limit_secs: limit.as_secs() }),
        None => Ok(work.await),
    }
}
