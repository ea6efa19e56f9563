//! Which stores are let in: those that keep create-only, and no others.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use futures::TryStreamExt;
use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, ObjectStoreExt, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult,
    Result,
};
use seam::Entropy;
use store::{ProbeError, Store, StoreError};

/// How a store fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// As if `If-None-Match` were not there.
    Overwrites,
    /// Says "exists" and overwrites all the same.
    OverwritesAndDenies,
    /// Looks first and puts then, as two steps.
    LooksBeforeItPuts,
    /// Every put is refused.
    Refuses,
    /// The first put lands and its answer is lost.
    LosesAnAnswer,
    /// Does not delete.
    KeepsEverything,
}

#[derive(Debug)]
struct Faulty {
    inner: InMemory,
    fault: Fault,
    puts: AtomicUsize,
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a store that {:?}", self.fault)
    }
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(
        &self,
        path: &Path,
        bytes: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let put = self.puts.fetch_add(1, Ordering::Relaxed);
        let exists = || Error::AlreadyExists { path: path.to_string(), source: "taken".into() };
        match self.fault {
            Fault::Overwrites => self.inner.put(path, bytes).await,
            Fault::OverwritesAndDenies => {
                let there = self.inner.head(path).await.is_ok();
                let put = self.inner.put(path, bytes).await;
                if there { Err(exists()) } else { put }
            }
            Fault::LooksBeforeItPuts => {
                let there = self.inner.head(path).await.is_ok();
                tokio::task::yield_now().await;
                if there { Err(exists()) } else { self.inner.put(path, bytes).await }
            }
            Fault::Refuses => {
                Err(Error::PermissionDenied { path: path.to_string(), source: "no".into() })
            }
            Fault::LosesAnAnswer => {
                assert_eq!(options.mode, PutMode::Create);
                let answer = self.inner.put_opts(path, bytes, options).await;
                if put == 0 { Err(exists()) } else { answer }
            }
            Fault::KeepsEverything => self.inner.put_opts(path, bytes, options).await,
        }
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(path, options).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(path, options).await
    }

    async fn get_ranges(&self, path: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.inner.get_ranges(path, ranges).await
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        if self.fault == Fault::KeepsEverything {
            let kept = paths.and_then(|path| async move {
                Err(Error::PermissionDenied { path: path.to_string(), source: "locked".into() })
            });
            return Box::pin(kept);
        }
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

async fn probed(fault: Fault) -> (std::result::Result<(), ProbeError>, usize) {
    let faulty = Arc::new(Faulty { inner: InMemory::new(), fault, puts: AtomicUsize::new(0) });
    let store = Store::from_objects(Arc::<Faulty>::clone(&faulty), "test://faulty");
    let verdict = store.probe(&Entropy::system()).await;
    let left: Vec<_> = faulty.inner.list(None).try_collect().await.expect("list");
    (verdict, left.len())
}

#[tokio::test]
async fn a_store_that_breaks_create_only_is_refused_by_name() {
    for (fault, says) in [
        (Fault::Overwrites, "a second create of one name succeeded"),
        (Fault::OverwritesAndDenies, "a refused create changed the object"),
        (Fault::LooksBeforeItPuts, "of 16 concurrent creates succeeded"),
    ] {
        let (verdict, left) = probed(fault).await;
        let error = verdict.expect_err("refused");
        assert!(matches!(error, ProbeError::NotCreateOnly { .. }), "{fault:?}: {error:?}");
        assert!(!error.is_retryable());
        let said = error.to_string();
        assert!(said.contains("test://faulty") && said.contains(says), "{said}");
        assert_eq!(left, 0, "{fault:?} leaves probe objects");
    }
}

#[tokio::test]
async fn a_store_that_refuses_puts_is_said_to_be_unwritable() {
    let error = probed(Fault::Refuses).await.0.expect_err("refused");
    assert!(matches!(error, ProbeError::Write { .. }), "{error:?}");
    assert!(!error.is_retryable());
}

#[tokio::test]
async fn a_lost_answer_or_a_lock_on_deletion_refuses_nobody() {
    let (verdict, left) = probed(Fault::LosesAnAnswer).await;
    verdict.expect("a good store");
    assert_eq!(left, 0);
    let (verdict, left) = probed(Fault::KeepsEverything).await;
    verdict.expect("a good store");
    assert_eq!(left, 4, "a few objects under probe/");
}

#[tokio::test]
async fn local_and_memory_stores_pass_and_are_left_clean() {
    let dir = tempfile::tempdir().expect("temp dir");
    for url in [format!("file://{}", dir.path().display()), "memory://probe-test".to_owned()] {
        let store = Store::open(&url).await.expect("open");
        store.probe(&Entropy::system()).await.expect("a good store");
        let left: Vec<_> = store.list(&Path::default(), None).try_collect().await.expect("list");
        assert!(left.is_empty(), "{left:?}");
    }
    let one = Store::open("memory://shared/a").await.expect("open");
    let two = Store::open("memory://shared").await.expect("open");
    one.create(&Path::from("x"), "x".into()).await.expect("create");
    assert!(two.get(&Path::from("a/x")).await.expect("get").is_some(), "one name, one store");
}

#[tokio::test]
async fn ranges_listings_and_deletions_say_what_is_there() {
    let dir = tempfile::tempdir().expect("temp dir");
    for url in [format!("file://{}/s", dir.path().display()), "memory://ranges".to_owned()] {
        let store = Store::open(&url).await.expect("open");
        let [one, two, three] = ["log/1", "log/2", "logs/3"].map(Path::from);
        for path in [&one, &two, &three] {
            store.ensure(path, "0123456789".into()).await.expect("create");
            store.ensure(path, "0123456789".into()).await.expect("the same bytes again");
            assert!(store.ensure(path, "other".into()).await.is_err());
        }
        assert_eq!(store.get_range(&one, 2..5).await.expect("range"), "234");
        assert!(store.get_range(&Path::from("log/9"), 2..5).await.is_err());
        let far = 1 << 60;
        assert_eq!(store.get_range(&one, 7..far).await.expect("range"), "789", "what there is");
        for range in [far..far + 1, Range { start: 5, end: 2 }] {
            let absent = store.get_range(&one, range.clone()).await;
            assert!(absent.is_err(), "{range:?}: {absent:?}");
        }
        let requests = store.reads().requests();
        let parts = store.get_ranges(&one, &[8..10, 0..3]).await.expect("ranges");
        assert_eq!(parts, ["89", "012"]);
        assert_eq!(store.reads().requests(), requests + 1, "they lie close");
        for beyond in [vec![0..3, 8..11], vec![0..3, 20..30]] {
            let short = store.get_ranges(&one, &beyond).await;
            assert!(matches!(short, Err(StoreError::Absent { .. })), "{short:?}");
        }
        assert_eq!(store.get(&Path::from("log/9")).await.expect("answer"), None);

        let mut listed: Vec<_> =
            store.list(&Path::from("log"), None).try_collect().await.expect("list");
        listed.sort();
        assert_eq!(listed, [(one.clone(), 10), (two.clone(), 10)]);
        let after: Vec<_> =
            store.list(&Path::from("log"), Some(&one)).try_collect().await.expect("list");
        assert_eq!(after, [(two.clone(), 10)]);

        store.delete(&one).await.expect("delete");
        store.delete(&one).await.expect("gone is deleted");
        assert_eq!(store.get(&one).await.expect("answer"), None);
    }
}
