//! Reads data files for DataFusion, and remembers what was opened.
//!
//! A file's last bytes hold its footer, and of a small file are all of it: they are kept
//! beside the footer, and nothing of them is asked for again. Those of the next files are
//! [asked for before](Ahead).
//!
//! A damaged page shows itself in the decoder, which does not know the file's
//! name. With the list of opened files the engine can find and name it.

use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::ParquetFileReaderFactory;
use datafusion::error::Result;
use datafusion::parquet::arrow::arrow_reader::ArrowReaderOptions;
use datafusion::parquet::arrow::async_reader::AsyncFileReader;
use datafusion::parquet::errors::{ParquetError, Result as ParquetResult};
use datafusion::parquet::file::metadata::{
    PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader,
};
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use futures::FutureExt;
use futures::future::BoxFuture;
use object_store::path::Path;
use store::{Store, Tail};

use crate::ahead::Ahead;
use crate::kept::Kept;
use crate::lists::Lists;

/// Opened files that are remembered: the last ones, since a failure follows its
/// file closely.
const OPENED_MAX: usize = 4_096;

/// Files whose footers and last bytes are kept: they are read in several parts.
const OPEN_MAX: usize = 128;

/// Bytes at a file's end that usually hold its footer.
const TAIL_BYTES: u64 = 64 << 10;

/// A file of so many bytes at most is read whole: sooner than in two requests.
const WHOLE_BYTES_MAX: u64 = 128 << 10;

/// The part of a file that is read first, which holds its footer: its end.
pub(crate) fn end_of(file_bytes: u64) -> Range<u64> {
    let from = if file_bytes <= WHOLE_BYTES_MAX { 0 } else { file_bytes - TAIL_BYTES };
    from..file_bytes
}

/// What was read of a file when it was opened.
#[derive(Clone, Debug)]
struct Open {
    footer: Arc<ParquetMetaData>,
    tail: Tail,
}

/// What has been opened so far.
#[derive(Debug)]
pub(crate) struct Opened {
    paths: Mutex<VecDeque<String>>,
    kept: Kept<Path, Open>,
    without_lists: Mutex<BTreeSet<String>>,
}

impl Default for Opened {
    fn default() -> Self {
        let (paths, without_lists) = (Mutex::default(), Mutex::default());
        Self { paths, kept: Kept::new(OPEN_MAX), without_lists }
    }
}

impl Opened {
    /// The files opened so far, the newest last.
    pub(crate) fn paths(&self) -> Vec<String> {
        let paths = self.paths.lock().unwrap_or_else(PoisonError::into_inner);
        paths.iter().cloned().collect()
    }

    /// How many files do not list what their rows name, and were asked for it.
    pub(crate) fn without_lists(&self) -> u64 {
        self.without_lists.lock().unwrap_or_else(PoisonError::into_inner).len() as u64
    }

    fn lacks_lists(&self, path: &Path) {
        let mut paths = self.without_lists.lock().unwrap_or_else(PoisonError::into_inner);
        paths.insert(path.to_string());
    }

    fn open(&self, path: &str) {
        let mut paths = self.paths.lock().unwrap_or_else(PoisonError::into_inner);
        if paths.back().is_some_and(|last| last == path) {
            return;
        }
        if paths.len() == OPENED_MAX {
            paths.pop_front();
        }
        paths.push_back(path.to_owned());
    }
}

/// Makes readers of one store.
#[derive(Debug)]
pub(crate) struct Readers {
    pub(crate) store: Store,
    pub(crate) opened: Arc<Opened>,
    /// The files of the scan.
    pub(crate) ahead: Arc<Ahead>,
    /// What rules out row groups.
    pub(crate) lists: Arc<Lists>,
}

impl ParquetFileReaderFactory for Readers {
    fn create_reader(
        &self,
        _partition_index: usize,
        file: PartitionedFile,
        _metadata_size_hint: Option<usize>,
        _metrics: &ExecutionPlanMetricsSet,
    ) -> Result<Box<dyn AsyncFileReader + Send>> {
        self.opened.open(file.path().as_ref());
        // Whoever has read a file's Bloom filters goes on with another reader of it.
        let open = self.opened.kept.get(file.path());
        Ok(Box::new(Reader {
            store: self.store.clone(),
            path: file.path().clone(),
            file_bytes: file.object_meta.size,
            tail: open.map(|open| open.tail).unwrap_or_default(),
            opened: Arc::clone(&self.opened),
            ahead: Arc::clone(&self.ahead),
            lists: Arc::clone(&self.lists),
        }))
    }
}

struct Reader {
    store: Store,
    path: Path,
    file_bytes: u64,
    tail: Tail,
    opened: Arc<Opened>,
    ahead: Arc<Ahead>,
    lists: Arc<Lists>,
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Reader {
    /// The parts that were asked for, and all of each: the decoder relies on it.
    async fn read(&self, ranges: &[Range<u64>]) -> ParquetResult<Vec<Bytes>> {
        let mut parts: Vec<Option<Bytes>> =
            ranges.iter().map(|range| self.tail.part(range)).collect();
        let is_left =
            |(part, range): (&Option<Bytes>, &Range<u64>)| part.is_none().then(|| range.clone());
        let left: Vec<Range<u64>> = parts.iter().zip(ranges).filter_map(is_left).collect();
        let read = self.store.get_ranges(&self.path, &left).await;
        let mut read = read.map_err(external)?.into_iter();
        for part in parts.iter_mut().filter(|part| part.is_none()) {
            *part = read.next();
        }
        Ok(parts.into_iter().flatten().collect())
    }

    /// Reads the file's end, and in it the footer.
    async fn open(&mut self, options: Option<&ArrowReaderOptions>) -> ParquetResult<Open> {
        let end = end_of(self.file_bytes);
        let bytes = match self.ahead.opens(&self.path) {
            Some(asked) => asked.join().await.map_err(external)?.map_err(external)?,
            None => self.get_bytes(end.clone()).await?,
        };
        self.tail = Tail::new(end.start, bytes);
        let policy =
            options.map_or(PageIndexPolicy::Optional, ArrowReaderOptions::column_index_policy);
        let (file_bytes, hint) = (self.file_bytes, self.tail.len());
        let footer = ParquetMetaDataReader::new()
            .with_page_index_policy(policy)
            .with_prefetch_hint(Some(hint))
            .load_and_finish(&mut *self, file_bytes)
            .await?;
        Ok(Open { footer: Arc::new(footer), tail: self.tail.clone() })
    }
}

fn external(error: impl std::error::Error + Send + Sync + 'static) -> ParquetError {
    ParquetError::External(Box::new(error))
}

impl AsyncFileReader for Reader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, ParquetResult<Bytes>> {
        async move { Ok(self.read(&[range]).await?.pop().unwrap_or_default()) }.boxed()
    }

    fn get_byte_ranges(
        &mut self,
        ranges: Vec<Range<u64>>,
    ) -> BoxFuture<'_, ParquetResult<Vec<Bytes>>> {
        async move { self.read(&ranges).await }.boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, ParquetResult<Arc<ParquetMetaData>>> {
        async move {
            // Several parts of one file are read at once; they share its footer.
            let (opened, path) = (Arc::clone(&self.opened), self.path.clone());
            let Open { footer, tail } = opened.kept.get_or_make(&path, self.open(options)).await?;
            self.tail = tail;
            let lists = Arc::clone(&self.lists);
            if lists.misses_lists(&footer) {
                self.opened.lacks_lists(&path);
            }
            lists.narrow(&path, footer, self).await
        }
        .boxed()
    }
}
