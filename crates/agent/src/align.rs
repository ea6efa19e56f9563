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
}

/// What the journal knows, read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Theirs {
    pub(crate) active: Option<SpoolId>,
    /// Watermark and chain of our spool, if it was ever opened.
    pub(crate) position: Option<(u64, Hash)>,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Release up to the watermark and send what follows.
    Continue { watermark: u64 },
    /// Open our spool in place of this one.
    Open { replaces: Option<SpoolId> },
    /// Our spool is the active one but it was rolled back, or another copy of it
    /// wrote: leave it, begin a new one, let sources resume where the journal says.
    Fork,
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
    match theirs.position {
        Some((watermark, chain)) if theirs.active == Some(ours.spool) => {
            if watermark < ours.released {
                return Ok(Decision::Stale { watermark });
            }
            if watermark > ours.head || chain_at(watermark)? != Some(chain) {
                return Ok(Decision::Fork);
            }
            Ok(Decision::Continue { watermark })
        }
        Some(_) => Ok(Decision::Fenced),
        // Something of it was acked once, and the journal does not know it.
        None if ours.released > 0 => Ok(Decision::Stale { watermark: 0 }),
        // Never opened: it is as good as no spool, and whoever has no spool opens.
        None if ours.head == 0 || theirs.active.is_none() => {
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

    fn check(
        (released, head): (u64, u64),
        active: Option<SpoolId>,
        position: Option<(u64, Hash)>,
        expected: Decision,
    ) {
        let ours = Ours { spool: A, released, head };
        let theirs = Theirs { active, position };
        let held = |at| Ok::<_, ()>((at <= head).then_some(OUR_CHAIN));
        assert_eq!(decide(ours, theirs, held), Ok(expected), "{ours:?} {theirs:?}");
    }

    #[test]
    fn an_agent_opens_only_without_a_spool_of_its_own_in_the_journal() {
        check((0, 0), None, None, Decision::Open { replaces: None });
        check((0, 0), Some(B), None, Decision::Open { replaces: Some(B) });
        check((0, 9), None, None, Decision::Open { replaces: None });
        check((0, 9), Some(B), None, Decision::Fenced);
    }

    #[test]
    fn the_active_spool_goes_on_where_chains_agree_and_forks_where_not() {
        check((3, 9), Some(A), Some((3, OUR_CHAIN)), Decision::Continue { watermark: 3 });
        check((3, 9), Some(A), Some((9, OUR_CHAIN)), Decision::Continue { watermark: 9 });
        check((3, 9), Some(A), Some((10, OUR_CHAIN)), Decision::Fork);
        check((3, 9), Some(A), Some((5, OTHER_CHAIN)), Decision::Fork);
    }

    #[test]
    fn a_fenced_spool_stops_and_a_stale_store_gets_nothing_released() {
        check((3, 9), Some(B), Some((3, OUR_CHAIN)), Decision::Fenced);
        check((3, 9), Some(A), Some((2, OTHER_CHAIN)), Decision::Stale { watermark: 2 });
        check((3, 9), None, None, Decision::Stale { watermark: 0 });
        check((3, 9), Some(B), None, Decision::Stale { watermark: 0 });
    }
}
