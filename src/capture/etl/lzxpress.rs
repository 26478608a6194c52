//! Decompresses LZXPRESS data ("plain LZ77", MS-XCA §2.4), as relogged event traces use it.
//!
//! In:  compressed bytes, and how many bytes they may become.
//! Out: the decompressed bytes.
//! Not: LZXPRESS with Huffman codes; event traces that use it are not known.

use crate::base::Cursor;
use crate::base::Truncated;

/// Why data cannot be decompressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LzxpressError {
    /// The data ends inside a token.
    Truncated(Truncated),
    /// A match begins before the first decompressed byte, or its length is impossible.
    BadMatch,
    /// The data becomes longer than allowed.
    TooLong,
}

impl From<Truncated> for LzxpressError {
    fn from(error: Truncated) -> LzxpressError {
        LzxpressError::Truncated(error)
    }
}

impl std::fmt::Display for LzxpressError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            LzxpressError::Truncated(error) => write!(f, "LZXPRESS data truncated: {error}"),
            LzxpressError::BadMatch => f.write_str("LZXPRESS data damaged: invalid match"),
            LzxpressError::TooLong => f.write_str("LZXPRESS data damaged: longer than its buffer"),
        }
    }
}

/// MS-XCA §2.4.4: every match is at least this long.
const MIN_MATCH: usize = 3;

/// Appends the decompressed bytes to `out`; no more than `limit` of them. What was decompressed before an error stays.
pub(super) fn decompress(input: &[u8], limit: usize, out: &mut Vec<u8>) -> Result<(), LzxpressError> {
    let mut c = Cursor::new(input);
    let start = out.len();
    // 32 flags at a time, highest bit first: 0 is a literal byte, 1 a match.
    let mut flags = 0u32;
    let mut flags_left = 0u32;
    // A byte that carries two match lengths of four bits; the second is used by a later match.
    let mut half_byte: Option<u8> = None;
    while !c.is_empty() {
        if flags_left == 0 {
            flags = c.u32_le("flags")?;
            flags_left = 32;
        }
        // Literals come in runs.
        let literals = (flags << (32 - flags_left)).leading_zeros().min(flags_left);
        flags_left -= literals;
        // The flags after the last token are padding.
        let run = c.take_up_to(literals as usize);
        let room = limit - (out.len() - start);
        out.extend_from_slice(run.get(..room).unwrap_or(run));
        if run.len() > room {
            return Err(LzxpressError::TooLong);
        }
        if flags_left == 0 {
            continue;
        }
        flags_left -= 1;
        if c.is_empty() {
            return Ok(());
        }
        let token = c.u16_le("match")?;
        let distance = usize::from(token >> 3) + 1;
        let length = match_length(token & 7, &mut c, &mut half_byte)?;
        let from = out.len().checked_sub(distance).filter(|from| *from >= start);
        let Some(from) = from else { return Err(LzxpressError::BadMatch) };
        if length > limit - (out.len() - start) {
            return Err(LzxpressError::TooLong);
        }
        copy_match(out, from, length);
    }
    Ok(())
}

/// A match's length: three bits in the token, then four, eight, sixteen and thirty-two more as needed.
fn match_length(
    low_bits: u16,
    c: &mut Cursor<'_>,
    half_byte: &mut Option<u8>,
) -> Result<usize, LzxpressError> {
    if low_bits < 7 {
        return Ok(usize::from(low_bits) + MIN_MATCH);
    }
    let four_bits = match half_byte.take() {
        Some(byte) => byte >> 4,
        None => {
            let byte = c.u8("match length")?;
            *half_byte = Some(byte);
            byte & 15
        }
    };
    if four_bits < 15 {
        return Ok(usize::from(four_bits) + 7 + MIN_MATCH);
    }
    let byte = c.u8("long match length")?;
    if byte < u8::MAX {
        return Ok(usize::from(byte) + 15 + 7 + MIN_MATCH);
    }
    let wide = match c.u16_le("long match length")? {
        0 => c.u32_le("long match length")? as usize,
        wide => usize::from(wide),
    };
    // These two forms hold the whole length less the minimum.
    if wide < 15 + 7 { Err(LzxpressError::BadMatch) } else { Ok(wide + MIN_MATCH) }
}

/// Copies a match that may overlap the bytes it makes.
fn copy_match(out: &mut Vec<u8>, from: usize, length: usize) {
    let distance = out.len() - from;
    let mut left = length;
    while left > 0 {
        let part = left.min(distance);
        out.extend_from_within(from..from + part);
        left -= part;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(input: &[u8], expected: Result<&[u8], LzxpressError>) {
        let mut out = b"before".to_vec();
        let result = decompress(input, 1 << 10, &mut out).map(|()| &out[6..]);
        assert_eq!(result, expected, "{input:02x?}");
    }

    #[test]
    fn published_examples() {
        // MS-XCA §3.1: the alphabet, and "abc" a hundred times.
        let alphabet = [&[0x3f, 0, 0, 0][..], b"abcdefghijklmnopqrstuvwxyz"].concat();
        check(&alphabet, Ok(b"abcdefghijklmnopqrstuvwxyz"));
        let repeated = [0xff, 0xff, 0xff, 0x1f, b'a', b'b', b'c', 0x17, 0, 0x0f, 0xff, 0x26, 1];
        check(&repeated, Ok("abc".repeat(100).as_bytes()));
    }

    #[test]
    fn matches_outside_the_data_are_refused() {
        check(&[0, 0, 0, 0x80, 0x08, 0], Err(LzxpressError::BadMatch));
        check(&[0, 0, 0, 0x40, b'a', 0x08, 0], Err(LzxpressError::BadMatch));
    }

    #[test]
    fn a_bomb_stops_at_its_limit() {
        let bomb = [0, 0, 0, 0x40, b'a', 7, 0, 15, 255, 0, 0, 255, 255, 255, 127];
        check(&bomb, Err(LzxpressError::TooLong));
    }
}
