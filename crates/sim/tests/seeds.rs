//! Many seeds of each mode, or one that the environment names.
//!
//! `ORGTRAIL_SIM_SEED=7 ORGTRAIL_SIM_SEEDS=1 .ci/sim` replays one.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use sim::{Failure, Mode, Outcome, Plan, World};

fn environment(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// Runs all seeds on all cores; what they left, in no order.
fn run_all(mode: Mode) -> Vec<Outcome> {
    let first = environment("ORGTRAIL_SIM_SEED", 0);
    let seeds = environment("ORGTRAIL_SIM_SEEDS", 200);
    let cores = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    let threads = environment("ORGTRAIL_SIM_THREADS", cores).max(1);
    let next = AtomicU64::new(first);
    let (outcomes, failures) = (Mutex::new(Vec::new()), Mutex::new(Vec::<Failure>::new()));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + seeds {
                        return;
                    }
                    match World::run(Plan::new(mode, seed)) {
                        Ok(outcome) => outcomes.lock().expect("outcomes").push(outcome),
                        Err(failure) => {
                            eprintln!(
                                "{}\n  replay: ORGTRAIL_SIM_SEED={seed} ORGTRAIL_SIM_SEEDS=1 .ci/sim",
                                failure.what
                            );
                            failures.lock().expect("failures").push(failure);
                        }
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().expect("failures");
    if seeds == 1 {
        for line in failures.iter().flat_map(|failure| &failure.trace) {
            eprintln!("{line}");
        }
    }
    let broken: Vec<&String> = failures.iter().map(|failure| &failure.what).collect();
    assert!(broken.is_empty(), "{} of {seeds} seeds: {broken:#?}", broken.len());
    outcomes.into_inner().expect("outcomes")
}

/// Whether the seeds were enough to ask that each kind of thing happened.
fn are_many(outcomes: &[Outcome]) -> bool {
    outcomes.len() >= 50
}

#[test]
fn while_faults_go_on_no_promise_is_ever_broken() {
    let outcomes = run_all(Mode::Safety);
    let sum = |of: fn(&Outcome) -> u64| outcomes.iter().map(of).sum::<u64>();
    if are_many(&outcomes) {
        assert!(sum(|outcome| outcome.journaled) > 0, "something is journaled");
        assert!(sum(|outcome| outcome.forks) > 0, "spools fork");
        assert!(sum(|outcome| outcome.fenced) > 0, "agents are fenced");
        assert!(sum(|outcome| outcome.passes) > 0, "the table gets rows");
        assert!(sum(|outcome| outcome.woken) > 0, "paused agents wake");
        assert!(sum(|outcome| outcome.swept) > 0, "segments are swept");
    }
}

#[test]
fn when_faults_stop_everything_arrives_once() {
    let outcomes = run_all(Mode::Liveness);
    let sources = 160;
    assert!(outcomes.iter().all(|outcome| outcome.journaled >= sources), "two agents, two sources");
    let is_pushed = |outcome: &Outcome| outcome.journaled > sources;
    assert!(!are_many(&outcomes) || outcomes.iter().any(is_pushed), "applications push");
}

#[test]
fn a_seed_is_one_history() {
    for mode in [Mode::Safety, Mode::Liveness] {
        for seed in 0..8 {
            let run = |seed| World::run(Plan::new(mode, seed)).map_err(|failure| failure.what);
            assert_eq!(run(seed), run(seed), "{mode:?} seed {seed}");
        }
    }
}
