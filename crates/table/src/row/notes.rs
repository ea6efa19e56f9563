//! What a row's columns cannot hold: the texts `unmapped` and `nulls`.
//!
//! `unmapped` is a JSON object. A member of it is the record's own value, and
//! the column of that name holds only what fits of it:
//! - an unknown member: `{"newField":1}`;
//! - a value that is no value of its column: `{"userAgent":["a","b"]}`;
//! - inside an object with columns only what is left: `{"userIdentity":{"new":1}}`
//!   is united with the struct's members, on every level;
//! - a member that stood there more than once is there as often, in order, and
//!   its column holds what fits of the last one; that is never united.
//!
//! `nulls` names the members with a column that the record holds as `null`, by
//! path and separated by commas: `responseElements,userIdentity.userName`. What
//! is in neither and not in its column is absent from the record.

/// The two texts of one row in the making.
#[derive(Debug, Default)]
pub(super) struct Notes {
    /// The members of `unmapped`, without the braces around them.
    unmapped: Vec<u8>,
    nulls: String,
    /// The path of the object being read: `userIdentity.sessionContext.`
    path: String,
}

/// How far the notes went, to return to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    unmapped: usize,
    nulls: usize,
}

/// An object that was entered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entered {
    before: usize,
    after: usize,
    path: usize,
}

impl Notes {
    /// Begins a row.
    pub(super) fn clear(&mut self) {
        self.unmapped.clear();
        self.nulls.clear();
        self.path.clear();
    }

    /// A member that no column holds: its key as between quotes, its value's bytes.
    pub(super) fn unmapped(&mut self, key: &[u8], value: &[u8]) {
        self.key(key);
        self.unmapped.extend_from_slice(value);
    }

    /// A member with a column that is `null`.
    pub(super) fn null(&mut self, key: &str) {
        if !self.nulls.is_empty() {
            self.nulls.push(',');
        }
        self.nulls.push_str(&self.path);
        self.nulls.push_str(key);
    }

    /// Goes into an object whose members have columns.
    pub(super) fn enter(&mut self, key: &str) -> Entered {
        let before = self.unmapped.len();
        self.key(key.as_bytes());
        self.unmapped.push(b'{');
        let path = self.path.len();
        self.path.push_str(key);
        self.path.push('.');
        Entered { before, after: self.unmapped.len(), path }
    }

    /// Leaves it; nothing remains of an object that had nothing to note.
    pub(super) fn leave(&mut self, entered: Entered) {
        self.path.truncate(entered.path);
        if self.unmapped.len() == entered.after {
            self.unmapped.truncate(entered.before);
        } else {
            self.unmapped.push(b'}');
        }
    }

    pub(super) fn mark(&self) -> Mark {
        Mark { unmapped: self.unmapped.len(), nulls: self.nulls.len() }
    }

    /// Forgets what was noted since `mark`; whether there was anything.
    pub(super) fn forget(&mut self, mark: Mark) -> bool {
        let noted = self.mark() != mark;
        self.unmapped.truncate(mark.unmapped);
        self.nulls.truncate(mark.nulls);
        noted
    }

    /// The text of `unmapped`, if there is anything.
    pub(super) fn unmapped_text(&mut self) -> Option<&[u8]> {
        if self.unmapped.is_empty() {
            return None;
        }
        self.unmapped.insert(0, b'{');
        self.unmapped.push(b'}');
        Some(&self.unmapped)
    }

    /// The text of `nulls`, if there is anything.
    pub(super) fn nulls_text(&self) -> Option<&str> {
        Some(self.nulls.as_str()).filter(|nulls| !nulls.is_empty())
    }

    fn key(&mut self, key: &[u8]) {
        if !matches!(self.unmapped.last(), None | Some(b'{')) {
            self.unmapped.push(b',');
        }
        self.unmapped.push(b'"');
        self.unmapped.extend_from_slice(key);
        self.unmapped.extend_from_slice(b"\":");
    }
}
