//! TCP sequence numbers.
//!
//! In:  numbers from headers.
//! Out: their order; the sequence space of one side.
//! Not: ranges that are missing; see `gaps`.

/// Distance from `b` to `a` in sequence space (RFC 9293 §3.4); positive if `a` is ahead of `b`.
#[inline]
pub(super) const fn ahead(a: u32, b: u32) -> i32 {
    a.wrapping_sub(b) as i32
}

/// The sequence space of one side, as far as the next packet needs it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SequenceSpace {
    /// The number after the highest that this side has sent, or that the peer has ACKed.
    pub(super) next: u32,
    /// The highest number of this side that the peer has ACKed.
    pub(super) acked: u32,
    /// Segments with payload, saturating.
    pub(super) data: u16,
    /// Bits of [`SequenceSpace::SENT`] and those below it.
    pub(super) seen: u8,
    /// Segments in a row whose numbers are far from these.
    pub(super) foreign_run: u8,
}

impl SequenceSpace {
    /// Has sent anything: `next` is valid.
    pub(super) const SENT: u8 = 1;
    /// Has sent a SYN: the initial sequence number is known.
    pub(super) const SYN: u8 = 2;
    /// Has sent a FIN.
    pub(super) const FIN: u8 = 4;
    /// Has sent a RST.
    pub(super) const RST: u8 = 8;
    /// Has sent a segment without SYN and RST.
    pub(super) const TALKED: u8 = 16;

    #[inline]
    pub(super) const fn has(&self, seen: u8) -> bool {
        self.seen & seen == seen
    }
}

#[cfg(test)]
mod tests {
    use super::ahead;

    #[test]
    fn numbers_are_compared_across_the_wrap() {
        assert_eq!((ahead(5, 3), ahead(3, 5), ahead(7, 7)), (2, -2, 0));
        assert_eq!((ahead(1, u32::MAX), ahead(u32::MAX, 1)), (2, -2));
        // Half of the sequence space away, either number may be the later one.
        assert_eq!(ahead(1 << 31, 0), i32::MIN);
    }
}
