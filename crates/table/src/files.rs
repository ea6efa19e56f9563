//! Gathered rows become files, and files become objects.
//!
//! Names follow from the intent, so an object that is there already is another
//! process's copy of the same rows: it is read back, and what is committed is
//! what lies there. Its bytes may differ, its rows may not.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use bytes::Bytes;
use object_store::path::Path;
use parquet::errors::ParquetError;
use store::{CreateError, Store, StoreError};

use crate::choose::choose;
use crate::decode::Footer;
use crate::encode::{Encoded, FileWriter, Kind};
use crate::error::TableError;
use crate::gather::{Gathered, Placed};
use crate::indicators::with_indicators;
use crate::layout::Layout;
use crate::log::DataFile;
use crate::open_file::OpenFile;
use crate::order::{RowOrder, with_partitions};
use crate::partition::Partition;

/// Rows are handed to an encoder in batches of so many.
pub(crate) const ENCODE_BATCH_ROWS: usize = 1024;

/// Objects that are being put at once.
pub(crate) const PUTS_IN_FLIGHT: usize = 4;

/// A file that is encoded and not yet put.
#[derive(Clone, Debug)]
pub(crate) struct NewFile {
    /// Where it goes.
    pub(crate) path: Path,
    /// Whose rows it holds; none for a fresh one.
    pub(crate) partition: Option<Partition>,
    /// Its rows.
    pub(crate) encoded: Encoded,
}

/// The files of one pass.
#[derive(Debug, Default)]
pub(crate) struct PassFiles {
    /// Files of partitions that gathered enough rows, then the fresh one.
    pub(crate) files: Vec<NewFile>,
    /// How many partitions the fresh rows belong to.
    pub(crate) fresh_partitions: Vec<Partition>,
}

pub(crate) fn encode_failed(error: &(impl std::fmt::Display + ?Sized)) -> TableError {
    TableError::Encode(error.to_string())
}

/// Sorts gathered rows and encodes them: one file for each partition with at
/// least `partition_rows_min` rows, and one for all others.
pub(crate) fn encode_pass(
    gathered: &Gathered,
    layout: &Layout,
    intent: u64,
    partition_rows_min: u64,
) -> Result<PassFiles, TableError> {
    let sorted = Sorted::new(&[&gathered.placed]).map_err(|error| encode_failed(&error))?;
    let mut output = PassFiles::default();
    for (partition, rows) in sorted.partitions() {
        if rows.len() as u64 >= partition_rows_min {
            let mut writer = FileWriter::new(Kind::Partition);
            for chunk in rows.chunks(ENCODE_BATCH_ROWS) {
                let batch = sorted.rows(chunk).map_err(|error| encode_failed(&error))?;
                writer.write(&batch).map_err(|error| encode_failed(&error))?;
            }
            output.files.push(NewFile {
                path: layout.partition_file(partition, intent, 0),
                partition: Some(partition.clone()),
                encoded: writer.close().map_err(|error| encode_failed(&error))?,
            });
        } else {
            output.fresh_partitions.push(partition.clone());
        }
    }
    let few: Vec<(&Partition, &[RowAt])> =
        sorted.partitions().filter(|(_, rows)| (rows.len() as u64) < partition_rows_min).collect();
    if !few.is_empty() {
        let encoded = sorted.encode(&few).map_err(|error| encode_failed(&error))?;
        let path = layout.fresh_file(intent, 0);
        output.files.push(NewFile { path, partition: None, encoded });
    }
    Ok(output)
}

/// Sorts the rows of several passes by day, and then as a pass does, and encodes them
/// as one file; none if there are none.
pub(crate) fn encode_by_day(passes: &[Placed]) -> Result<Option<Encoded>, TableError> {
    let passes: Vec<&Placed> = passes.iter().collect();
    let sorted = Sorted::new(&passes).map_err(|error| encode_failed(&error))?;
    let mut all: Vec<(&Partition, &[RowAt])> = sorted.partitions().collect();
    all.sort_by_key(|(partition, _)| partition.date);
    if all.is_empty() {
        return Ok(None);
    }
    sorted.encode(&all).map(Some).map_err(|error| encode_failed(&error))
}

/// A row: which batch, and where in it.
pub(crate) type RowAt = (usize, usize);

/// Where the rows of each partition lie, in the order of a file.
struct Sorted<'a> {
    batches: Vec<&'a RecordBatch>,
    by_partition: BTreeMap<&'a Partition, Vec<RowAt>>,
}

impl<'a> Sorted<'a> {
    /// The rows of passes, given in the order of the journal.
    fn new(passes: &[&'a Placed]) -> Result<Self, ArrowError> {
        let order = RowOrder::new()?;
        let (mut batches, mut keys) = (Vec::new(), Vec::new());
        let mut by_partition: BTreeMap<&Partition, Vec<RowAt>> = BTreeMap::new();
        for placed in passes {
            let mut rows_of: Vec<Vec<RowAt>> = vec![Vec::new(); placed.partitions.len()];
            for (index, (batch, places)) in placed.batches.iter().enumerate() {
                for (row, place) in places.iter().enumerate() {
                    if placed.duplicates.contains(&(index, row)) {
                        continue;
                    }
                    if let Some(rows) = rows_of.get_mut(*place as usize) {
                        rows.push((batches.len(), row));
                    }
                }
                keys.push(order.keys(batch)?);
                batches.push(batch);
            }
            for (partition, rows) in placed.partitions.iter().zip(rows_of) {
                if !rows.is_empty() {
                    by_partition.entry(partition).or_default().extend(rows);
                }
            }
        }
        let key = |at: &RowAt| keys.get(at.0).map(|keys| keys.row(at.1));
        for rows in by_partition.values_mut() {
            // Equal keys stay in the journal's order, so that every run sorts alike.
            rows.sort_by(|a, b| key(a).cmp(&key(b)));
        }
        Ok(Self { batches, by_partition })
    }

    /// One file of the rows of these partitions, which are columns in it.
    fn encode(&self, partitions: &[(&Partition, &[RowAt])]) -> Result<Encoded, ArrowError> {
        let rows: Vec<(&Partition, RowAt)> = partitions
            .iter()
            .flat_map(|(partition, rows)| rows.iter().map(move |row| (*partition, *row)))
            .collect();
        let mut writer = FileWriter::new(Kind::Fresh);
        for chunk in rows.chunks(ENCODE_BATCH_ROWS) {
            let places: Vec<RowAt> = chunk.iter().map(|(_, row)| *row).collect();
            let partitions: Vec<&Partition> =
                chunk.iter().map(|(partition, _)| *partition).collect();
            writer.write(&with_partitions(&self.rows(&places)?, &partitions)?)?;
        }
        Ok(writer.close()?)
    }

    fn partitions(&self) -> impl Iterator<Item = (&'a Partition, &[RowAt])> {
        self.by_partition.iter().map(|(partition, rows)| (*partition, rows.as_slice()))
    }

    fn rows(&self, rows: &[RowAt]) -> Result<RecordBatch, ArrowError> {
        with_indicators(choose(&self.batches, rows)?)
    }
}

/// Puts a file, or finds that it was put. Says whether this call made it.
pub(crate) async fn put_file(store: &Store, file: NewFile) -> Result<(DataFile, bool), TableError> {
    let NewFile { path, partition, encoded } = file;
    let (bytes, created) = put(store, &path, encoded.bytes.clone()).await?;
    if !created {
        let rows = footer_of(&bytes).map_err(|error| TableError::Damaged {
            path: path.to_string(),
            what: error.to_string(),
        })?;
        if rows.rows() != encoded.rows {
            let what = format!("it holds {} rows, its intent makes {}", rows.rows(), encoded.rows);
            return Err(TableError::Damaged { path: path.to_string(), what });
        }
    }
    // What lies there is what is committed.
    let file = DataFile::of(&path, partition, &Encoded { bytes, ..encoded });
    Ok((file, created))
}

/// Creates an object. If there is one, gives its bytes instead of ours, and false.
pub(crate) async fn put(
    store: &Store,
    path: &Path,
    bytes: Bytes,
) -> Result<(Bytes, bool), TableError> {
    match store.create(path, bytes.clone()).await {
        Ok(()) => Ok((bytes, true)),
        Err(CreateError::AlreadyExists) => match store.get(path).await {
            Ok(Some(there)) => Ok((there, false)),
            Ok(None) => Err(TableError::Missing { path: path.to_string() }),
            Err(error) => Err(TableError::Store(error)),
        },
        // It may have landed; whoever finishes the intent finds it then.
        Err(error) => Err(TableError::Store(StoreError::from(error))),
    }
}

fn footer_of(bytes: &Bytes) -> Result<Footer, ParquetError> {
    Footer::parse(bytes.clone(), bytes.len() as u64)
}

/// Reads the footer of a committed file.
pub(crate) async fn read_footer(store: &Store, file: &DataFile) -> Result<Footer, TableError> {
    Ok(OpenFile::open(store, &file.path, file.bytes).await?.footer)
}

/// Reads a part of a committed file.
pub(crate) async fn read_range(
    store: &Store,
    path: &Path,
    range: std::ops::Range<u64>,
) -> Result<Bytes, TableError> {
    match store.get_range(path, range).await {
        Ok(bytes) => Ok(bytes),
        Err(StoreError::Absent { path, .. }) => Err(TableError::Missing { path }),
        Err(error) => Err(TableError::Store(error)),
    }
}
