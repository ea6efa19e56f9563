//! Filters and SQL.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use event::AccountId;
use jiff::Timestamp;
use object_store::ObjectStoreExt;
use object_store::path::Path;
use query::{EventFilter, Options, QueryError, Selection};
use sample::Organization;
use serde_json::Value;
use table::{SettleReason, TRAIL_DEFAULT};

use crate::world::{SHAPE, World, all, ids, records};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_event_is_in_the_answer_once_wherever_it_lies() {
    let world = World::mixed().await;
    let answer = world
        .engine()
        .events(&EventFilter::default(), &Selection::default())
        .await
        .expect("an answer");
    let coverage = answer.coverage();
    let found = records(&all(answer).await);
    assert_eq!(ids(&found), ids(&world.written));
    let by_id = |records: &[Value]| -> BTreeMap<String, Value> {
        records.iter().map(|record| (record["eventID"].to_string(), record.clone())).collect()
    };
    assert!(by_id(&found) == by_id(&world.written), "records equal their originals");
    assert!(coverage.table_position < coverage.journal_record, "{coverage:?}");
    assert_eq!((coverage.journal_record, coverage.tail_rows), (world.state.head, 1_000));
    assert!(!coverage.truncated && coverage.files > 1, "{coverage:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_filter_chooses_what_brute_force_chooses() {
    let world = World::mixed().await;
    let engine = world.engine();
    let incident = Organization::with_shape(5, SHAPE).incident();
    let account = world.written[0]["recipientAccountId"].as_str().expect("an account").to_owned();
    let list = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect::<Vec<_>>();
    let from: Timestamp = "2026-11-18T09:30:00Z".parse().expect("a time");
    let to: Timestamp = "2026-11-19T10:00:00Z".parse().expect("a time");
    let text = |record: &Value, path: &str| {
        record.pointer(path).and_then(Value::as_str).map(str::to_owned)
    };
    type Judge<'a> = Box<dyn Fn(&Value) -> bool + 'a>;
    let is = |path: &'static str, wanted: &[&str]| -> Judge<'_> {
        let wanted = list(wanted);
        Box::new(move |record| text(record, path).is_some_and(|value| wanted.contains(&value)))
    };
    let filter = EventFilter::default;
    let cases: Vec<(&str, EventFilter, Judge<'_>)> = vec![
        (
            "account",
            EventFilter { accounts: list(&[&account]), ..filter() },
            is("/recipientAccountId", &[&account]),
        ),
        (
            "not account",
            EventFilter { accounts: vec![format!("!{account}")], ..filter() },
            Box::new(|record| record["recipientAccountId"] != account.as_str()),
        ),
        (
            "regions",
            EventFilter { regions: list(&["us-east-1", "eu-west-1"]), ..filter() },
            is("/awsRegion", &["us-east-1", "eu-west-1"]),
        ),
        (
            "event",
            EventFilter { events: list(&["GetObject"]), ..filter() },
            is("/eventName", &["GetObject"]),
        ),
        (
            "event glob and not",
            EventFilter { events: list(&["Get*", "!GetObject"]), ..filter() },
            Box::new(|record| {
                let name = record["eventName"].as_str().unwrap_or_default();
                name.starts_with("Get") && name != "GetObject"
            }),
        ),
        (
            "source",
            EventFilter { sources: list(&["kms"]), ..filter() },
            is("/eventSource", &["kms.amazonaws.com"]),
        ),
        (
            "key",
            EventFilter { keys: list(&[&incident.access_key_id]), ..filter() },
            is("/userIdentity/accessKeyId", &[&incident.access_key_id]),
        ),
        (
            "address glob",
            EventFilter { addresses: list(&["198.51.100.*"]), ..filter() },
            is("/sourceIPAddress", &[&incident.address]),
        ),
        (
            "principal",
            EventFilter { principals: list(&["svc-backup"]), ..filter() },
            Box::new(|record| {
                let arn = text(record, "/userIdentity/arn").unwrap_or_default();
                text(record, "/userIdentity/userName").as_deref() == Some("svc-backup")
                    || arn.ends_with("/svc-backup")
            }),
        ),
        (
            "named: a key that was made and never used",
            EventFilter { named: list(&[&incident.planted_access_key_id]), ..filter() },
            Box::new(|record| record.to_string().contains(&incident.planted_access_key_id)),
        ),
        (
            "named: a key that was used, and an address",
            EventFilter { named: list(&[&incident.access_key_id, &incident.address]), ..filter() },
            Box::new(|record| {
                let text = record.to_string();
                text.contains(&incident.access_key_id) || text.contains(&incident.address)
            }),
        ),
        (
            "named: a user's ARN",
            EventFilter { named: list(&[&incident.user_arn]), ..filter() },
            Box::new(|record| {
                // As a whole value; it stands inside error messages, too.
                record.to_string().contains(&format!("\"{}\"", incident.user_arn))
            }),
        ),
        (
            "error code",
            EventFilter { errors: list(&["AccessDenied"]), ..filter() },
            is("/errorCode", &["AccessDenied"]),
        ),
        (
            "any error",
            EventFilter { errors: list(&["*"]), ..filter() },
            Box::new(|record| !record["errorCode"].is_null() || !record["errorMessage"].is_null()),
        ),
        (
            "no error",
            EventFilter { errors: list(&["!*"]), ..filter() },
            Box::new(|record| record["errorCode"].is_null() && record["errorMessage"].is_null()),
        ),
        (
            "writes",
            EventFilter { read_only: Some(false), ..filter() },
            Box::new(|record| record["readOnly"] == false),
        ),
        (
            "time",
            EventFilter { from: Some(from), to: Some(to), ..filter() },
            Box::new(|record| {
                let time: Timestamp =
                    record["eventTime"].as_str().expect("text").parse().expect("a time");
                from <= time && time < to
            }),
        ),
        (
            "several",
            EventFilter {
                from: Some(from),
                accounts: list(&[&account]),
                errors: list(&["*"]),
                ..filter()
            },
            Box::new(|record| {
                let time: Timestamp =
                    record["eventTime"].as_str().expect("text").parse().expect("a time");
                from <= time
                    && record["recipientAccountId"] == account.as_str()
                    && (!record["errorCode"].is_null() || !record["errorMessage"].is_null())
            }),
        ),
    ];
    for (name, filter, judge) in cases {
        let expected: Vec<Value> =
            world.written.iter().filter(|record| judge(record)).cloned().collect();
        let answer = engine.events(&filter, &Selection::default()).await.expect(name);
        let found = records(&all(answer).await);
        assert!(!expected.is_empty(), "{name} chooses something");
        assert_eq!(ids(&found), ids(&expected), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_values_are_only_values() {
    let world = World::mixed().await;
    let engine = world.engine();
    for value in ["' OR 1=1 --", "\"; DROP TABLE events", "100%", "a_b", "\\", "!'"] {
        let filter = EventFilter { events: vec![value.to_owned()], ..EventFilter::default() };
        let rows = all(engine.events(&filter, &Selection::default()).await.expect(value)).await;
        let count: usize = rows.iter().map(RecordBatch::num_rows).sum();
        assert_eq!(count, if value == "!'" { 4_000 } else { 0 }, "{value}");
    }
    let wrong = EventFilter { accounts: vec!["12345".to_owned()], ..EventFilter::default() };
    let error = engine.events(&wrong, &Selection::default()).await.expect_err("no account id");
    assert!(error.is_usage(), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_come_newest_first_and_as_many_as_asked() {
    let world = World::mixed().await;
    let selection = Selection { limit: Some(50), newest_first: true, ..Selection::default() };
    let rows =
        all(world.engine().events(&EventFilter::default(), &selection).await.expect("rows")).await;
    let mut times = Vec::new();
    for batch in &rows {
        let column = batch.column_by_name("eventtime").expect("eventtime");
        times.extend(column.as_primitive::<TimestampMicrosecondType>().values().iter().copied());
    }
    assert_eq!(times.len(), 50);
    assert!(times.iter().rev().is_sorted());
    let mut all_times: Vec<i64> = world
        .written
        .iter()
        .map(|record| {
            record["eventTime"]
                .as_str()
                .expect("text")
                .parse::<Timestamp>()
                .expect("time")
                .as_microsecond()
        })
        .collect();
    all_times.sort_unstable();
    assert_eq!(times.last(), all_times.get(4_000 - 50));
    let columns = Selection {
        columns: vec![
            "eventname".into(),
            "userIdentity.arn".into(),
            "requestParameters.bucketName".into(),
        ],
        ..Selection::default()
    };
    let events = EventFilter { events: vec!["GetObject".into()], ..EventFilter::default() };
    let rows = all(world.engine().events(&events, &columns).await.expect("rows")).await;
    for batch in &rows {
        assert_eq!(batch.num_columns(), 3);
        let buckets = batch.column(2).as_string::<i32>();
        assert!(buckets.iter().flatten().all(|bucket| bucket.contains('-')), "{buckets:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sql_answers_and_leaves_out_files_that_cannot_matter() {
    let world = World::mixed().await;
    let engine = world.engine();
    let count = async |sql: &str| {
        let mut answer = engine.sql(sql).await.expect(sql);
        let rows = answer.rest().await.expect(sql);
        (rows[0].column(0).as_primitive::<Int64Type>().value(0), answer.coverage())
    };
    let brute = |judge: &dyn Fn(&Value) -> bool| {
        world.written.iter().filter(|record| judge(record)).count() as i64
    };
    let (rows, everything) = count("SELECT count(*) FROM events").await;
    assert_eq!(rows, 4_000);
    let account = world.written[0]["recipientAccountId"].as_str().expect("an account");
    let (rows, some) =
        count(&format!("SELECT count(*) FROM cloudtrail WHERE account_partition = '{account}'"))
            .await;
    assert_eq!(rows, brute(&|record| record["recipientAccountId"] == account));
    assert!(some.files < everything.files, "{some:?} {everything:?}");
    let (rows, some) =
        count("SELECT count(*) FROM events WHERE eventtime >= '2026-11-19T12:00:00Z'").await;
    assert_eq!(rows, brute(&|record| record["eventTime"].as_str() >= Some("2026-11-19T12:00:00Z")));
    assert!(some.files < everything.files, "{some:?} {everything:?}");
    let (rows, _) = count(
        "SELECT count(*) FROM events WHERE useridentity.type = 'IAMUser' AND date = '2026-11-18' AND region LIKE 'eu-%'",
    )
    .await;
    assert_eq!(
        rows,
        brute(&|record| {
            record["userIdentity"]["type"] == "IAMUser"
                && record["eventTime"].as_str().is_some_and(|time| time.starts_with("2026-11-18"))
                && record["awsRegion"].as_str().is_some_and(|region| region.starts_with("eu-"))
        })
    );
    let (rows, _) = count(
        "SELECT count(*) FROM events WHERE json_get(requestparameters, 'instancesSet.items[0].instanceId') LIKE 'i-%'",
    )
    .await;
    assert_eq!(
        rows,
        brute(&|record| {
            record
                .pointer("/requestParameters/instancesSet/items/0/instanceId")
                .is_some_and(Value::is_string)
        })
    );
    let (rows, _) =
        count("SELECT count(*) FROM events a JOIN events b ON a.eventid = b.eventid").await;
    assert_eq!(rows, 4_000);
}

#[tokio::test]
async fn a_query_only_reads() {
    let world = World::new().await;
    let engine = world.engine();
    for sql in [
        "DROP TABLE events",
        "CREATE TABLE x AS SELECT 1",
        "CREATE EXTERNAL TABLE x STORED AS CSV LOCATION '/etc/passwd'",
        "INSERT INTO events SELECT * FROM events",
        "DELETE FROM events",
        "UPDATE events SET account = ''",
        "COPY (SELECT 1) TO '/tmp/x.csv'",
        "SET datafusion.execution.batch_size = 1",
        "EXPLAIN COPY (SELECT 1) TO '/tmp/x.csv'",
        "EXPLAIN ANALYZE INSERT INTO events SELECT * FROM events",
        "TRUNCATE TABLE events",
        "PREPARE x AS SELECT 1",
        "BEGIN",
    ] {
        let error = engine.sql(sql).await.expect_err(sql);
        assert!(error.is_usage(), "{sql}: {error:?}");
    }
    for sql in [
        "SELECT 1; SELECT 2",
        "",
        "SELECT nothing FROM events",
        "SELEC 1",
        "SELECT * FROM '/etc/passwd'",
    ] {
        let error = engine.sql(sql).await.expect_err(sql);
        assert!(error.is_usage(), "{sql}: {error:?}");
    }
    for sql in
        ["SELECT 1", "EXPLAIN SELECT * FROM events", "SHOW TABLES", "DESCRIBE events", "VALUES (1)"]
    {
        engine.sql(sql).await.expect(sql).rest().await.expect(sql);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_tail_is_cut_at_a_record_and_the_answer_says_so() {
    let mut world = World::new().await;
    world.write_sample(0, 1_200).await;
    let engine = world.engine_with(Options { tail_limit_bytes: 600_000, ..Options::default() });
    let mut answer = engine.sql("SELECT count(*) FROM events").await.expect("an answer");
    let rows = answer.rest().await.expect("rows")[0].column(0).as_primitive::<Int64Type>().value(0);
    let coverage = answer.coverage();
    assert_eq!(rows, 600, "two journal records of 300");
    assert!(coverage.truncated && coverage.journal_record == 3, "{coverage:?}");
    let whole = world.engine().sql("SELECT count(*) FROM events").await.expect("an answer");
    assert!(!whole.coverage().truncated);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_read_is_an_error_or_counted_as_lost() {
    let world = World::mixed().await;
    let objects = Arc::clone(world.store.objects());
    let snapshot =
        table::TableSnapshot::load(&world.store, TRAIL_DEFAULT).await.expect("a snapshot");
    let files: Vec<table::DataFile> =
        futures::TryStreamExt::try_collect(snapshot.files(table::Filter::default()))
            .await
            .expect("files");
    let settled = files.iter().find(|file| !file.is_fresh()).expect("a settled file");
    let path = Path::from(settled.path.as_str());
    let good = objects.get(&path).await.expect("get").bytes().await.expect("bytes");

    let mut flipped = good.to_vec();
    let middle = flipped.len() / 3;
    for byte in &mut flipped[middle..middle + 200] {
        *byte ^= 0xff;
    }
    for (name, damage) in
        [("flipped", flipped), ("cut", good[..good.len() / 2].to_vec()), ("empty", vec![])]
    {
        objects.put(&path, damage.into()).await.expect("put");
        let outcome =
            match world.engine().events(&EventFilter::default(), &Selection::default()).await {
                Ok(mut answer) => answer.rest().await.map(|rows| rows.len()),
                Err(error) => Err(error),
            };
        match outcome {
            Err(QueryError::Damaged { path: named, .. }) => {
                assert_eq!(named, settled.path, "{name}")
            }
            other => panic!("{name}: {other:?}"),
        }
    }
    objects.delete(&path).await.expect("delete");
    let error = match world.engine().sql("SELECT count(eventname) FROM events").await {
        Ok(mut answer) => answer.rest().await.expect_err("missing"),
        Err(error) => error,
    };
    assert!(matches!(&error, QueryError::Missing { path } if *path == settled.path), "{error:?}");
    objects.put(&path, good.into()).await.expect("put");

    let segments: Vec<_> =
        futures::TryStreamExt::try_collect(objects.list(Some(&Path::from("journal/segment"))))
            .await
            .expect("a listing");
    for segment in &segments {
        objects.delete(&segment.location).await.expect("delete");
    }
    let settled = world.table.state().totals.counts.journaled;
    let answer = world.engine().sql("SELECT count(*) FROM events").await.expect("what there is");
    let lost = answer.coverage().lost;
    assert_eq!(lost, world.state.totals.journaled - settled, "the answer says what it lacks");
    assert!(lost > 0, "the tail had events");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_settling_removed_meanwhile_is_no_error() {
    let mut world = World::mixed().await;
    let engine = world.engine();
    for _ in 0..3 {
        let answer =
            engine.sql("SELECT eventid FROM events ORDER BY eventid").await.expect("an answer");
        world.pass().await;
        world.table.settle(SettleReason::Asked).await.expect("settled");
        assert_eq!(all(answer).await.iter().map(RecordBatch::num_rows).sum::<usize>(), 4_000);
    }
    assert!(world.written.iter().any(|record| {
        AccountId::from_bytes(record["recipientAccountId"].as_str().unwrap_or_default().as_bytes())
            .is_some()
    }));
}
