//! The last lines of an answer: what it rests on, and what may be missing.
//!
//! Every command that asks ends with them. However many accounts there are, the
//! lines are few: some are named, the others counted.

use std::collections::BTreeSet;

use event::AccountId;
use jiff::{SignedDuration, Timestamp};
use query::{Coverage, Known, Loss, LossKind, SourceCoverage, Statement};

use crate::output::for_terminal;

/// Accounts, sources or losses that one line names; the others are counted.
const NAMED_MAX: usize = 3;

/// An account that is so much behind the most complete one is named.
const HELD_BACK: SignedDuration = SignedDuration::from_hours(1);

/// What was told before the last lines.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Told<'a> {
    /// So many rows.
    pub(crate) rows: u64,
    /// What one is.
    pub(crate) what: &'a str,
    /// How long it took.
    pub(crate) seconds: f64,
    /// Up to when the answer has to be complete, if that was said.
    pub(crate) to: Option<Timestamp>,
}

/// How many, what was searched, and up to when that is all there is.
pub(crate) fn last_lines(coverage: &Coverage, told: &Told<'_>) -> String {
    let Told { rows, what, seconds, .. } = told;
    let count = match rows {
        0 if coverage.searched && coverage.journal_record > 0 => {
            format!("no {what}s, {}", of_none(coverage, told))
        }
        0 => format!("no {what}s"),
        rows => many(*rows, what),
    };
    if !coverage.searched {
        return format!("{count}; {seconds:.2} s\n");
    }
    let mut lines = vec![format!(
        "{count}; searched {} of {} files and {} events of the journal's tail, {} read in {}, {seconds:.2} s",
        coverage.files,
        coverage.files_total,
        coverage.tail_rows,
        megabytes(coverage.read_bytes),
        many(coverage.requests, "request"),
    )];
    if coverage.journal_record == 0 {
        lines.push("the store holds no journal: is it the right one?".to_owned());
    } else {
        reached(coverage, &mut lines);
        lost(coverage, &mut lines);
        nothing_known(coverage, &mut lines);
        complete(coverage, &mut lines);
    }
    lines.push(String::new());
    lines.join("\n")
}

/// Whether what was not found may be missing.
fn of_none(coverage: &Coverage, told: &Told<'_>) -> String {
    if coverage.is_complete(told.to) {
        return match (told.to, coverage.complete_to()) {
            (None, Some(time)) => format!("and none is missing up to {time:.0}"),
            _ => "and none is missing".to_owned(),
        };
    }
    let may = coverage.accounts.iter().filter(|account| coverage.may_lack(account, told.to));
    match may.count() as u64 {
        0 => "but some may be missing".to_owned(),
        count => format!("but {} may have some", many(count, "account")),
    }
}

/// Where reading ended before the journal's end.
fn reached(coverage: &Coverage, lines: &mut Vec<String>) {
    let record = record(coverage);
    if coverage.truncated {
        lines.push(format!(
            "answered to {record}; the journal goes on: run a table pass (orgtrail serve), then ask again"
        ));
    }
    if let Some(damaged) = &coverage.damaged {
        let damaged = for_terminal(damaged);
        lines.push(format!("answered to {record}; what follows cannot be read: {damaged}"));
    }
}

/// What no answer has.
fn lost(coverage: &Coverage, lines: &mut Vec<String>) {
    if coverage.lost > 0 {
        let whose = whose(coverage, LossKind::Segment, coverage.lost);
        lines.push(format!(
            "{} lost with damaged segments of the journal{whose}: orgtrail status names them",
            are(coverage.lost, "event")
        ));
    }
    if coverage.without_lists > 0 {
        let files = many(coverage.without_lists, "file");
        lines.push(format!(
            "{files} of an earlier release cannot be asked for indicators: orgtrail who searches all columns, \
             orgtrail rebuild makes the lists"
        ));
    }
    if coverage.expired > 0 {
        let expired = coverage.expired;
        lines.push(format!("{expired} events of earlier days have expired by retention"));
    }
    if coverage.gaps > 0 {
        let whose = whose(coverage, LossKind::Gap, coverage.gaps);
        let gaps = many(coverage.gaps, "event");
        let were = if coverage.gaps == 1 { "was" } else { "were" };
        lines.push(format!("{gaps} {were} lost before reaching the journal{whose}"));
    }
}

/// Of whom and when events were lost, as far as it is known.
fn whose(coverage: &Coverage, kind: LossKind, all: u64) -> String {
    let mut losses: Vec<&Loss> = coverage.losses.iter().filter(|loss| loss.kind == kind).collect();
    // The newest first.
    losses.sort_by_key(|loss| std::cmp::Reverse(loss.to));
    let mut said: Vec<String> = losses.iter().take(NAMED_MAX).map(|loss| one_loss(loss)).collect();
    let named = losses.iter().take(NAMED_MAX).map(|loss| loss.units);
    let named = named.fold(0, u64::saturating_add);
    match all.saturating_sub(named) {
        0 => {}
        more if losses.len() > NAMED_MAX => said.push(format!("{more} more")),
        more => said.push(format!("{more} of which neither account nor time is known")),
    }
    format!(" ({})", said.join(", "))
}

/// One loss, as `3 of 111122223333 between … and …`.
pub(crate) fn one_loss(loss: &Loss) -> String {
    let whose = loss.account.map_or("any account".to_owned(), |account| account.to_string());
    let when = match loss.from {
        Some(from) => format!("between {from:.0} and {:.0}", loss.to),
        None => format!("before {:.0}", loss.to),
    };
    format!("{} of {whose} {when}", loss.units)
}

fn nothing_known(coverage: &Coverage, lines: &mut Vec<String>) {
    let silent = coverage.accounts.iter().filter(|one| one.known == Known::Nothing);
    let silent = silent.map(|one| one.account.to_string()).collect();
    if let Some(named) = some_of(silent) {
        lines.push(format!("of {named} nothing is known: no agent says how far it has come"));
    }
    let unseen = coverage.accounts.iter().flat_map(|one| {
        one.unseen_regions.iter().map(|region| format!("{} in {region}", one.account))
    });
    if let Some(named) = some_of(unseen.collect()) {
        let named = for_terminal(&named).into_owned();
        lines.push(format!("of {named} nothing is known: no event from there was ever seen"));
    }
}

/// Up to when that is all there is.
fn complete(coverage: &Coverage, lines: &mut Vec<String>) {
    // What was said of the damage says it.
    if coverage.damaged.is_some() {
        return;
    }
    let whole = |one: &&Statement| one.unseen_regions.is_empty();
    let known: Vec<(AccountId, Timestamp)> = coverage
        .accounts
        .iter()
        .filter(whole)
        .filter_map(|one| Some((one.account, one.known.complete_to()?)))
        .collect();
    if let Some(time) = coverage.complete_to() {
        let record = coverage.journal_record;
        let held_back = held_back(&known);
        lines.push(format!("complete to {time:.0} (journal record {record}){held_back}"));
        return;
    }
    let record = record(coverage);
    let unknown = match unknown(coverage) {
        Some(unknown) => format!("; whether sources hold more is unknown{unknown}"),
        None => String::new(),
    };
    let others = match known.iter().map(|(_, time)| time).min() {
        Some(time) if known.len() == 1 => format!("; the other account is complete to {time:.0}"),
        Some(time) => format!("; the other {} accounts are complete to {time:.0}", known.len()),
        None => String::new(),
    };
    lines.push(format!("holds all that was committed up to {record}{unknown}{others}"));
}

/// Which accounts are far behind the others.
fn held_back(known: &[(AccountId, Timestamp)]) -> String {
    let greatest = known.iter().map(|(_, time)| *time).max().unwrap_or(Timestamp::MIN);
    let is_late = |time: Timestamp| greatest.duration_since(time) >= HELD_BACK;
    let mut late: Vec<_> = known.iter().filter(|(_, time)| is_late(*time)).collect();
    let others = known.iter().filter(|(_, time)| !is_late(*time));
    let Some(others) = others.map(|(_, time)| time).min().filter(|_| !late.is_empty()) else {
        return String::new();
    };
    late.sort_by_key(|(_, time)| *time);
    let named = late.iter().map(|(account, _)| account.to_string()).collect();
    some_of(named).map_or_else(String::new, |named| {
        format!(", held back by {named}; the others are complete to {others:.0}")
    })
}

/// Who may have more and cannot say how much; none if there is nobody.
fn unknown(coverage: &Coverage) -> Option<String> {
    let known = coverage.accounts.iter().map(|one| &one.known).chain(&coverage.organization);
    let agents: BTreeSet<&String> = known
        .filter_map(|known| match known {
            Known::Unknown(agents) => Some(agents),
            _ => None,
        })
        .flatten()
        .collect();
    let of_agent = |agent: &&String| {
        let is_its = |source: &&SourceCoverage| {
            source.complete_to().is_none() && source.agent_name() == **agent
        };
        let its: Vec<String> = coverage.sources.iter().filter(is_its).map(of_source).collect();
        if its.is_empty() { vec![format!("{agent} has reported nothing")] } else { its }
    };
    let named = some_of(agents.iter().flat_map(of_agent).collect());
    named.map(|named| format!(" ({named})"))
}

fn of_source(source: &SourceCoverage) -> String {
    let on_the_way = match source.behind {
        0 => String::new(),
        1 => ": 1 event on its way".to_owned(),
        behind => format!(": {behind} events on their way"),
    };
    format!("{} {}{on_the_way}", source.agent_name(), for_terminal(&source.source))
}

/// The first of some names, and how many more there are.
pub(crate) fn some_of(names: Vec<String>) -> Option<String> {
    let more = names.len().saturating_sub(NAMED_MAX);
    let first: Vec<String> = names.into_iter().take(NAMED_MAX).collect();
    let first = first.join(", ");
    match more {
        0 => (!first.is_empty()).then_some(first),
        more => Some(format!("{first} and {more} more")),
    }
}

/// The record that an answer has reached, and its time.
fn record(coverage: &Coverage) -> String {
    let at = coverage.committed_at.map_or_else(String::new, |time| format!(" of {time:.0}"));
    format!("journal record {}{at}", coverage.journal_record)
}

fn many(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

fn are(count: u64, what: &str) -> String {
    let are = if count == 1 { "is" } else { "are" };
    format!("{} {are}", many(count, what))
}

fn megabytes(bytes: u64) -> String {
    let tenths = bytes / 100_000;
    format!("{}.{} MB", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests;
