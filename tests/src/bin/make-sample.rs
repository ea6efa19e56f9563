//! Writes a synthetic organization's events to disk, as benchmarks need them.
//!
//! `make-sample logs DIR EVENTS`: CloudTrail's log files below `DIR/logs`, and
//! the same records unpacked, one a line, in `DIR/events.ndjson`. 50 accounts,
//! 8 regions and 3 days, so 1,200 partitions.
//!
//! `make-sample streams DIR STREAMS EVENTS`: for each of so many accounts
//! `DIR/<account>.ndjson` with so many records of it alone.
//!
//! `make-sample organization DIR ACCOUNTS REGIONS DAYS EVENTS`: of so many accounts a
//! log file for each region and day below `DIR/logs`, with so many events each.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result, bail};
use flate2::Compression;
use flate2::write::GzEncoder;
use sample::{Grouping, Organization, Shape};

const SEED: u64 = 42;

/// Seconds that an account acts before its stream is written: streams begin in
/// the middle of a day's work, not with everybody's first session.
const WARM_UP_SECS: i64 = 3_600;

/// Samples end here, so that the same command makes the same bytes.
const END: &str = "2026-11-20T00:00:00Z";

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["logs", dir, events] => logs(Path::new(dir), events.parse().context("EVENTS")?),
        ["streams", dir, count, events] => streams(
            Path::new(dir),
            count.parse().context("STREAMS")?,
            events.parse().context("EVENTS")?,
        ),
        ["organization", dir, counts @ ..] if counts.len() == 4 => {
            let counts: Vec<usize> =
                counts.iter().map(|count| count.parse()).collect::<Result<_, _>>()?;
            organization(Path::new(dir), &counts)
        }
        _ => bail!(
            "usage: make-sample logs DIR EVENTS | streams DIR STREAMS EVENTS | \
             organization DIR ACCOUNTS REGIONS DAYS EVENTS"
        ),
    }
}

fn logs(dir: &Path, events: u64) -> Result<()> {
    let organization = Organization::with_shape(SEED, Shape { accounts: 50, regions: 8, days: 3 });
    let end = END.parse().context("END")?;
    let logs = dir.join("logs");
    fs::create_dir_all(&logs).context("create DIR/logs")?;
    organization
        .write_log_files(&logs, events, end, Grouping::default(), |_| {})
        .context("write log files")?;
    let file = File::create(dir.join("events.ndjson")).context("create events.ndjson")?;
    let mut lines = BufWriter::new(file);
    for event in organization.events(events, end) {
        lines.write_all(&event.record).context("write events.ndjson")?;
        lines.write_all(b"\n").context("write events.ndjson")?;
    }
    lines.flush().context("write events.ndjson")
}

/// Every partition has as many events as any other, spread over its day.
fn organization(dir: &Path, counts: &[usize]) -> Result<()> {
    let [accounts, regions, days, each] = *counts else { bail!("four counts") };
    let organization = Organization::with_shape(SEED, Shape { accounts, regions: 8, days: 1 });
    let end: jiff::Timestamp = END.parse().context("END")?;
    for account in organization.accounts() {
        let mut records = organization.account_events(account).context("an account")?;
        let events = days * regions * each;
        let mut files: Vec<Vec<u8>> = vec![br#"{"Records":["#.to_vec(); days * regions];
        let step = jiff::SignedDuration::from_hours(24 * i64::try_from(days)?).as_micros()
            / i128::try_from(events)?;
        for event in 0..events {
            let back = i64::try_from(step * i128::try_from(events - event)?)?;
            let mut line = Vec::new();
            records.append(end - jiff::SignedDuration::from_micros(back), &mut line);
            let day = event / (regions * each);
            let file = files.get_mut(day * regions + event % regions).context("a file")?;
            if file.last() != Some(&b'[') {
                file.push(b',');
            }
            file.extend(in_region(&line, event % regions)?);
        }
        for (place, mut text) in files.into_iter().enumerate() {
            text.extend_from_slice(b"]}");
            let (day, region) = (place / regions, place % regions);
            let folder =
                dir.join("logs").join(account.to_string()).join(format!("region-{region:02}"));
            fs::create_dir_all(&folder).context("create a folder")?;
            let file = File::create(folder.join(format!("{day:03}.json.gz"))).context("create")?;
            let mut packed = GzEncoder::new(file, Compression::default());
            packed.write_all(&text).and_then(|()| packed.finish()).context("write a log file")?;
        }
    }
    Ok(())
}

/// The record as if it had happened in another region.
fn in_region(record: &[u8], region: usize) -> Result<Vec<u8>> {
    let text = std::str::from_utf8(record).context("a record is text")?;
    let key = "\"awsRegion\":\"";
    let (before, rest) = text.split_once(key).context("a record has a region")?;
    let (_, after) = rest.split_once('"').context("a region ends")?;
    Ok(format!("{before}{key}region-{region:02}\"{after}").into_bytes())
}

fn streams(dir: &Path, streams: usize, events: i64) -> Result<()> {
    let organization =
        Organization::with_shape(SEED, Shape { accounts: streams, regions: 8, days: 1 });
    fs::create_dir_all(dir).context("create DIR")?;
    let end: jiff::Timestamp = END.parse().context("END")?;
    for account in organization.accounts() {
        let mut records = organization.account_events(account).context("an account")?;
        let mut lines = Vec::new();
        for second in (0..events + WARM_UP_SECS).rev() {
            if second == events - 1 {
                lines.clear();
            }
            records.append(end - jiff::SignedDuration::from_secs(second), &mut lines);
            lines.push(b'\n');
        }
        fs::write(dir.join(format!("{account}.ndjson")), lines).context("write a stream")?;
    }
    Ok(())
}
