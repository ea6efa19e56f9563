//! What applications push to agents, and what they were answered.
//!
//! An application says nothing twice: what it got no answer for may be kept or
//! not, and what was accepted must be in the journal, once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use agent::Inlet;
use faults::Dice;
use seam::Blocking;

use crate::source::{SET_ASIDE_EVERY, record};
use crate::trace::Trace;
use crate::truth::Broken;

/// The name under which they push.
pub(crate) const PUSHED: &str = "app";

/// All pushes of a run; clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Pushes(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// By agent and number: whether it was accepted.
    accepted: BTreeMap<(usize, u64), bool>,
    excused: BTreeSet<usize>,
}

impl Pushes {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something happened to an agent after which nobody has what it accepted, or
    /// two instances have it.
    pub(crate) fn excuse(&self, agent: usize) {
        self.state().excused.insert(agent);
    }

    /// Whether every spool and the store are as they were left.
    pub(crate) fn nobody_is_excused(&self) -> bool {
        self.state().excused.is_empty()
    }

    /// Pushes up to `count` events to an agent, now and then.
    pub(crate) async fn run(
        self,
        agent: usize,
        inlet: Inlet,
        count: u64,
        dice: Dice,
        trace: Trace,
    ) {
        loop {
            tokio::time::sleep(Duration::from_millis(dice.below(2_000))).await;
            let number = {
                let mut state = self.state();
                let made = state.accepted.range((agent, 0)..=(agent, u64::MAX)).count() as u64;
                if made >= count {
                    return;
                }
                // Only events are pushed.
                let events = SET_ASIDE_EVERY - 1;
                let number = made / events * SET_ASIDE_EVERY + made % events + 1;
                state.accepted.insert((agent, number), false);
                number
            };
            let body = record(agent, PUSHED, number).into();
            let answer = inlet.push(PUSHED, body, Blocking::Inline).await;
            trace.note(&format!("agent {agent}: push {number} {}", answer.is_ok()));
            if answer.is_ok() {
                self.state().accepted.insert((agent, number), true);
            }
        }
    }

    /// Takes the pushed records out of what was `found`, and says what is wrong
    /// with them; if `all`, none that was accepted may be missing.
    pub(crate) fn account(
        &self,
        found: &mut BTreeMap<Vec<u8>, u64>,
        all: bool,
    ) -> Result<(), Broken> {
        let state = self.state();
        for ((agent, number), accepted) in &state.accepted {
            let copies = found.remove(&record(*agent, PUSHED, *number)).unwrap_or(0);
            if state.excused.contains(agent) {
                continue;
            }
            match copies {
                0 if *accepted && all => {
                    return Err(format!("{agent}-{PUSHED}-{number} was accepted and is lost"));
                }
                0 | 1 => {}
                copies => return Err(format!("{agent}-{PUSHED}-{number}: {copies} copies")),
            }
        }
        Ok(())
    }
}
