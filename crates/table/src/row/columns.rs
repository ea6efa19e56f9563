//! The columns of a batch in the making, and how a JSON value enters one.
//!
//! A value that its column cannot hold is noted and the column holds what fits
//! of it, or null. Every member gets exactly one value for each row.

use std::sync::Arc;

use arrow::array::ArrayBuilder as _;
use arrow::array::{
    ArrayRef, BinaryBuilder, BooleanBuilder, ListArray, StringArray, StructArray,
    TimestampMicrosecondBuilder,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field};
use event::json::{elements, string_contents, unescape};
use event::time;

use super::notes::Notes;
use super::object::{Object, Scan, Slot};
use crate::schema::{Member, Shape, data_type, struct_fields};

/// Times outside the years 1 to 9999 are no times to many readers.
const TIME_MICROS_MIN: i64 = -62_135_596_800_000_000;
const TIME_MICROS_MAX: i64 = 253_402_300_799_999_999;

/// One column in the making.
#[derive(Debug)]
pub(super) enum Column {
    Text(TextColumn),
    Json(TextColumn),
    Boolean(BooleanBuilder),
    Time(TimestampMicrosecondBuilder),
    Struct(StructColumn),
    List(ListColumn),
}

/// Texts, which are pieces of records between tokens and so are UTF-8; that is
/// checked once, for all of a batch.
#[derive(Debug, Default)]
pub(super) struct TextColumn {
    texts: BinaryBuilder,
    /// Nulls after these texts: most columns are null in most rows, and many
    /// nulls at once cost as little as one.
    nulls: usize,
}

/// Objects with these members.
#[derive(Debug)]
pub(super) struct StructColumn {
    members: &'static [Member],
    columns: Vec<Column>,
    valid: Vec<bool>,
    /// How many nulls the members' columns are behind.
    behind: usize,
}

/// Arrays of such objects.
#[derive(Debug)]
pub(super) struct ListColumn {
    scan: Scan,
    elements: StructColumn,
    ends: Vec<i32>,
    valid: Vec<bool>,
}

impl Column {
    pub(super) fn new(shape: &Shape) -> Self {
        match shape {
            Shape::Text => Self::Text(TextColumn::default()),
            Shape::Json => Self::Json(TextColumn::default()),
            Shape::Boolean => Self::Boolean(BooleanBuilder::new()),
            Shape::Time => Self::Time(
                TimestampMicrosecondBuilder::new().with_data_type(data_type(&Shape::Time)),
            ),
            Shape::Struct(members) => Self::Struct(StructColumn::new(members)),
            Shape::List(members) => Self::List(ListColumn {
                scan: Scan::default(),
                elements: StructColumn::new(members),
                ends: Vec::new(),
                valid: Vec::new(),
            }),
        }
    }

    pub(super) fn append_null(&mut self) {
        self.append_nulls(1);
    }

    fn append_nulls(&mut self, count: usize) {
        match self {
            Self::Text(column) | Self::Json(column) => column.nulls += count,
            Self::Boolean(builder) => builder.append_nulls(count),
            Self::Time(builder) => builder.append_nulls(count),
            Self::Struct(column) => column.append_nulls(count),
            Self::List(column) => (0..count).for_each(|_| column.end(false)),
        }
    }

    /// Appends the member in `slot`, whose value is `raw` and not `null`.
    fn append(&mut self, key: &str, slot: Slot, raw: &[u8], whole: &Whole<'_>, notes: &mut Notes) {
        let fits = match self {
            Self::Text(column) => column.append_text(raw),
            Self::Json(column) => {
                column.append(raw);
                true
            }
            Self::Boolean(builder) => append_boolean(builder, raw),
            Self::Time(builder) => append_time(builder, raw),
            Self::Struct(column) => match slot.inner {
                Some(object) => {
                    let entered = notes.enter(key);
                    column.append(whole, object, notes);
                    notes.leave(entered);
                    true
                }
                None => {
                    column.append_null();
                    false
                }
            },
            Self::List(column) => column.append(raw, notes),
        };
        if !fits {
            notes.unmapped(key.as_bytes(), raw);
        }
    }

    pub(super) fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Text(column) | Self::Json(column) => Arc::new(column.finish()),
            Self::Boolean(builder) => Arc::new(builder.finish()),
            Self::Time(builder) => Arc::new(builder.finish()),
            Self::Struct(column) => Arc::new(column.finish()),
            Self::List(column) => Arc::new(column.finish()),
        }
    }
}

/// What was scanned, and what was found in it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Whole<'a> {
    pub(super) record: &'a [u8],
    pub(super) scan: &'a Scan,
}

/// Appends the members of one object to their columns, and notes the others.
pub(super) fn append_members(
    members: &'static [Member],
    columns: &mut [Column],
    whole: &Whole<'_>,
    object: Object,
    notes: &mut Notes,
) {
    for (index, (member, column)) in members.iter().zip(columns).enumerate() {
        let slot = whole.scan.slot(object, index);
        match slot.value(whole.record) {
            None => column.append_null(),
            Some(raw) if slot.is_repeated => {
                // All of its values are among the others.
                let mark = notes.mark();
                append_value(member.key, column, slot, raw, whole, notes);
                notes.forget(mark);
            }
            Some(raw) => append_value(member.key, column, slot, raw, whole, notes),
        }
    }
    for (key, value) in whole.scan.others(object, whole.record) {
        notes.unmapped(key, value);
    }
}

#[inline]
fn append_value(
    key: &str,
    column: &mut Column,
    slot: Slot,
    raw: &[u8],
    whole: &Whole<'_>,
    notes: &mut Notes,
) {
    if raw == b"null" {
        column.append_null();
        notes.null(key);
    } else {
        column.append(key, slot, raw, whole, notes);
    }
}

impl TextColumn {
    pub(super) fn append(&mut self, text: &[u8]) {
        self.catch_up();
        self.texts.append_value(text);
    }

    pub(super) fn append_option(&mut self, text: Option<&[u8]>) {
        match text {
            Some(text) => self.append(text),
            None => self.nulls += 1,
        }
    }

    #[inline]
    fn catch_up(&mut self) {
        if self.nulls > 0 {
            self.texts.append_nulls(std::mem::take(&mut self.nulls));
        }
    }

    /// Appends what a JSON string says; whether `raw` is one.
    #[inline]
    fn append_text(&mut self, raw: &[u8]) -> bool {
        let Some(contents) = string_contents(raw) else {
            self.nulls += 1;
            return false;
        };
        if !contents.contains(&b'\\') {
            self.append(contents);
            return true;
        }
        // Half a surrogate pair is JSON but no text.
        let text = unescape(contents).ok();
        self.append_option(text.as_deref().map(str::as_bytes));
        text.is_some()
    }

    pub(super) fn finish(&mut self) -> StringArray {
        self.catch_up();
        let rows = self.texts.len();
        let bytes = self.texts.values_slice().len();
        // The next batch will be much like this one.
        let next = BinaryBuilder::with_capacity(rows, bytes + bytes / 8);
        let texts = std::mem::replace(&mut self.texts, next).finish();
        StringArray::try_from_binary(texts).expect("pieces of UTF-8, cut between tokens")
    }
}

impl StructColumn {
    pub(super) fn new(members: &'static [Member]) -> Self {
        let columns = members.iter().map(|member| Column::new(&member.shape)).collect();
        Self { members, columns, valid: Vec::new(), behind: 0 }
    }

    fn append(&mut self, whole: &Whole<'_>, object: Object, notes: &mut Notes) {
        self.catch_up();
        append_members(self.members, &mut self.columns, whole, object, notes);
        self.valid.push(true);
    }

    fn append_null(&mut self) {
        self.append_nulls(1);
    }

    fn append_nulls(&mut self, count: usize) {
        self.behind += count;
        self.valid.resize(self.valid.len() + count, false);
    }

    fn catch_up(&mut self) {
        let count = std::mem::take(&mut self.behind);
        if count > 0 {
            self.columns.iter_mut().for_each(|column| column.append_nulls(count));
        }
    }

    fn finish(&mut self) -> StructArray {
        self.catch_up();
        let columns = self.columns.iter_mut().map(Column::finish).collect();
        let valid = NullBuffer::from_iter(self.valid.drain(..));
        StructArray::new(struct_fields(self.members), columns, Some(valid))
    }
}

impl ListColumn {
    /// Appends an array of objects; whether it fits whole.
    fn append(&mut self, raw: &[u8], notes: &mut Notes) -> bool {
        let Ok(values) = elements(raw) else {
            self.end(false);
            return false;
        };
        let mark = notes.mark();
        let mut fits = true;
        for value in values.map_while(Result::ok) {
            self.scan.clear();
            match self.scan.object(value, 0, self.elements.members) {
                Ok((object, _)) => {
                    let whole = Whole { record: value, scan: &self.scan };
                    self.elements.append(&whole, object, notes);
                }
                Err(_) => {
                    self.elements.append_null();
                    fits = false;
                }
            }
        }
        self.end(true);
        // `unmapped` has no place for a part of an element: the array goes there whole.
        let noted = notes.forget(mark);
        fits && !noted
    }

    fn end(&mut self, valid: bool) {
        let end = i32::try_from(self.elements.valid.len());
        self.ends.push(end.expect("a batch has fewer elements than bytes, and those fit 31 bits"));
        self.valid.push(valid);
    }

    fn finish(&mut self) -> ListArray {
        let offsets = std::iter::once(0).chain(self.ends.drain(..)).collect::<Vec<_>>();
        let elements = self.elements.finish();
        let field =
            Field::new("element", DataType::Struct(struct_fields(self.elements.members)), true);
        let valid = NullBuffer::from_iter(self.valid.drain(..));
        ListArray::new(
            Arc::new(field),
            OffsetBuffer::new(offsets.into()),
            Arc::new(elements),
            Some(valid),
        )
    }
}

fn append_boolean(builder: &mut BooleanBuilder, raw: &[u8]) -> bool {
    match raw {
        b"true" => builder.append_value(true),
        b"false" => builder.append_value(false),
        b"\"true\"" => {
            builder.append_value(true);
            return false;
        }
        b"\"false\"" => {
            builder.append_value(false);
            return false;
        }
        _ => {
            builder.append_null();
            return false;
        }
    }
    true
}

/// Fits only what is written as the column is written back.
fn append_time(builder: &mut TimestampMicrosecondBuilder, raw: &[u8]) -> bool {
    let micros = time_of(raw);
    builder.append_option(micros);
    micros.is_some()
        && matches!(raw, [b'"', .., b'Z', b'"'] if raw.len() == 22 && raw.get(11) == Some(&b'T'))
}

/// The time that a JSON value is, if it is one that the column can hold.
pub(super) fn time_of(raw: &[u8]) -> Option<i64> {
    let text = unescape(string_contents(raw)?).ok()?;
    time::parse(text.as_bytes())
        .filter(|micros| (TIME_MICROS_MIN..=TIME_MICROS_MAX).contains(micros))
}
