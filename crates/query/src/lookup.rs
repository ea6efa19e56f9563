//! Chooses files by the index: those that name what a question asks for.
//!
//! An index only ever leaves files out. What it does not cover is read, and a
//! part that has been replaced meanwhile leaves out nothing. The indexes are asked
//! first: where one covers all files of a day and names none, not even the list of the
//! day's files is read, which in a large organization is longer than what it is asked for.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::AsArray;
use datafusion::catalog::Session;
use datafusion::common::{DFSchema, Result};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::logical_expr::{col, lit};
use datafusion::physical_plan::collect;
use datafusion::physical_plan::filter::FilterExec;
use jiff::civil::Date;
use table::{DataFile, IndexPart, TableSnapshot, index_schema};

use crate::events_table::{EventsTable, RulingOut};
use crate::terms::Terms;

/// A day of fewer files is read without asking its index.
const FILES_MIN: u64 = 2;

/// Answers of indexes that are kept.
const ASKS_MAX: usize = 4;

/// The columns of an index that are read: the indicator, and the file that names it.
const ASKED: [usize; 2] = [0, 1];

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
}

impl Named {
    /// Whether a settled file may hold a part of the answer.
    pub(crate) fn keeps(&self, file: &DataFile) -> bool {
        self.files.contains(&file.path) || !self.parts.iter().any(|part| part.stretch.covers(file))
    }

    /// Whether nothing in the list of a day's files may hold a part of the answer.
    pub(crate) fn spares_list(&self, snapshot: &TableSnapshot, date: Date) -> bool {
        self.dates.contains(&date)
            && !self.file_dates.contains(&date)
            && snapshot.is_list_indexed(date)
    }
}

/// What indexes were asked last, and which files they named: a question may look at the
/// events several times.
#[derive(Debug, Default)]
pub(crate) struct Asked(Mutex<VecDeque<(Ask, Arc<BTreeSet<String>>)>>);

/// Which days' indexes are asked for files that name one of some texts.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Ask {
    dates: BTreeSet<Date>,
    any_of: Vec<String>,
}

impl Asked {
    fn find(&self, ask: &Ask) -> Option<Arc<BTreeSet<String>>> {
        let asked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        asked.iter().find(|(kept, _)| kept == ask).map(|(_, files)| Arc::clone(files))
    }

    fn keep(&self, ask: Ask, files: BTreeSet<String>) -> Arc<BTreeSet<String>> {
        let files = Arc::new(files);
        let mut asked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        asked.push_front((ask, Arc::clone(&files)));
        asked.truncate(ASKS_MAX);
        files
    }
}

impl EventsTable {
    /// Asks the indexes of these days; none if the question names nothing, or an index
    /// cannot be read.
    pub(crate) async fn named(
        &self,
        session: &dyn Session,
        terms: &Terms,
        dates: &[Date],
    ) -> Option<Named> {
        let snapshot = &self.view.snapshot;
        let is_worth = |date: &Date| {
            snapshot.file_count(*date) >= FILES_MIN && !snapshot.index_of(*date).is_empty()
        };
        let dates: BTreeSet<Date> = dates.iter().copied().filter(is_worth).collect();
        if terms.is_empty() || dates.is_empty() {
            return None;
        }
        let parts: Vec<IndexPart> =
            dates.iter().flat_map(|date| snapshot.index_of(*date)).cloned().collect();
        let mut files: Option<BTreeSet<String>> = None;
        for any_of in &terms.0 {
            let ask = Ask { dates: dates.clone(), any_of: any_of.clone() };
            let asked = &self.view.asked_indexes;
            let naming = match asked.find(&ask) {
                Some(naming) => Ok(naming),
                None => {
                    let naming = self.files_naming(session, &parts, any_of).await;
                    naming.map(|naming| asked.keep(ask, naming))
                }
            };
            match naming {
                Ok(naming) => match &mut files {
                    Some(files) => files.retain(|path| naming.contains(path)),
                    None => files = Some(naming.as_ref().clone()),
                },
                // It may be gone by now, and another view's index be there.
                Err(error) => {
                    tracing::debug!(%error, "an index could not be read; reading without it");
                    return None;
                }
            }
            if files.as_ref().is_some_and(BTreeSet::is_empty) {
                break;
            }
        }
        let files = files.unwrap_or_default();
        let file_dates = files.iter().filter_map(|path| DataFile::date_of(path)).collect();
        Some(Named { parts, dates, files, file_dates })
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
