//! Avro's container of records, as far as manifests need it (specification 1.11,
//! "Object Container Files"): one block of records, deflated.

use std::io::Write as _;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::DeflateEncoder;
use integrity::sha256;

/// Values of a schema, one after the other, in Avro's binary form.
#[derive(Debug, Default)]
pub(super) struct Values(Vec<u8>);

impl Values {
    /// An `int` or a `long`: zigzag, seven bits a byte.
    pub(super) fn long(&mut self, value: i64) {
        let mut rest = ((value << 1) ^ (value >> 63)).cast_unsigned();
        while rest >= 0x80 {
            self.0.push(rest.to_le_bytes()[0] | 0x80);
            rest >>= 7;
        }
        self.0.push(rest.to_le_bytes()[0]);
    }

    /// A count, as a `long`.
    pub(super) fn count(&mut self, value: u64) {
        self.long(i64::try_from(value).unwrap_or(i64::MAX));
    }

    /// A `string` or `bytes`.
    pub(super) fn bytes(&mut self, value: &[u8]) {
        self.count(value.len() as u64);
        self.0.extend_from_slice(value);
    }

    pub(super) fn boolean(&mut self, value: bool) {
        self.0.push(u8::from(value));
    }

    /// The second kind of a union with `null`; its value follows.
    pub(super) fn some(&mut self) {
        self.long(1);
    }

    /// The `null` of such a union.
    pub(super) fn none(&mut self) {
        self.long(0);
    }
}

/// A container of `count` records of a schema, with what its header says beside it.
pub(super) fn container(
    schema: &str,
    metadata: &[(&str, String)],
    count: usize,
    records: &Values,
) -> Bytes {
    let mut file = Values(b"Obj\x01".to_vec());
    let own = [("avro.schema", schema), ("avro.codec", "deflate")];
    let told = metadata.iter().map(|(key, value)| (*key, value.as_str()));
    file.count((own.len() + metadata.len()) as u64);
    for (key, value) in own.into_iter().chain(told) {
        file.bytes(key.as_bytes());
        file.bytes(value.as_bytes());
    }
    file.long(0);
    // Any 16 bytes that are unlikely in the file; the same ones for the same records.
    let sync: Vec<u8> = sha256(&records.0).0.into_iter().take(16).collect();
    file.0.extend_from_slice(&sync);
    if count > 0 {
        let mut deflated = DeflateEncoder::new(Vec::new(), Compression::default());
        let written = deflated.write_all(&records.0).and_then(|()| deflated.finish());
        let block = written.expect("memory takes all bytes");
        file.count(count as u64);
        file.bytes(&block);
        file.0.extend_from_slice(&sync);
    }
    file.0.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_specifications_example() {
        // Specification, "Binary Encoding": zigzag of some values.
        for (value, bytes) in [
            (0, vec![0]),
            (-1, vec![1]),
            (1, vec![2]),
            (-2, vec![3]),
            (2, vec![4]),
            (-64, vec![0x7f]),
            (64, vec![0x80, 0x01]),
        ] {
            let mut values = Values::default();
            values.long(value);
            assert_eq!(values.0, bytes, "{value}");
        }
        let mut text = Values::default();
        text.bytes(b"foo");
        assert_eq!(text.0, [0x06, 0x66, 0x6f, 0x6f]);
        for value in [i64::MIN, i64::MAX] {
            let mut values = Values::default();
            values.long(value);
            assert_eq!(values.0.len(), 10);
        }
    }
}
