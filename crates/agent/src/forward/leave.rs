//! Leaving a spool that cannot go on: what nobody can supply is declared a gap,
//! and what of it was pushed and is not committed goes on in a new spool.
//!
//! Sources that can be read again need neither: they resume where the journal
//! says, and nothing of theirs is carried over. A pushed record has no other
//! copy, so it is carried over unless the journal's leaves show that it is there.

use std::collections::BTreeMap;
use std::sync::Arc;

use integrity::{Hash, SpoolId};
use tokio_util::sync::CancellationToken;
use wire::v1::{self, from_agent, from_aggregator};

use super::{Ended, Session, SessionEnd};
use crate::fate::Gap;
use crate::succession::Heir;

/// The first protocol version that knows gaps and leaves.
const SINCE_PROTOCOL: u32 = 2;

/// How far an old spool's records are those of the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Common {
    /// The last sequence that was compared and is the same.
    same: u64,
    /// The last one that was the same or could not be compared.
    to: u64,
    /// One was found that is another.
    differs: bool,
}

impl Common {
    /// Compares the journal's leaves, of which zeroes are unknown, with ours, of
    /// which some are lost.
    fn compare(&mut self, first: u64, theirs: &[Hash], ours: &BTreeMap<u64, Hash>) {
        for (sequence, theirs) in (first..).zip(theirs) {
            if self.differs {
                return;
            }
            match ours.get(&sequence) {
                Some(ours) if ours == theirs => self.same = sequence,
                Some(_) if theirs.0 != [0; 32] => {
                    self.differs = true;
                    return;
                }
                _ => {}
            }
            self.to = sequence;
        }
    }

    /// Behind which sequence nothing of ours is committed. Where a difference
    /// follows what could not be compared, that may be ours too, and twice can be
    /// told apart later where lost cannot be undone.
    fn end(self) -> u64 {
        if self.differs { self.same } else { self.to }
    }
}

impl Session<'_> {
    /// Finds out what of the spool is to be carried over, and ends this life.
    pub(super) async fn leave(
        &mut self,
        active: Option<SpoolId>,
        stop: &CancellationToken,
    ) -> Result<SessionEnd, SessionEnd> {
        let hold = Arc::clone(&self.forward.hold);
        let id = hold.id();
        let why = format!(
            "spool {id} was rolled back, has a gap, was taken over, or another copy of it has written"
        );
        let held = Arc::clone(&hold);
        if !self.forward.blocking.run(move || held.holds_pushed()).await? {
            return Ok(SessionEnd::Ended(Ended::Fork { why, heir: None }));
        }
        if self.protocol < SINCE_PROTOCOL {
            return Err(self.too_old("tell what is committed of a spool that is left"));
        }
        let (released, _) = hold.trim_point();
        let mut common = Common { same: released, to: released, differs: false };
        let mut next = released + 1;
        self.send(from_agent::Message::WantLeaves(v1::WantLeaves { from: next })).await?;
        loop {
            let leaves = match self.answer(stop).await? {
                from_aggregator::Message::Leaves(leaves) => leaves,
                from_aggregator::Message::Refused(refused) => return Err(self.refused(&refused)),
                _ => continue,
            };
            let theirs: Vec<Hash> =
                leaves.leaves.as_ref().as_chunks().0.iter().copied().map(Hash).collect();
            if leaves.from != next {
                return Err(SessionEnd::Again("leaves came out of order".to_owned()));
            }
            if !theirs.is_empty() && !common.differs {
                let (first, count) = (next, theirs.len() as u64);
                let held = Arc::clone(&hold);
                let ours = self.forward.blocking.run(move || held.leaves(first, count)).await?;
                common.compare(first, &theirs, &ours);
            }
            next += theirs.len() as u64;
            if leaves.last {
                break;
            }
        }
        let heir = Heir { replaces: active, copy_behind: common.end() };
        Ok(SessionEnd::Ended(Ended::Fork { why, heir: Some(heir) }))
    }

    /// The spool has a hole behind what is sent. If that may have been pushed, it
    /// becomes a gap; else sources are simply read again.
    pub(super) async fn hole(&mut self, first: u64, last: u64) -> Result<(), SessionEnd> {
        let hold = Arc::clone(&self.forward.hold);
        let pushed = self.forward.expects_pushes
            || self.forward.blocking.run(move || hold.holds_pushed()).await?;
        let why = format!("sequences {first} to {last} of the agent's spool are damaged");
        if !pushed {
            return Err(SessionEnd::Ended(Ended::Fork { why, heir: None }));
        }
        self.gap = Some(Gap { first, last, reason: why });
        Ok(())
    }

    /// The journal stands at `watermark` for good, where `released` was acked.
    pub(super) fn restored(&mut self, watermark: u64, released: u64) {
        let reason = "acked before the store was restored from an older copy; sources were read \
                      again from where that stands";
        self.gap = Some(Gap { first: watermark + 1, last: released, reason: reason.to_owned() });
    }

    /// What a person decided is done, or was not needed: it must not be done again
    /// when nobody asks for it.
    pub(super) async fn carried_out(&mut self) -> Result<(), SessionEnd> {
        let hold = Arc::clone(&self.forward.hold);
        let fate = hold.fate();
        if fate.take_over || fate.restored {
            let done = move || hold.decide(|fate| (fate.take_over, fate.restored) = (false, false));
            self.forward.blocking.run(done).await?;
        }
        Ok(())
    }

    /// Says that a gap begins here, once everything before it is committed.
    pub(super) async fn declare(&mut self) -> Result<(), SessionEnd> {
        let Some(gap) = self.gap.clone().filter(|_| !self.gap_sent && self.unacked.is_empty())
        else {
            return Ok(());
        };
        if self.protocol < SINCE_PROTOCOL {
            return Err(self.too_old("take a gap"));
        }
        let Gap { first, last, reason } = gap;
        tracing::error!(first, last, reason, "declaring a gap: nobody can supply these records");
        self.gap_sent = true;
        self.forward.vitals.declared_gap();
        self.send(from_agent::Message::Gap(v1::Gap { first, last, reason })).await
    }

    /// The gap is committed: the next session finds the stream ended.
    pub(super) fn gapped(&self, record: u64) -> SessionEnd {
        SessionEnd::Again(format!("the gap is journal record {record}; a new spool follows"))
    }

    fn too_old(&self, what: &str) -> SessionEnd {
        SessionEnd::Again(format!("{} is too old to {what}: upgrade it", self.link.aggregator))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each letter is a leaf; `.` is one that is lost, on either side.
    fn check(theirs: &str, ours: &str, expected: u64) {
        let leaf = |letter: char| Hash(if letter == '.' { [0; 32] } else { [letter as u8; 32] });
        let held: BTreeMap<u64, Hash> = (11..)
            .zip(ours.chars())
            .filter(|(_, c)| *c != '.')
            .map(|(n, c)| (n, leaf(c)))
            .collect();
        let all: Vec<Hash> = theirs.chars().map(leaf).collect();
        for cut in 0..=all.len() {
            let mut common = Common { same: 10, to: 10, differs: false };
            let (one, two) = all.split_at(cut);
            common.compare(11, one, &held);
            common.compare(11 + cut as u64, two, &held);
            assert_eq!(common.end(), expected, "{theirs} and {ours}, cut at {cut}");
        }
    }

    #[test]
    fn what_is_carried_over_begins_behind_the_longest_common_beginning() {
        check("", "abc", 10);
        check("ab", "abcd", 12);
        check("abcd", "ab", 14);
        check("abx", "abcd", 12);
        check("xbc", "abc", 10);
    }

    #[test]
    fn what_cannot_be_compared_neither_ends_the_beginning_nor_proves_it() {
        check("abcd", "a..d", 14);
        check("a.cd", "abcd", 14);
        check("abcd", "a..x", 11);
        check("a..x", "abcd", 11);
        check("abcd", "ab..", 14);
    }
}
