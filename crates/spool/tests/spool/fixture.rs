//! A committed spool of format version 1: every later release reads it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::walk::{append, audit, create, open, options};
use faults::FaultyDisk;

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/v1")
}

/// The spool that the fixture is: released to 3, 9 entries, two segments.
fn made_now() -> BTreeMap<PathBuf, Vec<u8>> {
    let disk = FaultyDisk::default();
    let mut spool = create(disk.handle(), options(600, 1 << 20));
    for number in 1..=9 {
        append(&mut spool, number..=number).expect("append");
    }
    spool.sync().expect("sync");
    spool.release(3, [3; 32]).expect("release");
    disk.files().into_iter().filter(|(path, _)| !path.ends_with("reserve")).collect()
}

#[test]
fn format_version_1_is_read() {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(fixture()).expect("create");
        for (path, bytes) in made_now() {
            std::fs::write(fixture().join(path.file_name().expect("a name")), bytes)
                .expect("write");
        }
    }
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(fixture()).expect("the fixture is committed") {
        let path = entry.expect("entry").path();
        let name = Path::new("/spool").join(path.file_name().expect("a name"));
        files.insert(name, std::fs::read(path).expect("read"));
    }
    let (mut spool, recovery) = open(FaultyDisk::holding(&files).handle(), options(600, 1 << 20));
    assert!(recovery.is_clean() && recovery.cut.is_none(), "{recovery:?}");
    assert_eq!(spool.released(), (3, [3; 32]));
    assert_eq!(spool.head(), 9);
    assert!(audit(&mut spool, &recovery, 9).is_empty());
    assert_eq!(files, made_now(), "a change of format needs a new version and a new fixture");
}
