//! The random numbers of the sample: splitmix64, written out here.
//!
//! The same seed must give the same bytes in every release and on every
//! machine, which no library's distributions promise.

/// A seeded generator; cheap to make, so that anything can have its own.
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

/// Two numbers stirred into one, for seeds that hang on several things.
pub(crate) const fn mix(a: u64, b: u64) -> u64 {
    let mut z = a ^ b.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Dice {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0, 0)
    }

    /// A number below `bound`; 0 if `bound` is 0.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the product's upper half is below `bound`"
    )]
    pub(crate) const fn below(&mut self, bound: usize) -> usize {
        ((self.next() as u128 * bound as u128) >> 64) as usize
    }

    /// Whether something happens that happens `per_mille` times in a thousand.
    pub(crate) const fn happens(&mut self, per_mille: usize) -> bool {
        self.below(1000) < per_mille
    }

    pub(crate) fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        items.get(self.below(items.len())).expect("a list to pick from is never empty")
    }

    /// Appends `count` lower-case hexadecimal digits.
    pub(crate) fn hex(&mut self, count: usize, out: &mut Vec<u8>) {
        self.symbols(count, 4, hex_digit, out);
    }

    /// Appends `count` letters as access key ids have them (base 32).
    pub(crate) fn base32(&mut self, count: usize, out: &mut Vec<u8>) {
        self.symbols(count, 5, |five| if five < 26 { b'A' + five } else { b'2' + five - 26 }, out);
    }

    /// Appends `count` letters of base 64.
    pub(crate) fn base64(&mut self, count: usize, out: &mut Vec<u8>) {
        const ALPHABET: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        self.symbols(count, 6, |six| ALPHABET.get(usize::from(six)).copied().unwrap_or(b'A'), out);
    }

    /// Appends a random UUID (version 4).
    pub(crate) fn uuid(&mut self, out: &mut Vec<u8>) {
        self.hex(8, out);
        out.push(b'-');
        self.hex(4, out);
        out.extend_from_slice(b"-4");
        self.hex(3, out);
        out.push(b'-');
        out.push(hex_digit(8 + (self.next() & 3).to_le_bytes()[0]));
        self.hex(3, out);
        out.push(b'-');
        self.hex(12, out);
    }

    fn symbols(&mut self, count: usize, bits: u32, symbol: impl Fn(u8) -> u8, out: &mut Vec<u8>) {
        let mask = (1_u64 << bits) - 1;
        let per_word = 60 / bits as usize;
        let mut left = count;
        while left > 0 {
            let mut word = self.next();
            for _ in 0..left.min(per_word) {
                out.push(symbol((word & mask).to_le_bytes()[0]));
                word >>= bits;
            }
            left = left.saturating_sub(per_word);
        }
    }
}

const fn hex_digit(four: u8) -> u8 {
    if four < 10 { b'0' + four } else { b'a' + four - 10 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_bytes_for_ever() {
        let mut dice = Dice::new(42);
        let mut out = Vec::new();
        dice.uuid(&mut out);
        out.push(b' ');
        dice.base32(16, &mut out);
        out.push(b' ');
        dice.base64(12, &mut out);
        assert_eq!(
            String::from_utf8(out).expect("ascii"),
            "59e6bef2-301f-425f-82f3-60bd08c3af13 5K3OTCRDHL2PE5L4 V3XPLcHuFcue"
        );
        assert!((0..10_000).all(|_| dice.below(7) < 7));
    }
}
