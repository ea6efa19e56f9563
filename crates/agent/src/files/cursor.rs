//! The cursor of a source of files: what is committed of how far it has read.
//!
//! ```json
//! {"<key of a path>": [<at>, <length of head>, "<head>", "<word>", <part>, <base>],
//!  "finished": {"files": 16650, "sum": "<hex>", "path": "<greatest path>"}}
//! ```
//!
//! A key is 64 bits of the SHA-256 of a file's path below the source's root, in
//! eleven characters of base64url. `word` is what is open at the place (see
//! `split::Place`), or `.` for a file that was read to its end, which `at` then
//! is. Zeroes and empty words at the end are left out. Files that are read to
//! their end leave the cursor for the index of finished files when it fills up;
//! `finished` then says how many there are and the sum of their hashes, so that
//! the index can be held against it.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::head::{Head, spell, unspell};
use crate::split::Place;

/// How many files a cursor holds: at 112 bytes each, with the path in
/// `finished`, it stays below `source::CURSOR_BYTES_MAX`.
pub(super) const FILES_MAX: usize = 500;

/// How many files may stand in the cursor before finished ones leave it.
pub(super) const FILES_USUAL: usize = 350;

/// The longest path that `finished` names; of a longer one, its beginning.
const PATH_BYTES_MAX: usize = 2048;

const FINISHED: &str = "finished";

/// How far one file was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tracked {
    pub(super) head: Head,
    pub(super) progress: Progress,
}

/// How far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// To a place inside.
    At(Place),
    /// To its end, at so many bytes.
    Done(u64),
}

impl Tracked {
    /// The fewest bytes that the file must have if it is still the same.
    pub(super) fn size_min(&self) -> u64 {
        let head = u64::from(self.head.len);
        match &self.progress {
            Progress::Done(size) => *size,
            // Content offsets of packed files say nothing about their size.
            Progress::At(place) => place.base.max(head),
        }
    }

    /// Where reading goes on.
    pub(super) fn place(&self) -> Place {
        match &self.progress {
            Progress::At(place) => *place,
            Progress::Done(size) => Place { base: *size, ..Place::default() },
        }
    }

    fn to_value(&self) -> Value {
        let (at, word, part, base) = match &self.progress {
            Progress::Done(size) => (*size, ".".to_owned(), 0, 0),
            Progress::At(place) => (place.at, place.word().to_string(), place.part, place.base),
        };
        let mut value = vec![json!(at), json!(self.head.len), json!(spell(self.head.hash))];
        if !word.is_empty() || part > 0 || base > 0 {
            value.push(json!(word));
        }
        if part > 0 || base > 0 {
            value.push(json!(part));
        }
        if base > 0 {
            value.push(json!(base));
        }
        Value::Array(value)
    }

    fn from_value(value: &Value) -> Option<Self> {
        let at = value.get(0)?.as_u64()?;
        let len = u16::try_from(value.get(1)?.as_u64()?).ok()?;
        let head = Head { len, hash: unspell(value.get(2)?.as_str()?)? };
        let word = value.get(3).map_or(Some(""), Value::as_str)?;
        if word == "." {
            return Some(Self { head, progress: Progress::Done(at) });
        }
        let part = u32::try_from(value.get(4).map_or(Some(0), Value::as_u64)?).ok()?;
        let base = value.get(5).map_or(Some(0), Value::as_u64)?;
        let place = Place { base, at, part, ..Place::default() }.with_word(word)?;
        Some(Self { head, progress: Progress::At(place) })
    }
}

/// What the index of finished files holds, in few bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Finished {
    /// How many files.
    pub(super) files: u64,
    /// The sum of their hashes, whatever their order.
    pub(super) sum: u128,
    /// The greatest path among them.
    pub(super) path: String,
}

/// The cursor in memory, and what changed since the last piece.
#[derive(Debug, Default)]
pub(super) struct Cursor {
    pub(super) files: BTreeMap<u64, Tracked>,
    pub(super) finished: Finished,
    changes: Map<String, Value>,
}

impl Cursor {
    /// Reads a cursor; an error says what is wrong with it.
    pub(super) fn read(map: &Map<String, Value>) -> Result<Self, String> {
        let mut cursor = Self::default();
        for (key, value) in map {
            if key == FINISHED {
                cursor.finished = finished_from(value).ok_or("its list of finished files")?;
                continue;
            }
            let tracked = unspell(key).zip(Tracked::from_value(value));
            let (key, tracked) = tracked.ok_or_else(|| format!("the file {key}"))?;
            cursor.files.insert(key, tracked);
        }
        Ok(cursor)
    }

    /// Whether one more file would be too many.
    pub(super) fn is_full(&self) -> bool {
        self.files.len() >= FILES_MAX
    }

    /// Sets how far a file was read; told with the next piece.
    pub(super) fn set(&mut self, key: u64, tracked: Tracked) {
        self.changes.insert(spell(key), tracked.to_value());
        self.files.insert(key, tracked);
    }

    /// Forgets a file; told with the next piece.
    pub(super) fn remove(&mut self, key: u64) -> Option<Tracked> {
        self.changes.insert(spell(key), Value::Null);
        self.files.remove(&key)
    }

    /// Says what the index holds now; told with the next piece.
    pub(super) fn set_finished(&mut self, finished: Finished) {
        let mut cut = PATH_BYTES_MAX.min(finished.path.len());
        while !finished.path.is_char_boundary(cut) {
            cut -= 1;
        }
        let path = finished.path.get(..cut).unwrap_or_default();
        let sum = format!("{:032x}", finished.sum);
        let value = json!({ "files": finished.files, "sum": sum, "path": path });
        self.changes.insert(FINISHED.to_owned(), value);
        self.finished = finished;
    }

    /// The changes since the last call, as the text of a JSON object.
    pub(super) fn take_changes(&mut self) -> String {
        Value::Object(std::mem::take(&mut self.changes)).to_string()
    }

    /// Moves a file to a place, and gives the changes since the last call with
    /// it: in the usual case one file and nothing else, without a tree.
    pub(super) fn advance(&mut self, key: u64, head: Head, place: Place, label: &Label) -> String {
        let tracked = Tracked { head, progress: Progress::At(place) };
        if !self.changes.is_empty() {
            self.set(key, tracked);
            return self.take_changes();
        }
        self.files.insert(key, tracked);
        label.with(place)
    }
}

/// A file's key and head, spelled once for all its pieces.
#[derive(Debug)]
pub(super) struct Label {
    key: String,
    head: String,
}

impl Label {
    pub(super) fn new(key: u64, head: Head) -> Self {
        let head = format!(",{},\"{}\"", head.len, spell(head.hash));
        Self { key: format!("{{\"{}\":[", spell(key)), head }
    }

    /// The change that moves the file to `place`.
    fn with(&self, place: Place) -> String {
        use std::fmt::Write as _;
        let Place { at, part, base, .. } = place;
        let mut text = String::with_capacity(self.key.len() + self.head.len() + 32);
        text.push_str(&self.key);
        let written = if part == 0 && base == 0 {
            write!(text, "{at}{},\"{}\"]}}", self.head, place.word())
        } else {
            write!(text, "{at}{},\"{}\",{part},{base}]}}", self.head, place.word())
        };
        written.expect("a string takes whatever is written");
        text
    }
}

fn finished_from(value: &Value) -> Option<Finished> {
    Some(Finished {
        files: value.get("files")?.as_u64()?,
        sum: u128::from_str_radix(value.get("sum")?.as_str()?, 16).ok()?,
        path: value.get("path")?.as_str()?.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back_from_its_changes_and_stays_below_its_limit() {
        let mut cursor = Cursor::default();
        let mut committed = Map::new();
        let merge = |committed: &mut Map<String, Value>, changes: &str| {
            let changes: Map<String, Value> = serde_json::from_str(changes).expect("object");
            for (key, value) in changes {
                match value {
                    Value::Null => committed.remove(&key),
                    value => committed.insert(key, value),
                };
            }
        };
        cursor.set_finished(Finished { files: 7, sum: u128::MAX, path: "ä".repeat(5000) });
        for file in 0..FILES_MAX as u64 {
            let head = Head { len: 4096, hash: u64::MAX - file };
            let place =
                Place { base: u64::MAX / 3, at: u64::MAX / 2, part: u32::MAX, ..Place::default() };
            let place = place.with_word("oaoaoaoa").expect("word");
            let changes = cursor.advance(file, head, place, &Label::new(file, head));
            merge(&mut committed, &changes);
        }
        let bytes = Value::Object(committed.clone()).to_string().len();
        assert!(bytes <= crate::source::CURSOR_BYTES_MAX, "{bytes}");
        cursor.set(3, Tracked { head: Head::of(b"x"), progress: Progress::Done(1) });
        cursor.set(4, Tracked { head: Head::of(b""), progress: Progress::At(Place::default()) });
        cursor.remove(5);
        merge(&mut committed, &cursor.take_changes());
        let again = Cursor::read(&committed).expect("cursor");
        assert_eq!(again.files, cursor.files);
        assert_eq!(again.finished.files, 7);
        assert!(Cursor::read(&json!({"x": 1}).as_object().expect("object").clone()).is_err());
    }
}
