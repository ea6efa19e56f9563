//! The handle that the rest of orgtrail holds, and what it can do.

use std::fmt;
use std::ops::Range;
use std::slice;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions, coalesce_ranges};
use seam::Entropy;

use crate::again::ask_again;
use crate::error::{CreateError, OpenError, StoreError};
use crate::location::Location;
use crate::probe::{self, ProbeError};
use crate::reads::Reads;

/// Parts of an object that lie closer than this are read together: over a network, so
/// many bytes take about as long as one more request.
const GAP_BYTES_MAX: u64 = 256 << 10;

/// A place of immutable objects.
///
/// # Contract
/// - Of all creates of one path exactly one succeeds; the object never changes.
/// - An object that was created, or was seen by [`Store::get`], is there for
///   every later read, by anyone, also after a power cut.
/// - Futures may be dropped; a put may then land or not.
#[derive(Clone)]
pub struct Store {
    objects: Arc<dyn ObjectStore>,
    url: Arc<str>,
    reads: Arc<Reads>,
}

impl Store {
    /// Opens the store at `url`. Nothing is sent or made there until it is used.
    ///
    /// # Errors
    /// If the URL names no store, or the environment does not say how to reach it.
    pub fn open(url: &str) -> BoxFuture<'_, Result<Self, OpenError>> {
        Box::pin(async move { Ok(Self::from_objects(crate::open::open(url).await?, url)) })
    }

    /// A store of given objects; `url` is what people and messages call it.
    pub fn from_objects(objects: Arc<dyn ObjectStore>, url: impl Into<String>) -> Self {
        Self { objects, url: url.into().into(), reads: Arc::default() }
    }

    /// The same store; what this handle and its clones read is counted for itself.
    #[must_use]
    pub fn counted_apart(&self) -> Self {
        Self { reads: Arc::default(), ..self.clone() }
    }

    /// What this handle and its clones have read.
    #[must_use]
    pub fn reads(&self) -> &Reads {
        &self.reads
    }

    /// What this handle works on, for readers that speak `object_store`.
    #[must_use]
    pub fn objects(&self) -> &Arc<dyn ObjectStore> {
        &self.objects
    }

    /// What people call this store.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Checks that the store keeps create-only, with objects under `probe/`
    /// that are removed again.
    ///
    /// # Errors
    /// If it does not, or cannot be written to; a store that failed must not be used.
    pub fn probe<'a>(&'a self, entropy: &'a Entropy) -> BoxFuture<'a, Result<(), ProbeError>> {
        Box::pin(async move { probe::run(self, entropy).await })
    }

    /// Puts an object that must not exist yet.
    ///
    /// # Errors
    /// See [`CreateError`]; what [`CreateError::AlreadyExists`] found may be our own.
    pub fn create<'a>(
        &'a self,
        path: &'a Path,
        bytes: Bytes,
    ) -> BoxFuture<'a, Result<(), CreateError>> {
        Box::pin(async move {
            let put = || {
                let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
                self.objects.put_opts(path, bytes.clone().into(), options)
            };
            match ask_again(bytes.len(), put).await {
                Ok(_) => Ok(()),
                Err(source) => Err(CreateError::of(path.as_ref(), source)),
            }
        })
    }

    /// Makes sure that an object has these bytes: creates it, and if the answer
    /// is not clear, reads it back. For names nobody else would use for other
    /// bytes (random ones, or ones that hold the bytes' hash).
    ///
    /// # Errors
    /// [`CreateError::AlreadyExists`] only if other bytes have the name.
    pub fn ensure<'a>(
        &'a self,
        path: &'a Path,
        bytes: Bytes,
    ) -> BoxFuture<'a, Result<(), CreateError>> {
        Box::pin(async move {
            let unclear = match self.create(path, bytes.clone()).await {
                Err(error @ (CreateError::AlreadyExists | CreateError::Unknown { .. })) => error,
                known => return known,
            };
            match self.get(path).await {
                Ok(Some(found)) if found == bytes => Ok(()),
                Ok(Some(_)) => Err(CreateError::AlreadyExists),
                Ok(None) | Err(_) => Err(match unclear {
                    CreateError::AlreadyExists => CreateError::Unknown {
                        path: path.to_string(),
                        source: object_store::Error::Generic {
                            store: "store",
                            source: "it was said to exist, and could not be read back".into(),
                        },
                    },
                    unclear => unclear,
                }),
            }
        })
    }

    /// Puts an object whatever is there: the last writer wins. For hints that nobody
    /// has to believe.
    ///
    /// # Errors
    /// If the store refuses or does not answer: it may have landed then.
    pub fn replace<'a>(
        &'a self,
        path: &'a Path,
        bytes: Bytes,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let put = self.objects.put(path, bytes.into()).await;
            put.map(drop).map_err(|source| StoreError::of("write", path.as_ref(), source))
        })
    }

    /// How other programs name what the store's paths begin with, without a slash at
    /// the end; none for a store that no other program sees.
    #[must_use]
    pub fn named_by_others(&self) -> Option<String> {
        match Location::parse(&self.url).ok()? {
            Location::Memory { .. } => None,
            Location::File { root } => {
                Some(format!("file://{}", root.display()).trim_end_matches('/').to_owned())
            }
            _ => Some(self.url.trim_end_matches('/').to_owned()),
        }
    }

    /// An object's bytes, if it is there.
    ///
    /// # Errors
    /// If the store refuses or does not answer.
    pub fn get<'a>(&'a self, path: &'a Path) -> BoxFuture<'a, Result<Option<Bytes>, StoreError>> {
        Box::pin(async move {
            let read = async { self.objects.get(path).await?.bytes().await };
            match read.await {
                Ok(bytes) => {
                    self.reads.count(1, bytes.len());
                    Ok(Some(bytes))
                }
                Err(object_store::Error::NotFound { .. }) => {
                    self.reads.count(1, 0);
                    Ok(None)
                }
                Err(source) => Err(StoreError::of("read", path.as_ref(), source)),
            }
        })
    }

    /// As [`Store::get`], for small objects that somebody waits for: what stays
    /// unanswered is asked again.
    ///
    /// # Errors
    /// As [`Store::get`].
    pub fn get_small<'a>(
        &'a self,
        path: &'a Path,
    ) -> BoxFuture<'a, Result<Option<Bytes>, StoreError>> {
        Box::pin(async move { ask_again(0, || self.get(path)).await })
    }

    /// Some of an object's bytes; fewer than asked for if it ends before.
    ///
    /// For objects that a committed record names: unlike [`Store::get`], it does not see to
    /// it that what it has shown is there after a power cut.
    ///
    /// # Errors
    /// [`StoreError::Absent`] if it is not there; else if the store refuses or
    /// does not answer.
    pub fn get_range<'a>(
        &'a self,
        path: &'a Path,
        range: Range<u64>,
    ) -> BoxFuture<'a, Result<Bytes, StoreError>> {
        Box::pin(async move {
            let read = self.objects.get_ranges(path, slice::from_ref(&range)).await;
            let parts = read.map_err(|source| StoreError::of("read", path.as_ref(), source))?;
            let bytes = parts.into_iter().next().unwrap_or_default();
            self.reads.count(1, bytes.len());
            Ok(bytes)
        })
    }

    /// Several parts of an object, and all of each. Those that lie close are one request,
    /// and what lies between comes with them.
    ///
    /// # Errors
    /// As [`Store::get_range`], and if the object ends before one of them does.
    pub fn get_ranges<'a>(
        &'a self,
        path: &'a Path,
        ranges: &'a [Range<u64>],
    ) -> BoxFuture<'a, Result<Vec<Bytes>, StoreError>> {
        let read = move |range: Range<u64>| async move {
            let bytes = self.get_range(path, range.clone()).await?;
            if bytes.len() as u64 == range.end - range.start {
                return Ok(bytes);
            }
            Err(StoreError::Absent { action: "read", path: path.to_string() })
        };
        Box::pin(coalesce_ranges(ranges, read, GAP_BYTES_MAX))
    }

    /// The objects below a prefix with their sizes, in no particular order.
    /// With `after`, only those whose path is greater than it.
    pub fn list(
        &self,
        prefix: &Path,
        after: Option<&Path>,
    ) -> BoxStream<'static, Result<(Path, u64), StoreError>> {
        let listed = match after {
            Some(after) => self.objects.list_with_offset(Some(prefix), after),
            None => self.objects.list(Some(prefix)),
        };
        self.reads.count(1, 0);
        let prefix = prefix.to_string();
        listed
            .map_ok(|object| (object.location, object.size))
            .map_err(move |source| StoreError::of("list", &prefix, source))
            .boxed()
    }

    /// Removes an object; one that is not there is removed.
    ///
    /// # Errors
    /// If the store refuses or does not answer: it may or may not be there then.
    pub fn delete<'a>(&'a self, path: &'a Path) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            match self.objects.delete(path).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
                Err(source) => Err(StoreError::of("delete", path.as_ref(), source)),
            }
        })
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Store").field(&self.url).finish()
    }
}

impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)
    }
}
