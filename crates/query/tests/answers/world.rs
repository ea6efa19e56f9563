//! A store, its writer, and everything that was written.

use std::sync::Arc;

use arrow::array::RecordBatch;
use event::{AccountId, AgentName};
use futures::TryStreamExt;
use identity::SpeaksFor;
use integrity::{Hash, SpoolId, sha256};
use jiff::Timestamp;
use journal::{
    BatchEntry, BatchLines, Body, Certificate, Committed, Gap, Journal, Open, Progress,
    SourceProgress, State, pack,
};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use query::{Answer, Engine, Options};
use sample::{Organization, Shape};
use seam::{Blocking, Clock, Entropy};
use serde_json::Value;
use store::Store;
use table::row::RecordJson;
use table::{Config, Expected, SettleReason, TRAIL_DEFAULT, Table};
use tokio_util::sync::CancellationToken;

pub(crate) const SHAPE: Shape = Shape { accounts: 4, regions: 3, days: 3 };

pub(crate) fn end() -> Timestamp {
    "2026-11-20T00:00:00Z".parse().expect("a time")
}

pub(crate) fn seams() -> table::Seams {
    table::Seams { clock: Clock::new(end), entropy: Entropy::system(), blocking: Blocking::Pool }
}

/// A store, its writer, and everything that was written.
pub(crate) struct World {
    pub(crate) store: Store,
    pub(crate) journal: Journal,
    pub(crate) state: State,
    pub(crate) table: Table,
    pub(crate) sequence: u64,
    pub(crate) written: Vec<Value>,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(table::Limits::default()).await
    }

    /// One whose table keeps these limits, but for those that are small here.
    pub(crate) async fn with(limits: table::Limits) -> Self {
        let store = Store::from_objects(Arc::new(InMemory::new()), "memory://test");
        let seams = seams();
        let journal =
            Journal::new(store.clone(), seams.clock.clone(), seams.entropy.clone(), seams.blocking);
        let config = Config {
            limits: table::Limits {
                partition_rows_min: 60,
                index_entries_max: 300,
                day_files_min: 4,
                day_run_files_min: 2,
                ..limits
            },
            ..Config::default()
        };
        let table = Table::open(store.clone(), journal.clone(), TRAIL_DEFAULT, seams, config)
            .await
            .expect("a table");
        let mut state = State::new();
        let body = Body {
            open: Some(opened(
                "111122223333".parse().expect("an account"),
                SpeaksFor::Organization,
                7,
            )),
            ..Body::default()
        };
        assert_eq!(journal.commit(&mut state, &body).await.expect("opened"), Committed::Ours(1));
        Self { store, journal, state, table, sequence: 0, written: Vec::new() }
    }

    /// Commits lines as one journal record.
    pub(crate) async fn write(&mut self, lines: &[Vec<u8>]) {
        let mut text = Vec::new();
        for line in lines {
            text.extend_from_slice(line);
            text.push(b'\n');
            self.written.extend(serde_json::from_slice::<Value>(line).ok());
        }
        let count = lines.len() as u64;
        let packed = pack([(&BatchLines::Plain(text.into()), count)]).expect("packed");
        let batch = BatchEntry {
            stream: 1,
            from: self.sequence + 1,
            to: self.sequence + count,
            chain: Hash([1; 32]),
            continuations: 0,
        };
        self.sequence += count;
        let segment = Some(self.journal.put_segment(&packed, self.state.head).await.expect("put"));
        let body = Body { segment, batches: vec![batch], ..Body::default() };
        self.journal.commit(&mut self.state, &body).await.expect("committed");
    }

    /// Opens the first spool of an agent of one account; gives its stream.
    pub(crate) async fn open(&mut self, account: &str, spool: u8) -> u64 {
        let account = account.parse().expect("an account");
        let body = Body {
            open: Some(opened(account, SpeaksFor::Account(account), spool)),
            ..Body::default()
        };
        self.journal.commit(&mut self.state, &body).await.expect("opened");
        self.state.head
    }

    /// Commits what the agent says of itself: its head, and that its one source was
    /// read to the end at `caught_up_at`.
    pub(crate) async fn report(&mut self, head: u64, caught_up_at: Timestamp) {
        self.report_of(1, head, caught_up_at).await;
    }

    /// The same of the agent of a stream.
    pub(crate) async fn report_of(&mut self, stream: u64, head: u64, caught_up_at: Timestamp) {
        let source =
            SourceProgress { caught_up_at: Some(caught_up_at), known_delay_secs: Some(60) };
        let sources = [("logs".to_owned(), source)].into();
        let progress = [(stream, Progress { head, heard_at: caught_up_at, sources })].into();
        let body = Body { progress, ..Body::default() };
        self.journal.commit(&mut self.state, &body).await.expect("committed");
    }

    /// Commits that the next `lost` events of the agent are lost.
    pub(crate) async fn lose(&mut self, lost: u64) {
        self.lose_of(1, lost).await;
    }

    /// The same of the agent of a stream.
    pub(crate) async fn lose_of(&mut self, stream: u64, lost: u64) {
        let watermark = self.state.streams[&stream].watermark;
        let (first, last) = (watermark + 1, watermark + lost);
        let gap = Some(Gap { stream, first, last, reason: "a disk died".to_owned() });
        let body = Body { gap, ..Body::default() };
        self.journal.commit(&mut self.state, &body).await.expect("committed");
    }

    pub(crate) async fn write_sample(&mut self, from: usize, to: usize) {
        let organization = Organization::with_shape(5, SHAPE);
        let events = organization.events(4_000, end()).skip(from).take(to - from);
        let lines: Vec<_> = events.map(|event| event.record).collect();
        for lines in lines.chunks(300) {
            self.write(lines).await;
        }
    }

    /// Events of an earlier seed, of the same days.
    pub(crate) async fn write_late(&mut self, count: usize) {
        let organization = Organization::with_shape(6, SHAPE);
        let lines: Vec<_> =
            organization.events(4_000, end()).take(count).map(|event| event.record).collect();
        self.write(&lines).await;
    }

    /// Another process takes over the table, whose operator expects this.
    pub(crate) async fn expect(&mut self, expected: Option<Expected>) {
        let config = Config { expected, ..Config::default() };
        self.table =
            Table::open(self.store.clone(), self.journal.clone(), TRAIL_DEFAULT, seams(), config)
                .await
                .expect("a table");
    }

    pub(crate) async fn pass(&mut self) {
        let stop = CancellationToken::new();
        while self.table.pass(&stop).await.expect("a pass").is_some() {}
    }

    /// Makes of the table's log what a release that knows nothing of completeness would
    /// have written.
    pub(crate) async fn forget_completeness(&self) {
        let mut previous = None;
        for number in 1..=self.table.state().head {
            let path = Path::from(format!("trail/{TRAIL_DEFAULT}/table/log/{number:020}.json"));
            let bytes = self.store.get(&path).await.expect("get").expect("a record");
            let mut record: Value = serde_json::from_slice(&bytes).expect("JSON");
            if let Some(intent) = record.get_mut("pass_intent").and_then(Value::as_object_mut) {
                intent.remove("completeness");
            }
            if let Some(previous) = previous {
                record["previous"] = Value::from(previous);
            }
            let bytes = serde_json::to_vec(&record).expect("JSON");
            previous = Some(sha256(&bytes).to_string());
            self.store.objects().put(&path, bytes.into()).await.expect("put");
        }
    }

    /// Some events settled, some fresh, some in the journal's tail only.
    pub(crate) async fn mixed() -> Self {
        let mut world = Self::new().await;
        world.write_sample(0, 2_000).await;
        world.pass().await;
        world.table.settle(SettleReason::Asked).await.expect("settled");
        world.write_sample(2_000, 3_000).await;
        world.pass().await;
        world.write_sample(3_000, 4_000).await;
        world
    }

    /// Every object of an index.
    pub(crate) async fn index_parts(&self) -> Vec<Path> {
        self.below("index").await
    }

    /// Every object below a folder of the trail.
    pub(crate) async fn below(&self, folder: &str) -> Vec<Path> {
        let prefix = Path::from(format!("trail/default/{folder}"));
        let listed = self.store.objects().list(Some(&prefix));
        listed.map_ok(|meta| meta.location).try_collect().await.expect("listed")
    }

    pub(crate) fn engine(&self) -> Engine {
        self.engine_with(Options { partitions: 2, ..Options::default() })
    }

    pub(crate) fn engine_with(&self, options: Options) -> Engine {
        Engine::open(self.store.clone(), seams(), options).expect("an engine")
    }
}

fn opened(account: AccountId, speaks_for: SpeaksFor, spool: u8) -> Open {
    Open {
        account,
        agent: "main".parse::<AgentName>().expect("a name"),
        spool: SpoolId([spool; 16]),
        replaces: None,
        opened_by: "test".to_owned(),
        certificate: Certificate { fingerprint: sha256(b""), speaks_for },
        signing_key: None,
        signature: None,
    }
}

pub(crate) fn records(batches: &[RecordBatch]) -> Vec<Value> {
    let mut records = Vec::new();
    for batch in batches {
        let json = RecordJson::of(batch).expect("all columns");
        for row in 0..batch.num_rows() {
            let mut line = Vec::new();
            json.write(row, &mut line);
            records.push(serde_json::from_slice(&line).expect("JSON"));
        }
    }
    records
}

pub(crate) fn ids(records: &[Value]) -> Vec<String> {
    let mut ids: Vec<String> = records.iter().map(|record| record["eventID"].to_string()).collect();
    ids.sort();
    ids
}

pub(crate) async fn all(mut answer: Answer) -> Vec<RecordBatch> {
    answer.rest().await.expect("rows")
}
