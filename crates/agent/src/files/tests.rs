//! What a source of files promises, wherever it is stopped and whatever happens
//! to its files meanwhile.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use seam::LocalDisk;

use super::*;

/// A source with its journal: what was committed of lines and cursor.
struct Run {
    dir: tempfile::TempDir,
    follow: bool,
    only: Option<&'static str>,
    reader: Reader,
    lines: Vec<String>,
    cursor: Map<String, Value>,
}

impl Run {
    fn new(follow: bool) -> Self {
        Self::of(follow, None)
    }

    fn of(follow: bool, only: Option<&'static str>) -> Self {
        let dir = tempfile::tempdir().expect("temp dir");
        fs::create_dir(dir.path().join("logs")).expect("dir");
        let reader = Self::reader(dir.path(), follow, only);
        let mut run = Self { dir, follow, only, reader, lines: Vec::new(), cursor: Map::new() };
        run.restart();
        run
    }

    fn reader(dir: &Path, follow: bool, only: Option<&str>) -> Reader {
        let path = only.map_or(dir.join("logs"), |only| dir.join("logs").join(only));
        let state_dir = dir.join("state");
        let name = "test".to_owned();
        let options = Options { name, path, state_dir, follow, organization: false };
        let scope = if only.is_some() { Scope::File } else { Scope::Directory };
        Reader::new(options, scope, Arc::new(LocalDisk), Clock::system())
    }

    /// A new process goes on from the committed cursor.
    fn restart(&mut self) {
        self.reader = Self::reader(self.dir.path(), self.follow, self.only);
        self.reader.resume(&self.cursor).expect("resume");
    }

    fn commit(&mut self, piece: Piece) {
        let changes: Map<String, Value> = serde_json::from_str(&piece.cursor).expect("object");
        for (key, value) in changes {
            match value {
                Value::Null => self.cursor.remove(&key),
                value => self.cursor.insert(key, value),
            };
        }
        let bytes = Value::Object(self.cursor.clone()).to_string().len();
        assert!(bytes <= crate::source::CURSOR_BYTES_MAX, "{bytes}");
        self.lines.push(String::from_utf8(piece.line).expect("utf-8"));
    }

    /// One round; what it yields is committed.
    fn poll(&mut self) {
        loop {
            self.reader.read(1 << 20).expect("read");
            let pieces = self.reader.take_ready();
            if pieces.is_empty() {
                return;
            }
            for piece in pieces {
                self.commit(piece);
            }
        }
    }

    /// Reads at most `count` pieces, commits them and dies.
    fn crash_after(&mut self, count: usize) {
        self.reader.read(1 << 30).expect("read");
        for piece in self.reader.take_ready().into_iter().take(count) {
            self.commit(piece);
        }
        self.restart();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("logs").join(name)
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("parent")).expect("dirs");
        fs::write(path, bytes).expect("write");
    }

    fn append(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let mut file = fs::OpenOptions::new().append(true).open(self.path(name)).expect("open");
        file.write_all(bytes.as_ref()).expect("append");
    }

    fn check(&self, expected: &[String]) {
        let mut lines = self.lines.clone();
        let mut expected = expected.to_vec();
        lines.sort();
        expected.sort();
        assert_eq!(lines, expected);
    }
}

fn record(number: usize) -> String {
    format!(r#"{{"eventVersion":"1.08","eventID":"{number}"}}"#)
}

fn records(numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers.map(record).collect()
}

fn ndjson(numbers: std::ops::Range<usize>) -> String {
    numbers.map(|number| record(number) + "\n").collect()
}

fn gz(numbers: std::ops::Range<usize>) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let text = format!("{{\"Records\":[{}]}}", records(numbers).join(","));
    encoder.write_all(text.as_bytes()).expect("memory");
    encoder.finish().expect("memory")
}

#[test]
fn a_restart_at_every_position_gives_exactly_one_copy() {
    for (first, then) in (0..=30).map(|first| (first, 100)).chain([(0, 1), (0, 7), (11, 1)]) {
        let mut run = Run::new(false);
        run.write("a/1.json.gz", gz(0..10));
        run.write("a/2.json", ndjson(10..20));
        run.write("b/empty.json", "{\"Records\":[]}");
        run.write("b/nothing", "");
        run.write("c.json", format!("[{}]", records(20..25).join(", ")));
        run.write("d", gz(25..30));
        run.crash_after(first);
        for _ in 0..32 {
            run.crash_after(then);
        }
        run.poll();
        run.check(&records(0..30));
        assert!(run.reader.standing().finished);
        assert!(run.reader.standing().caught_up_at.is_some());
    }
}

#[tokio::test]
async fn a_run_that_reads_to_the_end_says_so() {
    let run = Run::new(false);
    run.write("x/1.json.gz", gz(0..3));
    let options = Options {
        name: "dir".to_owned(),
        path: run.path(""),
        state_dir: run.dir.path().join("state"),
        follow: false,
        organization: false,
    };
    let mut source =
        crate::directory_source(options, Arc::new(LocalDisk), Clock::system(), Blocking::Pool);
    source.resume(Map::new()).await.expect("resume");
    assert_eq!(source.next(1).await.expect("next").len(), 1);
    assert!(!source.standing().finished);
    assert_eq!(source.next(1 << 20).await.expect("next").len(), 2);
    assert_eq!(source.next(1 << 20).await.expect("next"), []);
    assert!(source.standing().finished);
}

#[test]
fn a_growing_file_is_read_as_it_grows() {
    for restarts in [false, true] {
        let mut run = Run::new(true);
        run.write("a.log", ndjson(0..2));
        run.poll();
        run.check(&records(0..2));
        let third = record(2);
        run.append("a.log", &third[..20]);
        run.poll();
        run.poll();
        run.check(&records(0..2));
        if restarts {
            run.restart();
        }
        run.append("a.log", &third[20..]);
        run.append("a.log", "\n");
        run.poll();
        run.check(&records(0..3));
        run.append("a.log", ndjson(3..300));
        run.poll();
        run.append("a.log", ndjson(300..301));
        if restarts {
            run.restart();
        }
        run.poll();
        run.check(&records(0..301));
        run.poll();
        assert!(run.reader.standing().caught_up_at.is_some());
    }
}

#[test]
fn a_renamed_file_is_continued_and_the_new_one_read() {
    for only in [None, Some("a.log")] {
        for count in [3, 200] {
            for unread in [0, 2] {
                for restarts in [false, true] {
                    let mut run = Run::of(true, only);
                    run.write("a.log", ndjson(0..count));
                    run.poll();
                    run.append("a.log", ndjson(count..count + unread));
                    fs::rename(run.path("a.log"), run.path("a.log.1")).expect("rename");
                    if restarts {
                        run.restart();
                    }
                    run.write("a.log", ndjson(1000..1000 + 2 * count));
                    run.poll();
                    run.poll();
                    let mut expected = records(0..count + unread);
                    expected.extend(records(1000..1000 + 2 * count));
                    run.check(&expected);
                    // And once more, which moves both names.
                    fs::rename(run.path("a.log.1"), run.path("a.log.2")).expect("rename");
                    fs::rename(run.path("a.log"), run.path("a.log.1")).expect("rename");
                    run.write("a.log", ndjson(5000..5001));
                    if restarts {
                        run.restart();
                    }
                    for _ in 0..10 {
                        run.poll();
                    }
                    expected.push(record(5000));
                    run.check(&expected);
                }
            }
        }
    }
}

#[test]
fn a_file_that_is_copied_and_cut_is_read_once() {
    let mut run = Run::new(true);
    run.write("a.log", ndjson(0..100));
    run.poll();
    run.append("a.log", ndjson(100..102));
    fs::copy(run.path("a.log"), run.path("a.log.1")).expect("copy");
    run.poll();
    run.write("a.log", "");
    run.poll();
    run.append("a.log", ndjson(200..202));
    for _ in 0..10 {
        run.poll();
    }
    let mut expected = records(0..102);
    expected.extend(records(200..202));
    run.check(&expected);
}

#[test]
fn two_files_with_equal_content_are_both_read() {
    for follow in [false, true] {
        let mut run = Run::new(follow);
        run.write("a", gz(0..3));
        run.poll();
        run.write("b", gz(0..3));
        run.restart();
        for _ in 0..10 {
            run.poll();
        }
        let mut expected = records(0..3);
        expected.extend(records(0..3));
        run.check(&expected);
    }
}

#[test]
fn a_replaced_file_is_read_anew() {
    let mut run = Run::new(true);
    run.write("a", ndjson(0..3));
    run.poll();
    // Of the same size, so that only its bytes tell.
    run.write("a", ndjson(3..6));
    for _ in 0..70 {
        run.poll();
    }
    run.check(&records(0..6));
    run.write("a", ndjson(6..7));
    run.poll();
    run.check(&records(0..7));
}

#[test]
fn a_packed_file_that_is_being_written_waits_before_it_counts_as_cut() {
    let packed = gz(0..50);
    let mut run = Run::new(true);
    run.write("a.gz", &packed[..packed.len() / 2]);
    for _ in 0..5 {
        run.poll();
    }
    assert!(run.lines.iter().all(|line| !line.contains("set_aside")), "still being written");
    run.append("a.gz", &packed[packed.len() / 2..]);
    run.poll();
    run.check(&records(0..50));
    // Another one never gets its end: what was whole goes on, the rest is a unit.
    run.write("b.gz", &gz(50..52)[..40]);
    for _ in 0..15 {
        run.poll();
    }
    let asides = run.lines.iter().filter(|line| line.contains("\"truncated\"")).count();
    assert_eq!(asides, 1);
    let count = run.lines.len();
    run.restart();
    for _ in 0..15 {
        run.poll();
    }
    assert_eq!(run.lines.len(), count, "told once");
    // Members that are appended to a finished file are read.
    run.append("a.gz", gz(60..62));
    run.poll();
    assert_eq!(
        run.lines.iter().filter(|line| !line.contains("set_aside")).count(),
        52 + count - 51
    );
}

#[test]
fn seventeen_thousand_files_fit_and_a_late_one_is_found() {
    let mut run = Run::new(true);
    let files = 17_000;
    for file in 0..files {
        run.write(&format!("{:03}/{:05}.json", file / 100, file), record(file));
    }
    run.poll();
    run.check(&records(0..files));
    assert!(run.cursor.len() <= cursor::FILES_MAX + 1);
    run.restart();
    run.poll();
    run.poll();
    run.check(&records(0..files));
    run.write("000/00000.late.json", record(files));
    run.poll();
    run.check(&records(0..files + 1));
    // Files that left the cursor may still grow, or be renamed.
    run.append("017/01700.json", ndjson(files + 1..files + 2));
    fs::rename(run.path("018/01800.json"), run.path("018/renamed.json")).expect("rename");
    run.restart();
    for _ in 0..7 {
        run.poll();
    }
    run.check(&records(0..files + 2));
}

#[test]
fn a_lost_index_is_made_again_or_its_files_are_read_again_and_counted() {
    let mut run = Run::new(true);
    let files = 600;
    for file in 0..files {
        run.write(&format!("{file:05}.json"), record(file));
    }
    run.poll();
    assert!(run.cursor.contains_key("finished"));
    fs::remove_dir_all(run.dir.path().join("state")).expect("remove");
    run.restart();
    run.poll();
    run.check(&records(0..files));
    assert_eq!(run.reader.standing().read_again, 0);
    fs::remove_dir_all(run.dir.path().join("state")).expect("remove");
    run.write("00000.late.json", record(files));
    run.restart();
    for _ in 0..7 {
        run.poll();
    }
    assert!(run.reader.standing().read_again > 0);
    let late = run.lines.iter().filter(|line| **line == record(files)).count();
    assert_eq!(late, 1, "what was never read is read");
    for file in 0..files {
        assert!(run.lines.contains(&record(file)));
    }
}

/// After a fork the source goes back to what was committed; an index that knows
/// more must not hide what the journal does not have.
#[test]
fn a_fork_reads_again_what_was_not_committed() {
    let mut run = Run::new(true);
    for file in 0..1200 {
        run.write(&format!("{file:05}.json"), record(file));
    }
    run.crash_after(500);
    let (cursor, lines) = (run.cursor.clone(), run.lines.clone());
    run.poll();
    run.check(&records(0..1200));
    (run.cursor, run.lines) = (cursor, lines);
    run.restart();
    run.poll();
    run.check(&records(0..1200));
}

/// Cut in place to less than was read, with the same beginning: what is there
/// now is another file.
#[test]
fn a_file_that_became_shorter_is_read_anew() {
    for follow in [false, true] {
        let mut run = Run::new(follow);
        run.write("a", ndjson(0..300) + "{\"eventVersion\":");
        run.crash_after(300);
        run.write("a", ndjson(0..150));
        run.restart();
        run.poll();
        run.poll();
        let mut expected = records(0..300);
        expected.extend(records(0..150));
        run.check(&expected);
    }
}

#[test]
fn a_file_that_is_no_log_is_one_unit_and_files_without_records_are_none() {
    for follow in [false, true] {
        let mut run = Run::new(follow);
        run.write("README.md", "# Logs\n\n- one `{\"a\": 1}`\n\n```\n{\"b\": [1,\n2]}\n```\n");
        let mut png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
        png.extend((0..5000u32).map(|number| (number * 37 % 251) as u8));
        run.write("picture.png", &png);
        run.write("none.json", "{\"Records\": []}");
        run.write("empty.json", "");
        run.write("blank.json", " \n");
        for _ in 0..15 {
            run.poll();
        }
        assert_eq!(run.lines.len(), 2);
        assert_eq!(run.reader.standing().set_aside, 2);
        assert!(run.lines.iter().all(|line| line.contains("\"parts\":1,\"reason\":\"syntax\"")));
    }
}
