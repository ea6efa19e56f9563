//! Record to row and back: a line of the journal, whoever wrote it.
//!
//! A line becomes a row or is rejected with a reason. The record that is rebuilt
//! from the row is the original as a JSON value, numbers by their text; and what
//! is rebuilt makes the same row again.
#![no_main]

use event::json::{elements, members, unescape};
use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use table::partition::{REGIONS_PER_ACCOUNT_MAX, Regions};
use table::row::{RecordJson, RowBuilder, RowSource};

fuzz_target!(|data: &[u8]| {
    let line = data.strip_suffix(b"\n").unwrap_or(data);
    if line.contains(&b'\n') {
        return;
    }
    let agent_account = "111122223333".parse().expect("an account");
    let source = RowSource {
        agent_account,
        agent: "main",
        speaks_for: None,
        committed_at: Timestamp::from_second(1_795_000_000).expect("in range"),
        record: 1,
        row: 0,
    };
    let mut regions = Regions::default();
    let mut builder = RowBuilder::new();
    let partition = match builder.push(line, &source, &mut regions) {
        Ok(partition) => partition,
        Err(rejected) => {
            assert!(builder.is_empty() && regions.is_empty(), "a rejected line leaves a trace");
            return assert!(!rejected.reason.as_str().is_empty());
        }
    };
    assert!(partition.region.as_str().len() <= 32 && REGIONS_PER_ACCOUNT_MAX == 64);
    let batch = builder.finish();
    assert_eq!(batch.num_rows(), 1);
    let mut rebuilt = Vec::new();
    RecordJson::of(&batch).expect("its own columns").write(0, &mut rebuilt);
    assert_eq!(canonical(line), canonical(&rebuilt), "{}", String::from_utf8_lossy(&rebuilt));

    let mut again = RowBuilder::new();
    let placed = again.push(&rebuilt, &source, &mut Regions::default()).expect("it is a record");
    assert_eq!(placed, partition);
    let mut twice = Vec::new();
    RecordJson::of(&again.finish()).expect("its own columns").write(0, &mut twice);
    assert_eq!(rebuilt, twice);
});

/// One text for all spellings of a value: members sorted, strings unescaped.
fn canonical(json: &[u8]) -> String {
    let json = json.trim_ascii();
    match json.first() {
        Some(b'{') => {
            let mut all: Vec<(String, String)> = members(json)
                .expect("an object")
                .map(|member| member.expect("a member"))
                .map(|member| (text(member.key), canonical(member.value)))
                .collect();
            // Stable: members of one name stay in their order.
            all.sort_by(|one, other| one.0.cmp(&other.0));
            format!("{all:?}")
        }
        Some(b'[') => {
            let all: Vec<String> = elements(json)
                .expect("an array")
                .map(|element| canonical(element.expect("an element")))
                .collect();
            format!("{all:?}")
        }
        Some(b'"') => text(json.get(1..json.len() - 1).unwrap_or_default()),
        _ => String::from_utf8_lossy(json).into_owned(),
    }
}

fn text(contents: &[u8]) -> String {
    match unescape(contents) {
        Ok(text) => format!("s{text}"),
        // A lone surrogate has no text; its spelling is taken.
        Err(_) => format!("e{}", String::from_utf8_lossy(contents).to_ascii_lowercase()),
    }
}
