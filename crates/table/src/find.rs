//! Rows of files, found by where their lines lie in the journal.
//!
//! Of a file the footer is read, and then the two columns that say where: of row groups
//! that may hold what is wanted.

use std::collections::{BTreeMap, BTreeSet};

use object_store::path::Path;
use store::Store;

use crate::decode::Footer;
use crate::error::TableError;
use crate::files::read_range;
use crate::keys::{Place, place_of};
use crate::log::DataFile;
use crate::schema::{JOURNAL_RECORD, JOURNAL_ROW};

/// Rows whose places are decoded at once.
const BATCH_ROWS: usize = 8_192;

/// Rows of a file by row group: which row of the group, and its place.
pub(crate) type RowsFound = BTreeMap<usize, Vec<(usize, Place)>>;

/// The rows of a file that lie at these places.
pub(crate) async fn find_rows(
    store: &Store,
    file: &DataFile,
    footer: &Footer,
    wanted: &BTreeSet<Place>,
) -> Result<RowsFound, TableError> {
    let mut found = RowsFound::new();
    for group in 0..footer.row_groups().len() {
        let records = footer.numbers(group, JOURNAL_RECORD);
        let is_in = |place: &Place| match (&records, i64::try_from(place.record())) {
            (Some(records), Ok(record)) => records.contains(&record),
            _ => true,
        };
        if !wanted.iter().any(is_in) {
            continue;
        }
        let places = read_places(store, file, footer, group).await?.into_iter().enumerate();
        let rows: Vec<(usize, Place)> = places
            .filter_map(|(row, place)| Some((row, place.filter(|place| wanted.contains(place))?)))
            .collect();
        if !rows.is_empty() {
            found.insert(group, rows);
        }
    }
    Ok(found)
}

/// Where the rows of a row group lie.
pub(crate) async fn read_places(
    store: &Store,
    file: &DataFile,
    footer: &Footer,
    group: usize,
) -> Result<Vec<Option<Place>>, TableError> {
    let columns = [JOURNAL_RECORD, JOURNAL_ROW];
    let range = footer.columns_range(group, &columns);
    let path = Path::from(file.path.as_str());
    let bytes = (range.clone(), read_range(store, &path, range).await?);
    let damaged = |what: String| TableError::Damaged { path: file.path.clone(), what };
    let batches = footer
        .read_columns(group, bytes, BATCH_ROWS, &columns)
        .map_err(|error| damaged(error.to_string()))?;
    let mut places = Vec::new();
    for batch in batches {
        let batch = batch.map_err(|error| damaged(error.to_string()))?;
        for row in 0..batch.num_rows() {
            places.push(place_of(&batch, row).map_err(|error| damaged(error.to_string()))?);
        }
    }
    Ok(places)
}
