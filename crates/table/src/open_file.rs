//! A committed file that was opened: its footer, and the bytes that were read to find it.
//!
//! What was read is not asked for again, so a small file, of which its end is all, takes
//! one request. Whoever reads many opens the next ones while it works on one: of thousands
//! of small files most of the time is waiting for the store.

use std::ops::Range;

use bytes::Bytes;
use futures::stream::{self, Stream, StreamExt};
use object_store::path::Path;
use parquet::errors::ParquetError;
use store::{Store, Tail};

use crate::decode::{FOOTER_GUESS_BYTES, Footer};
use crate::error::TableError;
use crate::files::read_range;
use crate::log::DataFile;

/// Files that are opened ahead of whoever takes them.
const FILES_AHEAD: usize = 8;

/// A file's footer and its last bytes.
#[derive(Debug)]
pub(crate) struct OpenFile {
    pub(crate) footer: Footer,
    path: Path,
    tail: Tail,
}

impl OpenFile {
    /// Opens a Parquet object of so many bytes.
    pub(crate) async fn open(store: &Store, path: &str, bytes: u64) -> Result<Self, TableError> {
        let at = Path::from(path);
        let mut tail_bytes = FOOTER_GUESS_BYTES.min(bytes);
        loop {
            let tail_from = bytes - tail_bytes;
            let tail = read_range(store, &at, tail_from..bytes).await?;
            match Footer::parse(tail.clone(), bytes) {
                Ok(footer) => {
                    return Ok(Self { footer, path: at, tail: Tail::new(tail_from, tail) });
                }
                Err(ParquetError::NeedMoreData(needed))
                    if needed as u64 > tail_bytes && needed as u64 <= bytes =>
                {
                    tail_bytes = needed as u64;
                }
                Err(error) => {
                    let what = error.to_string();
                    return Err(TableError::Damaged { path: path.to_owned(), what });
                }
            }
        }
    }

    /// A part of the file.
    pub(crate) async fn read(&self, store: &Store, range: Range<u64>) -> Result<Bytes, TableError> {
        if let Some(part) = self.tail.part(&range) {
            return Ok(part);
        }
        read_range(store, &self.path, range).await
    }
}

/// Files in their order, each with what came of opening it.
pub(crate) fn opened(
    store: Store,
    files: Vec<DataFile>,
) -> impl Stream<Item = (DataFile, Result<OpenFile, TableError>)> + Send {
    let open = move |file: DataFile| {
        let store = store.clone();
        async move {
            let open = OpenFile::open(&store, &file.path, file.bytes).await;
            (file, open)
        }
    };
    stream::iter(files).map(open).buffered(FILES_AHEAD)
}
