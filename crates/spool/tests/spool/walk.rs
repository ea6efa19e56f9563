//! What the tests share: a spool of known entries, and its audit.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use seam::Disk;
use spool::{Entry, Frame, LeafFn, Lost, Options, ReadError, Recovery, Spool};

use faults::FaultyDisk;

pub(crate) const DIR: &str = "/spool";
pub(crate) const ID: [u8; 16] = *b"the spool's name";

/// A leaf that depends on everything a real one does, without the hashing.
pub(crate) fn leaf() -> LeafFn {
    Arc::new(|sequence, payload| {
        let mut leaf = [0; 32];
        let parts = [sequence, u64::from(crc32c::crc32c(payload)), payload.len() as u64, 1];
        for (part, place) in parts.iter().zip(leaf.chunks_mut(8)) {
            place.copy_from_slice(&part.to_le_bytes());
        }
        leaf
    })
}

pub(crate) fn options(segment_bytes: u64, disk_bytes_max: u64) -> Options {
    Options { segment_bytes, disk_bytes_max, ..Options::new(DIR) }
}

pub(crate) fn create(disk: Arc<dyn Disk>, options: Options) -> Spool {
    Spool::create(disk, options, ID, leaf()).expect("create")
}

pub(crate) fn open(disk: Arc<dyn Disk>, options: Options) -> (Spool, Recovery) {
    let opened = Spool::open(disk, options, |id| {
        assert_eq!(id, ID);
        leaf()
    });
    opened.expect("open").expect("there is a spool")
}

/// The payload that sequence `number` has in these tests.
pub(crate) fn payload(number: u64) -> Vec<u8> {
    let len = usize::try_from(number * 13 % 47).expect("small");
    format!("{{\"event\":{number},\"pad\":\"{}\"}}", "x".repeat(len)).into_bytes()
}

pub(crate) fn cursors(number: u64) -> Vec<u8> {
    if number.is_multiple_of(3) { Vec::new() } else { format!("place {number}").into_bytes() }
}

/// Appends the entries of these sequences in one call.
pub(crate) fn append(
    spool: &mut Spool,
    numbers: std::ops::RangeInclusive<u64>,
) -> Result<u64, spool::AppendError> {
    let made: Vec<_> = numbers.map(|number| (payload(number), cursors(number))).collect();
    let entries: Vec<_> =
        made.iter().map(|(payload, cursors)| Entry { payload, cursors }).collect();
    spool.append(&entries)
}

/// Twelve entries in three segments, nothing released.
pub(crate) fn small_spool() -> (FaultyDisk, Options) {
    let disk = FaultyDisk::default();
    let options = options(600, 1 << 20);
    let mut spool = create(disk.handle(), options.clone());
    for number in 1..=12 {
        append(&mut spool, number..=number).expect("append");
    }
    assert_eq!(spool.sync().expect("sync"), 12);
    let segments = disk.files().keys().filter(|path| name(path).ends_with(".seg")).count();
    assert_eq!(segments, 3, "the tests below count on three segments");
    (disk, options)
}

pub(crate) fn name(path: &std::path::Path) -> String {
    path.file_name().expect("a name").to_string_lossy().into_owned()
}

/// Reads everything there is, over the holes.
pub(crate) fn read_all(spool: &mut Spool, bytes_max: usize) -> BTreeMap<u64, Frame> {
    let mut frames = BTreeMap::new();
    let mut from = spool.released().0 + 1;
    loop {
        match spool.read(from, bytes_max) {
            Ok(read) if read.is_empty() => return frames,
            Ok(read) => {
                for frame in read {
                    assert_eq!(frame.sequence, from, "frames follow each other");
                    from += 1;
                    frames.insert(frame.sequence, frame);
                }
            }
            Err(ReadError::Hole { first, last }) => {
                assert_eq!(first, from);
                assert!(last >= first, "a hole has a length");
                from = last + 1;
            }
            Err(other) => panic!("read {from}: {other}"),
        }
    }
}

/// A frame is what was appended as its sequence.
pub(crate) fn check_frame(frame: &Frame) {
    let number = frame.sequence;
    assert_eq!(frame.payload, payload(number), "payload {number}");
    assert_eq!(frame.cursors, cursors(number), "cursors {number}");
    assert_eq!(frame.leaf, leaf()(number, &payload(number)), "leaf {number}");
}

/// Of the sequences up to `head`, each is either read back as it was written, or
/// reported as lost, and not both. Answers those that are lost.
pub(crate) fn audit(spool: &mut Spool, recovery: &Recovery, head: u64) -> BTreeSet<u64> {
    let frames = read_all(spool, 200);
    frames.values().for_each(check_frame);
    let mut lost = BTreeSet::new();
    for damage in &recovery.damage {
        match damage.lost {
            Lost::Nothing => {}
            Lost::Range { first, last } => lost.extend(first..=last),
            Lost::From { first } => lost.extend(first..=head),
        }
    }
    if let Some(cut) = &recovery.cut {
        lost.extend(cut.sequence..=head);
    }
    for sequence in spool.released().0 + 1..=head {
        assert_ne!(
            frames.contains_key(&sequence),
            lost.contains(&sequence),
            "sequence {sequence} is read or reported, and not both: {recovery:?}"
        );
    }
    lost
}
