//! The spool reader: a directory in which anything may have happened to the bytes.
//!
//! A small sound spool is made once. The input is a list of orders: flip, zero,
//! cut, insert or overwrite bytes of a file, swap or remove files, and make the
//! checks fit again, so that what lies behind them is reached too. Opening it
//! must end, keep frames as they were written, and find the same when it is done
//! again; what is left must be a spool that takes more.
#![no_main]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use fuzz::MemoryDisk;
use libfuzzer_sys::fuzz_target;
use spool::{Entry, LeafFn, Options, ReadError, Spool};

const ID: [u8; 16] = [3; 16];
const HEADER: usize = 64;
const FRAMES_AT: usize = 128;

type Written = BTreeMap<u64, Vec<u8>>;

fuzz_target!(|data: &[u8]| {
    let (sound, written) = sound();
    let disk = sound.copy();
    let mut orders = data;
    let mut forged = false;
    for _ in 0..24 {
        let Some((order, rest)) = orders.split_first_chunk::<8>() else { break };
        orders = rest;
        forged |= carry_out(&disk, *order, &mut orders);
    }
    let first = open(&disk, written, forged, false);
    let second = open(&disk, written, forged, true);
    assert_eq!(first, second, "opening twice finds the same");
});

fn options() -> Options {
    Options { segment_bytes: 700, disk_bytes_max: 64 << 10, ..Options::new("/spool") }
}

fn leaf() -> LeafFn {
    Arc::new(|sequence, payload| {
        let mut leaf = [0; 32];
        leaf[..8].copy_from_slice(&sequence.to_le_bytes());
        leaf[8..12].copy_from_slice(&crc32c::crc32c(payload).to_le_bytes());
        leaf
    })
}

fn sound() -> &'static (MemoryDisk, Written) {
    static SOUND: OnceLock<(MemoryDisk, Written)> = OnceLock::new();
    SOUND.get_or_init(|| {
        let disk = MemoryDisk::default();
        let mut spool =
            Spool::create(Arc::new(disk.clone()), options(), ID, leaf()).expect("a spool");
        let mut written = Written::new();
        for number in 1..=16_u8 {
            let payload = vec![b'a' + number; 11 * usize::from(number)];
            let entry = Entry { payload: &payload, cursors: b"{\"at\":1}" };
            let sequence = spool.append(&[entry]).expect("room");
            spool.sync().expect("memory syncs");
            written.insert(sequence, payload);
        }
        spool.release(2, [1; 32]).expect("release");
        drop(spool);
        (disk, written)
    })
}

/// Does one thing to the files; says whether checks were made to fit.
fn carry_out(disk: &MemoryDisk, order: [u8; 8], orders: &mut &[u8]) -> bool {
    let [what, which, a, b, c, d, len, fill] = order;
    let files = disk.files();
    let names: Vec<PathBuf> = files.keys().cloned().collect();
    let Some(name) = names.get(usize::from(which) % names.len().max(1)) else { return false };
    let mut bytes = files.get(name).cloned().unwrap_or_default();
    let at = usize::from(u16::from_le_bytes([a, b])) % (bytes.len() + 1);
    let count = usize::from(len).min(bytes.len() - at);
    match what % 10 {
        0 => bytes.get_mut(at).into_iter().for_each(|byte| *byte ^= fill),
        1 => bytes[at..at + count].fill(0),
        2 => bytes.truncate(at),
        3 => drop(bytes.splice(at..at, std::iter::repeat_n(fill, usize::from(len)))),
        4 => {
            let taken = orders.len().min(count);
            let (piece, rest) = orders.split_at(taken);
            bytes[at..at + taken].copy_from_slice(piece);
            *orders = rest;
        }
        5 => drop(bytes.drain(at..at + count)),
        6 => {
            let other = names[usize::from(fill) % names.len()].clone();
            disk.write(name.clone(), files.get(&other).cloned().unwrap_or_default());
            disk.write(other, bytes);
            return false;
        }
        7 => {
            let number = u64::from(u32::from_le_bytes([a, b, c, d]));
            let name =
                format!("/spool/{number:020}.seg{}", if fill > 128 { ".damaged" } else { "" });
            disk.write(name, bytes);
            return false;
        }
        8 => {
            use seam::Disk as _;
            drop(disk.remove(name));
            return false;
        }
        _ => {
            fit(name, &mut bytes);
            disk.write(name.clone(), bytes);
            return true;
        }
    }
    disk.write(name.clone(), bytes);
    false
}

/// Makes the checks of a segment's header and frames fit what they cover.
fn fit(name: &std::path::Path, bytes: &mut [u8]) {
    if bytes.len() < FRAMES_AT {
        if let Some((body, crc)) = bytes.split_last_chunk_mut::<4>() {
            *crc = crc32c::crc32c(body).to_le_bytes();
        }
        return;
    }
    let digits: String = name.to_string_lossy().chars().filter(char::is_ascii_digit).collect();
    let first = digits.parse::<u64>().unwrap_or(1);
    let crc = crc32c::crc32c(&bytes[..FRAMES_AT - 4]).to_le_bytes();
    bytes[FRAMES_AT - 4..FRAMES_AT].copy_from_slice(&crc);
    let key = crc32c::crc32c_append(crc32c::crc32c(&ID), &first.to_le_bytes());
    let mut at = FRAMES_AT;
    while at + HEADER <= bytes.len() {
        let word = |from: usize| {
            let piece = bytes[at + from..at + from + 4].try_into().expect("four bytes");
            usize::try_from(u32::from_le_bytes(piece)).unwrap_or(usize::MAX)
        };
        let end = (at + HEADER).saturating_add(word(4)).saturating_add(word(8)).min(bytes.len());
        let body = crc32c::crc32c(&bytes[at + HEADER..end]).to_le_bytes();
        bytes[at + 12..at + 16].copy_from_slice(&body);
        let crc = crc32c::crc32c_append(key, &(at as u64).to_le_bytes());
        let crc = crc32c::crc32c_append(crc, &bytes[at..at + HEADER - 4]).to_le_bytes();
        bytes[at + HEADER - 4..at + HEADER].copy_from_slice(&crc);
        at = end;
    }
}

/// Opens, reads all, appends if that is asked; gives what was read.
fn open(
    disk: &MemoryDisk,
    written: &Written,
    forged: bool,
    appends: bool,
) -> Option<Vec<(u64, Vec<u8>)>> {
    let opened = Spool::open(Arc::new(disk.clone()), options(), |_| leaf());
    let (mut spool, recovery) = match opened {
        Ok(opened) => opened?,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return None;
        }
    };
    assert!(recovery.damage.len() < 10_000, "damage is reported once");
    let (mut next, durable) = (spool.released().0 + 1, spool.durable());
    let mut read = Vec::new();
    while next <= durable && read.len() < 1_000 {
        match spool.read(next, 300) {
            Ok(frames) => {
                assert!(!frames.is_empty(), "{next} is durable");
                for frame in frames {
                    assert_eq!(frame.sequence, next, "no hole is crossed in silence");
                    // A payload with a check of its own is one that was written.
                    let same = written.get(&next).is_some_and(|held| *held == frame.payload);
                    assert!(forged || same, "{next} reads as something else");
                    assert!(forged || frame.leaf == leaf()(next, &frame.payload));
                    read.push((next, frame.payload.to_vec()));
                    next += 1;
                }
            }
            Err(ReadError::Hole { first, last }) => {
                assert!(first == next && last >= first, "{first}..{last} at {next}");
                next = last + 1;
            }
            Err(error) => panic!("what opening called whole cannot be read: {error}"),
        }
    }
    let payload = b"more".to_vec();
    if appends && let Ok(sequence) = spool.append(&[Entry { payload: &payload, cursors: b"" }]) {
        assert_eq!(sequence, durable + 1);
        if spool.sync().is_ok() {
            let frames = spool.read(sequence, 300).expect("what was just written");
            assert_eq!(frames.first().map(|frame| frame.payload.to_vec()), Some(payload));
        }
    }
    Some(read)
}
