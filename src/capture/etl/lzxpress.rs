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

/// Bytes copied at once. Literals and matches are mostly shorter, so a copy of fixed length costs less than one of theirs.
const STEP: usize = 32;

/// Decompresses into `out`, which is as long as the bytes may become. Says how many they became, also before an error.
pub(super) fn decompress(input: &[u8], out: &mut [u8]) -> (usize, Result<(), LzxpressError>) {
    let mut decompressed = Decompressed { bytes: out, len: 0 };
    let result = decompressed.add_tokens(input);
    (decompressed.len, result)
}

/// The bytes so far. Those after `len` have no meaning yet.
struct Decompressed<'a> {
    bytes: &'a mut [u8],
    len: usize,
}

impl Decompressed<'_> {
    fn add_tokens(&mut self, input: &[u8]) -> Result<(), LzxpressError> {
        let mut c = Cursor::new(input);
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
            self.add_literals(&mut c, literals as usize)?;
            if flags_left == 0 {
                continue;
            }
            flags_left -= 1;
            // The flags after the last token are padding.
            if c.is_empty() {
                return Ok(());
            }
            let token = c.u16_le("match")?;
            let distance = usize::from(token >> 3) + 1;
            let length = match_length(token & 7, &mut c, &mut half_byte)?;
            self.add_match(distance, length)?;
        }
        Ok(())
    }

    /// Adds at most `count` bytes, as many as are left.
    #[inline]
    fn add_literals(&mut self, c: &mut Cursor<'_>, count: usize) -> Result<(), LzxpressError> {
        let free = self.bytes.get_mut(self.len..).unwrap_or_default();
        if let (Some(to), Some(from)) = (free.first_chunk_mut::<STEP>(), c.rest().first_chunk::<STEP>())
            && count <= STEP
        {
            *to = *from;
            self.len += count;
            c.take_up_to(count);
            return Ok(());
        }
        let run = c.take_up_to(count);
        let fitting = run.len().min(free.len());
        if let (Some(to), Some(from)) = (free.get_mut(..fitting), run.get(..fitting)) {
            to.copy_from_slice(from);
        }
        self.len += fitting;
        if fitting < run.len() { Err(LzxpressError::TooLong) } else { Ok(()) }
    }

    /// Repeats bytes from `distance` before the end; they may overlap those that the match makes.
    #[inline]
    fn add_match(&mut self, distance: usize, length: usize) -> Result<(), LzxpressError> {
        let Some(mut from) = self.len.checked_sub(distance) else { return Err(LzxpressError::BadMatch) };
        let free = self.bytes.len() - self.len;
        if length > free {
            return Err(LzxpressError::TooLong);
        }
        let end = self.len + length;
        let goes_in_steps = distance >= STEP && length.next_multiple_of(STEP) <= free;
        let mut at = std::mem::replace(&mut self.len, end);
        while at < end {
            if goes_in_steps
                && let Some(step) = self.bytes.get(from..).and_then(<[u8]>::first_chunk::<STEP>).copied()
            {
                if let Some(to) = self.bytes.get_mut(at..).and_then(<[u8]>::first_chunk_mut::<STEP>) {
                    *to = step;
                }
                (from, at) = (from + STEP, at + STEP);
            } else {
                // What was made so far is repeated, so that each part is twice as long as the one before.
                let part = (end - at).min(at - from);
                self.bytes.copy_within(from..from + part, at);
                at += part;
            }
        }
        Ok(())
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn check(input: &[u8], expected: Result<&[u8], LzxpressError>) {
        let mut out = [0xee; 1 << 10];
        let (len, result) = decompress(input, &mut out);
        assert_eq!(result.map(|()| &out[..len]), expected, "{input:02x?}");
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

    /// Matches of every distance and length at which copies of fixed length begin or end, also at the end of the room.
    #[test]
    fn matches_repeat_the_bytes_before_them() {
        let literals: Vec<u8> = (0..96u8).map(|byte| byte.wrapping_mul(7)).collect();
        for distance in 1..=96usize {
            for length in 10..=90 {
                let mut input: Vec<u8> =
                    literals.chunks(32).flat_map(|run| [&[0; 4], run].concat()).collect();
                input.extend([0, 0, 0, 0x80]);
                input.extend((((distance - 1) << 3 | 7) as u16).to_le_bytes());
                let more = length - 10;
                input.extend(if more < 15 { vec![more as u8] } else { vec![15, (more - 15) as u8] });
                let mut expected = literals.clone();
                for _ in 0..length {
                    expected.push(expected[expected.len() - distance]);
                }
                for room in [expected.len() + 100, expected.len()] {
                    let mut out = vec![0xee; room];
                    assert_eq!(decompress(&input, &mut out), (expected.len(), Ok(())));
                    assert_eq!(out[..expected.len()], expected, "{distance} {length}");
                }
                let mut out = vec![0xee; expected.len() - 1];
                assert_eq!(decompress(&input, &mut out).1, Err(LzxpressError::TooLong));
            }
        }
    }

    #[test]
    fn a_bomb_stops_at_its_limit() {
        let bomb = [0, 0, 0, 0x40, b'a', 7, 0, 15, 255, 0, 0, 255, 255, 255, 127];
        check(&bomb, Err(LzxpressError::TooLong));
    }
}
