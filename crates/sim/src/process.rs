//! A process: tasks that die together, and that can be paused together.
//!
//! A paused process does nothing at all; when it goes on, it believes that no
//! time has passed, and a request that it was about to make is made then.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::task::JoinSet;

/// Tasks that die together. Dropping it kills it.
#[derive(Clone, Default)]
pub(crate) struct Process(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    tasks: JoinSet<()>,
    paused: bool,
    waiting: Vec<Waker>,
}

impl Process {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let gated = Gated { process: Arc::downgrade(&self.0), task: Box::pin(task) };
        let mut state = self.state();
        while state.tasks.try_join_next().is_some() {}
        state.tasks.spawn(gated);
    }

    /// Whether a task of it has panicked.
    pub(crate) fn panicked(&self) -> bool {
        let mut state = self.state();
        let mut panicked = false;
        while let Some(ended) = state.tasks.try_join_next() {
            panicked |= ended.is_err_and(|error| error.is_panic());
        }
        panicked
    }

    pub(crate) fn kill(&self) {
        let mut state = self.state();
        state.paused = false;
        state.tasks.abort_all();
    }

    pub(crate) fn pause(&self) {
        self.state().paused = true;
    }

    /// Goes on; says whether it was paused.
    pub(crate) fn resume(&self) -> bool {
        let waiting = {
            let mut state = self.state();
            if !std::mem::take(&mut state.paused) {
                return false;
            }
            std::mem::take(&mut state.waiting)
        };
        waiting.into_iter().for_each(Waker::wake);
        true
    }
}

struct Gated {
    process: std::sync::Weak<Mutex<State>>,
    task: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Future for Gated {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if let Some(process) = self.process.upgrade() {
            let mut state = process.lock().unwrap_or_else(PoisonError::into_inner);
            if state.paused {
                state.waiting.push(context.waker().clone());
                return Poll::Pending;
            }
        }
        self.task.as_mut().poll(context)
    }
}
