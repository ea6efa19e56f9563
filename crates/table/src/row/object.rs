//! One walk over a record: where the members that have columns stand, and the rest.
//!
//! Objects with columns of their own are entered on the way, so that no byte of
//! a record is looked at twice. What is found are positions; the buffers that
//! hold them are used for record after record.

use std::ops::Range;

use event::json::{Fault, SyntaxError, extent, skip_blank, unescape};

use crate::schema::{Member, Shape};

/// What a walk has found.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// For each object entered, where its slots begin.
    objects: Vec<usize>,
    /// For each object entered, a slot for each of its members.
    slots: Vec<Slot>,
    others: Vec<Other>,
}

/// An object that was entered, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Object(usize);

/// Where a member's value stands: the last one, if there are several.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Slot {
    start: usize,
    end: usize,
    /// The value is an object that was entered.
    pub(super) inner: Option<Object>,
    /// The member stood there more than once.
    pub(super) is_repeated: bool,
}

/// A member without a column, or one occurrence of a repeated member.
#[derive(Clone, Debug)]
struct Other {
    object: Object,
    /// As it stands between its quotes.
    key: Range<usize>,
    value: Range<usize>,
}

impl Slot {
    /// The value as it stands in the record.
    #[inline]
    pub(super) fn value(self, record: &[u8]) -> Option<&[u8]> {
        record.get(self.start..self.end).filter(|value| !value.is_empty())
    }
}

impl Scan {
    /// Forgets the record before.
    pub(super) fn clear(&mut self) {
        self.objects.clear();
        self.slots.clear();
        self.others.clear();
    }

    /// The slot of an object's member.
    #[inline]
    pub(super) fn slot(&self, object: Object, member: usize) -> Slot {
        let base = self.objects.get(object.0);
        base.and_then(|base| self.slots.get(base + member)).copied().unwrap_or_default()
    }

    /// An object's members without a column and every occurrence of its
    /// repeated ones, in their order: key (between its quotes) and value.
    pub(super) fn others<'a>(
        &self,
        object: Object,
        record: &'a [u8],
    ) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        let piece = |range: &Range<usize>| record.get(range.clone()).unwrap_or_default();
        let own = self.others.iter().filter(move |other| other.object == object);
        own.map(move |other| (piece(&other.key), piece(&other.value)))
    }

    /// Walks over the object at `at`, which is checked whole but for its UTF-8;
    /// the position after it.
    pub(super) fn object(
        &mut self,
        record: &[u8],
        at: usize,
        members: &'static [Member],
    ) -> Result<(Object, usize), SyntaxError> {
        expect(record, at, b'{')?;
        let object = Object(self.objects.len());
        let base = self.slots.len();
        self.objects.push(base);
        self.slots.resize(base + members.len(), Slot::default());
        let mut at = skip_blank(record, at + 1);
        if record.get(at) == Some(&b'}') {
            return Ok((object, at + 1));
        }
        let mut expected = 0;
        loop {
            expect(record, at, b'"')?;
            let key_end = extent(record, at)?;
            let key = at + 1..key_end - 1;
            let colon = skip_blank(record, key_end);
            expect(record, colon, b':')?;
            let start = skip_blank(record, colon + 1);
            let name = record.get(key.clone()).unwrap_or_default();
            let index = index_of(members, expected, name);
            let member = index.and_then(|index| members.get(index));
            let (inner, end) = match member.map(|member| &member.shape) {
                Some(Shape::Struct(inner)) if record.get(start) == Some(&b'{') => {
                    let (inner, end) = self.object(record, start, inner)?;
                    (Some(inner), end)
                }
                _ => (None, extent(record, start)?),
            };
            match index {
                Some(index) => {
                    self.see(
                        object,
                        base + index,
                        key,
                        Slot { start, end, inner, is_repeated: false },
                    );
                    expected = index + 1;
                }
                None => self.others.push(Other { object, key, value: start..end }),
            }
            at = skip_blank(record, end);
            match record.get(at) {
                Some(b',') => at = skip_blank(record, at + 1),
                Some(b'}') => return Ok((object, at + 1)),
                Some(_) => return Err(SyntaxError { at, what: Fault::Byte }),
                None => return Err(SyntaxError { at, what: Fault::End }),
            }
        }
    }

    #[inline]
    fn see(&mut self, object: Object, index: usize, key: Range<usize>, found: Slot) {
        let Some(slot) = self.slots.get_mut(index) else { return };
        let earlier = std::mem::replace(slot, found);
        if earlier.end == 0 {
            return;
        }
        slot.is_repeated = true;
        let value = found.start..found.end;
        if !earlier.is_repeated {
            // Its key may have been written otherwise, but it means the same.
            let value = earlier.start..earlier.end;
            self.others.push(Other { object, key: key.clone(), value });
        }
        self.others.push(Other { object, key, value });
    }
}

#[inline]
fn expect(record: &[u8], at: usize, wanted: u8) -> Result<(), SyntaxError> {
    match record.get(at) {
        Some(byte) if *byte == wanted => Ok(()),
        Some(_) => Err(SyntaxError { at, what: Fault::Byte }),
        None => Err(SyntaxError { at, what: Fault::End }),
    }
}

/// Which member `key` is. Records mostly follow the columns' order, so the
/// search begins where the last one ended.
#[inline]
fn index_of(members: &[Member], expected: usize, key: &[u8]) -> Option<usize> {
    let (before, after) = members.split_at_checked(expected).unwrap_or((&[], members));
    let is_it = |member: &Member| member.key.as_bytes() == key;
    match after.iter().position(is_it) {
        Some(index) => Some(before.len() + index),
        None => before.iter().position(is_it).or_else(|| index_of_escaped(members, key)),
    }
}

/// The same for a key written with escapes.
#[cold]
fn index_of_escaped(members: &[Member], key: &[u8]) -> Option<usize> {
    if !key.contains(&b'\\') {
        return None;
    }
    let name = unescape(key).ok()?;
    members.iter().position(|member| member.key == name)
}
