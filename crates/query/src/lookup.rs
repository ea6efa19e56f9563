//! Chooses files by the index: those that name what a question asks for.
//!
//! An index only ever leaves files out. What it does not cover is read, and a
//! part that has been replaced meanwhile leaves out nothing.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use arrow::array::AsArray;
use datafusion::catalog::Session;
use datafusion::common::{DFSchema, Result};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::logical_expr::{col, lit};
use datafusion::physical_plan::collect;
use datafusion::physical_plan::filter::FilterExec;
use jiff::civil::Date;
use std::sync::Arc;
use table::{DataFile, IndexPart, index_schema};

use crate::events_table::EventsTable;
use crate::terms::Terms;

/// A day of fewer files is read without asking its index.
const FILES_MIN: usize = 2;

impl EventsTable {
    /// Leaves out the settled files that name nothing of what is asked for.
    pub(crate) async fn leave_out_by_index(
        &self,
        session: &dyn Session,
        terms: &Terms,
        files: Vec<DataFile>,
    ) -> Vec<DataFile> {
        if terms.is_empty() {
            return files;
        }
        let parts = self.parts_of(&files);
        let covered = |file: &DataFile| parts.iter().any(|part| part.stretch.covers(file));
        let mut kept: HashSet<String> =
            files.iter().filter(|file| covered(file)).map(|file| file.path.clone()).collect();
        for any_of in &terms.0 {
            if kept.is_empty() {
                break;
            }
            match self.files_naming(session, &parts, any_of).await {
                Ok(naming) => kept.retain(|path| naming.contains(path)),
                // It may be gone by now, and another view's index be there.
                Err(error) => {
                    tracing::debug!(%error, "an index could not be read; reading without it");
                    return files;
                }
            }
        }
        files.into_iter().filter(|file| !covered(file) || kept.contains(&file.path)).collect()
    }

    /// The parts of the indexes of the days that several of the files are of.
    fn parts_of(&self, files: &[DataFile]) -> Vec<IndexPart> {
        let mut by_date: BTreeMap<Date, usize> = BTreeMap::new();
        for partition in files.iter().filter_map(|file| file.partition.as_ref()) {
            *by_date.entry(partition.date).or_default() += 1;
        }
        let worth = by_date.into_iter().filter(|(_, files)| *files >= FILES_MIN);
        worth.flat_map(|(date, _)| self.view.snapshot.index_of(date).iter().cloned()).collect()
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
            None,
            Some(Arc::clone(&condition)),
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
