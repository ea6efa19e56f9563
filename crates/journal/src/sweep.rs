//! Deleting segments that no record names: those of attempts whose outcome was
//! unknown, or that lost their number to another writer.
//!
//! No clock says that such an object is dead, since a paused writer may still
//! name it. A record does: folding a sweep makes every name from before a given
//! record unusable, so a writer that wakes up behind it finds its record invalid
//! and uploads again. Only then are the named objects deleted, by whoever comes
//! first; they are named, so a process that dies leaves the rest to the next one.
//!
//! Sweeping needs no lease: it is one more writer that races for record n+1, and
//! it looks at what won before it tries again.

use std::collections::{BTreeSet, HashSet};
use std::hash::{BuildHasher, RandomState};

use futures::future::BoxFuture;
use futures::{StreamExt, TryStreamExt, stream};
use jiff::SignedDuration;
use object_store::path::Path;

use crate::commit::Committed;
use crate::error::JournalError;
use crate::layout;
use crate::read::Journal;
use crate::record::{Body, Sweep};
use crate::state::State;

/// From so many of the last records names stay usable, where nobody says otherwise.
pub const SWEEP_LAG_RECORDS: u64 = 1_024;

/// Objects that one sweep names at most; the next one takes the others.
const OBJECTS_MAX: usize = 1_000;

/// A search that found nothing is recorded when it has come this far, so that
/// the next one need not begin where it did.
const SEARCHED_RECORDS: u64 = 8_192;

/// A listing begins so long before the first record that it is about, since the
/// folders are by day. Only space depends on it.
const CLOCKS_DIFFER_MAX: SignedDuration = SignedDuration::from_hours(48);

/// Records asked for at once.
const READ_AHEAD: usize = 16;

/// Times that one call tries to win a number.
const ATTEMPTS_MAX: u32 = 16;

/// What a call of [`Journal::sweep`] has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Objects deleted, or found deleted, by this call.
    pub deleted: u64,
    /// Whether more may be found.
    pub more: bool,
}

/// The names that records use, as hashes: two that fall together keep an orphan.
struct Used {
    hasher: RandomState,
    names: HashSet<u64>,
}

impl Used {
    fn add(&mut self, body: &Body) {
        if let Some(segment) = &body.segment {
            self.names.insert(self.hasher.hash_one(segment.path.as_str()));
        }
    }

    fn has(&self, path: &str) -> bool {
        self.names.contains(&self.hasher.hash_one(path))
    }
}

impl Journal {
    /// Ends the last sweep, and begins another if there are orphans. `state` is
    /// read to the journal's end by it. Names from `lag_records` of the last records
    /// stay usable, which only spares writers that are a little behind a second
    /// upload.
    ///
    /// # Errors
    /// If the store does not answer. Nothing is lost then, and calling again goes on.
    pub fn sweep<'a>(
        &'a self,
        state: &'a mut State,
        lag_records: u64,
    ) -> BoxFuture<'a, Result<Swept, JournalError>> {
        Box::pin(async move {
            self.advance(state).await?;
            let mut swept = Swept::default();
            if state.swept.record > 0 {
                let last = self.body(state.swept.record).await?;
                swept.deleted += self.delete(&last.sweep.unwrap_or_default()).await?;
            }
            let (floor, before) = (state.swept.searched, state.head.saturating_sub(lag_records));
            if before <= floor {
                return Ok(swept);
            }
            let mut used = Used { hasher: RandomState::new(), names: HashSet::new() };
            let mut bodies = stream::iter(floor + 1..=state.head)
                .map(|number| self.body(number))
                .buffered(READ_AHEAD);
            while let Some(body) = bodies.try_next().await? {
                used.add(&body);
            }
            drop(bodies);
            let (objects, more) = self.orphans(floor..before, &used).await?;
            if objects.is_empty() && before - floor < SEARCHED_RECORDS {
                return Ok(swept);
            }
            let searched = if more { floor } else { before };
            let mut sweep = Sweep { before, searched, objects };
            for _ in 0..ATTEMPTS_MAX {
                let body = Body { sweep: Some(sweep.clone()), ..Body::default() };
                if state.check(&body).is_err() {
                    // Another process has swept meanwhile.
                    return Ok(Swept { more: true, ..swept });
                }
                match self.commit(state, &body).await? {
                    Committed::Ours(number) => {
                        tracing::info!(
                            number,
                            objects = sweep.objects.len(),
                            "swept segments that no record names"
                        );
                        swept.deleted += self.delete(&sweep).await?;
                        return Ok(Swept { more, ..swept });
                    }
                    Committed::Theirs(number) => {
                        let theirs = self.body(number).await?;
                        if let Some(segment) = &theirs.segment {
                            sweep.objects.remove(&segment.path);
                        }
                    }
                }
            }
            Ok(Swept { more: true, ..swept })
        })
    }

    /// Objects made after a record of `window` that no record uses, and whether
    /// there are more than one sweep names.
    async fn orphans(
        &self,
        window: std::ops::Range<u64>,
        used: &Used,
    ) -> Result<(BTreeSet<String>, bool), JournalError> {
        // Where clocks went wrong, an orphan from before this day is kept.
        let first = match window.start {
            0 => None,
            floor => self.ledger.read(floor).await.map_err(JournalError::Ledger)?,
        };
        let day = first.and_then(|record| record.at.checked_sub(CLOCKS_DIFFER_MAX).ok());
        let after = day.map(layout::segments_of);
        let mut objects = BTreeSet::new();
        let mut listed = self.store.list(&layout::segments(), after.as_ref());
        while let Some((path, _)) = listed.try_next().await.map_err(JournalError::Store)? {
            let after = layout::segment_after(path.as_ref());
            if !after.is_some_and(|after| window.contains(&after)) || used.has(path.as_ref()) {
                continue;
            }
            if objects.len() == OBJECTS_MAX {
                return Ok((objects, true));
            }
            objects.insert(path.to_string());
        }
        Ok((objects, false))
    }

    /// Deletes a segment that a writer uploaded and can name no more. Its batches
    /// are not committed, so no record names it either.
    pub fn discard<'a>(&'a self, path: &'a str) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            if let Err(error) = self.store.delete(&Path::from(path)).await {
                tracing::debug!(path, %error, "a swept segment stays; it costs space");
            }
        })
    }

    async fn delete(&self, sweep: &Sweep) -> Result<u64, JournalError> {
        for path in &sweep.objects {
            self.store.delete(&Path::from(path.as_str())).await.map_err(JournalError::Store)?;
        }
        Ok(sweep.objects.len() as u64)
    }
}
