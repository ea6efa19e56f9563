//! Many seeds, or one that the environment names.

use sim::{Plan, World};

fn environment(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// `ORGTRAIL_SIM_SEED=7 ORGTRAIL_SIM_SEEDS=1 cargo test --release -p sim` replays one.
#[test]
fn whatever_fails_everything_arrives_once() {
    let first = environment("ORGTRAIL_SIM_SEED", 0);
    let seeds = environment("ORGTRAIL_SIM_SEEDS", 200);
    let (mut forks, mut broken) = (0, Vec::new());
    for seed in first..first + seeds {
        match World::run(Plan { seed, agents: 2, records: 40, steps: 30 }) {
            Ok(outcome) => forks += outcome.forks,
            Err(what) => broken.push(what),
        }
    }
    assert!(broken.is_empty(), "{} of {seeds} seeds: {:#?}", broken.len(), broken);
    assert!(seeds < 50 || forks > 0, "the faults are hard enough to make spools fork");
}
