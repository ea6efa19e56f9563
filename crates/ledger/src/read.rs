//! Reading: one record, the next one, or all that follow.
//!
//! A record that does not look like one is read again before it is called
//! damaged: an answer that was cut short looks the same once, and only once.

use std::fmt;
use std::time::Duration;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream, FuturesOrdered};
use object_store::path::Path;
use seam::Guards;
use store::Store;

use crate::error::LedgerError;
use crate::layout;
use crate::record::{Head, Record};

/// The pauses before a record that cannot be believed is read again.
const AGAIN: [Duration; 2] = [Duration::from_millis(100), Duration::from_millis(500)];

/// The ledger under one prefix of a store.
#[derive(Clone)]
pub struct Ledger {
    pub(crate) store: Store,
    pub(crate) guards: Guards,
    prefix: Path,
}

impl Ledger {
    /// The ledger in `prefix`. It exists as soon as it has a record.
    #[must_use]
    pub fn new(store: Store, prefix: Path) -> Self {
        Self { store, guards: Guards::default(), prefix }
    }

    /// The same under these guards.
    #[must_use]
    pub fn guarded_by(self, guards: Guards) -> Self {
        Self { guards, ..self }
    }

    /// Record `number`, if it is there. Its chain is not checked.
    ///
    /// # Errors
    /// If the store does not answer, or the object is no such record.
    pub fn read(&self, number: u64) -> BoxFuture<'_, Result<Option<Record>, LedgerError>> {
        Box::pin(async move {
            let mut pauses = AGAIN.into_iter();
            loop {
                let path = self.path(number);
                let bytes = self.store.get_small(&path).await.map_err(LedgerError::Store)?;
                match bytes.map(|bytes| Record::read(path, number, bytes)).transpose() {
                    Err(damaged @ LedgerError::Damaged { .. }) => match pauses.next() {
                        Some(pause) => tokio::time::sleep(pause).await,
                        None => return Err(damaged),
                    },
                    read => return read,
                }
            }
        })
    }

    /// The record after `head`, if it is there, known to follow it.
    ///
    /// # Errors
    /// As [`Ledger::read`], and [`LedgerError::Broken`] if it names another
    /// record than `head` as the one before.
    pub fn next<'a>(
        &'a self,
        head: &'a Head,
    ) -> BoxFuture<'a, Result<Option<Record>, LedgerError>> {
        Box::pin(async move {
            let record = self.read(head.number + 1).await?;
            record.map(|record| record.following(head)).transpose()
        })
    }

    /// The records after `head` up to number `last` in order, each known to follow
    /// the one before, until the first that is absent or cannot be believed (its
    /// error is last).
    ///
    /// Up to `concurrency` records are asked for at once, beginning with one, so
    /// that a reader who is up to date makes one request, and one who is far
    /// behind does not wait for each answer.
    pub fn read_from(
        &self,
        head: Head,
        last: u64,
        concurrency: usize,
    ) -> BoxStream<'static, Result<Record, LedgerError>> {
        let window_max = concurrency.max(1);
        let walk = Walk { ledger: self.clone(), head, window: 1, asked: head.number };
        let asked = FuturesOrdered::new();
        stream::unfold(Some((walk, asked)), move |state| async move {
            let (mut walk, mut asked) = state?;
            while asked.len() < walk.window && walk.asked < last {
                walk.asked += 1;
                let (ledger, number) = (walk.ledger.clone(), walk.asked);
                asked.push_back(async move { ledger.read(number).await });
            }
            let record = asked.next().await?.transpose()?;
            match record.and_then(|record| record.following(&walk.head)) {
                Ok(record) => {
                    walk.head = record.head();
                    walk.window = (walk.window * 2).min(window_max);
                    Some((Ok(record), Some((walk, asked))))
                }
                Err(error) => Some((Err(error), None)),
            }
        })
        .boxed()
    }

    pub(crate) fn path(&self, number: u64) -> Path {
        layout::record(&self.prefix, number)
    }
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ledger({}/{})", self.store.url(), self.prefix)
    }
}

struct Walk {
    ledger: Ledger,
    head: Head,
    window: usize,
    asked: u64,
}
