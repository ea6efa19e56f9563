use integrity::Hash;

use super::*;
use crate::config::Limits;

fn files(rows: &[u64]) -> Vec<DataFile> {
    let partition: Partition = Partition {
        account: "111122223333".parse().expect("an account"),
        region: "eu-west-1".parse().expect("a region"),
        date: "2026-11-20".parse().expect("a date"),
    };
    let layout = Layout::new("default").expect("a name");
    let file = |(index, rows): (usize, &u64)| DataFile {
        path: layout.partition_file(&partition, index as u64, 0).to_string(),
        partition: Some(partition.clone()),
        rows: *rows,
        bytes: *rows * 100,
        sha256: Hash([0; 32]),
        min_eventtime: None,
        max_eventtime: None,
    };
    rows.iter().enumerate().map(file).collect()
}

fn check(rows: &[u64], is_over: bool, merged: &[u64]) {
    let groups = worth_merging(files(rows), is_over, &Limits::default());
    let mut found: Vec<u64> = groups.concat().iter().map(|file| file.rows).collect();
    found.sort_unstable();
    assert_eq!(found, merged, "{rows:?}, over: {is_over}");
}

#[test]
fn small_files_are_merged_and_large_ones_left_alone() {
    check(&[10], true, &[]);
    check(&[10, 10], true, &[10, 10]);
    check(&[10, 10], false, &[]);
    check(&[10; 8], false, &[10; 8]);
    check(&[1, 1_500], true, &[1, 1_500]);
    check(&[1, 15_000], true, &[]);
    check(&[100, 100_000], true, &[]);
    check(&[100, 200, 100_000], true, &[100, 200]);
    check(&[60_000, 100_000], true, &[60_000, 100_000]);
    check(&[200_000, 200_000], true, &[]);
    check(&[262_144, 262_144, 5], true, &[]);
}

#[test]
fn late_events_rewrite_a_row_a_few_times_only() {
    let mut sizes: Vec<u64> = vec![200_000];
    let mut written = 0;
    for _ in 0..1_000 {
        sizes.extend([50]);
        let groups = worth_merging(files(&sizes), true, &Limits::default());
        for group in groups {
            let rows: u64 = group.iter().map(|file| file.rows).sum();
            for file in &group {
                let at = sizes.iter().position(|rows| *rows == file.rows).expect("a file");
                sizes.remove(at);
            }
            sizes.push(rows);
            written += rows;
        }
    }
    assert!(sizes.len() <= 6, "{sizes:?}");
    assert!(written < 50 * 1_000 * 30, "{written} rows were written");
}
