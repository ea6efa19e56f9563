//! A journal made by hand; `reader` looks at what came of it.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use event::set_aside::{Reason, SetAside};
use futures::TryStreamExt;
use identity::SpeaksFor;
use integrity::{Hash, SpoolId};
use jiff::Timestamp;
use journal::{
    BatchEntry, BatchLines, Body, Certificate, Committed, Gap, Journal, Open, Progress,
    SourceProgress, State, pack,
};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use seam::{Blocking, Clock, Entropy};
use store::Store;
use table::{Config, Limits, Seams, SettleReason, TRAIL_DEFAULT, Table, TableError};
use tokio_util::sync::CancellationToken;

/// Accounts that events belong to; the second has one agent of its own.
pub(crate) const ACCOUNTS: [&str; 3] = ["000000000042", "111122223333", "999999999999"];

/// A store, its journal, and what must come out of it.
pub(crate) struct World {
    pub(crate) objects: Arc<dyn ObjectStore>,
    journal: Journal,
    pub(crate) state: State,
    pub(crate) streams: [u64; 2],
    next_event: u64,
    /// By event id: the partition's folder and the journal record.
    pub(crate) expected: BTreeMap<String, (String, u64)>,
    /// Every event delivered to the first stream, to be delivered again.
    delivered: Vec<(u64, String, &'static str, String)>,
    pub(crate) quarantined: u64,
    pub(crate) copies: u64,
}

/// Small bounds, so that a few rows meet all of them.
pub(crate) fn limits() -> Limits {
    Limits {
        pass_bytes: 3_000,
        partition_rows_min: 8,
        settle_files_max: 3,
        settle_bytes_max: 1 << 20,
        compact_bytes_max: 1 << 20,
        file_rows_max: 10,
        settle_rows_per_file: 1_000,
        files_named_max: 3,
        index_entries_max: 12,
        day_files_min: 2,
        day_run_files_min: 2,
        checkpoint_records: 7,
        checkpoint_files: 1_000,
        empty_records_max: 4,
        ..Limits::default()
    }
}

/// A clock that ticks a second a look, and numbers that only look random.
pub(crate) fn seams(seed: u64) -> Seams {
    let now = AtomicU64::new(0);
    let start: Timestamp = "2026-11-20T12:00:00Z".parse().expect("a time");
    let clock = Clock::new(move || {
        let second = now.fetch_add(1, Ordering::SeqCst);
        start + jiff::SignedDuration::from_secs(i64::try_from(second).expect("small"))
    });
    let numbers = Random::new(seed);
    let entropy = Entropy::new(move |buffer| {
        for chunk in buffer.chunks_mut(8) {
            let bytes = numbers.next().to_le_bytes();
            chunk.copy_from_slice(&bytes[..chunk.len()]);
        }
    });
    Seams { clock, entropy, blocking: Blocking::Inline }
}

/// Splitmix64.
pub(crate) struct Random(AtomicU64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    pub(crate) fn next(&self) -> u64 {
        let step = 0x9e37_79b9_7f4a_7c15;
        let mut z = self.0.fetch_add(step, Ordering::SeqCst).wrapping_add(step);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&self, bound: u64) -> u64 {
        self.next() % bound
    }
}

impl World {
    /// A store whose journal has opened an organization's agent and one of
    /// account 111122223333.
    pub(crate) async fn new() -> Self {
        let objects: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let store = Store::from_objects(Arc::clone(&objects), "memory://world");
        let Seams { clock, entropy, blocking } = seams(1);
        let journal = Journal::new(store, clock, entropy, blocking);
        let mut world = Self {
            objects,
            journal,
            state: State::new(),
            streams: [1, 2],
            next_event: 0,
            expected: BTreeMap::new(),
            delivered: Vec::new(),
            quarantined: 0,
            copies: 0,
        };
        let account = ACCOUNTS[1].parse().expect("an account");
        world.open("central", SpeaksFor::Organization, 1).await;
        world.open("main", SpeaksFor::Account(account), 2).await;
        world
    }

    async fn open(&mut self, agent: &str, speaks_for: SpeaksFor, spool: u8) {
        let open = Open {
            account: ACCOUNTS[1].parse().expect("an account"),
            agent: agent.parse().expect("a name"),
            spool: SpoolId([spool; 16]),
            replaces: None,
            opened_by: String::new(),
            certificate: Certificate { fingerprint: Hash([spool; 32]), speaks_for },
            signing_key: None,
            signature: None,
        };
        self.commit(&Body { open: Some(open), ..Body::default() }).await;
    }

    /// A record of these lines of the organization's agent.
    pub(crate) async fn deliver_lines(&mut self, lines: Vec<Vec<u8>>) {
        let own = vec![b"{\"no\":\"event\"}".to_vec(), set_aside_part(2)];
        self.commit_lines(lines, own).await;
    }

    /// The journal's last record.
    pub(crate) fn head(&self) -> u64 {
        self.state.head
    }

    /// Lets days pass for whoever commits to the journal.
    pub(crate) fn pass_days(&mut self, days: i64) {
        let seams = seams(1);
        let inner = seams.clock;
        let clock = Clock::new(move || inner.now() + jiff::SignedDuration::from_hours(24 * days));
        let store = Store::from_objects(Arc::clone(&self.objects), "memory://world");
        self.journal = Journal::new(store, clock, Entropy::system(), seams.blocking);
    }

    /// Deletes every segment that there is.
    pub(crate) async fn lose_segments(&self) {
        let prefix = Path::from("journal/segment");
        let segments: Vec<_> = self.objects.list(Some(&prefix)).try_collect().await.expect("list");
        for segment in segments {
            self.objects.delete(&segment.location).await.expect("delete");
        }
    }

    /// A record in which the agents say that they have read all there was up to then.
    pub(crate) async fn report(&mut self, caught_up_at: Timestamp) {
        let of = |stream: &u64| {
            let source =
                SourceProgress { caught_up_at: Some(caught_up_at), known_delay_secs: Some(0) };
            let head = self.state.streams[stream].watermark;
            let sources = [("logs".to_owned(), source)].into();
            (*stream, Progress { head, heard_at: caught_up_at, sources })
        };
        let progress = self.streams.iter().map(of).collect();
        self.commit(&Body { progress, ..Body::default() }).await;
    }

    /// A record that declares the next events of the account's own agent lost.
    pub(crate) async fn declare_lost(&mut self, lost: u64) {
        let stream = self.streams[1];
        let first = self.state.streams[&stream].watermark + 1;
        let gap = Gap { stream, first, last: first + lost - 1, reason: "a disk died".to_owned() };
        self.commit(&Body { gap: Some(gap), ..Body::default() }).await;
    }

    /// A record without events.
    pub(crate) async fn commit_nothing(&mut self) {
        self.commit(&Body::default()).await;
    }

    async fn commit(&mut self, body: &Body) {
        let committed = self.journal.commit(&mut self.state, body).await.expect("commit");
        assert!(matches!(committed, Committed::Ours(_)));
    }

    /// Commits a record with `rows` events, copies of some, and one of each oddity.
    pub(crate) async fn deliver(&mut self, rows: u64) {
        let mut central = self.new_events(rows);
        // Copies in another spelling: of an old event, of one of this record, and one twice.
        for copy in [rows / 3, self.next_event / 2, self.next_event - 1, self.next_event / 2] {
            if let Some((event, account, region, date)) =
                self.delivered.get(usize::try_from(copy).expect("small"))
            {
                central.push(respelled(&event_line(*event, account, region, date)));
                self.copies += 1;
            }
        }
        self.commit_with_oddities(central).await;
    }

    /// Commits a record with `rows` events, each for the only time, and one of each
    /// oddity.
    pub(crate) async fn deliver_once(&mut self, rows: u64) {
        let central = self.new_events(rows);
        self.commit_with_oddities(central).await;
    }

    /// Commits a record with these events again, in another spelling.
    pub(crate) async fn deliver_again(&mut self, events: &[usize]) {
        let line = |index: &usize| {
            let (event, account, region, date) = &self.delivered[*index];
            respelled(&event_line(*event, account, region, date))
        };
        let lines = events.iter().map(line).collect();
        self.commit_with_oddities(lines).await;
    }

    /// Commits a record with an event of another region that has the eventID of this one.
    pub(crate) async fn deliver_elsewhere(&mut self, event: usize) {
        let (event, account, _, date) = &self.delivered[event];
        let line = event_line(*event, account, "ap-south-1", date);
        self.commit_with_oddities(vec![line]).await;
    }

    /// Reads what others have added to the journal.
    pub(crate) async fn catch_up(&mut self) {
        self.journal.advance(&mut self.state).await.expect("advance");
    }

    fn new_events(&mut self, rows: u64) -> Vec<Vec<u8>> {
        let record = self.state.head + 1;
        let mut central = Vec::new();
        for _ in 0..rows {
            let event = self.next_event;
            self.next_event += 1;
            // Every fourth event belongs to one busy partition.
            let account = if event.is_multiple_of(4) { 1 } else { event % 3 };
            let account = ACCOUNTS[usize::try_from(account).expect("small")];
            let region = if event.is_multiple_of(2) { "eu-west-1" } else { "us-east-1" };
            let date = format!("2026-11-{:02}", 18 + event % 2);
            let line = event_line(event, account, region, &date);
            let folder = format!("account={account}/region={region}/date={date}");
            self.expected.insert(event_id(event), (folder, record));
            self.delivered.push((event, account.to_owned(), region, date));
            central.push(line);
        }
        central
    }

    async fn commit_with_oddities(&mut self, central: Vec<Vec<u8>>) {
        let own = vec![
            b"{\"no\":\"event\"}".to_vec(),
            event_line(u64::MAX, ACCOUNTS[0], "eu-west-1", "2026-11-18"),
            set_aside_part(1),
            set_aside_part(2),
        ];
        self.quarantined += 3;
        self.commit_lines(central, own).await;
    }

    /// A record of lines of the organization's agent, and none of the other one.
    pub(crate) async fn deliver_central(&mut self, lines: Vec<Vec<u8>>) {
        let count = lines.len() as u64;
        let mut all = lines.join(&b'\n');
        all.push(b'\n');
        let packed = pack([(&BatchLines::Plain(all.into()), count)]).expect("pack");
        let segment = self.journal.put_segment(&packed, self.state.head).await.expect("put");
        let from = self.state.streams[&self.streams[0]].watermark + 1;
        let batch = BatchEntry {
            stream: self.streams[0],
            from,
            to: from + count - 1,
            chain: Hash([7; 32]),
            continuations: 0,
        };
        self.commit(&Body { segment: Some(segment), batches: vec![batch], ..Body::default() })
            .await;
    }

    async fn commit_lines(&mut self, central: Vec<Vec<u8>>, own: Vec<Vec<u8>>) {
        let batches: Vec<(BatchLines, u64)> = [&central, &own]
            .iter()
            .map(|lines| {
                let mut all = lines.join(&b'\n');
                all.push(b'\n');
                (BatchLines::Plain(Bytes::from(all)), lines.len() as u64)
            })
            .collect();
        let packed = pack(batches.iter().map(|(batch, lines)| (batch, *lines))).expect("pack");
        let segment = self.journal.put_segment(&packed, self.state.head).await.expect("put");
        let mut entries = Vec::new();
        for (stream, lines) in self.streams.iter().zip([&central, &own]) {
            let watermark = self.state.streams[stream].watermark;
            entries.push(BatchEntry {
                stream: *stream,
                from: watermark + 1,
                to: watermark + lines.len() as u64,
                chain: Hash([7; 32]),
                continuations: u64::from(*stream == self.streams[1]),
            });
        }
        self.commit(&Body { segment: Some(segment), batches: entries, ..Body::default() }).await;
    }

    /// Deletes the segment of a record with events, whose rows must now be in
    /// quarantine; gives the object back to whoever wants to restore it.
    pub(crate) async fn lose(&mut self, record: u64) -> (Path, Bytes) {
        let log = Path::from(format!("journal/log/{record:020}.json"));
        let bytes = self.objects.get(&log).await.expect("get").bytes().await.expect("bytes");
        let body: serde_json::Value = serde_json::from_slice(&bytes).expect("json");
        let path = Path::from(body["segment"]["path"].as_str().expect("a path"));
        let whole = self.objects.get(&path).await.expect("get").bytes().await.expect("bytes");
        self.objects.delete(&path).await.expect("delete");
        let rows = self.expected.len();
        self.expected.retain(|_, (_, of)| *of != record);
        self.quarantined += (rows - self.expected.len()) as u64;
        (path, whole)
    }

    /// A process's table over these objects (perhaps wrapped ones).
    pub(crate) async fn table(
        &self,
        objects: Arc<dyn ObjectStore>,
        seed: u64,
    ) -> Result<Table, TableError> {
        self.table_with("memory://world", objects, seed, limits()).await
    }

    /// The same at a URL.
    pub(crate) async fn table_at(
        &self,
        url: &str,
        objects: Arc<dyn ObjectStore>,
        seed: u64,
    ) -> Result<Table, TableError> {
        self.table_with(url, objects, seed, limits()).await
    }

    /// The same, as a release before row format 2 would have had it.
    pub(crate) async fn old_table(
        &self,
        objects: Arc<dyn ObjectStore>,
        seed: u64,
    ) -> Result<Table, TableError> {
        let limits = Limits { row_format: 1, ..limits() };
        self.table_with("memory://world", objects, seed, limits).await
    }

    pub(crate) async fn table_with(
        &self,
        url: &str,
        objects: Arc<dyn ObjectStore>,
        seed: u64,
        limits: Limits,
    ) -> Result<Table, TableError> {
        let store = Store::from_objects(objects, url);
        let seams = seams(seed);
        let Seams { clock, entropy, blocking } = seams.clone();
        let journal = Journal::new(store.clone(), clock, entropy, blocking);
        let config = Config { limits, keep_replaced_secs: 0, ..Config::default() };
        Table::open(store, journal, TRAIL_DEFAULT, seams, config).await
    }

    /// A process of some days later that keeps days for `retention_days`.
    pub(crate) async fn aged_table(
        &self,
        objects: Arc<dyn ObjectStore>,
        seed: u64,
        retention_days: u32,
        days_later: i64,
    ) -> Table {
        let store = Store::from_objects(objects, "memory://world");
        let Seams { clock, entropy, blocking } = seams(seed);
        let later = jiff::SignedDuration::from_hours(24 * days_later);
        let clock = Clock::new(move || clock.now() + later);
        let journal = Journal::new(store.clone(), clock.clone(), entropy.clone(), blocking);
        let config = Config {
            limits: limits(),
            keep_replaced_secs: 0,
            retention_days: NonZeroU32::new(retention_days),
            ..Config::default()
        };
        let seams = Seams { clock, entropy, blocking };
        Table::open(store, journal, TRAIL_DEFAULT, seams, config).await.expect("open")
    }

    /// A process of some days later that keeps what is replaced for so long.
    pub(crate) async fn patient_table(&self, days_later: i64, keep_replaced_secs: u32) -> Table {
        let clock = seams(3).clock;
        let later = jiff::SignedDuration::from_hours(24 * days_later);
        self.clocked_table(Clock::new(move || clock.now() + later), keep_replaced_secs).await
    }

    /// A process with this clock.
    pub(crate) async fn clocked_table(&self, clock: Clock, keep_replaced_secs: u32) -> Table {
        let Seams { entropy, blocking, .. } = seams(3);
        let store = Store::from_objects(Arc::clone(&self.objects), "memory://world");
        let journal = Journal::new(store.clone(), clock.clone(), entropy.clone(), blocking);
        let config = Config { limits: limits(), keep_replaced_secs, ..Config::default() };
        let seams = Seams { clock, entropy, blocking };
        Table::open(store, journal, TRAIL_DEFAULT, seams, config).await.expect("open")
    }

    /// The objects below a folder of the trail.
    pub(crate) async fn below(&self, part: &str) -> Vec<String> {
        let prefix = Path::from(format!("trail/{TRAIL_DEFAULT}/{part}"));
        let listed = self.objects.list(Some(&prefix));
        listed.map_ok(|meta| meta.location.to_string()).try_collect().await.expect("list")
    }
}

/// Runs passes until nothing waits, then settles; what `--once` does.
pub(crate) async fn drain(table: &mut Table) -> Result<(), TableError> {
    let stop = CancellationToken::new();
    while table.pass(&stop).await?.is_some() {}
    table.settle(SettleReason::Drain).await?;
    while table.compact(1, &stop).await?.more {}
    // Sweeps what was replaced, also by a process whose clock was ahead.
    let replaced = |table: &Table| {
        let state = serde_json::to_value(table.state()).expect("json");
        state.get("replaced").is_some()
    };
    while replaced(table) {
        table.compact(0, &stop).await?;
    }
    table.compact(0, &stop).await?;
    Ok(())
}

fn event_id(event: u64) -> String {
    format!("00000000-0000-0000-0000-{event:012}")
}

fn event_line(event: u64, account: &str, region: &str, date: &str) -> Vec<u8> {
    let source = ["s3", "iam", "ec2"][usize::try_from(event % 3).expect("small")];
    format!(
        "{{\"eventVersion\":\"1.08\",\"userIdentity\":{{\"type\":\"IAMUser\",\
         \"arn\":\"arn:aws:iam::{account}:user/{}\"}},\"eventTime\":\"{date}T10:00:{:02}Z\",\
         \"eventSource\":\"{source}.amazonaws.com\",\"eventName\":\"Get{}\",\
         \"awsRegion\":\"{region}\",\"eventID\":\"{}\",\"recipientAccountId\":\"{account}\"}}",
        event % 5,
        event % 60,
        event % 7,
        event_id(event),
    )
    .into_bytes()
}

/// The same JSON value: members the other way round, escapes and blanks.
pub(crate) fn respelled(line: &[u8]) -> Vec<u8> {
    let value: serde_json::Map<String, serde_json::Value> =
        serde_json::from_slice(line).expect("an object");
    let members = value.iter().rev().map(|(key, value)| {
        let value = value.to_string().replace('/', "\\/").replace("eu-", "\\u0065u-");
        format!("\"{key}\" : {value}")
    });
    format!("{{ {} }}", members.collect::<Vec<_>>().join(" ,")).into_bytes()
}

fn set_aside_part(part: u32) -> Vec<u8> {
    let mark = SetAside {
        part,
        parts: (part == 2).then_some(2),
        reason: Reason::Truncated,
        detail: String::new(),
        source: "logs/broken.json.gz".into(),
        position: u64::from(part),
        length: 1,
        sha256: [0; 32],
        bytes: Some(vec![b'x']),
    };
    mark.to_line()
}
