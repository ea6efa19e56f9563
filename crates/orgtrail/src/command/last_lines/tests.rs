//! `UPDATE_GOLDEN=1` rewrites what the lines say.

use std::fmt::Write as _;

use super::*;
use crate::golden;

fn at(hour: i64) -> Timestamp {
    let midnight: Timestamp = "2026-11-20T00:00:00Z".parse().expect("a time");
    midnight + SignedDuration::from_hours(hour)
}

fn account(number: u64) -> AccountId {
    format!("{:012}", 111_122_223_330 + number).parse().expect("an account")
}

fn of(number: u64, known: Known) -> Statement {
    let regions = vec!["eu-west-1".to_owned()];
    Statement { account: account(number), known, regions, unseen_regions: Vec::new() }
}

fn whole(accounts: Vec<Statement>) -> Coverage {
    Coverage {
        searched: true,
        table_position: 40,
        journal_record: 42,
        committed_at: Some(at(12)),
        files: 3,
        files_total: 5,
        read_bytes: 1_234_567,
        requests: 17,
        accounts,
        ..Coverage::default()
    }
}

fn all_to(hour: i64) -> Vec<Statement> {
    (0..5).map(|number| of(number, Known::CompleteTo(at(hour)))).collect()
}

fn loss(number: Option<u64>, from: Option<i64>, units: u64, kind: LossKind) -> Loss {
    let account = number.map(account);
    Loss { account, from: from.map(at), to: at(9), units, kind }
}

fn source(number: u64, source: &str, behind: u64) -> SourceCoverage {
    SourceCoverage {
        account: account(number),
        agent: "main".parse().expect("a name"),
        source: source.to_owned(),
        caught_up_at: None,
        known_delay_secs: None,
        behind,
    }
}

fn unknown_of(number: u64) -> Known {
    Known::Unknown(vec![format!("{}/main", account(number))])
}

/// What may be said, by case.
fn cases() -> Vec<(&'static str, Coverage)> {
    let held_back = |late: u64| {
        (0..9).map(move |number| {
            of(number, Known::CompleteTo(at(if number < late { 1 } else { 11 })))
        })
    };
    let mut region = all_to(11);
    region.truncate(2);
    region[0].unseen_regions = vec!["us-east-1".to_owned(), "\u{1b}[2Jxx".to_owned()];
    let mut mixed = all_to(11);
    mixed[0].known = Known::Nothing;
    mixed[1].known = unknown_of(1);
    mixed[2].known = unknown_of(2);
    let gaps = vec![
        loss(Some(1), Some(7), 3, LossKind::Gap),
        loss(None, None, 2, LossKind::Gap),
        loss(Some(2), Some(8), 1, LossKind::Segment),
    ];
    let many_gaps = (0..5).map(|number| loss(Some(number), Some(7), 2, LossKind::Gap)).collect();
    vec![
        ("complete", whole(all_to(11))),
        ("one is far behind", whole(held_back(1).collect())),
        ("many are far behind", whole(held_back(5).collect())),
        ("nothing is known of many", whole((0..5).map(|one| of(one, Known::Nothing)).collect())),
        ("a region was never seen", whole(region)),
        (
            "unknown of some",
            Coverage {
                sources: vec![source(1, "logs\u{1b}[31m", 0), source(1, "push", 5)],
                ..whole(mixed)
            },
        ),
        (
            "no account yet, and an agent that cannot say",
            Coverage { organization: Some(unknown_of(1)), ..whole(Vec::new()) },
        ),
        ("lost", Coverage { gaps: 5, lost: 1, expired: 7, losses: gaps, ..whole(all_to(11)) }),
        ("much lost", Coverage { gaps: 10, losses: many_gaps, ..whole(all_to(11)) }),
        ("lost before it was told when", Coverage { gaps: 3, lost: 4, ..whole(all_to(11)) }),
        (
            "damaged",
            Coverage {
                damaged: Some("record 43\u{1b}[2J is none".to_owned()),
                ..whole(all_to(11))
            },
        ),
        ("files without lists", Coverage { without_lists: 2, ..whole(all_to(11)) }),
        ("truncated", Coverage { truncated: true, ..whole(all_to(11)) }),
        ("no journal", Coverage { searched: true, ..Coverage::default() }),
        ("not searched", Coverage::default()),
    ]
}

#[test]
fn the_last_lines_say_in_few_words_what_may_be_missing() {
    let mut text = String::new();
    for (name, coverage) in cases() {
        for (rows, to) in [(0, None), (0, Some(at(12))), (1, None)] {
            let told = Told { rows, what: "event", seconds: 0.25, to };
            let lines = last_lines(&coverage, &told);
            let needed = to.map_or_else(String::new, |to| format!(", needed to {to}"));
            let is_complete = coverage.is_complete(to);
            writeln!(text, "# {name}: {rows} found{needed}; complete: {is_complete}\n{lines}")
                .expect("text");
            assert!(lines.lines().count() <= 8 && lines.ends_with('\n'), "{lines}");
            assert!(!lines.contains('\u{1b}'), "escaped");
            let claims = lines.contains("none is missing");
            assert_eq!(claims, rows == 0 && is_complete, "{name}: {lines}");
        }
    }
    golden::check("last-lines.txt", &text);
}
