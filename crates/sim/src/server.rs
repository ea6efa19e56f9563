//! An aggregator's process: sessions, the committer, and passes over the table.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use agent::Link;
use aggregator::{Buffer, Committer, Health, Metrics, Session};
use faults::Dice;
use identity::{AgentIdentity, Peer, SpeaksFor};
use integrity::Hash;
use jiff::Timestamp;
use journal::Journal;
use seam::{Blocking, Clock, Guards};
use store::Store;
use table::{Config, Limits, Seams, TRAIL_DEFAULT, Table, TableError};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use wire::v1;

use crate::link::{LinkRates, carry, from_agent_line, from_aggregator_line};
use crate::process::Process;
use crate::trace::Trace;
use crate::truth::{Truth, account, agent_name};

/// Names of segments from so many of the last records stay usable: few, so that a
/// run of some dozen records comes to sweep.
const SWEEP_LAG_RECORDS: u64 = 1;

/// Sessions that share an aggregator's credit; more than a run has agents.
const SESSIONS_MAX: usize = 8;

/// What an aggregator is handed.
#[derive(Clone)]
pub(crate) struct Ground {
    pub(crate) store: Store,
    pub(crate) clock: Clock,
    pub(crate) dice: Dice,
    pub(crate) guards: Guards,
    pub(crate) trace: Trace,
    pub(crate) truth: Truth,
    /// Segments that sweeps have deleted.
    pub(crate) swept: Arc<AtomicU64>,
}

/// What an aggregator does beside ingest.
#[derive(Clone, Copy)]
pub(crate) struct Chores {
    pub(crate) table: bool,
    pub(crate) sweeps: bool,
}

impl Ground {
    pub(crate) fn journal(&self) -> Journal {
        let (clock, entropy) = (self.clock.clone(), self.dice.entropy());
        Journal::new(self.store.clone(), clock, entropy, Blocking::Inline).guarded_by(self.guards)
    }

    pub(crate) async fn table(&self) -> Result<Table, TableError> {
        let seams = Seams {
            clock: self.clock.clone(),
            entropy: self.dice.entropy(),
            blocking: Blocking::Inline,
        };
        let limits = Limits {
            pass_bytes: 6_000,
            partition_rows_min: 8 + self.dice.below(8),
            settle_files_max: 3,
            settle_bytes_max: 1 << 20,
            file_rows_max: 10,
            settle_rows_per_file: 12,
            checkpoint_records: 9,
            checkpoint_files: 1_000,
            empty_records_max: 4,
            ..Limits::default()
        };
        let config = Config { limits, settle_age_secs: 60, ..Config::default() };
        let journal = self.journal();
        let table = Table::open(self.store.clone(), journal, TRAIL_DEFAULT, seams, config).await?;
        Ok(table.guarded_by(self.guards))
    }
}

/// A running aggregator.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) process: Process,
    pub(crate) buffer: Arc<Buffer>,
    session: Session,
    ground: Ground,
}

/// What an agent reaches a server by.
pub(crate) struct Wire<'a> {
    pub(crate) network: &'a Mutex<JoinSet<()>>,
    pub(crate) rates: LinkRates,
    /// Nothing gets to the aggregator, or nothing back.
    pub(crate) cuts: [Arc<AtomicBool>; 2],
}

impl Server {
    /// Starts one, if the store lets it read the journal.
    pub(crate) async fn start(ground: Ground, buffer_bytes: u64, chores: Chores) -> Option<Self> {
        let journal = ground.journal();
        let state = match journal.fold().await {
            Ok(state) => state,
            Err(error) if error.is_retryable() => return None,
            Err(error) => {
                ground.trace.broken(format!("the journal cannot be read: {error:?}"));
                return None;
            }
        };
        let buffer = Buffer::new(buffer_bytes, 4 << 10, Duration::from_millis(500), SESSIONS_MAX);
        let buffer = Arc::new(buffer.guarded_by(ground.guards));
        let seams = (ground.clock.clone(), ground.dice.entropy(), Blocking::Inline);
        let (committer, requests) = Committer::new(
            journal,
            state,
            Arc::clone(&buffer),
            seams,
            Metrics::default(),
            Health::default(),
        );
        let nobody_is_doubted = Arc::new(|_: &Peer| None);
        let seams = (ground.clock.clone(), Blocking::Inline);
        let session = Session::new(
            requests,
            Arc::clone(&buffer),
            2,
            seams,
            Metrics::default(),
            nobody_is_doubted,
        );
        let process = Process::default();
        let trace = ground.trace.clone();
        process.spawn(async move {
            if let Err(error) = committer.run(CancellationToken::new()).await {
                trace.broken(format!("the journal contradicts itself: {error:?}"));
            }
        });
        if chores.table {
            process.spawn(keep_table(ground.clone()));
        }
        if chores.sweeps {
            process.spawn(keep_swept(ground.clone()));
        }
        Some(Self { process, buffer, session, ground })
    }

    /// A session with this aggregator, over a link that fails at these rates.
    pub(crate) fn link(&self, wire: &Wire<'_>, agent: usize, name: String) -> Link {
        let (agent_out, to_carry) = mpsc::channel(agent::OUTBOUND_MAX);
        let (carried, session_in) = mpsc::channel::<v1::FromAgent>(4);
        let (session_out, answers) = mpsc::channel(64);
        let (carried_back, agent_in) = mpsc::channel::<v1::FromAggregator>(4);
        let (trace, line) = (self.ground.trace.clone(), name.clone());
        let there = move |message: &v1::FromAgent| {
            trace.note(&format!("{line} > {}", from_agent_line(message)));
        };
        let (trace, truth, line) =
            (self.ground.trace.clone(), self.ground.truth.clone(), name.clone());
        let restores = truth.restores();
        let back = move |message: &v1::FromAggregator| {
            trace.note(&format!("{line} < {}", from_aggregator_line(message)));
            // What was under way when the store was put back speaks of what it was.
            if let Some(v1::from_aggregator::Message::Ack(ack)) = &message.message
                && truth.restores() == restores
                && let Err(broken) = truth.acked(agent, &ack.spool_id, ack.to, &ack.chain)
            {
                trace.broken(broken);
            }
        };
        {
            let mut network = wire.network.lock().unwrap_or_else(PoisonError::into_inner);
            while network.try_join_next().is_some() {}
            let [to, from] = wire.cuts.clone();
            let (rates, dice) = (wire.rates, self.ground.dice.clone());
            network.spawn(carry(to_carry, carried, rates, to, dice.clone(), Arc::new(there)));
            network.spawn(carry(answers, carried_back, rates, from, dice, Arc::new(back)));
        }
        let session = self.session.clone();
        let peer = Peer {
            identity: AgentIdentity {
                organization: "sim".parse().expect("a valid name"),
                account: account(agent),
                agent: agent_name(),
                speaks_for: SpeaksFor::Account(account(agent)),
            },
            fingerprint: Hash([u8::try_from(agent).unwrap_or(0); 32]),
            not_before: Timestamp::MIN,
            not_after: Timestamp::MAX,
        };
        self.process.spawn(async move {
            let inbound = ReceiverStream::new(session_in);
            session.run(peer, inbound, session_out, CancellationToken::new()).await;
        });
        Link {
            aggregator: name,
            sender: agent_out,
            receiver: Box::pin(ReceiverStream::new(agent_in).map(Ok)),
        }
    }
}

/// Passes and settling, for as long as the process lives.
async fn keep_table(ground: Ground) {
    let mut table: Option<Table> = None;
    loop {
        tokio::time::sleep(Duration::from_millis(1_000 + ground.dice.below(20_000))).await;
        let kept = async {
            let held = match table.take() {
                Some(table) => table,
                None => ground.table().await?,
            };
            let held = table.insert(held);
            held.pass(&CancellationToken::new()).await?;
            if let Some(reason) = held.should_settle() {
                held.settle(reason).await?;
            }
            Ok::<_, TableError>(())
        };
        match kept.await {
            Ok(()) => {}
            Err(error) if error.is_retryable() => ground.trace.note(&format!("table: {error}")),
            Err(error) => {
                ground.trace.broken(format!("the table cannot go on: {error:?}"));
                return;
            }
        }
    }
}

/// Sweeps of the journal, for as long as the process lives.
async fn keep_swept(ground: Ground) {
    loop {
        tokio::time::sleep(Duration::from_millis(300 + ground.dice.below(5_000))).await;
        let swept = async {
            let journal = ground.journal();
            let mut state = journal.fold().await?;
            journal.sweep(&mut state, SWEEP_LAG_RECORDS).await
        };
        match swept.await {
            Ok(swept) if swept.deleted > 0 => {
                ground.trace.note(&format!("swept {} segments", swept.deleted));
                ground.swept.fetch_add(swept.deleted, Ordering::Relaxed);
            }
            Ok(_) => {}
            Err(error) if error.is_retryable() => ground.trace.note(&format!("sweep: {error}")),
            Err(error) => {
                ground.trace.broken(format!("the journal cannot be swept: {error:?}"));
                return;
            }
        }
    }
}
