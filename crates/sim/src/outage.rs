//! A day without a store: what an aggregator holds meanwhile, and that nothing
//! is lost.

use std::sync::PoisonError;
use std::time::Duration;

use faults::Dice;

use crate::plan::{Faults, Mode, Plan};
use crate::world::{Failure, World, run_virtually};

/// What an aggregator may hold in this run.
pub const BUFFER_BYTES: u64 = 64 << 10;

/// What was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Day {
    /// The most that one aggregator held in the first hour without a store.
    pub first_hour_bytes_max: u64,
    /// The most that one held in the rest of the day.
    pub rest_bytes_max: u64,
    /// Units in the journal when the outage began.
    pub before: u64,
    /// Units in the journal when all had arrived.
    pub after: u64,
}

/// Takes the store away for 24 hours of virtual time while agents go on reading.
///
/// # Errors
/// The promise that was broken.
pub fn day(seed: u64) -> Result<Day, Failure> {
    let plan = Plan { records: 2_000, ..Plan::new(Mode::Liveness, seed) };
    run_virtually(async {
        let mut world = World::new(plan, Dice::new(seed), Faults::default());
        world.pause_millis_max = 20_000;
        world.buffer_bytes = BUFFER_BYTES;
        let day = run(&mut world).await;
        day.map_err(|broken| world.failure(&broken))
    })
}

async fn run(world: &mut World) -> Result<Day, String> {
    for which in 0..2 {
        world.start_server(which).await;
    }
    for index in 0..world.plan.agents {
        world.start_machine(index, false);
    }
    tokio::time::sleep(Duration::from_secs(600)).await;
    let before = world.truth.follow()?.totals.journaled;
    world.objects.set_down(true);
    let (mut first_hour_bytes_max, mut rest_bytes_max) = (0, 0);
    for minute in 0..24 * 60 {
        tokio::time::sleep(Duration::from_secs(60)).await;
        world.check().await?;
        let held = held_bytes(world);
        let most = if minute < 60 { &mut first_hour_bytes_max } else { &mut rest_bytes_max };
        *most = held.max(*most);
    }
    // What is left to read need not take as long.
    world.pause_millis_max = 400;
    world.calm().await?;
    let (agents, records) = (world.plan.agents, world.plan.records);
    let after = world.truth.account(agents, records, &world.pushes, true).await?.totals.journaled;
    Ok(Day { first_hour_bytes_max, rest_bytes_max, before, after })
}

/// Granted and buffered bytes of the aggregator that holds most.
fn held_bytes(world: &World) -> u64 {
    let servers = world.servers.lock().unwrap_or_else(PoisonError::into_inner);
    servers.iter().flatten().map(|server| server.buffer.used_bytes()).max().unwrap_or(0)
}
