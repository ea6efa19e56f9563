//! Base64 as in RFC 4648: bytes that are no text, inside JSON.

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The bytes in the standard alphabet, padded.
#[must_use]
pub fn encode(bytes: &[u8]) -> String {
    let mut out = spell(bytes, STANDARD);
    while !out.len().is_multiple_of(4) {
        out.push('=');
    }
    out
}

/// The bytes in the alphabet for names, without padding.
#[must_use]
pub fn encode_url(bytes: &[u8]) -> String {
    spell(bytes, URL)
}

fn spell(bytes: &[u8], alphabet: &[u8; 64]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits = group.iter().fold(0u32, |bits, &byte| bits << 8 | u32::from(byte));
        let bits = bits << (8 * (3 - group.len()));
        for place in 0..=group.len() {
            let index = (bits >> (18 - 6 * place) & 0x3f) as usize;
            out.push(alphabet.get(index).copied().map_or('=', char::from));
        }
    }
    out
}

/// The bytes that a padded text in the standard alphabet spells.
#[must_use]
pub fn decode(text: &[u8]) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(4) {
        return None;
    }
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let groups = text.len() / 4;
    for (number, group) in text.chunks(4).enumerate() {
        let last = number + 1 == groups;
        let padding = if last { group.iter().rev().take_while(|&&c| c == b'=').count() } else { 0 };
        let letters = group.get(..4 - padding).filter(|letters| letters.len() >= 2)?;
        let mut bits = 0u32;
        for &letter in letters {
            bits = bits << 6 | u32::from(value_of(letter)?);
        }
        bits <<= 6 * padding;
        let [_, first, second, third] = bits.to_be_bytes();
        let whole = [first, second, third];
        let (kept, cut) = whole.split_at(3 - padding);
        if cut.iter().any(|&byte| byte != 0) {
            return None;
        }
        out.extend_from_slice(kept);
    }
    Some(out)
}

fn value_of(letter: u8) -> Option<u8> {
    match letter {
        b'A'..=b'Z' => Some(letter - b'A'),
        b'a'..=b'z' => Some(letter - b'a' + 26),
        b'0'..=b'9' => Some(letter - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_decodes_to_itself_and_nothing_else_decodes() {
        let check = |plain: &str, text: &str| {
            assert_eq!(encode(plain.as_bytes()), text);
            assert_eq!(decode(text.as_bytes()).as_deref(), Some(plain.as_bytes()));
        };
        check("", "");
        check("f", "Zg==");
        check("fo", "Zm8=");
        check("foo", "Zm9v");
        check("foobar", "Zm9vYmFy");
        assert_eq!(encode_url(&[0xfb, 0xff]), "-_8");
        for wrong in ["Zg=", "Zh==", "Zg==Zg==", "====", "Z===", "Zm9\n"] {
            assert_eq!(decode(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
