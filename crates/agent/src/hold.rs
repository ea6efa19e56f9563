//! What the agent holds: its spool and its places, shared by collect and forward.
//!
//! Both work on them in short blocking steps under one lock. Two watch channels
//! tell each side what the other did: how much is durable, how much is released.

use std::collections::BTreeMap;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use integrity::{Hash, SpoolId, StreamHasher};
use seam::Disk;
use spool::{AppendError, Entry, Frame, Lost, OpenError, ReadError, Recovery, Spool};
use tokio::sync::{Notify, futures::Notified, watch};

use crate::config::SpoolConfig;
use crate::fate::{Fate, Replaces};
use crate::places::{Changes, Cursors, Places, is_pushed, merge};
use crate::vitals::Vitals;

/// What one read takes from the spool at most, in bytes.
const READ_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Who the stream belongs to, as its hashes name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// 12 digits.
    pub account: String,
    /// The agent's name.
    pub agent: String,
}

impl Owner {
    /// The hasher of this owner's stream through `spool`.
    #[must_use]
    pub fn hasher(&self, spool: SpoolId) -> StreamHasher {
        StreamHasher::new(&self.account, &self.agent, spool)
    }
}

/// Why what is held could not be opened, read or changed.
#[derive(Debug, thiserror::Error)]
pub enum HoldError {
    /// The spool could not be opened or made.
    #[error("open spool")]
    Open(#[from] OpenError),
    /// The spool did not take or release something.
    #[error("write spool")]
    Append(#[from] AppendError),
    /// The spool could not be read.
    #[error("read spool")]
    Read(#[from] ReadError),
    /// The places could not be read or written.
    #[error("keep places in {}", dir.display())]
    Places {
        /// The agent's state directory.
        dir: PathBuf,
        /// What the disk said.
        #[source]
        source: io::Error,
    },
}

/// A spool, its places, and what happens to both.
pub(crate) struct Hold {
    inner: Mutex<Inner>,
    disk: Arc<dyn Disk>,
    state_dir: PathBuf,
    id: SpoolId,
    hasher: StreamHasher,
    durable: watch::Sender<u64>,
    /// Told when something is released. It wakes who waits in their order.
    room: Notify,
    /// What this spool was made to replace.
    replaces: Option<SpoolId>,
    /// What must become of it.
    fate: Mutex<Fate>,
    /// Some of its records are lost, with others behind them.
    has_hole: bool,
    /// Who is told how full it is.
    vitals: Vitals,
}

struct Inner {
    spool: Spool,
    /// None until the aggregator or the disk has told where sources stand.
    places: Option<Places>,
}

/// The directory of the spool below an agent's state directory.
pub(crate) fn spool_dir(state_dir: &Path) -> PathBuf {
    state_dir.join("spool")
}

fn options(state_dir: &Path, config: SpoolConfig) -> spool::Options {
    spool::Options {
        dir: spool_dir(state_dir),
        segment_bytes: config.segment_bytes,
        disk_bytes_max: config.disk_bytes_max,
        guards: config.guards,
    }
}

pub(crate) fn leaf(hasher: StreamHasher) -> spool::LeafFn {
    Arc::new(move |sequence, payload| hasher.leaf(sequence, payload).0)
}

impl Hold {
    /// Opens what is there; none if there is no spool yet. Blocks.
    pub(crate) fn open(
        disk: &Arc<dyn Disk>,
        state_dir: &Path,
        config: SpoolConfig,
        owner: &Owner,
    ) -> Result<Option<(Self, Recovery)>, HoldError> {
        let opened = Spool::open(Arc::clone(disk), options(state_dir, config), |id| {
            leaf(owner.hasher(SpoolId(id)))
        })?;
        let Some((spool, recovery)) = opened else { return Ok(None) };
        let id = SpoolId(spool.id());
        let places = Places::load(Arc::clone(disk), state_dir, id)
            .map_err(|source| HoldError::Places { dir: state_dir.to_owned(), source })?
            // Places behind the trim point miss changes that are gone: ask the aggregator.
            .filter(|places| places.sequence >= spool.released().0);
        let io = |source| HoldError::Places { dir: state_dir.to_owned(), source };
        let made = Replaces::load(disk.as_ref(), state_dir).map_err(io)?;
        let replaces = made.filter(|made| made.spool == id).and_then(|made| made.replaces);
        let fate = Mutex::new(Fate::load(disk.as_ref(), state_dir, id).map_err(io)?);
        let has_hole =
            recovery.damage.iter().any(|damage| matches!(damage.lost, Lost::Range { .. }));
        let hold =
            Self { replaces, fate, has_hole, ..Self::new(disk, state_dir, owner, spool, places) };
        Ok(Some((hold, recovery)))
    }

    /// Makes an empty spool with a new name. Blocks.
    pub(crate) fn create(
        disk: &Arc<dyn Disk>,
        state_dir: &Path,
        config: SpoolConfig,
        owner: &Owner,
        id: SpoolId,
    ) -> Result<Self, HoldError> {
        let options = options(state_dir, config);
        let spool = Spool::create(Arc::clone(disk), options, id.0, leaf(owner.hasher(id)))?;
        Ok(Self::new(disk, state_dir, owner, spool, None))
    }

    fn new(
        disk: &Arc<dyn Disk>,
        state_dir: &Path,
        owner: &Owner,
        spool: Spool,
        places: Option<Places>,
    ) -> Self {
        let id = SpoolId(spool.id());
        let (durable, _) = watch::channel(spool.durable());
        Self {
            inner: Mutex::new(Inner { spool, places }),
            disk: Arc::clone(disk),
            state_dir: state_dir.to_owned(),
            id,
            hasher: owner.hasher(id),
            durable,
            room: Notify::new(),
            replaces: None,
            fate: Mutex::new(Fate::none(id)),
            has_hole: false,
            vitals: Vitals::default(),
        }
    }

    /// Tells `vitals` how full it is, from now on.
    pub(crate) fn show(&mut self, vitals: Vitals, disk_bytes_max: u64) {
        {
            let spool = &self.lock().spool;
            let bytes = (spool.disk_bytes(), disk_bytes_max);
            vitals.opened(spool.durable(), spool.released().0, bytes);
        }
        self.vitals = vitals;
    }

    /// What this spool was made to replace, if it was made from another.
    pub(crate) fn replaces(&self) -> Option<SpoolId> {
        self.replaces
    }

    /// What must become of it.
    pub(crate) fn fate(&self) -> Fate {
        self.fate.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether another spool will follow it, so that nothing more should go in.
    pub(crate) fn is_to_be_left(&self) -> bool {
        self.has_hole || self.fate().is_to_be_left()
    }

    /// Decides what must become of it, durably. Blocks.
    pub(crate) fn decide(&self, change: impl FnOnce(&mut Fate)) -> Result<(), HoldError> {
        let mut fate = self.fate.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut fate);
        let io = |source| HoldError::Places { dir: self.state_dir.clone(), source };
        fate.save(self.disk.as_ref(), &self.state_dir).map_err(io)
    }

    pub(crate) fn id(&self) -> SpoolId {
        self.id
    }

    /// The chain before the first record.
    pub(crate) fn chain_start(&self) -> Hash {
        self.hasher.start()
    }

    /// The last durable sequence, now and as it changes.
    pub(crate) fn durable(&self) -> watch::Receiver<u64> {
        self.durable.subscribe()
    }

    /// Ends when something is released after it was called.
    pub(crate) fn room(&self) -> Notified<'_> {
        self.room.notified()
    }

    /// The trim point and the chain there.
    pub(crate) fn trim_point(&self) -> (u64, Hash) {
        let (sequence, chain) = self.lock().spool.released();
        // Before the first release the spool has no chain to remember.
        let chain = if sequence == 0 { self.hasher.start() } else { Hash(chain) };
        (sequence, chain)
    }

    /// Whether it is known where sources stand.
    pub(crate) fn has_places(&self) -> bool {
        self.lock().places.is_some()
    }

    /// Takes the cursors as committed at `sequence`. Blocks.
    pub(crate) fn set_places(&self, sequence: u64, cursors: Cursors) -> Result<(), HoldError> {
        let places = Places::new(Arc::clone(&self.disk), &self.state_dir, sequence, cursors);
        self.save(&places)?;
        self.lock().places = Some(places);
        Ok(())
    }

    /// Where sources stand behind the last durable record. Blocks.
    pub(crate) fn cursors(&self) -> Result<Cursors, HoldError> {
        let mut inner = self.lock();
        let Inner { spool, places } = &mut *inner;
        let Some(places) = places else { return Ok(Cursors::new()) };
        let mut cursors = places.cursors.clone();
        let mut next = places.sequence.max(spool.released().0) + 1;
        while next <= spool.durable() {
            let frames = spool.read(next, READ_BYTES_MAX)?;
            let Some(last) = frames.last() else { break };
            next = last.sequence + 1;
            for frame in &frames {
                merge(&mut cursors, &frame.cursors);
            }
        }
        Ok(cursors)
    }

    /// Appends lines and their cursor changes, durably, all or none. Blocks.
    pub(crate) fn append(&self, entries: &[Entry<'_>]) -> Result<(), AppendError> {
        let mut inner = self.lock();
        inner.spool.append(entries)?;
        let durable = inner.spool.sync()?;
        self.vitals.appended(durable, inner.spool.disk_bytes());
        drop(inner);
        self.durable.send_replace(durable);
        Ok(())
    }

    /// Durable records from a sequence on. Blocks.
    pub(crate) fn read(&self, from: u64, bytes_max: usize) -> Result<Vec<Frame>, ReadError> {
        self.lock().spool.read(from, bytes_max)
    }

    /// The chain hash at `sequence`, which is at or above the trim point; none if
    /// the spool does not reach it. Blocks.
    pub(crate) fn chain_at(&self, sequence: u64) -> Result<Option<Hash>, ReadError> {
        let (mut at, mut chain) = self.trim_point();
        let mut inner = self.lock();
        while at < sequence {
            let frames = inner.spool.read(at + 1, READ_BYTES_MAX)?;
            if frames.is_empty() {
                return Ok(None);
            }
            for frame in frames.iter().take_while(|frame| frame.sequence <= sequence) {
                chain = StreamHasher::chain(chain, Hash(frame.leaf));
                at = frame.sequence;
            }
        }
        Ok((at == sequence).then_some(chain))
    }

    /// What the records above the places and up to `to` change in the cursors. Blocks.
    pub(crate) fn changes_up_to(&self, to: u64) -> Result<Cursors, ReadError> {
        let mut inner = self.lock();
        let Inner { spool, places } = &mut *inner;
        let from = places.as_ref().map_or(0, |places| places.sequence);
        let mut next = from.max(spool.released().0) + 1;
        let mut changes = Cursors::new();
        while next <= to {
            let frames = spool.read(next, READ_BYTES_MAX)?;
            let Some(last) = frames.last() else { break };
            next = last.sequence + 1;
            let mut some = Changes::default();
            for frame in frames.iter().take_while(|frame| frame.sequence <= to) {
                some.add(&frame.cursors);
            }
            for (source, some) in some.finish() {
                changes.entry(source).or_default().extend(some);
            }
        }
        Ok(changes)
    }

    /// Gives every whole record behind `sequence` that was pushed, in order and in
    /// pieces. Blocks.
    pub(crate) fn each_pushed(
        &self,
        sequence: u64,
        mut take: impl FnMut(&[Frame]) -> Result<(), AppendError>,
    ) -> Result<(), HoldError> {
        self.each_whole(sequence, |mut frames| {
            frames.retain(|frame| is_pushed(&frame.cursors));
            if !frames.is_empty() {
                take(&frames)?;
            }
            Ok(ControlFlow::Continue(()))
        })
    }

    /// Whether anything above the trim point was pushed. Blocks.
    pub(crate) fn holds_pushed(&self) -> Result<bool, HoldError> {
        let mut found = false;
        self.each_whole(self.trim_point().0, |frames| {
            found = frames.iter().any(|frame| is_pushed(&frame.cursors));
            Ok(if found { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        Ok(found)
    }

    /// The leaves of whole records from `first` on, at most `count` sequences. Blocks.
    pub(crate) fn leaves(&self, first: u64, count: u64) -> Result<BTreeMap<u64, Hash>, HoldError> {
        let mut leaves = BTreeMap::new();
        let end = first.saturating_add(count);
        self.each_whole(first.saturating_sub(1), |frames| {
            for frame in frames {
                if frame.sequence >= end {
                    return Ok(ControlFlow::Break(()));
                }
                leaves.insert(frame.sequence, Hash(frame.leaf));
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(leaves)
    }

    /// Walks all whole records behind `sequence`, over holes.
    fn each_whole(
        &self,
        sequence: u64,
        mut take: impl FnMut(Vec<Frame>) -> Result<ControlFlow<()>, AppendError>,
    ) -> Result<(), HoldError> {
        let mut next = sequence.max(self.trim_point().0) + 1;
        loop {
            let frames = match self.lock().spool.read(next, READ_BYTES_MAX) {
                Err(ReadError::Hole { last, .. }) => {
                    next = last + 1;
                    continue;
                }
                frames => frames?,
            };
            let Some(last) = frames.last() else { return Ok(()) };
            next = last.sequence + 1;
            if take(frames)?.is_break() {
                return Ok(());
            }
        }
    }

    /// Forgets what is acked: first the places, then the trim point, then the
    /// records themselves. Blocks.
    pub(crate) fn release(&self, to: u64, chain: Hash, changes: &Cursors) -> Result<(), HoldError> {
        let mut inner = self.lock();
        let Inner { spool, places } = &mut *inner;
        if let Some(places) = places
            && to > places.sequence
        {
            apply(&mut places.cursors, changes);
            places.sequence = to;
            self.save(places)?;
        }
        spool.release(to, chain.0)?;
        self.vitals.released(to, spool.disk_bytes());
        drop(inner);
        self.room.notify_waiters();
        Ok(())
    }

    /// Keeps places on disk. A disk without room must not keep the spool from
    /// emptying: then the journal alone knows them, and is asked at the next start.
    fn save(&self, places: &Places) -> Result<(), HoldError> {
        match places.save(self.id) {
            Err(error) if is_full(&error) => {
                let dir = self.state_dir.display();
                tracing::warn!(%dir, %error, "no room to note where sources stand; going on");
                Ok(())
            }
            saved => {
                saved.map_err(|source| HoldError::Places { dir: self.state_dir.clone(), source })
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // The spool answers for itself after a panic: it is poisoned or whole.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a disk has no room, as against being broken.
fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

fn apply(cursors: &mut Cursors, changes: &Cursors) {
    for (source, changes) in changes {
        let cursor = cursors.entry(source.clone()).or_default();
        for (key, value) in changes {
            if value.is_null() {
                cursor.remove(key);
            } else {
                cursor.insert(key.clone(), value.clone());
            }
        }
    }
}
