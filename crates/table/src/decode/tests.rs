//! What a reader that fetches ranges needs of a file, and no more.

use event::AccountId;

use super::*;
use crate::encode::{Encoded, FileWriter, Kind};
use crate::partition::Regions;
use crate::row::{RowBuilder, RowSource};

const ROWS: usize = 70_000;

fn batch(rows: Range<usize>) -> RecordBatch {
    let mut builder = RowBuilder::new();
    for row in rows {
        let line = format!(
            r#"{{"eventVersion":"1.08","eventID":"{row:036}","eventTime":"2026-11-20T10:00:00Z"}}"#
        );
        let source = RowSource {
            agent_account: AccountId::UNKNOWN,
            agent: "main",
            speaks_for: None,
            committed_at: "2026-11-20T12:00:00Z".parse().expect("a time"),
            record: 1,
            row: row as u64,
        };
        builder.push(line.as_bytes(), &source, &mut Regions::default()).expect("a record");
    }
    builder.finish()
}

fn file() -> Encoded {
    let mut writer = FileWriter::new(Kind::Partition);
    for start in (0..ROWS).step_by(5_000) {
        writer.write(&batch(start..start + 5_000)).expect("written");
    }
    writer.close().expect("closed")
}

fn piece(file: &Bytes, range: Range<u64>) -> Bytes {
    let at = |position| usize::try_from(position).expect("in memory");
    file.slice(at(range.start)..at(range.end))
}

#[test]
fn a_footer_says_how_much_of_the_files_end_it_needs() {
    let file = file().bytes;
    let length = file.len() as u64;
    let error = Footer::parse(file.slice(file.len() - 8..), length).expect_err("too short");
    let ParquetError::NeedMoreData(needed) = error else { panic!("{error}") };
    let footer = Footer::parse(file.slice(file.len() - needed..), length).expect("enough");
    assert_eq!(footer.rows(), ROWS as u64);
    assert!(Footer::parse(Bytes::from_static(b"no parquet"), 10).is_err());
}

#[test]
fn row_groups_are_read_one_by_one_from_their_own_bytes() {
    let file = file();
    let length = file.bytes.len() as u64;
    let footer = Footer::parse(file.bytes.clone(), length).expect("a footer");
    let groups = footer.row_groups();
    assert!(groups.len() > 1, "row groups are bounded: {groups:?}");
    assert!(groups.is_sorted_by(|one, next| one.end <= next.start), "{groups:?}");
    let mut rows = 0;
    for (index, range) in groups.iter().enumerate() {
        let batches = footer.read(index, piece(&file.bytes, range.clone()), 1_000);
        for read in batches.expect("a row group") {
            let read = read.expect("a batch");
            assert_eq!(read, batch(rows..rows + read.num_rows()));
            rows += read.num_rows();
        }
    }
    assert_eq!(rows, ROWS);
    assert!(footer.read(groups.len(), Bytes::new(), 1_000).is_err(), "there is no such group");
}
