//! What an answer covers: the difference between "nothing" and "not read".

use std::collections::BTreeSet;

use event::{AccountId, AgentName};
use jiff::Timestamp;
use table::{Known, Loss, LossKind, Statement};

use crate::pruning::Pruning;
use crate::tail::Tail;

/// What was searched, and up to where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Whether the question looked at events at all.
    pub searched: bool,
    /// The journal record that the table has reached.
    pub table_position: u64,
    /// The journal record that the answer has reached: all before are in it.
    pub journal_record: u64,
    /// When that record was made, by its writer's clock.
    pub committed_at: Option<Timestamp>,
    /// The journal goes on after that record, past the limit for its tail.
    pub truncated: bool,
    /// Why the journal cannot be read beyond that record, if it cannot.
    pub damaged: Option<String>,
    /// Units that were lost with segments of the journal and may have been asked for.
    pub lost: u64,
    /// Events that gap records declare lost, which never reached the journal, and that
    /// may have been asked for.
    pub gaps: u64,
    /// Whose they were and when, as far as it is known; of those that an earlier
    /// release took in, it is not.
    pub losses: Vec<Loss>,
    /// Rows that retention has let go; no answer has them.
    pub expired: u64,
    /// Data files that could hold a part of the answer.
    pub files: u64,
    /// Data files of the whole table.
    pub files_total: u64,
    /// Rows that came from the journal's tail.
    pub tail_rows: u64,
    /// Units in the tail whose event another row holds.
    pub tail_duplicates: u64,
    /// Units in the tail that are no events; a pass will put them in quarantine.
    pub tail_rejected: u64,
    /// Bytes read from the store: of data files, lists, indexes, logs and the journal.
    pub read_bytes: u64,
    /// Requests in which they were read.
    pub requests: u64,
    /// Files of an earlier release whose rows do not list what they name, though the
    /// condition asks for that: no row of theirs was found by it.
    pub without_lists: u64,
    /// How far each source says it has come, by agent and name.
    pub sources: Vec<SourceCoverage>,
    /// What is known of each account that was asked about.
    pub accounts: Vec<Statement>,
    /// What is known of accounts that were never seen, where they were asked about too
    /// and an agent speaks for the organization.
    pub organization: Option<Known>,
}

/// How far one source of one agent says it has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceCoverage {
    /// The agent's account.
    pub account: AccountId,
    /// The agent.
    pub agent: AgentName,
    /// The source's name.
    pub source: String,
    /// When it was last read to its end; none if never.
    pub caught_up_at: Option<Timestamp>,
    /// How far the source itself lags behind events; none if it cannot say.
    pub known_delay_secs: Option<u64>,
    /// Events that its agent had read and the journal does not have yet.
    pub behind: u64,
}

impl Coverage {
    /// The time up to which nothing of what was asked for is missing, but for what is
    /// said to be lost; none if it is unknown of any account.
    #[must_use]
    pub fn complete_to(&self) -> Option<Timestamp> {
        let accounts = self.accounts.iter().map(|account| {
            account.known.complete_to().filter(|_| account.unseen_regions.is_empty())
        });
        let organization = self.organization.iter().map(Known::complete_to);
        accounts.chain(organization).collect::<Option<Vec<_>>>()?.into_iter().min()
    }

    /// Whether an account may have events that were asked for and are not here: `to` is
    /// the time up to which the answer has to be complete, if there is one.
    #[must_use]
    pub fn may_lack(&self, account: &Statement, to: Option<Timestamp>) -> bool {
        let lost = |loss: &Loss| loss.account.is_none_or(|lost| lost == account.account);
        let known = account.known.complete_to();
        known.is_none_or(|known| to.is_some_and(|to| known < to))
            || !account.unseen_regions.is_empty()
            || self.losses.iter().any(lost)
    }

    /// Whether nothing of what was asked for is missing up to `to`, or up to any known
    /// time.
    #[must_use]
    pub fn is_complete(&self, to: Option<Timestamp>) -> bool {
        let reaches = |known| to.is_none_or(|to| to <= known);
        !self.truncated
            && self.damaged.is_none()
            && self.lost == 0
            && self.gaps == 0
            && self.without_lists == 0
            && self.complete_to().is_some_and(reaches)
    }

    /// What another question of the same trace asked for as well.
    pub(crate) fn asked_also(&mut self, other: Self) {
        self.truncated |= other.truncated;
        self.damaged = self.damaged.take().or(other.damaged);
        (self.lost, self.gaps) = (self.lost.max(other.lost), self.gaps.max(other.gaps));
        self.organization = self.organization.take().or(other.organization);
        for loss in other.losses {
            if !self.losses.contains(&loss) {
                self.losses.push(loss);
            }
        }
        for statement in other.accounts {
            let place = |one: &Statement| one.account.cmp(&statement.account);
            if let Err(place) = self.accounts.binary_search_by(place) {
                self.accounts.insert(place, statement);
            }
        }
    }
}

/// States in `coverage` what is known of what was asked for at all; `lost` units are
/// lost with segments of the journal.
pub(crate) fn state(coverage: &mut Coverage, tail: &Tail, lost: u64, asked: &[Pruning]) {
    let Tail { completeness, regions, .. } = tail;
    let named: Vec<Option<BTreeSet<AccountId>>> =
        asked.iter().map(Pruning::named_accounts).collect();
    let all_named = named.iter().flatten().flatten().copied().collect();
    let statements = completeness.statements(regions, &all_named);
    let wanted = any_of(asked, statements.len(), |pruning| {
        let accounts: Vec<_> = statements.iter().map(|one| (one.account, None)).collect();
        pruning.accounts(&accounts)
    });
    let statements = statements.into_iter().zip(wanted).filter_map(|(one, wanted)| {
        wanted.then(|| {
            let regions: Vec<_> = one
                .unseen_regions
                .iter()
                .map(|region| (one.account, Some(region.as_str())))
                .collect();
            let mut wanted =
                any_of(asked, regions.len(), |pruning| pruning.accounts(&regions)).into_iter();
            let unseen_regions = one.unseen_regions.clone();
            let unseen_regions =
                unseen_regions.into_iter().filter(|_| wanted.next().unwrap_or(true)).collect();
            Statement { unseen_regions, ..one }
        })
    });
    coverage.accounts = statements.collect();
    let organization = completeness.of_organization();
    if named.iter().any(Option::is_none) && organization != Known::Nothing {
        coverage.organization = Some(organization);
    }

    let losses: Vec<&Loss> = completeness.losses.iter().collect();
    let wanted = any_of(asked, losses.len(), |pruning| pruning.losses(&losses));
    coverage.losses = losses
        .into_iter()
        .zip(wanted)
        .filter(|(_, wanted)| *wanted)
        .map(|(loss, _)| loss.clone())
        .collect();
    let units = |kind| {
        let losses = coverage.losses.iter().filter(|loss| loss.kind == kind);
        losses.map(|loss| loss.units).fold(0, u64::saturating_add)
    };
    // What nothing is known of may have been asked for.
    let unplaced = |all: u64, kind| all.saturating_sub(completeness.losses.units(kind));
    coverage.gaps = units(LossKind::Gap).saturating_add(unplaced(tail.gaps, LossKind::Gap));
    coverage.lost = units(LossKind::Segment).saturating_add(unplaced(lost, LossKind::Segment));

    let speaks = |source: &&SourceCoverage| {
        let name = source.agent_name();
        let holds =
            |known: &Known| matches!(known, Known::Unknown(agents) if agents.contains(&name));
        coverage.organization.iter().any(holds)
            || coverage.accounts.iter().any(|account| holds(&account.known))
    };
    coverage.sources = tail.sources.iter().filter(speaks).cloned().collect();
}

/// Of so many things, those that any of the conditions may want; all, where a condition
/// cannot be judged.
fn any_of(
    asked: &[Pruning],
    count: usize,
    wanted: impl Fn(&Pruning) -> datafusion::error::Result<Vec<bool>>,
) -> Vec<bool> {
    let mut any = vec![asked.is_empty(); count];
    for pruning in asked {
        let wanted = wanted(pruning).unwrap_or_else(|_| vec![true; count]);
        any.iter_mut().zip(wanted).for_each(|(any, wanted)| *any |= wanted);
    }
    any
}

impl SourceCoverage {
    /// Its agent, as `account/name`.
    #[must_use]
    pub fn agent_name(&self) -> String {
        format!("{}/{}", self.account, self.agent)
    }

    /// The time up to which nothing of the source is missing; none if it cannot
    /// say, or if what it has read is still on its way.
    #[must_use]
    pub fn complete_to(&self) -> Option<Timestamp> {
        if self.behind > 0 {
            return None;
        }
        let delay = i64::try_from(self.known_delay_secs?).ok()?;
        self.caught_up_at?.checked_sub(jiff::SignedDuration::from_secs(delay)).ok()
    }
}
