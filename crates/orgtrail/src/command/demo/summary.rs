//! What a demo tells at its end.

use std::collections::BTreeSet;
use std::time::Instant;

use anyhow::{Context, ensure};
use futures::TryStreamExt;
use jiff::tz::TimeZone;
use query::{Engine, Options};
use sample::Incident;
use seam::{Blocking, Clock, Entropy};
use serde::Serialize;
use store::Store;
use table::{Filter, Seams, TRAIL_DEFAULT, TableSnapshot};

use super::ground::Ground;
use crate::command::status::Status;
use crate::output::{self, Color, Format, Target, Writer};

/// One demo's figures; `--json` prints them.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    /// Units that agents put into their spools.
    pub(super) events_read: u64,
    pub(super) journaled: u64,
    pub(super) rows: u64,
    pub(super) quarantined: u64,
    pub(super) duplicates: u64,
    pub(super) unselected: u64,
    pub(super) accounts: usize,
    pub(super) regions: usize,
    pub(super) files: u64,
    pub(super) bytes_parquet: u64,
    pub(super) seconds: f64,
    #[serde(skip)]
    closes: bool,
}

impl Summary {
    pub(super) async fn read(
        store: &Store,
        events_read: u64,
        began: Instant,
    ) -> anyhow::Result<Self> {
        let status = Status::read(store).await?;
        let snapshot = TableSnapshot::load(store, TRAIL_DEFAULT).await.context("read the table")?;
        let (mut accounts, mut regions) = (BTreeSet::new(), BTreeSet::new());
        let mut files = std::pin::pin!(snapshot.files(Filter::default()));
        while let Some(file) = files.try_next().await.context("read the table")? {
            if let Some(partition) = &file.partition {
                accounts.insert(partition.account);
                regions.insert(partition.region.clone());
            }
        }
        let seconds = (began.elapsed().as_secs_f64() * 1_000.0).round() / 1_000.0;
        Ok(Self {
            events_read,
            journaled: status.journal.journaled,
            rows: status.table.rows,
            quarantined: status.table.quarantined,
            duplicates: status.table.duplicates,
            unselected: status.table.unselected,
            accounts: accounts.len(),
            regions: regions.len(),
            files: status.table.files,
            bytes_parquet: status.table.bytes,
            seconds,
            closes: status.closes && status.table.waiting == 0,
        })
    }

    pub(super) fn json(&self) -> anyhow::Result<String> {
        serde_json::to_string(self).context("write JSON")
    }

    /// Whether every event read is somewhere, once.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        ensure!(
            self.closes && self.events_read == self.journaled,
            "the sum does not close: {} read, {} journaled, {} rows, {} quarantined",
            self.events_read,
            self.journaled,
            self.rows,
            self.quarantined
        );
        Ok(())
    }
}

/// A question that a demo asks, in the words of a responder.
struct Question {
    title: &'static str,
    sql: String,
}

/// What anybody would ask of a store that they do not know.
fn usual_questions() -> Vec<Question> {
    vec![
        Question {
            title: "What happened most",
            sql: "SELECT eventsource, eventname, count(*) AS events, count(errorcode) AS errors \
                  FROM events GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2 LIMIT 5"
                .to_owned(),
        },
        Question {
            title: "Who was denied most, and from where",
            sql: "SELECT useridentity.arn AS who, sourceipaddress, count(*) AS denied, \
                  count(DISTINCT eventname) AS different, min(eventtime) AS first \
                  FROM events WHERE errorcode IN ('AccessDenied', 'Client.UnauthorizedOperation') \
                  GROUP BY 1, 2 ORDER BY 4 DESC, 3 DESC LIMIT 3"
                .to_owned(),
        },
    ]
}

/// The sample's incident, found without knowing it: an access key used from an
/// address that nobody else uses, and then everything from that address.
fn incident_questions(address: &str) -> Vec<Question> {
    vec![
        Question {
            title: "Long-lived access keys at an address that no other principal uses",
            sql:
                "SELECT min(useridentity.accesskeyid) AS key, sourceipaddress, count(*) AS calls, \
                  count(errorcode) AS errors, count(DISTINCT account) AS accounts \
                  FROM events WHERE useridentity.accesskeyid LIKE 'AKIA%' \
                  GROUP BY sourceipaddress HAVING count(DISTINCT useridentity.accesskeyid) = 1 \
                  ORDER BY errors DESC LIMIT 3"
                    .to_owned(),
        },
        Question {
            title: "Everything from the first of them, everywhere",
            sql: format!(
                "SELECT account, eventname, count(*) AS events, count(errorcode) AS errors, \
                 min(eventtime) AS first FROM events WHERE sourceipaddress = '{}' \
                 GROUP BY 1, 2 ORDER BY first LIMIT 12",
                address.replace('\'', "''")
            ),
        },
    ]
}

/// Tells a person what there is now and how to ask more.
pub(super) async fn tell(
    summary: &Summary,
    store: &Store,
    ground: &Ground,
    incident: Option<&Incident>,
) -> anyhow::Result<()> {
    let seams =
        Seams { clock: Clock::system(), entropy: Entropy::system(), blocking: Blocking::Pool };
    let engine = Engine::open(store.clone(), seams, Options::default()).context("ask the store")?;
    let mut questions = usual_questions();
    if let Some(incident) = incident {
        questions.extend(incident_questions(&incident.address));
    }
    for question in questions {
        output::print(&format!("\n{}:", question.title))?;
        let mut answer = engine.sql(&question.sql).await.context(question.title)?;
        let target = Target::stdout(Color::Auto);
        let mut writer = Writer::new(Format::Table, &answer.schema(), &TimeZone::UTC, target)?;
        while let Some(batch) = answer.next().await.context(question.title)? {
            writer.write(&batch).context("write the answer")?;
        }
        writer.finish().context("write the answer")?;
    }
    output::print(&closing(summary, ground))
}

/// The figures, and the commands to ask more.
fn closing(summary: &Summary, ground: &Ground) -> String {
    let store = ground.dir.join("store");
    let store = store.display();
    format!(
        "
{} events read = {} rows + {} quarantined; {} accounts, {} regions
{} Parquet files, {:.1} MB, below {store}/trail/{TRAIL_DEFAULT}/events; {:.1} s in all

Ask more:
  orgtrail events --store {store} --error --limit 20
  orgtrail query --store {store} \"SELECT account, count(*) FROM events GROUP BY account\"
  orgtrail status --store {store}
or without orgtrail, in DuckDB:
  SELECT account, eventname, count(*)
  FROM read_parquet('{store}/trail/{TRAIL_DEFAULT}/events/**/*.parquet',
                    hive_partitioning = true, hive_types = {{'account': VARCHAR}})
  GROUP BY ALL ORDER BY 3 DESC;
",
        summary.events_read,
        summary.rows,
        summary.quarantined,
        summary.accounts,
        summary.regions,
        summary.files,
        summary.bytes_parquet as f64 / 1e6,
        summary.seconds,
    )
}
