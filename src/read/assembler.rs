//! Puts pieces with offsets in order: DTLS fragments and QUIC CRYPTO frames.
//!
//! In:  pieces, in any order, again and again.
//! Out: the bytes from the first to the first hole.
//! Not: what they are.

use smallvec::SmallVec;

/// Holes remembered at a time; honest senders leave one or two.
const RANGE_LIMIT: usize = 32;

/// Bytes that arrive in pieces.
#[derive(Debug, Default)]
pub(crate) struct Assembler {
    bytes: Vec<u8>,
    /// What is there, as ranges that neither touch nor overlap, in order.
    ranges: SmallVec<[(usize, usize); 2]>,
}

impl Assembler {
    /// Adds a piece; the first to come for a byte is kept. False when it is past `limit` or leaves too many holes.
    pub(crate) fn add(&mut self, offset: usize, piece: &[u8], limit: usize) -> bool {
        let Some(end) = offset.checked_add(piece.len()).filter(|end| *end <= limit) else { return false };
        if piece.is_empty() {
            return true;
        }
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        // What is new lies between the ranges.
        let mut at = offset;
        let mut merged = (offset, end);
        let mut kept: SmallVec<[(usize, usize); 2]> = SmallVec::new();
        for (from, to) in self.ranges.drain(..) {
            if to < offset || from > end {
                kept.push((from, to));
                continue;
            }
            copy(&mut self.bytes, at, from.min(end), piece, offset);
            at = at.max(to);
            merged = (merged.0.min(from), merged.1.max(to));
        }
        copy(&mut self.bytes, at, end, piece, offset);
        let place = kept.partition_point(|(from, _)| *from < merged.0);
        kept.insert(place, merged);
        self.ranges = kept;
        self.ranges.len() <= RANGE_LIMIT
    }

    /// Bytes that it keeps.
    pub(crate) fn held_bytes(&self) -> usize {
        self.bytes.capacity()
    }

    /// The bytes up to the first hole.
    pub(crate) fn ready(&self) -> &[u8] {
        match self.ranges.first() {
            Some((0, end)) => self.bytes.get(..*end).unwrap_or_default(),
            _ => &[],
        }
    }
}

/// Copies the part of `piece` for bytes `from..to`; `offset` is where the piece begins.
fn copy(bytes: &mut [u8], from: usize, to: usize, piece: &[u8], offset: usize) {
    if from >= to {
        return;
    }
    let source = piece.get(from - offset..to - offset);
    if let (Some(target), Some(source)) = (bytes.get_mut(from..to), source) {
        target.copy_from_slice(source);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(pieces: &[(usize, &[u8])], expected: &[u8]) {
        let mut all = Assembler::default();
        for (offset, piece) in pieces {
            assert!(all.add(*offset, piece, 100));
        }
        assert_eq!(all.ready(), expected);
    }

    #[test]
    fn order_overlap_and_holes() {
        check(&[(0, b"abc"), (3, b"de")], b"abcde");
        check(&[(3, b"de"), (0, b"abc")], b"abcde");
        check(&[(0, b"ab"), (4, b"ef")], b"ab");
        check(&[(4, b"ef"), (0, b"ab"), (1, b"XcdX")], b"abcdef");
        check(&[(1, b"b")], b"");
        check(&[(0, b"ab"), (0, b"XY")], b"ab");
        assert!(!Assembler::default().add(99, b"ab", 100));
        assert!(!Assembler::default().add(usize::MAX, b"ab", 100));
    }

    proptest! {
        #[test]
        fn any_cutting_and_order_gives_the_whole(
            whole in proptest::collection::vec(any::<u8>(), 1..60),
            cuts in proptest::collection::vec((0usize..60, 0usize..20), 0..12),
        ) {
            let mut all = Assembler::default();
            for (from, len) in cuts {
                let from = from.min(whole.len());
                let to = (from + len).min(whole.len());
                prop_assert!(all.add(from, &whole[from..to], 100));
            }
            prop_assert!(whole.starts_with(all.ready()));
            all.add(0, &whole, 100);
            prop_assert_eq!(all.ready(), &whole[..]);
        }
    }
}
