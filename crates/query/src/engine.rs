//! The engine: takes a question, takes a view, gives an answer.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::Column;
use datafusion::dataframe::DataFrame;
use datafusion::error::DataFusionError;
use datafusion::execution::context::SQLOptions;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::functions::core::expr_ext::FieldAccessor;
use datafusion::logical_expr::{Expr, lit};
use datafusion::prelude::{SessionConfig, SessionContext, col};
use datafusion::sql::parser::{DFParser, Statement};
use journal::Journal;
use store::Store;
use table::schema::fresh_schema;
use table::{Seams, TRAIL_DEFAULT, TableError, TableSnapshot};
use url::Url;

use crate::answer::{Answer, explain};
use crate::error::QueryError;
use crate::events_table::{EventsTable, STORE_URL};
use crate::filter::EventFilter;
use crate::json_get::JsonGet;
use crate::view::View;

/// Memory that one engine's queries may use together.
pub const MEMORY_BYTES: usize = 1 << 30;
/// Bytes of lines that an answer reads from the journal's tail.
pub const TAIL_LIMIT_BYTES: u64 = 256 << 20;
/// Views that are taken before a file that keeps vanishing is an error.
const VIEWS_MAX: usize = 4;

/// How an engine works.
#[derive(Clone, Debug)]
pub struct Options {
    /// The trail whose table is asked.
    pub trail: String,
    /// Memory that queries may use together; past it they spill or fail.
    pub memory_bytes: usize,
    /// Bytes of lines read from the journal's tail.
    pub tail_limit_bytes: u64,
    /// Parts that a plan is run in; 0 means one for each core.
    pub partitions: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            trail: TRAIL_DEFAULT.to_owned(),
            memory_bytes: MEMORY_BYTES,
            tail_limit_bytes: TAIL_LIMIT_BYTES,
            partitions: 0,
        }
    }
}

/// What of the chosen events is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Columns, or what lies in them: `useridentity.arn`,
    /// `requestparameters.bucketName`; all columns if there is none.
    pub columns: Vec<String>,
    /// At most so many events.
    pub limit: Option<usize>,
    /// Newest first; otherwise in any order, which needs no memory.
    pub newest_first: bool,
}

/// Answers questions about one store.
#[derive(Debug)]
pub struct Engine {
    store: Store,
    seams: Seams,
    options: Options,
    runtime: Arc<RuntimeEnv>,
}

impl Engine {
    /// An engine for `store`. Nothing is read before the first question.
    ///
    /// # Errors
    /// If the engine cannot be set up.
    pub fn open(store: Store, seams: Seams, options: Options) -> Result<Self, QueryError> {
        let disk = DiskManagerBuilder::default().with_mode(DiskManagerMode::OsTmpDirectory);
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(FairSpillPool::new(options.memory_bytes)))
            .with_disk_manager_builder(disk)
            .build_arc()
            .map_err(|error| QueryError::Engine(Box::new(error)))?;
        let url = Url::parse(STORE_URL).expect("the constant is a URL");
        runtime.register_object_store(&url, Arc::clone(store.objects()));
        Ok(Self { store, seams, options, runtime })
    }

    /// Answers one SQL statement that only reads. The table is `events`.
    ///
    /// # Errors
    /// If the statement is wrong or would change something, or if anything that
    /// the answer needs could not be read.
    pub async fn sql(&self, sql: &str) -> Result<Answer, QueryError> {
        let statement = one_statement(sql)?;
        self.answer(async |context| {
            let plan = context.state().statement_to_plan(statement.clone()).await?;
            read_only().verify_plan(&plan)?;
            Ok(DataFrame::new(context.state(), plan))
        })
        .await
    }

    /// The events that a filter wants.
    ///
    /// # Errors
    /// If the filter cannot be meant, a column does not exist, or anything that
    /// the answer needs could not be read.
    pub async fn events(
        &self,
        filter: &EventFilter,
        selection: &Selection,
    ) -> Result<Answer, QueryError> {
        let condition = filter.condition()?;
        self.answer(async |context| {
            let mut frame = context.table("events").await?;
            if let Some(condition) = &condition {
                frame = frame.filter(condition.clone())?;
            }
            if selection.newest_first {
                let newest = ["eventtime", "orgtrail_record", "orgtrail_row"];
                frame = frame.sort(newest.map(|name| col(name).sort(false, false)).to_vec())?;
            }
            if let Some(limit) = selection.limit {
                frame = frame.limit(0, Some(limit))?;
            }
            if !selection.columns.is_empty() {
                frame = frame.select(selection.columns.iter().map(|name| column(name)))?;
            }
            Ok(frame)
        })
        .await
    }

    /// Plans and begins a question. Settling and compaction may remove a file
    /// between the view and the reading; then another view is taken.
    async fn answer(
        &self,
        question: impl AsyncFn(&SessionContext) -> Result<DataFrame, DataFusionError>,
    ) -> Result<Answer, QueryError> {
        let mut views = 0;
        loop {
            views += 1;
            let view = Arc::new(self.view().await?);
            match self.begin(&view, &question).await {
                Err(QueryError::Missing { path }) if views < VIEWS_MAX => {
                    tracing::debug!(%path, "settled or compacted meanwhile, asking again");
                }
                // Keys of events, which a pass has merged and a sweep removed.
                Err(QueryError::Table(TableError::Missing { path })) if views < VIEWS_MAX => {
                    tracing::debug!(%path, "replaced meanwhile, asking again");
                }
                answer => return answer,
            }
        }
    }

    async fn begin(
        &self,
        view: &Arc<View>,
        question: &impl AsyncFn(&SessionContext) -> Result<DataFrame, DataFusionError>,
    ) -> Result<Answer, QueryError> {
        let memory_bytes = self.options.memory_bytes;
        let run = async {
            let context = self.context(view)?;
            question(&context).await?.execute_stream().await
        };
        match run.await {
            Ok(rows) => Answer::begin(Arc::clone(view), rows, memory_bytes).await,
            Err(error) => Err(explain(view, error, memory_bytes).await),
        }
    }

    /// The table's log first, then the journal: nothing lies between.
    async fn view(&self) -> Result<View, QueryError> {
        let snapshot = TableSnapshot::load(&self.store, &self.options.trail)
            .await
            .map_err(QueryError::Table)?;
        let Seams { clock, entropy, blocking } = self.seams.clone();
        Ok(View::new(
            self.store.clone(),
            snapshot,
            Journal::new(self.store.clone(), clock, entropy, blocking),
            Arc::clone(&self.runtime),
            blocking,
            &self.options,
        ))
    }

    fn context(&self, view: &Arc<View>) -> Result<SessionContext, DataFusionError> {
        let mut config = SessionConfig::new().with_information_schema(true);
        config.options_mut().execution.parquet.pushdown_filters = true;
        config.options_mut().execution.parquet.reorder_filters = true;
        if self.options.partitions > 0 {
            config = config.with_target_partitions(self.options.partitions);
        }
        let context = SessionContext::new_with_config_rt(config, Arc::clone(&self.runtime));
        context.register_udf(JsonGet::function());
        for name in ["events", "cloudtrail"] {
            context.register_table(name, Arc::new(EventsTable { view: Arc::clone(view) }))?;
        }
        Ok(context)
    }
}

/// A column by name, or what lies in one: a member of a struct, or a value of
/// the JSON text that it holds.
fn column(name: &str) -> Expr {
    let (top, path) = name.split_once('.').unwrap_or((name, ""));
    let top = top.to_lowercase();
    let is_struct = fresh_schema()
        .field_with_name(&top)
        .is_ok_and(|field| matches!(field.data_type(), DataType::Struct(_)));
    let found = match path {
        "" => return col(Column::from_name(top)),
        path if is_struct => path
            .split('.')
            .fold(col(Column::from_name(top)), |at, member| at.field(member.to_lowercase())),
        path => JsonGet::function().call(vec![col(Column::from_name(top)), lit(path)]),
    };
    found.alias(name)
}

fn read_only() -> SQLOptions {
    SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false)
}

/// Reads one statement, and refuses what would change something by its name.
fn one_statement(sql: &str) -> Result<Statement, QueryError> {
    use datafusion::sql::sqlparser::ast::Statement as Sql;
    let mut statements =
        DFParser::parse_sql(sql).map_err(|error| QueryError::Statement(error.strip_backtrace()))?;
    let (Some(statement), true) = (statements.pop_front(), statements.is_empty()) else {
        return Err(QueryError::Statement("ask one statement at a time".to_owned()));
    };
    let reads = |statement: &Statement| match statement {
        Statement::Statement(sql) => matches!(
            **sql,
            Sql::Query(_)
                | Sql::ExplainTable { .. }
                | Sql::ShowTables { .. }
                | Sql::ShowColumns { .. }
                | Sql::ShowFunctions { .. }
                | Sql::ShowVariable { .. }
        ),
        _ => false,
    };
    let verb = || sql.split_whitespace().next().unwrap_or_default().to_uppercase();
    match &statement {
        Statement::Explain(explain) if reads(&explain.statement) => Ok(statement),
        statement_ if reads(statement_) => Ok(statement),
        _ => Err(QueryError::ReadOnly(verb())),
    }
}
