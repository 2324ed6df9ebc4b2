//! Numbers in few bytes: LEB128, and zigzag for differences.

/// Bits of the number in one byte; the eighth says whether more follow.
const BITS: u32 = 7;

pub(super) fn put(out: &mut Vec<u8>, mut number: u64) {
    loop {
        let [low, ..] = (number & 0x7f).to_le_bytes();
        number >>= BITS;
        if number == 0 {
            return out.push(low);
        }
        out.push(low | 0x80);
    }
}

/// Takes a number from the front; `None` if there is none, or one that is too large.
pub(super) fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..u64::BITS).step_by(BITS as usize) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let part = u64::from(byte & 0x7f);
        number |= part << shift;
        if (part << shift) >> shift != part {
            return None;
        }
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// A difference of two numbers, as they wrap, such that small ones in both directions are small numbers.
pub(super) fn zigzag(difference: u64) -> u64 {
    (difference << 1) ^ 0_u64.wrapping_sub(difference >> 63)
}

/// The difference again.
pub(super) fn unzigzag(number: u64) -> u64 {
    (number >> 1) ^ 0_u64.wrapping_sub(number & 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_reads_back_in_the_bytes_that_it_needs() {
        for (number, bytes) in [(0, 1), (1, 1), (127, 1), (128, 2), (16_383, 2), (16_384, 3), (u64::MAX, 10)] {
            let mut out = Vec::new();
            put(&mut out, number);
            assert_eq!(out.len(), bytes, "{number}");
            let mut left = &out[..];
            assert_eq!((take(&mut left), left), (Some(number), &[][..]), "{number}");
            assert_eq!(take(&mut &out[..bytes - 1]), None, "{number} cut short");
        }
        assert_eq!(take(&mut &[0xff; 9][..]), None);
        assert_eq!(take(&mut &[&[0xff; 9][..], &[0x02]].concat()[..]), None, "one bit more than a number has");
    }

    #[test]
    fn small_differences_in_both_directions_are_small_numbers() {
        for (difference, number) in
            [(0_i64, 0), (-1, 1), (1, 2), (-2, 3), (i64::MAX, u64::MAX - 1), (i64::MIN, u64::MAX)]
        {
            assert_eq!(zigzag(difference.cast_unsigned()), number, "{difference}");
            assert_eq!(unzigzag(number), difference.cast_unsigned(), "{difference}");
        }
    }
}
