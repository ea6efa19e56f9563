//! Aligning: what the journal knows of this agent against what the spool holds.
//!
//! Every session begins with it, and it is the only place that decides about
//! opening, forking and stopping. The decision is a pure function of both sides,
//! so its table of cases is tested without a network.

use integrity::{Hash, SpoolId};

/// What the spool holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ours {
    pub(crate) spool: SpoolId,
    pub(crate) released: u64,
    pub(crate) head: u64,
    /// A journal has known it: its sources were told where to begin.
    pub(crate) opened: bool,
    /// The spool that ours was made to replace.
    pub(crate) replaces: Option<SpoolId>,
    /// A person said that the store was restored from an older copy.
    pub(crate) restored: bool,
    /// A person said to take over from whoever fenced us.
    pub(crate) take_over: bool,
}

/// What the journal knows, read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Theirs {
    pub(crate) active: Option<SpoolId>,
    /// Where our spool stands, if it was ever opened.
    pub(crate) position: Option<Stands>,
}

/// Where a spool stands in the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stands {
    pub(crate) watermark: u64,
    pub(crate) chain: Hash,
    /// A gap or a newer spool has ended it.
    pub(crate) ended: bool,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Release up to the watermark and send what follows.
    Continue { watermark: u64 },
    /// Open our spool in place of this one.
    Open { replaces: Option<SpoolId> },
    /// Our spool is the active one but it was rolled back, or another copy of it
    /// wrote, or a gap has ended it, or a person said to take over: leave it, begin
    /// a new one, let sources resume where the journal says.
    Fork,
    /// A person said that the store was restored: from there on, what we were
    /// acked before is a gap. Our spool is opened first, if it is not known there.
    Declare { watermark: u64 },
    /// Another instance took over. Stop; a person decides.
    Fenced,
    /// The journal has less than we were acked: a stale or restored store. Keep
    /// everything and try elsewhere.
    Stale { watermark: u64 },
}

/// Decides. `chain_at` gives our chain at a watermark that we hold; none if not.
pub(crate) fn decide<E>(
    ours: Ours,
    theirs: Theirs,
    chain_at: impl FnOnce(u64) -> Result<Option<Hash>, E>,
) -> Result<Decision, E> {
    let is_active = theirs.active == Some(ours.spool);
    match theirs.position {
        Some(Stands { ended: true, .. }) if is_active => Ok(Decision::Fork),
        Some(Stands { watermark, .. }) if is_active && watermark < ours.released => {
            Ok(if ours.restored {
                Decision::Declare { watermark }
            } else {
                Decision::Stale { watermark }
            })
        }
        Some(_) if ours.take_over => Ok(Decision::Fork),
        Some(Stands { watermark, chain, .. }) if is_active => {
            if watermark > ours.head || chain_at(watermark)? != Some(chain) {
                return Ok(Decision::Fork);
            }
            Ok(Decision::Continue { watermark })
        }
        Some(_) => Ok(Decision::Fenced),
        // It was opened once, and the journal does not know it.
        None if (ours.opened || ours.released > 0) && !ours.restored => {
            Ok(Decision::Stale { watermark: 0 })
        }
        None if ours.released > 0 => Ok(Decision::Open { replaces: theirs.active }),
        // Nothing of it was acked, but its sources began where another journal said.
        None if ours.opened => Ok(Decision::Fork),
        // Never opened: it is as good as no spool, and whoever has no spool opens.
        None if ours.head == 0 || theirs.active.is_none() => {
            Ok(Decision::Open { replaces: theirs.active })
        }
        // Made from the one that is still active, with what that had left.
        None if ours.replaces == theirs.active || ours.take_over => {
            Ok(Decision::Open { replaces: theirs.active })
        }
        None => Ok(Decision::Fenced),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: SpoolId = SpoolId([1; 16]);
    const B: SpoolId = SpoolId([2; 16]);
    const OUR_CHAIN: Hash = Hash([7; 32]);
    const OTHER_CHAIN: Hash = Hash([8; 32]);

    fn ours((released, head): (u64, u64)) -> Ours {
        let (opened, replaces, restored, take_over) = (released > 0, None, false, false);
        Ours { spool: A, released, head, opened, replaces, restored, take_over }
    }

    fn at(watermark: u64, chain: Hash) -> Option<Stands> {
        Some(Stands { watermark, chain, ended: false })
    }

    fn check(ours: Ours, active: Option<SpoolId>, position: Option<Stands>, expected: Decision) {
        let theirs = Theirs { active, position };
        let held = |at| Ok::<_, ()>((at <= ours.head).then_some(OUR_CHAIN));
        assert_eq!(decide(ours, theirs, held), Ok(expected), "{ours:?} {theirs:?}");
    }

    #[test]
    fn an_agent_opens_only_without_a_spool_of_its_own_in_the_journal() {
        check(ours((0, 0)), None, None, Decision::Open { replaces: None });
        check(ours((0, 0)), Some(B), None, Decision::Open { replaces: Some(B) });
        check(ours((0, 9)), None, None, Decision::Open { replaces: None });
        check(ours((0, 9)), Some(B), None, Decision::Fenced);
    }

    #[test]
    fn a_spool_that_was_made_from_the_active_one_opens_and_from_another_stops() {
        let made = Ours { replaces: Some(B), ..ours((0, 9)) };
        check(made, Some(B), None, Decision::Open { replaces: Some(B) });
        check(made, Some(SpoolId([3; 16])), None, Decision::Fenced);
    }

    #[test]
    fn the_active_spool_goes_on_where_chains_agree_and_forks_where_not() {
        check(ours((3, 9)), Some(A), at(3, OUR_CHAIN), Decision::Continue { watermark: 3 });
        check(ours((3, 9)), Some(A), at(9, OUR_CHAIN), Decision::Continue { watermark: 9 });
        check(ours((3, 9)), Some(A), at(10, OUR_CHAIN), Decision::Fork);
        check(ours((3, 9)), Some(A), at(5, OTHER_CHAIN), Decision::Fork);
        let ended = Some(Stands { watermark: 3, chain: OUR_CHAIN, ended: true });
        check(ours((3, 9)), Some(A), ended, Decision::Fork);
    }

    #[test]
    fn a_fenced_spool_stops_until_a_person_says_to_take_over() {
        check(ours((3, 9)), Some(B), at(3, OUR_CHAIN), Decision::Fenced);
        let told = Ours { take_over: true, ..ours((3, 9)) };
        check(told, Some(B), at(3, OUR_CHAIN), Decision::Fork);
        check(told, Some(A), at(3, OUR_CHAIN), Decision::Fork);
        let never_opened = Ours { take_over: true, ..ours((0, 9)) };
        check(never_opened, Some(B), None, Decision::Open { replaces: Some(B) });
    }

    #[test]
    fn a_stale_store_gets_nothing_released_and_no_fork_until_a_person_says_it_was_restored() {
        let cases = [
            (Some(A), at(2, OTHER_CHAIN), Decision::Stale { watermark: 2 }),
            (None, None, Decision::Stale { watermark: 0 }),
            (Some(B), None, Decision::Stale { watermark: 0 }),
        ];
        for (active, position, expected) in cases {
            check(ours((3, 9)), active, position, expected);
        }
        let told = Ours { restored: true, ..ours((3, 9)) };
        check(told, Some(A), at(2, OTHER_CHAIN), Decision::Declare { watermark: 2 });
        check(told, None, None, Decision::Open { replaces: None });
        check(told, Some(B), None, Decision::Open { replaces: Some(B) });
        check(told, Some(A), at(3, OUR_CHAIN), Decision::Continue { watermark: 3 });
    }

    #[test]
    fn a_spool_that_was_opened_in_another_journal_does_not_go_on_from_where_that_stood() {
        for held in [(0, 0), (0, 9)] {
            let untold = Ours { opened: true, ..ours(held) };
            let told = Ours { restored: true, ..untold };
            for active in [None, Some(B)] {
                check(untold, active, None, Decision::Stale { watermark: 0 });
                check(told, active, None, Decision::Fork);
            }
        }
    }
}
