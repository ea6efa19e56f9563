//! A process may die, or lose an answer, at any operation.

use std::sync::Arc;

use crate::faulty::{Fault, Faulty};
use crate::world::{World, drain};

/// A journal that takes several passes and two settlings.
async fn world() -> World {
    let mut world = World::new().await;
    world.deliver(14).await;
    world.commit_nothing().await;
    world.deliver(9).await;
    world.deliver(17).await;
    world.deliver(3).await;
    world
}

/// Runs everything with the fault at every operation; another process then
/// finishes. Gives how many operations there were.
async fn at_every_operation(fault: Fault) -> u64 {
    for operation in 0.. {
        let mut world = world().await;
        let faulty = Faulty::new(Arc::clone(&world.objects), fault, operation);
        let objects = Arc::new(faulty.clone());
        if let Ok(mut table) = world.table(objects, 2).await
            && let Err(error) = drain(&mut table).await
        {
            assert!(error.is_retryable(), "{fault:?} at {operation}: {error:?}");
            world.check_listing().await;
            world.check_snapshot().await;
            if matches!(fault, Fault::FailBefore | Fault::FailAfter | Fault::FailRead) {
                drain(&mut table).await.expect("the same process goes on");
            }
        }
        if !faulty.was_hit() {
            world.check_drained().await;
            return operation;
        }
        world.deliver(5).await;
        let mut table = world.table(Arc::clone(&world.objects), 3).await.expect("open");
        drain(&mut table).await.expect("the next process finishes");
        world.check_drained().await;
    }
    0
}

#[tokio::test]
async fn a_process_that_dies_before_any_write_leaves_what_the_next_one_finishes() {
    assert!(at_every_operation(Fault::DieBefore).await > 30);
}

#[tokio::test]
async fn a_process_that_dies_after_any_write_leaves_what_the_next_one_finishes() {
    assert!(at_every_operation(Fault::DieAfter).await > 30);
}

#[tokio::test]
async fn a_write_that_fails_is_made_good_by_the_same_process() {
    at_every_operation(Fault::FailBefore).await;
}

#[tokio::test]
async fn a_write_whose_answer_is_lost_happens_once() {
    at_every_operation(Fault::FailAfter).await;
}

#[tokio::test]
async fn a_read_that_fails_costs_a_retry() {
    at_every_operation(Fault::FailRead).await;
}
