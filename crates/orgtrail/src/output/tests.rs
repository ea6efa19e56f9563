//! Golden files: what hostile text looks like in every form.
//! `UPDATE_GOLDEN=1` rewrites them.

use std::io::Write;
use std::sync::{Arc, Mutex};

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Int64Array, ListArray, RecordBatch, StringArray,
    StructArray, TimestampMicrosecondArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Fields};

use super::*;
use crate::golden;

#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Vec<u8>>>);

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("one thread").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn hostile() -> RecordBatch {
    let names = StringArray::from(vec![
        Some("GetObject"),
        Some("\u{1b}[2J\u{1b}]0;owned\u{7}"),
        Some("abc\u{202e}gpj.exe\u{2066}"),
        Some("=HYPERLINK(\"http://x\",\"y\")"),
        Some("-2+3, \"quoted\"\nnext\tline"),
        None,
        Some("日本語 naïve \u{200b}zero\u{feff} \u{9b}31m"),
        Some("'; DROP TABLE events; --"),
    ]);
    let counts = Int64Array::from(vec![1, -5, 0, i64::MAX, 42, 7, 8, 9]);
    let flags =
        BooleanArray::from(vec![Some(true), Some(false), None, Some(true), None, None, None, None]);
    let times = TimestampMicrosecondArray::from(vec![
        Some(1_795_174_262_000_000),
        Some(1_795_174_262_123_000),
        None,
        Some(0),
        Some(-1),
        None,
        None,
        None,
    ])
    .with_timezone("UTC");
    let dates = Date32Array::from(vec![20_777, 0, -1, 1, 2, 3, 4, 5]);
    let inner: Fields =
        vec![Field::new("arn", DataType::Utf8, true), Field::new("type", DataType::Utf8, true)]
            .into();
    let arns = StringArray::from(vec![
        Some("arn:aws:iam::000000000042:user/\u{1b}[31mred"),
        None,
        Some("@SUM(A1)"),
        Some(""),
        None,
        None,
        None,
        None,
    ]);
    let kinds = StringArray::from(vec![Some("IAMUser"); 8]);
    let identity = StructArray::new(
        inner.clone(),
        vec![Arc::new(arns) as ArrayRef, Arc::new(kinds) as ArrayRef],
        None,
    );
    let element = Arc::new(Field::new("element", DataType::Struct(inner), true));
    let offsets = OffsetBuffer::new(vec![0, 2, 2, 3, 3, 3, 3, 3, 8].into());
    let resources = ListArray::new(element, offsets, Arc::new(identity.clone()), None);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("eventname", Arc::new(names)),
        ("count", Arc::new(counts)),
        ("readonly", Arc::new(flags)),
        ("eventtime", Arc::new(times)),
        ("date", Arc::new(dates)),
        ("useridentity", Arc::new(identity)),
        ("=resources", Arc::new(resources)),
    ];
    RecordBatch::try_from_iter(columns).expect("columns of one length")
}

fn written(
    format: Format,
    terminal: Option<usize>,
    color: bool,
    batches: &[RecordBatch],
) -> String {
    let paper = Paper::default();
    let target = Target::of(Box::new(paper.clone()), terminal, color);
    let mut writer =
        Writer::new(format, &batches[0].schema(), &TimeZone::UTC, target).expect("a writer");
    for batch in batches {
        writer.write(batch).expect("written");
    }
    writer.finish().expect("finished");
    let bytes = paper.0.lock().expect("one thread").clone();
    String::from_utf8(bytes).expect("UTF-8")
}

#[test]
fn hostile_text_is_harmless_in_every_form() {
    let batch = hostile();
    let some = batch.project(&[0, 1, 4]).expect("columns");
    let cases = [
        ("table-terminal-narrow.txt", Format::Table, Some(40), false, &batch),
        ("table-terminal.txt", Format::Table, Some(60), false, &some),
        ("table-pipe.txt", Format::Table, None, false, &batch),
        ("rows-terminal.json", Format::Json, Some(80), false, &batch),
        ("rows-pipe.json", Format::Json, None, false, &batch),
        ("rows-pipe.ndjson", Format::Ndjson, None, false, &batch),
        ("rows-pipe.csv", Format::Csv, None, false, &batch),
        ("rows-terminal.csv", Format::Csv, Some(80), false, &batch),
    ];
    for (name, format, terminal, color, batch) in cases {
        let text = written(format, terminal, color, std::slice::from_ref(batch));
        if terminal.is_some() {
            let harmless = |letter: char| letter == '\n' || letter == '\r' || !letter.is_control();
            assert!(text.chars().all(harmless), "{name}");
            assert!(
                !text.contains(['\u{202e}', '\u{2066}', '\u{200b}', '\u{feff}', '\u{9b}']),
                "{name}"
            );
        }
        golden::check(name, &text);
    }
}

#[test]
fn json_keeps_exact_values_also_on_a_terminal() {
    let batch = hostile();
    let pipe: serde_json::Value =
        serde_json::from_str(&written(Format::Json, None, false, std::slice::from_ref(&batch)))
            .expect("JSON");
    let terminal: serde_json::Value =
        serde_json::from_str(&written(Format::Json, Some(80), false, std::slice::from_ref(&batch)))
            .expect("JSON");
    assert_eq!(pipe, terminal);
    assert_eq!(pipe[1]["eventname"], "\u{1b}[2J\u{1b}]0;owned\u{7}");
    let lines = written(Format::Ndjson, None, false, &[batch.clone(), batch]);
    let lines: Vec<serde_json::Value> =
        lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines.len(), 16);
    assert_eq!(lines[..8], *pipe.as_array().expect("an array").as_slice());
}

#[test]
fn a_pipe_gets_no_colour_and_a_terminal_its_width() {
    let batch = hostile().project(&[0, 1]).expect("columns");
    let text = written(Format::Table, Some(30), true, std::slice::from_ref(&batch));
    assert!(text.starts_with("\u{1b}[1m") && text.matches('\u{1b}').count() == 2, "{text:?}");
    for line in text.lines().skip(1) {
        assert!(escape::width(line) <= 30, "{line:?}");
    }
    assert!(!written(Format::Table, None, false, &[batch]).contains('\u{1b}'));
}

#[test]
fn an_empty_answer_is_well_formed() {
    let none = hostile().slice(0, 0);
    let empty = |format| written(format, None, false, std::slice::from_ref(&none));
    assert_eq!(empty(Format::Json), "[]\n");
    assert_eq!(empty(Format::Ndjson), "");
    assert_eq!(empty(Format::Table), "");
    assert_eq!(
        empty(Format::Csv),
        "eventname,count,readonly,eventtime,date,useridentity,\"'=resources\"\r\n"
    );
    assert_eq!(written(Format::Cloudtrail, None, false, &[none]), "{\"Records\":[]}\n");
}

#[test]
fn a_file_has_its_name_only_when_it_is_whole() {
    let dir = tempfile::tempdir().expect("temp");
    let path = dir.path().join("export.json");
    let batch = hostile();
    let mut writer = Writer::new(
        Format::Ndjson,
        &batch.schema(),
        &TimeZone::UTC,
        Target::file(&path).expect("created"),
    )
    .expect("a writer");
    writer.write(&batch).expect("written");
    drop(writer);
    assert!(!path.try_exists().expect("asked"));
    let writer = Writer::new(
        Format::Json,
        &batch.schema(),
        &TimeZone::UTC,
        Target::file(&path).expect("created"),
    )
    .expect("a writer");
    assert_eq!(writer.finish().expect("finished"), 0);
    assert_eq!(std::fs::read_to_string(&path).expect("read"), "[]\n");
}
