//! Leaves out row groups by what their file says of rows' lists (`indicators`).
//!
//! A condition `array_has(indicators, 'X')` holds in no row of a row group whose Bloom filter
//! does not know X, and `indicators IS NULL` in no row of a file that says that all its rows
//! have lists. Both are asked when a file's footer has been read, and what is left out is
//! taken off the footer that the engine sees. A row group without a filter, of a fresh file
//! or of an earlier release, is never left out.

use std::fmt;
use std::sync::Arc;

use datafusion::logical_expr::Expr;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::parquet::arrow::async_reader::AsyncFileReader;
use datafusion::parquet::bloom_filter::Sbbf;
use datafusion::parquet::errors::Result;
use datafusion::parquet::file::metadata::{
    KeyValue, ParquetMetaData, ParquetMetaDataBuilder, RowGroupMetaData,
};
use object_store::path::Path;
use table::encode::ALL_LISTED;
use table::schema::INDICATORS;

use crate::kept::Kept;
use crate::terms::listed;

/// The column, as Parquet names it.
const COLUMN: &str = "indicators.list.element";

/// A row group of fewer bytes is read sooner than its filter.
const GROUP_BYTES_MIN: i64 = 256 << 10;

/// Footers that are kept, for files read in several parts.
const FOOTERS_MAX: usize = 128;

type Footer = Arc<ParquetMetaData>;

/// What a scan asks of rows' lists.
pub(crate) struct Lists {
    /// Whether the condition says anything of the lists.
    asks_lists: bool,
    /// Whether a wanted row has no list.
    unlisted: bool,
    /// Of each set, a wanted row names one at least.
    any_of: Vec<Vec<String>>,
    narrowed: Kept<Path, Footer>,
}

impl fmt::Debug for Lists {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lists").field("any_of", &self.any_of).finish_non_exhaustive()
    }
}

impl Default for Lists {
    fn default() -> Self {
        Self::of_filters(&[])
    }
}

impl Lists {
    /// What a condition says of them.
    pub(crate) fn of_filters(filters: &[Expr]) -> Self {
        let names_lists =
            |filter: &Expr| filter.column_refs().iter().any(|column| column.name == INDICATORS);
        let is_unlisted = |condition: &Expr| {
            matches!(condition, Expr::IsNull(of) if matches!(of.as_ref(),
                Expr::Column(column) if column.name == INDICATORS))
        };
        Self {
            asks_lists: filters.iter().any(names_lists),
            unlisted: filters.iter().flat_map(split_conjunction).any(is_unlisted),
            any_of: listed(filters),
            narrowed: Kept::new(FOOTERS_MAX),
        }
    }

    /// The same of a question that finds rows without lists by their columns.
    pub(crate) fn beside_columns(self) -> Self {
        Self { asks_lists: false, ..self }
    }

    /// Whether lists are asked for that a file, which an earlier release wrote, does not have.
    pub(crate) fn misses_lists(&self, footer: &ParquetMetaData) -> bool {
        let columns = footer.file_metadata().schema_descr().columns();
        self.asks_lists && columns.iter().all(|column| column.path().string() != COLUMN)
    }

    /// A file's footer without the row groups in which no row is wanted.
    ///
    /// # Errors
    /// As the reader.
    pub(crate) async fn narrow(
        &self,
        path: &Path,
        footer: Footer,
        reader: &mut impl AsyncFileReader,
    ) -> Result<Footer> {
        if self.unlisted && are_all_listed(&footer) {
            return Ok(only(&footer, &vec![false; footer.num_row_groups()]));
        }
        if self.any_of.is_empty() {
            return Ok(footer);
        }
        let narrowed = async {
            let wanted = self.wanted(&footer, reader).await?;
            Ok(match wanted.iter().all(|wanted| *wanted) {
                true => Arc::clone(&footer),
                false => only(&footer, &wanted),
            })
        };
        self.narrowed.get_or_make(path, narrowed).await
    }

    /// Of each row group, whether it may have wanted rows.
    async fn wanted(
        &self,
        footer: &ParquetMetaData,
        reader: &mut impl AsyncFileReader,
    ) -> Result<Vec<bool>> {
        let mut wanted = vec![true; footer.num_row_groups()];
        let places = footer.row_groups().iter().enumerate();
        let (groups, ranges): (Vec<usize>, Vec<_>) =
            places.filter_map(|(group, of)| Some((group, filter_range(of)?))).unzip();
        if groups.is_empty() {
            return Ok(wanted);
        }
        let filters = reader.get_byte_ranges(ranges).await?;
        for (group, filter) in groups.into_iter().zip(filters) {
            // What cannot be read as a filter rules out nothing.
            let Ok(filter) = Sbbf::from_bytes(&filter) else { continue };
            let may_have =
                |texts: &Vec<String>| texts.iter().any(|text| filter.check(text.as_str()));
            if let Some(wanted) = wanted.get_mut(group) {
                *wanted = self.any_of.iter().all(may_have);
            }
        }
        Ok(wanted)
    }
}

/// Whether a file says that all its rows have lists.
fn are_all_listed(footer: &ParquetMetaData) -> bool {
    let (key, value) = ALL_LISTED;
    let said = footer.file_metadata().key_value_metadata();
    let is_it = |one: &KeyValue| (one.key.as_str(), one.value.as_deref()) == (key, Some(value));
    said.is_some_and(|said| said.iter().any(is_it))
}

/// Where a row group's filter lies, if it is worth reading.
fn filter_range(group: &RowGroupMetaData) -> Option<std::ops::Range<u64>> {
    if group.compressed_size() < GROUP_BYTES_MIN {
        return None;
    }
    let mut columns = group.columns().iter();
    let column = columns.find(|column| column.column_path().string() == COLUMN)?;
    let from = u64::try_from(column.bloom_filter_offset()?).ok()?;
    let length = u64::try_from(column.bloom_filter_length()?).ok()?;
    Some(from..from.checked_add(length)?)
}

/// The footer with the wanted row groups only.
fn only(footer: &ParquetMetaData, wanted: &[bool]) -> Footer {
    fn chosen<T: Clone>(all: &[T], wanted: &[bool]) -> Vec<T> {
        let pairs = all.iter().zip(wanted);
        pairs.filter(|(_, wanted)| **wanted).map(|(one, _)| one.clone()).collect()
    }
    let builder = ParquetMetaDataBuilder::new(footer.file_metadata().clone())
        .set_row_groups(chosen(footer.row_groups(), wanted))
        .set_column_index(footer.column_index().map(|index| chosen(index, wanted)))
        .set_offset_index(footer.offset_index().map(|index| chosen(index, wanted)));
    Arc::new(builder.build())
}
