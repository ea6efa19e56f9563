//! `orgtrail rebuild`: the table made again from the journal.

use std::convert::Infallible;

use anyhow::{Context, bail};
use table::{Config, RebuildEstimate, RebuildProgress, RebuildReport, TRAIL_DEFAULT, Table};
use tokio_util::sync::CancellationToken;

use super::compact::open_trail;
use crate::progress::Line;

/// Partitions left as they were that are named.
const LEFT_NAMED_MAX: usize = 20;

/// Make the table again from the journal: files that are damaged or gone, or that an
/// older release wrote, are replaced by new ones with the same rows.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Ctrl-C pauses it; the next call goes on where it was. Servers may run meanwhile.

Examples:
  orgtrail rebuild --store file:///var/lib/orgtrail --estimate
  orgtrail rebuild --store file:///var/lib/orgtrail
  orgtrail rebuild --store file:///var/lib/orgtrail --give-up"
)]
pub(crate) struct Args {
    /// The store: file:///…, s3://…, gs://…, az://…, or a directory.
    #[arg(long, env = "ORGTRAIL_STORE")]
    store: String,
    /// The trail whose table is made again.
    #[arg(long, default_value = TRAIL_DEFAULT)]
    trail: String,
    /// Say what there is to do and about how long it takes, and do nothing.
    #[arg(long, conflicts_with = "give_up")]
    estimate: bool,
    /// End a rebuild that was paused. What it has replaced stays.
    #[arg(long)]
    give_up: bool,
    /// Replaced files stay for this many seconds, for whoever is reading them.
    #[arg(long, default_value_t = Config::default().keep_replaced_secs)]
    keep_replaced_secs: u32,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let config = Config { keep_replaced_secs: args.keep_replaced_secs, ..Config::default() };
    let mut table = open_trail(&args.store, &args.trail, config).await?;
    if table.state().head == 0 {
        bail!("trail {} of {} has no table yet: nothing to rebuild", args.trail, args.store);
    }
    if args.estimate {
        let estimate = table.estimate_rebuild().await.context("estimate")?;
        return crate::output::print(&estimated(&table, &estimate));
    }
    if args.give_up {
        let was = table.give_up_rebuild().await.context("give up the rebuild")?;
        let said = if was { "given up; what was replaced stays" } else { "none is under way" };
        return crate::output::print(&format!("rebuild    {said}"));
    }
    let stop = CancellationToken::new();
    // What has begun is finished; Ctrl-C ends between two steps.
    let interrupted = async {
        if tokio::signal::ctrl_c().await.is_ok() {
            eprintln!("pausing after this step");
            stop.cancel();
        }
        std::future::pending::<Infallible>().await
    };
    let line = Line::new();
    let tell = |progress| line.say(&told(progress));
    let report = tokio::select! {
        done = table.rebuild(&stop, &tell) => done.context("rebuild the table")?,
        never = interrupted => match never {},
    };
    drop(line);
    table.publish().await.context("publish Iceberg metadata")?;
    crate::output::print(&reported(&report))
}

fn estimated(table: &Table, estimate: &RebuildEstimate) -> String {
    let RebuildEstimate { units, files, rows, bytes, seconds } = estimate;
    let under_way = table.state().rebuild.as_ref().map_or(String::new(), |rebuild| {
        format!(
            "\nunder way  since {}: journal record {} of {} read, {} rows replaced",
            rebuild.at, rebuild.read, rebuild.to, rebuild.replaced
        )
    });
    format!(
        "read       {units} units of the journal\n\
         replace    {files} files: {rows} rows, {bytes} bytes\n\
         needs      about {} bytes more in the store until it ends\n\
         takes      about {} here{under_way}",
        bytes.saturating_mul(3),
        spelled(*seconds),
    )
}

fn spelled(seconds: f64) -> String {
    match seconds {
        seconds if seconds < 1.0 => "a second".to_owned(),
        seconds if seconds < 120.0 => format!("{seconds:.0} s"),
        seconds if seconds < 7_200.0 => format!("{:.0} min", seconds / 60.0),
        seconds => format!("{:.1} h", seconds / 3_600.0),
    }
}

fn told(progress: RebuildProgress) -> String {
    match progress {
        RebuildProgress::Read { record, to } => format!("journal record {record} of {to} read"),
        RebuildProgress::Replaced { files, of } => format!("{files} of {of} files replaced"),
    }
}

fn reported(report: &RebuildReport) -> String {
    let RebuildReport { records, read_rows, partitions, replaced, files, rows, bytes, .. } = report;
    let mut text = format!(
        "read       {records} records of the journal: {read_rows} rows\n\
         replaced   {replaced} files of {partitions} partitions by {files}: {rows} rows, {bytes} bytes"
    );
    if report.expired > 0 {
        text.push_str(&format!(
            "\nexpired    {} rows of the journal are not in the table any more; they stay away",
            report.expired
        ));
    }
    if report.journal_expired > 0 {
        text.push_str(&format!(
            "\nexpired    {} units of the journal by its retention: what needs them is left as it is",
            report.journal_expired
        ));
    }
    if report.lost_units > 0 {
        text.push_str(&format!(
            "\nLOST       {} units with segments of the journal: see orgtrail status",
            report.lost_units
        ));
    }
    for left in report.left.iter().take(LEFT_NAMED_MAX) {
        let partition = &left.partition;
        text.push_str(&format!(
            "\nLEFT       account={} region={} date={}: {} rows as they were; {}",
            partition.account, partition.region, partition.date, left.rows, left.why
        ));
    }
    if report.left.len() > LEFT_NAMED_MAX {
        let more = report.left.len() - LEFT_NAMED_MAX;
        text.push_str(&format!("\nLEFT       and {more} more partitions"));
    }
    if report.given_up {
        text.push_str("\ngiven up   by somebody else meanwhile; what was replaced stays");
    }
    if report.more {
        text.push_str("\npaused     the same command goes on with it; --give-up ends it");
    }
    text
}
