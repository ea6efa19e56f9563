//! What an answer says of itself: up to when it is complete, and what is missing.

use std::collections::BTreeSet;

use event::AccountId;
use jiff::{SignedDuration, Timestamp};
use object_store::ObjectStoreExt;
use object_store::path::Path;
use query::{Coverage, EventFilter, Known, Selection};
use table::Expected;

use crate::world::World;

/// An account that nothing is ever written of.
const QUIET: &str = "999999999999";

fn noon() -> Timestamp {
    "2026-11-19T12:00:00Z".parse().expect("a time")
}

/// What `report` at noon claims.
fn minute_before() -> Timestamp {
    noon() - SignedDuration::from_mins(1)
}

fn account(text: &str) -> AccountId {
    text.parse().expect("an account")
}

async fn sql(world: &World, condition: &str) -> Coverage {
    let sql = format!("SELECT count(*) FROM events WHERE {condition}");
    let mut answer = world.engine().sql(&sql).await.expect("answer");
    answer.rest().await.expect("rows");
    answer.coverage()
}

async fn filtered(world: &World, filter: EventFilter) -> Coverage {
    let selection = Selection::default();
    let engine = world.engine();
    let mut answer = engine.events(&filter, &selection).await.expect("answer");
    answer.rest().await.expect("rows");
    answer.coverage()
}

fn silent(coverage: &Coverage) -> Vec<AccountId> {
    let silent = coverage.accounts.iter().filter(|one| one.known == Known::Nothing);
    silent.map(|one| one.account).collect()
}

fn seen(world: &World) -> Vec<AccountId> {
    let accounts = world.written.iter().filter_map(|record| {
        AccountId::from_bytes(record["recipientAccountId"].as_str()?.as_bytes())
    });
    accounts.collect::<BTreeSet<_>>().into_iter().collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_is_complete_only_to_where_everything_read_has_arrived() {
    let mut world = World::new().await;
    assert_eq!(sql(&world, "true").await.complete_to(), None, "nothing is known");
    world.write_sample(0, 10).await;
    let said = sql(&world, "true").await;
    assert!(said.accounts.iter().all(|one| matches!(one.known, Known::Unknown(_))), "{said:?}");
    world.report(15, noon()).await;
    let some = sql(&world, "true").await;
    let behind: u64 = some.sources.iter().map(|source| source.behind).sum();
    assert_eq!((some.complete_to(), behind), (None, 5), "five are on their way");
    world.write_sample(10, 15).await;
    let whole = sql(&world, "true").await;
    assert_eq!((whole.complete_to(), whole.gaps), (Some(minute_before()), 0));
    assert!(whole.is_complete(None) && whole.is_complete(Some(minute_before())));
    assert!(!whole.is_complete(Some(noon())));
    world.pass().await;
    world.report(16, noon() + SignedDuration::from_mins(9)).await;
    let claimed = sql(&world, "true").await;
    assert_eq!(claimed.complete_to(), Some(minute_before()), "what was claimed stays true");
}

/// Whether the pass has taken it in or it is in the journal's tail, a gap is told to
/// whoever asks for what may be in it, and to nobody else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gap_is_told_to_those_whom_it_may_concern() {
    let mut world = World::new().await;
    world.write_sample(0, 400).await;
    world.report(400, noon() + SignedDuration::from_hours(20)).await;
    let own = seen(&world)[0];
    let stream = world.open(&own.to_string(), 9).await;
    world.report_of(stream, 0, noon()).await;
    world.lose_of(stream, 3).await;
    for passed in [false, true] {
        let all = sql(&world, "true").await;
        assert_eq!((all.gaps, all.losses.len()), (3, 1), "passed: {passed}");
        let loss = &all.losses[0];
        assert_eq!((loss.account, loss.from, loss.units), (Some(own), Some(minute_before()), 3));
        assert!(!all.is_complete(None) && all.complete_to().is_some());
        let after = sql(&world, "eventtime > TIMESTAMP '2026-11-19T11:59:30Z'").await;
        assert_eq!((after.gaps, after.is_complete(None)), (3, false));
        let before = sql(&world, "eventtime < TIMESTAMP '2026-11-19T11:58:00Z'").await;
        assert_eq!((before.gaps, before.is_complete(None)), (0, true), "{before:?}");
        let day_before = sql(&world, "date <= DATE '2026-11-18'").await;
        assert_eq!(day_before.gaps, 0);
        let others = EventFilter { accounts: vec![format!("!{own}")], ..EventFilter::default() };
        let others = filtered(&world, others).await;
        assert_eq!((others.gaps, others.accounts.len()), (0, all.accounts.len() - 1));
        let other =
            EventFilter { accounts: vec![seen(&world)[1].to_string()], ..EventFilter::default() };
        assert!(filtered(&world, other).await.is_complete(None));
        let to = EventFilter {
            accounts: vec![own.to_string()],
            to: Some(noon() - SignedDuration::from_hours(1)),
            ..EventFilter::default()
        };
        assert!(filtered(&world, to).await.is_complete(None));
        world.pass().await;
    }
    assert_eq!(world.table.state().position, world.state.head, "a gap does not wait for events");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expected_account_or_region_that_was_never_seen_is_named() {
    let mut world = World::new().await;
    let regions = ["eu-west-1", "mars-north-1"].map(str::to_owned).into();
    let expected = Expected { accounts: [account(QUIET)].into(), regions, ..Expected::default() };
    world.expect(Some(expected.clone())).await;
    world.write_sample(0, 400).await;
    world.report(400, noon()).await;
    world.pass().await;
    let all = sql(&world, "true").await;
    assert_eq!((silent(&all), all.complete_to()), (vec![account(QUIET)], None));
    let own = seen(&world)[0];
    let seen_one = sql(&world, &format!("account = '{own}'")).await;
    assert_eq!(seen_one.complete_to(), Some(minute_before()), "others are not concerned");
    assert!(!sql(&world, &format!("account IN ('{own}', '{QUIET}')")).await.is_complete(None));

    // Without a list of its own a process leaves what another one has pinned.
    world.expect(None).await;
    world.write_sample(400, 500).await;
    world.pass().await;
    assert_eq!(world.table.state().completeness.expected, expected);
    world.expect(Some(Expected { accounts: BTreeSet::new(), ..expected })).await;
    world.write_sample(500, 600).await;
    world.report(600, noon()).await;
    world.pass().await;
    let all = sql(&world, "true").await;
    let unseen = |said: &Coverage| {
        said.accounts.iter().flat_map(|one| one.unseen_regions.clone()).collect::<BTreeSet<_>>()
    };
    assert!(silent(&all).is_empty() && unseen(&all).contains("mars-north-1"));
    assert!(!all.is_complete(None));
    let elsewhere = sql(&world, "region <> 'mars-north-1'").await;
    assert!(!unseen(&elsewhere).contains("mars-north-1"), "{elsewhere:?}");

    // Seen later, it is as complete as its account, also before a pass.
    let record = format!(
        r#"{{"eventVersion":"1.11","eventTime":"2026-11-19T10:00:00Z","eventSource":"s3.amazonaws.com","eventName":"ListBuckets","awsRegion":"mars-north-1","eventID":"1","recipientAccountId":"{own}"}}"#
    );
    world.write(&[record.into_bytes()]).await;
    world.report(601, noon()).await;
    let there = sql(&world, &format!("account = '{own}' AND region = 'mars-north-1'")).await;
    assert_eq!(there.complete_to(), Some(minute_before()));
}

/// "No events" of an account that nobody ever heard of is no answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_that_is_asked_for_by_name_and_was_never_seen_is_not_complete() {
    let mut world = World::new().await;
    world.write_sample(0, 100).await;
    world.report(100, noon()).await;
    let filter = || EventFilter { accounts: vec![QUIET.to_owned()], ..EventFilter::default() };
    let never = filtered(&world, filter()).await;
    assert_eq!((silent(&never), never.is_complete(None)), (vec![account(QUIET)], false));
    let stream = world.open(QUIET, 9).await;
    world.report_of(stream, 0, noon()).await;
    let quiet = filtered(&world, filter()).await;
    assert_eq!(quiet.complete_to(), Some(minute_before()), "its own agent says that it is quiet");
}

/// Of what an earlier release took in, neither account nor time is known: it is told
/// to everybody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_store_lost_before_this_was_pinned_may_be_missing_from_any_answer() {
    let mut world = World::new().await;
    world.write_sample(0, 100).await;
    world.report(100, noon()).await;
    world.lose(3).await;
    world.pass().await;
    world.forget_completeness().await;
    let before = sql(&world, "eventtime < TIMESTAMP '2026-11-01T00:00:00Z'").await;
    assert_eq!((before.gaps, before.losses.len()), (3, 0));
    assert!(!before.is_complete(None));
    assert!(before.complete_to().is_some(), "what agents claim is in the journal's fold");
}

/// A damaged segment's units may be missing from answers about their account and time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_segment_is_told_to_those_whom_it_may_concern() {
    let mut world = World::new().await;
    world.write_sample(0, 100).await;
    world.report(100, noon()).await;
    world.pass().await;
    world.write_sample(100, 103).await;
    let record = Path::from(format!("journal/log/{:020}.json", world.state.head));
    let bytes = world.store.objects().get(&record).await.expect("get").bytes().await;
    let body: serde_json::Value = serde_json::from_slice(&bytes.expect("bytes")).expect("JSON");
    let segment = Path::from(body["segment"]["path"].as_str().expect("a path"));
    world.store.objects().delete(&segment).await.expect("delete");
    for passed in [false, true] {
        let all = sql(&world, "true").await;
        assert_eq!((all.lost, all.losses.len()), (3, 1), "passed: {passed}");
        assert_eq!(all.losses[0].from, Some(minute_before()), "what was claimed had arrived");
        let before = sql(&world, "date < DATE '2026-11-19'").await;
        assert_eq!((before.lost, before.is_complete(None)), (0, true));
        let by_account = sql(&world, &format!("account = '{}'", seen(&world)[0])).await;
        assert_eq!(by_account.lost, 3, "an organization's agent brought them: any account's");
        world.pass().await;
    }
}
