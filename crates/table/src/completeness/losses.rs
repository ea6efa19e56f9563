//! Events that are lost: whose they were, and between which times they happened.
//!
//! What an agent lost it had read after what it last claimed, so it happened after
//! that claim and before the loss was committed. Where there was no claim, there is
//! no lower bound: a source may hold events of any age.

use std::collections::BTreeMap;

use event::AccountId;
use identity::SpeaksFor;
use jiff::Timestamp;
use journal::{AgentKey, Delivered, Origin, State as JournalState};
use serde::{Deserialize, Serialize};

use super::{Completeness, claim};

/// Losses that are told apart; past it, those of one account become one interval.
pub const LOSSES_MAX: usize = 1_024;

/// Events that are lost together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Loss {
    /// Whose they were; absent if they may have been any account's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<AccountId>,
    /// They happened after this; absent if it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Timestamp>,
    /// They happened before this.
    pub to: Timestamp,
    /// How many.
    pub units: u64,
    /// Where they were lost.
    pub kind: LossKind,
}

/// Where events were lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LossKind {
    /// Before they reached the journal: a gap record says so.
    Gap,
    /// With a segment of the journal.
    Segment,
}

/// Losses, at most [`LOSSES_MAX`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Losses(Vec<Loss>);

impl Losses {
    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each loss.
    pub fn iter(&self) -> std::slice::Iter<'_, Loss> {
        self.0.iter()
    }

    /// How many events were lost so.
    #[must_use]
    pub fn units(&self, kind: LossKind) -> u64 {
        let units = self.0.iter().filter(|loss| loss.kind == kind).map(|loss| loss.units);
        units.fold(0, u64::saturating_add)
    }

    /// Adds one. No event is forgotten, only when it was lost.
    pub(super) fn add(&mut self, loss: Loss) {
        self.0.push(loss);
        if self.0.len() > LOSSES_MAX {
            self.merge(|loss| loss.account);
        }
        if self.0.len() > LOSSES_MAX {
            self.merge(|_| None);
        }
    }

    /// Adds what a record of the journal says is lost; `journal` is folded to it.
    pub fn add_of(&mut self, delivered: &Delivered, journal: &JournalState, known: &Completeness) {
        let to = delivered.committed_at;
        if let Some(gap) = &delivered.gap {
            let key = key(&gap.origin);
            // Its last report is still there, and is of what came before.
            let last = journal.active(&key).zip(journal.agent(&key));
            let last =
                last.and_then(|((_, stream), agent)| claim(&agent.progress, stream.watermark));
            let (account, from) = (account(&gap.origin), last.max(known.claim_of(&key)));
            self.add(Loss { account, from, to, units: gap.lost, kind: LossKind::Gap });
        }
        let mut lost: BTreeMap<&Origin, u64> = BTreeMap::new();
        for batch in delivered.batches.iter().filter(|batch| batch.lost) {
            *lost.entry(&batch.origin).or_default() += batch.units;
        }
        for (origin, units) in lost {
            let (account, from) = (account(origin), known.claim_of(&key(origin)));
            self.add(Loss { account, from, to, units, kind: LossKind::Segment });
        }
    }

    /// Makes one of all that have the same account, as `account` tells it, and kind.
    fn merge(&mut self, account: impl Fn(&Loss) -> Option<AccountId>) {
        let mut merged: BTreeMap<(Option<AccountId>, LossKind), Loss> = BTreeMap::new();
        for loss in std::mem::take(&mut self.0) {
            let account = account(&loss);
            let loss = Loss { account, ..loss };
            let all = merged
                .entry((account, loss.kind))
                .or_insert_with(|| Loss { units: 0, ..loss.clone() });
            // An unknown beginning is the least.
            all.from = all.from.min(loss.from);
            all.to = all.to.max(loss.to);
            all.units = all.units.saturating_add(loss.units);
        }
        self.0 = merged.into_values().collect();
    }
}

impl IntoIterator for Losses {
    type Item = Loss;
    type IntoIter = std::vec::IntoIter<Loss>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a Losses {
    type Item = &'a Loss;
    type IntoIter = std::slice::Iter<'a, Loss>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

fn key(origin: &Origin) -> AgentKey {
    AgentKey { account: origin.account, agent: origin.agent.clone() }
}

fn account(origin: &Origin) -> Option<AccountId> {
    match origin.speaks_for {
        SpeaksFor::Account(account) => Some(account),
        SpeaksFor::Organization => None,
    }
}
