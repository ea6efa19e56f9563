//! Reads data files for DataFusion: counts bytes, and remembers what was opened.
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
use store::Store;

use crate::blooms::Blooms;

/// Opened files that are remembered: the last ones, since a failure follows its
/// file closely.
const OPENED_MAX: usize = 4_096;

/// Footers that are kept, for files read in several parts.
const FOOTERS_MAX: usize = 128;

/// What has been opened so far.
#[derive(Debug, Default)]
pub(crate) struct Opened {
    paths: Mutex<Vec<String>>,
    footers: Mutex<VecDeque<(Path, Arc<ParquetMetaData>)>>,
    without_lists: Mutex<BTreeSet<String>>,
}

impl Opened {
    /// The files opened so far, the newest last.
    pub(crate) fn paths(&self) -> Vec<String> {
        self.paths.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many files do not list what their rows name, and were asked for it.
    pub(crate) fn without_lists(&self) -> u64 {
        self.without_lists.lock().unwrap_or_else(PoisonError::into_inner).len() as u64
    }

    fn lacks_lists(&self, path: &Path) {
        let mut paths = self.without_lists.lock().unwrap_or_else(PoisonError::into_inner);
        paths.insert(path.to_string());
    }

    fn footer(&self, path: &Path) -> Option<Arc<ParquetMetaData>> {
        let footers = self.footers.lock().unwrap_or_else(PoisonError::into_inner);
        footers.iter().find(|(kept, _)| kept == path).map(|(_, footer)| Arc::clone(footer))
    }

    fn keep_footer(&self, path: &Path, footer: &Arc<ParquetMetaData>) {
        let mut footers = self.footers.lock().unwrap_or_else(PoisonError::into_inner);
        footers.push_front((path.clone(), Arc::clone(footer)));
        footers.truncate(FOOTERS_MAX);
    }

    fn open(&self, path: &str) {
        let mut paths = self.paths.lock().unwrap_or_else(PoisonError::into_inner);
        if paths.last().is_some_and(|last| last == path) {
            return;
        }
        if paths.len() == OPENED_MAX {
            paths.remove(0);
        }
        paths.push(path.to_owned());
    }
}

/// Makes readers of one store that count what they read of it.
#[derive(Debug)]
pub(crate) struct CountingReaders {
    pub(crate) store: Store,
    pub(crate) opened: Arc<Opened>,
    /// What rules out row groups.
    pub(crate) blooms: Arc<Blooms>,
}

impl ParquetFileReaderFactory for CountingReaders {
    fn create_reader(
        &self,
        _partition_index: usize,
        file: PartitionedFile,
        metadata_size_hint: Option<usize>,
        _metrics: &ExecutionPlanMetricsSet,
    ) -> Result<Box<dyn AsyncFileReader + Send>> {
        self.opened.open(file.path().as_ref());
        Ok(Box::new(CountingReader {
            store: self.store.clone(),
            path: file.path().clone(),
            file_bytes: file.object_meta.size,
            footer_hint_bytes: metadata_size_hint,
            opened: Arc::clone(&self.opened),
            blooms: Arc::clone(&self.blooms),
        }))
    }
}

struct CountingReader {
    store: Store,
    path: Path,
    file_bytes: u64,
    footer_hint_bytes: Option<usize>,
    opened: Arc<Opened>,
    blooms: Arc<Blooms>,
}

impl fmt::Debug for CountingReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CountingReader").field("path", &self.path).finish_non_exhaustive()
    }
}

impl CountingReader {
    /// The parts that were asked for, and all of each: the decoder relies on it.
    async fn read(&self, ranges: &[Range<u64>]) -> ParquetResult<Vec<Bytes>> {
        let parts = self
            .store
            .objects()
            .get_ranges(&self.path, ranges)
            .await
            .map_err(|error| ParquetError::External(Box::new(error)))?;
        for (range, part) in ranges.iter().zip(&parts) {
            if part.len() as u64 != range.end - range.start {
                return Err(ParquetError::EOF(format!(
                    "{} ends before byte {}",
                    self.path, range.end
                )));
            }
        }
        self.store.reads().count_ranges(ranges);
        Ok(parts)
    }

    async fn footer(
        &mut self,
        options: Option<&ArrowReaderOptions>,
    ) -> ParquetResult<Arc<ParquetMetaData>> {
        // Several parts of one file are read at once; they share its footer.
        if let Some(footer) = self.opened.footer(&self.path) {
            return Ok(footer);
        }
        let policy =
            options.map_or(PageIndexPolicy::Optional, ArrowReaderOptions::column_index_policy);
        let (file_bytes, hint) = (self.file_bytes, self.footer_hint_bytes);
        let footer = ParquetMetaDataReader::new()
            .with_page_index_policy(policy)
            .with_prefetch_hint(hint)
            .load_and_finish(&mut *self, file_bytes)
            .await?;
        let footer = Arc::new(footer);
        self.opened.keep_footer(&self.path, &footer);
        Ok(footer)
    }
}

impl AsyncFileReader for CountingReader {
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
            let footer = self.footer(options).await?;
            let (path, blooms) = (self.path.clone(), Arc::clone(&self.blooms));
            if blooms.misses_lists(&footer) {
                self.opened.lacks_lists(&path);
            }
            blooms.narrow(&path, footer, self).await
        }
        .boxed()
    }
}
