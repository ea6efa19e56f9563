//! A store with the failures that stores have.
//!
//! It wraps memory, so what landed is known. A put may never land, land without
//! an answer, land later, or be answered with a conflict that was none; any call
//! may be slow, go unanswered or meet a 503; a list may be an old one; a whole
//! store may be replaced by an older copy of itself.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use crate::dice::Dice;

/// Puts that a stale list does not show yet, at most.
const STALE_PUTS_MAX: u64 = 8;

/// One call in so many fails, of each kind; 0 is never.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreRates {
    /// A put never lands and is not answered.
    pub lost: u64,
    /// A put lands and is not answered.
    pub unanswered: u64,
    /// A put is not answered and lands later.
    pub late: u64,
    /// A put is answered with a conflict, though nothing is in its way; it may
    /// have landed or not.
    pub conflict: u64,
    /// A put is refused.
    pub refused: u64,
    /// A read, list or delete fails.
    pub unread: u64,
    /// A list lacks what was put last.
    pub stale_list: u64,
    /// A call takes up to so many milliseconds.
    pub delay_millis_max: u64,
}

impl StoreRates {
    /// All kinds of failed calls, equally often.
    #[must_use]
    pub fn all(one_in: u64) -> Self {
        Self {
            lost: one_in,
            unanswered: one_in,
            late: one_in,
            conflict: one_in / 2,
            refused: 0,
            unread: one_in,
            stale_list: one_in,
            delay_millis_max: 0,
        }
    }
}

/// What a put comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Good,
    Lost,
    Unanswered,
    Late,
    ConflictOfNothing,
    ConflictOfOurOwn,
    Refused,
}

/// Told of every change of the store, in its order.
pub type Note = Arc<dyn Fn(&str) + Send + Sync>;

/// A store that fails as its dice fall.
pub struct FaultyStore {
    dice: Dice,
    state: Mutex<State>,
    note: Note,
}

struct State {
    /// What has truly landed.
    objects: Arc<InMemory>,
    rates: StoreRates,
    down: bool,
    under_way: Vec<(Path, PutPayload, PutOptions)>,
    newest: Vec<Path>,
}

impl FaultyStore {
    /// A store that fails as these dice fall.
    #[must_use]
    pub fn new(dice: Dice, rates: StoreRates) -> Arc<Self> {
        Self::noted(dice, rates, Arc::new(|_| {}))
    }

    /// The same; `note` is told what is put, deleted and how it ended.
    #[must_use]
    pub fn noted(dice: Dice, rates: StoreRates, note: Note) -> Arc<Self> {
        let state = State {
            objects: Arc::new(InMemory::new()),
            rates,
            down: false,
            under_way: Vec::new(),
            newest: Vec::new(),
        };
        Arc::new(Self { dice, state: Mutex::new(state), note })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What has truly landed, without faults.
    #[must_use]
    pub fn truth(&self) -> Arc<InMemory> {
        Arc::clone(&self.state().objects)
    }

    /// Fails at these rates from here on.
    pub fn set_rates(&self, rates: StoreRates) {
        self.state().rates = rates;
    }

    /// While down, every call meets a 503 and nothing lands.
    pub fn set_down(&self, down: bool) {
        self.state().down = down;
    }

    /// Lands what is still under way; nothing fails from here on.
    pub async fn settle(&self) {
        let under_way = {
            let mut state = self.state();
            state.rates = StoreRates::default();
            state.down = false;
            std::mem::take(&mut state.under_way)
        };
        for put in under_way {
            self.land(put).await;
        }
    }

    /// A copy of all that has landed.
    #[must_use]
    pub fn copy(&self) -> InMemory {
        self.state().objects.fork()
    }

    /// Replaces all that has landed by an older copy. What is under way is lost.
    pub fn restore(&self, copy: &InMemory) {
        let mut state = self.state();
        state.objects = Arc::new(copy.fork());
        state.under_way.clear();
        state.newest.clear();
    }

    async fn land(&self, put: (Path, PutPayload, PutOptions)) {
        let (path, payload, options) = put;
        let landed = self.put_truly(&path, payload, options).await;
        let known = matches!(&landed, Ok(_) | Err(Error::AlreadyExists { .. }));
        debug_assert!(known, "memory fails: {landed:?}");
    }

    async fn put_truly(
        &self,
        path: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let result = self.truth().put_opts(path, payload, options).await;
        if result.is_ok() {
            let mut state = self.state();
            state.newest.push(path.clone());
            let older = state.newest.len().saturating_sub(64);
            state.newest.drain(..older);
        }
        result
    }

    /// Lets time pass and others run, and lands some of what is under way.
    async fn a_while(&self) {
        let (yields, delay, landing) = {
            let mut state = self.state();
            let lands = !state.under_way.is_empty() && self.dice.one_in(3);
            let index = self.dice.index(state.under_way.len());
            let landing = lands.then(|| state.under_way.remove(index));
            let delay = self.dice.below(state.rates.delay_millis_max);
            (self.dice.below(4), delay, landing)
        };
        for _ in 0..yields {
            tokio::task::yield_now().await;
        }
        if delay > 0 {
            tokio::time::sleep(Duration::from_millis(delay)).await;
        }
        if let Some(put) = landing {
            (self.note)(&format!("lands late {}", put.0));
            self.land(put).await;
        }
    }

    fn fate(&self) -> Fate {
        let state = self.state();
        let StoreRates { lost, unanswered, late, conflict, refused, .. } = state.rates;
        let fates = [
            (if state.down { 1 } else { lost }, Fate::Lost),
            (unanswered, Fate::Unanswered),
            (late, Fate::Late),
            (conflict.saturating_mul(2), Fate::ConflictOfNothing),
            (conflict.saturating_mul(2), Fate::ConflictOfOurOwn),
            (refused, Fate::Refused),
        ];
        drop(state);
        fates
            .into_iter()
            .find(|(one_in, _)| self.dice.one_in(*one_in))
            .map_or(Fate::Good, |(_, fate)| fate)
    }

    fn check_read(&self) -> Result<()> {
        let state = self.state();
        let (down, unread) = (state.down, state.rates.unread);
        drop(state);
        if down || self.dice.one_in(unread) { Err(no_answer()) } else { Ok(()) }
    }

    /// The names that a list does not show although they are there.
    fn hidden(&self) -> Vec<Path> {
        let state = self.state();
        if !self.dice.one_in(state.rates.stale_list) {
            return Vec::new();
        }
        let count = usize::try_from(self.dice.below(STALE_PUTS_MAX)).unwrap_or(0);
        state.newest.iter().rev().take(count).cloned().collect()
    }
}

fn no_answer() -> Error {
    Error::Generic { store: "faulty", source: "503 or no answer".into() }
}

impl fmt::Debug for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FaultyStore")
    }
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
        let fate = self.fate();
        let answer = match fate {
            Fate::Good => self.put_truly(path, payload, options).await,
            Fate::Lost => Err(no_answer()),
            Fate::Unanswered => {
                self.land((path.clone(), payload, options)).await;
                Err(no_answer())
            }
            Fate::Late => {
                self.state().under_way.push((path.clone(), payload, options));
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
        (self.note)(&format!("put {path} {fate:?} {}", answer.is_ok()));
        self.a_while().await;
        answer
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.truth().put_multipart_opts(path, options).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        self.a_while().await;
        self.check_read()?;
        self.truth().get_opts(path, options).await
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        if let Err(error) = self.check_read() {
            return stream::once(async move { Err(error) }).boxed();
        }
        let note = Arc::clone(&self.note);
        let paths = paths.inspect_ok(move |path| note(&format!("delete {path}"))).boxed();
        self.truth().delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        if let Err(error) = self.check_read() {
            return stream::once(async move { Err(error) }).boxed();
        }
        let hidden = self.hidden();
        let shown = move |meta: &ObjectMeta| !hidden.contains(&meta.location);
        self.truth().list(prefix).try_filter(move |meta| std::future::ready(shown(meta))).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.a_while().await;
        self.check_read()?;
        self.truth().list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.truth().copy_opts(from, to, options).await
    }
}
