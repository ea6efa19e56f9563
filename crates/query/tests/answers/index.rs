//! An index, and a day's copy, change what is read and never what is found.

use std::collections::BTreeSet;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use event::indicator::{each_indicator_in_json, is_indicator};
use object_store::ObjectStoreExt;
use object_store::path::Path;
use query::{Coverage, Engine, EventFilter, Limits, Options, QueryError, Selection};
use sample::Organization;
use store::Store;
use table::SettleReason;
use tokio_util::sync::CancellationToken;

use crate::world::{SHAPE, World, all, ids, records, seams};

/// A world of settled files of three days, one of which still grows.
async fn settled() -> World {
    let mut world = World::new().await;
    world.write_sample(0, 4_000).await;
    world.pass().await;
    settle(&mut world).await;
    world
}

async fn settle(world: &mut World) {
    let stop = CancellationToken::new();
    world.table.settle(SettleReason::Asked).await.expect("settled");
    world.table.compact(u64::MAX, &stop).await.expect("compacted");
}

async fn index(world: &mut World) -> table::IndexReport {
    let stop = CancellationToken::new();
    world.table.index(u64::MAX, &stop).await.expect("indexed")
}

/// Some of the indicators that the records name, of all kinds.
fn indicators(world: &World) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for record in &world.written {
        each_indicator_in_json(&record.to_string(), &mut |text| {
            all.insert(text.into_owned());
        });
    }
    let step = (all.len() / 40).max(1);
    all.into_iter().step_by(step).collect()
}

async fn named(world: &World, name: &str) -> (Vec<String>, Coverage) {
    let filter = EventFilter { named: vec![name.to_owned()], ..EventFilter::default() };
    let selection = Selection::default();
    let mut answer = world.engine().events(&filter, &selection).await.expect("an answer");
    let rows = answer.rest().await.expect("rows");
    (ids(&records(&rows)), answer.coverage())
}

async fn by_key(world: &World, key: &str) -> (i64, Coverage) {
    let sql = format!("SELECT count(*) FROM events WHERE useridentity.accesskeyid = '{key}'");
    count_of(world, &sql).await
}

async fn count_of(world: &World, sql: &str) -> (i64, Coverage) {
    let mut answer = world.engine().sql(sql).await.expect("an answer");
    let rows = answer.rest().await.expect("rows");
    let count = rows.first().expect("a row").column(0).as_primitive::<Int64Type>().value(0);
    (count, answer.coverage())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_is_found_with_an_index_in_fewer_files() {
    let mut world = settled().await;
    let wanted = indicators(&world);
    assert!(wanted.len() > 30 && wanted.iter().all(|name| is_indicator(name)));
    let mut before = Vec::new();
    for name in &wanted {
        before.push(named(&world, name).await);
    }
    let report = index(&mut world).await;
    assert!(report.parts >= 2 && report.entries > 100 && !report.more, "{report:?}");
    assert_eq!(index(&mut world).await.parts, 0, "nothing is left to index");
    let (mut files_before, mut files_after) = (0, 0);
    for (name, (ids_before, coverage)) in wanted.iter().zip(before) {
        let (ids_after, with_index) = named(&world, name).await;
        assert_eq!(ids_after, ids_before, "{name}");
        assert!(with_index.files <= coverage.files, "{name}");
        files_before += coverage.files;
        files_after += with_index.files;
    }
    assert!(files_after * 2 < files_before, "{files_after} of {files_before} files");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sql_that_asks_for_a_key_and_a_trace_of_it_open_few_files() {
    let mut world = settled().await;
    let key = Organization::with_shape(5, SHAPE).incident().access_key_id;
    let (count, before) = by_key(&world, &key).await;
    let trace_before = world.engine().trace(&key, None, None).await.expect("a trace");
    index(&mut world).await;
    let (count_after, after) = by_key(&world, &key).await;
    assert!(count > 0);
    assert_eq!(count_after, count);
    assert!(after.files < before.files, "{} of {} files", after.files, before.files);
    let trace = world.engine().trace(&key, None, None).await.expect("a trace");
    assert_eq!((trace.origin, trace.hops), (trace_before.origin, trace_before.hops));
    assert_eq!(trace.uses, trace_before.uses);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_late_to_a_closed_day_is_found_before_it_is_indexed() {
    let mut world = settled().await;
    index(&mut world).await;
    let key = "AKIALATE000000000001";
    let event = |number: u64| {
        format!(
            "{{\"eventVersion\":\"1.08\",\"userIdentity\":{{\"type\":\"IAMUser\",\"accessKeyId\":\"{key}\"}},\
             \"eventTime\":\"2026-11-18T12:00:00Z\",\"eventSource\":\"s3.amazonaws.com\",\
             \"eventName\":\"GetObject\",\"awsRegion\":\"eu-west-1\",\
             \"eventID\":\"00000000-0000-0000-0000-{number:012}\",\
             \"recipientAccountId\":\"111122223333\"}}"
        )
        .into_bytes()
    };
    for number in 1..=3 {
        world.write(&[event(number)]).await;
        assert_eq!(
            by_key(&world, key).await.0,
            i64::try_from(number).expect("small"),
            "in the tail"
        );
        world.pass().await;
        assert_eq!(by_key(&world, key).await.0, i64::try_from(number).expect("small"), "fresh");
        settle(&mut world).await;
        assert_eq!(by_key(&world, key).await.0, i64::try_from(number).expect("small"), "settled");
        assert!(index(&mut world).await.parts <= 1);
        assert_eq!(by_key(&world, key).await.0, i64::try_from(number).expect("small"), "indexed");
    }
}

/// In a large organization a day's list is longer than what it is asked for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_days_whose_index_names_nothing_not_even_the_list_of_files_is_read() {
    let limits = table::Limits { checkpoint_files: 1, ..table::Limits::default() };
    let mut world = World::with(limits).await;
    world.write_sample(0, 4_000).await;
    world.pass().await;
    settle(&mut world).await;
    index(&mut world).await;
    // The next pass writes a checkpoint, and with it the lists.
    world.write_late(1).await;
    world.pass().await;
    let key = Organization::with_shape(5, SHAPE).incident().access_key_id;
    let of = |key: &str| {
        format!(
            "SELECT count(*) FROM events WHERE useridentity.accesskeyid = '{key}'\
             AND date BETWEEN DATE '2026-11-18' AND DATE '2026-11-19'"
        )
    };
    let (count, with_lists) = count_of(&world, &of(&key)).await;
    assert!(count > 0);
    let lists = world.below("table/manifest").await;
    assert!(lists.len() >= 3, "{lists:?}");
    let nowhere = of("AKIANOWHERE000000000");
    let (nothing, coverage) = count_of(&world, &nowhere).await;
    assert_eq!((nothing, coverage.files), (0, 1), "all but the fresh file is ruled out");
    assert!(coverage.requests < with_lists.requests, "{coverage:?} {with_lists:?}");
    for path in &lists {
        world.store.objects().delete(path).await.expect("deleted");
    }
    assert_eq!(count_of(&world, &nowhere).await.0, 0);
    let lost = world.engine().sql(&of(&key)).await;
    assert!(lost.is_err(), "its files are in a list that is lost");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_index_costs_time_and_hides_nothing() {
    let mut world = settled().await;
    let key = Organization::with_shape(5, SHAPE).incident().access_key_id;
    let before = by_key(&world, &key).await.0;
    index(&mut world).await;
    let parts: Vec<Path> = world.index_parts().await;
    assert!(!parts.is_empty());
    for path in &parts {
        world.store.objects().delete(path).await.expect("deleted");
    }
    let (count, coverage) = by_key(&world, &key).await;
    assert_eq!((count, coverage.files), (before, coverage.files_total));
    let all_events = world
        .engine()
        .events(&EventFilter::default(), &Selection::default())
        .await
        .expect("an answer");
    assert_eq!(ids(&records(&all(all_events).await)), ids(&world.written));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn questions_across_the_organization_read_a_days_copy_and_find_the_same() {
    let mut world = settled().await;
    let stop = CancellationToken::new();
    let questions = [
        "SELECT account, region, date, count(*) FROM events GROUP BY 1, 2, 3 ORDER BY 1, 2, 3",
        "SELECT eventname, count(*) FROM events WHERE date = DATE '2026-11-18' GROUP BY 1 ORDER BY 1",
        "SELECT count(*), min(eventtime), max(eventtime) FROM events WHERE errorcode IS NOT NULL",
        "SELECT count(*) FROM events WHERE account = '000000000000'",
    ];
    let ask = async |world: &World, sql: &str| {
        let mut answer = world.engine().sql(sql).await.expect("an answer");
        let rows = answer.rest().await.expect("rows");
        (
            arrow::util::pretty::pretty_format_batches(&rows).expect("text").to_string(),
            answer.coverage(),
        )
    };
    let mut before = Vec::new();
    for sql in questions {
        before.push(ask(&world, sql).await);
    }
    let copied = world.table.copy_days(u64::MAX, &stop).await.expect("copied");
    assert!(copied.parts >= 2 && copied.files > copied.parts && !copied.more, "{copied:?}");
    let first = ask(&world, questions[0]).await;
    assert!(first.1.files < before[0].1.files, "{} of {}", first.1.files, before[0].1.files);
    for late in 0..2 {
        for (sql, (rows, _)) in questions.iter().zip(&before) {
            assert_eq!(&ask(&world, sql).await.0, rows, "{sql}");
        }
        let found = world
            .engine()
            .events(&EventFilter::default(), &Selection::default())
            .await
            .expect("an answer");
        assert_eq!(ids(&records(&all(found).await)), ids(&world.written));
        if late == 0 {
            // Late events of copied days, settled beside the copy and then compacted.
            world.write_late(30).await;
            world.pass().await;
            settle(&mut world).await;
            before.clear();
            for sql in questions {
                before.push(ask(&world, sql).await);
            }
            world.table.copy_days(u64::MAX, &stop).await.expect("copied");
        }
    }
}

/// The list of a day's files is as long as the day has files, and what is copied whole
/// needs none of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_days_that_are_copied_whole_not_even_the_list_of_files_is_read() {
    let limits = table::Limits {
        checkpoint_files: 1,
        day_files_min: 2,
        day_run_files_min: 2,
        ..table::Limits::default()
    };
    let mut world = World::with(limits).await;
    let stop = CancellationToken::new();
    world.write_sample(0, 4_000).await;
    world.pass().await;
    settle(&mut world).await;
    let two_days = "date BETWEEN DATE '2026-11-18' AND DATE '2026-11-19'";
    let (rows, settled) = count(&world, &format!("{two_days} AND eventid IS NOT NULL")).await;
    let copied = world.table.copy_days(u64::MAX, &stop).await.expect("copied");
    assert!(copied.parts >= 2, "{copied:?}");
    // The next pass writes a checkpoint, and with it the lists.
    world.write_late(3).await;
    world.pass().await;
    let condition = format!("{two_days} AND eventid IS NOT NULL");
    let (with_late, coverage) = count(&world, &condition).await;
    assert!(with_late >= rows && coverage.files < settled.files, "{coverage:?}");
    let one = format!("{two_days} AND account <> 'none' AND eventid IS NOT NULL");
    assert_eq!(count(&world, &one).await.0, with_late, "by the lists");
    world.table.settle(SettleReason::Asked).await.expect("settled");
    assert_eq!(count(&world, &condition).await.0, with_late, "late files beside the copies");
    let lists = world.below("table/manifest").await;
    assert!(lists.len() >= 2, "{lists:?}");
    for path in lists {
        world.store.objects().delete(&path).await.expect("deleted");
    }
    assert_eq!(count(&world, &condition).await.0, with_late, "without the lists");
}

async fn count(world: &World, condition: &str) -> (i64, Coverage) {
    let sql = format!("SELECT count(*) FROM events WHERE {condition}");
    let mut answer = world.engine().sql(&sql).await.expect("an answer");
    let rows = answer.rest().await.expect("rows");
    let count = rows.first().expect("a row").column(0).as_primitive::<Int64Type>().value(0);
    (count, answer.coverage())
}

/// Whether the members of a record that are looked at name it.
fn names(record: &serde_json::Value, name: &str) -> bool {
    let members = [
        "userIdentity",
        "sourceIPAddress",
        "recipientAccountId",
        "vpcEndpointId",
        "resources",
        "requestParameters",
        "responseElements",
        "additionalEventData",
        "serviceEventDetails",
    ];
    let mut found = false;
    for value in members.iter().filter_map(|member| record.get(member)) {
        each_indicator_in_json(&value.to_string(), &mut |text| found |= text == name);
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_rows_list_is_what_they_name_with_an_index_and_without() {
    let mut world = settled().await;
    let wanted = indicators(&world);
    let mut before = Vec::new();
    for name in &wanted {
        let (listed, coverage) = count(&world, &format!("array_has(indicators, '{name}')")).await;
        let naming = world.written.iter().filter(|record| names(record, name)).count();
        assert_eq!(listed, i64::try_from(naming).expect("few"), "{name}");
        before.push((listed, coverage.files));
    }
    index(&mut world).await;
    let mut fewer = 0;
    for (name, (listed, files)) in wanted.iter().zip(before) {
        for condition in [
            format!("array_has(indicators, '{name}')"),
            format!("contains(indicators, '{name}')"),
            format!("'{name}' = ANY(indicators)"),
            format!("array_has_any(indicators, ['{name}', 'AKIANOBODYKNOWSTHISX'])"),
        ] {
            let (again, coverage) = count(&world, &condition).await;
            assert_eq!(again, listed, "{condition}");
            fewer += u64::from(coverage.files < files);
        }
    }
    assert!(fewer > 40, "{fewer} of {} questions opened fewer files", 4 * wanted.len());
}

/// Records of one partition that all say something else, of `AROA` and a number of sixteen digits
/// in session `session-<number>`.
fn noisy(count: u64) -> Vec<Vec<u8>> {
    let noise = |number: u64| {
        let mut state = number;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            format!("{:016x}", state ^ (state >> 29))
        };
        (0..8).map(|_| next()).collect::<String>()
    };
    let line = |number| {
        let parameters = format!("{{\"key\":\"{}\"}}", noise(number));
        record(number, &format!("AROA{number:016}:session-{number}"), &parameters)
    };
    (0..count).map(line).collect()
}

fn record(number: u64, principal: &str, parameters: &str) -> Vec<u8> {
    format!(
        "{{\"eventVersion\":\"1.08\",\"userIdentity\":{{\"type\":\"AssumedRole\",\
         \"principalId\":\"{principal}\"}},\"eventTime\":\"2026-11-18T12:00:00Z\",\
         \"eventSource\":\"s3.amazonaws.com\",\"eventName\":\"GetObject\",\
         \"awsRegion\":\"eu-west-1\",\"requestParameters\":{parameters},\
         \"eventID\":\"00000000-0000-0000-0000-{number:012}\",\
         \"recipientAccountId\":\"111122223333\"}}"
    )
    .into_bytes()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_groups_whose_bloom_filter_does_not_know_a_name_are_not_read() {
    let mut world = World::new().await;
    world.write(&noisy(6_000)).await;
    world.pass().await;
    settle(&mut world).await;
    let ask = async |name: &str| {
        let condition = format!("array_has(indicators, '{name}') AND requestparameters <> ''");
        let (count, coverage) = count(&world, &condition).await;
        (count, coverage.read_bytes)
    };
    let (there, bytes) = ask("session-17").await;
    let (absent, spared) = ask("session-17000").await;
    assert_eq!((there, absent), (1, 0));
    assert_eq!(ask("AROA0000000000000017").await.0, 1);
    assert!(spared * 2 < bytes, "{spared} of {bytes} bytes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_small_file_is_read_once_whatever_a_condition_asks_of_it() {
    let mut world = World::new().await;
    world.write_sample(0, 2_000).await;
    world.pass().await;
    settle(&mut world).await;
    let (all, plain) = count(&world, "eventname <> ''").await;
    assert_eq!(all, 2_000);
    // Of the name a Bloom filter is asked, and the rest is decided row by row.
    let condition = "eventname = 'AssumeRole' AND useridentity.accountid <> recipientaccountid";
    let (found, coverage) = count(&world, condition).await;
    assert!(found > 0);
    assert!(coverage.files > 5, "{coverage:?}");
    assert_eq!(
        (coverage.requests, coverage.read_bytes),
        (plain.requests, plain.read_bytes),
        "{coverage:?} {plain:?}"
    );
}

/// A file says so if all its rows have lists; then it is not read again for rows without.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_looked_for_by_name_reads_lists_once_and_finds_rows_without_one() {
    let mut world = World::new().await;
    let lines = noisy(6_000);
    world.write(&lines).await;
    world.pass().await;
    settle(&mut world).await;
    let role = "AROA0000000000000017";
    let condition = format!("array_has(indicators, '{role}') AND requestparameters <> ''");
    for indexed in [false, true] {
        if indexed {
            index(&mut world).await;
        }
        let (by_list, lists) = count(&world, &condition).await;
        let (found, read) = named(&world, role).await;
        assert_eq!((by_list, found.len()), (1, 1));
        // Of the row, all columns.
        assert!(read.read_bytes < lists.read_bytes * 3 / 2, "{read:?} {lists:?}");
        assert!(read.requests <= lists.requests + 1, "{read:?} {lists:?}");
    }

    // An ARN of the beginnings of ARNs names so many that nobody lists them.
    let arns = format!("{{\"of\":\"{role}\",\"all\":\"{}\"}}", "arn:aws:s3:::".repeat(200));
    world.write(&[record(6_000, "AROA0000000000006000:x", &arns)]).await;
    world.pass().await;
    assert_eq!(count(&world, "indicators IS NULL").await.0, 1);
    assert_eq!(named(&world, role).await.0.len(), 2, "in a fresh file");
    settle(&mut world).await;
    assert_eq!(count(&world, "indicators IS NULL").await.0, 1);
    assert_eq!(count(&world, &format!("array_has(indicators, '{role}')")).await.0, 1);
    assert_eq!(named(&world, role).await.0.len(), 2, "settled");
}

/// The table of an earlier release, whose files have no column `indicators`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_cannot_be_asked_for_indicators_are_told_of() {
    let old = concat!(env!("CARGO_MANIFEST_DIR"), "/../table/tests/golden/format-2");
    let store = Store::open(&format!("file://{old}")).await.expect("a store");
    let engine = Engine::open(store, seams(), Options::default()).expect("an engine");
    let ask = async |condition: &str| {
        let sql = format!("SELECT count(*) FROM events WHERE {condition}");
        let mut answer = engine.sql(&sql).await.expect("an answer");
        answer.rest().await.expect("rows");
        answer.coverage()
    };
    let asked = ask("array_has(indicators, 'AKIANOWHERE000000000')").await;
    assert!(asked.files > 1, "{asked:?}");
    assert_eq!(asked.without_lists, asked.files, "{asked:?}");
    assert!(!asked.is_complete(None));
    assert_eq!(ask("useridentity.accesskeyid = 'AKIANOWHERE000000000'").await.without_lists, 0);

    // Who looks for an indicator finds it there all the same, by the columns.
    let actor = "arn:aws:iam::000000000042:user/1";
    let sql = format!("SELECT eventid FROM events WHERE useridentity.arn = '{actor}'");
    let mut by_column = engine.sql(&sql).await.expect("an answer");
    let rows = by_column.rest().await.expect("rows");
    let by_column: usize = rows.iter().map(|batch| batch.num_rows()).sum();
    let filter = EventFilter { named: vec![actor.to_owned()], ..EventFilter::default() };
    let selection = Selection::default();
    let mut named = engine.events(&filter, &selection).await.expect("an answer");
    let rows: usize = named.rest().await.expect("rows").iter().map(|batch| batch.num_rows()).sum();
    assert!(by_column > 0);
    assert_eq!(rows, by_column);
    assert_eq!(named.coverage().without_lists, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_that_opens_more_files_than_it_has_memory_for_says_so() {
    let world = settled().await;
    let files = usize::try_from(world.table.state().totals.files).expect("few");
    let per_file = 8 << 10;
    for (memory_bytes, fits) in [((files - 1) * per_file, false), (1 << 30, true)] {
        let limits = Limits { memory_bytes, ..Limits::default() };
        let engine = world.engine_with(Options { limits, ..Options::default() });
        // Of columns, so that no count of the log's answers it.
        let answer = engine.sql("SELECT eventid FROM events").await;
        let is_refused = matches!(answer, Err(QueryError::Memory { .. }));
        assert_eq!(is_refused, !fits, "{memory_bytes} bytes, {files} files: {answer:?}");
    }
}
