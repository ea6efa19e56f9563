//! Gathers the indicators of rows: from the lists that rows have of them, or, where a row
//! has none, from the columns that such a list is made of.

use std::collections::HashMap;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::TimestampMicrosecondType;
use event::indicator::is_indicator;

use crate::indicators::{NAMING, Names};
use crate::schema::INDICATORS;

/// When an event was.
const TIME: &str = "eventtime";

/// The columns that say it of each row, and the time.
pub(super) const LISTED: &[&str] = &[TIME, INDICATORS];

/// The columns that it is found in, and the time: those that lists are made of, or an
/// index would miss what a list names.
pub(super) fn searched() -> Vec<&'static str> {
    std::iter::once(TIME).chain(NAMING).collect()
}

/// In how many rows an indicator is, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) rows: u64,
    pub(super) first: Option<i64>,
    pub(super) last: Option<i64>,
    /// The number of the last row that named it.
    row: u64,
}

impl Seen {
    /// What an index says of an indicator.
    pub(super) fn of(rows: i64, first: Option<i64>, last: Option<i64>) -> Self {
        Self { rows: rows.unsigned_abs(), first, last, row: 0 }
    }
}

/// Indicators of one row group.
#[derive(Default)]
pub(super) struct Collector {
    seen: HashMap<Box<str>, Seen>,
    /// The partition's account, which every row names.
    account: Option<Box<str>>,
    row: u64,
}

impl Collector {
    pub(super) fn new(account: Option<&str>) -> Self {
        Self { account: account.map(Box::from), ..Self::default() }
    }

    /// Adds rows that have [`LISTED`]; false if one has no list, so that they have to be
    /// searched.
    pub(super) fn add_listed(&mut self, batch: &RecordBatch) -> bool {
        let lists = batch.column_by_name(INDICATORS).and_then(|lists| lists.as_list_opt::<i32>());
        let Some(lists) = lists.filter(|lists| lists.null_count() == 0) else { return false };
        let Some(texts) = lists.values().as_string_opt::<i32>() else { return false };
        let mut ends = lists.offsets().iter().filter_map(|end| usize::try_from(*end).ok());
        let mut from = ends.next().unwrap_or(0);
        self.add_rows(batch, |_, see| {
            let to = ends.next().unwrap_or(from);
            for item in std::mem::replace(&mut from, to)..to {
                if texts.is_valid(item) {
                    see(texts.value(item));
                }
            }
        });
        true
    }

    /// Adds rows that have the columns of [`searched`].
    pub(super) fn add_searched(&mut self, batch: &RecordBatch) {
        let mut names = Names::of(batch);
        self.add_rows(batch, |row, see| {
            names.go_to(row);
            names.all().for_each(see);
        });
    }

    /// Adds rows, of which `names` says what each names.
    fn add_rows(
        &mut self,
        batch: &RecordBatch,
        mut names: impl FnMut(usize, &mut dyn FnMut(&str)),
    ) {
        let times = batch
            .column_by_name(TIME)
            .and_then(|times| times.as_primitive_opt::<TimestampMicrosecondType>());
        for row in 0..batch.num_rows() {
            let time = times.filter(|times| times.is_valid(row)).map(|times| times.value(row));
            let number = self.row;
            self.row += 1;
            let seen = &mut self.seen;
            if let Some(account) = &self.account {
                note(seen, account, number, time);
            }
            names(row, &mut |name| {
                // A session's name may look like anything: no reader would believe it.
                if is_indicator(name) {
                    note(seen, name, number, time);
                }
            });
        }
    }

    pub(super) fn finish(self) -> HashMap<Box<str>, Seen> {
        self.seen
    }
}

fn note(seen: &mut HashMap<Box<str>, Seen>, text: &str, row: u64, time: Option<i64>) {
    match seen.get_mut(text) {
        Some(seen) if seen.row == row => {}
        Some(seen) => {
            seen.rows += 1;
            seen.row = row;
            seen.first = seen.first.into_iter().chain(time).min();
            seen.last = seen.last.max(time);
        }
        None => {
            seen.insert(text.into(), Seen { rows: 1, first: time, last: time, row });
        }
    }
}
