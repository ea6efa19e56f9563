//! A spool of three segments, cut at every byte and changed at every byte.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use crate::walk::{append, audit, name, open, options, payload, read_all, small_spool};
use faults::FaultyDisk;

/// Where the frames of each segment end, by its path; and the sequences.
fn frames_by_segment() -> BTreeMap<PathBuf, Vec<(u64, usize)>> {
    let (disk, options) = small_spool();
    let (mut spool, recovery) = open(disk.handle(), options);
    assert!(recovery.is_clean() && recovery.cut.is_none());
    assert!(audit(&mut spool, &recovery, 12).is_empty());

    let mut layout = BTreeMap::new();
    let files = disk.files();
    let paths: Vec<_> = files.keys().filter(|path| name(path).ends_with(".seg")).collect();
    let firsts: Vec<u64> =
        paths.iter().map(|path| name(path)[..20].parse().expect("digits")).collect();
    for (index, path) in paths.iter().enumerate() {
        let next = firsts.get(index + 1).copied().unwrap_or(13);
        let mut end = 128;
        let mut ends = Vec::new();
        for number in firsts[index]..next {
            end += 64 + crate::walk::cursors(number).len() + payload(number).len();
            ends.push((number, end));
        }
        assert_eq!(end, files[*path].len(), "frames fill the segment");
        layout.insert((*path).clone(), ends);
    }
    layout
}

/// A power cut can stop a write at any byte. Wherever the last segment stops,
/// recovery keeps every frame that was complete and nothing else, and goes on.
#[test]
fn a_cut_at_any_byte_keeps_exactly_the_whole_frames() {
    let layout = frames_by_segment();
    let (last, ends) = layout.iter().next_back().expect("segments");
    let (disk, options) = small_spool();
    let files = disk.files();
    for cut in 128..=files[last].len() {
        let mut files = files.clone();
        files.get_mut(last).expect("it is there").truncate(cut);
        let disk = FaultyDisk::holding(&files);
        let whole = ends.iter().filter(|(_, end)| *end <= cut).count();
        let head = ends[0].0 - 1 + whole as u64;

        let (mut spool, recovery) = open(disk.handle(), options.clone());
        assert!(recovery.is_clean(), "cut at byte {cut}: {recovery:?}");
        let keep = if whole == 0 { 128 } else { ends[whole - 1].1 };
        let expected = (keep < cut).then_some(keep as u64..cut as u64);
        assert_eq!(recovery.cut.as_ref().map(|cut| cut.bytes.clone()), expected);
        assert_eq!((spool.head(), spool.durable()), (head, head), "cut at byte {cut}");

        append(&mut spool, head + 1..=head + 2).expect("append goes on");
        spool.sync().expect("sync");
        drop(spool);
        let (mut spool, recovery) = open(disk.handle(), options.clone());
        assert!(recovery.is_clean() && recovery.cut.is_none(), "the cut was the end of it");
        assert!(audit(&mut spool, &recovery, head + 2).is_empty());
        assert_eq!(read_all(&mut spool, 1 << 20).len() as u64, head + 2);
    }
}

/// Whatever happens to a byte of a segment, only the frame that held it is lost;
/// it is reported, and the changed segment's bytes are kept.
#[test]
fn a_changed_byte_costs_its_own_frame_and_no_other() {
    let layout = frames_by_segment();
    let (disk, options) = small_spool();
    let files = disk.files();
    let last = layout.keys().next_back().expect("segments");
    for (path, ends) in &layout {
        for at in 0..files[path].len() {
            for change in [0x00, 0xff, files[path][at] ^ 0x10, files[path][at].wrapping_add(1)] {
                if files[path][at] == change {
                    continue;
                }
                let mut files = files.clone();
                files.get_mut(path).expect("it is there")[at] = change;
                let disk = FaultyDisk::holding(&files);
                let (mut spool, recovery) = open(disk.handle(), options.clone());
                let lost = audit(&mut spool, &recovery, 12);

                let hit = ends.iter().find(|(_, end)| at < *end).map(|(number, _)| *number);
                let expected: BTreeSet<_> = hit.filter(|_| at >= 128).into_iter().collect();
                let what = format!("{} byte {at} = {change:#x}: {recovery:?}", path.display());
                assert_eq!(lost, expected, "{what}");

                let torn = path == last && expected.contains(&12);
                assert_eq!(recovery.cut.is_some(), torn, "{what}");
                assert_eq!(recovery.is_clean(), torn, "{what}");
                if !torn {
                    assert!(disk.files().values().any(|kept| *kept == files[path]), "{what}");
                }
                // What was found once is found again.
                drop(spool);
                let (mut spool, again) = open(disk.handle(), options.clone());
                assert_eq!(again.damage, recovery.damage, "{what}");
                let head = spool.head();
                append(&mut spool, head + 1..=head + 1).expect("append goes on");
                spool.sync().expect("sync");
                assert!(audit(&mut spool, &again, head).is_subset(&expected), "{what}");
            }
        }
    }
}

/// Segments that are not the last can lose their end, too: that is damage.
#[test]
fn a_shortened_older_segment_is_reported_to_the_sequence() {
    let layout = frames_by_segment();
    let (disk, options) = small_spool();
    let files = disk.files();
    for (path, ends) in layout.iter().take(2) {
        for cut in 0..files[path].len() {
            let mut files = files.clone();
            files.get_mut(path).expect("it is there").truncate(cut);
            let disk = FaultyDisk::holding(&files);
            let (mut spool, recovery) = open(disk.handle(), options.clone());
            let lost = audit(&mut spool, &recovery, 12);
            let expected: BTreeSet<_> =
                ends.iter().filter(|(_, end)| *end > cut).map(|(number, _)| *number).collect();
            assert_eq!(lost, expected, "{} cut at {cut}: {recovery:?}", path.display());
            assert_eq!(spool.head(), 12);
        }
    }
}

/// The trim point is stored twice, so no one byte of it matters.
#[test]
fn a_changed_byte_of_the_trim_point_costs_nothing() {
    let (disk, options) = small_spool();
    let (mut spool, _) = open(disk.handle(), options.clone());
    spool.release(5, [9; 32]).expect("release");
    drop(spool);
    let files = disk.files();
    let path = PathBuf::from("/spool/released");
    for at in 0..files[&path].len() {
        let mut files = files.clone();
        files.get_mut(&path).expect("it is there")[at] ^= 0x55;
        let (mut spool, recovery) = open(FaultyDisk::holding(&files).handle(), options.clone());
        assert!(recovery.is_clean(), "byte {at}");
        assert_eq!(spool.released(), (5, [9; 32]));
        assert!(audit(&mut spool, &recovery, 12).is_empty());
    }
    for len in 0..files[&path].len() {
        let mut files = files.clone();
        files.get_mut(&path).expect("it is there").truncate(len);
        let (mut spool, recovery) = open(FaultyDisk::holding(&files).handle(), options.clone());
        assert_eq!(recovery.released_unknown, len < 128, "{len} bytes");
        assert!(audit(&mut spool, &recovery, 12).is_empty());
        if len < 128 {
            let first = spool.released().0 + 1;
            assert!((1..=6).contains(&first), "reading begins at the first frame kept");
        }
    }
}

/// Options are read from the caller, not from the disk: other sizes open too.
#[test]
fn a_spool_opens_with_other_sizes_than_it_was_written_with() {
    let (disk, _) = small_spool();
    let (mut spool, recovery) = open(disk.handle(), options(1 << 20, 1 << 30));
    append(&mut spool, 13..=40).expect("append");
    spool.sync().expect("sync");
    assert!(audit(&mut spool, &recovery, 40).is_empty());
}
