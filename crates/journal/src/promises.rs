//! The promises that a folded state must keep, as pure predicates.
//!
//! [`State`] asserts them of itself where debug assertions are on, and a
//! simulation asserts them of the truth after each of its steps.

use crate::state::State;

/// What is wrong with a state, in a sentence; nothing if all is well.
#[must_use]
pub fn broken(state: &State) -> Option<String> {
    let lines: u64 = state.streams.values().map(|stream| stream.watermark).sum();
    if lines != state.totals.lines {
        let total = state.totals.lines;
        return Some(format!(
            "{total} lines were committed, the streams' watermarks add to {lines}"
        ));
    }
    let expired = &state.expired;
    if expired.deleted > expired.to || expired.to > state.head {
        let (deleted, to, head) = (expired.deleted, expired.to, state.head);
        return Some(format!("deleted to {deleted}, expired to {to}, and the head is {head}"));
    }
    if expired.units > state.totals.journaled || expired.segments > state.totals.segments {
        return Some("more has expired than was ever there".to_owned());
    }
    for (key, agent) in &state.agents {
        let Some(active) = state.streams.get(&agent.active) else {
            return Some(format!("{}/{} has no active stream", key.account, key.agent));
        };
        if active.account != key.account || active.agent != key.agent {
            return Some(format!("{}/{} is active with another's stream", key.account, key.agent));
        }
    }
    None
}

/// What may not have become of `before` in the state `after` it, in a sentence.
#[must_use]
pub fn broken_between(before: &State, after: &State) -> Option<String> {
    if after.head < before.head {
        return Some(format!("the head went back from {} to {}", before.head, after.head));
    }
    let (was, is) = (&before.expired, &after.expired);
    if is.to < was.to || is.deleted < was.deleted {
        return Some(format!("what has expired went back from {was:?} to {is:?}"));
    }
    for (number, was) in &before.streams {
        let Some(is) = after.streams.get(number) else {
            return Some(format!("stream {number} is gone"));
        };
        if is.watermark < was.watermark {
            let (from, to) = (was.watermark, is.watermark);
            return Some(format!("stream {number} went back from {from} to {to}"));
        }
        if is.watermark == was.watermark && is.chain != was.chain {
            return Some(format!("stream {number} changed its chain at {}", was.watermark));
        }
        let replaced = !before.agents.values().any(|agent| agent.active == *number);
        if replaced && is.watermark != was.watermark {
            return Some(format!("stream {number} grew after its spool was replaced"));
        }
    }
    None
}
