//! One JSON object, its members sorted into those that have a column and the rest.

use event::json::{Members, SyntaxError, unescape};

use crate::schema::Member;

/// The members of one object of a record, as pieces of its bytes; at most `N`
/// of them have columns.
pub(super) struct Found<'a, const N: usize> {
    members: &'static [Member],
    /// By member: the value that counts (the last one), empty if absent.
    values: [&'a [u8]; N],
    /// Which members stood there more than once, a bit each.
    repeated: u64,
    /// Members without a column, and every occurrence of the repeated ones,
    /// in the record's order: the key as it stands between its quotes, the value.
    pub(super) others: Vec<(&'a [u8], &'a [u8])>,
}

impl<'a, const N: usize> Found<'a, N> {
    /// Walks over the object's members to its end.
    pub(super) fn scan(
        members: &'static [Member],
        mut walk: Members<'a>,
    ) -> Result<(Self, Members<'a>), SyntaxError> {
        let mut found = Self { members, values: [&[]; N], repeated: 0, others: Vec::new() };
        let mut expected = 0;
        // By reference: the caller asks the walk where the object ended.
        for member in &mut walk {
            let member = member?;
            match index_of(members, expected, member.key) {
                Some(index) => {
                    found.see(index, member.key, member.value);
                    expected = index + 1;
                }
                None => found.others.push((member.key, member.value)),
            }
        }
        Ok((found, walk))
    }

    /// The value of member `index` as it stands in the record.
    pub(super) fn value(&self, index: usize) -> Option<&'a [u8]> {
        self.values.get(index).copied().filter(|value| !value.is_empty())
    }

    /// Whether member `index` stood there more than once.
    pub(super) fn is_repeated(&self, index: usize) -> bool {
        self.repeated >> index & 1 == 1
    }

    #[inline]
    fn see(&mut self, index: usize, key: &'a [u8], value: &'a [u8]) {
        let Some(slot) = self.values.get_mut(index) else { return };
        let earlier = std::mem::replace(slot, value);
        if earlier.is_empty() {
            return;
        }
        if self.repeated >> index & 1 == 0 {
            self.repeated |= 1 << index;
            // Its first key may have been written otherwise; the name is the same.
            let name = self.members.get(index).map_or(key, |member| member.key.as_bytes());
            self.others.push((name, earlier));
        }
        self.others.push((key, value));
    }
}

/// Which member `key` is. Records mostly follow the columns' order, so the
/// search begins where the last one ended.
#[inline]
fn index_of(members: &[Member], expected: usize, key: &[u8]) -> Option<usize> {
    let (before, after) = members.split_at_checked(expected).unwrap_or((&[], members));
    let is_it = |member: &Member| member.key.as_bytes() == key;
    match after.iter().position(is_it) {
        Some(index) => Some(members.len() - after.len() + index),
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
