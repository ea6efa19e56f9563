//! Where records are: twenty digits, so that names sort as numbers do.

use object_store::path::Path;

pub(crate) fn record(prefix: &Path, number: u64) -> Path {
    prefix.clone().join(format!("{number:020}.json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_sort_as_numbers_do() {
        let log = Path::from("journal/log");
        assert_eq!(record(&log, 42).as_ref(), "journal/log/00000000000000000042.json");
        assert!(record(&log, 9) < record(&log, 10));
        assert_eq!(record(&log, u64::MAX).as_ref(), "journal/log/18446744073709551615.json");
    }
}
