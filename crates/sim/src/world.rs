//! One seed: a few agents, two aggregators, one store, and everything that can
//! happen to them; then calm, and the account of what is in the journal.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use agent::source::Source;
use agent::{Agent, AgentError, Connect, ConnectError, Inlet, Link, Owner, SpoolConfig, Vitals};
use aggregator::{Buffer, Committer, Health, Metrics, Session};
use event::AccountId;
use identity::{AgentIdentity, Peer, SpeaksFor};
use integrity::Hash;
use jiff::Timestamp;
use journal::{Journal, State};
use object_store::ObjectStore;
use seam::{Blocking, Clock, LocalDisk};
use store::Store;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use wire::v1;

use crate::dice::Dice;
use crate::link::{Rates, carry};
use crate::source::{Numbered, record};
use crate::store::FaultyStore;

const AGGREGATORS: usize = 2;

/// How long, in virtual time, everything may take to arrive once the faults stop.
const CALM: Duration = Duration::from_secs(3_600);

/// What one run is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Where all chance comes from.
    pub seed: u64,
    /// How many agents.
    pub agents: usize,
    /// How many records each has to deliver.
    pub records: u64,
    /// How many things happen before the calm.
    pub steps: u64,
}

/// What a run left, if it kept every promise.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Records in the journal, each once.
    pub delivered: u64,
    /// Commit records.
    pub commits: u64,
    /// Spools that replaced another one.
    pub forks: u64,
    /// Agents that stopped because another instance had taken over.
    pub fenced: u64,
}

/// A promise that was not kept, in a sentence.
type Broken = String;

/// What lives until it is killed. Dropping it kills it.
#[derive(Clone)]
struct Aggregator {
    tasks: Arc<Mutex<JoinSet<()>>>,
    session: Session,
}

type Aggregators = Arc<Mutex<[Option<Aggregator>; AGGREGATORS]>>;

/// An agent's machine, and the process on it.
struct Machine {
    dir: PathBuf,
    process: Option<JoinSet<Result<(), AgentError>>>,
    delivered: bool,
}

/// One run.
pub struct World {
    plan: Plan,
    dice: Dice,
    objects: Arc<FaultyStore>,
    aggregators: Aggregators,
    network: Arc<Mutex<JoinSet<()>>>,
    rates: Arc<Mutex<Rates>>,
    dir: tempfile::TempDir,
    machines: Vec<Machine>,
    fenced: u64,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn account(index: usize) -> AccountId {
    format!("{:012}", 111_111_111_000 + index as u64).parse().expect("twelve digits")
}

/// The wall clock of a run goes with its virtual time.
fn clock() -> Clock {
    let began = Instant::now();
    let zero = Timestamp::from_second(1_790_000_000).expect("in range");
    Clock::new(move || zero + began.elapsed())
}

impl World {
    /// Runs a plan to its end.
    ///
    /// # Errors
    /// A sentence about the promise that was broken; it names the seed.
    pub fn run(plan: Plan) -> Result<Outcome, String> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .map_err(|error| error.to_string())?;
        let outcome = runtime.block_on(async {
            let mut world = Self::new(plan)?;
            for _ in 0..plan.steps {
                world.step().await?;
            }
            world.calm().await
        });
        outcome.map_err(|broken| format!("seed {}: {broken}", plan.seed))
    }

    fn new(plan: Plan) -> Result<Self, Broken> {
        let dice = Dice::new(plan.seed);
        let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
        let machine = |index: usize| Machine {
            dir: dir.path().join(index.to_string()),
            process: None,
            delivered: false,
        };
        Ok(Self {
            plan,
            objects: FaultyStore::new(dice.clone()),
            aggregators: Arc::default(),
            network: Arc::default(),
            rates: Arc::new(Mutex::new(Rates::draw(&dice))),
            machines: (0..plan.agents).map(machine).collect(),
            dir,
            fenced: 0,
            dice,
        })
    }

    fn journal(&self) -> Journal {
        let objects = Arc::clone(&self.objects) as Arc<dyn ObjectStore>;
        let store = Store::from_objects(objects, "memory://sim");
        Journal::new(store, clock(), self.dice.entropy(), Blocking::Inline)
    }

    /// Something happens, and time passes.
    async fn step(&mut self) -> Result<(), Broken> {
        let index = self.dice.index(self.plan.agents);
        let which = self.dice.index(AGGREGATORS);
        match self.dice.below(12) {
            0 | 1 => self.kill_aggregator(which),
            2..=4 => self.start_aggregator(which).await,
            5 => self.kill_agent(index).await,
            6 => self.reinstall(index).await,
            7 => self.roll_back(index).await?,
            _ => self.start_agent(index, false),
        }
        tokio::time::sleep(Duration::from_millis(self.dice.below(4_000))).await;
        self.reap()
    }

    fn kill_aggregator(&self, which: usize) {
        if let Some(slot) = locked(&self.aggregators).get_mut(which) {
            *slot = None;
        }
    }

    async fn start_aggregator(&self, which: usize) {
        if locked(&self.aggregators).get(which).is_some_and(Option::is_some) {
            return;
        }
        let journal = self.journal();
        let Ok(state) = journal.fold().await else { return };
        let buffer = Arc::new(Buffer::new(16 << 20, 4 << 10, Duration::from_millis(500), 8));
        let (committer, requests) = Committer::new(
            journal,
            state,
            Arc::clone(&buffer),
            (clock(), self.dice.entropy(), Blocking::Inline),
            Metrics::default(),
            Health::default(),
        );
        let nobody_is_doubted = Arc::new(|_: &Peer| None);
        let seams = (clock(), Blocking::Inline);
        let session =
            Session::new(requests, buffer, 2, seams, Metrics::default(), nobody_is_doubted);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let ended = committer.run(CancellationToken::new()).await;
            assert!(ended.is_ok(), "the journal contradicts itself: {ended:?}");
        });
        if let Some(slot) = locked(&self.aggregators).get_mut(which) {
            *slot = Some(Aggregator { tasks: Arc::new(Mutex::new(tasks)), session });
        }
    }

    async fn kill_agent(&mut self, index: usize) {
        let process = self.machines.get_mut(index).and_then(|machine| machine.process.take());
        if let Some(mut process) = process {
            process.abort_all();
            while process.join_next().await.is_some() {}
        }
    }

    /// The machine is installed anew: its spool is gone.
    async fn reinstall(&mut self, index: usize) {
        self.kill_agent(index).await;
        if let Some(machine) = self.machines.get(index) {
            drop(std::fs::remove_dir_all(&machine.dir));
        }
    }

    /// What a machine holds is saved, or an older copy takes its place.
    async fn roll_back(&mut self, index: usize) -> Result<(), Broken> {
        self.kill_agent(index).await;
        let Some(machine) = self.machines.get(index) else { return Ok(()) };
        let saved = machine.dir.with_extension("saved");
        let (from, to) = if saved.is_dir() && self.dice.one_in(2) {
            (&saved, &machine.dir)
        } else {
            (&machine.dir, &saved)
        };
        if from.is_dir() {
            drop(std::fs::remove_dir_all(to));
            copy_dir(from, to).map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    fn start_agent(&mut self, index: usize, once: bool) {
        let agent = self.agent(index);
        let Some(machine) = self.machines.get_mut(index) else { return };
        if machine.process.is_none() {
            let mut process = JoinSet::new();
            process.spawn(async move { agent.run(once, CancellationToken::new()).await });
            machine.process = Some(process);
        }
    }

    fn agent(&self, index: usize) -> Agent {
        let (dice, count) = (self.dice.clone(), self.plan.records);
        Agent {
            state_dir: self.dir.path().join(index.to_string()),
            owner: Owner { account: account(index).to_string(), agent: "main".to_owned() },
            spool: SpoolConfig { disk_bytes_max: 1 << 20, segment_bytes: 64 << 10 },
            sources: Arc::new(move || {
                let source = Numbered { agent: index, count, at: 0, dice: dice.clone() };
                Ok(vec![(Box::new(source) as Box<dyn Source>, None)])
            }),
            connect: self.connect(index),
            disk: Arc::new(LocalDisk),
            clock: clock(),
            entropy: self.dice.entropy(),
            blocking: Blocking::Inline,
            label: format!("machine {index}"),
            read: Arc::default(),
            pushes: Vec::new(),
            inlet: Inlet::default(),
            vitals: Vitals::default(),
        }
    }

    /// Links to whichever aggregator the dice say, if it lives.
    fn connect(&self, index: usize) -> Connect {
        let aggregators = Arc::clone(&self.aggregators);
        let network = Arc::clone(&self.network);
        let rates = Arc::clone(&self.rates);
        let dice = self.dice.clone();
        Connect::new(move || {
            let which = dice.index(AGGREGATORS);
            let aggregator = locked(&aggregators).get(which).cloned().flatten();
            let rates = *locked(&rates);
            let linked = aggregator
                .map(|aggregator| aggregator.link(&network, rates, &dice, index))
                .ok_or_else(|| ConnectError(format!("aggregator {which} is down")));
            std::future::ready(linked)
        })
    }

    /// Looks at agents that ended by themselves. One that was fenced comes back
    /// without its spool, as if its machine had been installed anew.
    fn reap(&mut self) -> Result<(), Broken> {
        for (index, machine) in self.machines.iter_mut().enumerate() {
            let Some(process) = &mut machine.process else { continue };
            match process.try_join_next() {
                None => continue,
                Some(Ok(Ok(()))) => machine.delivered = true,
                Some(Ok(Err(AgentError::Fenced(_)))) => {
                    self.fenced += 1;
                    drop(std::fs::remove_dir_all(&machine.dir));
                }
                Some(Ok(Err(error))) => return Err(format!("agent {index} gave up: {error:?}")),
                Some(Err(error)) => return Err(format!("agent {index}: {error}")),
            }
            machine.process = None;
        }
        Ok(())
    }

    /// The faults stop, and everything must arrive.
    async fn calm(mut self) -> Result<Outcome, Broken> {
        *locked(&self.rates) = Rates::default();
        self.objects.settle().await;
        for index in 0..self.plan.agents {
            self.kill_agent(index).await;
        }
        for which in 0..AGGREGATORS {
            self.kill_aggregator(which);
            self.start_aggregator(which).await;
        }
        let deadline = Instant::now() + CALM;
        while !self.machines.iter().all(|machine| machine.delivered) {
            if Instant::now() > deadline {
                return Err(format!("not everything arrived in {CALM:?} of calm"));
            }
            for index in 0..self.plan.agents {
                if self.machines.get(index).is_some_and(|machine| !machine.delivered) {
                    self.start_agent(index, true);
                }
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
            self.reap()?;
        }
        self.account().await
    }

    /// Reads the whole journal and compares it with what the sources hold.
    async fn account(&self) -> Result<Outcome, Broken> {
        let journal = self.journal();
        let mut state = State::new();
        let mut found: BTreeMap<String, u64> = BTreeMap::new();
        while let Some(delivered) =
            journal.read_next(&mut state).await.map_err(|error| format!("{error:?}"))?
        {
            for batch in delivered.batches {
                let lines = batch.lines.split(|byte| *byte == b'\n');
                for line in lines.filter(|line| !line.is_empty()) {
                    *found.entry(String::from_utf8_lossy(line).into_owned()).or_default() += 1;
                }
            }
        }
        for index in 0..self.plan.agents {
            for number in 1..=self.plan.records {
                match found.remove(&record(index, number)) {
                    Some(1) => {}
                    None => return Err(format!("record {number} of agent {index} is lost")),
                    Some(copies) => {
                        return Err(format!("record {number} of agent {index}: {copies} copies"));
                    }
                }
            }
        }
        if let Some((line, _)) = found.first_key_value() {
            return Err(format!("the journal holds what nobody sent: {line}"));
        }
        Ok(Outcome {
            delivered: state.totals.journaled,
            commits: state.head,
            forks: state.totals.forks,
            fenced: self.fenced,
        })
    }
}

impl Aggregator {
    /// A session with this aggregator, over a link that fails at these rates.
    fn link(&self, network: &Mutex<JoinSet<()>>, rates: Rates, dice: &Dice, index: usize) -> Link {
        let (agent_out, to_carry) = mpsc::channel(agent::OUTBOUND_MAX);
        let (carried, session_in) = mpsc::channel::<v1::FromAgent>(4);
        let (session_out, answers) = mpsc::channel(64);
        let (carried_back, agent_in) = mpsc::channel::<v1::FromAggregator>(4);
        {
            let mut network = locked(network);
            while network.try_join_next().is_some() {}
            network.spawn(carry(to_carry, carried, rates, dice.clone()));
            network.spawn(carry(answers, carried_back, rates, dice.clone()));
        }
        let session = self.session.clone();
        let peer = Peer {
            identity: AgentIdentity {
                organization: "sim".parse().expect("a valid name"),
                account: account(index),
                agent: "main".parse().expect("a valid name"),
                speaks_for: SpeaksFor::Account(account(index)),
            },
            fingerprint: Hash([u8::try_from(index).unwrap_or(0); 32]),
            not_before: Timestamp::MIN,
            not_after: Timestamp::MAX,
        };
        locked(&self.tasks).spawn(async move {
            let inbound = ReceiverStream::new(session_in);
            session.run(peer, inbound, session_out, CancellationToken::new()).await;
        });
        Link {
            aggregator: "an aggregator".to_owned(),
            sender: agent_out,
            receiver: Box::pin(ReceiverStream::new(agent_in).map(Ok)),
        }
    }
}

fn copy_dir(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_dir(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}
