//! The engine: takes a question, takes a view, gives an answer.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::{Column, plan_err};
use datafusion::dataframe::DataFrame;
use datafusion::error::DataFusionError;
use datafusion::execution::context::SQLOptions;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::functions::core::expr_ext::FieldAccessor;
use datafusion::logical_expr::{Expr, lit};
use datafusion::physical_plan::execute_stream;
use datafusion::prelude::{SessionConfig, SessionContext, col};
use futures::TryStreamExt;
use futures::future::BoxFuture;
use journal::Journal;
use store::Store;
use table::schema::fresh_schema;
use table::{Filter, Seams, TRAIL_DEFAULT, TableError, TableSnapshot};
use url::Url;

use crate::answer::{Answer, explain};
use crate::comparison::ByLength;
use crate::ddl::Place;
use crate::dialect::{Parsed, parse, unknown_functions};
use crate::error::QueryError;
use crate::events_table::{EventsTable, STORE_URL};
use crate::filter::EventFilter;
use crate::functions;
use crate::json_get::JsonGet;
use crate::limits::{Limits, Running, Scanned};
use crate::question::Question;
use crate::terms::Terms;
use crate::view::View;
use crate::views::{self, EVENTS, TABLES};

/// Bytes of lines that an answer reads from the journal's tail.
pub const TAIL_LIMIT_BYTES: u64 = 256 << 20;
/// Views that are taken before a file that keeps vanishing is an error.
const VIEWS_MAX: usize = 4;

/// How an engine works.
#[derive(Clone, Debug)]
pub struct Options {
    /// The trail whose table is asked.
    pub trail: String,
    /// What questions may use.
    pub limits: Limits,
    /// Bytes of lines read from the journal's tail.
    pub tail_limit_bytes: u64,
    /// Parts that a plan is run in; 0 means one for each core.
    pub partitions: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            trail: TRAIL_DEFAULT.to_owned(),
            limits: Limits::default(),
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
///
/// What it gives is boxed, so that the planner's code is compiled here and not
/// again in every program that asks.
#[derive(Debug)]
pub struct Engine {
    store: Store,
    seams: Seams,
    options: Options,
    runtime: Arc<RuntimeEnv>,
    running: Running,
}

impl Engine {
    /// An engine for `store`. Nothing is read before the first question.
    ///
    /// # Errors
    /// If the engine cannot be set up.
    pub fn open(store: Store, seams: Seams, options: Options) -> Result<Self, QueryError> {
        let disk = DiskManagerBuilder::default()
            .with_mode(DiskManagerMode::OsTmpDirectory)
            .with_max_temp_directory_size(options.limits.spill_bytes);
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(FairSpillPool::new(options.limits.memory_bytes)))
            .with_disk_manager_builder(disk)
            .build_arc()
            .map_err(|error| QueryError::Engine(Box::new(error)))?;
        let url = Url::parse(STORE_URL).expect("the constant is a URL");
        runtime.register_object_store(&url, Arc::clone(store.objects()));
        let running = Running::new(options.limits.clone());
        Ok(Self { store, seams, options, runtime, running })
    }

    /// Answers one SQL statement that only reads.
    ///
    /// # Errors
    /// As [`Engine::ask`].
    pub async fn sql(&self, sql: &str) -> Result<Answer, QueryError> {
        self.ask(&Question::sql(sql)).await
    }

    /// Answers a question in SQL that only reads. The tables are `events`, and the
    /// views that show it as others do.
    ///
    /// # Errors
    /// If the statement is wrong or would change something, if anything that the
    /// answer needs could not be read, or a limit is reached.
    pub fn ask<'a>(&'a self, question: &'a Question) -> BoxFuture<'a, Result<Answer, QueryError>> {
        Box::pin(async move {
            let parsed = parse(&question.sql, &question.tables)?;
            let notes = parsed.notes.clone();
            let wanted = Wanted::Statement(&parsed, question);
            let mut answer = self.answer(wanted, &Terms::default()).await?;
            answer.note(notes);
            Ok(answer)
        })
    }

    /// What statements for other engines say of this store: the accounts, regions
    /// and first day of its settled files.
    ///
    /// # Errors
    /// If the table's log cannot be read.
    pub fn place<'a>(&'a self, store: &'a str) -> BoxFuture<'a, Result<Place, QueryError>> {
        Box::pin(self.read_place(store))
    }

    async fn read_place(&self, store: &str) -> Result<Place, QueryError> {
        let snapshot = TableSnapshot::load(&self.store, &self.options.trail)
            .await
            .map_err(QueryError::Table)?;
        let mut place = Place {
            store: store.trim_end_matches('/').to_owned(),
            trail: self.options.trail.clone(),
            accounts: BTreeSet::new(),
            regions: BTreeSet::new(),
            ..Place::default()
        };
        let files = snapshot.files(Filter::default());
        let mut files = std::pin::pin!(files);
        let (mut first, mut partly) = (None, BTreeSet::new());
        while let Some(file) = files.try_next().await.map_err(QueryError::Table)? {
            let Some(partition) = &file.partition else { continue };
            let parts = snapshot.copies_of(partition.date);
            if parts.iter().any(|part| part.stretch.covers(&file)) {
                place.copied.insert(partition.date);
            } else {
                partly.insert(partition.date);
            }
            place.accounts.insert(partition.account.to_string());
            place.regions.insert(partition.region.to_string());
            let dated = partition.date > jiff::civil::Date::constant(1970, 1, 1);
            if dated && first.is_none_or(|first| partition.date < first) {
                first = Some(partition.date);
            }
        }
        place.copied.retain(|date| !partly.contains(date));
        if let Some(first) = first {
            place.first_date = first.to_string();
        }
        Ok(place)
    }

    /// What the questions under way have read so far.
    #[must_use]
    pub fn scanned(&self) -> Scanned {
        self.running.scanned()
    }

    /// The events that a filter wants.
    ///
    /// # Errors
    /// If the filter cannot be meant, a column does not exist, or anything that
    /// the answer needs could not be read.
    pub fn events<'a>(
        &'a self,
        filter: &'a EventFilter,
        selection: &'a Selection,
    ) -> BoxFuture<'a, Result<Answer, QueryError>> {
        Box::pin(async move {
            let ways = filter.ways()?;
            let terms = Terms::of_named(filter);
            self.answer(Wanted::Events(&ways, selection), &terms).await
        })
    }

    /// Plans and begins a question. Settling and compaction may remove a file
    /// between the view and the reading; then another view is taken.
    async fn answer(&self, wanted: Wanted<'_>, terms: &Terms) -> Result<Answer, QueryError> {
        let mut views = 0;
        loop {
            views += 1;
            let view = Arc::new(self.view().await?);
            match self.begin(&view, wanted, terms).await {
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
        wanted: Wanted<'_>,
        terms: &Terms,
    ) -> Result<Answer, QueryError> {
        let memory_bytes = self.options.limits.memory_bytes;
        let turn = self.running.begin(view).await?;
        let run = async {
            let context = self.context(view, terms.clone())?;
            let frame = wanted.frame(&context).await?;
            let task = Arc::new(frame.task_ctx());
            let plan = frame.create_physical_plan().await?;
            turn.runs(Arc::clone(&plan));
            execute_stream(plan, task)
        };
        match turn.in_time(run).await? {
            Ok(rows) => Answer::begin(Arc::clone(view), rows, turn).await,
            Err(error) => Err(explain(view, error, memory_bytes).await),
        }
    }

    /// The table's log first, then the journal: nothing lies between.
    async fn view(&self) -> Result<View, QueryError> {
        let store = self.store.counted_apart();
        let snapshot =
            TableSnapshot::load(&store, &self.options.trail).await.map_err(QueryError::Table)?;
        let Seams { clock, entropy, blocking } = self.seams.clone();
        Ok(View::new(
            store.clone(),
            snapshot,
            Journal::new(store, clock, entropy, blocking),
            Arc::clone(&self.runtime),
            blocking,
            &self.options,
        ))
    }

    fn context(&self, view: &Arc<View>, terms: Terms) -> Result<SessionContext, DataFusionError> {
        let mut config = SessionConfig::new().with_information_schema(true);
        config.options_mut().execution.parquet.pushdown_filters = true;
        config.options_mut().execution.parquet.reorder_filters = true;
        if self.options.partitions > 0 {
            config = config.with_target_partitions(self.options.partitions);
        }
        config.options_mut().sql_parser.default_null_ordering = "nulls_last".to_owned();
        let context = SessionContext::new_with_config_rt(config, Arc::clone(&self.runtime));
        context.add_analyzer_rule(Arc::new(ByLength::default()));
        context.register_udf(JsonGet::function());
        functions::register(&context);
        context.register_table(EVENTS, Arc::new(EventsTable { view: Arc::clone(view), terms }))?;
        Ok(context)
    }
}

/// What a question wants, once it is understood.
#[derive(Clone, Copy)]
enum Wanted<'a> {
    Statement(&'a Parsed, &'a Question),
    /// Each wanted row meets one of the conditions.
    Events(&'a [Expr], &'a Selection),
}

impl Wanted<'_> {
    async fn frame(self, context: &SessionContext) -> Result<DataFrame, DataFusionError> {
        match self {
            Self::Statement(parsed, question) => {
                let frame = planned(context, parsed).await?;
                let values = question.values();
                if values.is_empty() { Ok(frame) } else { frame.with_param_values(values) }
            }
            Self::Events(ways, selection) => {
                let events = context.table(EVENTS).await?;
                let mut ways = ways.iter().map(|way| events.clone().filter(way.clone()));
                let mut frame = ways.next().unwrap_or_else(|| Ok(events.clone()))?;
                for way in ways {
                    frame = frame.union(way?)?;
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
            }
        }
    }
}

/// A column by name, or what lies in one: a member of a struct, or a value of
/// the JSON text that it holds.
pub(crate) fn column(name: &str) -> Expr {
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

/// The plan of a statement, with the views that it names.
async fn planned(context: &SessionContext, parsed: &Parsed) -> Result<DataFrame, DataFusionError> {
    for name in parsed.tables.iter().filter(|name| TABLES.contains(&name.as_str())) {
        views::register(context, name).await?;
    }
    let state = context.state();
    let unknown = unknown_functions(&parsed.statement, &state);
    if !unknown.is_empty() {
        let names = unknown.join(", ");
        return plan_err!("the query calls what orgtrail does not have: {names}");
    }
    let plan = state.statement_to_plan(parsed.statement.clone()).await?;
    read_only().verify_plan(&plan)?;
    Ok(DataFrame::new(context.state(), plan))
}
