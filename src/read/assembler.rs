//! Reassembles fragments that carry offsets: of DTLS messages and QUIC CRYPTO frames.
//!
//! In:  fragments, in any order, with duplicates and overlaps.
//! Out: the contiguous bytes from offset 0.
//! Not: what the bytes are.

use smallvec::SmallVec;

/// Ranges kept at once. Usual senders leave one or two holes; the work per fragment must not grow with their number.
const RANGE_LIMIT: usize = 32;

/// Bytes that arrive in fragments.
#[derive(Debug, Default)]
pub(crate) struct Assembler {
    bytes: Vec<u8>,
    /// The ranges present, in order; they neither touch nor overlap.
    ranges: SmallVec<[(usize, usize); 2]>,
}

impl Assembler {
    /// Adds a fragment; of overlapping bytes the first are kept. False when it does not fit: past `limit`, or too many holes.
    pub(crate) fn add(&mut self, offset: usize, fragment: &[u8], limit: usize) -> bool {
        let Some(end) = offset.checked_add(fragment.len()).filter(|end| *end <= limit) else { return false };
        if fragment.is_empty() {
            return true;
        }
        // The ranges that the fragment touches become one with it.
        let first = self.ranges.partition_point(|(_, to)| *to < offset);
        let after = self.ranges.partition_point(|(from, _)| *from <= end);
        let touched = self.ranges.get(first..after).unwrap_or_default();
        if touched.is_empty() && self.ranges.len() >= RANGE_LIMIT {
            return false;
        }
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        // Only the holes between those ranges are filled.
        let mut at = offset;
        let mut merged = (offset, end);
        for (from, to) in touched {
            copy(&mut self.bytes, at, (*from).min(end), fragment, offset);
            at = at.max(*to);
            merged = (merged.0.min(*from), merged.1.max(*to));
        }
        copy(&mut self.bytes, at, end, fragment, offset);
        self.ranges.drain(first..after);
        self.ranges.insert(first, merged);
        true
    }

    /// Memory of the bytes.
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

/// Copies the part of `fragment` for bytes `from..to`; `offset` is the fragment's.
fn copy(bytes: &mut [u8], from: usize, to: usize, fragment: &[u8], offset: usize) {
    if from >= to {
        return;
    }
    let source = fragment.get(from - offset..to - offset);
    if let (Some(target), Some(source)) = (bytes.get_mut(from..to), source) {
        target.copy_from_slice(source);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(fragments: &[(usize, &[u8])], expected: &[u8]) {
        let mut all = Assembler::default();
        for (offset, fragment) in fragments {
            assert!(all.add(*offset, fragment, 100));
        }
        assert_eq!(all.ready(), expected);
    }

    #[test]
    fn order_overlaps_and_holes() {
        check(&[(0, b"abc"), (3, b"de")], b"abcde");
        check(&[(3, b"de"), (0, b"abc")], b"abcde");
        check(&[(0, b"ab"), (4, b"ef")], b"ab");
        check(&[(4, b"ef"), (0, b"ab"), (1, b"XcdX")], b"abcdef");
        check(&[(1, b"b")], b"");
        check(&[(0, b"ab"), (0, b"XY")], b"ab");
        assert!(!Assembler::default().add(99, b"ab", 100));
        assert!(!Assembler::default().add(usize::MAX, b"ab", 100));
    }

    /// A sender that leaves a hole between all fragments: each one costs the same, and the hole before them can still close.
    #[test]
    fn holes_are_limited() {
        let mut all = Assembler::default();
        let added = (0..1000).filter(|n| all.add(10 + 2 * n, b"x", 4000)).count();
        assert_eq!((added, all.ranges.len()), (RANGE_LIMIT, RANGE_LIMIT));
        assert!(all.add(0, &[b'y'; 100], 4000));
        assert_eq!((all.ready().len(), all.ranges.len()), (100, 1));
    }

    proptest! {
        #[test]
        fn any_fragments_in_any_order_give_the_whole(
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
