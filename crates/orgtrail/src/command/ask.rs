//! What every question shares: the store, the filters, the form.

use std::future::Future;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use arrow::array::RecordBatch;
use clap::Args;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use query::{Answer, Coverage, Engine, EventFilter, Limits, Options};
use seam::{Blocking, Clock, Entropy};
use store::Store;
use table::Seams;
use tokio::time::Instant;

use super::last_lines::{Told, last_lines};
use super::time::{Side, parse, span};
use crate::exit::{Incomplete, Misused};
use crate::output::{Color, Format, Target, Writer, for_terminal};
use crate::progress;

/// Where to ask.
#[derive(Debug, Args)]
pub(crate) struct StoreArgs {
    /// The store: file:///…, s3://…, gs://…, az://…, or a directory
    #[arg(long, value_name = "URL", env = "ORGTRAIL_STORE")]
    store: Option<String>,
    /// Memory that the query may use, in MiB; past it, it spills to disk or fails
    #[arg(long, value_name = "MIB", default_value_t = query::MEMORY_BYTES >> 20)]
    memory_mib: usize,
    /// Disk that it may use for what does not fit in memory, in MiB
    #[arg(long, value_name = "MIB", default_value_t = query::SPILL_BYTES >> 20)]
    spill_mib: u64,
    /// Time that it may take, as 90s, 5m, 1h; 0s means as long as it takes. Past it, exit with 6
    #[arg(long, value_name = "TIME", default_value = "1h")]
    timeout: String,
    /// Exit with 5 if the answer may be incomplete
    #[arg(long)]
    require_complete: bool,
}

/// How to print the answer.
#[derive(Debug, Args)]
pub(crate) struct OutputArgs {
    /// Write to this file; it appears when it is whole
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// The time zone of times in tables, and of times given without one, as Europe/Berlin [default: UTC]
    #[arg(long, value_name = "ZONE")]
    tz: Option<String>,
    /// When to use colours
    #[arg(long, value_enum, default_value_t)]
    color: Color,
    /// Only the answer: no last lines about what was searched
    #[arg(short, long)]
    quiet: bool,
}

/// Between which times.
#[derive(Debug, Default, Args)]
pub(crate) struct TimeArgs {
    /// Events since then: 90m, 24h, 7d, today, a date, RFC 3339
    #[arg(long, value_name = "TIME", conflicts_with = "from")]
    since: Option<String>,
    /// Events from then on
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Events before then; a date means its end
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
}

impl TimeArgs {
    /// From when and before when, as it is meant at `now`.
    pub(crate) fn window(
        &self,
        now: Timestamp,
        zone: &TimeZone,
    ) -> anyhow::Result<(Option<Timestamp>, Option<Timestamp>)> {
        let time = |text: &Option<String>, side| {
            text.as_deref().map(|text| parse(text, side, now, zone)).transpose().context(Misused)
        };
        let from = time(&self.since, Side::From)?.or(time(&self.from, Side::From)?);
        Ok((from, time(&self.to, Side::To)?))
    }
}

/// Which events.
#[derive(Debug, Default, Args)]
#[command(
    next_help_heading = "Which events (repeat = or, different = and, leading ! = not, * = anything)"
)]
pub(crate) struct FilterArgs {
    #[command(flatten)]
    time: TimeArgs,
    /// Account id
    #[arg(long, value_name = "ID")]
    account: Vec<String>,
    /// Region
    #[arg(long)]
    region: Vec<String>,
    /// Event name, as ConsoleLogin or Delete*
    #[arg(long, value_name = "NAME")]
    event: Vec<String>,
    /// Event source, as s3 or s3.amazonaws.com
    #[arg(long)]
    source: Vec<String>,
    /// Who acted: a user, role or session name, an ARN, a principal id, a service
    #[arg(long, value_name = "WHO")]
    principal: Vec<String>,
    /// Access key id
    #[arg(long, value_name = "ID")]
    key: Vec<String>,
    /// Source address
    #[arg(long, value_name = "ADDRESS")]
    ip: Vec<String>,
    /// What was touched: an ARN, a name or an id that the record holds, or the end of one
    #[arg(long, value_name = "WHAT")]
    resource: Vec<String>,
    /// Failed calls: all, or those with this error code
    #[arg(long, value_name = "CODE", num_args = 0..=1, require_equals = true, default_missing_value = "*")]
    error: Vec<String>,
    /// Only calls that read
    #[arg(long, conflicts_with = "write")]
    read_only: bool,
    /// Only calls that may change something
    #[arg(long)]
    write: bool,
}

impl FilterArgs {
    /// The filter that is meant at `now`.
    pub(crate) fn filter(self, now: Timestamp, zone: &TimeZone) -> anyhow::Result<EventFilter> {
        let (from, to) = self.time.window(now, zone)?;
        Ok(EventFilter {
            from,
            to,
            accounts: self.account,
            regions: self.region,
            events: self.event,
            sources: self.source,
            principals: self.principal,
            keys: self.key,
            addresses: self.ip,
            resources: self.resource,
            named: Vec::new(),
            errors: self.error,
            read_only: match (self.read_only, self.write) {
                (true, _) => Some(true),
                (_, true) => Some(false),
                _ => None,
            },
        })
    }
}

impl OutputArgs {
    /// Of a command that prints one text to stdout.
    pub(crate) fn plain(tz: Option<String>, quiet: bool) -> Self {
        Self { out: None, tz, color: Color::default(), quiet }
    }

    /// The time that a question is asked at.
    pub(crate) fn now(&self) -> Timestamp {
        Clock::system().now()
    }

    /// The zone that times are meant and shown in.
    pub(crate) fn zone(&self) -> anyhow::Result<TimeZone> {
        match &self.tz {
            Some(name) => TimeZone::get(name).context(Misused),
            None => Ok(TimeZone::UTC),
        }
    }
}

/// A question under way.
#[derive(Debug)]
pub(crate) struct Asking {
    pub(crate) engine: Arc<Engine>,
    pub(crate) now: Timestamp,
    pub(crate) zone: TimeZone,
    begun: Instant,
    quiet: bool,
    require_complete: bool,
    to: Option<Timestamp>,
}

impl Asking {
    /// Opens the store and makes an engine for it.
    pub(crate) async fn begin(store: &StoreArgs, output: &OutputArgs) -> anyhow::Result<Self> {
        let clock = Clock::system();
        let now = clock.now();
        let zone = output.zone()?;
        let Some(url) = &store.store else {
            return Err(anyhow::Error::msg("say which store: --store URL, or ORGTRAIL_STORE")
                .context(Misused));
        };
        let time = span(&store.timeout)
            .with_context(|| format!("{:?} is no time: write 90s, 5m or 1h", store.timeout))
            .context(Misused)?;
        let opened = Store::open(&store_url(url)?).await.context("open store")?;
        let seams = Seams { clock, entropy: Entropy::system(), blocking: Blocking::Pool };
        let limits = Limits {
            memory_bytes: store.memory_mib.max(16) << 20,
            spill_bytes: store.spill_mib.saturating_mul(1 << 20),
            time: (!time.is_zero()).then(|| time.unsigned_abs()),
            ..Limits::default()
        };
        let engine = Engine::open(opened, seams, Options { limits, ..Options::default() })?;
        Ok(Self {
            engine: Arc::new(engine),
            now,
            zone,
            begun: Instant::now(),
            quiet: output.quiet,
            require_complete: store.require_complete,
            to: None,
        })
    }

    /// Only completeness up to `to` is asked for.
    pub(crate) fn until(&mut self, to: Option<Timestamp>) {
        self.to = to;
    }

    /// Waits for an answer to begin, and says meanwhile what is read.
    pub(crate) async fn ask<T>(&self, begun: impl Future<Output = T>) -> T {
        if self.quiet {
            return begun.await;
        }
        tokio::select! {
            answer = begun => answer,
            never = progress::tell(&self.engine) => match never {},
        }
    }

    /// Writes the answer, at most `rows_max` rows of it, then says on stderr what it
    /// covers.
    pub(crate) async fn tell(
        &self,
        mut answer: Answer,
        format: Format,
        output: &OutputArgs,
        rows_max: Option<u64>,
        shape: impl Fn(RecordBatch) -> anyhow::Result<RecordBatch>,
        what: &str,
    ) -> anyhow::Result<()> {
        for note in answer.notes() {
            eprintln!("note: {}", for_terminal(note));
        }
        let empty = shape(RecordBatch::new_empty(answer.schema()))?;
        let target = target(output)?;
        // A table that grows on the same terminal shows progress enough.
        let silent = target.terminal;
        let mut writer = Writer::new(format, &empty.schema(), &self.zone, target)?;
        let mut left = rows_max.unwrap_or(u64::MAX);
        let written = async {
            while let Some(batch) = answer.next().await? {
                let taken = batch.num_rows().min(usize::try_from(left).unwrap_or(usize::MAX));
                writer.write(&shape(batch.slice(0, taken))?).context("write the answer")?;
                left -= taken as u64;
                if taken < batch.num_rows() {
                    return anyhow::Ok(true);
                }
            }
            anyhow::Ok(false)
        };
        let written = if silent { written.await } else { self.ask(written).await };
        let is_cut = matches!(written, Ok(true));
        let rows = match written {
            Ok(_) => writer.finish().context("write the answer"),
            Err(error) => Err(error),
        };
        let rows = match rows {
            Err(error) if is_gone(&error) => return Ok(()),
            rows => rows?,
        };
        if is_cut {
            eprintln!("only the first {rows} {what}s; there are more: --limit 0 shows all");
        }
        self.close(rows, what, &answer.coverage())
    }

    /// Says on stderr what an answer of so many rows covers.
    pub(crate) fn close(&self, rows: u64, what: &str, coverage: &Coverage) -> anyhow::Result<()> {
        let to = self.needed_to();
        if !self.quiet {
            let seconds = self.begun.elapsed().as_secs_f64();
            eprint!("{}", last_lines(coverage, &Told { rows, what, seconds, to }));
        }
        if self.require_complete && !coverage.is_complete(to) {
            return Err(anyhow::Error::new(Incomplete));
        }
        Ok(())
    }

    /// Up to when an answer has to be complete, if that was said.
    fn needed_to(&self) -> Option<Timestamp> {
        self.to.map(|to| to.min(self.now))
    }
}

fn target(output: &OutputArgs) -> anyhow::Result<Target> {
    match &output.out {
        Some(path) => Target::file(path).with_context(|| format!("create {}", path.display())),
        None => Ok(Target::stdout(output.color)),
    }
}

/// Whether whoever read our output has gone: `| head` is no failure.
fn is_gone(error: &anyhow::Error) -> bool {
    let kinds = error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>());
    kinds.into_iter().any(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// A URL as it is, a directory as the URL that it has.
pub(crate) fn store_url(text: &str) -> anyhow::Result<String> {
    if text.contains("://") {
        return Ok(text.to_owned());
    }
    let path =
        Path::new(text).canonicalize().with_context(|| format!("find {text}")).context(Misused)?;
    match url::Url::from_directory_path(&path) {
        Ok(url) => Ok(url.to_string().trim_end_matches('/').to_owned()),
        Err(()) => bail!("{} cannot be written as a URL", path.display()),
    }
}

/// What is printed if nobody says: columns for people, lines for programs.
pub(crate) fn usual_format(output: &OutputArgs) -> Format {
    if output.out.is_none() && io::stdout().is_terminal() { Format::Table } else { Format::Ndjson }
}

/// A wrong question is the asker's to correct.
pub(crate) fn usage(error: query::QueryError) -> anyhow::Error {
    if error.is_usage() {
        anyhow::Error::new(error).context(Misused)
    } else {
        anyhow::Error::new(error)
    }
}
