//! Chooses between the files of a day and its copy for the organization at once.

use std::collections::{BTreeMap, HashSet};

use jiff::civil::Date;
use table::{DataFile, TableSnapshot};

/// What opening a file costs beside its bytes, as so many of them.
const OPENING_BYTES: u64 = 64 << 10;

/// Takes parts of copies in place of the files that they cover, where that is less
/// to read. Gives the files that are left, and the parts.
pub(crate) fn with_copies(
    snapshot: &TableSnapshot,
    files: Vec<DataFile>,
) -> (Vec<DataFile>, Vec<DataFile>) {
    let mut by_date: BTreeMap<Date, Vec<&DataFile>> = BTreeMap::new();
    for file in &files {
        if let Some(partition) = &file.partition {
            by_date.entry(partition.date).or_default().push(file);
        }
    }
    let mut copies = Vec::new();
    let mut covered: HashSet<String> = HashSet::new();
    for (date, of_date) in by_date {
        for part in snapshot.copies_of(date) {
            let in_it = || of_date.iter().filter(|file| part.stretch.covers(file));
            let cost: u64 = in_it().map(|file| file.bytes + OPENING_BYTES).sum();
            if cost > part.file.bytes + OPENING_BYTES {
                covered.extend(in_it().map(|file| file.path.clone()));
                copies.push(part.file.clone());
            }
        }
    }
    let left = files.into_iter().filter(|file| !covered.contains(&file.path)).collect();
    (left, copies)
}
