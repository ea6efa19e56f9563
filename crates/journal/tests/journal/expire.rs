//! Segments whose time is over: what is kept of them, who sees what, and what may not be.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures::TryStreamExt;
use integrity::{Hash, sha256};
use jiff::Timestamp;
use journal::{Body, Expire, ExpiredSegment, Invalid, Journal, JournalError, Reach, State};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use tokio::task::JoinSet;

use crate::sweep::{Dice, Slow, journal};
use crate::world::World;

const DAYS: u32 = 30;

/// Midnight of the day that is `days` after the world's first.
fn midnight(days: i64) -> Timestamp {
    let first: Timestamp = "2026-11-20T00:00:00Z".parse().expect("a time");
    first + jiff::SignedDuration::from_hours(24 * days)
}

/// Records 2 to 6 bring two lines each; 2 to 4 on the first day, 5 and 6 ten days later.
async fn world() -> World {
    let mut world = World::new().await;
    for _ in 0..3 {
        world.deliver().await;
    }
    world.pass_days(10);
    for _ in 0..2 {
        world.deliver().await;
    }
    world
}

/// Lets go what the world's own process may, of records that were made before `before`.
async fn let_go(world: &mut World, before: Timestamp) -> u64 {
    let World { journal, state, .. } = world;
    let Some(to) = journal.old_enough(state, before, u64::MAX).await.expect("look") else {
        return 0;
    };
    journal.expire(state, to, DAYS).await.expect("expire")
}

/// Deletes all that has expired, and says so.
async fn delete(journal: &Journal, state: &mut State) {
    let mut reached = state.expired.deleted;
    while reached < state.expired.to {
        reached = journal.delete_expired(state, reached).await.expect("delete");
    }
    journal.end_deletion(state, reached).await.expect("end");
}

async fn segments(objects: &InMemory) -> usize {
    let listed = objects.list(Some(&Path::from("journal/segment")));
    listed.try_collect::<Vec<_>>().await.expect("list").len()
}

/// RFC 6962's tree, as it is written there.
fn root(leaves: &[Hash]) -> Hash {
    if let [leaf] = leaves {
        return *leaf;
    }
    let mut left = 1;
    while left * 2 < leaves.len() {
        left *= 2;
    }
    let (left, right) = leaves.split_at(left);
    sha256(&[&[1][..], &root(left).0, &root(right).0].concat())
}

#[tokio::test(start_paused = true)]
async fn what_expires_is_named_with_its_counts_and_a_root_that_a_copy_can_be_checked_by() {
    let mut world = world().await;
    let mut copies = Vec::new();
    for number in 2..=4 {
        let path = world.segment(number).await;
        copies.push((number, world.bytes(&path).await));
    }
    assert_eq!(let_go(&mut world, midnight(1)).await, 3);
    let record = world.said(7).await;
    assert_eq!(record["version"], 3, "an older release stops here");
    let expire = &record["expire"];
    for (member, value) in [("from", 1), ("to", 4), ("retention_days", DAYS)] {
        assert_eq!(expire[member], value, "{member}");
    }
    assert_eq!(expire["committed_at"], "2026-11-20T09:30:00Z");
    for ((number, copy), named) in copies.iter().zip(expire["segments"].as_array().expect("some")) {
        let lines = zstd::stream::decode_all(copy.as_slice()).expect("inflate");
        let lines = lines.strip_suffix(b"\n").expect("lines").split(|byte| *byte == b'\n');
        let first = (number - 2) * 2 + 1;
        let leaves: Vec<Hash> =
            (first..).zip(lines).map(|(at, line)| world.hasher.leaf(at, line)).collect();
        let text = URL_SAFE_NO_PAD.encode(root(&leaves).0);
        assert_eq!(*named, serde_json::json!([number, 2, 2, copy.len(), text]));
    }
    let expired = world.state.expired;
    assert_eq!((expired.to, expired.segments, expired.units, expired.damaged), (4, 3, 6, 0));
    assert_eq!((expired.deleted, segments(&world.objects).await), (0, 5), "deleted later");
    let World { journal, state, objects, .. } = &mut world;
    delete(journal, state).await;
    assert_eq!((state.expired.deleted, segments(objects).await), (4, 2));
    assert_eq!(world.said(8).await["deleted"], 4);
    assert_eq!(world.said(8).await["version"], 3);
    assert_eq!(let_go(&mut world, midnight(10)).await, 0, "what is young stays");
}

#[tokio::test(start_paused = true)]
async fn every_reader_tells_what_has_expired_from_what_is_missing() {
    let mut world = world().await;
    let_go(&mut world, midnight(1)).await;
    let lost = world.segment(5).await;
    world.objects.delete(&lost).await.expect("delete");
    for deleted in [false, true] {
        if deleted {
            let World { journal, state, .. } = &mut world;
            delete(journal, state).await;
        }
        // Another process, that begins at the first record and knows of nothing.
        let (journal, mut state) = (world.other(), State::new());
        let mut seen = Vec::new();
        while let Some(delivered) = journal.read_next(&mut state).await.expect("read") {
            seen.extend(delivered.damage.map(|damage| {
                (delivered.record, damage.expired, damage.missing, delivered.batches[0].lost)
            }));
        }
        // What is not deleted is read by who does not know yet.
        let expired = if deleted { vec![2, 3, 4] } else { Vec::new() };
        let expired = expired.into_iter().map(|record| (record, true, true, true));
        assert_eq!(seen, expired.chain([(5, false, true, true)]).collect::<Vec<_>>());
        assert_eq!(state, world.state, "records fold alike");

        // One that knows says so of all.
        let mut state = State::new();
        let first = journal.read_next(&mut state).await.expect("read").expect("a record");
        assert!(first.damage.is_none(), "it has no events");
        let second = journal.read_next(&mut state).await.expect("read").expect("a record");
        assert!(second.damage.expect("said").expired);
    }
    let look = async |number| {
        let journal = world.other();
        journal.look_at(number, vec![0], |_, _, line| line.to_vec()).await
    };
    assert!(matches!(look(3).await, Err(JournalError::SegmentExpired { number: 3, .. })));
    assert!(matches!(look(5).await, Err(JournalError::SegmentMissing { number: 5, .. })));
    assert_eq!(look(6).await.expect("whole"), [b"{\"event\":9}"]);
}

/// An agent that asks what of its spool is committed learns that it cannot be compared.
#[tokio::test(start_paused = true)]
async fn leaves_of_what_has_expired_are_unknown_and_those_behind_it_are_told() {
    let mut world = world().await;
    let_go(&mut world, midnight(1)).await;
    let World { journal, state, .. } = &mut world;
    delete(journal, state).await;
    let reach = Reach { stream: 1, last: 6, to: 10 };
    let journal = world.other();
    let mut leaves = journal.leaves(reach, world.hasher.clone(), 3).await.expect("leaves");
    let mut told = Vec::new();
    while let Some((first, some)) = leaves.next().await.expect("leaves") {
        assert_eq!(first, 3 + told.len() as u64);
        told.extend(some);
    }
    let leaf = |at: u64| match at {
        ..=6 => Hash([0; 32]),
        _ => world.hasher.leaf(at, format!("{{\"event\":{at}}}").as_bytes()),
    };
    assert_eq!(told, (3..=10).map(leaf).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_journal_expires_from_its_old_end_only_as_far_as_it_is_old_and_as_it_is_told() {
    let mut world = world().await;
    // A clock that was wrong: a record that is old among young ones waits for them.
    world.pass_days(-20);
    world.deliver().await;
    world.pass_days(20);
    let look = async |world: &World, before, last| {
        world.journal.old_enough(&world.state, before, last).await.expect("look")
    };
    for (before, last, to) in [
        (midnight(0), u64::MAX, None),
        (midnight(1), u64::MAX, Some(4)),
        (midnight(10), u64::MAX, Some(4)),
        (midnight(11), u64::MAX, Some(7)),
        (midnight(11), 3, Some(3)),
        (midnight(11), 0, None),
    ] {
        assert_eq!(look(&world, before, last).await, to, "before {before}, to {last}");
    }
    let_go(&mut world, midnight(1)).await;
    assert_eq!(look(&world, midnight(1), u64::MAX).await, None);
    // What its own records say has no events: no more records are made for them alone.
    assert_eq!(look(&world, midnight(40), u64::MAX).await, Some(7));
    assert_eq!(let_go(&mut world, midnight(40)).await, 3);
    assert_eq!((world.state.expired.to, world.state.expired.segments), (7, 6));
    assert_eq!(look(&world, midnight(40), u64::MAX).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_segment_that_was_lost_before_expires_without_a_root_and_is_counted() {
    let mut world = world().await;
    let (missing, damaged) = (world.segment(2).await, world.segment(4).await);
    world.objects.delete(&missing).await.expect("delete");
    world.put(&damaged, b"no segment".to_vec()).await;
    assert_eq!(let_go(&mut world, midnight(1)).await, 3);
    let named = &world.said(7).await["expire"]["segments"];
    let has_root = |index: usize| named[index][4].is_string();
    assert_eq!([0, 1, 2].map(has_root), [false, true, false]);
    assert_eq!((world.state.expired.damaged, world.state.expired.units), (2, 6));
}

/// Two processes expire and delete while a writer commits, in any order.
#[tokio::test(start_paused = true)]
async fn two_processes_that_expire_at_once_let_go_every_segment_once() {
    for seed in 0..20 {
        let mut world = world().await;
        let dice = Dice(Arc::new(AtomicU64::new(seed)));
        let slow = || {
            let slow = Slow(Arc::clone(&world.objects), dice.clone());
            journal(Arc::new(slow) as Arc<dyn ObjectStore>, &dice)
        };
        let mut tasks = JoinSet::new();
        for _ in 0..2 {
            let (journal, mut state, dice) = (slow(), world.state.clone(), dice.clone());
            tasks.spawn(async move {
                tokio::time::sleep(Duration::from_millis(dice.next() % 200)).await;
                for to in [3, 5] {
                    journal.expire(&mut state, to, DAYS).await.expect("expire");
                    delete(&journal, &mut state).await;
                }
            });
        }
        let (writer, mut state) = (slow(), world.state.clone());
        tasks.spawn(async move {
            for _ in 0..4 {
                writer.commit(&mut state, &Body::default()).await.expect("commit");
            }
        });
        while let Some(ended) = tasks.join_next().await {
            ended.expect("it ends");
        }
        world.state = world.other().fold().await.expect("fold");
        let mut named = Vec::new();
        for number in 7..=world.state.head {
            let said = world.said(number).await;
            let segments = said["expire"]["segments"].as_array().cloned().unwrap_or_default();
            named
                .extend(segments.into_iter().map(|segment| segment[0].as_u64().expect("a number")));
        }
        assert_eq!(named, [2, 3, 4, 5], "seed {seed}");
        let expired = world.state.expired;
        assert_eq!((expired.to, expired.deleted, expired.damaged), (5, 5, 0), "seed {seed}");
        assert_eq!(segments(&world.objects).await, 1, "seed {seed}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_start_from_a_snapshot_knows_what_has_expired_and_an_older_release_does_not_use_it() {
    let mut world = world().await;
    while world.state.head < 1_030 {
        world.commit(&Body::default()).await;
    }
    let_go(&mut world, midnight(1)).await;
    while world.state.head < 2_060 {
        world.commit(&Body::default()).await;
    }
    let format = async |number: u64| {
        let path = Path::from(format!("journal/snapshot/{number:020}.json"));
        let state: serde_json::Value =
            serde_json::from_slice(&world.bytes(&path).await).expect("j");
        (state["format"].clone(), state.get("expired").is_some())
    };
    assert_eq!(format(1_024).await, (1.into(), false), "as it was before anything expired");
    assert_eq!(format(2_048).await, (2.into(), true));
    assert_eq!(world.other().fold().await.expect("fold"), world.state);
    // A reader that begins there knows, too.
    let (journal, number) = (world.other(), 3);
    journal.fold().await.expect("fold");
    let mut state = journal.fold_to(number - 1).await.expect("fold");
    let delivered = journal.read_next(&mut state).await.expect("read").expect("a record");
    assert!(delivered.damage.expect("said").expired);
    for number in [1_024, 2_048] {
        let path = Path::from(format!("journal/snapshot/{number:020}.json"));
        world.objects.delete(&path).await.expect("delete");
    }
    assert_eq!(world.other().fold().await.expect("fold"), world.state);
}

#[tokio::test(start_paused = true)]
async fn a_record_that_lets_go_what_it_may_not_is_refused() {
    let mut world = world().await;
    let committed_at = midnight(0);
    let segment =
        |record| ExpiredSegment { record, lines: 2, units: 2, bytes: 1, root: Some(Hash([1; 32])) };
    let expire = |from, to, records: &[u64]| Body {
        expire: Some(Expire {
            retention_days: DAYS,
            from,
            to,
            committed_at,
            segments: records.iter().copied().map(segment).collect(),
        }),
        ..Body::default()
    };
    let deleted = |to| Body { deleted: Some(to), ..Body::default() };
    let refused =
        |state: &State, body: &Body| matches!(state.check(body), Err(Invalid::Inconsistent(_)));
    let alone = expire(1, 3, &[2, 3]);
    assert_eq!(world.state.check(&alone), Ok(()));
    for body in [
        expire(2, 3, &[2, 3]),
        expire(1, 0, &[]),
        expire(1, 7, &[2]),
        expire(1, 3, &[3, 2]),
        expire(1, 3, &[2, 2]),
        expire(1, 3, &[4]),
        expire(1, 6, &[1, 2, 3, 4, 5, 6]),
        deleted(0),
        deleted(1),
        Body { deleted: Some(1), ..alone.clone() },
        Body { sweep: Some(journal::Sweep::default()), ..alone.clone() },
        Body { cursors: [(1, [].into())].into(), ..alone.clone() },
    ] {
        assert!(refused(&world.state, &body), "{body:?}");
    }
    world.commit(&alone).await;
    assert!(refused(&world.state, &alone), "once");
    assert!(refused(&world.state, &deleted(4)));
    world.commit(&deleted(2)).await;
    for to in [1, 2, 4] {
        assert!(refused(&world.state, &deleted(to)));
    }
    world.commit(&deleted(3)).await;
}

/// The log of a journal of which the old end has expired, as this release writes it.
#[tokio::test(start_paused = true)]
async fn a_log_with_expired_segments_is_read_by_every_later_release() {
    let mut world = world().await;
    let_go(&mut world, midnight(1)).await;
    let World { journal, state, .. } = &mut world;
    delete(journal, state).await;
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/expired-3");
    let fixture = InMemory::new();
    for number in 1..=world.state.head {
        let path = World::record(number);
        let file = folder.join(path.filename().expect("a name"));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::create_dir_all(&folder).expect("create");
            std::fs::write(&file, world.bytes(&path).await).expect("write");
        }
        let bytes = std::fs::read(&file).expect("the fixture is committed");
        let said: serde_json::Value = serde_json::from_slice(&bytes).expect("json");
        let named = |record: &serde_json::Value| {
            let segments = record["expire"]["segments"].as_array().cloned().unwrap_or_default();
            // Of a segment's size the compression decides, of its root its lines alone.
            let root = |named: serde_json::Value| [0, 1, 2, 4].map(|member| named[member].clone());
            segments.into_iter().map(root).collect::<Vec<_>>()
        };
        let now = world.said(number).await;
        assert_eq!((said["version"].clone(), named(&said)), (now["version"].clone(), named(&now)));
        fixture.put(&path, bytes.into()).await.expect("put");
    }
    let dice = Dice(Arc::new(AtomicU64::new(1)));
    let read = journal_of(fixture, &dice).fold().await.expect("fold");
    assert_eq!((read.head, read.totals.journaled), (8, 10));
    let expired = read.expired;
    assert_eq!((expired.to, expired.deleted, expired.segments, expired.units), (4, 4, 3, 6));
}

fn journal_of(objects: InMemory, dice: &Dice) -> Journal {
    journal(Arc::new(objects) as Arc<dyn ObjectStore>, dice)
}
