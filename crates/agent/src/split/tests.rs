//! What splitting promises, whatever the content, its packing and its cuts.

use std::io::Write as _;

use event::set_aside::SetAside;
use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;

/// A file in memory that gives at most `step` bytes at once.
struct Memory<'a> {
    bytes: &'a [u8],
    step: usize,
}

impl DiskFile for Memory<'_> {
    fn read_at(&mut self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let from = usize::try_from(offset).expect("offset").min(self.bytes.len());
        let count = buffer.len().min(self.bytes.len() - from).min(self.step);
        buffer[..count].copy_from_slice(&self.bytes[from..from + count]);
        Ok(count)
    }
    fn append(&mut self, _: &[u8]) -> io::Result<()> {
        unreachable!("only read")
    }
    fn sync(&mut self) -> io::Result<()> {
        unreachable!("only read")
    }
    fn set_len(&mut self, _: u64) -> io::Result<()> {
        unreachable!("only read")
    }
    fn len(&mut self) -> io::Result<u64> {
        Ok(self.bytes.len() as u64)
    }
}

fn run(bytes: &[u8], step: usize, place: Place) -> Vec<Found> {
    let mut splitter = Splitter::new("test".to_owned(), None, place);
    let mut file = Memory { bytes, step };
    let mut found = Vec::new();
    loop {
        match splitter.step(&mut file, true).expect("memory") {
            Step::Found(piece) => found.push(piece),
            Step::End => return found,
            Step::Waiting(_) => unreachable!("the last bytes are there"),
        }
    }
}

/// The lines of one whole reading; every other way to read must agree.
fn split(bytes: &[u8]) -> Vec<Vec<u8>> {
    let whole = run(bytes, usize::MAX, Place::default());
    let lines: Vec<_> = whole.iter().map(|found| found.line.clone()).collect();
    for step in [1, 7, 4096] {
        if bytes.len() / step > 20_000 {
            continue;
        }
        let again: Vec<_> = run(bytes, step, Place::default());
        assert!(again == whole, "read {step} at a time: {}", shown(&again));
    }
    for (index, found) in whole.iter().enumerate() {
        if whole.len() > 100 && index % 97 != 0 {
            continue;
        }
        let word = found.place.word().to_string();
        let place = Place { frames: Frames::default(), ..found.place };
        let place = place.with_word(&word).expect("word");
        assert_eq!(place, found.place);
        let rest: Vec<_> = run(bytes, 4096, place).into_iter().map(|found| found.line).collect();
        let text =
            |lines: &[Vec<u8>]| lines.iter().map(|line| show(line) + "\n").collect::<String>();
        assert_eq!(text(&rest), text(&lines[index + 1..]), "from {:?}", found.place);
    }
    lines
}

fn shown(found: &[Found]) -> String {
    found.iter().map(|found| show(&found.line) + "\n").collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

fn record(number: usize) -> String {
    format!(r#"{{"eventVersion":"1.08","eventID":"{number}","requestParameters":{{"a":[{{}}]}}}}"#)
}

fn show(line: &[u8]) -> String {
    match SetAside::parse(line) {
        Some(aside) => {
            let bytes =
                String::from_utf8_lossy(aside.bytes.as_deref().unwrap_or_default()).into_owned();
            format!("{}@{}:{bytes}", aside.reason.as_str(), aside.position)
        }
        None => String::from_utf8(line.to_vec()).expect("utf-8"),
    }
}

/// Checks what content yields, plain and packed.
fn check(content: impl AsRef<[u8]>, expected: &[&str]) {
    let content = content.as_ref();
    let zstd = zstd::encode_all(content, 1).expect("memory");
    let half = content.len() / 2;
    let members = [gzip(&content[..half]), gzip(&content[half..])].concat();
    for packed in [content.to_vec(), gzip(content), zstd, members] {
        let lines: Vec<_> = split(&packed).iter().map(|line| show(line)).collect();
        assert_eq!(lines, expected, "of {}", String::from_utf8_lossy(content));
    }
}

#[test]
fn every_form_of_a_log_gives_its_records() {
    let (a, b) = (record(1), record(2));
    let both = [a.as_str(), b.as_str()];
    check(format!("{{\"Records\":[{a},{b}]}}"), &both);
    check(format!(" {{ \"Records\" :\n[ {a} ,\n {b}\n ] }} \n"), &both);
    check(format!("{{\"Records\":[{a}]}}\n{{\"Records\":[{b}]}}"), &both);
    check(format!("[{{\"Records\":[{a}]}},{{\"Records\":[{b}]}}]"), &both);
    check(format!("{a}\n{b}\n"), &both);
    check(format!("\u{feff}{a}\r\n\r\n{b}"), &both);
    check(format!("{a}{b}"), &both);
    check(format!("[{a},{b}]"), &both);
    check(format!("[[{a}],[{b}]]"), &both);
    check(&a, &[&a]);
    check(a.replace(',', ",\n"), &[&a]);
    let envelope =
        |record: &str| format!(r#"{{"version":"0","detail-type":"x","detail":{record}}}"#);
    check(format!("{}\n{}", envelope(&a), envelope(&b)), &both);
    check(format!("[{},{}]", envelope(&a), envelope(&b)), &both);
    let item = |record: &str| {
        let text = serde_json::to_string(record).expect("string");
        format!(r#"{{"EventId":"1","CloudTrailEvent":{text}}}"#)
    };
    check(format!("{}\n{}\n", item(&a), item(&b)), &both);
    check(format!("{{\"Events\":[{},{}],\"NextToken\":\"x\"}}", item(&a), item(&b)), &both);
    check(format!("{{\"NextToken\":\"x\",\"Events\":[{},{}]}}", item(&a), item(&b)), &both);
}

#[test]
fn content_without_records_gives_nothing() {
    for nothing in [
        "",
        " \n\r\t",
        "{\"Records\":[]}",
        "{\"Records\": []}\n",
        "[]",
        "\u{feff}",
        "{\"Events\":[]}",
    ] {
        check(nothing, &[]);
    }
}

#[test]
fn what_is_no_record_is_set_aside_and_the_rest_goes_on() {
    let (a, b) = (record(1), record(2));
    check(
        "# Title\n\nsome {text}\n{\"a\": 1}\n[1]\n",
        &["syntax@0:# Title\n\nsome {text}\n{\"a\": 1}\n[1]\n"],
    );
    check(
        format!("{a}\n{{\"a\":1}}\n{b}"),
        &[&a, &format!("not_an_event@{}:{{\"a\":1}}", a.len() + 1), &b],
    );
    let at = a.len() + 1;
    check(format!("{a}\nbroken\n{b}"), &[&a, &format!("syntax@{at}:broken\n"), &b]);
    check(
        format!("{a}\n{{\"a\":\n{b}"),
        &[&a, &format!("syntax@{at}:{{\"a\":\n"), &b]
            .map(|x| {
                if x.starts_with("syntax") {
                    x.replace("syntax", "truncated")
                } else {
                    x.to_owned()
                }
            })
            .each_ref()
            .map(String::as_str),
    );
    check(
        format!("{a}\n{{\"a\":x}}\n{{\"c\":1}}\n{b}"),
        &[
            &a,
            &format!("syntax@{at}:{{\"a\":x}}\n"),
            &format!("not_an_event@{}:{{\"c\":1}}", at + 8),
            &b,
        ],
    );
    check(format!("{a}\n17\n{b}"), &[&a, &format!("not_an_event@{at}:17"), &b]);
    check(
        format!("{{\"Records\":[{a},{{\"x\":tru}},{b}]}}"),
        &[&a, &format!("syntax@{}:{{\"x\":tru}},", 12 + at), &b],
    );
    check(
        format!("{{\"Records\":[{a},7,{b}],\"x\":1}}"),
        &[
            &a,
            &format!("not_an_event@{}:7", 12 + at),
            &b,
            &format!("not_an_event@{}:\"x\":1", 12 + at + 2 + b.len() + 2),
        ],
    );
    check("[1,2]", &["not_an_event@0:[1,2]"]);
    check(
        r#"{"eventVersion":"1","orgtrail_set_aside":1}"#,
        &[r#"ambiguous_mark@0:{"eventVersion":"1","orgtrail_set_aside":1}"#],
    );
    check(
        format!(r#"{{"detail":{{"eventVersion":"1","orgtrail_set_aside":1}}}}{a}"#),
        &[r#"ambiguous_mark@0:{"detail":{"eventVersion":"1","orgtrail_set_aside":1}}"#, &a],
    );
    let deep = format!("{{\"eventVersion\":\"1\",\"x\":{}{}}}", "[".repeat(600), "]".repeat(600));
    check(format!("{{\"Records\":[{deep},{b}]}}"), &[&format!("too_deep@12:{deep}"), &b]);
}

/// Each of them might hold records; looking behind each of them would take time
/// that grows with the square of their number, and make a unit of every few.
#[test]
fn containers_that_never_close_are_one_unit() {
    let lines = split("{\"Records\":[".repeat(20_000).as_bytes());
    assert!(lines.len() <= 2, "{} units", lines.len());
}

#[test]
fn invalid_utf8_takes_only_its_own_record() {
    let b = record(2);
    let mut content = b"{\"Records\":[{\"eventVersion\":\"\xff\"},".to_vec();
    content.extend_from_slice(b.as_bytes());
    content.extend_from_slice(b"]}");
    let lines = split(&content);
    let aside = SetAside::parse(&lines[0]).expect("set aside");
    assert_eq!(aside.reason, Reason::InvalidUtf8);
    assert_eq!(aside.bytes.as_deref(), Some(b"{\"eventVersion\":\"\xff\"}".as_slice()));
    assert_eq!(lines[1], b.as_bytes());
    assert_eq!(lines.len(), 2);
}

/// A file can end at any byte. Wherever it does, the whole records go on and
/// the rest is one unit.
#[test]
fn a_cut_at_any_byte_keeps_exactly_the_whole_records() {
    let (a, b) = (record(1), record(2));
    let content = format!("{{\"Records\":[{a},{b}]}}");
    let ends = [12 + a.len(), 13 + a.len() + b.len()];
    for cut in 1..content.len() {
        let lines = split(&content.as_bytes()[..cut]);
        let whole = ends.iter().filter(|end| **end <= cut).count();
        assert_eq!(lines.len(), whole + 1, "cut at {cut}");
        let aside = SetAside::parse(&lines[whole]).expect("set aside");
        assert_eq!(aside.reason, Reason::Truncated, "cut at {cut}");
    }
    let packed = gzip(content.as_bytes());
    for cut in 3..packed.len() {
        let lines = split(&packed[..cut]);
        let aside = SetAside::parse(lines.last().expect("a unit")).expect("set aside");
        assert_eq!(aside.reason, Reason::Truncated, "cut at {cut}");
        assert!(lines.len() <= 3);
    }
    assert_eq!(split(&packed[..packed.len() - 4]).len(), 3, "both records and the missing end");
}

#[test]
fn what_cannot_be_inflated_is_kept_raw() {
    let a = record(1);
    let content = format!("{{\"Records\":[{a}]}}");
    let mut packed = gzip(content.as_bytes());
    packed.extend_from_slice(b"trailing");
    let lines: Vec<_> = split(&packed).iter().map(|line| show(line)).collect();
    assert_eq!(lines, [a.clone(), format!("decompress@{}:trailing", packed.len() - 8)]);
    let broken = [&[0x1f, 0x8b, 7, 7][..], b"no gzip"].concat();
    let lines = split(&broken);
    assert_eq!(lines.len(), 1);
    let aside = SetAside::parse(&lines[0]).expect("set aside");
    assert_eq!((aside.reason, aside.bytes), (Reason::Decompress, Some(broken)));
    // A flipped bit in the check sum is found after the content was given.
    let mut packed = gzip(content.as_bytes());
    let at = packed.len() - 8;
    packed[at] ^= 1;
    let lines = split(&packed);
    assert_eq!(lines[0], a.as_bytes());
    assert_eq!(SetAside::parse(&lines[1]).expect("set aside").reason, Reason::Decompress);
    assert_eq!(lines.len(), 2);
}

#[test]
fn a_damaged_stream_is_told_of_in_the_same_words_from_wherever_it_is_read() {
    // Found by fuzzing: a gzip header, and what is no deflate behind it.
    let damaged = [&[0x8b, 8, 8, 0][..], b"{n\"", &[0xff; 43], b":"].concat();
    let lines = split(&[&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff][..], &damaged].concat());
    let aside = SetAside::parse(lines.last().expect("a unit")).expect("set aside");
    assert_eq!((aside.reason, aside.detail.as_str()), {
        (Reason::Decompress, "the deflate stream is damaged")
    });
}

#[test]
fn damage_behind_values_that_are_no_objects_ends_where_it_ends_from_any_place() {
    // Found by fuzzing: lines of values, then damage with an object in a line of its own.
    let lines = split(b"true\n\ntrue\nno json [\n{\"a\":1}\nmore");
    let details: Vec<String> =
        lines.iter().map(|line| SetAside::parse(line).expect("set aside").detail).collect();
    assert_eq!(details.len(), 5, "{details:?}");
}

#[test]
fn a_piece_over_the_limit_is_set_aside_in_parts_of_one_unit() {
    let b = record(2);
    for size in [1_100_000, 3_000_000, 9_000_000] {
        let big = format!("{{\"eventVersion\":\"1.08\",\"x\":\"{}\"}}", "y".repeat(size));
        let lines = split(format!("{{\"Records\":[{big},{b}]}}").as_bytes());
        let (last, parts) = lines.split_last().expect("lines");
        assert_eq!(last, b.as_bytes());
        let mut bytes = Vec::new();
        for (index, line) in parts.iter().enumerate() {
            assert!(line.len() <= RECORD_LIMIT_BYTES);
            let part = SetAside::parse(line).expect("part");
            assert_eq!(part.reason, Reason::TooLarge);
            assert_eq!(part.part as usize, index + 1);
            assert_eq!(part.parts.is_some(), index + 1 == parts.len());
            assert_eq!(event::set_aside::is_continuation(line), index > 0);
            assert_eq!(part.position, 12 + bytes.len() as u64);
            bytes.extend(part.bytes.expect("kept"));
        }
        assert_eq!(bytes, big.as_bytes());
    }
}

#[test]
fn past_64_mib_of_one_unit_only_length_and_hash_are_kept() {
    let size = 70 << 20;
    let mut content = b"{\"x\":\"".to_vec();
    content.resize(size, b'z');
    content.extend_from_slice(b"\"}\n");
    content.extend_from_slice(record(1).as_bytes());
    let found = run(&content, usize::MAX, Place::default());
    let (last, parts) = found.split_last().expect("lines");
    assert_eq!(last.line, record(1).as_bytes());
    let rest = SetAside::parse(&parts.last().expect("parts").line).expect("part");
    assert_eq!(rest.bytes, None);
    assert_eq!(rest.position + rest.length, size as u64 + 2);
    assert!(rest.position >= 64 << 20);
    assert_eq!(parts.iter().filter(|part| part.set_aside.is_some()).count(), 1, "one unit");
}

#[test]
fn a_growing_file_waits_for_its_line_and_yields_it_once() {
    let (a, b) = (record(1), record(2));
    let content = format!("{a}\n{b}\n");
    let mut splitter = Splitter::new("test".to_owned(), None, Place::default());
    let mut lines = Vec::new();
    for end in 0..=content.len() {
        let mut file = Memory { bytes: &content.as_bytes()[..end], step: usize::MAX };
        loop {
            match splitter.step(&mut file, false).expect("memory") {
                Step::Found(found) => lines.push((end, found.line)),
                Step::Waiting(wait) => {
                    let between = [0, a.len(), a.len() + 1, content.len() - 1, content.len()];
                    assert_eq!(wait == Wait::Clean, between.contains(&end), "at {end}");
                    break;
                }
                Step::End => unreachable!("more may come"),
            }
        }
    }
    assert_eq!(lines, [(a.len(), a.into_bytes()), (content.len() - 1, b.into_bytes())]);
}

#[test]
fn a_record_of_another_account_than_its_folder_is_set_apart() {
    let check = |path: &str, account: Option<&str>| {
        let account = account.map(|id| id.parse().expect("id"));
        assert_eq!(folder_account(path), account, "{path}");
    };
    check("/x/AWSLogs/123456789012/CloudTrail/a.json.gz", Some("123456789012"));
    check("/x/AWSLogs/o-abcd/123456789012/CloudTrail/a.json.gz", Some("123456789012"));
    check("/x/AWSLogs/README.md", None);
    check("/x/123456789012/a.json", None);
    let own = r#"{"eventVersion":"1","recipientAccountId":"123456789012"}"#;
    let other = r#"{"eventVersion":"1","recipientAccountId":"210987654321"}"#;
    let vague = r#"{"eventVersion":"1","recipientAccountId":"12345"}"#;
    let content = format!("{own}\n{other}\n{vague}\n");
    let folder = Some("123456789012".parse().expect("id"));
    let mut splitter = Splitter::new("test".to_owned(), folder, Place::default());
    let mut file = Memory { bytes: content.as_bytes(), step: usize::MAX };
    let mut lines = Vec::new();
    while let Step::Found(found) = splitter.step(&mut file, true).expect("memory") {
        lines.push(show(&found.line));
    }
    assert_eq!(lines, [own, &format!("foreign_account@{}:{other}", own.len() + 1), vague]);
}
