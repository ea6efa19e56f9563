//! A spool that cannot go on: what nobody can supply becomes a gap, what was
//! pushed goes on in a new spool, once, and sources are read again. The real agent
//! and aggregator, with the agent's disk dying at every operation between.

#![expect(clippy::indexing_slicing, reason = "a test that indexes wrongly fails")]

use std::any::Any;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use agent::source::{Piece, Source, SourceError, Standing};
use agent::{Agent, AgentError, Connect, ConnectError, Inlet, Link, Owner, SpoolConfig, Vitals};
use aggregator::{Buffer, Committer, Health, Metrics, Session};
use bytes::Bytes;
use futures::TryStreamExt;
use identity::{AgentIdentity, Peer, SpeaksFor};
use integrity::Hash;
use jiff::Timestamp;
use journal::{Journal, State};
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt};
use seam::{Blocking, Clock, Disk, DiskEntry, DiskFile, Entropy, Gate, LocalDisk, Open};
use store::Store;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;

const ACCOUNT: &str = "111122223333";

/// Records are so long that a segment holds three.
const PADDING: usize = 20 << 10;

/// How many records the source that can be read again holds.
const FEED: u64 = 4;

fn line(name: &str, number: u64) -> String {
    let padding = "x".repeat(PADDING);
    format!(r#"{{"eventVersion":"1.11","eventID":"{name}-{number}","padding":"{padding}"}}"#)
}

fn clock() -> Clock {
    let zero = Timestamp::from_second(1_790_000_000).expect("in range");
    let began = tokio::time::Instant::now();
    Clock::new(move || zero + began.elapsed())
}

fn entropy() -> Entropy {
    static DRAWN: AtomicU64 = AtomicU64::new(1);
    Entropy::new(|buffer| {
        let drawn = u128::from(DRAWN.fetch_add(1, Ordering::SeqCst)).to_be_bytes();
        buffer.iter_mut().zip(drawn.iter().rev()).for_each(|(byte, drawn)| *byte = *drawn);
    })
}

/// A source that can be read again.
struct Feed(u64);

#[async_trait::async_trait]
impl Source for Feed {
    fn name(&self) -> &'static str {
        "feed"
    }

    async fn resume(
        &mut self,
        cursor: serde_json::Map<String, serde_json::Value>,
    ) -> Result<(), SourceError> {
        self.0 = cursor.get("at").and_then(serde_json::Value::as_u64).unwrap_or(0);
        Ok(())
    }

    async fn next(&mut self, _: usize) -> Result<Vec<Piece>, SourceError> {
        tokio::time::sleep(Duration::from_millis(10)).await;
        if self.0 == FEED {
            return Ok(Vec::new());
        }
        self.0 += 1;
        let cursor = format!(r#"{{"at":{}}}"#, self.0);
        Ok(vec![Piece { line: line("feed", self.0).into_bytes(), cursor }])
    }

    fn standing(&self) -> Standing {
        Standing::default()
    }
}

/// A disk that fails for good after so many changes: the process has died there.
struct Dying {
    left: AtomicU64,
    dead: Arc<AtomicBool>,
}

impl Dying {
    fn change(&self) -> io::Result<()> {
        let left =
            self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if left.is_err() {
            self.dead.store(true, Ordering::SeqCst);
        }
        self.alive()
    }

    fn alive(&self) -> io::Result<()> {
        if self.dead.load(Ordering::SeqCst) { Err(io::Error::other("dead")) } else { Ok(()) }
    }
}

impl Disk for Dying {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.change().and_then(|()| LocalDisk.create_dir(dir))
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<DiskEntry>> {
        self.alive().and_then(|()| LocalDisk.list(dir))
    }
    fn open(&self, path: &Path, how: Open) -> io::Result<Box<dyn DiskFile>> {
        if how == Open::Read {
            self.alive()?
        } else {
            self.change()?
        }
        LocalDisk.open(path, how)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.change().and_then(|()| LocalDisk.rename(from, to))
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.change().and_then(|()| LocalDisk.remove(path))
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.change().and_then(|()| LocalDisk.sync_dir(dir))
    }
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Any + Send + Sync>> {
        self.alive().and_then(|()| LocalDisk.lock(path))
    }
}

/// One store with an aggregator on it, which can be taken down and up.
struct Lab {
    objects: Arc<InMemory>,
    dir: tempfile::TempDir,
    up: Arc<AtomicBool>,
    session: Session,
    tasks: JoinSet<()>,
}

type Running = (JoinSet<Result<(), AgentError>>, Inlet);

impl Lab {
    async fn over(objects: Arc<InMemory>) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let journal = journal(&objects);
        let state = journal.fold().await.expect("fold");
        let buffer = Arc::new(Buffer::new(16 << 20, 64 << 10, Duration::from_millis(100), 8));
        let (committer, requests) = Committer::new(
            journal,
            state,
            Arc::clone(&buffer),
            (clock(), entropy(), Blocking::Inline),
            Metrics::default(),
            Health::default(),
        );
        let seams = (clock(), Blocking::Inline);
        let trusts = Arc::new(|_: &Peer| None);
        let session = Session::new(requests, buffer, 2, seams, Metrics::default(), trusts);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            committer.run(CancellationToken::new()).await.expect("the journal is whole");
        });
        Self { objects, dir, up: Arc::new(AtomicBool::new(true)), session, tasks }
    }

    async fn new() -> Self {
        Self::over(Arc::new(InMemory::new())).await
    }

    fn connect(&self) -> Connect {
        let (session, up) = (self.session.clone(), Arc::clone(&self.up));
        Connect::new(move || {
            let linked = if up.load(Ordering::SeqCst) {
                Ok(link(&session))
            } else {
                Err(ConnectError("down".to_owned()))
            };
            std::future::ready(linked)
        })
    }

    fn agent(&self, disk: Arc<dyn Disk>) -> Agent {
        Agent {
            state_dir: self.state_dir(),
            owner: owner(),
            spool: config(),
            sources: Arc::new(|| Ok(vec![(Box::new(Feed(0)) as Box<dyn Source>, None)])),
            connect: self.connect(),
            disk,
            clock: clock(),
            entropy: entropy(),
            blocking: Blocking::Inline,
            gate: Gate::default(),
            label: "lab".to_owned(),
            read: Arc::default(),
            pushes: vec!["app".to_owned()],
            inlet: Inlet::default(),
            vitals: Vitals::default(),
        }
    }

    fn start(&self, disk: Arc<dyn Disk>) -> Running {
        let agent = self.agent(disk);
        let inlet = agent.inlet.clone();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { agent.run(false, CancellationToken::new()).await });
        (tasks, inlet)
    }

    fn state_dir(&self) -> PathBuf {
        self.dir.path().join("agent")
    }

    /// Runs with a good disk until nothing waits, and says what the journal holds.
    async fn settle(&self) -> (BTreeMap<String, u64>, State) {
        let (mut tasks, _) = self.start(Arc::new(LocalDisk));
        tokio::time::sleep(Duration::from_secs(120)).await;
        if let Some(ended) = tasks.try_join_next() {
            panic!("the agent gave up: {ended:?}");
        }
        kill(tasks).await;
        self.journaled().await
    }

    /// How often each event is in the journal.
    async fn journaled(&self) -> (BTreeMap<String, u64>, State) {
        let mut state = State::new();
        let mut found = BTreeMap::new();
        let journal = journal(&self.objects);
        while let Some(delivered) = journal.read_next(&mut state).await.expect("read") {
            for batch in delivered.batches {
                for line in batch.lines.split(|byte| *byte == b'\n').filter(|l| !l.is_empty()) {
                    let line: serde_json::Value = serde_json::from_slice(line).expect("json");
                    let id = line["eventID"].as_str().expect("an id").to_owned();
                    *found.entry(id).or_default() += 1;
                }
            }
        }
        (found, state)
    }

    /// Lets the agent open its spool, then pushes while no aggregator answers.
    async fn push_while_down(&self, numbers: std::ops::RangeInclusive<u64>) {
        let (tasks, _) = self.start(Arc::new(LocalDisk));
        tokio::time::sleep(Duration::from_secs(2)).await;
        kill(tasks).await;
        self.up.store(false, Ordering::SeqCst);
        let (tasks, inlet) = self.start(Arc::new(LocalDisk));
        for number in numbers {
            push(&inlet, number).await;
        }
        kill(tasks).await;
    }
}

fn config() -> SpoolConfig {
    SpoolConfig { disk_bytes_max: 4 << 20, segment_bytes: 64 << 10, ..SpoolConfig::default() }
}

fn owner() -> Owner {
    Owner { account: ACCOUNT.to_owned(), agent: "main".to_owned() }
}

fn journal(objects: &Arc<InMemory>) -> Journal {
    let store = Store::from_objects(Arc::clone(objects) as Arc<dyn ObjectStore>, "memory://lab");
    Journal::new(store, clock(), entropy(), Blocking::Inline)
}

fn link(session: &Session) -> Link {
    let (to_session, from_agent) = mpsc::channel(2);
    let (answers, to_agent) = mpsc::channel(64);
    let account = ACCOUNT.parse().expect("an account");
    let peer = Peer {
        identity: AgentIdentity {
            organization: "lab".parse().expect("a name"),
            account,
            agent: "main".parse().expect("a name"),
            speaks_for: SpeaksFor::Account(account),
        },
        fingerprint: Hash([1; 32]),
        not_before: Timestamp::MIN,
        not_after: Timestamp::MAX,
    };
    let session = session.clone();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let inbound = ReceiverStream::new(from_agent);
        session.run(peer, inbound, answers, CancellationToken::new()).await;
    });
    // The session lives as long as its link is read.
    let receiver = ReceiverStream::new(to_agent).map(move |message| {
        let _alive = &tasks;
        Ok(message)
    });
    Link { aggregator: "lab".to_owned(), sender: to_session, receiver: Box::pin(receiver) }
}

async fn push(inlet: &Inlet, number: u64) {
    let body = Bytes::from(line("app", number));
    for _ in 0..1_000 {
        if let Ok(accepted) = inlet.push("app", body.clone(), Blocking::Inline).await {
            assert_eq!((accepted.records, accepted.set_aside), (1, 0));
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("push {number} was never accepted");
}

async fn kill(mut tasks: JoinSet<Result<(), AgentError>>) {
    tasks.shutdown().await;
}

fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("create");
    for entry in std::fs::read_dir(from).expect("list") {
        let entry = entry.expect("entry");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("type").is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("copy");
        }
    }
}

/// Every event once: the feed's, and the pushed ones but those that are lost.
fn check_once(found: &BTreeMap<String, u64>, pushed: impl Iterator<Item = u64>, what: &str) {
    let feed = (1..=FEED).map(|number| format!("feed-{number}"));
    let pushed = pushed.map(|number| format!("app-{number}"));
    let expected: BTreeMap<String, u64> = feed.chain(pushed).map(|id| (id, 1)).collect();
    assert_eq!(*found, expected, "{what}");
}

/// A spool of pushed records that are not committed, with its middle gone.
/// Gives the numbers that are lost with it.
async fn with_a_hole(lab: &Lab) -> Vec<u64> {
    lab.push_while_down(1..=12).await;
    let spool = lab.state_dir().join("spool");
    let mut segments: Vec<PathBuf> = std::fs::read_dir(&spool)
        .expect("a spool")
        .map(|entry| entry.expect("entry").path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "seg"))
        .collect();
    segments.sort();
    let middle = &segments[segments.len() / 2];
    let text = String::from_utf8_lossy(&std::fs::read(middle).expect("read")).into_owned();
    let lost = (1..=12).filter(|number| text.contains(&format!("\"app-{number}\""))).collect();
    std::fs::remove_file(middle).expect("remove");
    lost
}

#[tokio::test(start_paused = true)]
async fn what_nobody_can_supply_is_a_gap_and_what_lies_behind_goes_on() {
    let lab = Lab::new().await;
    let lost = with_a_hole(&lab).await;
    assert!(!lost.is_empty() && lost.len() < 6, "{lost:?}");
    lab.up.store(true, Ordering::SeqCst);
    let (found, state) = lab.settle().await;
    check_once(&found, (1..=12).filter(|number| !lost.contains(number)), "a gap");
    assert_eq!(state.totals.gaps, 1);
    assert_eq!(state.totals.lost, lost.len() as u64, "exactly those");
    drop(lab.tasks);
}

/// Whatever the agent's disk has done when it dies, the next start ends it: no
/// record is lost beyond the gap, and none comes twice.
#[tokio::test(start_paused = true)]
async fn a_succession_that_dies_anywhere_is_ended_by_the_next_start() {
    let mut reached_the_end = false;
    for changes in 0..400 {
        let lab = Lab::new().await;
        let lost = with_a_hole(&lab).await;
        lab.up.store(true, Ordering::SeqCst);
        let dead = Arc::new(AtomicBool::new(false));
        let dying = Dying { left: AtomicU64::new(changes), dead: Arc::clone(&dead) };
        let (tasks, _) = lab.start(Arc::new(dying));
        for _ in 0..600 {
            if dead.load(Ordering::SeqCst) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        kill(tasks).await;
        let (found, state) = lab.settle().await;
        let what = format!("died after {changes} changes");
        check_once(&found, (1..=12).filter(|number| !lost.contains(number)), &what);
        assert_eq!((state.totals.gaps, state.totals.lost), (1, lost.len() as u64), "{what}");
        if !dead.load(Ordering::SeqCst) {
            reached_the_end = true;
            break;
        }
    }
    assert!(reached_the_end, "every change was one to die after");
}

#[tokio::test(start_paused = true)]
async fn a_spool_that_was_rolled_back_carries_over_only_what_the_journal_has_not() {
    let lab = Lab::new().await;
    lab.push_while_down(1..=4).await;
    let saved = lab.dir.path().join("saved");
    copy_dir(&lab.state_dir(), &saved);
    // The agent goes on and delivers 1 to 7; then its disk is the older copy.
    lab.up.store(true, Ordering::SeqCst);
    let (tasks, inlet) = lab.start(Arc::new(LocalDisk));
    for number in 5..=7 {
        push(&inlet, number).await;
    }
    tokio::time::sleep(Duration::from_secs(20)).await;
    kill(tasks).await;
    check_once(&lab.journaled().await.0, 1..=7, "before");
    std::fs::remove_dir_all(lab.state_dir()).expect("remove");
    std::fs::rename(&saved, lab.state_dir()).expect("restore");
    lab.up.store(false, Ordering::SeqCst);
    let (tasks, inlet) = lab.start(Arc::new(LocalDisk));
    for number in 8..=9 {
        push(&inlet, number).await;
    }
    kill(tasks).await;
    lab.up.store(true, Ordering::SeqCst);
    let (found, state) = lab.settle().await;
    check_once(&found, 1..=9, "1 to 4 were committed, 8 and 9 were not");
    assert_eq!((state.totals.gaps, state.totals.forks), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_restored_store_is_believed_only_when_a_person_says_so_and_the_rest_is_a_gap() {
    let lab = Lab::new().await;
    lab.push_while_down(1..=3).await;
    lab.up.store(true, Ordering::SeqCst);
    lab.settle().await;
    let older = Arc::new(InMemory::new());
    let all: Vec<_> = lab.objects.list(None).try_collect().await.expect("list");
    for object in all {
        let bytes = lab.objects.get(&object.location).await.expect("get").bytes().await;
        older.put(&object.location, bytes.expect("bytes").into()).await.expect("put");
    }
    // 4 and 5 are acked and let go; 6 is not acked when the store is the older one.
    let (tasks, inlet) = lab.start(Arc::new(LocalDisk));
    for number in 4..=5 {
        push(&inlet, number).await;
    }
    tokio::time::sleep(Duration::from_secs(20)).await;
    kill(tasks).await;
    lab.push_while_down(6..=6).await;

    let mut restored = Lab::over(older).await;
    restored.dir = lab.dir;
    let before = restored.journaled().await;
    let after = restored.settle().await;
    assert_eq!(after.0, before.0, "nothing is sent to a store that is stale");
    assert_eq!((after.1.totals.gaps, after.1.totals.forks), (0, 0), "and nothing is forked");

    let disk: Arc<dyn Disk> = Arc::new(LocalDisk);
    agent::restored(&disk, &restored.state_dir(), config(), &owner()).expect("decide");
    let (found, state) = restored.settle().await;
    check_once(&found, [1, 2, 3, 6].into_iter(), "4 and 5 were let go");
    assert_eq!((state.totals.gaps, state.totals.lost), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn taking_over_brings_along_what_was_pushed_and_is_not_committed() {
    let lab = Lab::new().await;
    lab.push_while_down(1..=4).await;
    let mine = lab.dir.path().join("mine");
    std::fs::rename(lab.state_dir(), &mine).expect("another machine");
    // Another instance, without a spool, opens one of its own and fences ours.
    lab.up.store(true, Ordering::SeqCst);
    lab.settle().await;
    std::fs::remove_dir_all(lab.state_dir()).expect("remove");
    std::fs::rename(&mine, lab.state_dir()).expect("ours again");
    let (mut tasks, _) = lab.start(Arc::new(LocalDisk));
    let ended = tasks.join_next().await.expect("it ends").expect("no panic");
    assert!(matches!(ended, Err(AgentError::Fenced(_))), "{ended:?}");

    let disk: Arc<dyn Disk> = Arc::new(LocalDisk);
    agent::take_over(&disk, &lab.state_dir(), config(), &owner()).expect("decide");
    let (found, state) = lab.settle().await;
    check_once(&found, 1..=4, "taken over");
    assert_eq!(state.totals.gaps, 0);
}
