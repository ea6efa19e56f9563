//! One event, one row: what is a duplicate, what is not, and who says so.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::faulty::{Fault, Faulty};
use crate::world::{World, drain, respelled};

const ACCOUNT: &str = "111122223333";

fn event(id: &str, name: &str) -> Vec<u8> {
    event_of(ACCOUNT, id, name, "2026-11-18T10:00:00Z")
}

fn event_of(account: &str, id: &str, name: &str, time: &str) -> Vec<u8> {
    let id = if id.is_empty() { String::new() } else { format!("\"eventID\":{id},") };
    format!(
        "{{\"eventVersion\":\"1.08\",{id}\"eventName\":\"{name}\",\"eventTime\":\"{time}\",\
         \"awsRegion\":\"eu-west-1\",\"sharedEventID\":\"s\",\"requestParameters\":{{\"a\":1,\"b\":[2]}},\
         \"recipientAccountId\":\"{account}\"}}"
    )
    .into_bytes()
}

/// Delivers records of lines, each taken in by a pass of its own or all by one;
/// the rows that stay are these lines, and those in `marked` say that their
/// eventID was reused.
async fn check(
    what: &str,
    records: &[&[Vec<u8>]],
    one_pass: bool,
    stay: &[(usize, u64)],
    marked: &[(usize, u64)],
) {
    let mut world = World::new().await;
    let mut table = world.table(Arc::clone(&world.objects), 2).await.expect("open");
    let first = world.head() + 1;
    let mut lines = 0;
    for record in records {
        world.deliver_lines(record.to_vec()).await;
        lines += record.len() as u64;
        if !one_pass {
            drain(&mut table).await.expect("drain");
        }
    }
    drain(&mut table).await.expect("drain");
    let numbered = |places: &[(usize, u64)]| -> BTreeSet<(u64, u64)> {
        places.iter().map(|(record, row)| (first + *record as u64, *row)).collect()
    };
    let rows = world.places().await;
    let found: BTreeSet<(u64, u64)> = rows.iter().map(|(place, _)| *place).collect();
    assert_eq!(found, numbered(stay), "{what}: the rows");
    assert_eq!(rows.len(), stay.len(), "{what}: no row twice");
    let told: BTreeSet<(u64, u64)> = rows
        .iter()
        .filter(|(_, anomalies)| anomalies.contains("event_id_reused"))
        .map(|(place, _)| *place)
        .collect();
    assert_eq!(told, numbered(marked), "{what}: the marks");
    let counts = table.state().totals.counts;
    assert_eq!(counts.rows, stay.len() as u64, "{what}");
    assert_eq!(counts.duplicates, lines - stay.len() as u64, "{what}");
    assert!(counts.close(), "{what}");
}

#[tokio::test]
async fn equal_records_of_one_account_and_id_are_one_row_in_one_pass_or_days_apart() {
    let one = event("\"e1\"", "A");
    let records: [&[Vec<u8>]; 2] = [&[one.clone(), respelled(&one)], std::slice::from_ref(&one)];
    check("one pass", &records, true, &[(0, 0)], &[]).await;
    check("passes", &records, false, &[(0, 0)], &[]).await;
}

#[tokio::test]
async fn records_that_reuse_an_id_all_stay_and_say_so() {
    let (a, b, c) = (event("\"e1\"", "A"), event("\"e1\"", "B"), event("\"e1\"", "C"));
    let records: [&[Vec<u8>]; 3] = [&[a.clone(), b.clone()], &[a.clone(), c.clone()], &[b, c]];
    let stay = [(0, 0), (0, 1), (1, 1)];
    check("one pass", &records, true, &stay, &stay).await;
    check("passes", &records, false, &stay, &stay).await;
    let [a, b, c] = ["A", "B", "C"].map(|name| event("\"e1\"", name));
    let records: [&[Vec<u8>]; 4] = [
        std::slice::from_ref(&a),
        std::slice::from_ref(&b),
        &[c.clone(), respelled(&a)],
        &[respelled(&c), b.clone()],
    ];
    let stay = [(0, 0), (1, 0), (2, 0)];
    check("three, one after the other", &records, false, &stay, &stay).await;
    check("three in one pass", &records, true, &stay, &stay).await;
}

#[tokio::test]
async fn nothing_else_is_merged() {
    let other = "999999999999";
    let at = "2026-11-18T10:00:00Z";
    let cases: [(&str, Vec<u8>); 6] = [
        ("no eventID", event("", "A")),
        ("an empty eventID", event("\"\"", "A")),
        ("an eventID that is no text", event("7", "A")),
        ("an eventID that is null", event("null", "A")),
        ("an eventID that no text can hold", event("\"\\ud800\"", "A")),
        ("an eventID only inside something", event("", "eventID")),
    ];
    for (what, line) in cases {
        let records: [&[Vec<u8>]; 2] = [&[line.clone(), line.clone()], std::slice::from_ref(&line)];
        for one_pass in [true, false] {
            check(what, &records, one_pass, &[(0, 0), (0, 1), (1, 0)], &[]).await;
        }
    }
    let mine = event("\"e1\"", "A");
    let theirs = event_of(other, "\"e1\"", "A", at);
    let records: [&[Vec<u8>]; 2] = [std::slice::from_ref(&mine), &[theirs]];
    check("another account", &records, false, &[(0, 0), (1, 0)], &[]).await;
    let digits = String::from_utf8(mine.clone()).expect("text").replace("\"a\":1", "\"a\":1.0");
    let records: [&[Vec<u8>]; 2] = [&[mine], &[digits.into_bytes()]];
    check("other digits", &records, true, &[(0, 0), (1, 0)], &[(0, 0), (1, 0)]).await;
}

#[tokio::test]
async fn an_event_from_the_future_is_found_again_when_its_day_has_come() {
    // The world's clock stands at 2026-11-20 and ticks a second at a look.
    let line = event_of(ACCOUNT, "\"e1\"", "A", "2026-11-22T00:00:00Z");
    let mut world = World::new().await;
    let mut table = world.table(Arc::clone(&world.objects), 2).await.expect("open");
    world.deliver_lines(vec![line.clone()]).await;
    drain(&mut table).await.expect("drain");
    world.pass_days(3);
    world.deliver_lines(vec![line]).await;
    drain(&mut table).await.expect("drain");
    assert_eq!(world.places().await.len(), 1);
    assert_eq!(table.state().totals.counts.duplicates, 1);
}

#[tokio::test]
async fn events_whose_earlier_line_cannot_be_read_both_stay() {
    let line = event("\"e1\"", "A");
    let mut world = World::new().await;
    let mut table = world.table(Arc::clone(&world.objects), 2).await.expect("open");
    world.deliver_lines(vec![line.clone()]).await;
    drain(&mut table).await.expect("drain");
    world.lose_segments().await;
    world.deliver_lines(vec![line]).await;
    drain(&mut table).await.expect("drain");
    assert_eq!(world.places().await.len(), 2);
}

/// An earlier release made a row of every record and kept no keys; what it began
/// is finished by its rules, and what comes after by today's.
#[tokio::test]
async fn a_pass_that_an_earlier_release_began_is_finished_by_its_rules() {
    let line = event("\"e1\"", "A");
    let mut world = World::new().await;
    world.deliver_lines(vec![line.clone(), line.clone()]).await;
    let stop = CancellationToken::new();
    for operation in 0..3 {
        let dying = Faulty::new(Arc::clone(&world.objects), Fault::DieAfter, operation);
        let mut old = world.old_table(Arc::new(dying), 7).await.expect("open");
        old.pass(&stop).await.expect_err("dies");
    }
    let mut table = world.table(Arc::clone(&world.objects), 2).await.expect("open");
    drain(&mut table).await.expect("drain");
    assert_eq!(world.places().await.len(), 2);
    world.deliver_lines(vec![line.clone()]).await;
    world.deliver_lines(vec![line]).await;
    drain(&mut table).await.expect("drain");
    assert_eq!(world.places().await.len(), 3, "the third is remembered, the fourth is not a row");
    assert_eq!(table.state().totals.counts.duplicates, 1);
}
