//! A store that fails, or whose process dies, at one operation.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

/// What happens at the chosen operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The process dies before a put or delete has any effect.
    DieBefore,
    /// It dies after the effect, without an answer.
    DieAfter,
    /// A put or delete has no effect and answers with an error; life goes on.
    FailBefore,
    /// It has its effect, but answers with an error; life goes on.
    FailAfter,
    /// A read answers with an error; life goes on.
    FailRead,
}

/// Wraps a store; clones share the count.
#[derive(Clone, Debug)]
pub(crate) struct Faulty {
    objects: Arc<dyn ObjectStore>,
    fault: Fault,
    left: Arc<AtomicU64>,
    dead: Arc<AtomicBool>,
    hit: Arc<AtomicBool>,
}

impl Faulty {
    /// The operation after `operations` others of its kind is the one.
    pub(crate) fn new(objects: Arc<dyn ObjectStore>, fault: Fault, operations: u64) -> Self {
        Self {
            objects,
            fault,
            left: Arc::new(AtomicU64::new(operations)),
            dead: Arc::default(),
            hit: Arc::default(),
        }
    }

    /// Whether the operation was reached.
    pub(crate) fn was_hit(&self) -> bool {
        self.hit.load(Ordering::SeqCst)
    }

    fn check_alive(&self) -> Result<()> {
        if self.dead.load(Ordering::SeqCst) { Err(failure()) } else { Ok(()) }
    }

    fn is_now(&self) -> bool {
        let left = self
            .left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| Some(left.wrapping_sub(1)));
        let now = left == Ok(0);
        if now {
            self.hit.store(true, Ordering::SeqCst);
            if matches!(self.fault, Fault::DieBefore | Fault::DieAfter) {
                self.dead.store(true, Ordering::SeqCst);
            }
        }
        now
    }

    fn read(&self) -> Result<()> {
        self.check_alive()?;
        if self.fault == Fault::FailRead && self.is_now() { Err(failure()) } else { Ok(()) }
    }

    /// Whether to fail after the effect; an error means before.
    fn write(&self) -> Result<bool> {
        self.check_alive()?;
        match self.fault {
            Fault::DieBefore | Fault::FailBefore if self.is_now() => Err(failure()),
            Fault::DieAfter | Fault::FailAfter => Ok(self.is_now()),
            _ => Ok(false),
        }
    }
}

fn failure() -> Error {
    Error::Generic { store: "faulty", source: "no answer".into() }
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("faulty")
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
        let fails = self.write()?;
        let result = self.objects.put_opts(path, bytes, options).await;
        if fails { Err(failure()) } else { result }
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.objects.put_multipart_opts(path, options).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        self.read()?;
        self.objects.get_opts(path, options).await
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let this = self.clone();
        paths
            .then(move |path| {
                let this = this.clone();
                async move {
                    let path = path?;
                    let fails = this.write()?;
                    let one = stream::once(async move { Ok(path) }).boxed();
                    let result = this.objects.delete_stream(one).next().await;
                    if fails { Err(failure()) } else { result.unwrap_or_else(|| Err(failure())) }
                }
            })
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.read() {
            Ok(()) => self.objects.list(prefix),
            Err(error) => stream::once(async move { Err(error) }).boxed(),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.read()?;
        self.objects.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.objects.copy_opts(from, to, options).await
    }
}
