//! A store with the failures that stores have.
//!
//! It wraps memory, so what landed is known. A put may never land, land without
//! an answer, land later, or be answered with a conflict that was none; a get may
//! go unanswered.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use crate::dice::Dice;

/// One call in so many fails, of each kind.
const ONE_IN: u64 = 20;

/// What a put comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Good,
    NeverLands,
    LandsUnanswered,
    LandsLater,
    ConflictOfNothing,
    ConflictOfOurOwn,
}

/// A store that fails as its dice fall.
#[derive(Debug)]
pub struct FaultyStore {
    /// What has truly landed.
    inner: Arc<InMemory>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    dice: Dice,
    calm: bool,
    under_way: Vec<(Path, PutPayload, PutOptions)>,
}

impl FaultyStore {
    /// A store that fails as these dice fall.
    #[must_use]
    pub fn new(dice: Dice) -> Arc<Self> {
        let state = State { dice, calm: false, under_way: Vec::new() };
        Arc::new(Self { inner: Arc::new(InMemory::new()), state: Mutex::new(state) })
    }

    /// Lands what is still under way; nothing fails from here on.
    pub async fn settle(&self) {
        let under_way = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.calm = true;
            std::mem::take(&mut state.under_way)
        };
        for put in under_way {
            self.land(put).await;
        }
    }

    async fn land(&self, (path, payload, options): (Path, PutPayload, PutOptions)) {
        match self.inner.put_opts(&path, payload, options).await {
            Ok(_) | Err(Error::AlreadyExists { .. }) => {}
            // Memory refuses nothing else.
            Err(error) => debug_assert!(false, "memory fails: {error}"),
        }
    }

    /// Lets others run, and lands some of what is under way.
    async fn a_while(&self) {
        let (yields, landing) = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let yields = state.dice.below(4);
            let lands = !state.under_way.is_empty() && state.dice.below(3) == 0;
            (yields, if lands { Some(state.under_way.remove(0)) } else { None })
        };
        for _ in 0..yields {
            tokio::task::yield_now().await;
        }
        if let Some(put) = landing {
            self.land(put).await;
        }
    }

    fn fate(&self) -> Fate {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.calm {
            return Fate::Good;
        }
        match state.dice.below(ONE_IN) {
            0 => Fate::NeverLands,
            1 => Fate::LandsUnanswered,
            2 => Fate::LandsLater,
            3 => Fate::ConflictOfNothing,
            4 => Fate::ConflictOfOurOwn,
            _ => Fate::Good,
        }
    }

    fn fails(&self) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        !state.calm && state.dice.below(ONE_IN) == 0
    }
}

fn no_answer() -> Error {
    Error::Generic { store: "faulty", source: "no answer".into() }
}

impl fmt::Display for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a faulty store")
    }
}

#[async_trait]
impl ObjectStore for FaultyStore {
    async fn put_opts(
        &self,
        path: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        self.a_while().await;
        let conflict =
            || Error::AlreadyExists { path: path.to_string(), source: "conflict".into() };
        let answer = match self.fate() {
            Fate::Good => self.inner.put_opts(path, payload, options).await,
            Fate::NeverLands => Err(no_answer()),
            Fate::LandsUnanswered => {
                self.land((path.clone(), payload, options)).await;
                Err(no_answer())
            }
            Fate::LandsLater => {
                let put = (path.clone(), payload, options);
                self.state.lock().unwrap_or_else(PoisonError::into_inner).under_way.push(put);
                Err(no_answer())
            }
            Fate::ConflictOfNothing => Err(conflict()),
            Fate::ConflictOfOurOwn => {
                self.land((path.clone(), payload, options)).await;
                Err(conflict())
            }
        };
        self.a_while().await;
        answer
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(path, options).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        self.a_while().await;
        if self.fails() {
            return Err(no_answer());
        }
        self.inner.get_opts(path, options).await
    }

    async fn get_ranges(&self, path: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.inner.get_ranges(path, ranges).await
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
