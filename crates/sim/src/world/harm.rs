//! What befalls machines, servers, links, clocks and the store, and how they recover.

use std::sync::atomic::Ordering;

use super::{AGGREGATORS, World, locked};
use crate::machine::Machine;
use crate::truth::Broken;

/// Machines of one agent at once.
const CLONES_MAX: usize = 2;

impl World {
    /// One thing happens, as the dice will.
    pub(super) async fn befall(&mut self) -> Result<(), Broken> {
        let index = self.dice.index(self.machines.len());
        let which = self.dice.index(AGGREGATORS);
        let faults = self.faults;
        match self.dice.below(24) {
            0 if faults.kills => self.kill_server(which),
            1 if faults.kills => self.kill_machine(index).await?,
            2 if faults.pauses => match self.dice.one_in(2) {
                true => self.pause_server(which),
                false => self.pause_machine(index),
            },
            3 if faults.power_cuts => self.cut_power_soon(index),
            4 if faults.reinstalls => self.reinstall(index).await?,
            5 if faults.rollbacks => self.roll_back(index).await?,
            6 if faults.clones => self.clone_machine(index),
            7 if faults.restores => self.save_or_restore_store().await,
            8 if faults.jumps => self.jump(),
            9 if faults.partitions => self.partition(which),
            10 if faults.outages => self.outage(),
            11 if faults.full => self.fill_disk(index),
            12..=15 => {
                self.resume_server(which);
                self.resume_machine(index);
            }
            16..=18 => self.start_server(which).await,
            _ => self.start_machine(index, false),
        }
        Ok(())
    }

    pub(super) fn kill_server(&self, which: usize) {
        if let Some(slot) = locked(&self.servers).get_mut(which)
            && let Some(server) = slot.take()
        {
            self.trace.note(&format!("aggregator {which} is killed"));
            server.process.kill();
        }
    }

    fn pause_server(&self, which: usize) {
        if let Some(Some(server)) = locked(&self.servers).get(which) {
            self.trace.note(&format!("aggregator {which} is paused"));
            server.process.pause();
        }
    }

    pub(super) fn resume_server(&self, which: usize) {
        let server = locked(&self.servers).get(which).cloned().flatten();
        if server.is_some_and(|server| server.process.resume()) {
            self.trace.note(&format!("aggregator {which} wakes"));
        }
    }

    fn pause_machine(&self, index: usize) {
        if let Some(machine) = self.machines.get(index).filter(|machine| machine.is_running()) {
            self.trace.note(&format!("machine {index}: its agent is paused"));
            machine.pause();
        }
    }

    fn resume_machine(&mut self, index: usize) {
        if self.machines.get(index).is_some_and(Machine::resume) {
            self.trace.note(&format!("machine {index}: its agent wakes"));
            self.woken += 1;
        }
    }

    async fn kill_machine(&mut self, index: usize) -> Result<(), Broken> {
        self.trace.note(&format!("machine {index}: its agent is killed"));
        if let Some(machine) = self.machines.get_mut(index) {
            machine.kill().await;
        }
        self.look(index)
    }

    fn cut_power_soon(&self, index: usize) {
        let operations = self.dice.below(60);
        if let Some(machine) = self.machines.get(index).filter(|machine| machine.is_running()) {
            self.trace.note(&format!("machine {index}: power goes in {operations} operations"));
            machine.disk.cut_at(operations);
        }
    }

    async fn reinstall(&mut self, index: usize) -> Result<(), Broken> {
        self.trace.note(&format!("machine {index} is installed anew"));
        if let Some(machine) = self.machines.get_mut(index) {
            machine.reinstall().await;
            self.pushes.excuse(machine.agent);
        }
        Ok(())
    }

    async fn roll_back(&mut self, index: usize) -> Result<(), Broken> {
        if let Some(machine) = self.machines.get_mut(index) {
            let done = machine.save_or_roll_back().await;
            if done == "rolled back" {
                self.pushes.excuse(machine.agent);
            }
            self.trace.note(&format!("machine {index} is {done}"));
        }
        Ok(())
    }

    fn clone_machine(&mut self, index: usize) {
        let Some(machine) = self.machines.get(index) else { return };
        let same = self.machines.iter().filter(|other| other.agent == machine.agent);
        if same.count() < CLONES_MAX {
            self.trace.note(&format!("machine {index} has a clone"));
            self.pushes.excuse(machine.agent);
            let clone = machine.clone_of_it();
            self.machines.push(clone);
        }
    }

    /// A copy of the store is kept, or the one that is kept takes its place.
    async fn save_or_restore_store(&mut self) {
        match self.older.take() {
            Some(older) if self.dice.one_in(2) => {
                // Who restores a store stops what writes to it.
                (0..AGGREGATORS).for_each(|which| self.kill_server(which));
                tokio::task::yield_now().await;
                self.trace.note("the store is put back to an older copy");
                self.objects.restore(&older);
                self.truth.begin_again();
                self.restored = true;
                (0..self.plan.agents).for_each(|agent| self.pushes.excuse(agent));
            }
            _ => self.older = Some(self.objects.copy()),
        }
    }

    fn jump(&self) {
        let secs = i64::try_from(self.dice.below(200_000)).unwrap_or(0) - 100_000;
        self.trace.note(&format!("the clock is off by {secs} s"));
        self.clock_is_off_secs.store(secs, Ordering::Relaxed);
    }

    fn partition(&self, which: usize) {
        let (there, back) = (self.dice.one_in(2), self.dice.one_in(2));
        self.trace.note(&format!("aggregator {which}: cut off {there} {back}"));
        if let Some([to, from]) = self.cuts.get(which) {
            to.store(there, Ordering::Relaxed);
            from.store(back, Ordering::Relaxed);
        }
    }

    fn outage(&self) {
        let down = self.dice.one_in(2);
        self.trace.note(&format!("the store is down: {down}"));
        self.objects.set_down(down);
    }

    fn fill_disk(&self, index: usize) {
        if let Some(machine) = self.machines.get(index) {
            let room = self.dice.index(2_000);
            let full = self.dice.one_in(2).then(|| machine.disk.used() + room);
            self.trace.note(&format!("machine {index}: its disk ends at {full:?}"));
            machine.disk.set_capacity(full);
        }
    }
}
