//! One record: what every body is wrapped in, and how it is believed.

use bytes::Bytes;
use integrity::{Hash, sha256};
use jiff::Timestamp;
use object_store::path::Path;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::{AppendError, LedgerError};

/// The version that a record has unless its body needs a newer one.
pub const VERSION: u64 = 1;
/// The newest version that this release reads. The wrapping is the same in all:
/// a newer version says that the body must not be passed over by a release that
/// does not know all of it.
pub const FORMAT_VERSION: u64 = 3;
/// A body larger than this is a mistake: records name objects, they do not hold them.
pub(crate) const RECORD_BYTES_MAX: usize = 16 << 20;

/// The end of what a reader or writer has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Head {
    /// The last record's number.
    pub number: u64,
    /// The hash of its bytes.
    pub hash: Hash,
}

impl Head {
    /// Before the first record.
    pub const EMPTY: Self = Self { number: 0, hash: Hash([0; 32]) };
}

impl Default for Head {
    fn default() -> Self {
        Self::EMPTY
    }
}

/// One record of a ledger, as it was put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its place in the history, from 1.
    pub number: u64,
    /// The hash of the bytes of the record before.
    pub previous: Hash,
    /// The hash of its bytes.
    pub hash: Hash,
    /// The attempt that made it.
    pub id: String,
    /// When it was made, by its writer's clock.
    pub at: Timestamp,
    /// Exactly what was put.
    pub bytes: Bytes,
    /// The object it is.
    pub path: Path,
}

#[derive(Serialize)]
struct Written<'a, T> {
    version: u64,
    number: u64,
    previous: Hash,
    id: &'a str,
    at: Timestamp,
    #[serde(flatten)]
    body: &'a T,
}

#[derive(Deserialize)]
struct Version {
    version: u64,
}

#[derive(Deserialize)]
struct Wrapping {
    number: u64,
    previous: Hash,
    id: String,
    at: Timestamp,
}

impl Record {
    /// Where the ledger stands after this record.
    #[must_use]
    pub fn head(&self) -> Head {
        Head { number: self.number, hash: self.hash }
    }

    /// What the record says. Members that `T` does not know are passed over.
    ///
    /// # Errors
    /// [`LedgerError::Damaged`] if it says no such thing.
    pub fn body<T: DeserializeOwned>(&self) -> Result<T, LedgerError> {
        serde_json::from_slice(&self.bytes).map_err(|error| damaged(&self.path, error.to_string()))
    }

    /// Makes the record after `head`.
    pub(crate) fn make<T: Serialize>(
        path: Path,
        version: u64,
        head: &Head,
        id: [u8; 16],
        at: Timestamp,
        body: &T,
    ) -> Result<Self, AppendError> {
        let unfit = |what: String| AppendError::Body { path: path.to_string(), what };
        let at = Timestamp::from_millisecond(at.as_millisecond()).unwrap_or(at);
        let written = Written {
            version,
            number: head.number + 1,
            previous: head.hash,
            id: &uuid_text(id),
            at,
            body,
        };
        let bytes = serde_json::to_vec(&written).map_err(|error| unfit(error.to_string()))?;
        if bytes.len() > RECORD_BYTES_MAX {
            return Err(unfit(format!("{} bytes, at most {RECORD_BYTES_MAX}", bytes.len())));
        }
        // A body with a member of the wrapping's name would write it twice.
        Self::read(path.clone(), written.number, bytes.into())
            .map_err(|error| unfit(error.to_string()))
    }

    /// Believes bytes to be record `number`, or says why not.
    pub(crate) fn read(path: Path, number: u64, bytes: Bytes) -> Result<Self, LedgerError> {
        let no_json = |error: serde_json::Error| damaged(&path, error.to_string());
        let Version { version } = serde_json::from_slice(&bytes).map_err(no_json)?;
        if !(VERSION..=FORMAT_VERSION).contains(&version) {
            return Err(LedgerError::UnknownVersion {
                path: path.to_string(),
                found: version,
                known: FORMAT_VERSION,
            });
        }
        let wrapping: Wrapping = serde_json::from_slice(&bytes).map_err(no_json)?;
        if wrapping.number != number {
            return Err(damaged(&path, format!("it says it is record {}", wrapping.number)));
        }
        Ok(Self {
            number,
            previous: wrapping.previous,
            hash: sha256(&bytes),
            id: wrapping.id,
            at: wrapping.at,
            bytes,
            path,
        })
    }

    /// Believes this record to follow `head`, or says why not.
    pub(crate) fn following(self, head: &Head) -> Result<Self, LedgerError> {
        if self.previous == head.hash {
            return Ok(self);
        }
        Err(LedgerError::Broken {
            path: self.path.to_string(),
            named: self.previous,
            actual: head.hash,
        })
    }
}

fn damaged(path: &Path, what: String) -> LedgerError {
    LedgerError::Damaged { path: path.to_string(), what }
}

/// Random bytes as the text of a version 4 UUID.
fn uuid_text(random: [u8; 16]) -> String {
    let random = u128::from_be_bytes(random);
    let part = |shift: u32, bits: u32| (random >> shift) & ((1 << bits) - 1);
    format!(
        "{:08x}-{:04x}-4{:03x}-{:x}{:03x}-{:012x}",
        part(96, 32),
        part(80, 16),
        part(64, 12),
        8 | part(60, 2),
        part(48, 12),
        part(0, 48)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
    struct Body {
        kind: String,
        of: Vec<u64>,
    }

    fn at() -> Timestamp {
        "2026-11-20T09:30:00.125999Z".parse().expect("a time")
    }

    fn path() -> Path {
        Path::from("log/00000000000000000001.json")
    }

    #[test]
    fn a_record_is_one_json_object_and_reads_back_as_made() {
        let body = Body { kind: "commit".into(), of: vec![1, 2] };
        let made =
            Record::make(path(), VERSION, &Head::EMPTY, [0xff; 16], at(), &body).expect("make");
        let zeros = "0".repeat(64);
        let expected = format!(
            r#"{{"version":1,"number":1,"previous":"{zeros}","id":"ffffffff-ffff-4fff-bfff-ffffffffffff","at":"2026-11-20T09:30:00.125Z","kind":"commit","of":[1,2]}}"#
        );
        assert_eq!(String::from_utf8_lossy(&made.bytes), expected);
        let read = Record::read(path(), 1, made.bytes.clone()).expect("read");
        assert_eq!(read, made);
        assert_eq!(read.body::<Body>().expect("body"), body);
        assert_eq!(read.head(), Head { number: 1, hash: sha256(expected.as_bytes()) });
    }

    #[test]
    fn a_body_that_makes_no_record_is_refused_before_it_is_put() {
        let check = |body: serde_json::Value, part: &str| {
            let made = Record::make(path(), VERSION, &Head::EMPTY, [0; 16], at(), &body);
            let said = made.expect_err("refused").to_string();
            assert!(said.contains(part), "{said}");
        };
        check(serde_json::json!([1, 2]), "flatten");
        check(serde_json::json!({"number": 7}), "duplicate");
        check(serde_json::json!({"version": 7}), "duplicate");
        check(serde_json::json!({"text": "x".repeat(RECORD_BYTES_MAX)}), "at most");
    }

    #[test]
    fn what_is_no_record_of_this_number_is_named_with_a_remedy() {
        let zeros = "0".repeat(64);
        let id = "ffffffff-ffff-4fff-bfff-ffffffffffff";
        let wrapped = |version: u64, number: u64| {
            format!(
                r#"{{"version":{version},"number":{number},"previous":"{zeros}","id":"{id}","at":"2026-11-20T09:30:00Z"}}"#
            )
        };
        let check = |bytes: String, part: &str| {
            let said = Record::read(path(), 1, bytes.into()).expect_err("refused").to_string();
            assert!(said.contains(part) && said.contains(path().as_ref()), "{said}");
        };
        assert!(Record::read(path(), 1, wrapped(1, 1).into()).is_ok());
        assert!(Record::read(path(), 1, wrapped(2, 1).into()).is_ok());
        assert!(Record::read(path(), 1, wrapped(3, 1).into()).is_ok());
        check(wrapped(4, 1), "run the release that wrote it");
        check(wrapped(1, 2), "it says it is record 2");
        check(wrapped(1, 1).replace("0000", "xxxx"), "restore this object");
        check(String::new(), "restore this object");
        check("[]".into(), "restore this object");
        check(wrapped(1, 1).split_at(60).0.to_owned(), "restore this object");
    }
}
