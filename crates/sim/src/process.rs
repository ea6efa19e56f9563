//! A process: tasks that die together, and that can be paused together.
//!
//! A paused process does nothing at all; when it goes on, it believes that no
//! time has passed, and a request that it was about to make is made then.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use seam::Gate;
use tokio::task::JoinSet;

/// Tasks that die together. Dropping it kills it.
#[derive(Clone, Default)]
pub(crate) struct Process {
    tasks: Arc<Mutex<JoinSet<()>>>,
    gate: Gate,
}

impl Process {
    fn tasks(&self) -> MutexGuard<'_, JoinSet<()>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.tasks();
        while tasks.try_join_next().is_some() {}
        tasks.spawn(self.gate.pass(task));
    }

    /// Whether a task of it has panicked.
    pub(crate) fn panicked(&self) -> bool {
        let mut tasks = self.tasks();
        let mut panicked = false;
        while let Some(ended) = tasks.try_join_next() {
            panicked |= ended.is_err_and(|error| error.is_panic());
        }
        panicked
    }

    pub(crate) fn kill(&self) {
        self.tasks().abort_all();
    }

    pub(crate) fn pause(&self) {
        self.gate.close();
    }

    /// Goes on; says whether it was paused.
    pub(crate) fn resume(&self) -> bool {
        self.gate.open()
    }
}
