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

/// Tokens that four bytes of flags speak of.
const GROUP: usize = 32;

/// Decompresses into `out`, which is as long as the bytes may become. Says how many they became, also before an error.
pub(super) fn decompress(input: &[u8], out: &mut [u8]) -> (usize, Result<(), LzxpressError>) {
    let mut tokens = Tokens { input, at: 0, out, len: 0, flags: Flags::NONE, half_byte: None };
    let result = loop {
        tokens.add_most();
        match tokens.add_one() {
            Ok(true) => {}
            Ok(false) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    (tokens.len, result)
}

/// Flags of the next tokens, highest bit first: 0 is a literal byte, 1 a match. The bit after the last flag is 1.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Flags(u64);

impl Flags {
    const NONE: Flags = Flags(1 << 63);

    #[inline]
    const fn new(flags: u32) -> Flags {
        Flags((flags as u64) << 32 | 1 << 31)
    }

    /// How many literals come next.
    #[inline]
    const fn literals(self) -> usize {
        self.0.leading_zeros() as usize
    }

    #[inline]
    const fn skip(self, tokens: usize) -> Flags {
        Flags(self.0 << tokens)
    }
}

/// Where decompression is.
struct Tokens<'a> {
    input: &'a [u8],
    at: usize,
    out: &'a mut [u8],
    /// The bytes so far. Those after it have no meaning yet.
    len: usize,
    flags: Flags,
    /// A byte that carries two match lengths of four bits; the second is used by a later match.
    half_byte: Option<u8>,
}

impl Tokens<'_> {
    /// Adds tokens as long as copies of fixed length stay inside of input and output, and nothing is wrong.
    #[inline]
    fn add_most(&mut self) {
        let (mut at, mut len, mut flags) = (self.at, self.len, self.flags);
        loop {
            if flags == Flags::NONE {
                (at, len) = self.add_literals(at, len);
                let Some(four) = chunk::<4>(self.input, at) else { break };
                flags = Flags::new(u32::from_le_bytes(*four));
                at += 4;
            }
            let literals = flags.literals();
            if literals > 0 {
                let (Some(from), Some(to)) = (chunk::<STEP>(self.input, at), chunk_mut(self.out, len)) else {
                    break;
                };
                *to = *from;
                (at, len, flags) = (at + literals, len + literals, flags.skip(literals));
                if flags == Flags::NONE {
                    continue;
                }
            }
            let Some(eight) = chunk::<8>(self.input, at) else { break };
            let bytes = u64::from_le_bytes(*eight);
            let (mut used, mut length, mut half_byte) = (2, bytes as usize & 7, self.half_byte);
            if length == 7 {
                let four_bits = match half_byte.take() {
                    Some(byte) => byte >> 4,
                    None => {
                        let byte = (bytes >> 16) as u8;
                        used = 3;
                        half_byte = Some(byte);
                        byte & 15
                    }
                };
                length += usize::from(four_bits);
                if four_bits == 15 {
                    let byte = (bytes >> (8 * used)) as u8;
                    if byte == u8::MAX {
                        break;
                    }
                    length += usize::from(byte);
                    used += 1;
                }
            }
            length += MIN_MATCH;
            let distance = usize::from(bytes as u16 >> 3) + 1;
            let Some(from) = len.checked_sub(distance) else { break };
            if length <= STEP.min(distance) {
                let Some(step) = chunk::<STEP>(self.out, from).copied() else { break };
                let Some(to) = chunk_mut(self.out, len) else { break };
                *to = step;
            } else if !repeat(self.out, from, len, length) {
                break;
            }
            (at, len, flags) = (at + used, len + length, flags.skip(1));
            self.half_byte = half_byte;
        }
        (self.at, self.len, self.flags) = (at, len, flags);
    }

    /// Adds groups of 32 literals, as encrypted payload is. Where the next group begins does not depend on a group's flags, so that
    /// the processor works on several at once.
    #[inline]
    fn add_literals(&mut self, mut at: usize, mut len: usize) -> (usize, usize) {
        while let Some(group) = chunk::<{ 4 + GROUP }>(self.input, at)
            && let Some((flags, literals)) = group.split_first_chunk::<4>()
            && *flags == [0; 4]
            && let Some(to) = self.out.get_mut(len..len + GROUP)
        {
            to.copy_from_slice(literals);
            (at, len) = (at + 4 + GROUP, len + GROUP);
        }
        (at, len)
    }

    /// Adds one token; false at the end.
    #[cold]
    fn add_one(&mut self) -> Result<bool, LzxpressError> {
        let mut c = Cursor::new(self.input);
        c.skip(self.at, "token")?;
        if c.is_empty() {
            return Ok(false);
        }
        if self.flags == Flags::NONE {
            self.flags = Flags::new(c.u32_le("flags")?);
        }
        // The flags after the last token are padding.
        if c.is_empty() {
            return Ok(false);
        }
        if self.flags.literals() > 0 {
            let byte = c.u8("literal")?;
            *self.out.get_mut(self.len).ok_or(LzxpressError::TooLong)? = byte;
            self.len += 1;
        } else {
            let token = c.u16_le("match")?;
            let distance = usize::from(token >> 3) + 1;
            let length = match_length(token & 7, &mut c, &mut self.half_byte)?;
            let from = self.len.checked_sub(distance).ok_or(LzxpressError::BadMatch)?;
            if !repeat(self.out, from, self.len, length) {
                return Err(LzxpressError::TooLong);
            }
            self.len += length;
        }
        self.flags = self.flags.skip(1);
        self.at = c.at();
        Ok(true)
    }
}

#[inline]
fn chunk<const LEN: usize>(bytes: &[u8], at: usize) -> Option<&[u8; LEN]> {
    bytes.get(at..).and_then(<[u8]>::first_chunk)
}

#[inline]
fn chunk_mut(bytes: &mut [u8], at: usize) -> Option<&mut [u8; STEP]> {
    bytes.get_mut(at..).and_then(<[u8]>::first_chunk_mut)
}

/// Repeats `length` bytes at `from` from `len` on; they may overlap those that this makes. False if they do not fit.
#[inline(never)]
fn repeat(out: &mut [u8], from: usize, len: usize, length: usize) -> bool {
    let Some(end) = len.checked_add(length).filter(|end| *end <= out.len()) else { return false };
    let mut at = len;
    while at < end {
        // What was made so far is repeated, so that each part is twice as long as the one before.
        let part = (end - at).min(at - from);
        out.copy_within(from..from + part, at);
        at += part;
    }
    true
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
