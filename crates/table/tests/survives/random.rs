//! Random walks of deliveries, passes, settlings, crashes and restarts.

use std::sync::Arc;

use table::SettleReason;
use tokio_util::sync::CancellationToken;

use crate::faulty::{Fault, Faulty};
use crate::rebuild::rebuild_steps;
use crate::world::{Random, World, drain};

const SEEDS: u64 = 60;
const STEPS: u64 = 14;

#[tokio::test(start_paused = true)]
async fn whatever_happens_every_row_is_there_once() {
    for seed in 0..SEEDS {
        walk(seed).await;
    }
}

async fn walk(seed: u64) {
    let random = Random::new(seed);
    let mut world = World::new().await;
    let stop = CancellationToken::new();
    let mut tables = Vec::new();
    for step in 0..STEPS {
        match random.below(12) {
            0..3 => world.deliver(1 + random.below(20)).await,
            3 => world.commit_nothing().await,
            4 if tables.len() < 3 => {
                let faults =
                    [Fault::DieBefore, Fault::DieAfter, Fault::FailBefore, Fault::FailAfter];
                let fault = faults[usize::try_from(random.below(4)).expect("small")];
                let faulty = Faulty::new(Arc::clone(&world.objects), fault, random.below(25));
                let opened = world.table(Arc::new(faulty), seed * 100 + step).await;
                tables.extend(opened.ok());
            }
            5 if !tables.is_empty() => {
                let index = usize::try_from(random.below(tables.len() as u64)).expect("small");
                let table = &mut tables[index];
                let reason =
                    if random.below(2) == 0 { SettleReason::Age } else { SettleReason::Drain };
                if table.settle(reason).await.is_err() {
                    tables.swap_remove(index);
                }
            }
            6 if !tables.is_empty() => {
                let index = usize::try_from(random.below(tables.len() as u64)).expect("small");
                if tables[index].compact(1, &stop).await.is_err() {
                    tables.swap_remove(index);
                }
            }
            7 if !tables.is_empty() => {
                let index = usize::try_from(random.below(tables.len() as u64)).expect("small");
                if tables[index].index(1, &stop).await.is_err() {
                    tables.swap_remove(index);
                }
            }
            8 if !tables.is_empty() => {
                let index = usize::try_from(random.below(tables.len() as u64)).expect("small");
                if tables[index].copy_days(2, &stop).await.is_err() {
                    tables.swap_remove(index);
                }
            }
            9 if !tables.is_empty() => {
                let index = usize::try_from(random.below(tables.len() as u64)).expect("small");
                let steps = random.below(6);
                if rebuild_steps(&mut tables[index], steps).await.is_err() {
                    tables.swap_remove(index);
                }
            }
            _ if !tables.is_empty() => {
                let index = usize::try_from(random.below(tables.len() as u64)).expect("small");
                if tables[index].pass(&stop).await.is_err() && random.below(2) == 0 {
                    tables.swap_remove(index);
                }
            }
            _ => {}
        }
        world.check_listing().await;
        world.check_snapshot().await;
        world.check_index().await;
        world.check_copies().await;
    }
    let mut last = world.table(Arc::clone(&world.objects), seed * 100 + 99).await.expect("open");
    drain(&mut last).await.expect("drain");
    let rows = world.contents().await;
    let rebuilt = rebuild_steps(&mut last, u64::MAX).await.expect("rebuild");
    assert!(!rebuilt.more && rebuilt.left.is_empty(), "{rebuilt:?}");
    assert_eq!(world.contents().await, rows, "seed {seed}");
    drain(&mut last).await.expect("drain");
    world.check_drained().await;
    while last.index(u64::MAX, &stop).await.expect("index").more {}
    while last.copy_days(u64::MAX, &stop).await.expect("copy").more {}
    let copies = world.check_copies().await;
    assert!(copies > 0 || world.below("events").await.len() < 4, "there are many files");
    assert_eq!(world.check_index().await, 0, "every file of a day that is over is indexed");
}
