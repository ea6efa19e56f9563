//! Chooses files by the index: those that name what a question asks for.
//!
//! An index only ever leaves files out. What it does not cover is read, and a
//! part that has been replaced meanwhile leaves out nothing. The indexes are asked
//! first: where one covers all files of a day and names none, not even the list of the
//! day's files is read, which in a large organization is longer than what it is asked for.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::AsArray;
use datafusion::catalog::Session;
use datafusion::common::{DFSchema, DataFusionError, Result};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::logical_expr::{col, lit};
use datafusion::physical_plan::collect;
use datafusion::physical_plan::filter::FilterExec;
use jiff::civil::Date;
use table::{DataFile, IndexPart, TableError, TableSnapshot, index_schema};

use crate::events_table::{EventsTable, RulingOut};
use crate::kept::Kept;
use crate::terms::Terms;

/// A day of fewer files is read without asking its index.
const FILES_MIN: u64 = 2;

/// Answers of indexes that are kept,
pub(crate) const ASKS_MAX: usize = 4;

/// and days of which what is kept of the list is.
const DAYS_MAX: usize = 512;

/// The columns of an index that are read: the indicator, and the file that names it.
const ASKED: [usize; 2] = [0, 1];

/// What is asked for, and of which days.
pub(crate) type Ask = (Terms, BTreeSet<Date>);

/// What the indexes of some days say of a question.
#[derive(Debug)]
pub(crate) struct Named {
    /// The parts of those days.
    parts: Vec<IndexPart>,
    /// The days.
    dates: BTreeSet<Date>,
    /// The covered files that name all that is asked for,
    files: BTreeSet<String>,
    /// and their days.
    file_dates: BTreeSet<Date>,
    /// What is left of lists of which an index covers all files.
    left: Kept<Date, Vec<DataFile>>,
}

impl Named {
    /// Whether a settled file may hold a part of the answer.
    fn keeps(&self, file: &DataFile) -> bool {
        self.files.contains(&file.path) || !self.parts.iter().any(|part| part.stretch.covers(file))
    }

    /// Whether nothing in the list of a day's files may hold a part of the answer.
    fn spares_list(&self, snapshot: &TableSnapshot, date: Date) -> bool {
        self.dates.contains(&date)
            && !self.file_dates.contains(&date)
            && snapshot.is_list_indexed(date)
    }

    /// The files of a day's list that may hold a part of the answer.
    ///
    /// # Errors
    /// If the list cannot be read.
    pub(crate) async fn left(
        &self,
        snapshot: &TableSnapshot,
        date: Date,
    ) -> std::result::Result<Vec<DataFile>, TableError> {
        let left = |mut files: Vec<DataFile>| {
            files.retain(|file| self.keeps(file));
            files
        };
        if self.spares_list(snapshot, date) {
            return Ok(left(snapshot.recent_files(date).to_vec()));
        }
        let read = async { snapshot.files_of(date).await.map(left) };
        // No more than the index named already.
        let is_few = snapshot.is_list_indexed(date);
        if is_few { self.left.get_or_make(&date, read).await } else { read.await }
    }
}

impl EventsTable {
    /// Asks the indexes of these days; none if the question names nothing, or an index
    /// cannot be read.
    pub(crate) async fn named(
        &self,
        session: &dyn Session,
        terms: Terms,
        dates: &[Date],
    ) -> Option<Arc<Named>> {
        let snapshot = &self.view.snapshot;
        let is_worth = |date: &Date| {
            snapshot.file_count(*date) >= FILES_MIN && !snapshot.index_of(*date).is_empty()
        };
        let dates: BTreeSet<Date> = dates.iter().copied().filter(is_worth).collect();
        if terms.is_empty() || dates.is_empty() {
            return None;
        }
        let ask = (terms, dates);
        let named = self.view.named.get_or_make(&ask, self.ask_indexes(session, &ask)).await;
        // It may be gone by now, and another view's index be there.
        let failed = |error: &DataFusionError| {
            tracing::debug!(%error, "an index could not be read; reading without it");
        };
        named.inspect_err(failed).ok()
    }

    async fn ask_indexes(&self, session: &dyn Session, ask: &Ask) -> Result<Arc<Named>> {
        let (terms, dates) = ask;
        let snapshot = &self.view.snapshot;
        let parts: Vec<IndexPart> =
            dates.iter().flat_map(|date| snapshot.index_of(*date)).cloned().collect();
        let mut files: Option<BTreeSet<String>> = None;
        for any_of in &terms.0 {
            let naming = self.files_naming(session, &parts, any_of).await?;
            match &mut files {
                Some(files) => files.retain(|path| naming.contains(path)),
                None => files = Some(naming),
            }
            if files.as_ref().is_some_and(BTreeSet::is_empty) {
                break;
            }
        }
        let files = files.unwrap_or_default();
        let file_dates = files.iter().filter_map(|path| DataFile::date_of(path)).collect();
        let left = Kept::new(DAYS_MAX);
        Ok(Arc::new(Named { parts, dates: dates.clone(), files, file_dates, left }))
    }

    /// The files that an index says name one of these.
    async fn files_naming(
        &self,
        session: &dyn Session,
        parts: &[IndexPart],
        any_of: &[String],
    ) -> Result<BTreeSet<String>> {
        let schema = index_schema();
        let values = any_of.iter().map(|text| lit(text.as_str())).collect();
        let condition = session.create_physical_expr(
            col("indicator").in_list(values, false),
            &DFSchema::try_from(Arc::clone(&schema))?,
        )?;
        let may_name = |part: &&IndexPart| any_of.iter().any(|text| part.may_name(text));
        let objects: Vec<PartitionedFile> = parts
            .iter()
            .filter(may_name)
            .map(|part| PartitionedFile::new(part.path.as_str(), part.bytes))
            .collect();
        if objects.is_empty() {
            return Ok(BTreeSet::new());
        }
        let scan = self.scan_files(
            session,
            TableSchema::from(Arc::clone(&schema)),
            objects,
            Some(ASKED.to_vec()),
            RulingOut { condition: Some(Arc::clone(&condition)), ..RulingOut::default() },
        )?;
        let chosen = Arc::new(FilterExec::try_new(condition, scan)?);
        let mut files = BTreeSet::new();
        for batch in collect(chosen, session.task_ctx()).await? {
            let paths =
                batch.column_by_name("file").and_then(|column| column.as_string_opt::<i32>());
            files.extend(paths.into_iter().flatten().flatten().map(str::to_owned));
        }
        Ok(files)
    }
}
