//! The table `events` as DataFusion sees it: settled files, fresh files, tail.
//!
//! Files are chosen by the log and never by listing. Account, region and date
//! come from a settled file's path, and from the columns of fresh files and of
//! copies of days.

use std::sync::Arc;

use arrow::datatypes::{Field, FieldRef, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DataFusionError, Result};
use datafusion::datasource::TableType;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::union::UnionExec;
use datafusion::scalar::ScalarValue;
use table::DataFile;
use table::schema::{PARTITION_KEYS, fresh_schema, schema};

use crate::ahead::Ahead;
use crate::copies::with_copies;
use crate::error::QueryError;
use crate::lists::Lists;
use crate::pruning::{Pruning, days};
use crate::reader::Readers;
use crate::terms::Terms;
use crate::view::View;

/// The store, as DataFusion is told to call it.
pub(crate) const STORE_URL: &str = "orgtrail://store";

/// What may be left out of a scan.
#[derive(Default)]
pub(crate) struct RulingOut {
    /// Rows for which this does not hold,
    pub(crate) condition: Option<Arc<dyn PhysicalExpr>>,
    /// and row groups by their rows' lists.
    pub(crate) lists: Arc<Lists>,
}

/// All events that a view sees.
#[derive(Debug)]
pub(crate) struct EventsTable {
    pub(crate) view: Arc<View>,
    /// What the question asks for by name, beside what its condition says.
    pub(crate) terms: Terms,
}

impl EventsTable {
    async fn plan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
    ) -> Result<Arc<dyn ExecutionPlan>, QueryError> {
        let engine = |error| QueryError::Engine(Box::new(error));
        let pruning = Pruning::new(session, filters, &self.schema()).map_err(engine)?;
        let dates = self.view.dates(&pruning)?;
        let terms = Terms::of_filters(filters).and(self.terms.clone());
        let mut lists = Lists::of_filters(filters);
        if !self.terms.is_empty() {
            // `EventFilter::ways` says them beside these filters.
            lists = lists.beside_columns();
        }
        let lists = Arc::new(lists);
        let named = self.named(session, terms, &dates).await;
        let mut files = self.view.files(&pruning, &dates, named.as_deref()).await?;
        let (settled, copies) = with_copies(&self.view.snapshot, files.settled);
        files.settled = settled;
        files.copies.extend(copies);
        self.view.opens(files.settled.len() + files.fresh.len() + files.copies.len())?;
        self.view.planned(&files);
        let tail = self.view.tail().await?;
        self.view.asks(pruning);
        let projection = projection.cloned();
        let partitions = session.config().target_partitions();
        let mut plans: Vec<Arc<dyn ExecutionPlan>> = Vec::new();
        if !files.settled.is_empty() {
            let keys = PARTITION_KEYS
                .iter()
                .filter_map(|name| fresh_schema().field_with_name(name).ok().cloned());
            let keys: Vec<FieldRef> = keys.map(|key: Field| Arc::new(key)).collect();
            let table = TableSchema::builder(schema()).with_table_partition_cols(keys).build();
            let files = files.settled.iter().map(settled_file).collect();
            let ruling_out = RulingOut { condition: None, lists: Arc::clone(&lists) };
            let scan = self.scan_files(session, table, files, projection.clone(), ruling_out);
            plans.push(scan.map_err(engine)?);
        }
        if !files.fresh.is_empty() || !files.copies.is_empty() {
            let table = TableSchema::from(fresh_schema());
            let files = files
                .fresh
                .iter()
                .chain(&files.copies)
                .map(|file| PartitionedFile::new(file.path.as_str(), file.bytes))
                .collect();
            let ruling_out = RulingOut { condition: None, lists: Arc::clone(&lists) };
            let scan = self.scan_files(session, table, files, projection.clone(), ruling_out);
            plans.push(scan.map_err(engine)?);
        }
        if !tail.batches.is_empty() || plans.is_empty() {
            let share = tail.batches.len().div_ceil(partitions).max(1);
            let mut parts: Vec<_> = tail.batches.chunks(share).map(<[_]>::to_vec).collect();
            if parts.is_empty() {
                parts.push(Vec::new());
            }
            let source = MemorySourceConfig::try_new_exec(&parts, fresh_schema(), projection)
                .map_err(engine)?;
            plans.push(source);
        }
        UnionExec::try_new(plans).map_err(engine)
    }

    /// Scans files with these columns.
    pub(crate) fn scan_files(
        &self,
        session: &dyn Session,
        table: TableSchema,
        files: Vec<PartitionedFile>,
        projection: Option<Vec<usize>>,
        ruling_out: RulingOut,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let store = self.view.store.clone();
        let told = files.iter().map(|file| (file.path().clone(), file.object_meta.size));
        let readers = Readers {
            ahead: Arc::new(Ahead::new(store.clone(), told)),
            store,
            opened: Arc::clone(&self.view.opened),
            lists: ruling_out.lists,
        };
        let mut source = ParquetSource::new(table)
            .with_parquet_file_reader_factory(Arc::new(readers))
            // Of an index both columns are wanted at once: in one request.
            .with_pushdown_filters(ruling_out.condition.is_none())
            .with_reorder_filters(true)
            .with_enable_page_index(true)
            .with_bloom_filter_on_read(true);
        if let Some(condition) = ruling_out.condition {
            source = source.with_predicate(condition);
        }
        let groups = FileGroup::new(files).split_files(session.config().target_partitions());
        let config =
            FileScanConfigBuilder::new(ObjectStoreUrl::parse(STORE_URL)?, Arc::new(source))
                .with_file_groups(groups)
                .with_projection_indices(projection)?
                .build();
        Ok(DataSourceExec::from_data_source(config))
    }
}

/// A settled file, with the values that its path says.
fn settled_file(file: &DataFile) -> PartitionedFile {
    let part = PartitionedFile::new(file.path.as_str(), file.bytes);
    let Some(partition) = &file.partition else { return part };
    part.with_partition_values(vec![
        ScalarValue::from(partition.account.to_string()),
        ScalarValue::from(partition.region.as_str()),
        ScalarValue::Date32(days(partition.date)),
    ])
}

#[async_trait]
impl TableProvider for EventsTable {
    fn schema(&self) -> SchemaRef {
        fresh_schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.plan(session, projection, filters).await.map_err(|error| {
            let said = DataFusionError::External(error.to_string().into());
            self.view.fail(error);
            said
        })
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        // Files are chosen by them; rows are filtered again above.
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }
}
