//! Nothing of a record is lost between the journal and the table.
//!
//! Every record, however odd, is rebuilt from its row as an equal JSON value:
//! numbers by their exact text, repeated members in their order. The rows go
//! through a Parquet file on their way.

#![expect(clippy::indexing_slicing, reason = "a test may panic")]

#[path = "round_trip/json.rs"]
mod json;
#[path = "round_trip/nasty.rs"]
mod nasty;

use std::io::Read as _;
use std::path::{Path, PathBuf};

use arrow::array::{Array as _, AsArray as _, RecordBatch};
use json::Json;
use table::decode::Footer;
use table::encode::{FileWriter, Kind};
use table::partition::Regions;
use table::row::{BATCH_ROWS_MAX, RecordJson, Rejected, RowBuilder, RowSource};

fn source(row: u64) -> RowSource<'static> {
    RowSource {
        agent_account: event::AccountId::UNKNOWN,
        agent: "central",
        speaks_for: None,
        committed_at: "2026-11-20T12:00:00Z".parse().expect("a time"),
        record: 7,
        row,
    }
}

/// The rows of these lines, and the lines that are none.
fn rows_of<'a>(
    builder: &mut RowBuilder,
    lines: &[&'a [u8]],
) -> (RecordBatch, Vec<&'a [u8]>, Vec<Rejected>) {
    let mut regions = Regions::default();
    let (mut kept, mut rejected) = (Vec::new(), Vec::new());
    for line in lines {
        match builder.push(line, &source(kept.len() as u64), &mut regions) {
            Ok(_) => kept.push(*line),
            Err(reason) => rejected.push(reason),
        }
    }
    assert_eq!(builder.len(), kept.len());
    (builder.finish(), kept, rejected)
}

fn through_parquet(batch: &RecordBatch) -> Vec<RecordBatch> {
    let mut writer = FileWriter::new(Kind::Partition);
    writer.write(batch).expect("written");
    let file = writer.close().expect("closed");
    assert_eq!(file.rows, batch.num_rows() as u64);
    let length = file.bytes.len() as u64;
    let footer = Footer::parse(file.bytes.clone(), length).expect("a footer");
    assert_eq!(footer.schema().fields(), batch.schema().fields(), "read back as written");
    let groups = footer.row_groups();
    let read = groups.iter().enumerate().flat_map(|(index, range)| {
        let range = usize::try_from(range.start).expect("small")
            ..usize::try_from(range.end).expect("small");
        footer.read(index, file.bytes.slice(range), BATCH_ROWS_MAX).expect("a row group")
    });
    read.map(|batch| batch.expect("a batch")).collect()
}

/// Checks that the lines are rebuilt equal; the reasons of those that are no rows.
fn round_trip(lines: &[&[u8]]) -> Vec<String> {
    let mut words = Vec::new();
    // One builder, as a pass has it.
    let mut builder = RowBuilder::new();
    for lines in lines.chunks(BATCH_ROWS_MAX) {
        let (batch, kept, rejected) = rows_of(&mut builder, lines);
        let mut rebuilt = Vec::new();
        for read in through_parquet(&batch) {
            let records = RecordJson::of(&read).expect("all columns");
            for row in 0..read.num_rows() {
                let mut record = Vec::new();
                records.write(row, &mut record);
                rebuilt.push(record);
            }
        }
        assert_eq!(rebuilt.len(), kept.len());
        for (original, rebuilt) in kept.iter().zip(&rebuilt) {
            let (original, rebuilt) = (Json::parse(original), Json::parse(rebuilt));
            if original.canonical() != rebuilt.canonical() {
                panic!("original {}\nrebuilt  {}", original.text(), rebuilt.text());
            }
        }
        words.extend(rejected.iter().map(|rejected| rejected.reason.as_str().to_owned()));
    }
    words
}

fn column<'a>(batch: &'a RecordBatch, name: &str) -> Vec<Option<&'a str>> {
    batch.column_by_name(name).expect(name).as_string::<i32>().iter().collect()
}

#[test]
fn what_no_column_holds_is_in_unmapped_or_nulls() {
    let check = |line: &str, unmapped: Option<&str>, nulls: Option<&str>| {
        let (batch, kept, rejected) = rows_of(&mut RowBuilder::new(), &[line.as_bytes()]);
        assert_eq!(kept.len(), 1, "{line}: {rejected:?}");
        assert_eq!(column(&batch, "unmapped"), [unmapped], "{line}");
        assert_eq!(column(&batch, "nulls"), [nulls], "{line}");
        round_trip(&[line.as_bytes()]);
    };
    check(r#"{"eventVersion":"1.08"}"#, None, None);
    check(
        r#"{"eventVersion":"1.08","responseElements":null,"userIdentity":{"userName":null}}"#,
        None,
        Some("userIdentity.userName,responseElements"),
    );
    check(
        r#"{"eventVersion":"1","tags":[1, 2],"x":null}"#,
        Some(r#"{"tags":[1, 2],"x":null}"#),
        None,
    );
    check(r#"{"eventVersion":"1","userAgent":["a"]}"#, Some(r#"{"userAgent":["a"]}"#), None);
    check(r#"{"eventVersion":"1","readOnly":"true"}"#, Some(r#"{"readOnly":"true"}"#), None);
    check(
        r#"{"eventVersion":"1","userIdentity":{"type":"Root","new":{"a":1e400}}}"#,
        Some(r#"{"userIdentity":{"new":{"a":1e400}}}"#),
        None,
    );
    check(r#"{"eventVersion":"1","userIdentity":{}}"#, None, None);
    check(r#"{"eventVersion":"1","userIdentity":null}"#, None, Some("userIdentity"));
    check(r#"{"eventVersion":"1","userIdentity":"me"}"#, Some(r#"{"userIdentity":"me"}"#), None);
    check(
        r#"{"eventVersion":"1","eventTime":"2026-01-01T00:00:00.5Z"}"#,
        Some(r#"{"eventTime":"2026-01-01T00:00:00.5Z"}"#),
        None,
    );
    check(
        r#"{"eventVersion":"1","userAgent":"a","userAgent":"b"}"#,
        Some(r#"{"userAgent":"a","userAgent":"b"}"#),
        None,
    );
    check(r#"{"eventVersion":"1","userAgent":"\ud800"}"#, Some(r#"{"userAgent":"\ud800"}"#), None);
    check(
        r#"{"eventVersion":"1","resources":[{"ARN":"a"},{"ARN":"b","new":1}]}"#,
        Some(r#"{"resources":[{"ARN":"a"},{"ARN":"b","new":1}]}"#),
        None,
    );
    check(r#"{"eventVersion":"1","resources":[]}"#, None, None);
    check(r#"{"eventVersion":"1","EventName":"x"}"#, Some(r#"{"EventName":"x"}"#), None);
    check(r#"{"eventVersion":"1","event\u004eame":"x"}"#, None, None);
    check(r#"{"eventVersion":"1","eventId":"a","eventID":"b"}"#, None, None);
}

#[test]
fn a_column_holds_what_fits_of_an_odd_value() {
    let line = br#"{"eventVersion":"1","readOnly":"false","eventTime":"2026-01-01T02:00:00+02:00","resources":[{"ARN":"a","x":1},7],"userAgent":"a","userAgent":"b"}"#;
    let (batch, ..) = rows_of(&mut RowBuilder::new(), &[line]);
    let boolean = batch.column_by_name("readonly").expect("readonly").as_boolean();
    assert!(boolean.is_valid(0) && !boolean.value(0));
    let times = batch.column_by_name("eventtime").expect("eventtime");
    let times = times.as_primitive::<arrow::datatypes::TimestampMicrosecondType>();
    assert_eq!(times.value(0), 1_767_225_600_000_000);
    let resources = batch.column_by_name("resources").expect("resources").as_list::<i32>();
    assert_eq!(resources.value(0).as_struct().column(0).as_string::<i32>().value(0), "a");
    assert_eq!(column(&batch, "useragent"), [Some("b")]);
}

#[test]
fn a_line_that_is_no_record_is_rejected_with_its_reason() {
    let check = |line: &[u8], word: &str| {
        let (batch, _, rejected) = rows_of(&mut RowBuilder::new(), &[line]);
        assert_eq!(batch.num_rows(), 0);
        let words: Vec<&str> = rejected.iter().map(|rejected| rejected.reason.as_str()).collect();
        assert_eq!(words, [word], "{}", String::from_utf8_lossy(line));
    };
    check(b"", "truncated");
    check(b"[1]", "not_an_event");
    check(b"{\"a\":1}", "not_an_event");
    check(b"{\"eventVersion\":1}", "not_an_event");
    check(b"{\"eventVersion\":\"1\"} x", "syntax");
    check(b"{\"eventVersion\":\"1\"", "truncated");
    check(b"{\"eventVersion\":\"\xff\"}", "invalid_utf8");
    check(b"{\"eventVersion\":\"1\",\"orgtrail_set_aside\":{}}", "ambiguous_mark");
    let aside = event::set_aside::SetAside {
        part: 1,
        parts: Some(1),
        reason: event::set_aside::Reason::Decompress,
        detail: "ends early".to_owned(),
        source: "a.gz".to_owned(),
        position: 0,
        length: 0,
        sha256: [0; 32],
        bytes: None,
    };
    check(&aside.to_line(), "decompress");
}

#[test]
fn every_nasty_record_is_rebuilt_equal() {
    let mut dice = nasty::Dice::new(7);
    let records: Vec<Vec<u8>> = (0..20_000).map(|_| nasty::record(&mut dice)).collect();
    let lines: Vec<&[u8]> = records.iter().map(Vec::as_slice).collect();
    let words = round_trip(&lines);
    // Some lost what makes them a record; all others are rows.
    assert!(words.iter().all(|word| word == "not_an_event"), "{words:?}");
    assert!(words.len() < lines.len() / 5, "{} of {}", words.len(), lines.len());
}

/// Real records, where the shared material lies beside the repository.
#[test]
fn every_real_record_is_rebuilt_equal() {
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let mut files = Vec::new();
    for name in ["events", "raw"] {
        files_below(&shared.join(name), &mut files);
    }
    let mut records = Vec::new();
    for file in &files {
        let content = std::fs::read(file).expect("a file");
        let content = if content.starts_with(&[0x1f, 0x8b]) { inflated(&content) } else { content };
        json::records_in(&content, &mut records);
    }
    let lines: Vec<&[u8]> = records.iter().map(Vec::as_slice).collect();
    let words = round_trip(&lines);
    assert!(words.is_empty(), "{words:?}");
    println!("{} records of {} files", lines.len(), files.len());
}

fn files_below(folder: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.expect("an entry").path();
        if path.is_dir() { files_below(&path, files) } else { files.push(path) }
    }
}

fn inflated(gzip: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    // A file that ends early gives what it has.
    match flate2::read::MultiGzDecoder::new(gzip).read_to_end(&mut content) {
        Ok(_) | Err(_) => content,
    }
}
