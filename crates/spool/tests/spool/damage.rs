//! Files that are missing, foreign, doubled, emptied or from the future.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use spool::{Cause, Lost, OpenError, ReadError, Spool};

use crate::walk::{append, audit, create, leaf, name, open, options, small_spool};
use faults::FaultyDisk;

type Files = BTreeMap<PathBuf, Vec<u8>>;

fn small_files() -> (Files, Vec<PathBuf>) {
    let (disk, _) = small_spool();
    let files = disk.files();
    let segments = files.keys().filter(|path| name(path).ends_with(".seg")).cloned().collect();
    (files, segments)
}

fn first(path: &Path) -> u64 {
    name(path)[..20].parse().expect("digits")
}

/// Opens what is left, twice, and answers which sequences are lost and why.
fn check(what: &str, files: &Files, lost: BTreeSet<u64>, causes: &[Cause]) {
    let disk = FaultyDisk::holding(files);
    for _ in 0..2 {
        let (mut spool, recovery) = open(disk.handle(), options(600, 1 << 20));
        assert_eq!(audit(&mut spool, &recovery, 12), lost, "{what}: {recovery:?}");
        drop(spool);
    }
    let disk = FaultyDisk::holding(files);
    let (mut spool, recovery) = open(disk.handle(), options(600, 1 << 20));
    let found: Vec<_> = recovery.damage.iter().map(|damage| damage.cause).collect();
    assert_eq!(found, causes, "{what}: {recovery:?}");
    for bytes in files.values().filter(|bytes| bytes.len() > 128) {
        assert!(disk.files().values().any(|kept| kept == bytes), "{what}: no byte is thrown away");
    }
    let head = spool.head();
    append(&mut spool, head + 1..=head + 3).expect("append goes on");
    spool.sync().expect("sync");
    assert_eq!(spool.read(head + 1, 1 << 20).expect("read").len(), 3, "{what}");
}

#[test]
fn a_missing_segment_is_a_hole_with_exact_ends() {
    let (files, segments) = small_files();
    let (second, third) = (first(&segments[1]), first(&segments[2]));

    let mut without = files.clone();
    without.remove(&segments[1]);
    check("the second", &without, (second..third).collect(), &[Cause::Missing]);

    let mut without = files.clone();
    without.remove(&segments[0]);
    check("the first", &without, (1..second).collect(), &[Cause::Missing]);

    let mut without = files;
    without.remove(&segments[0]);
    without.remove(&segments[1]);
    check("both", &without, (1..third).collect(), &[Cause::Missing]);
}

#[test]
fn a_hole_is_said_before_it_is_crossed() {
    let (mut files, segments) = small_files();
    files.remove(&segments[1]);
    let (second, third) = (first(&segments[1]), first(&segments[2]));
    let (mut spool, _) = open(FaultyDisk::holding(&files).handle(), options(600, 1 << 20));
    let before = spool.read(1, 1 << 20).expect("read");
    assert_eq!(before.last().expect("frames").sequence, second - 1);
    match spool.read(second, 1 << 20) {
        Err(ReadError::Hole { first, last }) => assert_eq!((first, last), (second, third - 1)),
        other => panic!("a hole, not {other:?}"),
    }
    assert_eq!(spool.read(third, 1 << 20).expect("read")[0].sequence, third);
}

/// Found by fuzzing: nothing was read there, and nothing said why.
#[test]
fn a_hole_at_the_end_is_said_like_any_other() {
    let (mut files, segments) = small_files();
    let (second, third) = (first(&segments[1]), first(&segments[2]));
    files.get_mut(&segments[1]).expect("the second")[128..].fill(0);
    files.get_mut(&segments[2]).expect("the third").truncate(128);
    let (mut spool, _) = open(FaultyDisk::holding(&files).handle(), options(600, 1 << 20));
    assert_eq!(spool.durable(), third - 1);
    let hole = spool.read(second, 1 << 20).expect_err("a hole");
    assert!(
        matches!(hole, ReadError::Hole { first, last } if (first, last) == (second, third - 1))
    );
}

#[test]
fn an_emptied_or_overwritten_segment_costs_its_own_sequences() {
    let (files, segments) = small_files();
    let (second, third) = (first(&segments[1]), first(&segments[2]));
    for junk in [Vec::new(), vec![0; 5000], vec![0xa5; 700]] {
        let mut changed = files.clone();
        changed.insert(segments[1].clone(), junk.clone());
        check("the second", &changed, (second..third).collect(), &[Cause::Unreadable]);
    }
}

#[test]
fn an_unreadable_last_segment_says_from_where_on() {
    let (files, segments) = small_files();
    let third = first(&segments[2]);
    let mut changed = files;
    changed.insert(segments[2].clone(), vec![0; 300]);
    let (spool, recovery) = open(FaultyDisk::holding(&changed).handle(), options(600, 1 << 20));
    assert_eq!(recovery.damage.len(), 1);
    assert_eq!(recovery.damage[0].lost, Lost::From { first: third });
    assert_eq!(spool.head(), third - 1);
}

#[test]
fn a_junk_file_with_a_far_name_moves_nothing() {
    let (mut files, _) = small_files();
    files.insert(PathBuf::from("/spool/00000000000000999999.seg"), b"hello".to_vec());
    let disk = FaultyDisk::holding(&files);
    let (mut spool, recovery) = open(disk.handle(), options(600, 1 << 20));
    assert_eq!(spool.head(), 12);
    assert_eq!(recovery.damage[0].lost, Lost::From { first: 13 });
    append(&mut spool, 13..=14).expect("append");
    spool.sync().expect("sync");
    drop(spool);
    let (mut spool, recovery) = open(disk.handle(), options(600, 1 << 20));
    assert!(recovery.is_clean(), "set aside once: {recovery:?}");
    assert!(audit(&mut spool, &recovery, 14).is_empty());
}

#[test]
fn segments_of_another_spool_are_set_aside() {
    let (files, segments) = small_files();
    let other = FaultyDisk::default();
    let mut spool =
        Spool::create(other.handle(), options(600, 1 << 20), [7; 16], leaf()).expect("create");
    for number in 1..=12 {
        append(&mut spool, number..=number).expect("append");
    }
    spool.sync().expect("sync");
    let theirs = other.files();

    let mut mixed = files.clone();
    mixed.insert(segments[1].clone(), theirs[&segments[1]].clone());
    let lost = (first(&segments[1])..first(&segments[2])).collect();
    let disk = FaultyDisk::holding(&mixed);
    let (mut spool, recovery) = open(disk.handle(), options(600, 1 << 20));
    assert_eq!(audit(&mut spool, &recovery, 12), lost);
    assert_eq!(recovery.damage[0].cause, Cause::Foreign);
    assert_eq!(recovery.damage[1].cause, Cause::Missing);

    let mut added = files;
    let beyond = PathBuf::from("/spool/00000000000000000013.seg");
    added.insert(beyond, theirs[&segments[0]].clone());
    let disk = FaultyDisk::holding(&added);
    let (mut spool, recovery) = open(disk.handle(), options(600, 1 << 20));
    assert!(audit(&mut spool, &recovery, 12).is_empty());
    assert_eq!(recovery.damage[0].cause, Cause::Foreign);
}

#[test]
fn a_second_copy_of_a_segment_is_set_aside() {
    let (files, segments) = small_files();
    for target in ["00000000000000000013.seg", "00000000000000000002.seg"] {
        let mut doubled = files.clone();
        let bytes = files[&segments[0]].clone();
        doubled.insert(Path::new("/spool").join(target), bytes);
        let disk = FaultyDisk::holding(&doubled);
        let (mut spool, recovery) = open(disk.handle(), options(600, 1 << 20));
        assert!(audit(&mut spool, &recovery, 12).is_empty(), "{target}");
        assert_eq!(recovery.damage.len(), 1, "{target}: {recovery:?}");
        assert_eq!(recovery.damage[0].cause, Cause::Duplicate, "{target}");
    }
}

#[test]
fn a_lost_trim_point_is_said_and_everything_is_still_read() {
    let (files, _) = small_files();
    for replacement in [None, Some(vec![0; 4224]), Some(Vec::new())] {
        let mut changed = files.clone();
        let path = PathBuf::from("/spool/released");
        changed.remove(&path);
        changed.extend(replacement.map(|bytes| (path, bytes)));
        let disk = FaultyDisk::holding(&changed);
        let (mut spool, recovery) = open(disk.handle(), options(600, 1 << 20));
        assert!(recovery.released_unknown);
        assert!(audit(&mut spool, &recovery, 12).is_empty());
        spool.release(3, [3; 32]).expect("release");
        drop(spool);
        let (spool, recovery) = open(disk.handle(), options(600, 1 << 20));
        assert!(recovery.is_clean(), "a new trim point is known again");
        assert_eq!(spool.released(), (3, [3; 32]));
    }
}

#[test]
fn without_any_id_all_is_kept_and_the_next_start_begins_anew() {
    let (files, _) = small_files();
    let junk: Files = files.into_iter().map(|(path, bytes)| (path, vec![0; bytes.len()])).collect();
    let disk = FaultyDisk::holding(&junk);
    let opened = Spool::open(disk.handle(), options(600, 1 << 20), |_| leaf());
    match opened {
        Err(OpenError::NoIdentity { files, .. }) => assert_eq!(files, 4),
        other => panic!("no identity, not {other:?}"),
    }
    let again = Spool::open(disk.handle(), options(600, 1 << 20), |_| leaf()).expect("open");
    assert!(again.is_none(), "nothing is in the way");
    create(disk.handle(), options(600, 1 << 20));
    let kept = disk.files().keys().filter(|path| name(path).ends_with("unreadable")).count();
    assert_eq!(kept, 4);
}

#[test]
fn a_spool_of_which_only_the_name_is_left_keeps_it() {
    // Found by fuzzing: no trim point, a segment under another's name, and that other
    // one unreadable under the first one's.
    let (files, segments) = small_files();
    let (one, other) = (&segments[1], &segments[2]);
    let mut unreadable = files[one].clone();
    unreadable[0] ^= 0x30;
    let left = [(one.clone(), files[other].clone()), (other.clone(), unreadable)].into();
    let disk = FaultyDisk::holding(&left);
    let mut found = Vec::new();
    for _ in 0..3 {
        let (spool, _) = open(disk.handle(), options(600, 1 << 20));
        found.push((spool.id(), spool.released(), spool.head()));
    }
    assert_eq!(found, [found[0]; 3]);
}

#[test]
fn what_a_newer_release_wrote_is_refused_untouched() {
    let (mut files, segments) = small_files();
    let bytes = files.get_mut(&segments[1]).expect("it is there");
    bytes[8] = 2;
    let crc = crc32c::crc32c(&bytes[..124]);
    bytes[124..128].copy_from_slice(&crc.to_le_bytes());
    let disk = FaultyDisk::holding(&files);
    match Spool::open(disk.handle(), options(600, 1 << 20), |_| leaf()) {
        Err(OpenError::Version { version: 2, supported: 1, .. }) => {}
        other => panic!("refused by version, not {other:?}"),
    }
    assert_eq!(disk.files(), files);
}

#[test]
fn damage_below_the_trim_point_is_of_no_interest() {
    let (disk, options) = small_spool();
    let (mut spool, _) = open(disk.handle(), options.clone());
    spool.release(2, [1; 32]).expect("release");
    drop(spool);
    let mut files = disk.files();
    let segment = PathBuf::from("/spool/00000000000000000001.seg");
    files.get_mut(&segment).expect("it is there")[128 + 70] ^= 1;
    let (mut spool, recovery) = open(FaultyDisk::holding(&files).handle(), options);
    assert!(recovery.is_clean(), "{recovery:?}");
    assert!(audit(&mut spool, &recovery, 12).is_empty());
}

#[test]
fn bytes_that_change_while_open_are_an_error_that_reopening_explains() {
    let dir = tempfile::tempdir().expect("temp dir");
    let mut options = options(1 << 20, 1 << 30);
    options.dir = dir.path().to_path_buf();
    let mut spool = create(Arc::new(seam::LocalDisk), options.clone());
    append(&mut spool, 1..=12).expect("append");
    spool.sync().expect("sync");
    let path = dir.path().join("00000000000000000001.seg");
    let mut bytes = std::fs::read(&path).expect("read");
    let at = bytes.len() - 200;
    bytes[at] ^= 1;
    std::fs::write(&path, &bytes).expect("write");
    let mut from = 1;
    let error = loop {
        match spool.read(from, 100) {
            Ok(frames) => from += frames.len() as u64,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, ReadError::Damaged { sequence, .. } if sequence == from), "{error}");
    drop(spool);
    let (mut spool, recovery) = open(Arc::new(seam::LocalDisk), options);
    assert_eq!(audit(&mut spool, &recovery, 12), BTreeSet::from([from]));
}
