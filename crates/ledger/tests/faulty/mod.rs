//! A store with the failures that stores have, from a seed.
//!
//! Wraps memory, so what landed is known. Everything random is drawn in the
//! order of calls; on one thread a seed is one history.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

/// One call in so many fails, of each kind.
const ONE_IN: u64 = 12;

/// A random sequence (splitmix64).
#[derive(Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    /// The sequence of a seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

/// What a put comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Good,
    NeverLands,
    LandsUnanswered,
    LandsLater,
    ConflictOfNothing,
    ConflictOfOurOwn,
    Refused,
}

/// A store that fails as its dice fall.
#[derive(Debug)]
pub(crate) struct Faulty {
    /// What has truly landed.
    pub(crate) inner: Arc<InMemory>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    dice: Dice,
    calm: bool,
    under_way: Vec<(Path, PutPayload, PutOptions)>,
}

impl Faulty {
    /// The store of a seed.
    pub(crate) fn new(seed: u64) -> Arc<Self> {
        let state = State { dice: Dice::new(seed), calm: false, under_way: Vec::new() };
        Arc::new(Self { inner: Arc::new(InMemory::new()), state: Mutex::new(state) })
    }

    /// Lands what is still under way; nothing fails from here on.
    pub(crate) async fn settle(&self) {
        let under_way = {
            let mut state = self.state.lock().expect("state");
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
            Err(error) => panic!("memory fails: {error}"),
        }
    }

    /// Lets others run, and lands some of what is under way.
    async fn a_while(&self) {
        let (yields, landing) = {
            let mut state = self.state.lock().expect("state");
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
        let mut state = self.state.lock().expect("state");
        if state.calm {
            return Fate::Good;
        }
        match state.dice.below(ONE_IN) {
            0 => Fate::NeverLands,
            1 => Fate::LandsUnanswered,
            2 => Fate::LandsLater,
            3 => Fate::ConflictOfNothing,
            4 => Fate::ConflictOfOurOwn,
            5 => Fate::Refused,
            _ => Fate::Good,
        }
    }

    fn fails(&self) -> bool {
        let mut state = self.state.lock().expect("state");
        !state.calm && state.dice.below(ONE_IN) == 0
    }
}

fn no_answer() -> Error {
    Error::Generic { store: "faulty", source: "no answer".into() }
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a faulty store")
    }
}

#[async_trait]
impl ObjectStore for Faulty {
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
                self.state.lock().expect("state").under_way.push(put);
                Err(no_answer())
            }
            Fate::ConflictOfNothing => Err(conflict()),
            Fate::ConflictOfOurOwn => {
                self.land((path.clone(), payload, options)).await;
                Err(conflict())
            }
            Fate::Refused => {
                Err(Error::PermissionDenied { path: path.to_string(), source: "no".into() })
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
