//! The truth: what the journal and the table say to a reader without faults,
//! and which promises that breaks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{Array as _, AsArray as _};
use event::{AccountId, AgentName};
use faults::{Dice, FaultyStore};
use futures::{FutureExt as _, TryStreamExt as _};
use integrity::{Hash, SpoolId};
use jiff::Timestamp;
use journal::{AgentKey, Journal, State, promises};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};
use seam::{Blocking, Clock};
use store::Store;
use table::decode::Footer;
use table::{Filter, TRAIL_DEFAULT, TableSnapshot};

use crate::pushes::Pushes;
use crate::source::{SOURCES, event_id, record};

/// A promise that was not kept, in a sentence.
pub(crate) type Broken = String;

/// Follows the journal as it truly is; clones are the same.
#[derive(Clone)]
pub(crate) struct Truth {
    objects: Arc<FaultyStore>,
    state: Arc<Mutex<State>>,
    /// How often the store was put back.
    restores: Arc<AtomicU64>,
}

pub(crate) fn account(agent: usize) -> AccountId {
    format!("{:012}", 111_111_111_000 + agent as u64).parse().expect("twelve digits")
}

pub(crate) fn agent_name() -> AgentName {
    "main".parse().expect("a valid name")
}

impl Truth {
    pub(crate) fn new(objects: Arc<FaultyStore>) -> Self {
        Self { objects, state: Arc::new(Mutex::new(State::new())), restores: Arc::default() }
    }

    fn store(&self) -> Store {
        Store::from_objects(self.objects.truth() as Arc<dyn ObjectStore>, "memory://truth")
    }

    fn journal(&self) -> Journal {
        let clock = Clock::new(|| Timestamp::UNIX_EPOCH);
        Journal::new(self.store(), clock, Dice::new(0).entropy(), Blocking::Inline)
    }

    /// The store was put back: the truth is another now.
    pub(crate) fn begin_again(&self) {
        self.restores.fetch_add(1, Ordering::Relaxed);
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = State::new();
    }

    /// How often it became another.
    pub(crate) fn restores(&self) -> u64 {
        self.restores.load(Ordering::Relaxed)
    }

    /// Folds what was committed since, and says what is wrong with it.
    pub(crate) fn follow(&self) -> Result<State, Broken> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let before = state.clone();
        let advanced = self.journal().advance(&mut state).now_or_never();
        advanced.expect("memory answers at once").map_err(|error| format!("{error:?}"))?;
        let broken = promises::broken(&state).or_else(|| promises::broken_between(&before, &state));
        broken.map_or_else(|| Ok(state.clone()), Err)
    }

    /// An ack was sent: what it says must be committed.
    pub(crate) fn acked(
        &self,
        agent: usize,
        spool: &[u8],
        to: u64,
        chain: &[u8],
    ) -> Result<(), Broken> {
        let state = self.follow()?;
        let key = AgentKey { account: account(agent), agent: agent_name() };
        let spool = SpoolId::try_from(spool).map_err(|_| "an ack of no spool".to_owned())?;
        let stream = state.stream(&key, spool).map(|(_, stream)| stream);
        let chain = Hash::try_from(chain).map_err(|_| "an ack of no chain".to_owned())?;
        match stream {
            Some(stream) if stream.watermark > to => Ok(()),
            Some(stream) if stream.watermark == to && stream.chain == chain => Ok(()),
            _ => {
                let stands = stream.map(|stream| stream.watermark);
                Err(format!("agent {agent} is acked to {to}, the journal has {stands:?}"))
            }
        }
    }

    /// What a machine has let go must be committed.
    pub(crate) fn released(
        &self,
        agent: usize,
        spool: SpoolId,
        released: u64,
    ) -> Result<(), Broken> {
        let state = self.follow()?;
        let key = AgentKey { account: account(agent), agent: agent_name() };
        let stands = state.stream(&key, spool).map_or(0, |(_, stream)| stream.watermark);
        if released <= stands {
            return Ok(());
        }
        Err(format!("agent {agent} released to {released}, the journal has {stands}"))
    }

    /// Reads the whole journal: no record twice, none that nobody sent, and if
    /// `all`, none missing.
    pub(crate) async fn account(
        &self,
        agents: usize,
        records: u64,
        pushes: &Pushes,
        all: bool,
    ) -> Result<State, Broken> {
        let journal = self.journal();
        let mut state = State::new();
        let mut found: BTreeMap<Vec<u8>, u64> = BTreeMap::new();
        while let Some(delivered) =
            journal.read_next(&mut state).await.map_err(|error| format!("{error:?}"))?
        {
            for batch in delivered.batches {
                let lines = batch.lines.split(|byte| *byte == b'\n');
                for line in lines.filter(|line| !line.is_empty()) {
                    *found.entry(line.to_vec()).or_default() += 1;
                }
            }
        }
        for agent in 0..agents {
            for source in SOURCES {
                for number in 1..=records {
                    match found.remove(&record(agent, source, number)) {
                        Some(1) => {}
                        None if !all => {}
                        None => return Err(format!("{agent}-{source}-{number} is lost")),
                        Some(copies) => {
                            return Err(format!("{agent}-{source}-{number}: {copies} copies"));
                        }
                    }
                }
            }
        }
        pushes.account(&mut found, all)?;
        if let Some((line, _)) = found.first_key_value() {
            let line = String::from_utf8_lossy(line);
            return Err(format!("the journal holds what nobody sent: {line}"));
        }
        Ok(state)
    }

    /// Reads the whole table: every event up to its position is a row once, and
    /// the counts close. If `all`, nothing lies behind its position.
    pub(crate) async fn table(&self, agents: usize, records: u64, all: bool) -> Result<(), Broken> {
        let text = |error: &dyn std::fmt::Debug| format!("read the table: {error:?}");
        let snapshot = TableSnapshot::load(&self.store(), TRAIL_DEFAULT).await;
        let snapshot = snapshot.map_err(|error| text(&error))?;
        let counts = snapshot.totals().counts;
        let mut at = self.journal().fold_to(snapshot.position()).await.map_err(|e| text(&e))?;
        if !counts.close() || counts.journaled != at.totals.journaled {
            let journaled = at.totals.journaled;
            return Err(format!("{counts:?} of {journaled} units up to the table's position"));
        }
        let mut seen = BTreeSet::new();
        let files: Vec<_> =
            snapshot.files(Filter::default()).try_collect().await.map_err(|error| text(&error))?;
        for file in files {
            for id in self.event_ids(&file.path).await? {
                if !seen.insert(id.clone()) {
                    return Err(format!("event {id} is two rows"));
                }
            }
        }
        if seen.len() as u64 != counts.rows {
            return Err(format!("{} rows where {} are counted", seen.len(), counts.rows));
        }
        if !all {
            return Ok(());
        }
        self.journal().advance(&mut at).await.map_err(|error| text(&error))?;
        if at.totals.journaled != counts.journaled {
            return Err(format!("{counts:?} of {} units", at.totals.journaled));
        }
        let ids = (0..agents).flat_map(|agent| {
            SOURCES.into_iter().flat_map(move |source| {
                (1..=records).filter_map(move |number| event_id(agent, source, number))
            })
        });
        match ids.into_iter().find(|id| !seen.contains(id)) {
            Some(id) => Err(format!("event {id} is no row")),
            None => Ok(()),
        }
    }

    async fn event_ids(&self, path: &str) -> Result<Vec<String>, Broken> {
        let unread = |what: String| format!("{path}: {what}");
        let bytes = async { self.objects.truth().get(&Path::from(path)).await?.bytes().await };
        let bytes = bytes.await.map_err(|error| unread(error.to_string()))?;
        let footer = Footer::parse(bytes.clone(), bytes.len() as u64)
            .map_err(|error| unread(error.to_string()))?;
        let mut ids = Vec::new();
        for (group, range) in footer.row_groups().into_iter().enumerate() {
            let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
            let group = footer
                .read(group, bytes.slice(place(range.start)..place(range.end)), 1_000)
                .map_err(|error| unread(error.to_string()))?;
            for batch in group {
                let batch = batch.map_err(|error| unread(error.to_string()))?;
                let Some(column) = batch.column_by_name("eventid") else {
                    return Err(unread("it has no eventid".to_owned()));
                };
                let column = column.as_string::<i32>();
                ids.extend((0..column.len()).map(|row| column.value(row).to_owned()));
            }
        }
        Ok(ids)
    }
}
