//! A directory as an object store that survives a power cut.
//!
//! # Contract
//! - A put that answered `Ok` is there after a power cut, whole.
//! - What a get has shown is there after a power cut too: it syncs the object's
//!   directory before it answers. Otherwise one process could act on a record
//!   that another has linked but not yet made durable. Ranges are read without it:
//!   of objects that such a record names, which were put before it.
//! - An object's name shows its whole bytes or nothing, at any moment.
//! - Leftovers of interrupted puts live in `<root>/.tmp` and are never objects.
//! - Opening makes nothing; the directory comes about with the first put.
//!
//! Objects are put whole: there is no multipart form, since it has no
//! create-only either. Deletions are not synced; after a power cut a deleted
//! object may be there again, as rubbish that no record names.
//!
//! A failed directory sync leaves unknown what is durable, for good: this
//! handle then refuses everything but listings until the process starts anew.
//!
//! Reading, listing and deleting are `object_store`'s own [`LocalFileSystem`].
//! Needs hard links and directory sync, so Linux or another Unix.

mod place;
mod seen;

use std::fmt;
use std::ops::Range;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::try_join_all;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{
    CopyMode, CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, ObjectStoreExt, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult,
    Result,
};
use seam::{Blocking, Entropy};

use place::{Content, Mode, PlaceError, Placer};

/// The directory under the root that holds unfinished puts.
const UNFINISHED: &str = ".tmp";

/// A durable object store in a local directory.
#[derive(Clone)]
pub struct LocalStore {
    root: PathBuf,
    /// `root` as `files` writes it.
    prefix: Path,
    files: Arc<LocalFileSystem>,
    reads: Arc<PrefixStore<LocalFileSystem>>,
    placer: Arc<Placer>,
}

impl LocalStore {
    /// The store in `root`, an absolute directory that need not exist yet.
    ///
    /// # Errors
    /// If `root` cannot be written as a path of objects.
    pub fn new(root: &FilePath, entropy: Entropy) -> Result<Self> {
        let root: PathBuf = root.components().collect();
        let prefix = Path::from_absolute_path(&root)?;
        Ok(Self {
            files: Arc::new(LocalFileSystem::new()),
            reads: Arc::new(PrefixStore::new(LocalFileSystem::new(), prefix.clone())),
            placer: Arc::new(Placer::new(root.join(UNFINISHED), entropy)),
            prefix,
            root,
        })
    }

    /// Where an object's file is.
    fn file(&self, location: &Path) -> Result<PathBuf> {
        if is_unfinished(location) || location.is_root() {
            return Err(Error::NotSupported {
                source: format!("{location:?} is no name for an object here").into(),
            });
        }
        let whole = self.prefix.parts().chain(location.parts()).collect();
        self.files.path_to_filesystem(&whole)
    }

    async fn place(&self, location: &Path, content: Content, mode: Mode) -> Result<()> {
        let file = self.file(location)?;
        let placer = Arc::clone(&self.placer);
        let placed = Blocking::Pool.run(move || placer.place(&file, &content, mode)).await;
        placed.map_err(|error| explain(location, error))
    }
}

#[async_trait]
impl ObjectStore for LocalStore {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let mode = match options.mode {
            PutMode::Create => Mode::Create,
            PutMode::Overwrite => Mode::Replace,
            PutMode::Update(_) => return Err(self.lacks("puts that depend on a version")),
        };
        if !options.attributes.is_empty() {
            return Err(self.lacks("attributes"));
        }
        self.place(location, Content::Bytes(payload), mode).await?;
        Ok(PutResult { e_tag: None, version: None })
    }

    async fn put_multipart_opts(
        &self,
        _location: &Path,
        _options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        Err(self.lacks("multipart uploads: put the object whole"))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let file = self.file(location)?;
        let found = self.reads.get_opts(location, options).await?;
        let placer = Arc::clone(&self.placer);
        let synced = Blocking::Pool.run(move || placer.sync_sighting(&file)).await;
        synced.map_err(|error| explain(location, error))?;
        Ok(found)
    }

    /// A part ends where the file does, however far it was said to go: nothing is made room
    /// for that is not there.
    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.file(location)?;
        self.placer.check_health().map_err(|error| explain(location, error))?;
        try_join_all(ranges.iter().map(|range| self.reads.get_range(location, range.clone()))).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let this = self.clone();
        let checked = locations.map(move |location| {
            let location = location?;
            this.file(&location)?;
            Ok(location)
        });
        self.reads.delete_stream(checked.boxed())
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let listed = self.reads.list(prefix);
        listed.try_filter(|object| std::future::ready(!is_unfinished(&object.location))).boxed()
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let listed = self.reads.list_with_offset(prefix, offset);
        listed.try_filter(|object| std::future::ready(!is_unfinished(&object.location))).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let mut listed = self.reads.list_with_delimiter(prefix).await?;
        listed.common_prefixes.retain(|prefix| !is_unfinished(prefix));
        listed.objects.retain(|object| !is_unfinished(&object.location));
        Ok(listed)
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let mode = match options.mode {
            CopyMode::Create => Mode::Create,
            CopyMode::Overwrite => Mode::Replace,
        };
        let source = self.file(from)?;
        self.place(to, Content::SameAs(source), mode).await
    }
}

impl LocalStore {
    fn lacks(&self, what: &str) -> Error {
        Error::NotSupported { source: format!("{self} has no {what}").into() }
    }
}

impl fmt::Display for LocalStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the local store in {}", self.root.display())
    }
}

impl fmt::Debug for LocalStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LocalStore").field(&self.root).finish()
    }
}

/// Whether an error says that this process cannot use the store any more.
pub(crate) fn is_poisoned(error: &Error) -> bool {
    let Error::Generic { source, .. } = error else { return false };
    matches!(source.downcast_ref::<PlaceError>(), Some(PlaceError::Poisoned))
}

fn is_unfinished(location: &Path) -> bool {
    location.parts().next().is_some_and(|first| first.as_ref() == UNFINISHED)
}

fn explain(location: &Path, error: PlaceError) -> Error {
    let path = location.to_string();
    match error {
        PlaceError::Exists => {
            Error::AlreadyExists { path, source: "a file of this name is there".into() }
        }
        PlaceError::NoSource => Error::NotFound { path, source: "nothing to copy".into() },
        PlaceError::Io { source, .. } if source.kind() == std::io::ErrorKind::PermissionDenied => {
            Error::PermissionDenied { path, source: source.into() }
        }
        other => Error::Generic { store: "local store", source: other.into() },
    }
}

#[cfg(test)]
mod tests;
