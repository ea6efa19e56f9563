//! Finds the indicators of rows.

use std::collections::HashMap;

use arrow::array::{Array, AsArray, RecordBatch, StringArray};
use arrow::datatypes::{DataType, TimestampMicrosecondType};
use event::indicator::{each_indicator, each_indicator_in_json};

/// The columns that name things, and the time.
pub(super) const COLUMNS: &[&str] = &[
    "eventtime",
    "useridentity",
    "sourceipaddress",
    "recipientaccountid",
    "vpcendpointid",
    "resources",
    "requestparameters",
    "responseelements",
    "additionaleventdata",
    "serviceeventdetails",
];

/// Those of them that hold JSON.
const JSON: [&str; 4] =
    ["requestparameters", "responseelements", "additionaleventdata", "serviceeventdetails"];

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

    /// Adds rows that have [`COLUMNS`].
    pub(super) fn add(&mut self, batch: &RecordBatch) {
        let times = batch
            .column_by_name("eventtime")
            .and_then(|times| times.as_primitive_opt::<TimestampMicrosecondType>());
        let columns = batch.schema();
        let mut leaves = Vec::new();
        for (field, column) in columns.fields().iter().zip(batch.columns()) {
            push_leaves(column.as_ref(), JSON.contains(&field.name().as_str()), &mut leaves);
        }
        for row in 0..batch.num_rows() {
            let time = times.filter(|times| times.is_valid(row)).map(|times| times.value(row));
            let number = self.row;
            self.row += 1;
            let seen = &mut self.seen;
            let mut see = |text: &str| note(seen, text, number, time);
            if let Some(account) = &self.account {
                see(account);
            }
            for leaf in &leaves {
                leaf.each(row, &mut see);
            }
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

/// One column of text, however deep it lies.
enum Leaf<'a> {
    Plain(&'a StringArray),
    Json(&'a StringArray),
    /// Texts of a list's items, by the list's offsets.
    Items(&'a [i32], &'a StringArray),
}

fn push_leaves<'a>(column: &'a dyn Array, is_json: bool, leaves: &mut Vec<Leaf<'a>>) {
    match column.data_type() {
        DataType::Utf8 if is_json => leaves.push(Leaf::Json(column.as_string())),
        DataType::Utf8 => leaves.push(Leaf::Plain(column.as_string())),
        DataType::Struct(_) => {
            for member in column.as_struct().columns() {
                push_leaves(member.as_ref(), is_json, leaves);
            }
        }
        DataType::List(_) => {
            let list = column.as_list::<i32>();
            let mut items = Vec::new();
            push_leaves(list.values().as_ref(), is_json, &mut items);
            let offsets: &[i32] = list.offsets();
            leaves.extend(items.into_iter().filter_map(|item| match item {
                Leaf::Plain(texts) => Some(Leaf::Items(offsets, texts)),
                Leaf::Json(_) | Leaf::Items(..) => None,
            }));
        }
        _ => {}
    }
}

impl Leaf<'_> {
    fn each(&self, row: usize, see: &mut impl FnMut(&str)) {
        let at = |texts: &StringArray, row: usize, see: &mut dyn FnMut(&str)| {
            if texts.is_valid(row) {
                each_indicator(texts.value(row), &mut |text| see(text));
            }
        };
        match self {
            Self::Plain(texts) => at(texts, row, see),
            Self::Json(texts) if texts.is_valid(row) => {
                each_indicator_in_json(texts.value(row), see);
            }
            Self::Json(_) => {}
            Self::Items(offsets, texts) => {
                let bounds = offsets.get(row).zip(offsets.get(row + 1));
                let Some((Ok(from), Ok(to))) =
                    bounds.map(|(from, to)| (usize::try_from(*from), usize::try_from(*to)))
                else {
                    return;
                };
                for item in from..to {
                    at(texts, item, see);
                }
            }
        }
    }
}
