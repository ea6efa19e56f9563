//! What statements of completeness rest on is pinned, committed and read again.

use std::collections::BTreeSet;
use std::sync::Arc;

use event::AccountId;
use jiff::{SignedDuration, Timestamp};
use object_store::ObjectStoreExt;
use object_store::path::Path;
use table::{Known, LossKind, Statement, TableState};

use crate::faulty::{Fault, Faulty};
use crate::world::{ACCOUNTS, World, drain};

fn noon() -> Timestamp {
    "2026-11-20T12:00:00Z".parse().expect("a time")
}

fn own() -> AccountId {
    ACCOUNTS[1].parse().expect("an account")
}

/// Events and reports of both agents, then a loss of one of them.
async fn world() -> World {
    let mut world = World::new().await;
    for minute in 0..3 {
        world.deliver_once(9).await;
        world.report(noon() + SignedDuration::from_mins(minute)).await;
    }
    world.declare_lost(4).await;
    world
}

fn statements(state: &TableState) -> Vec<Statement> {
    state.completeness.statements(&state.regions, &BTreeSet::new())
}

fn check(state: &TableState, complete_to: Timestamp) {
    let statements = statements(state);
    assert_eq!(statements.len(), ACCOUNTS.len());
    for statement in statements {
        assert_eq!(statement.known, Known::CompleteTo(complete_to), "{}", statement.account);
        assert_eq!(statement.regions.len(), 2);
    }
    let losses: Vec<_> = state.completeness.losses.iter().collect();
    let [loss] = losses.as_slice() else { panic!("{losses:?}") };
    assert_eq!((loss.account, loss.units, loss.kind), (Some(own()), 4, LossKind::Gap));
    assert_eq!(loss.from, Some(complete_to));
}

#[tokio::test]
async fn whoever_finishes_a_pass_commits_what_its_intent_pins() {
    for operation in 0..10 {
        let world = world().await;
        let faulty = Faulty::new(Arc::clone(&world.objects), Fault::DieBefore, operation);
        if let Ok(mut dying) = world.table(Arc::new(faulty), 2).await {
            drop(drain(&mut dying).await);
        }
        let mut table = world.table(Arc::clone(&world.objects), 3).await.expect("open");
        drain(&mut table).await.expect("drain");
        assert_eq!(table.state().position, world.head(), "a loss does not wait for events");
        check(table.state(), noon() + SignedDuration::from_mins(2));
    }
}

/// Claims outlive checkpoints, and what has not changed is not written again.
#[tokio::test]
async fn what_is_known_is_read_from_a_checkpoint_and_written_once() {
    let mut world = world().await;
    let mut table = world.table(Arc::clone(&world.objects), 2).await.expect("open");
    drain(&mut table).await.expect("drain");
    let known = table.state().completeness.clone();
    let lines = (0..12).map(|_| vec![b"{\"no\":\"event\"}".to_vec()]);
    for lines in lines {
        world.deliver_central(lines).await;
        drain(&mut table).await.expect("drain");
    }
    assert_eq!(table.state().completeness, known);
    let reopened = world.table(Arc::clone(&world.objects), 3).await.expect("open");
    assert_eq!(reopened.state(), table.state());
    let (mut checkpoints, mut pinned) = (0, 0);
    for number in 1..=table.state().head {
        let path = Path::from(format!("trail/default/table/log/{number:020}.json"));
        let bytes = world.objects.get(&path).await.expect("get").bytes().await.expect("bytes");
        let record: serde_json::Value = serde_json::from_slice(&bytes).expect("json");
        checkpoints += usize::from(record.get("checkpoint").is_some());
        let intent = record.get("pass_intent");
        pinned += usize::from(intent.is_some_and(|intent| intent.get("completeness").is_some()));
    }
    assert!(checkpoints > 0 && pinned <= 4, "{checkpoints} checkpoints, {pinned} pinned");
}
