//! Sequence numbers of one side that were skipped and may still arrive.
//!
//! In:  ranges that the sender or an ACK skipped; segments below the highest number.
//! Out: whether a segment fills a gap; how many bytes are missing.
//! Not: payload; that is for `stream`.
//!
//! The work for one packet is bounded whatever its numbers are: the ranges are in order, do not overlap, and are at most
//! [`SequenceGaps::LIMIT`]. A range that is dropped from the list stays counted.

/// The gaps of one side. Every method that takes `next` expects the number after the highest one sent, which only moves forward.
#[derive(Debug, Default)]
pub(super) struct SequenceGaps {
    /// The first missing number and the one after the last, oldest range first. All are less than 2³¹ below `next`, where
    /// their order is unambiguous (RFC 9293 §3.4).
    ranges: Vec<(u32, u32)>,
    /// `next` as of the last call.
    next: u32,
    /// Bytes of ranges that were dropped from the list.
    dropped: u64,
}

/// Half of the sequence space.
const HALF_SPACE: u64 = 1 << 31;

const fn len(&(begin, end): &(u32, u32)) -> u64 {
    end.wrapping_sub(begin) as u64
}

impl SequenceGaps {
    /// Ranges kept per side. One more drops the oldest: what has not arrived by then was most likely missed by the capture.
    pub(super) const LIMIT: usize = 32;

    /// Adds the range from `begin`, so far the highest number, to `end`, which is the new one.
    pub(super) fn add(&mut self, begin: u32, end: u32) {
        self.advance(begin);
        self.advance(end);
        self.ranges.push((begin, end));
        self.drop_oldest();
    }

    /// Removes what a segment below `next` brings; true when any of it was missing.
    pub(super) fn fill(&mut self, next: u32, seq: u32, payload_len: u32) -> bool {
        self.advance(next);
        let below = |number: u32| next.wrapping_sub(number);
        let end = seq.wrapping_add(payload_len.min(below(seq)));
        let first = self.ranges.partition_point(|range| below(range.1) >= below(seq));
        let last = self.ranges.partition_point(|range| below(range.0) > below(end));
        let Some([(left, _), .., (_, right)] | [(left, right)]) = self.ranges.get(first..last) else {
            return false;
        };
        let left = (below(*left) > below(seq)).then_some((*left, seq));
        let right = (below(*right) < below(end)).then_some((end, *right));
        self.ranges.splice(first..last, left.into_iter().chain(right));
        self.drop_oldest();
        true
    }

    /// Missing bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.dropped + self.ranges.iter().map(len).sum::<u64>()
    }

    /// Missing bytes up to `acked`: the receiver has them.
    pub(super) fn acked_bytes(&self, next: u32, acked: u32) -> u64 {
        let moved = u64::from(next.wrapping_sub(self.next));
        let below = |end: u32| u64::from(self.next.wrapping_sub(end)) + moved;
        let is_acked = |range: &&(u32, u32)| below(range.1) >= u64::from(next.wrapping_sub(acked));
        self.dropped + self.ranges.iter().filter(is_acked).map(len).sum::<u64>()
    }

    /// Length of the range that begins at `number`; 0 without one.
    pub(super) fn len_at(&self, number: u32) -> u32 {
        self.ranges.iter().find(|range| range.0 == number).map_or(0, |(begin, end)| end.wrapping_sub(*begin))
    }

    /// Moves `next` forward and drops the ranges that are half of the sequence space below it.
    fn advance(&mut self, next: u32) {
        let moved = u64::from(next.wrapping_sub(self.next));
        let is_far = |range: &&(u32, u32)| u64::from(self.next.wrapping_sub(range.0)) + moved >= HALF_SPACE;
        let far = self.ranges.iter().take_while(is_far).count();
        self.dropped += self.ranges.drain(..far).as_slice().iter().map(len).sum::<u64>();
        self.next = next;
    }

    fn drop_oldest(&mut self) {
        let excess = self.ranges.len().saturating_sub(SequenceGaps::LIMIT);
        self.dropped += self.ranges.drain(..excess).as_slice().iter().map(len).sum::<u64>();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// Where the first test number is: gaps cross the wrap of the sequence space.
    const BASE: u32 = u32::MAX - 50;

    #[derive(Clone, Copy, Debug)]
    enum Op {
        /// This many bytes in order.
        Send(u32),
        /// This many bytes are skipped.
        Skip(u32),
        /// A segment that starts this far below `next`, with this many bytes.
        Fill(u32, u32),
    }
    use Op::*;

    /// Plays `ops`; returns the ranges, relative to the base, and what each `Fill` returned.
    fn play(ops: &[Op]) -> (SequenceGaps, u32, String) {
        let (mut gaps, mut next) = (SequenceGaps::default(), BASE);
        let mut filled = String::new();
        for op in ops {
            match *op {
                Send(len) => next = next.wrapping_add(len),
                Skip(len) => {
                    gaps.add(next, next.wrapping_add(len));
                    next = next.wrapping_add(len);
                }
                Fill(below, len) => {
                    filled +=
                        if gaps.fill(next, next.wrapping_sub(below), len) { " filled" } else { " known" };
                }
            }
        }
        let ranges = gaps.ranges.iter();
        let text: Vec<String> = ranges
            .map(|(begin, end)| format!("{}..{}", begin.wrapping_sub(BASE), end.wrapping_sub(BASE)))
            .collect();
        let text = text.join(" ") + &filled;
        (gaps, next, text)
    }

    fn check(ops: &[Op], expected: &str) {
        assert_eq!(play(ops).2, expected, "{ops:?}");
    }

    #[test]
    fn a_segment_fills_what_it_covers() {
        let gap = [Send(10), Skip(20), Send(30)];
        let fill = |below, len| [&gap[..], &[Fill(below, len)]].concat();
        check(&gap, "10..30");
        check(&fill(50, 20), " filled");
        check(&fill(50, 5), "15..30 filled");
        check(&fill(35, 5), "10..25 filled");
        check(&fill(45, 5), "10..15 20..30 filled");
        check(&fill(60, 60), " filled");
        // Touches the gap on either side, and no byte of it.
        check(&fill(60, 10), "10..30 known");
        check(&fill(30, 30), "10..30 known");
        // The length claims more than there is before `next`.
        check(&fill(50, u32::MAX), " filled");
    }

    #[test]
    fn one_segment_fills_several_gaps() {
        let gaps = [Skip(10), Send(10), Skip(10), Send(10), Skip(10), Send(10)];
        check(&gaps, "0..10 20..30 40..50");
        check(&[&gaps[..], &[Fill(55, 40)]].concat(), "0..5 45..50 filled");
        check(&[&gaps[..], &[Fill(50, 30)]].concat(), "0..10 40..50 filled");
        check(&[&gaps[..], &[Fill(60, 60)]].concat(), " filled");
    }

    #[test]
    fn numbers_wrap_inside_a_gap() {
        check(&[Skip(100), Send(10), Fill(60, 10)], "0..50 60..100 filled");
        check(&[Skip(100), Send(10), Fill(110, 100)], " filled");
    }

    #[test]
    fn the_oldest_gap_is_dropped_and_stays_counted() {
        let ops = [Skip(3), Send(1)].repeat(SequenceGaps::LIMIT);
        let (gaps, next, _) = play(&ops);
        assert_eq!((gaps.ranges.len(), gaps.bytes(), gaps.dropped), (SequenceGaps::LIMIT, 96, 0));
        assert_eq!(gaps.acked_bytes(next, BASE.wrapping_add(4)), 3);
        // One more gap, or a gap that is split, drops the oldest.
        for (more, bytes) in [(Skip(3), 99), (Fill(3, 1), 95)] {
            let (gaps, next, _) = play(&[&ops[..], &[more]].concat());
            assert_eq!(
                (gaps.ranges.len(), gaps.bytes(), gaps.dropped),
                (SequenceGaps::LIMIT, bytes, 3),
                "{more:?}"
            );
            assert_eq!(gaps.acked_bytes(next, BASE), 3);
        }
    }

    #[test]
    fn a_gap_half_the_sequence_space_back_is_dropped() {
        let far = |bytes| [Skip(10), Send(bytes), Skip(10), Fill(5, 1)];
        assert_eq!(play(&far((1 << 31) - 21)).0.ranges.len(), 3);
        let (gaps, ..) = play(&far((1 << 31) - 20));
        assert_eq!((gaps.ranges.len(), gaps.dropped, gaps.bytes()), (2, 10, 19));
        // Four GiB on, the same numbers come again and are not those that are missing.
        let (gaps, ..) = play(&[Skip(10), Send(1 << 31), Send((1 << 31) - 5), Skip(10), Fill(8, 2)]);
        assert_eq!((gaps.dropped, gaps.bytes()), (10, 18));
    }

    fn ops(len: impl Strategy<Value = u32> + Clone) -> impl Strategy<Value = Vec<Op>> {
        let op = prop_oneof![
            len.clone().prop_map(Send),
            len.clone().prop_map(|len| Skip(len.max(1))),
            (len.clone(), len).prop_map(|(below, len)| Fill(below.max(1), len.max(1))),
        ];
        prop::collection::vec(op, 0..80)
    }

    proptest! {
        /// Against a set of all missing numbers.
        #[test]
        fn gaps_are_what_is_missing(ops in ops(0u32..40)) {
            let (mut missing, mut next, mut filled) = (BTreeSet::new(), 0u32, String::new());
            for op in &ops {
                match *op {
                    Send(len) => next += len,
                    Skip(len) => {
                        missing.extend(next..next + len);
                        next += len;
                    }
                    Fill(below, len) => {
                        let (begin, end) = (next.saturating_sub(below), (next + len).saturating_sub(below).min(next));
                        let count = missing.len();
                        missing.retain(|number| !(begin..end).contains(number));
                        filled += if missing.len() < count { " filled" } else { " known" };
                    }
                }
            }
            let (gaps, _, text) = play(&ops);
            // What is dropped cannot be filled.
            if gaps.dropped == 0 {
                prop_assert_eq!(gaps.bytes(), missing.len() as u64);
                prop_assert!(text.ends_with(&filled), "{} / {}", text, filled);
            }
        }

        /// The list stays short, in order and without overlap, whatever the numbers are: that bounds the work for a packet.
        #[test]
        fn any_numbers_leave_a_short_list(ops in ops(0u32..1 << 30)) {
            let (gaps, next, _) = play(&ops);
            prop_assert!(gaps.ranges.len() <= SequenceGaps::LIMIT);
            let below = |number: u32| gaps.next.wrapping_sub(number);
            let edges: Vec<u32> = gaps.ranges.iter().flat_map(|(begin, end)| [below(*begin), below(*end)]).collect();
            prop_assert!(edges.is_sorted_by(|a, b| a >= b), "{:?}", edges);
            prop_assert!(edges.iter().all(|edge| u64::from(*edge) < HALF_SPACE));
            prop_assert!(gaps.acked_bytes(next, next) <= gaps.bytes());
        }
    }
}
