//! Whether this aggregator can do its work now, for `/readyz`.

use std::fmt::Display;
use std::sync::{Arc, Mutex, PoisonError};

/// What the aggregator last learnt of itself.
#[derive(Clone, Debug, Default)]
pub struct Health(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    head: Option<u64>,
    inflated_bytes: u64,
    trouble: Option<String>,
    fatal: bool,
    draining: bool,
}

impl Health {
    /// Why no agent should be sent here now; `Ok` with the journal's head otherwise.
    ///
    /// # Errors
    /// A sentence for a person.
    pub fn ready(&self) -> Result<u64, String> {
        let inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.draining {
            return Err("draining".to_owned());
        }
        match (&inner.trouble, inner.head) {
            (Some(trouble), _) => Err(trouble.clone()),
            (None, None) => Err("the journal was not read yet".to_owned()),
            (None, Some(head)) => Ok(head),
        }
    }

    /// The journal's head and the inflated bytes of all lines up to there, as
    /// far as this aggregator has seen it.
    #[must_use]
    pub fn journal(&self) -> (u64, u64) {
        let inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (inner.head.unwrap_or(0), inner.inflated_bytes)
    }

    /// From now on nobody should come here.
    pub fn draining(&self) {
        self.change(|inner| inner.draining = true);
    }

    pub(crate) fn store_answered(&self, head: u64, inflated_bytes: u64) {
        self.change(|inner| {
            inner.head = Some(head);
            inner.inflated_bytes = inflated_bytes;
            if !inner.fatal {
                inner.trouble = None;
            }
        });
    }

    pub(crate) fn store_failed(&self, error: &(dyn Display + Send + Sync)) {
        let text = format!("the store does not answer: {error}");
        self.change(|inner| {
            inner.trouble.get_or_insert(text);
        });
    }

    pub(crate) fn failed(&self, error: &(dyn Display + Send + Sync)) {
        let text = error.to_string();
        self.change(|inner| {
            inner.trouble = Some(text);
            inner.fatal = true;
        });
    }

    fn change(&self, change: impl FnOnce(&mut Inner)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
