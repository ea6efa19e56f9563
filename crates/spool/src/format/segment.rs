//! A segment's name and header; frames (see [`super::frame`]) follow it.
//!
//! ```text
//!   0  "otspool\0"            magic
//!   8  u16   version
//!  10  [6]   zero
//!  16  [16]  spool id
//!  32  u64   first sequence   also the file's name, 20 digits
//!  40  [64]  signing key      room; zero for now
//! 104  [20]  zero
//! 124  u32   crc32c of bytes 0..124
//! 128  frames
//! ```

use super::{Decoded, Fields, SEQUENCE_MAX, SIGNING_KEY_LEN, VERSION, seal, unseal};

/// Length of the header, which is where the first frame begins.
pub(crate) const HEADER_LEN: usize = 128;

/// [`HEADER_LEN`] as a place in a file.
pub(crate) const FRAMES_AT: u64 = HEADER_LEN as u64;

const MAGIC: [u8; 8] = *b"otspool\0";
const NAME_DIGITS: usize = 20;

/// Whose segment it is, and where its sequences begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) id: [u8; 16],
    pub(crate) first: u64,
}

impl Header {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_LEN);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&[0; 6]);
        bytes.extend_from_slice(&self.id);
        bytes.extend_from_slice(&self.first.to_le_bytes());
        bytes.extend_from_slice(&[0; SIGNING_KEY_LEN]);
        bytes.resize(HEADER_LEN - 4, 0);
        seal(bytes)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Decoded<Self> {
        Self::fields(bytes).unwrap_or(Decoded::Unreadable)
    }

    fn fields(bytes: &[u8]) -> Option<Decoded<Self>> {
        let mut fields = Fields(unseal(bytes.get(..HEADER_LEN)?)?);
        if fields.take()? != MAGIC {
            return None;
        }
        let version = fields.u16()?;
        if version > VERSION {
            return Some(Decoded::Newer(version));
        }
        fields.take::<6>()?;
        let header = Self { id: fields.take()?, first: fields.u64()? };
        is_sequence(header.first).then_some(Decoded::Whole(header))
    }
}

/// The name of the segment that begins with a sequence.
pub(crate) fn name(first: u64) -> String {
    format!("{first:020}.seg")
}

/// What a segment is called once damage was found in it.
pub(crate) fn damaged_name(first: u64) -> String {
    format!("{first:020}.damaged")
}

/// A name's first sequence, and whether it says that there is damage; `None` for
/// a file that is no segment.
pub(crate) fn parse_name(name: &str) -> Option<(u64, bool)> {
    let (digits, rest) = name.split_at_checked(NAME_DIGITS)?;
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let first = digits.parse().ok().filter(|first| is_sequence(*first))?;
    match rest {
        ".seg" => Some((first, false)),
        ".damaged" => Some((first, true)),
        _ => None,
    }
}

fn is_sequence(number: u64) -> bool {
    (1..=SEQUENCE_MAX).contains(&number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_reads_back_and_a_newer_version_says_so() {
        let header = Header { id: [7; 16], first: 42 };
        let bytes = header.encode();
        assert_eq!(bytes.len(), HEADER_LEN);
        assert_eq!(Header::decode(&bytes), Decoded::Whole(header));

        let mut newer = bytes.get(..HEADER_LEN - 4).expect("a header is longer").to_vec();
        newer.splice(8..10, 2u16.to_le_bytes());
        assert_eq!(Header::decode(&seal(newer)), Decoded::Newer(2));
    }

    #[test]
    fn only_names_of_segments_are_names_of_segments() {
        fn check(name: &str, expected: Option<(u64, bool)>) {
            assert_eq!(parse_name(name), expected, "{name}");
        }
        check(&name(1), Some((1, false)));
        check(&damaged_name(77), Some((77, true)));
        check("00000000000000000001.damaged.unreadable", None);
        check(&name(0), None);
        check(&name(u64::MAX), None);
        check("00000000000000000001.seg.unreadable", None);
        check("99999999999999999999.seg", None);
        check("1.seg", None);
        check("0000000000000000000\u{e9}.seg", None);
    }
}
