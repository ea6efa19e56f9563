//! A slice of the campaign: every kind of fault a few times, in about a minute.
//!
//! The whole of it is a command; see `docs/reliability.md`.

use std::collections::BTreeMap;
use std::time::Duration;

use tests::campaign::mix::{Fault, Mix};
use tests::campaign::sweep::{Failure, Sweep, Target};
use tests::campaign::{Report, Run};
use tests::dice::Dice;

const SEED: u64 = 20_261_125;

fn check(run: impl Run + 'static) {
    let report = Report::of(&[Box::new(run)]);
    assert!(report.broken.is_empty(), "{:#}", report.json());
}

fn mix(name: &str, wanted: &[(Fault, u64)], at_once: usize, pace_millis: u64) -> Mix {
    let wanted: BTreeMap<_, _> = wanted.iter().copied().collect();
    Mix {
        name: name.to_owned(),
        seed: Dice::seed(SEED),
        aggregators: 2,
        agents: 3,
        wanted,
        frozen: Duration::from_secs(8),
        time_max: Duration::from_secs(25),
        at_once,
        pace_millis,
    }
}

#[test]
fn nothing_is_lost_through_cut_lines_full_disks_zombies_and_kills_together() {
    let wanted = [
        (Fault::KillAgent, 8),
        (Fault::KillAggregator, 8),
        (Fault::Cut, 10),
        (Fault::SpoolFull, 4),
        (Fault::Zombie, 2),
    ];
    check(mix("a mix", &wanted, 4, 300));
}

#[test]
fn nothing_is_lost_on_a_bad_s3_server() {
    check(mix("a bad S3 server", &[(Fault::S3, 5)], 1, 500));
}

#[test]
fn nothing_is_lost_when_the_store_has_no_room_for_a_while() {
    check(mix("a full disk under the store", &[(Fault::StoreFull, 3)], 1, 500));
}

#[test]
fn nothing_is_lost_when_programs_fail_at_system_calls_of_spool_and_store() {
    let seed = Dice::seed(SEED);
    for (target, failure, step) in [
        (Target::FirstLife, Failure::Kill, 13),
        (Target::NextLife, Failure::Kill, 13),
        (Target::NextLife, Failure::Sync("EIO"), 5),
        (Target::Store, Failure::Kill, 67),
    ] {
        check(Sweep { target, failure, step, seed });
    }
}
