//! What a file is made of.

use super::*;

#[test]
fn a_file_without_rows_is_a_file() {
    for kind in [Kind::Partition, Kind::Fresh] {
        let file = FileWriter::new(kind).close().expect("closed");
        assert_eq!((file.rows, file.eventtime), (0, None));
        assert!(file.bytes.starts_with(b"PAR1"));
    }
}

#[test]
fn rows_with_other_columns_are_refused() {
    let fresh = RecordBatch::new_empty(Kind::Fresh.schema());
    assert!(FileWriter::new(Kind::Partition).write(&fresh).is_err());
}
