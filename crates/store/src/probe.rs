//! The test at start: does this store keep create-only?
//!
//! A store that overwrites, or that lets two racing creates both succeed, would
//! lose committed events without a sign. So before anything is committed: a
//! second create of a name must fail and leave the first bytes, and of 16
//! concurrent creates exactly one must win, several times over. What was not
//! there a moment ago must be seen as soon as it is (no remembered absence).
//!
//! Probe objects live under `probe/<random>/` and are removed. A store that
//! takes objects but does not delete them (a retention lock, a narrow policy)
//! passes: the leftovers are a few bytes, and said.

use bytes::Bytes;
use futures::future::join_all;
use object_store::path::Path;
use seam::Entropy;

use crate::error::{CreateError, StoreError};
use crate::store::Store;

/// Creates of one name at the same time.
const RACERS: usize = 16;
/// Races, each for a new name. The first also opens the connections, so that
/// the later ones truly coincide.
const RACES: usize = 3;

/// Why a store must not be used.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// It breaks the promise that everything rests on. Use another store.
    #[error(
        "store {url} does not keep create-only puts: {what}; orgtrail would lose events there. \
         Use a store that honours If-None-Match: * on puts, or a release of it that does"
    )]
    NotCreateOnly {
        /// The store.
        url: String,
        /// What it did.
        what: String,
    },
    /// It does not show what was put.
    #[error("store {url} does not show what was put: {what}")]
    Inconsistent {
        /// The store.
        url: String,
        /// What it did.
        what: String,
    },
    /// It could not be written to.
    #[error("store {url} cannot be written to")]
    Write {
        /// The store.
        url: String,
        /// Why.
        #[source]
        source: CreateError,
    },
    /// It could not be read.
    #[error("store {url} cannot be read")]
    Read {
        /// The store.
        url: String,
        /// Why.
        #[source]
        source: StoreError,
    },
}

impl ProbeError {
    /// Whether trying again later can help without anybody doing anything.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Write { source, .. } => matches!(source, CreateError::Unknown { .. }),
            Self::Read { source, .. } => source.is_retryable(),
            Self::NotCreateOnly { .. } | Self::Inconsistent { .. } => false,
        }
    }
}

pub(crate) async fn run(store: &Store, entropy: &Entropy) -> Result<(), ProbeError> {
    let id = u128::from_le_bytes(entropy.bytes());
    let folder = Path::from(format!("probe/{id:032x}"));
    let mut paths = vec![folder.clone().join("twice")];
    paths.extend((1..=RACES).map(|race| folder.clone().join(format!("race-{race}"))));
    let verdict = Probe { store }.verdict(&paths).await;
    for path in &paths {
        if let Err(error) = store.delete(path).await {
            tracing::warn!(%path, %store, error = %chain(&error), "a probe object stays behind");
        }
    }
    verdict
}

struct Probe<'a> {
    store: &'a Store,
}

impl Probe<'_> {
    async fn verdict(&self, paths: &[Path]) -> Result<(), ProbeError> {
        let mut paths = paths.iter();
        if let Some(path) = paths.next() {
            self.twice(path).await?;
        }
        for path in paths {
            self.race(path).await?;
        }
        Ok(())
    }

    async fn twice(&self, path: &Path) -> Result<(), ProbeError> {
        if self.read(path).await?.is_some() {
            return Err(self.inconsistent("a name that was never used holds an object"));
        }
        let first = Bytes::from_static(b"first");
        self.store.ensure(path, first.clone()).await.map_err(|source| self.write(source))?;
        if self.read(path).await?.as_ref() != Some(&first) {
            return Err(self.inconsistent("an object that was put is not read back as it was put"));
        }
        match self.store.create(path, Bytes::from_static(b"second")).await {
            Err(CreateError::AlreadyExists) => {}
            Ok(()) => return Err(self.not_create_only("a second create of one name succeeded")),
            Err(source) => return Err(self.write(source)),
        }
        if self.read(path).await?.as_ref() != Some(&first) {
            return Err(self.not_create_only("a refused create changed the object"));
        }
        Ok(())
    }

    async fn race(&self, path: &Path) -> Result<(), ProbeError> {
        let body = |racer: usize| Bytes::from(format!("racer {racer}"));
        let racers = (0..RACERS).map(|racer| self.store.create(path, body(racer)));
        let mut winners = Vec::new();
        let mut failure = None;
        for (racer, outcome) in join_all(racers).await.into_iter().enumerate() {
            match outcome {
                Ok(()) => winners.push(racer),
                Err(CreateError::AlreadyExists) => {}
                Err(error) => failure = Some(error),
            }
        }
        if winners.len() > 1 {
            let what = format!("{} of {RACERS} concurrent creates succeeded", winners.len());
            return Err(self.not_create_only(&what));
        }
        let kept = self.read(path).await?;
        match (winners.first(), kept, failure) {
            (Some(winner), Some(kept), _) if kept == body(*winner) => Ok(()),
            (Some(_), _, _) => {
                Err(self.not_create_only("a create succeeded and is not what is kept"))
            }
            // The winner's answer was lost on the way, and the object is one of ours.
            (None, Some(kept), _) if (0..RACERS).any(|racer| kept == body(racer)) => Ok(()),
            (None, _, Some(source)) => Err(self.write(source)),
            (None, _, None) => {
                let what = format!("{RACERS} concurrent creates were refused and none is kept");
                Err(self.inconsistent(&what))
            }
        }
    }

    async fn read(&self, path: &Path) -> Result<Option<Bytes>, ProbeError> {
        let url = || self.store.url().to_owned();
        self.store.get(path).await.map_err(|source| ProbeError::Read { url: url(), source })
    }

    fn write(&self, source: CreateError) -> ProbeError {
        ProbeError::Write { url: self.store.url().to_owned(), source }
    }

    fn not_create_only(&self, what: &str) -> ProbeError {
        ProbeError::NotCreateOnly { url: self.store.url().to_owned(), what: what.to_owned() }
    }

    fn inconsistent(&self, what: &str) -> ProbeError {
        ProbeError::Inconsistent { url: self.store.url().to_owned(), what: what.to_owned() }
    }
}

/// An error with all its causes on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
