//! What reading survives: records, segments and snapshots that are damaged or gone.

#![expect(clippy::indexing_slicing, reason = "a test that indexes wrongly fails")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use identity::SpeaksFor;
use integrity::{Hash, SpoolId, StreamHasher};
use jiff::Timestamp;
use journal::{
    BatchEntry, BatchLines, Body, Certificate, Committed, Delivered, Journal, Open, State, pack,
};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use seam::{Blocking, Clock, Entropy};
use store::Store;

const ACCOUNT: &str = "111122223333";
const SPOOL: SpoolId = SpoolId([9; 16]);

/// A journal in memory: record 1 opens a spool, each later one brings two lines.
struct World {
    objects: Arc<InMemory>,
    journal: Journal,
    state: State,
    hasher: StreamHasher,
}

impl World {
    async fn new() -> Self {
        let objects = Arc::new(InMemory::new());
        let store = Store::from_objects(Arc::clone(&objects) as Arc<dyn ObjectStore>, "memory://j");
        let at: Timestamp = "2026-11-20T09:30:00Z".parse().expect("a time");
        let drawn = AtomicU64::new(0);
        let entropy = Entropy::new(move |buffer| {
            let number = drawn.fetch_add(1, Ordering::SeqCst).to_le_bytes();
            buffer.iter_mut().zip(number).for_each(|(byte, drawn)| *byte = drawn);
        });
        let journal = Journal::new(store, Clock::new(move || at), entropy, Blocking::Inline);
        let hasher = StreamHasher::new(ACCOUNT, "main", SPOOL);
        let mut world = Self { objects, journal, state: State::new(), hasher };
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

    async fn commit(&mut self, body: &Body) {
        let committed = self.journal.commit(&mut self.state, body).await.expect("commit");
        assert!(matches!(committed, Committed::Ours(_)));
    }

    async fn deliver(&mut self) {
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

    fn record(number: u64) -> Path {
        Path::from(format!("journal/log/{number:020}.json"))
    }

    async fn bytes(&self, path: &Path) -> Vec<u8> {
        self.objects.get(path).await.expect("get").bytes().await.expect("bytes").to_vec()
    }

    async fn put(&self, path: &Path, bytes: Vec<u8>) {
        self.objects.put(path, bytes.into()).await.expect("put");
    }

    /// The segment that record `number` names.
    async fn segment(&self, number: u64) -> Path {
        let record: serde_json::Value =
            serde_json::from_slice(&self.bytes(&Self::record(number)).await).expect("json");
        Path::from(record["segment"]["path"].as_str().expect("a path"))
    }

    /// Reads everything, as a view does.
    async fn read(&self) -> Vec<Delivered> {
        let mut state = State::new();
        let mut all = Vec::new();
        while let Some(delivered) = self.journal.read_next(&mut state).await.expect("read") {
            all.push(delivered);
        }
        assert_eq!(state, self.state, "whatever is lost of segments, records fold alike");
        all
    }
}

fn lines(delivered: &Delivered) -> Vec<&[u8]> {
    delivered.batches.iter().map(|batch| batch.lines.as_ref()).collect()
}

#[tokio::test(start_paused = true)]
async fn any_changed_byte_of_a_segment_loses_its_units_and_is_said_and_reading_goes_on() {
    let mut world = World::new().await;
    world.deliver().await;
    world.deliver().await;
    let path = world.segment(2).await;
    let whole = world.bytes(&path).await;
    let mut changed: Vec<Vec<u8>> = (0..whole.len())
        .flat_map(|at| {
            [0x01, 0xff].map(|change| {
                let mut bytes = whole.clone();
                bytes[at] ^= change;
                bytes
            })
        })
        .collect();
    changed.extend((0..whole.len()).map(|cut| whole[..cut].to_vec()));
    for bytes in changed {
        world.put(&path, bytes).await;
        let all = world.read().await;
        let damage = all[1].damage.as_ref().expect("damage is said");
        assert!(!damage.missing && damage.path == path.as_ref(), "{damage:?}");
        let batch = &all[1].batches[0];
        assert_eq!((batch.first_sequence, batch.line_count, batch.units), (1, 2, 2));
        // A flag of the frame may change nothing of what it inflates to.
        assert!(batch.lost == batch.lines.is_empty());
        assert!(batch.lost || batch.lines == "{\"event\":1}\n{\"event\":2}\n");
        assert_eq!(lines(&all[2]), [b"{\"event\":3}\n{\"event\":4}\n"]);
        assert_eq!(all[2].damage, None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_missing_segment_loses_its_units_and_one_that_comes_late_loses_nothing() {
    let mut world = World::new().await;
    world.deliver().await;
    world.deliver().await;
    let path = world.segment(2).await;
    let whole = world.bytes(&path).await;
    world.objects.delete(&path).await.expect("delete");
    let all = world.read().await;
    assert!(all[1].damage.as_ref().is_some_and(|damage| damage.missing));
    assert!(all[1].batches[0].lost);
    assert!(!all[2].batches[0].lost);

    let (objects, late) = (Arc::clone(&world.objects), path.clone());
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(async move {
        tokio::time::sleep(Duration::from_secs(1)).await;
        objects.put(&late, whole.into()).await.expect("put");
    });
    let all = world.read().await;
    assert_eq!(all[1].damage, None, "a store that lists late is asked again");
    assert_eq!(lines(&all[1]), [b"{\"event\":1}\n{\"event\":2}\n"]);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_added_behind_a_damaged_record_and_readers_answer_up_to_it() {
    let mut world = World::new().await;
    for _ in 0..4 {
        world.deliver().await;
    }
    let path = World::record(3);
    let whole = world.bytes(&path).await;
    for at in 0..whole.len() {
        for change in [0x01, 0xff] {
            let mut bytes = whole.clone();
            bytes[at] ^= change;
            world.put(&path, bytes).await;
            let error = world.journal.fold().await.expect_err("nothing may be added");
            assert!(error.is_damage() && !error.is_retryable(), "byte {at}: {error:?}");
            let said = format!("{error:?}");
            let next = World::record(4);
            let names = [path.as_ref(), next.as_ref(), "number: 3"];
            assert!(names.iter().any(|name| said.contains(name)), "byte {at}: {said}");
            let (state, damage) = world.journal.fold_readable().await.expect("readable");
            assert!(damage.is_some());
            assert!(state.head == 2 || state.head == 3, "byte {at}: {}", state.head);
        }
    }
    for cut in 0..whole.len() {
        world.put(&path, whole[..cut].to_vec()).await;
        let (state, damage) = world.journal.fold_readable().await.expect("readable");
        assert_eq!((state.head, damage.is_some()), (2, true), "cut at {cut}");
    }
    world.put(&path, whole).await;
    assert_eq!(world.journal.fold().await.expect("restored"), world.state);
}

#[tokio::test(start_paused = true)]
async fn a_record_that_is_cut_short_once_is_read_again() {
    let mut world = World::new().await;
    world.deliver().await;
    let path = World::record(2);
    let whole = world.bytes(&path).await;
    world.put(&path, whole[..40].to_vec()).await;
    let (objects, late) = (Arc::clone(&world.objects), path.clone());
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(async move {
        tokio::time::sleep(Duration::from_millis(50)).await;
        objects.put(&late, whole.into()).await.expect("put");
    });
    assert_eq!(world.journal.fold().await.expect("fold").head, 2);
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_that_is_damaged_missing_or_unvouched_costs_reading_and_nothing_else() {
    let mut world = World::new().await;
    while world.state.head < 1_030 {
        world.commit(&Body::default()).await;
    }
    let path = Path::from(format!("journal/snapshot/{:020}.json", 1_024));
    let whole = world.bytes(&path).await;
    let fold = async || world.journal.fold().await.expect("fold");
    assert_eq!(fold().await, world.state);
    for at in (0..whole.len()).step_by(61) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x01;
        world.put(&path, bytes).await;
        assert_eq!(fold().await, world.state, "byte {at}");
    }
    world.put(&path, whole[..whole.len() / 2].to_vec()).await;
    assert_eq!(fold().await, world.state);
    let forged = Path::from(format!("journal/snapshot/{:020}.json", 1_027));
    world.put(&forged, whole.clone()).await;
    assert_eq!(fold().await, world.state, "no record vouches for it");
    world.objects.delete(&path).await.expect("delete");
    assert_eq!(fold().await, world.state);

    // The record that vouches is itself damaged: the fold says which one.
    world.put(&path, whole).await;
    world.put(&World::record(1_024), b"{".to_vec()).await;
    let (state, damage) = world.journal.fold_readable().await.expect("readable");
    assert_eq!(state.head, 1_023);
    assert!(format!("{damage:?}").contains("00000000000000001024.json"), "{damage:?}");
}
