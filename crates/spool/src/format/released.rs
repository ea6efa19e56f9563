//! The trim point: the file `released`.
//!
//! The same 128 bytes twice, 4 KiB apart, so that one bad sector costs nothing:
//!
//! ```text
//!   0  "otsptrim"         magic
//!   8  u16   version
//!  10  [6]   zero
//!  16  [16]  spool id
//!  32  u64   released     the last sequence that is acked
//!  40  [32]  chain        the stream's chain hash there
//!  72  [52]  zero
//! 124  u32   crc32c of bytes 0..124
//! ```

use super::{Decoded, Fields, SEQUENCE_MAX, VERSION, seal, unseal};

/// Where the second copy begins.
const SECOND_AT: usize = 4096;
const COPY_LEN: usize = 128;
/// Length of the file.
pub(crate) const FILE_LEN: usize = SECOND_AT + COPY_LEN;

const MAGIC: [u8; 8] = *b"otsptrim";

/// What was released, of which spool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Released {
    pub(crate) id: [u8; 16],
    pub(crate) sequence: u64,
    pub(crate) chain: [u8; 32],
}

impl Released {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut copy = Vec::with_capacity(COPY_LEN);
        copy.extend_from_slice(&MAGIC);
        copy.extend_from_slice(&VERSION.to_le_bytes());
        copy.extend_from_slice(&[0; 6]);
        copy.extend_from_slice(&self.id);
        copy.extend_from_slice(&self.sequence.to_le_bytes());
        copy.extend_from_slice(&self.chain);
        copy.resize(COPY_LEN - 4, 0);
        let copy = seal(copy);

        let mut file = copy.clone();
        file.resize(SECOND_AT, 0);
        file.extend_from_slice(&copy);
        file
    }

    pub(crate) fn decode(bytes: &[u8]) -> Decoded<Self> {
        [0, SECOND_AT]
            .into_iter()
            .find_map(|at| Self::copy(bytes.get(at..at + COPY_LEN)?))
            .unwrap_or(Decoded::Unreadable)
    }

    fn copy(bytes: &[u8]) -> Option<Decoded<Self>> {
        let mut fields = Fields(unseal(bytes)?);
        if fields.take()? != MAGIC {
            return None;
        }
        let version = fields.u16()?;
        if version > VERSION {
            return Some(Decoded::Newer(version));
        }
        fields.take::<6>()?;
        let (id, sequence, chain) = (fields.take()?, fields.u64()?, fields.take()?);
        (sequence <= SEQUENCE_MAX).then_some(Decoded::Whole(Self { id, sequence, chain }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_copy_is_enough() {
        let released = Released { id: [1; 16], sequence: 77, chain: [2; 32] };
        let file = released.encode();
        assert_eq!(file.len(), FILE_LEN);
        assert_eq!(Released::decode(&file), Decoded::Whole(released));
        for at in [0, 40, SECOND_AT, SECOND_AT + 127] {
            let mut one_bad = file.clone();
            one_bad.splice(at..=at, [0xff]);
            assert_eq!(Released::decode(&one_bad), Decoded::Whole(released), "byte {at}");
        }
        let mut both_bad = file.clone();
        both_bad.splice(0..1, [0]);
        both_bad.splice(SECOND_AT..=SECOND_AT, [0]);
        assert_eq!(Released::decode(&both_bad), Decoded::Unreadable);
        assert_eq!(Released::decode(file.get(..5).expect("longer")), Decoded::Unreadable);
    }
}
