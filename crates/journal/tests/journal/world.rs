//! A journal in memory: who opens it, what it holds, and how time passes for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use bytes::Bytes;
use identity::SpeaksFor;
use integrity::{Hash, SpoolId, StreamHasher};
use jiff::{SignedDuration, Timestamp};
use journal::{
    BatchEntry, BatchLines, Body, Certificate, Committed, Delivered, Journal, Open, State, pack,
};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use seam::{Blocking, Clock, Entropy};
use store::Store;

pub(crate) const ACCOUNT: &str = "111122223333";
pub(crate) const SPOOL: SpoolId = SpoolId([9; 16]);

/// A journal in memory: record 1 opens a spool, each later one brings two lines.
pub(crate) struct World {
    pub(crate) objects: Arc<InMemory>,
    pub(crate) journal: Journal,
    pub(crate) state: State,
    pub(crate) hasher: StreamHasher,
    days: Arc<AtomicI64>,
}

impl World {
    pub(crate) async fn new() -> Self {
        let objects = Arc::new(InMemory::new());
        let store = Store::from_objects(Arc::clone(&objects) as Arc<dyn ObjectStore>, "memory://j");
        let days = Arc::new(AtomicI64::new(0));
        let drawn = AtomicU64::new(0);
        let entropy = Entropy::new(move |buffer| {
            let number = drawn.fetch_add(1, Ordering::SeqCst).to_le_bytes();
            buffer.iter_mut().zip(number).for_each(|(byte, drawn)| *byte = drawn);
        });
        let journal = Journal::new(store, clock(&days), entropy, Blocking::Inline);
        let hasher = StreamHasher::new(ACCOUNT, "main", SPOOL);
        let mut world = Self { objects, journal, state: State::new(), hasher, days };
        let account = ACCOUNT.parse().expect("an account");
        let certificate =
            Certificate { fingerprint: Hash([1; 32]), speaks_for: SpeaksFor::Account(account) };
        let open = Open {
            account,
            agent: "main".parse().expect("a name"),
            spool: SPOOL,
            replaces: None,
            opened_by: String::new(),
            certificate,
            signing_key: None,
            signature: None,
        };
        world.commit(&Body { open: Some(open), ..Body::default() }).await;
        world
    }

    pub(crate) async fn commit(&mut self, body: &Body) {
        let committed = self.journal.commit(&mut self.state, body).await.expect("commit");
        assert!(matches!(committed, Committed::Ours(_)));
    }

    pub(crate) async fn deliver(&mut self) {
        let stream = &self.state.streams[&1];
        let (from, mut chain) = (stream.watermark + 1, stream.chain);
        let mut text = String::new();
        for sequence in from..from + 2 {
            let line = format!("{{\"event\":{sequence}}}");
            chain = StreamHasher::chain(chain, self.hasher.leaf(sequence, line.as_bytes()));
            text.push_str(&line);
            text.push('\n');
        }
        let lines = BatchLines::Plain(Bytes::from(text));
        let packed = pack([(&lines, 2)]).expect("pack");
        let segment = self.journal.put_segment(&packed, self.state.head).await.expect("put");
        let entry = BatchEntry { stream: 1, from, to: from + 1, chain, continuations: 0 };
        let body = Body { segment: Some(segment), batches: vec![entry], ..Body::default() };
        self.commit(&body).await;
    }

    pub(crate) fn record(number: u64) -> Path {
        Path::from(format!("journal/log/{number:020}.json"))
    }

    pub(crate) async fn bytes(&self, path: &Path) -> Vec<u8> {
        self.objects.get(path).await.expect("get").bytes().await.expect("bytes").to_vec()
    }

    pub(crate) async fn put(&self, path: &Path, bytes: Vec<u8>) {
        self.objects.put(path, bytes.into()).await.expect("put");
    }

    /// The segment that record `number` names.
    pub(crate) async fn segment(&self, number: u64) -> Path {
        Path::from(self.said(number).await["segment"]["path"].as_str().expect("a path"))
    }

    /// Reads everything, as a view does.
    pub(crate) async fn read(&self) -> Vec<Delivered> {
        let mut state = State::new();
        let mut all = Vec::new();
        while let Some(delivered) = self.journal.read_next(&mut state).await.expect("read") {
            all.push(delivered);
        }
        assert_eq!(state, self.state, "whatever is lost of segments, records fold alike");
        all
    }

    /// Lets days pass for whoever commits.
    pub(crate) fn pass_days(&self, days: i64) {
        self.days.fetch_add(days, Ordering::SeqCst);
    }

    /// Another process's journal over the same objects, which has read nothing yet.
    pub(crate) fn other(&self) -> Journal {
        let objects = Arc::clone(&self.objects) as Arc<dyn ObjectStore>;
        let store = Store::from_objects(objects, "memory://j");
        Journal::new(store, clock(&self.days), Entropy::system(), Blocking::Inline)
    }

    /// What record `number` says.
    pub(crate) async fn said(&self, number: u64) -> serde_json::Value {
        serde_json::from_slice(&self.bytes(&Self::record(number)).await).expect("json")
    }
}

fn clock(days: &Arc<AtomicI64>) -> Clock {
    let start: Timestamp = "2026-11-20T09:30:00Z".parse().expect("a time");
    let days = Arc::clone(days);
    Clock::new(move || start + SignedDuration::from_hours(24 * days.load(Ordering::SeqCst)))
}
