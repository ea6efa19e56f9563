//! Full disks, limits, locks, and the real file system.

use std::sync::Arc;

use spool::{AppendError, CURSORS_BYTES_MAX, Entry, OpenError, Options, PAYLOAD_BYTES_MAX, Spool};

use crate::walk::{ID, append, audit, check_frame, create, leaf, open, options, read_all};
use faults::FaultyDisk;

#[test]
fn at_the_limit_an_append_keeps_nothing_and_goes_on_after_a_release() {
    let disk = FaultyDisk::default();
    let options = options(500, 2000);
    let mut spool = create(disk.handle(), options.clone());
    let mut next = 1;
    for round in 0..20 {
        loop {
            let before = disk.files();
            match append(&mut spool, next..=next + 1) {
                Ok(head) => next = head + 1,
                Err(AppendError::Full { used, max, needed, source, .. }) => {
                    assert!(used + needed > max && source.is_none());
                    assert_eq!(disk.files(), before, "nothing was written");
                    assert_eq!(spool.head(), next - 1);
                    break;
                }
                Err(other) => panic!("{other}"),
            }
            assert!(spool.disk_bytes() <= 2000);
        }
        spool.sync().expect("sync");
        let to = if round % 2 == 0 { next - 1 } else { next - 3 };
        assert_eq!(spool.read(spool.released().0 + 1, 1).expect("read").len(), 1);
        spool.release(to, [round; 32]).expect("release");
    }
    drop(spool);
    let (mut spool, recovery) = open(disk.handle(), options);
    assert!(recovery.is_clean());
    assert!(audit(&mut spool, &recovery, next - 1).is_empty());
}

/// A disk filled to the last byte, also by the spool itself, must not keep the
/// spool from emptying.
#[test]
fn on_a_full_disk_a_release_still_works_and_makes_room() {
    let disk = FaultyDisk::default();
    let options = options(4000, 1 << 30);
    let mut spool = create(disk.handle(), options.clone());
    let mut next = 1;
    for round in 0..6u8 {
        disk.set_capacity(Some(disk.used() + 10_000));
        let full = loop {
            match append(&mut spool, next..=next + 9) {
                Ok(head) => next = head + 1,
                Err(full) => break full,
            }
        };
        assert!(matches!(full, AppendError::Full { source: Some(_), .. }), "{full}");
        assert_eq!(spool.head(), next - 1);
        assert_eq!(spool.sync().expect("what was kept is sound"), next - 1);
        disk.set_capacity(Some(disk.used()));
        let to = if round % 2 == 0 { next - 1 } else { next - 20 };
        spool.release(to, [round; 32]).expect("the reserve is for this");
        append(&mut spool, next..=next).expect("there is room again");
        next += 1;
    }
    disk.crash(3);
    drop(spool);
    let (mut spool, recovery) = open(disk.handle(), options);
    let head = spool.head();
    assert!(head >= next - 2);
    assert!(audit(&mut spool, &recovery, head).is_empty());
}

#[test]
fn an_entry_over_the_limit_is_refused_and_one_at_it_is_read_back() {
    let disk = FaultyDisk::default();
    let mut spool = create(disk.handle(), options(1 << 20, 1 << 30));
    let largest = vec![7; PAYLOAD_BYTES_MAX];
    let cursors = vec![8; CURSORS_BYTES_MAX];
    let over = vec![7; PAYLOAD_BYTES_MAX + 1];
    for entry in [Entry { payload: &over, cursors: b"" }, Entry { payload: b"", cursors: &over }] {
        let small = Entry { payload: b"small", cursors: b"" };
        let error = spool.append(&[small, entry]).expect_err("too large");
        assert!(matches!(error, AppendError::TooLarge { .. }), "{error}");
        assert_eq!(spool.head(), 0);
    }
    let empty = Entry { payload: b"", cursors: b"" };
    spool.append(&[empty, Entry { payload: &largest, cursors: &cursors }, empty]).expect("fits");
    assert!(spool.read(1, 100).expect("read").is_empty(), "not durable yet");
    spool.sync().expect("sync");
    let frames = read_all(&mut spool, 100);
    assert_eq!(frames[&2].payload, largest);
    assert_eq!(frames[&2].cursors, cursors);
    assert_eq!(frames.len(), 3);
    drop((spool, frames));
    let (spool, recovery) = open(disk.handle(), options(1 << 20, 1 << 30));
    assert!(recovery.is_clean());
    assert_eq!(spool.head(), 3);
}

#[test]
fn releases_go_forward_only_and_never_beyond_what_is_durable() {
    let disk = FaultyDisk::default();
    let mut spool = create(disk.handle(), options(500, 1 << 20));
    append(&mut spool, 1..=4).expect("append");
    let error = spool.release(4, [0; 32]).expect_err("not durable");
    assert!(matches!(error, AppendError::NotDurable { to: 4, durable: 0 }), "{error}");
    spool.sync().expect("sync");
    spool.release(3, [3; 32]).expect("release");
    spool.release(2, [2; 32]).expect("at or below: nothing to do");
    assert_eq!(spool.released(), (3, [3; 32]));
    assert!(spool.read(3, 100).is_err(), "released");
    assert_eq!(spool.read(4, 100).expect("read").len(), 1);
    assert!(spool.read(5, 100).expect("the end").is_empty());
}

#[test]
fn one_directory_has_one_spool_and_one_holder() {
    let dir = tempfile::tempdir().expect("temp dir");
    let options = Options::new(dir.path().join("nested/spool"));
    let disk = || Arc::new(seam::LocalDisk);
    let none = Spool::open(disk(), options.clone(), |_| leaf()).expect("open");
    assert!(none.is_none());
    let mut spool = create(disk(), options.clone());
    let second = Spool::open(disk(), options.clone(), |_| leaf());
    assert!(matches!(second, Err(OpenError::Locked { .. })), "{second:?}");
    append(&mut spool, 1..=100).expect("append");
    spool.sync().expect("sync");
    spool.release(50, [5; 32]).expect("release");
    append(&mut spool, 101..=110).expect("append");
    drop(spool);

    let second = Spool::create(disk(), options.clone(), ID, leaf());
    assert!(matches!(second, Err(OpenError::AlreadyExists { .. })), "{second:?}");
    let (mut spool, recovery) = open(disk(), options);
    assert!(recovery.is_clean());
    assert_eq!((spool.released().0, spool.head(), spool.durable()), (50, 110, 110));
    let frames = read_all(&mut spool, 1 << 20);
    assert_eq!(frames.len(), 60);
    frames.values().for_each(check_frame);
}

/// Measures; run it alone: `cargo test --release -p spool -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement of a gibibyte on the real disk"]
fn a_gibibyte_opens_within_two_seconds() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("temp dir");
    let mut options = Options::new(dir.path().join("spool"));
    options.disk_bytes_max = 2 << 30;
    let leaf: spool::LeafFn = Arc::new(|_, _| [1; 32]);
    let disk = || Arc::new(seam::LocalDisk);
    let mut spool = Spool::create(disk(), options.clone(), ID, Arc::clone(&leaf)).expect("create");
    let payload = vec![b'x'; 1500];
    let entries = vec![Entry { payload: &payload, cursors: b"" }; 280];
    let begun = std::time::Instant::now();
    let (mut calls, mut syncs) = (0u32, std::time::Duration::ZERO);
    while spool.disk_bytes() < 1 << 30 {
        spool.append(&entries).expect("append");
        let sync = std::time::Instant::now();
        spool.sync().expect("sync");
        syncs += sync.elapsed();
        calls += 1;
    }
    println!(
        "append {:.0} MB/s with {calls} group commits, fsync {:?} each",
        spool.disk_bytes() as f64 / 1e6 / begun.elapsed().as_secs_f64(),
        syncs / calls
    );
    let head = spool.head();
    drop(spool);
    let begun = std::time::Instant::now();
    let (mut spool, recovery) =
        Spool::open(disk(), options, |_| leaf).expect("open").expect("a spool");
    let took = begun.elapsed();
    println!("open {took:?} for {head} frames");
    assert!(recovery.is_clean());
    let begun = std::time::Instant::now();
    let mut from = 1;
    loop {
        let frames = spool.read(from, 1 << 20).expect("read");
        if frames.is_empty() {
            break;
        }
        from += frames.len() as u64;
    }
    println!("read {:.0} MB/s", spool.disk_bytes() as f64 / 1e6 / begun.elapsed().as_secs_f64());
    assert_eq!(from, head + 1);
    assert!(took < std::time::Duration::from_secs(2), "{took:?}");
}
