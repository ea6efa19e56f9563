//! What was read lately, and is asked for by several parts of a plan at once: read once.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OnceCell;

/// The last few things that were made, by what they were made of.
#[derive(Debug)]
pub(crate) struct Kept<K, T> {
    max: usize,
    cells: Mutex<VecDeque<(K, Arc<OnceCell<T>>)>>,
}

impl<K: PartialEq + Clone, T: Clone> Kept<K, T> {
    /// Nothing yet, and never more than `max` things.
    pub(crate) fn new(max: usize) -> Self {
        Self { max, cells: Mutex::default() }
    }

    /// What was made of `key`, or what `make` makes; whoever else asks meanwhile waits for
    /// it.
    ///
    /// # Errors
    /// As `make`; the next one to ask tries again.
    pub(crate) async fn get_or_make<E>(
        &self,
        key: &K,
        make: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        self.cell(key).get_or_try_init(|| make).await.cloned()
    }

    /// What was made of `key`, if that is still kept.
    pub(crate) fn get(&self, key: &K) -> Option<T> {
        let cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
        cells.iter().find(|(kept, _)| kept == key)?.1.get().cloned()
    }

    fn cell(&self, key: &K) -> Arc<OnceCell<T>> {
        let mut cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, cell)) = cells.iter().find(|(kept, _)| kept == key) {
            return Arc::clone(cell);
        }
        let cell = Arc::new(OnceCell::new());
        cells.push_front((key.clone(), Arc::clone(&cell)));
        cells.truncate(self.max);
        cell
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    #[tokio::test]
    async fn what_is_asked_for_twice_at_once_is_made_once_and_the_oldest_is_let_go() {
        let kept = Kept::new(2);
        let made = Mutex::new(Vec::new());
        let ask = |key: u8| {
            let (kept, made) = (&kept, &made);
            async move {
                let make = async {
                    tokio::task::yield_now().await;
                    made.lock().expect("a lock").push(key);
                    Ok::<_, Infallible>(key * 2)
                };
                kept.get_or_make(&key, make).await
            }
        };
        assert_eq!(tokio::join!(ask(1), ask(1), ask(2)), (Ok(2), Ok(2), Ok(4)));
        made.lock().expect("a lock").sort_unstable();
        assert_eq!(*made.lock().expect("a lock"), [1, 2]);
        assert_eq!((kept.get(&1), kept.get(&3)), (Some(2), None));
        assert_eq!((ask(3).await, ask(4).await, ask(1).await), (Ok(6), Ok(8), Ok(2)));
        assert_eq!(*made.lock().expect("a lock"), [1, 2, 3, 4, 1]);
    }

    #[tokio::test]
    async fn what_failed_is_tried_again() {
        let kept = Kept::new(1);
        assert_eq!(kept.get_or_make(&(), async { Err("no") }).await, Err("no"));
        assert_eq!(kept.get_or_make(&(), async { Ok::<_, &str>(7) }).await, Ok(7));
    }
}
