//! Each guard switched off, to see that the simulation notices.
//!
//! Guards have switches only where debug assertions are on (`.ci/sim`). A
//! guard is either noticed to be off, or another guard does its work when it is
//! missing; then the simulation must notice when both are off. What each comes
//! to is the table in `docs/reliability.md`.
#![cfg(debug_assertions)]

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use seam::{Guard, Guards};
use sim::{Mode, Plan, World};

/// Within so many seeds of each mode it must be noticed.
const SEEDS_MAX: u64 = 2_000;

/// What it comes to when a guard is off.
enum Fate {
    /// A promise breaks.
    Noticed,
    /// Nothing breaks, because another guard does its work; both off is noticed.
    CoveredBy(Guard),
    /// Another guard mostly does its work; seldom enough that a run may not see it,
    /// this breaks and nothing else.
    Seldom(&'static str),
    /// Nothing breaks, for the reason given.
    Harmless(&'static str),
}

fn fate(guard: Guard) -> Fate {
    match guard {
        Guard::ReadBack => Fate::Harmless("what is then found committed is dropped"),
        // What was admitted twice is dropped before it is committed, and its agent
        // begins anew, rarely for ever.
        Guard::BufferedEnd => Fate::Seldom("not everything arrived"),
        // A batch that names its chain cannot begin elsewhere.
        Guard::Watermark => Fate::CoveredBy(Guard::ChainOfBatch),
        Guard::FencedStops => Fate::Harmless("two instances take over from each other"),
        Guard::StaleIsNoFork => Fate::Harmless("these sources can be read again"),
        // What is lost is found to be a hole: a source that can be read again is, and of
        // what was pushed into the hole nothing was accepted. Yet a gap may be told.
        Guard::PoisonAfterFailedSync => Fate::Seldom("gaps, and nothing was damaged"),
        Guard::SweepByRecord => Fate::Harmless("no intent names what was retired"),
        _ => Fate::Noticed,
    }
}

/// The first seeds in which a promise breaks.
fn noticed(guards: Guards, seeds: u64) -> Option<(u64, String)> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let next = AtomicU64::new(0);
    let found = Mutex::new(None::<(u64, String)>);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds || found.lock().expect("found").is_some() {
                        return;
                    }
                    for mode in [Mode::Safety, Mode::Liveness] {
                        let plan = Plan { guards, ..Plan::new(mode, seed) };
                        if let Err(failure) = World::run(plan) {
                            found.lock().expect("found").get_or_insert((seed, failure.what));
                            return;
                        }
                    }
                }
            });
        }
    });
    found.into_inner().expect("found")
}

#[test]
fn no_guard_can_be_left_out_unnoticed() {
    std::panic::set_hook(Box::new(|_| {}));
    let all = std::env::var("ORGTRAIL_SIM_SEEDS").ok().and_then(|text| text.parse().ok());
    let only = std::env::var("ORGTRAIL_SIM_GUARD").ok();
    let mut wrong = Vec::new();
    for guard in Guard::ALL {
        if only.as_ref().is_some_and(|only| *only != format!("{guard:?}")) {
            continue;
        }
        let off = Guards::default().without(guard);
        match fate(guard) {
            Fate::Noticed => match noticed(off, SEEDS_MAX) {
                Some((_, what)) => println!("{guard:?}: {what}"),
                None => wrong.push(format!("{guard:?} is off, and nobody notices")),
            },
            Fate::CoveredBy(other) => {
                if let Some((_, what)) = noticed(off, all.unwrap_or(20)) {
                    wrong.push(format!("{guard:?} is not covered by {other:?}: {what}"));
                }
                match noticed(off.without(other), SEEDS_MAX) {
                    Some((_, what)) => println!("{guard:?} and {other:?}: {what}"),
                    None => wrong.push(format!("{guard:?} and {other:?} are off, unnoticed")),
                }
            }
            Fate::Seldom(breaks) => match noticed(off, all.unwrap_or(20)) {
                Some((_, what)) if !what.contains(breaks) => {
                    wrong.push(format!("{guard:?} is not for that alone: {what}"));
                }
                found => println!("{guard:?}: seldom, {breaks}; {found:?}"),
            },
            Fate::Harmless(why) => match noticed(off, all.unwrap_or(20)) {
                Some((_, what)) => wrong.push(format!("{guard:?} is not harmless: {what}")),
                None => println!("{guard:?}: {why}"),
            },
        }
    }
    let _default_again = std::panic::take_hook();
    assert!(wrong.is_empty(), "{wrong:#?}");
}
