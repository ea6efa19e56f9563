//! The log-file splitter: a file that anybody may have written.
//!
//! The first byte says how the rest is packed: not at all, gzip, zstd, or packed
//! and then falsified. The second says after how many pieces the agent dies.
//! Every piece is a line that fits a record; a source that goes on from the
//! cursor of any piece yields the pieces that follow, and no others.
#![no_main]

use std::io::Write as _;
use std::sync::Arc;

use agent::file_source;
use agent::files::Options;
use agent::source::{Piece, Source as _};
use event::record::RECORD_LIMIT_BYTES;
use event::set_aside::{SetAside, is_set_aside};
use fuzz::{MemoryDisk, block_on};
use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use seam::{Blocking, Clock};
use serde_json::{Map, Value};

fuzz_target!(|data: &[u8]| {
    let Some(([packing, death], rest)) = data.split_first_chunk::<2>() else { return };
    let content = packed(*packing, rest);
    let disk = MemoryDisk::default();
    let raw_len = content.len();
    disk.write("/in/log", content);
    let pieces = read(&disk, Map::new());
    for piece in &pieces {
        check(&piece.line);
    }
    assert!(pieces.len() <= raw_len * 1100 + 1, "more pieces than bytes");
    let dies = usize::from(*death) % (pieces.len() + 1);
    let mut cursor = Map::new();
    for piece in &pieces[..dies] {
        let changes: Map<String, Value> =
            serde_json::from_str(&piece.cursor).expect("a cursor is a JSON object");
        for (key, value) in changes {
            match value {
                Value::Null => drop(cursor.remove(&key)),
                value => drop(cursor.insert(key, value)),
            }
        }
    }
    let again = read(&disk, cursor);
    let lines = |pieces: &[Piece]| -> Vec<String> {
        pieces.iter().map(|piece| String::from_utf8_lossy(&piece.line).into_owned()).collect()
    };
    assert_eq!(lines(&again), lines(&pieces[dies..]), "after {dies} of {}", pieces.len());
});

fn packed(packing: u8, rest: &[u8]) -> Vec<u8> {
    let mut content = match packing % 8 {
        1 | 5 => {
            let mut pack = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            pack.write_all(rest).expect("memory");
            pack.finish().expect("memory")
        }
        2 | 6 => zstd::bulk::compress(rest, 1).expect("memory"),
        3 => [b"\x1f\x8b\x08\0\0\0\0\0\0\xff", rest].concat(),
        4 => [b"\x28\xb5\x2f\xfd", rest].concat(),
        _ => return rest.to_vec(),
    };
    if packing % 8 > 4 {
        let at = usize::from(packing / 8) * content.len() / 32;
        match content.get_mut(at) {
            Some(byte) if packing % 8 == 5 => *byte ^= 0x10,
            _ => content.truncate(at),
        }
    }
    content
}

fn read(disk: &MemoryDisk, cursor: Map<String, Value>) -> Vec<Piece> {
    let options = Options {
        name: "fuzz".to_owned(),
        path: "/in/log".into(),
        state_dir: "/state".into(),
        follow: false,
        organization: true,
    };
    let clock = Clock::new(|| Timestamp::UNIX_EPOCH);
    let mut source = file_source(options, Arc::new(disk.copy()), clock, Blocking::Inline);
    block_on(async {
        source.resume(cursor).await.expect("its own cursor");
        let mut all = Vec::new();
        loop {
            let pieces = source.next(1 << 16).await.expect("memory is readable");
            if pieces.is_empty() {
                assert!(source.standing().finished, "nothing more, and not finished");
                return all;
            }
            all.extend(pieces);
        }
    })
}

fn check(line: &[u8]) {
    assert!(!line.is_empty() && !line.contains(&b'\n'), "not one line");
    assert!(line.len() <= RECORD_LIMIT_BYTES, "{} bytes", line.len());
    if is_set_aside(line) {
        let aside = SetAside::parse(line).expect("a mark that reads back");
        let kept = aside.bytes.as_deref().unwrap_or_default();
        assert_eq!(kept.len() as u64, aside.length);
    } else {
        let text = std::str::from_utf8(line).expect("a record is UTF-8");
        assert_eq!(event::record::classify(line), Ok(event::record::Kind::Record), "{text}");
    }
}
