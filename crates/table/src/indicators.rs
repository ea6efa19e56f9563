//! The column `indicators`: all that a row names, in one list.
//!
//! Access keys and other unique ids, ARNs, account ids, addresses and ids of resources
//! that [`event::indicator`] finds in a row's columns, and names of roles' sessions;
//! each once, sorted by their bytes. The list follows from the row's other columns and
//! from nothing else, so rows of files that earlier releases wrote get it when they are
//! written again, and whoever finishes what was begun gives the same rows.
//!
//! # What it promises
//! Whatever an index finds in a row is in its list, and whatever is in its list and has
//! an indicator's form is in an index that covers its file. A row has no list (NULL) only
//! if nobody made one: it is of an older file, or it was made to name more than
//! [`LIST_PER_TEXT_MAX`] allows. So NULL means "not known", and who needs to know looks
//! at the columns.
//!
//! # Cost
//! Every string of every record is looked at, but of a batch's rows most are of the same
//! few callers: the values that a column had lately are remembered with what they name.
//! In rows that are sorted already that is most of who acted, so a pass sorts first.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, RecordBatch, StringArray};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Schema};
use arrow::error::ArrowError;
use event::indicator::{each_indicator, each_name_in_json, session_of_arn, session_of_principal};

use crate::schema::{INDICATORS, JOURNAL_ROW, JSON_COLUMNS, indicators_field};

/// The columns whose names are listed.
pub(crate) const NAMING: [&str; 9] = [
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

/// A list takes at most so many times the bytes of the texts that it was found in. An ARN
/// of nothing but the beginnings of ARNs names a hundred; what is not made for that names
/// less than it is long.
const LIST_PER_TEXT_MAX: usize = 2;

/// So many values of a column are remembered with what they name.
const SEEN_MAX: usize = 64;

/// Rows with their column `indicators`, which they may have already.
///
/// # Errors
/// The rows are none of a table's.
pub fn with_indicators(batch: RecordBatch) -> Result<RecordBatch, ArrowError> {
    let schema = batch.schema();
    if schema.index_of(INDICATORS).is_ok() {
        return Ok(batch);
    }
    let at = schema.index_of(JOURNAL_ROW)? + 1;
    let lists = lists(&batch)?;
    let mut fields: Vec<_> = schema.fields().iter().cloned().collect();
    fields.insert(at, Arc::new(indicators_field()));
    let mut columns: Vec<ArrayRef> = batch.columns().to_vec();
    columns.insert(at, Arc::new(lists));
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
}

/// One list for each row of a batch that has [`NAMING`].
pub(crate) fn lists(batch: &RecordBatch) -> Result<ListArray, ArrowError> {
    let mut names = Names::of(batch);
    let mut texts = Texts::default();
    let (mut ends, mut valid) = (vec![0], Vec::with_capacity(batch.num_rows()));
    for row in 0..batch.num_rows() {
        let text_bytes = names.go_to(row);
        let (bytes, count) = (texts.bytes.len(), texts.ends.len());
        names.all().try_for_each(|name| texts.add(name))?;
        let fits = texts.bytes.len() - bytes <= LIST_PER_TEXT_MAX * text_bytes;
        if !fits {
            texts.bytes.truncate(bytes);
            texts.ends.truncate(count);
        }
        valid.push(fits);
        ends.push(offset(texts.ends.len() - 1)?);
    }
    let DataType::List(item) = indicators_field().data_type().clone() else {
        return Err(ArrowError::SchemaError(format!("{INDICATORS} is no list")));
    };
    let nulls = Some(NullBuffer::from(valid)).filter(|nulls| nulls.null_count() > 0);
    ListArray::try_new(item, OffsetBuffer::new(ends.into()), Arc::new(texts.finish()?), nulls)
}

/// Texts in the making.
struct Texts {
    bytes: Vec<u8>,
    ends: Vec<i32>,
}

impl Default for Texts {
    fn default() -> Self {
        Self { bytes: Vec::new(), ends: vec![0] }
    }
}

impl Texts {
    fn add(&mut self, text: &str) -> Result<(), ArrowError> {
        self.bytes.extend_from_slice(text.as_bytes());
        self.ends.push(offset(self.bytes.len())?);
        Ok(())
    }

    fn finish(self) -> Result<StringArray, ArrowError> {
        let offsets = OffsetBuffer::new(self.ends.into());
        StringArray::try_new(offsets, Buffer::from_vec(self.bytes), None)
    }
}

fn offset(position: usize) -> Result<i32, ArrowError> {
    let too_large = |_| ArrowError::OffsetOverflowError(position);
    i32::try_from(position).map_err(too_large)
}

/// What the rows of a batch name, one row after the other.
///
/// Neighbours often are of one caller and say other things: what the columns name that
/// are no JSON is put in order once for all of them.
pub(crate) struct Names<'a> {
    callers: Part<'a>,
    said: Part<'a>,
}

/// Some of the columns, and what the current row names in these.
#[derive(Default)]
struct Part<'a> {
    leaves: Vec<Leaf<'a>>,
    /// Each once, sorted.
    names: Vec<Cow<'a, str>>,
}

impl<'a> Names<'a> {
    /// Before the first row of a batch that has [`NAMING`].
    pub(crate) fn of(batch: &'a RecordBatch) -> Self {
        let mut leaves = Vec::new();
        for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
            if NAMING.contains(&field.name().as_str()) {
                push_leaves(field.name(), column.as_ref(), &mut leaves);
            }
        }
        let is_json = |leaf: &Leaf<'_>| matches!(leaf.values, Values::Json(_));
        let (said, callers) = leaves.into_iter().partition(is_json);
        Self { callers: Part::of(callers), said: Part::of(said) }
    }

    /// Goes to a row; gives the bytes of its texts.
    pub(crate) fn go_to(&mut self, row: usize) -> usize {
        self.callers.go_to(row) + self.said.go_to(row)
    }

    /// What the row names, each once, in the order of its bytes.
    pub(crate) fn all(&self) -> impl Iterator<Item = &str> {
        let mut callers = self.callers.names.iter().map(Cow::as_ref).peekable();
        let mut said = self.said.names.iter().map(Cow::as_ref).peekable();
        std::iter::from_fn(move || {
            let order = match (callers.peek(), said.peek()) {
                (Some(caller), Some(one)) => caller.cmp(one),
                (Some(_), None) => Ordering::Less,
                (None, _) => Ordering::Greater,
            };
            if order == Ordering::Equal {
                said.next();
            }
            if order == Ordering::Greater { said.next() } else { callers.next() }
        })
    }
}

impl<'a> Part<'a> {
    fn of(leaves: Vec<Leaf<'a>>) -> Self {
        Self { leaves, ..Self::default() }
    }

    fn go_to(&mut self, row: usize) -> usize {
        let (mut text_bytes, mut is_new) = (0, false);
        for leaf in &mut self.leaves {
            is_new |= leaf.go_to(row);
            text_bytes += leaf.text_bytes;
        }
        if is_new {
            self.names.clear();
            for leaf in &self.leaves {
                self.names.extend_from_slice(leaf.found());
            }
            self.names.sort_unstable();
            self.names.dedup();
        }
        text_bytes
    }
}

/// One column of text, however deep it lies.
struct Leaf<'a> {
    values: Values<'a>,
    text_bytes: usize,
    /// Values that were looked at lately, each where its bytes send it.
    seen: Vec<Seen<'a>>,
    /// The current row's value among them.
    current: usize,
}

/// What a value names; no value names nothing.
#[derive(Clone, Default)]
struct Seen<'a> {
    value: Option<&'a str>,
    found: Vec<Cow<'a, str>>,
}

enum Values<'a> {
    Text(&'a StringArray),
    Principal(&'a StringArray),
    Json(&'a StringArray),
    /// Texts of a list's items, by the list.
    Items(&'a ListArray, &'a StringArray),
}

fn push_leaves<'a>(name: &str, column: &'a dyn Array, leaves: &mut Vec<Leaf<'a>>) {
    let values = match column.data_type() {
        _ if column.null_count() == column.len() => return,
        DataType::Utf8 if JSON_COLUMNS.contains(&name) => Values::Json(column.as_string()),
        DataType::Utf8 if name == "principalid" => Values::Principal(column.as_string()),
        DataType::Utf8 => Values::Text(column.as_string()),
        DataType::Struct(members) => {
            for (member, column) in members.iter().zip(column.as_struct().columns()) {
                push_leaves(member.name(), column.as_ref(), leaves);
            }
            return;
        }
        DataType::List(_) => {
            let list = column.as_list::<i32>();
            let Some(items) = list.values().as_struct_opt() else { return };
            let texts = items.columns().iter().filter_map(|texts| texts.as_string_opt());
            leaves.extend(texts.map(|texts| Leaf::of(Values::Items(list, texts))));
            return;
        }
        _ => return,
    };
    leaves.push(Leaf::of(values));
}

impl<'a> Leaf<'a> {
    fn of(values: Values<'a>) -> Self {
        // The last one is for the absence of a value, and for items.
        let seen = vec![Seen::default(); SEEN_MAX + 1];
        Self { values, text_bytes: 0, seen, current: SEEN_MAX }
    }

    /// What the current row's value names.
    fn found(&self) -> &[Cow<'a, str>] {
        self.seen.get(self.current).map_or(&[], |seen| &seen.found)
    }

    /// Goes to a row; whether it names something else than the row before.
    fn go_to(&mut self, row: usize) -> bool {
        let (Values::Text(texts) | Values::Principal(texts) | Values::Json(texts)) = self.values
        else {
            return self.go_to_items(row);
        };
        let value = texts.is_valid(row).then(|| texts.value(row));
        if self.seen.get(self.current).is_some_and(|seen| seen.value == value) {
            return false;
        }
        let had = !self.found().is_empty();
        self.text_bytes = value.map_or(0, str::len);
        self.current = value.map_or(SEEN_MAX, place_of);
        let (Some(value), Some(seen)) = (value, self.seen.get_mut(self.current)) else {
            return had;
        };
        if seen.value != Some(value) {
            seen.value = Some(value);
            let found = &mut seen.found;
            found.clear();
            match self.values {
                Values::Json(_) => each_name_in_json(value, &mut |name| found.push(name)),
                Values::Principal(_) => {
                    see_text(value, found);
                    found.extend(session_of_principal(value).map(Cow::Borrowed));
                }
                Values::Text(_) | Values::Items(..) => see_text(value, found),
            }
        }
        had || !self.found().is_empty()
    }

    fn go_to_items(&mut self, row: usize) -> bool {
        let Values::Items(list, texts) = self.values else { return false };
        let Some(Seen { found, .. }) = self.seen.get_mut(SEEN_MAX) else { return false };
        let had = !found.is_empty();
        found.clear();
        self.text_bytes = 0;
        let bounds = list.offsets().get(row).zip(list.offsets().get(row + 1));
        let Some((Ok(from), Ok(to))) =
            bounds.map(|(from, to)| (usize::try_from(*from), usize::try_from(*to)))
        else {
            return had;
        };
        if list.is_valid(row) {
            for item in (from..to).filter(|item| texts.is_valid(*item)) {
                self.text_bytes += texts.value(item).len();
                see_text(texts.value(item), found);
            }
        }
        had || !found.is_empty()
    }
}

/// Where a value is remembered: by its length, its end and its middle.
fn place_of(value: &str) -> usize {
    let bytes = value.as_bytes();
    let word = |chunk: Option<&[u8; 8]>| chunk.map_or(0, |chunk| u64::from_le_bytes(*chunk));
    let middle = bytes.get(bytes.len() / 2..).and_then(|half| half.first_chunk());
    let mixed = word(bytes.last_chunk()) ^ word(middle).rotate_left(29) ^ bytes.len() as u64;
    let place = mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    usize::try_from(place).map_or(0, |place| place % SEEN_MAX)
}

fn see_text<'a>(value: &'a str, found: &mut Vec<Cow<'a, str>>) {
    each_indicator(value, &mut |name| {
        found.push(Cow::Borrowed(name));
        found.extend(session_of_arn(name).map(Cow::Borrowed));
    });
}

#[cfg(test)]
mod tests;
