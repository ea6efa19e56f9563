//! Whoever reads sees every row once, whatever is being done to the files.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use sample::{Organization, Shape};
use serde_json::Value;
use tests::feed::Feed;
use tests::fleet::Fleet;
use tests::programs::orgtrail;
use tests::python::{Python, run};

/// Rows of the account that is looked at.
const ROWS: u64 = 1_000;
/// How long the other account goes on while everything is read.
const STREAM: Duration = Duration::from_secs(20);
const PATIENCE: Duration = Duration::from_secs(120);

/// One account is complete, another one streams; passes, settling and compaction
/// run all the time. Neither `orgtrail query` nor DuckDB with the generated list
/// of files ever misses a row or sees one twice.
#[test]
fn readers_see_every_row_once_while_files_come_and_go() {
    let mut scene = Scene::new().expect("make a scene");
    if let Err(error) = scene.play() {
        panic!("{error:?}\n{}", scene.fleet.said());
    }
}

struct Scene {
    fleet: Fleet,
    accounts: Vec<String>,
    feeds: Vec<Feed<'static>>,
}

impl Scene {
    fn new() -> Result<Self> {
        let shape = Shape { accounts: 2, regions: 4, days: 1 };
        // A test ends with its process.
        let organization: &Organization = Box::leak(Box::new(Organization::with_shape(7, shape)));
        let accounts = organization.accounts();
        let names: Vec<String> = accounts.iter().map(ToString::to_string).collect();
        let fleet = Fleet::new(1, &names)?;
        let begin = "2026-11-18T22:00:00Z".parse().context("a time")?;
        let feeds = accounts.iter().enumerate().map(|(index, account)| {
            let events = organization.account_events(*account).context("its own account")?;
            Ok(Feed::new(fleet.feed(index), events, index as u64, begin))
        });
        Ok(Self { feeds: feeds.collect::<Result<_>>()?, fleet, accounts: names })
    }

    fn play(&mut self) -> Result<()> {
        let [complete, streaming] = self.feeds.as_mut_slice() else { unreachable!("two feeds") };
        self.fleet.start_all()?;
        while complete.written() < ROWS {
            complete.step()?;
        }
        complete.finish()?;
        let rows = complete.written();
        let begun = Instant::now();
        while number(&self.fleet.status()?, "rows") != Some(rows) {
            ensure!(begun.elapsed() < PATIENCE, "{rows} rows never came");
            std::thread::sleep(Duration::from_millis(200));
        }
        let store = format!("file://{}", self.fleet.store().display());
        let stop = self.fleet.store().join("..").join("stop");
        let account = self.accounts.first().context("an account")?.clone();
        let reader = {
            let mut command = Python::oracle()?.script("exact.py");
            command.arg(orgtrail()?).args([&store, &account, &rows.to_string()]).arg(&stop);
            std::thread::spawn(move || run(&mut command))
        };
        let begun = Instant::now();
        let mut replaced = 0;
        while begun.elapsed() < STREAM && !reader.is_finished() {
            for _ in 0..10 {
                streaming.step()?;
                std::thread::sleep(Duration::from_millis(50));
            }
            let mut command = Command::new(orgtrail()?);
            run(command.args(["compact", "--keep-replaced-secs", "5", "--store", &store]))?;
            replaced += 1;
        }
        fs::write(&stop, "").context("tell the reader to stop")?;
        let told = reader.join().map_err(|_| anyhow::anyhow!("the reader panicked"))??;
        eprintln!("{replaced} compactions, {told}");
        let told: Value = serde_json::from_str(&told).context("read what exact.py prints")?;
        ensure!(number(&told, "reads") >= Some(3), "hardly anything was read: {told}");
        streaming.finish()?;
        self.fleet.finish()?;
        let status = self.fleet.status()?;
        let closes = status.get("closes").and_then(Value::as_bool);
        ensure!(closes == Some(true), "status does not close: {status:#}");
        Ok(())
    }
}

/// A number by its name, in any part.
fn number(value: &Value, name: &str) -> Option<u64> {
    let parts = value.as_object()?;
    let own = parts.get(name).and_then(Value::as_u64);
    own.or_else(|| parts.values().find_map(|part| part.get(name)?.as_u64()))
}
