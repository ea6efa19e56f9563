//! What one run is made of: which kinds of faults there are, and how it ends.

use faults::{Dice, DiskRates, StoreRates};
use seam::Guards;

use crate::link::LinkRates;

/// What a run shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Faults go on for ever; after every step nothing may be wrong.
    Safety,
    /// Faults stop; then everything must arrive, in bounded time.
    Liveness,
}

/// One run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Where all chance comes from.
    pub seed: u64,
    /// What it shows.
    pub mode: Mode,
    /// Which guards hold.
    pub guards: Guards,
    /// How many agents.
    pub agents: usize,
    /// How many records each of an agent's sources has.
    pub records: u64,
    /// How many things happen before the end.
    pub steps: u64,
}

impl Plan {
    /// The usual run of a seed.
    #[must_use]
    pub fn new(mode: Mode, seed: u64) -> Self {
        let steps = match mode {
            Mode::Safety => 60,
            Mode::Liveness => 30,
        };
        Self { seed, mode, guards: Guards::default(), agents: 2, records: 40, steps }
    }

    /// The same without a guard.
    #[cfg(debug_assertions)]
    #[must_use]
    pub fn without(self, guard: seam::Guard) -> Self {
        Self { guards: self.guards.without(guard), ..self }
    }
}

/// The kinds of faults of one run, each on or off as the dice fall.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Faults {
    pub(crate) links: LinkRates,
    pub(crate) store: StoreRates,
    pub(crate) disk: DiskRates,
    /// Links that carry one way only, for a while.
    pub(crate) partitions: bool,
    /// The whole store answers 503 for a while.
    pub(crate) outages: bool,
    /// The power of a machine goes, in the middle of whatever it does.
    pub(crate) power_cuts: bool,
    /// Of what was not synced then, any pieces may be there.
    pub(crate) in_pieces: bool,
    /// A machine's disk is full for a while.
    pub(crate) full: bool,
    /// Processes are killed, at any await.
    pub(crate) kills: bool,
    /// Aggregators and agents are paused, and wake after others went on.
    pub(crate) pauses: bool,
    /// Machines are installed anew, without their spools.
    pub(crate) reinstalls: bool,
    /// Machines are put back to an older copy of their disks.
    pub(crate) rollbacks: bool,
    /// Copies of machines run beside them.
    pub(crate) clones: bool,
    /// The store is put back to an older copy.
    pub(crate) restores: bool,
    /// The wall clock jumps.
    pub(crate) jumps: bool,
    /// Passes and settling run beside ingest.
    pub(crate) table: bool,
    /// Applications push to agents.
    pub(crate) pushes: bool,
    /// Aggregators delete segments that no record names.
    pub(crate) sweeps: bool,
}

impl Faults {
    pub(crate) fn draw(dice: &Dice) -> Self {
        let rate = |one_in: u64| if dice.one_in(2) { one_in } else { 0 };
        let links = LinkRates {
            lost: rate(40),
            doubled: rate(20),
            overtaken: rate(30),
            broken: rate(60),
            delay_millis_max: rate(300),
        };
        let store = StoreRates {
            lost: rate(20),
            unanswered: rate(20),
            late: rate(20),
            conflict: rate(10),
            refused: 0,
            unread: rate(20),
            stale_list: rate(3),
            delay_millis_max: if dice.one_in(4) { 5_000 } else { rate(100) },
        };
        let disk = if dice.one_in(3) {
            DiskRates { write: rate(100), sync: rate(60) }
        } else {
            DiskRates::default()
        };
        Self {
            links,
            store,
            disk,
            partitions: dice.one_in(3),
            outages: dice.one_in(3),
            power_cuts: dice.one_in(2),
            in_pieces: dice.one_in(2),
            full: dice.one_in(4),
            kills: dice.one_in(2),
            pauses: dice.one_in(2),
            reinstalls: dice.one_in(4),
            rollbacks: dice.one_in(3),
            clones: dice.one_in(4),
            restores: dice.one_in(8),
            jumps: dice.one_in(3),
            table: dice.one_in(2),
            pushes: dice.one_in(2),
            sweeps: dice.one_in(2),
        }
    }
}
