//! What a process' tasks pass before each of their steps.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// Holds all tasks of a process at once, as SIGSTOP does, and lets them go on; in
/// production nobody closes it. Clones are the same gate.
///
/// A task that goes on believes that no time has passed: a request that it was
/// about to make is made then.
#[derive(Clone, Default)]
pub struct Gate(Arc<Mutex<Held>>);

#[derive(Default)]
struct Held {
    closed: bool,
    waiting: Vec<Waker>,
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").field("closed", &self.held().closed).finish_non_exhaustive()
    }
}

impl Gate {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `task`, which takes no step while the gate is closed.
    pub fn pass<T: 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> impl Future<Output = T> + Send + 'static {
        Gated { gate: self.clone(), task: Box::pin(task) }
    }

    /// Whoever passes it stands still from here on.
    pub fn close(&self) {
        self.held().closed = true;
    }

    /// All go on; says whether it was closed.
    pub fn open(&self) -> bool {
        let waiting = {
            let mut held = self.held();
            if !std::mem::take(&mut held.closed) {
                return false;
            }
            std::mem::take(&mut held.waiting)
        };
        waiting.into_iter().for_each(Waker::wake);
        true
    }
}

struct Gated<T> {
    gate: Gate,
    task: Pin<Box<dyn Future<Output = T> + Send>>,
}

impl<T> Future for Gated<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        {
            let mut held = self.gate.held();
            if held.closed {
                held.waiting.push(context.waker().clone());
                return Poll::Pending;
            }
        }
        self.task.as_mut().poll(context)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[tokio::test]
    async fn a_task_stands_still_while_its_gate_is_closed_and_loses_nothing() {
        let (gate, steps) = (Gate::default(), Arc::new(AtomicU64::new(0)));
        let counted = Arc::clone(&steps);
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(gate.pass(async move {
            for _ in 0..20 {
                counted.fetch_add(1, Ordering::Relaxed);
                tokio::task::yield_now().await;
            }
            "through"
        }));
        while steps.load(Ordering::Relaxed) < 3 {
            tokio::task::yield_now().await;
        }
        gate.close();
        tokio::task::yield_now().await;
        let stands = steps.load(Ordering::Relaxed);
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
        assert_eq!(steps.load(Ordering::Relaxed), stands);
        assert!(gate.open() && !gate.open());
        assert_eq!(tasks.join_next().await.expect("a task").expect("it ends"), "through");
        assert_eq!(steps.load(Ordering::Relaxed), 20);
    }
}
