//! Up to when the events of each account are known to be all there.
//!
//! What agents reported of their sources is the only ground. An agent that has
//! read a source to its end at C, and knows that the source is D behind events,
//! claims every event of that source up to C - D, once all that it had read by
//! then is in the journal. Its claim is the least of its sources'. A claim stays
//! true: it only grows, until the agent reports other sources or other delays,
//! or may speak for others; then nothing is known of it until it claims anew.
//!
//! An event of an account may come by any agent that may speak for the account,
//! so the account is complete up to the least of their claims, and unknown if
//! one of them claims nothing. An organization's agent says nothing of an account
//! of which no event ever came: its source may not hold that account at all.
//! Sources do not say which regions they hold, so what is said of an account
//! holds for each region that it has shown, and for no other.
//!
//! # Why intents carry it
//! A pass pins in its intent what has changed since the last one. The claims
//! outlive the moments in which an agent is behind or begins a new spool, which
//! the journal's fold alone would show as "unknown".

mod losses;

use std::collections::{BTreeMap, BTreeSet};

use event::AccountId;
use identity::SpeaksFor;
use jiff::{SignedDuration, Timestamp};
use journal::{AgentKey, Progress, State as JournalState};
use serde::{Deserialize, Serialize};

use crate::partition::Regions;
pub use losses::{LOSSES_MAX, Loss, LossKind, Losses};

/// Hexadecimal digits that stand for what an agent reports of its sources.
const SOURCES_DIGITS: usize = 16;

/// Everything that statements of completeness rest on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Completeness {
    /// What the operator says that there is.
    #[serde(default, skip_serializing_if = "Expected::is_empty")]
    pub expected: Expected,
    /// The agents, as `account/name`, and their claims.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub agents: BTreeMap<String, Standing>,
    /// Events that are lost, and what is known of whose and when they were.
    #[serde(default, skip_serializing_if = "Losses::is_empty")]
    pub losses: Losses,
}

/// What the operator says of the organization.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expected {
    /// Accounts that must be heard of.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub accounts: BTreeSet<AccountId>,
    /// Regions that each of them must have shown; if no account is named, each that
    /// was ever seen.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub regions: BTreeSet<String>,
    /// Agents, as `account/name`, that are turned off for good: nothing waits for
    /// them any more.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub retired_agents: BTreeSet<String>,
}

impl Expected {
    /// Whether nothing is said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.accounts.is_empty() && self.regions.is_empty() && self.retired_agents.is_empty()
    }
}

/// One agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// What it reports.
    #[serde(flatten)]
    reporting: Reporting,
    /// Every event of its sources up to then is in the journal, or lost and said
    /// to be so; none if it cannot say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    complete_to: Option<Timestamp>,
}

/// What an agent's claims rest on; when it changes, earlier ones are void.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Reporting {
    speaks_for: SpeaksFor,
    /// A hash of its sources' names and known delays; none while it reported none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sources: Option<String>,
}

/// What an intent pins: the changes since the last commit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Learned {
    /// The operator says otherwise than before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expected: Option<Expected>,
    /// Agents that are new, or whose earlier claims are void.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    agents: BTreeMap<String, Reporting>,
    /// Claims that have grown: by time, since many agents share one.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    complete_to: BTreeMap<Timestamp, Vec<String>>,
    /// What was lost.
    #[serde(default, skip_serializing_if = "Losses::is_empty")]
    losses: Losses,
}

impl Learned {
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Up to when nothing is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known {
    /// Every event up to then is there, or lost and said to be so.
    CompleteTo(Timestamp),
    /// These agents, as `account/name`, may have more and cannot say how much.
    Unknown(Vec<String>),
    /// No agent says anything.
    Nothing,
}

impl Known {
    /// The time, if it is known.
    #[must_use]
    pub fn complete_to(&self) -> Option<Timestamp> {
        match self {
            Self::CompleteTo(time) => Some(*time),
            Self::Unknown(_) | Self::Nothing => None,
        }
    }

    /// Of two that both must hold.
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::CompleteTo(one), Self::CompleteTo(other)) => Self::CompleteTo(one.min(other)),
            (Self::Unknown(mut one), Self::Unknown(other)) => {
                one.extend(other);
                Self::Unknown(one)
            }
            // Nobody speaking says nothing against the others.
            (Self::Nothing, known) | (known, Self::Nothing) => known,
            (unknown @ Self::Unknown(_), _) | (_, unknown @ Self::Unknown(_)) => unknown,
        }
    }
}

/// What is known of one account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// The account.
    pub account: AccountId,
    /// Of it, and so of each of its regions.
    pub known: Known,
    /// The regions that it has shown.
    pub regions: Vec<String>,
    /// Expected regions that it has not: of those nothing is known.
    pub unseen_regions: Vec<String>,
}

impl Completeness {
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What the journal's fold and these losses say beyond this.
    pub(crate) fn learn(
        &self,
        journal: &JournalState,
        expected: Option<&Expected>,
        losses: Losses,
    ) -> Learned {
        let mut learned = Learned {
            expected: expected.filter(|expected| **expected != self.expected).cloned(),
            losses,
            ..Learned::default()
        };
        for (key, agent) in &journal.agents {
            let Some((_, stream)) = journal.active(key) else { continue };
            let name = name_of(key);
            let known = self.agents.get(&name);
            let sources = sources(&agent.progress)
                // A new spool has not reported yet: its sources stay what they were.
                .or_else(|| known.and_then(|known| known.reporting.sources.clone()));
            let reporting = Reporting { speaks_for: stream.certificate.speaks_for, sources };
            let before = known.filter(|known| known.reporting == reporting);
            let claimed = before.and_then(|known| known.complete_to);
            if before.is_none() {
                learned.agents.insert(name.clone(), reporting);
            }
            if let Some(claim) = claim(&agent.progress, stream.watermark)
                && claimed.is_none_or(|claimed| claim > claimed)
            {
                learned.complete_to.entry(claim).or_default().push(name);
            }
        }
        learned
    }

    /// Takes in what was learned.
    pub(crate) fn absorb(&mut self, learned: Learned) -> Result<(), String> {
        let Learned { expected, agents, complete_to, losses } = learned;
        if let Some(expected) = expected {
            self.expected = expected;
        }
        for (name, reporting) in agents {
            self.agents.insert(name, Standing { reporting, complete_to: None });
        }
        for (time, names) in complete_to {
            for name in names {
                let Some(agent) = self.agents.get_mut(&name) else {
                    return Err(format!("it says how far {name} has come, who is unknown"));
                };
                agent.complete_to = Some(time);
            }
        }
        losses.into_iter().for_each(|loss| self.losses.add(loss));
        Ok(())
    }

    /// What is known when the journal's fold and these losses are taken in too.
    #[must_use]
    pub fn with(&self, journal: &JournalState, losses: Losses) -> Self {
        let mut after = self.clone();
        let absorbed = after.absorb(self.learn(journal, None, losses));
        debug_assert_eq!(absorbed, Ok(()), "what is learned names agents that it knows");
        after
    }

    /// What is known of every account that is expected, was ever seen, has an agent
    /// of its own or is one of `named`, in their order.
    #[must_use]
    pub fn statements(&self, seen: &Regions, named: &BTreeSet<AccountId>) -> Vec<Statement> {
        let organization = self.of_organization();
        let mut own: BTreeMap<AccountId, Known> = BTreeMap::new();
        let mut retired = BTreeSet::new();
        for (name, agent) in &self.agents {
            let SpeaksFor::Account(account) = agent.reporting.speaks_for else { continue };
            if self.is_retired(name) {
                retired.insert(account);
                continue;
            }
            let known = own.remove(&account).unwrap_or(Known::Nothing);
            own.insert(account, known.and(agent.known(name)));
        }
        let wanted = self.expected.accounts.union(named).copied();
        let accounts: BTreeSet<AccountId> =
            seen.accounts().chain(own.keys().copied()).chain(wanted).collect();
        let statement = |account: AccountId| {
            let is_wanted = self.expected.accounts.contains(&account) || named.contains(&account);
            let regions = seen.of(account);
            let known = match (own.get(&account), &organization) {
                (Some(own), organization) => own.clone().and(organization.clone()),
                // Nothing comes from there any more, and nobody asks for it.
                (None, Known::Nothing) if retired.contains(&account) && !is_wanted => return None,
                (None, organization) if !regions.is_empty() => organization.clone(),
                (None, _) => Known::Nothing,
            };
            let unseen_regions = self.unseen_regions(account, &known, regions);
            Some(Statement { account, known, regions: regions.to_vec(), unseen_regions })
        };
        accounts.into_iter().filter_map(statement).collect()
    }

    /// What the agents that may speak for every account say together.
    #[must_use]
    pub fn of_organization(&self) -> Known {
        let speaking = self.agents.iter().filter(|(name, agent)| {
            agent.reporting.speaks_for == SpeaksFor::Organization && !self.is_retired(name)
        });
        speaking.map(|(name, agent)| agent.known(name)).fold(Known::Nothing, Known::and)
    }

    fn unseen_regions(&self, account: AccountId, known: &Known, seen: &[String]) -> Vec<String> {
        let Expected { accounts, regions, .. } = &self.expected;
        let is_expected = accounts.is_empty() || accounts.contains(&account);
        if !is_expected || *known == Known::Nothing {
            return Vec::new();
        }
        regions.iter().filter(|region| !seen.contains(region)).cloned().collect()
    }

    fn is_retired(&self, name: &str) -> bool {
        self.expected.retired_agents.contains(name)
    }

    /// The time after which an agent's later events happened, as far as it is known.
    fn claim_of(&self, key: &AgentKey) -> Option<Timestamp> {
        self.agents.get(&name_of(key)).and_then(|agent| agent.complete_to)
    }
}

impl Standing {
    fn known(&self, name: &str) -> Known {
        self.complete_to.map_or_else(|| Known::Unknown(vec![name.to_owned()]), Known::CompleteTo)
    }
}

/// An agent as completeness calls it.
#[must_use]
pub fn name_of(key: &AgentKey) -> String {
    format!("{}/{}", key.account, key.agent)
}

/// What stands for the sources that an agent reports, if it reported any.
fn sources(progress: &Progress) -> Option<String> {
    if progress.sources.is_empty() {
        return None;
    }
    let delays: BTreeMap<&String, Option<u64>> =
        progress.sources.iter().map(|(name, source)| (name, source.known_delay_secs)).collect();
    let text = serde_json::to_vec(&delays).expect("names and numbers are representable in JSON");
    let mut digits = integrity::sha256(&text).to_string();
    digits.truncate(SOURCES_DIGITS);
    Some(digits)
}

/// What an agent claims, whose stream stands at `watermark`: in whole seconds, so that
/// many share one.
fn claim(progress: &Progress, watermark: u64) -> Option<Timestamp> {
    if progress.head > watermark {
        return None;
    }
    let claims = progress.sources.values().map(|source| {
        let delay = SignedDuration::from_secs(i64::try_from(source.known_delay_secs?).ok()?);
        // An agent's clock may be ahead.
        source.caught_up_at?.min(progress.heard_at).checked_sub(delay).ok()
    });
    let least = claims.collect::<Option<Vec<_>>>()?.into_iter().min()?;
    // Rounds down also before 1970.
    Timestamp::from_second(least.as_millisecond().div_euclid(1_000)).ok()
}

#[cfg(test)]
mod tests;
