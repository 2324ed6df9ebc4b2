//! The URL-safe alphabet of base 64 without padding (RFC 4648, section 5), for the 32 bytes of a key.

/// The alphabet.
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Writes bytes, six bits at a time; the last character is filled up with zeros.
pub(super) fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let mut group = [0_u8; 3];
        group[..chunk.len()].copy_from_slice(chunk);
        let bits = u32::from_be_bytes([0, group[0], group[1], group[2]]);
        for position in 0..=chunk.len() {
            let index = (bits >> (18 - 6 * position)) & 0x3f;
            text.push(char::from(ALPHABET[index as usize]));
        }
    }
    text
}

/// Whether a text is what [`encode`] writes for `length` bytes, and not another spelling of the same bytes.
pub(super) fn is_canonical(text: &str, length: usize) -> bool {
    let characters = (length * 8).div_ceil(6);
    let spare_bits = characters * 6 - length * 8;
    let value = |byte: u8| ALPHABET.iter().position(|known| *known == byte);
    let last = text.bytes().last().and_then(value);
    text.len() == characters
        && text.bytes().all(|byte| value(byte).is_some())
        && last.is_none_or(|last| last % (1 << spare_bits) == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vectors_of_the_standard_are_written() {
        for (bytes, expected) in
            [("", ""), ("f", "Zg"), ("fo", "Zm8"), ("foo", "Zm9v"), ("foob", "Zm9vYg"), ("foobar", "Zm9vYmFy")]
        {
            assert_eq!(encode(bytes.as_bytes()), expected);
        }
        assert_eq!(encode(&[0xfb, 0xff]), "-_8");
    }

    #[test]
    fn another_spelling_is_not_canonical() {
        for (text, length, expected) in [
            ("Zg", 1, true),
            ("Zh", 1, false),
            ("Zg==", 1, false),
            ("Z", 1, false),
            ("Z+", 1, false),
            ("Zm9v", 3, true),
        ] {
            assert_eq!(is_canonical(text, length), expected, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_written_is_canonical(bytes in proptest::collection::vec(0_u8.., 0..70)) {
            proptest::prop_assert!(is_canonical(&encode(&bytes), bytes.len()));
        }
    }
}
