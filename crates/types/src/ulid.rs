//! 128-bit identifiers that sort by time, and their text: 26 characters of Crockford's base 32, most significant first.
//!
//! Written here because it is little, and what makes such identifiers elsewhere brings a clock along.

use std::fmt;

use crate::Timestamp;
use crate::id::Entropy;

/// Crockford's alphabet: no I, L, O and U.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// Bits of one digit.
const DIGIT_BITS: u32 = 5;

/// Bits of two digits.
const PAIR_BITS: u32 = 2 * DIGIT_BITS;

/// The text of each two digits. An identifier is written with every message, so this is a table as well.
const PAIRS: [[u8; 2]; 1 << PAIR_BITS] = {
    let mut pairs = [[0; 2]; 1 << PAIR_BITS];
    let mut pair = 0;
    while pair < pairs.len() {
        pairs[pair] = [ALPHABET[pair >> DIGIT_BITS], ALPHABET[pair % ALPHABET.len()]];
        pair += 1;
    }
    pairs
};

/// What a byte is in [`DIGITS`] that is no digit.
const NO_DIGIT: u8 = 0xff;

/// Which digit each byte is, in upper or lower case. Identifiers are read with every message, so this is a table.
const DIGITS: [u8; 256] = {
    let mut digits = [NO_DIGIT; 256];
    let mut digit: u8 = 0;
    while (digit as usize) < ALPHABET.len() {
        let letter = ALPHABET[digit as usize];
        digits[letter as usize] = digit;
        digits[letter.to_ascii_lowercase() as usize] = digit;
        digit += 1;
    }
    digits
};

/// Characters of the text: 130 bits, of which the first two are zero.
pub(crate) const TEXT_LENGTH: usize = 26;

/// Bits of the time, in milliseconds since the Unix epoch. They last until the year 10889.
const TIME_BITS: u32 = 48;

/// See the module's documentation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Ulid(u128);

impl Ulid {
    /// The identifier of a moment, told from others of the same moment by its entropy.
    pub(crate) fn new(now: Timestamp, entropy: Entropy) -> Self {
        let mut bytes = [0; 16];
        bytes[6..].copy_from_slice(&entropy);
        let time = u128::from(now.as_unix_millis()) & ((1 << TIME_BITS) - 1);
        Self(time << (u128::BITS - TIME_BITS) | u128::from_be_bytes(bytes))
    }

    pub(crate) fn minted_at(self) -> Timestamp {
        let millis = self.0 >> (u128::BITS - TIME_BITS);
        Timestamp::from_unix_millis(u64::try_from(millis).unwrap_or(u64::MAX))
    }

    pub(crate) const fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    pub(crate) const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bytes))
    }

    pub(crate) fn to_text(self) -> [u8; TEXT_LENGTH] {
        let mut text = [0; TEXT_LENGTH];
        let mut rest = self.0;
        for pair in text.rchunks_exact_mut(2) {
            pair.copy_from_slice(&PAIRS[(rest & 0x3ff) as usize]);
            rest >>= PAIR_BITS;
        }
        text
    }

    /// Reads what [`fmt::Display`] writes, and the same in lower case.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text.len() != TEXT_LENGTH {
            return None;
        }
        let mut number: u128 = 0;
        for (place, byte) in text.bytes().enumerate() {
            let digit = DIGITS[usize::from(byte)];
            // The first digit may not reach into the 129th bit.
            if digit == NO_DIGIT || place == 0 && digit > 7 {
                return None;
            }
            number = number << DIGIT_BITS | u128::from(digit);
        }
        Some(Self(number))
    }
}

impl fmt::Display for Ulid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.to_text()).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_the_one_that_everybody_else_writes() {
        for (bytes, text) in [
            ([0; 16], "00000000000000000000000000"),
            ([0xff; 16], "7ZZZZZZZZZZZZZZZZZZZZZZZZZ"),
            (*b"\x01\x56\x3e\x3a\xb5\xd3\xd6\x76\x4c\x61\xef\xb9\x93\x02\xbd\x5b", "01ARZ3NDEKTSV4RRFFQ69G5FAV"),
        ] {
            assert_eq!(Ulid::from_bytes(bytes).to_string(), text);
            assert_eq!(Ulid::parse(text).map(Ulid::to_bytes), Some(bytes));
            assert_eq!(Ulid::parse(&text.to_lowercase()).map(Ulid::to_bytes), Some(bytes));
        }
    }

    #[test]
    fn every_two_digits_are_read_back_in_every_place() {
        for place in 0..u128::BITS.div_ceil(PAIR_BITS) {
            for pair in 0..1_u128 << PAIR_BITS {
                let bytes = (pair << (place * PAIR_BITS)).to_be_bytes();
                let text = Ulid::from_bytes(bytes).to_string();
                assert_eq!(Ulid::parse(&text).map(Ulid::to_bytes), Some(bytes), "{text}");
            }
        }
    }

    #[test]
    fn other_text_is_refused() {
        let one_too_many = "0".repeat(27);
        for text in [
            "",
            "0",
            one_too_many.as_str(),
            "8ZZZZZZZZZZZZZZZZZZZZZZZZZ",
            "0000000000000000000000000U",
            "é0000000000000000000000000",
        ] {
            assert_eq!(Ulid::parse(text).map(Ulid::to_bytes), None, "{text:?}");
        }
    }

    #[test]
    fn the_time_comes_first() {
        let early = Ulid::new(Timestamp::from_unix_millis(1_469_918_176_385), [0xff; 10]);
        let late = Ulid::new(Timestamp::from_unix_millis(1_469_918_176_386), [0; 10]);
        assert!(early < late);
        assert!(early.to_string().starts_with("01ARYZ6S41"), "{early}");
    }
}
