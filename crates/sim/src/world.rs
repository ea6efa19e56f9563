//! One seed: a few agents, two aggregators, one store, and everything that can
//! happen to them (`harm`); after every step, whether a promise is broken.

mod harm;

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use agent::source::Source;
use agent::{Agent, Connect, ConnectError, Inlet, Vitals};
use faults::{Dice, FaultyStore, StoreRates};
use jiff::{SignedDuration, Timestamp};
use object_store::ObjectStore;
use object_store::memory::InMemory;
use seam::{Blocking, Clock, Gate};
use store::Store;
use table::SettleReason;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::link::LinkRates;
use crate::machine::{Ended, Machine, owner, spool_config, state_dir};
use crate::plan::{Faults, Mode, Plan};
use crate::pushes::{PUSHED, Pushes};
use crate::server::{Chores, Ground, Server, Wire};
use crate::source::{Numbered, SOURCES};
use crate::trace::Trace;
use crate::truth::{Broken, Truth};

const AGGREGATORS: usize = 2;

/// How long, in virtual time, everything may take to arrive once the faults stop.
const CALM: Duration = Duration::from_secs(3_600);

/// What a run left, if it kept every promise.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Units in the journal.
    pub journaled: u64,
    /// Commit records.
    pub commits: u64,
    /// Spools that replaced another one.
    pub forks: u64,
    /// Agents that stopped because another instance had taken over.
    pub fenced: u64,
    /// Passes over the table.
    pub passes: u64,
    /// Agents that were paused and went on.
    pub woken: u64,
    /// Segments that no record named and that sweeps deleted.
    pub swept: u64,
    /// The hash of everything that happened.
    pub trace: u64,
}

/// A broken promise, and what led to it.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The promise, in a sentence that names mode and seed.
    pub what: String,
    /// The last things that happened.
    pub trace: Vec<String>,
}

impl Failure {
    /// Names the run, where the promise itself does not.
    fn of(mut self, plan: Plan) -> Self {
        let Plan { seed, mode, .. } = plan;
        self.what = format!("{mode:?} seed {seed}: {}", self.what);
        self
    }
}

type Servers = Arc<Mutex<[Option<Server>; AGGREGATORS]>>;

/// One run.
pub struct World {
    pub(crate) plan: Plan,
    pub(crate) dice: Dice,
    faults: Faults,
    pub(crate) trace: Trace,
    pub(crate) truth: Truth,
    pub(crate) objects: Arc<FaultyStore>,
    older: Option<InMemory>,
    restored: bool,
    pub(crate) servers: Servers,
    network: Arc<Mutex<JoinSet<()>>>,
    rates: Arc<Mutex<LinkRates>>,
    /// By aggregator: what does not get there, what does not get back.
    cuts: [[Arc<AtomicBool>; 2]; AGGREGATORS],
    clock_is_off_secs: Arc<AtomicI64>,
    began: Instant,
    pub(crate) machines: Vec<Machine>,
    pub(crate) pause_millis_max: u64,
    pub(crate) buffer_bytes: u64,
    fenced: u64,
    woken: u64,
    swept: Arc<AtomicU64>,
    pub(crate) pushes: Pushes,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs what one thread and virtual time need.
pub(crate) fn run_virtually<T>(
    run: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .map_err(|error| Failure { what: error.to_string(), trace: Vec::new() })?;
    let run = std::panic::AssertUnwindSafe(|| runtime.block_on(run));
    std::panic::catch_unwind(run).unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<String>().map(String::as_str);
        let said = said.or_else(|| panic.downcast_ref::<&str>().copied());
        let what = format!("panicked: {}", said.unwrap_or("without a word"));
        Err(Failure { what, trace: Vec::new() })
    })
}

impl World {
    /// Runs a plan to its end.
    ///
    /// # Errors
    /// The promise that was broken.
    pub fn run(plan: Plan) -> Result<Outcome, Failure> {
        run_virtually(async {
            let dice = Dice::new(plan.seed);
            let faults = Faults::draw(&dice);
            let mut world = Self::new(plan, dice, faults);
            let outcome = world.live().await;
            outcome.map_err(|broken| world.failure(&broken))
        })
        .map_err(|failure| failure.of(plan))
    }

    pub(crate) fn failure(&self, broken: &str) -> Failure {
        let mut trace = self.trace.tail();
        trace.push(format!("{:?}", self.faults));
        Failure { what: broken.to_owned(), trace }
    }

    pub(crate) fn new(plan: Plan, dice: Dice, faults: Faults) -> Self {
        let trace = Trace::new();
        let told = trace.clone();
        let note = Arc::new(move |what: &str| told.note(what));
        let objects = FaultyStore::noted(dice.clone(), faults.store, note);
        let machine = |agent: usize| Machine::new(agent, faults.disk, dice.clone());
        Self {
            plan,
            truth: Truth::new(Arc::clone(&objects)),
            objects,
            older: None,
            restored: false,
            servers: Arc::default(),
            network: Arc::default(),
            rates: Arc::new(Mutex::new(faults.links)),
            cuts: Default::default(),
            clock_is_off_secs: Arc::default(),
            began: Instant::now(),
            machines: (0..plan.agents).map(machine).collect(),
            pause_millis_max: 400,
            buffer_bytes: 16 << 20,
            fenced: 0,
            woken: 0,
            swept: Arc::default(),
            pushes: Pushes::default(),
            faults,
            trace,
            dice,
        }
    }

    async fn live(&mut self) -> Result<Outcome, Broken> {
        for _ in 0..self.plan.steps {
            self.step().await?;
        }
        let all = self.plan.mode == Mode::Liveness;
        if all {
            self.calm().await?;
        }
        let (agents, records) = (self.plan.agents, self.plan.records);
        let state = self.truth.account(agents, records, &self.pushes, all).await?;
        if state.totals.gaps > 0 && self.pushes.nobody_is_excused() && !self.faults.in_pieces {
            return Err(format!("{} gaps, and nothing was damaged", state.totals.gaps));
        }
        let mut passes = 0;
        if self.faults.table {
            if all {
                self.drain_table().await?;
            }
            self.truth.table(self.plan.agents, self.plan.records, all).await?;
            passes = self.ground().table().await.map_or(0, |table| table.state().totals.passes);
        }
        self.trace.check()?;
        Ok(Outcome {
            journaled: state.totals.journaled,
            commits: state.head,
            forks: state.totals.forks,
            fenced: self.fenced,
            passes,
            woken: self.woken,
            swept: self.swept.load(Ordering::Relaxed),
            trace: self.trace.hash(),
        })
    }

    /// The wall clock goes with virtual time, and jumps.
    fn clock(&self) -> Clock {
        let zero = Timestamp::from_second(1_790_000_000).expect("in range");
        let (began, off) = (self.began, Arc::clone(&self.clock_is_off_secs));
        Clock::new(move || {
            zero + began.elapsed() + SignedDuration::from_secs(off.load(Ordering::Relaxed))
        })
    }

    pub(crate) fn ground(&self) -> Ground {
        let objects = Arc::clone(&self.objects) as Arc<dyn ObjectStore>;
        Ground {
            store: Store::from_objects(objects, "memory://sim"),
            clock: self.clock(),
            dice: self.dice.clone(),
            guards: self.plan.guards,
            trace: self.trace.clone(),
            truth: self.truth.clone(),
            swept: Arc::clone(&self.swept),
        }
    }

    /// Something happens, and time passes; then nothing may be wrong.
    async fn step(&mut self) -> Result<(), Broken> {
        self.befall().await?;
        if self.dice.one_in(2) {
            // Just after something happened: in the middle of something else.
            let events = 1 + self.dice.below(30);
            let happened = self.trace.after(events);
            drop(tokio::time::timeout(Duration::from_secs(4), happened).await);
            for _ in 0..self.dice.below(6) {
                tokio::task::yield_now().await;
            }
        } else {
            tokio::time::sleep(Duration::from_millis(self.dice.below(4_000))).await;
        }
        self.check().await
    }

    /// After every step.
    pub(crate) async fn check(&mut self) -> Result<(), Broken> {
        self.reap().await?;
        let servers: Vec<Server> = locked(&self.servers).iter().flatten().cloned().collect();
        if servers.iter().any(|server| server.process.panicked()) {
            return Err("an aggregator panicked".to_owned());
        }
        self.truth.follow()?;
        self.trace.check()
    }

    pub(crate) async fn start_server(&self, which: usize) {
        if locked(&self.servers).get(which).is_some_and(Option::is_some) {
            return;
        }
        let chores = Chores { table: self.faults.table, sweeps: self.faults.sweeps };
        let started = Server::start(self.ground(), self.buffer_bytes, chores).await;
        if let (Some(slot), Some(server)) = (locked(&self.servers).get_mut(which), started) {
            self.trace.note(&format!("aggregator {which} is up"));
            *slot = Some(server);
        }
    }

    pub(crate) fn start_machine(&mut self, index: usize, once: bool) {
        let Some(agent) = self.machines.get(index).map(|machine| self.agent(machine)) else {
            return;
        };
        let (pushes, count) = (self.pushes.clone(), self.plan.records);
        let (dice, trace) = (self.dice.clone(), self.trace.clone());
        if let Some(machine) = self.machines.get_mut(index)
            && !machine.is_running()
            && !machine.retired
        {
            let inlet = agent.inlet.clone();
            machine.start(agent, once);
            // In the calm nobody begins anything, so that it ends.
            if self.faults.pushes && !once {
                machine.run_application(pushes.run(machine.agent, inlet, count, dice, trace));
            }
        }
    }

    fn agent(&self, machine: &Machine) -> Agent {
        let (dice, count) = (self.dice.clone(), self.plan.records);
        let (agent, pause_millis_max) = (machine.agent, self.pause_millis_max);
        Agent {
            state_dir: state_dir(),
            owner: owner(agent),
            spool: spool_config(self.plan.guards),
            sources: Arc::new(move || {
                let source = |name| {
                    let dice = dice.clone();
                    let source = Numbered { agent, name, count, at: 0, pause_millis_max, dice };
                    (Box::new(source) as Box<dyn Source>, None)
                };
                Ok(SOURCES.map(source).into())
            }),
            connect: self.connect(agent),
            disk: machine.disk.handle(),
            clock: self.clock(),
            entropy: self.dice.entropy(),
            blocking: Blocking::Inline,
            gate: Gate::default(),
            label: format!("agent {agent}"),
            read: Arc::default(),
            pushes: self.faults.pushes.then(|| PUSHED.to_owned()).into_iter().collect(),
            inlet: Inlet::default(),
            vitals: Vitals::default(),
        }
    }

    /// Links to whichever aggregator the dice say, if it lives.
    fn connect(&self, agent: usize) -> Connect {
        let servers = Arc::clone(&self.servers);
        let network = Arc::clone(&self.network);
        let (rates, cuts) = (Arc::clone(&self.rates), self.cuts.clone());
        let dice = self.dice.clone();
        Connect::new(move || {
            let which = dice.index(AGGREGATORS);
            let server = locked(&servers).get(which).cloned().flatten();
            let linked = server.zip(cuts.get(which)).map(|(server, cuts)| {
                let rates = *locked(&rates);
                let wire = Wire { network: &network, rates, cuts: cuts.clone() };
                server.link(&wire, agent, format!("agent {agent} aggregator {which}"))
            });
            let linked = linked.ok_or_else(|| ConnectError(format!("aggregator {which} is down")));
            std::future::ready(linked)
        })
    }

    /// What a machine's spool holds, now that nobody writes to it: it has let go
    /// nothing that is not committed, and a crash damaged nothing that was synced.
    fn look(&self, index: usize) -> Result<(), Broken> {
        let Some(machine) = self.machines.get(index) else { return Ok(()) };
        if self.faults.disk != faults::DiskRates::default() {
            return Ok(());
        }
        let Some(held) = machine.look()? else { return Ok(()) };
        // Pieces of what was never synced may lie behind a hole in it.
        if held.damaged > 0 && !self.faults.in_pieces {
            return Err(format!("machine {index}: a crash damaged its spool in {}", held.damaged));
        }
        // Where the store is an older one, more may have been let go before.
        if self.restored {
            return Ok(());
        }
        self.truth.released(machine.agent, held.spool, held.released)
    }

    /// Looks at machines whose power has gone, and at agents that ended.
    async fn reap(&mut self) -> Result<(), Broken> {
        for index in 0..self.machines.len() {
            let Some(machine) = self.machines.get_mut(index) else { continue };
            if machine.disk.is_cut() {
                self.trace.note(&format!("machine {index} lost its power"));
                machine.lose_power(self.faults.in_pieces).await;
                self.look(index)?;
                continue;
            }
            match machine.ended() {
                None | Some(Ended::Delivered | Ended::DiskFailed) => {}
                Some(Ended::Broken(what)) => return Err(what),
                Some(Ended::Fenced) => self.fenced(index).await?,
            }
        }
        Ok(())
    }

    /// A fenced agent stopped. Of two machines with one name a person takes this
    /// one away; a machine that is the only one is told to take over.
    async fn fenced(&mut self, index: usize) -> Result<(), Broken> {
        self.fenced += 1;
        self.trace.note(&format!("machine {index} was fenced and stopped"));
        let agent = self.machines.get(index).map(|machine| machine.agent);
        let others = self.machines.iter().enumerate().filter(|(other, machine)| {
            *other != index && Some(machine.agent) == agent && !machine.retired
        });
        let is_alone = others.count() == 0;
        let Some(machine) = self.machines.get_mut(index) else { return Ok(()) };
        if !is_alone {
            machine.retired = true;
            return Ok(());
        }
        match machine.go_on(false).await {
            Err(what) if self.faults.disk == faults::DiskRates::default() => Err(what),
            _ => Ok(()),
        }
    }

    /// The faults stop, and everything must arrive.
    pub(crate) async fn calm(&mut self) -> Result<(), Broken> {
        self.trace.note("calm");
        *locked(&self.rates) = LinkRates::default();
        for cut in self.cuts.iter().flatten() {
            cut.store(false, Ordering::Relaxed);
        }
        self.objects.settle().await;
        for index in 0..self.machines.len() {
            let Some(machine) = self.machines.get_mut(index) else { continue };
            if machine.disk.is_cut() {
                machine.lose_power(self.faults.in_pieces).await;
            }
            machine.kill().await;
            machine.mend();
            // Who restores a store tells its agents; see `orgtrail-agent spool restored`.
            if self.restored {
                machine.go_on(true).await?;
            }
        }
        for which in 0..AGGREGATORS {
            self.resume_server(which);
            self.kill_server(which);
            self.start_server(which).await;
        }
        let deadline = Instant::now() + CALM;
        while !(0..self.plan.agents).all(|agent| self.has_delivered(agent)) {
            if Instant::now() > deadline {
                return Err(format!("not everything arrived in {CALM:?} of calm"));
            }
            for index in 0..self.machines.len() {
                if self.machines.get(index).is_some_and(|machine| !machine.delivered) {
                    self.start_machine(index, true);
                }
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
            self.check().await?;
        }
        Ok(())
    }

    fn has_delivered(&self, agent: usize) -> bool {
        self.machines
            .iter()
            .any(|machine| machine.agent == agent && machine.delivered && !machine.retired)
    }

    /// Passes until nothing waits, then settling; whatever was left open is
    /// finished on the way.
    async fn drain_table(&mut self) -> Result<(), Broken> {
        (0..AGGREGATORS).for_each(|which| self.kill_server(which));
        self.objects.set_rates(StoreRates::default());
        let failed = |error: table::TableError| format!("drain the table: {error:?}");
        let mut table = self.ground().table().await.map_err(failed)?;
        let stop = CancellationToken::new();
        while table.pass(&stop).await.map_err(failed)?.is_some() {}
        table.settle(SettleReason::Drain).await.map_err(failed)?;
        Ok(())
    }
}
