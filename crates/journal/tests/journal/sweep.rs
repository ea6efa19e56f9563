//! Sweeping against writers that were paused: what a record names stays, what none
//! names goes, and no writer commits a name that was swept.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use identity::SpeaksFor;
use integrity::{Hash, SpoolId};
use journal::{
    BatchEntry, BatchLines, Body, Certificate, Committed, Invalid, Journal, Open,
    SWEEP_LAG_RECORDS, State, pack,
};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use seam::{Blocking, Clock, Entropy};
use store::Store;
use tokio::task::JoinSet;

/// Splitmix64, shared by all that draw.
#[derive(Clone, Debug)]
pub(crate) struct Dice(pub(crate) Arc<AtomicU64>);

impl Dice {
    pub(crate) fn next(&self) -> u64 {
        let step = 0x9e37_79b9_7f4a_7c15;
        let mut z = self.0.fetch_add(step, Ordering::SeqCst).wrapping_add(step);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    async fn pause(&self) {
        tokio::time::sleep(Duration::from_millis(self.next() % 20)).await;
    }
}

/// A store whose answers take their time, so that writers come between.
#[derive(Clone, Debug)]
pub(crate) struct Slow(pub(crate) Arc<InMemory>, pub(crate) Dice);

impl fmt::Display for Slow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("slow")
    }
}

#[async_trait]
impl ObjectStore for Slow {
    async fn put_opts(&self, path: &Path, bytes: PutPayload, how: PutOptions) -> Result<PutResult> {
        self.1.pause().await;
        let put = self.0.put_opts(path, bytes, how).await;
        self.1.pause().await;
        put
    }
    async fn put_multipart_opts(
        &self,
        path: &Path,
        how: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.0.put_multipart_opts(path, how).await
    }
    async fn get_opts(&self, path: &Path, how: GetOptions) -> Result<GetResult> {
        self.1.pause().await;
        self.0.get_opts(path, how).await
    }
    fn delete_stream(
        &self,
        paths: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.0.delete_stream(paths)
    }
    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let dice = self.1.clone();
        self.0
            .list(prefix)
            .then(move |found| {
                let dice = dice.clone();
                async move {
                    dice.pause().await;
                    found
                }
            })
            .boxed()
    }
    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.0.list_with_delimiter(prefix).await
    }
    async fn copy_opts(&self, from: &Path, to: &Path, how: CopyOptions) -> Result<()> {
        self.0.copy_opts(from, to, how).await
    }
}

pub(crate) fn journal(objects: Arc<dyn ObjectStore>, dice: &Dice) -> Journal {
    let dice = dice.clone();
    let entropy = Entropy::new(move |buffer| {
        for chunk in buffer.chunks_mut(8) {
            let drawn = dice.next().to_le_bytes();
            chunk.iter_mut().zip(drawn).for_each(|(byte, drawn)| *byte = drawn);
        }
    });
    let at = "2026-11-20T09:30:00Z".parse().expect("a time");
    let store = Store::from_objects(objects, "memory://sweep");
    Journal::new(store, Clock::new(move || at), entropy, Blocking::Inline)
}

fn open(spool: u8) -> Body {
    let account = "111122223333".parse().expect("an account");
    let certificate =
        Certificate { fingerprint: Hash([1; 32]), speaks_for: SpeaksFor::Account(account) };
    let open = Open {
        account,
        agent: format!("a{spool}").parse().expect("a name"),
        spool: SpoolId([spool; 16]),
        replaces: None,
        opened_by: String::new(),
        certificate,
        signing_key: None,
        signature: None,
    };
    Body { open: Some(open), ..Body::default() }
}

fn one_line() -> journal::Packed {
    pack([(&BatchLines::Plain(Bytes::from_static(b"{}\n")), 1)]).expect("pack")
}

/// Commits one line of its stream as a flush does; the segment may be an old one.
/// Says how often the name was found swept.
async fn commit(
    journal: &Journal,
    state: &mut State,
    stream: u64,
    mut segment: Option<journal::SegmentRef>,
) -> u64 {
    let mut swept = 0;
    loop {
        let named = match segment.take() {
            Some(named) => named,
            None => journal.put_segment(&one_line(), state.head).await.expect("put"),
        };
        let watermark = state.streams.get(&stream).expect("a stream").watermark;
        let (from, to) = (watermark + 1, watermark + 1);
        let entry = BatchEntry { stream, from, to, chain: Hash([7; 32]), continuations: 0 };
        let body = Body { segment: Some(named.clone()), batches: vec![entry], ..Body::default() };
        match state.check(&body) {
            Ok(()) => {}
            Err(Invalid::Swept(path)) => {
                journal.discard(&path).await;
                swept += 1;
                continue;
            }
            Err(invalid) => panic!("{invalid}"),
        }
        match journal.commit(state, &body).await.expect("commit") {
            Committed::Ours(_) => return swept,
            Committed::Theirs(_) => segment = Some(named),
        }
    }
}

/// The segments that records name, and those that are there.
async fn named_and_there(
    objects: &Arc<InMemory>,
    dice: &Dice,
) -> (BTreeSet<String>, BTreeSet<String>) {
    let objects = Arc::clone(objects) as Arc<dyn ObjectStore>;
    let head = journal(Arc::clone(&objects), dice).fold().await.expect("fold").head;
    let mut named = BTreeSet::new();
    for number in 1..=head {
        let path = Path::from(format!("journal/log/{number:020}.json"));
        let bytes = objects.get(&path).await.expect("get").bytes().await.expect("bytes");
        let record: serde_json::Value = serde_json::from_slice(&bytes).expect("json");
        if let Some(path) = record.pointer("/segment/path").and_then(|path| path.as_str()) {
            named.insert(path.to_owned());
        }
        let version = record.pointer("/version").and_then(serde_json::Value::as_u64);
        let is_sweep = record.get("sweep").is_some();
        assert_eq!(version, Some(if is_sweep { 2 } else { 1 }), "older releases stop at a sweep");
    }
    let prefix = Path::from("journal/segment");
    let there = objects.list(Some(&prefix)).map_ok(|meta| meta.location.to_string());
    (named, there.try_collect().await.expect("list"))
}

/// Writers that uploaded long ago and were paused wake up at any moment of two
/// sweepers' work, in any order.
#[tokio::test(start_paused = true)]
async fn two_sweepers_and_writers_that_wake_up_late_lose_nothing_that_a_record_names() {
    let mut found_swept = 0;
    for seed in 0..30 {
        let dice = Dice(Arc::new(AtomicU64::new(seed)));
        let objects = Arc::new(InMemory::new());
        let setup = journal(Arc::clone(&objects) as Arc<dyn ObjectStore>, &dice);
        let mut state = State::new();
        for spool in 1..=2 {
            setup.commit(&mut state, &open(spool)).await.expect("open");
        }
        // Two writers upload and are paused; a third dies after its upload.
        let mut paused = Vec::new();
        for stream in [1, 2] {
            let segment = setup.put_segment(&one_line(), state.head).await.expect("put");
            paused.push((stream, segment, state.clone()));
        }
        let orphan = setup.put_segment(&one_line(), state.head).await.expect("put").path;
        for _ in 0..1_030 {
            setup.commit(&mut state, &Body::default()).await.expect("commit");
        }
        let slow = || Arc::new(Slow(Arc::clone(&objects), dice.clone())) as Arc<dyn ObjectStore>;
        let mut writers = JoinSet::new();
        for (stream, segment, mut state) in paused {
            let (journal, dice) = (journal(slow(), &dice), dice.clone());
            writers.spawn(async move {
                tokio::time::sleep(Duration::from_millis(dice.next() % 4_000)).await;
                journal.advance(&mut state).await.expect("advance");
                let mut swept = commit(&journal, &mut state, stream, Some(segment)).await;
                for _ in 0..3 {
                    swept += commit(&journal, &mut state, stream, None).await;
                }
                swept
            });
        }
        let mut sweepers = JoinSet::new();
        for _ in 0..2 {
            let (journal, mut state) = (journal(slow(), &dice), state.clone());
            let dice = dice.clone();
            sweepers.spawn(async move {
                tokio::time::sleep(Duration::from_millis(dice.next() % 2_000)).await;
                journal.sweep(&mut state, SWEEP_LAG_RECORDS).await.expect("sweep");
            });
        }
        while let Some(swept) = writers.join_next().await {
            found_swept += swept.expect("a writer");
        }
        while let Some(ended) = sweepers.join_next().await {
            ended.expect("a sweeper");
        }
        // One more, in peace: what a sweeper left is ended.
        setup.sweep(&mut state, SWEEP_LAG_RECORDS).await.expect("sweep");
        let (named, there) = named_and_there(&objects, &dice).await;
        assert!(named.is_subset(&there), "seed {seed}: {:?}", named.difference(&there));
        assert_eq!(named.len(), 8, "seed {seed}: every line is committed");
        assert!(!there.contains(&orphan), "seed {seed}: what no record names is gone");
    }
    assert!(found_swept > 0, "some writer came too late for its name");
}

#[tokio::test(start_paused = true)]
async fn a_sweep_that_dies_before_it_deletes_is_ended_by_the_next() {
    let dice = Dice(Arc::new(AtomicU64::new(1)));
    let objects = Arc::new(InMemory::new());
    let journal = journal(Arc::clone(&objects) as Arc<dyn ObjectStore>, &dice);
    let mut state = State::new();
    let orphan = journal.put_segment(&one_line(), 0).await.expect("put");
    for _ in 0..1_030 {
        journal.commit(&mut state, &Body::default()).await.expect("commit");
    }
    let path = Path::from(orphan.path.as_str());
    let bytes = objects.get(&path).await.expect("get").bytes().await.expect("bytes");
    assert_eq!(journal.sweep(&mut state, SWEEP_LAG_RECORDS).await.expect("sweep").deleted, 1);
    objects.get(&path).await.expect_err("deleted");
    // As it would be had the process died right after its record.
    objects.put(&path, bytes.into()).await.expect("put");
    let mut other = journal.fold().await.expect("fold");
    journal.sweep(&mut other, SWEEP_LAG_RECORDS).await.expect("sweep");
    objects.get(&path).await.expect_err("deleted by whoever came next");
    let head = other.head;
    journal.sweep(&mut other, SWEEP_LAG_RECORDS).await.expect("sweep");
    assert_eq!(other.head, head, "where nothing is found, nothing is recorded");
}
