//! Writes numbers in decimal.
//!
//! In:  numbers.
//! Out: their digits, at the end of a buffer.
//! Not: columns.
//!
//! A row has some fifteen numbers of one to eight digits. A division for each digit, and a copy whose length nobody can predict,
//! cost more than working out eight digits at once.

/// Numbers from here on have more than eight digits.
const EIGHT_DIGITS: u64 = 100_000_000;

/// `0` in each byte.
const ZEROS: u64 = u64::from_ne_bytes([b'0'; 8]);

/// Writes a number.
#[inline]
pub(super) fn push_number(out: &mut Vec<u8>, number: u64) {
    if number >= EIGHT_DIGITS {
        return push_large(out, number);
    }
    let digits = digits(number);
    // The last digit stays, even if it is 0.
    let leading = (digits | 1 << 56).trailing_zeros() & !7;
    push(out, ((digits | ZEROS) >> leading).to_le_bytes(), 8 - leading as usize / 8);
}

/// Writes a number below 10^8 as eight digits.
#[inline]
pub(super) fn push_eight_digits(out: &mut Vec<u8>, number: u32) {
    push(out, (digits(u64::from(number)) | ZEROS).to_le_bytes(), 8);
}

#[cold]
fn push_large(out: &mut Vec<u8>, number: u64) {
    push_number(out, number / EIGHT_DIGITS);
    push_eight_digits(out, (number % EIGHT_DIGITS) as u32);
}

/// Writes the first `len` bytes: eight are copied, which is one instruction, and the rest is removed again.
#[inline]
fn push(out: &mut Vec<u8>, digits: [u8; 8], len: usize) {
    let end = out.len() + len;
    out.extend_from_slice(&digits);
    out.truncate(end);
}

/// The eight digits of a number below 10^8, the first one in the lowest byte. Halves, quarters and digits are split all at once:
/// a product and a shift stand for a division.
const fn digits(number: u64) -> u64 {
    let halves = (number / 10_000) | ((number % 10_000) << 32);
    let hundreds = ((halves * 5_243) >> 19) & 0x7f_0000_007f;
    let pairs = hundreds | ((halves - hundreds * 100) << 16);
    let tens = ((pairs * 103) >> 10) & 0x000f_000f_000f_000f;
    tens | ((pairs - tens * 10) << 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_the_standard_library_does() {
        let powers = (0..20).map(|exponent| 10u64.pow(exponent));
        let edges = powers.flat_map(|power| [power - 1, power, power + 1]);
        let walk = (0..200_000).map(|n: u64| n * 7_919 % 100_000_000);
        for number in edges.chain(walk).chain(0..=20_000).chain([u64::MAX]) {
            let mut out = vec![b'x'];
            push_number(&mut out, number);
            assert_eq!(String::from_utf8(out).unwrap(), format!("x{number}"));
        }
    }

    #[test]
    fn eight_digits_have_leading_zeros() {
        for number in [0, 1, 9_999, 10_000, 12_345_678, 99_999_999] {
            let mut out = Vec::new();
            push_eight_digits(&mut out, number);
            assert_eq!(String::from_utf8(out).unwrap(), format!("{number:08}"));
        }
    }
}
