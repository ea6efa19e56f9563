//! `orgtrail status`: where everything stands, and the sum that must close.
//!
//! Reads the store alone; no server is needed. The table's log is folded before
//! the journal's, so what the table has taken in is never more than what the
//! journal is said to hold.

use std::collections::BTreeSet;

use anyhow::Context;
use clap::ValueEnum;
use jiff::Timestamp;
use journal::{Journal, JournalError, State};
use seam::{Blocking, Clock, Entropy};
use serde::Serialize;
use store::Store;
use table::{
    Backlog, Completeness, DamagedSegment, Expired, Hold, Known, Loss, Losses, Statement,
    TRAIL_DEFAULT, TableSnapshot,
};

use super::last_lines::{one_loss, some_of};
use crate::output::for_terminal;

/// Show the journal's head, each stream, the table, and whether the sum closes.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  orgtrail status --store file:///var/lib/orgtrail
  orgtrail status --store s3://bucket/trail -o json")]
pub(crate) struct Args {
    /// The store: file:///…, s3://…, gs://…, az://…, or a directory.
    #[arg(long, env = "ORGTRAIL_STORE")]
    store: String,
    /// How to print it.
    #[arg(short, long, value_enum, default_value_t = Form::Text)]
    output: Form,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// For people.
    Text,
    /// One JSON object.
    Json,
}

/// Where everything stands.
#[derive(Debug, Serialize)]
pub(crate) struct Status {
    pub(crate) store: String,
    pub(crate) journal: JournalStatus,
    pub(crate) table: TableStatus,
    /// Whether journaled = rows + quarantined + duplicates + unselected + waiting.
    pub(crate) closes: bool,
    pub(crate) streams: Vec<StreamStatus>,
    /// Of each account that is expected, was ever seen or has an agent of its own.
    pub(crate) accounts: Vec<AccountStatus>,
    /// Events that are lost, as far as it is known whose they were and when.
    pub(crate) losses: Losses,
}

#[derive(Debug, Serialize)]
pub(crate) struct AccountStatus {
    pub(crate) account: String,
    /// Every event up to then is there, but for what is lost; absent means unknown.
    pub(crate) complete_to: Option<Timestamp>,
    /// Agents that cannot say how far they have come.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) unknown_because_of: Vec<String>,
    /// The regions that it has shown: what is said of the account holds for each.
    pub(crate) regions: Vec<String>,
    /// Expected regions of which nothing is known.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) unseen_regions: Vec<String>,
}

impl AccountStatus {
    fn of(statement: Statement) -> Self {
        let Statement { account, known, regions, unseen_regions } = statement;
        let complete_to = known.complete_to();
        let unknown_because_of = match known {
            Known::Unknown(agents) => agents,
            _ => Vec::new(),
        };
        let account = account.to_string();
        Self { account, complete_to, unknown_because_of, regions, unseen_regions }
    }
}

#[derive(Debug, Serialize)]
pub(crate) struct JournalStatus {
    pub(crate) head: u64,
    pub(crate) committed_at: Option<Timestamp>,
    /// Units: records and unreadable remainders.
    pub(crate) journaled: u64,
    pub(crate) lines: u64,
    pub(crate) segments: u64,
    pub(crate) segment_bytes: u64,
    pub(crate) record_bytes: u64,
    pub(crate) forks: u64,
    pub(crate) gaps: u64,
    pub(crate) lost: u64,
    /// Segments that its retention has let go: they are not missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) expired: Option<journal::Expired>,
    /// Why it cannot be read beyond the head: nothing is added until then, and
    /// agents keep what they have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) damaged: Option<String>,
}

#[derive(Debug, Serialize)]
pub(crate) struct TableStatus {
    /// The last journal record that the table holds.
    pub(crate) position: u64,
    /// Units up to there, by fate.
    pub(crate) journaled: u64,
    pub(crate) rows: u64,
    pub(crate) quarantined: u64,
    pub(crate) duplicates: u64,
    pub(crate) unselected: u64,
    /// Units in the journal that the table has not taken in yet.
    pub(crate) waiting: u64,
    pub(crate) files: u64,
    pub(crate) bytes: u64,
    pub(crate) fresh_files: u64,
    pub(crate) fresh_rows: u64,
    /// What compaction would merge now, on the newest days.
    pub(crate) backlog: BacklogStatus,
    /// The rebuild that is under way, or paused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rebuild: Option<RebuildStatus>,
    /// What retention has let go; its rows are among `rows`.
    pub(crate) expired: Expired,
    /// What is kept whatever its age.
    pub(crate) holds: Vec<Hold>,
    /// Quarantined units by reason.
    pub(crate) reasons: std::collections::BTreeMap<String, u64>,
    /// Segments of the journal that are missing or damaged: of them, so many
    /// units are in quarantine.
    pub(crate) damaged_segments: u64,
    pub(crate) damaged_units: u64,
    /// The first of them.
    pub(crate) damaged: Vec<DamagedSegment>,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct RebuildStatus {
    pub(crate) since: Timestamp,
    /// The journal record up to which rows are made again,
    pub(crate) read: u64,
    /// of this one.
    pub(crate) to: u64,
    /// Rows of the partitions that are replaced.
    pub(crate) replaced: u64,
}

#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct BacklogStatus {
    pub(crate) partitions: u64,
    pub(crate) files: u64,
    pub(crate) rows: u64,
    /// How long that takes at the pace of the last compactions; absent if unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) work_secs: Option<u64>,
}

#[derive(Debug, Serialize)]
pub(crate) struct StreamStatus {
    pub(crate) account: String,
    pub(crate) agent: String,
    pub(crate) spool: String,
    pub(crate) active: bool,
    pub(crate) watermark: u64,
    /// What the agent said it holds and the journal does not; absent if unknown.
    pub(crate) lag: Option<u64>,
    pub(crate) heard_at: Option<Timestamp>,
    pub(crate) sources: Vec<SourceStatus>,
}

#[derive(Debug, Serialize)]
pub(crate) struct SourceStatus {
    pub(crate) source: String,
    /// When it was last read to its end; absent means unknown.
    pub(crate) caught_up_at: Option<Timestamp>,
    pub(crate) known_delay_secs: Option<u64>,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let store =
        Store::open(&super::ask::store_url(&args.store)?).await.context("open the store")?;
    let status = Status::read(&store).await?;
    let text = match args.output {
        Form::Json => serde_json::to_string_pretty(&status).context("write JSON")?,
        Form::Text => status.text(),
    };
    crate::output::print(&text)?;
    anyhow::ensure!(status.closes, "the sum does not close: this store lost or doubled something");
    Ok(())
}

impl Status {
    pub(crate) async fn read(store: &Store) -> anyhow::Result<Self> {
        let table = TableSnapshot::load(store, TRAIL_DEFAULT).await.context("read the table")?;
        let journal =
            Journal::new(store.clone(), Clock::system(), Entropy::system(), Blocking::Pool);
        let (state, damage) = journal.fold_readable().await.context("read the journal")?;
        let backlog = table.backlog(Clock::system().now()).await.context("read lists of files")?;
        Ok(Self::of(store.url(), &state, damage, &table, backlog))
    }

    fn of(
        store: &str,
        state: &State,
        damage: Option<JournalError>,
        table: &TableSnapshot,
        backlog: Backlog,
    ) -> Self {
        let totals = &state.totals;
        let counts = &table.totals().counts;
        let fates = counts.rows + counts.quarantined + counts.duplicates + counts.unselected;
        let waiting = totals.journaled.saturating_sub(counts.journaled);
        let all_in = table.position() >= state.head;
        // Behind a damaged record the table may know more than can be read now.
        let reaches = damage.is_some() || counts.journaled <= totals.journaled;
        let closes = counts.journaled == fates && reaches && (!all_in || waiting == 0);
        let completeness = completeness(state, table);
        let statements = completeness.statements(table.regions(), &BTreeSet::new());
        Self {
            store: store.to_owned(),
            journal: JournalStatus {
                head: state.head,
                committed_at: state.committed_at,
                journaled: totals.journaled,
                lines: totals.lines,
                segments: totals.segments,
                segment_bytes: totals.segment_bytes,
                record_bytes: totals.record_bytes,
                forks: totals.forks,
                gaps: totals.gaps,
                lost: totals.lost,
                expired: (state.expired.to > 0).then_some(state.expired),
                damaged: damage.map(|error| format!("{:#}", anyhow::Error::from(error))),
            },
            table: TableStatus {
                position: table.position(),
                journaled: counts.journaled,
                rows: counts.rows,
                quarantined: counts.quarantined,
                duplicates: counts.duplicates,
                unselected: counts.unselected,
                waiting,
                files: table.totals().files,
                bytes: table.totals().bytes,
                fresh_files: table.state().fresh.len() as u64,
                fresh_rows: table.state().fresh_rows(),
                backlog: BacklogStatus {
                    partitions: backlog.partitions,
                    files: backlog.files,
                    rows: backlog.rows,
                    work_secs: backlog.work_secs,
                },
                rebuild: table.state().rebuild.as_ref().map(|rebuild| RebuildStatus {
                    since: rebuild.at,
                    read: rebuild.read,
                    to: rebuild.to,
                    replaced: rebuild.replaced,
                }),
                expired: table.totals().expired,
                holds: table.state().holds().cloned().collect(),
                reasons: table.totals().reasons.clone(),
                damaged_segments: table.totals().damage.segments,
                damaged_units: table.totals().damage.units,
                damaged: table.totals().damage.first.clone(),
            },
            closes,
            streams: streams(state),
            accounts: statements.into_iter().map(AccountStatus::of).collect(),
            losses: completeness.losses,
        }
    }

    fn text(&self) -> String {
        let mut text = String::new();
        let Self { journal, table, .. } = self;
        let at = journal.committed_at.map(|at| format!(", {at}")).unwrap_or_default();
        let mut line = |line: String| {
            text.push_str(&line);
            text.push('\n');
        };
        line(format!("store      {}", self.store));
        line(format!(
            "journal    record {}{at}; {} segments, {} bytes, and {} bytes of records",
            journal.head, journal.segments, journal.segment_bytes, journal.record_bytes
        ));
        line(format!(
            "table      record {}; {} files, {} bytes; {} rows in {} fresh files",
            table.position, table.files, table.bytes, table.fresh_rows, table.fresh_files
        ));
        line(format!(
            "sum        {} journaled = {} rows + {} quarantined + {} duplicates + {} unselected{}: {}",
            journal.journaled,
            table.rows,
            table.quarantined,
            table.duplicates,
            table.unselected,
            match table.waiting {
                0 => String::new(),
                waiting => format!(" + {waiting} waiting for the next pass"),
            },
            if self.closes { "closes" } else { "DOES NOT CLOSE" }
        ));
        let BacklogStatus { partitions, files, rows, work_secs } = table.backlog;
        if files > 0 {
            let work = match work_secs {
                Some(secs) => format!("about {secs} s of work at the last compactions' pace"),
                None => "how long is unknown: none has ended lately".to_owned(),
            };
            line(format!(
                "compaction {files} small files of {partitions} partitions wait, {rows} rows; {work}"
            ));
        }
        if let Some(RebuildStatus { since, read, to, replaced }) = table.rebuild {
            line(format!(
                "rebuild    since {since}: journal record {read} of {to} read, {replaced} rows replaced; \
                 orgtrail rebuild goes on"
            ));
        }
        let Expired { files, rows, quarantined, last, .. } = table.expired;
        if let Some(last) = last {
            line(format!(
                "expired    {rows} of the rows, {files} files of days up to {last}, by retention"
            ));
        }
        if quarantined > 0 {
            line(format!("expired    {quarantined} objects of quarantine, by retention"));
        }
        if let Some(expired) = &journal.expired {
            line(journal_expired(expired));
        }
        for hold in &table.holds {
            line(format!("hold       {}", described(hold)));
        }
        for (reason, units) in &table.reasons {
            line(format!("quarantine {units} {reason}"));
        }
        if let Some(damaged) = &journal.damaged {
            line(format!(
                "DAMAGED    the journal cannot be read behind record {}, and nothing is added: {damaged}",
                journal.head
            ));
        }
        for damaged in &table.damaged {
            line(format!(
                "DAMAGED    record {} segment {} is {}",
                damaged.record,
                damaged.segment,
                match (damaged.expired, damaged.missing) {
                    (true, _) => "not in the table: it had expired by retention before a pass",
                    (false, true) => "missing",
                    (false, false) => "not what was committed",
                }
            ));
            for lost in &damaged.lost {
                line(format!(
                    "  lost     {}/{} spool {}: sequences {} to {}, {} units in quarantine",
                    lost.account, lost.agent, lost.spool, lost.first, lost.last, lost.units
                ));
            }
        }
        let unnamed = table.damaged_segments - table.damaged.len() as u64;
        if unnamed > 0 {
            line(format!("DAMAGED    and {unnamed} more segments, named in quarantine"));
        }
        if journal.forks + journal.gaps > 0 {
            line(format!(
                "history    {} forks, {} gaps with {} lost",
                journal.forks, journal.gaps, journal.lost
            ));
        }
        self.accounts_text(&mut line);
        for stream in &self.streams {
            let lag = match stream.lag {
                Some(lag) => format!("{lag} behind"),
                None => "lag unknown".to_owned(),
            };
            let fenced = if stream.active { "" } else { ", ended" };
            line(format!(
                "stream     {}/{} spool {}: at {}, {lag}{fenced}",
                stream.account,
                stream.agent,
                stream.spool.get(..8).unwrap_or(&stream.spool),
                stream.watermark
            ));
            for source in &stream.sources {
                let caught_up = match source.caught_up_at {
                    Some(at) => format!("read to its end at {at}"),
                    None => "completeness unknown".to_owned(),
                };
                let delay = match source.known_delay_secs {
                    Some(secs) => format!("; the source is {secs} s behind events"),
                    None => String::new(),
                };
                line(format!("  source   {}: {caught_up}{delay}", source.source));
            }
        }
        text
    }

    /// A few lines, however many accounts there are.
    fn accounts_text(&self, line: &mut impl FnMut(String)) {
        let whole = self.accounts.iter().filter(|one| one.unseen_regions.is_empty());
        let times: Vec<Timestamp> = whole.filter_map(|one| one.complete_to).collect();
        if let Some(least) = times.iter().min() {
            let accounts = if times.len() == 1 { "account" } else { "accounts" };
            line(format!("complete   {} {accounts}, to {least:.0}", times.len()));
        }
        let unknown = self.accounts.iter().filter(|one| one.complete_to.is_none());
        if let Some(named) = some_of(unknown.map(|one| one.account.clone()).collect()) {
            line(format!("unknown    {named}: whether events are missing"));
        }
        let unseen = self.accounts.iter().flat_map(|one| {
            one.unseen_regions.iter().map(|region| format!("{} in {region}", one.account))
        });
        if let Some(named) = some_of(unseen.collect()) {
            line(format!("unknown    {}: no event was ever seen", for_terminal(&named)));
        }
        let mut losses: Vec<&Loss> = self.losses.iter().collect();
        losses.sort_by_key(|loss| std::cmp::Reverse(loss.to));
        if let Some(named) = some_of(losses.into_iter().map(one_loss).collect()) {
            line(format!("lost       {named}"));
        }
    }
}

/// What statements of completeness rest on now. What the table has not taken in
/// yet is of use where the journal can be read on from there.
fn completeness(state: &State, table: &TableSnapshot) -> Completeness {
    let known = &table.state().completeness;
    if state.head < table.position() {
        return known.clone();
    }
    known.with(state, Losses::default())
}

/// What the journal's retention has let go, in one line.
fn journal_expired(expired: &journal::Expired) -> String {
    let journal::Expired { to, committed_at, deleted, segments, units, bytes, damaged, .. } =
        expired;
    let at = committed_at.map(|at| format!(" of {at}")).unwrap_or_default();
    let mut line = format!(
        "expired    {units} of the journaled, {segments} segments, {bytes} bytes up to journal \
         record {to}{at}, by retention"
    );
    if deleted < to {
        line.push_str(&format!("; not deleted yet behind record {deleted}"));
    }
    if *damaged > 0 {
        line.push_str(&format!("; {damaged} of them were missing or damaged before"));
    }
    line
}

/// A hold in one line.
pub(crate) fn described(hold: &Hold) -> String {
    let mut line = format!("case {}: ", hold.case);
    line.push_str(&hold.account.map_or("every account".to_owned(), |one| format!("account {one}")));
    if let Some(from) = hold.from {
        line.push_str(&format!(", from {from}"));
    }
    if let Some(to) = hold.to {
        line.push_str(&format!(", to {to}"));
    }
    if let Some(principal) = &hold.principal {
        line.push_str(&format!(", for {}", for_terminal(principal)));
    }
    line.push_str(&format!("; {}: {}", for_terminal(&hold.by), for_terminal(&hold.why)));
    line
}

fn streams(state: &State) -> Vec<StreamStatus> {
    let mut streams = Vec::new();
    for (number, stream) in &state.streams {
        let key = journal::AgentKey { account: stream.account, agent: stream.agent.clone() };
        let agent = state.agent(&key).filter(|agent| agent.active == *number);
        let progress = agent.map(|agent| &agent.progress);
        let heard = progress.filter(|progress| progress.heard_at != Timestamp::UNIX_EPOCH);
        streams.push(StreamStatus {
            account: stream.account.to_string(),
            agent: stream.agent.to_string(),
            spool: stream.spool.to_string(),
            active: agent.is_some() && !stream.ended,
            watermark: stream.watermark,
            lag: heard.map(|progress| progress.head.saturating_sub(stream.watermark)),
            heard_at: heard.map(|progress| progress.heard_at),
            sources: heard
                .into_iter()
                .flat_map(|progress| &progress.sources)
                .map(|(source, progress)| SourceStatus {
                    // Named by an agent: shown, so without control characters.
                    source: source.chars().filter(|c| !c.is_control()).collect(),
                    caught_up_at: progress.caught_up_at,
                    known_delay_secs: progress.known_delay_secs,
                })
                .collect(),
        });
    }
    streams.sort_by(|a, b| (&a.account, &a.agent).cmp(&(&b.account, &b.agent)));
    streams
}
