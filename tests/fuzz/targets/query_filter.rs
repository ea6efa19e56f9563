//! The filters of `orgtrail events`: what stands behind an option, in any number.
//!
//! Each line is an option's letter and its value. The filter is asked of a journal with
//! a few events, and once more as the SQL that it is said to be.
#![no_main]

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use fuzz::block_on;
use identity::SpeaksFor;
use integrity::{Hash, SpoolId};
use jiff::Timestamp;
use journal::{BatchEntry, BatchLines, Body, Certificate, Journal, Open, State, pack};
use libfuzzer_sys::fuzz_target;
use object_store::memory::InMemory;
use query::{Engine, EventFilter, Options, QueryError, Selection, as_sql};
use seam::{Blocking, Clock, Entropy};
use store::Store;
use table::Seams;

const EVENTS: &str = r#"{"eventVersion":"1.08","userIdentity":{"type":"IAMUser","arn":"arn:aws:iam::111122223333:user/o'neil%_\\","accessKeyId":"AKIAIOSFODNN7EXAMPLE","userName":"o'neil%_\\"},"eventTime":"2026-11-20T10:00:00Z","eventSource":"iam.amazonaws.com","eventName":"GetUser","awsRegion":"us-east-1","sourceIPAddress":"203.0.113.9","eventID":"1","readOnly":true,"recipientAccountId":"111122223333"}
{"eventVersion":"1.08","userIdentity":{"type":"AWSService","invokedBy":"*.amazonaws.com"},"eventTime":"2026-11-20T10:00:01Z","eventSource":"s3.amazonaws.com","eventName":"PutObject","awsRegion":"eu-west-1","errorCode":"AccessDenied","requestParameters":{"bucketName":"a\"b%","key":"x/y:z"},"resources":[{"ARN":"arn:aws:s3:::a\"b%"}],"eventID":"2","readOnly":false,"recipientAccountId":"111122223333"}
{"eventVersion":"1.08","eventTime":"2026-11-20T10:00:02Z","eventSource":"signin.amazonaws.com","eventName":"ConsoleLogin","awsRegion":"us-east-1","errorMessage":"Failed authentication","eventID":"3","recipientAccountId":"111122223333"}
"#;

fn engine() -> &'static Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    ENGINE.get_or_init(|| {
        let store = Store::from_objects(Arc::new(InMemory::new()), "memory://fuzz");
        let clock = Clock::new(|| Timestamp::UNIX_EPOCH);
        let seams = Seams { clock, entropy: Entropy::system(), blocking: Blocking::Inline };
        let Seams { clock, entropy, blocking } = seams.clone();
        let journal = Journal::new(store.clone(), clock, entropy, blocking);
        block_on(async move {
            let mut state = State::new();
            let account = "111122223333".parse().expect("an account");
            let open = Open {
                account,
                agent: "main".parse().expect("a name"),
                spool: SpoolId([1; 16]),
                replaces: None,
                opened_by: String::new(),
                certificate: Certificate {
                    fingerprint: Hash([1; 32]),
                    speaks_for: SpeaksFor::Account(account),
                },
                signing_key: None,
                signature: None,
            };
            let opened = Body { open: Some(open), ..Body::default() };
            journal.commit(&mut state, &opened).await.expect("commit");
            let lines = BatchLines::Plain(Bytes::from_static(EVENTS.as_bytes()));
            let packed = pack(std::iter::once((&lines, 3))).expect("pack");
            let segment = journal.put_segment(&packed, state.head).await.expect("put");
            let batch = BatchEntry { stream: 1, from: 1, to: 3, chain: Hash([2; 32]), continuations: 0 };
            let batches = Body { segment: Some(segment), batches: vec![batch], ..Body::default() };
            journal.commit(&mut state, &batches).await.expect("commit");
        });
        Engine::open(store, seams, Options { partitions: 1, ..Options::default() }).expect("open")
    })
}

fn filter(text: &str) -> (EventFilter, Selection) {
    let (mut filter, mut selection) = (EventFilter::default(), Selection::default());
    for line in text.split('\n') {
        let mut letters = line.chars();
        let Some(letter) = letters.next() else { continue };
        let value = letters.as_str().to_owned();
        let time = || value.parse::<Timestamp>().ok();
        match letter {
            'a' => filter.accounts.push(value),
            'r' => filter.regions.push(value),
            'e' => filter.events.push(value),
            's' => filter.sources.push(value),
            'p' => filter.principals.push(value),
            'k' => filter.keys.push(value),
            'i' => filter.addresses.push(value),
            'o' => filter.resources.push(value),
            'n' => filter.named.push(value),
            'x' => filter.errors.push(value),
            'f' => filter.from = time(),
            't' => filter.to = time(),
            'w' => filter.read_only = Some(value.is_empty()),
            'c' => selection.columns.push(value),
            'l' => selection.limit = value.parse().ok(),
            _ => selection.newest_first = true,
        }
    }
    (filter, selection)
}

async fn rows(answer: Result<query::Answer, QueryError>) -> Result<usize, QueryError> {
    let batches = answer?.rest().await?;
    Ok(batches.iter().map(|batch| batch.num_rows()).sum())
}

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (filter, selection) = filter(text);
    let engine = engine();
    block_on(async {
        let found = rows(engine.events(&filter, &selection).await).await;
        let found = match found {
            Ok(found) => found,
            Err(error) => return assert!(!error.to_string().is_empty()),
        };
        assert!(found <= 3);
        let Ok(sql) = as_sql(&filter, &selection) else { return };
        let asked = rows(engine.sql(&sql).await).await;
        assert_eq!(asked.map_err(|error| format!("{error:?}")), Ok(found), "{sql}");
    });
});
