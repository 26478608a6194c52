//! What packets are remembered by: marks of eight bytes, in sets of four.
//!
//! In:  what shall be alike.
//! Out: a mark that is alike, and a place for it.
//! Not: what the marks mean.

use crate::base::Address;

/// The golden ratio's bits: spreads what is alike over a table.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// Differ from run to run: nobody can make two packets that pass for one.
pub(super) type Seeds = [u64; 4];

/// Four of something, the last first, in one line of the cache.
#[derive(Clone, Copy, Debug, Default)]
#[repr(align(32))]
pub(super) struct Set(pub(super) [u64; 4]);

impl Set {
    /// Puts the newest in front.
    #[inline]
    pub(super) const fn push(&mut self, newest: u64) {
        let [first, second, third, _] = self.0;
        self.0 = [newest, first, second, third];
    }
}

/// So many sets, empty.
pub(super) fn sets<const COUNT: usize>() -> Box<[Set; COUNT]> {
    Box::new([Set::default(); COUNT])
}

/// An address in half as many bits.
#[inline]
pub(super) const fn fold(address: Address) -> u64 {
    address.0 as u64 ^ ((address.0 >> 64) as u64).rotate_left(29)
}

/// A place in a table, the same in every run: what is forgotten must not depend on chance.
#[inline]
pub(super) const fn place(what: u64) -> usize {
    (what.wrapping_mul(SPREAD) >> 40) as usize
}

/// Both halves of a product, so that every bit counts.
#[inline]
pub(super) const fn mix(a: u64, b: u64) -> u64 {
    let product = (a as u128).wrapping_mul(b as u128);
    product as u64 ^ (product >> 64) as u64
}

/// The first eight bytes, or all there are.
#[inline]
pub(super) fn first(bytes: &[u8]) -> u64 {
    match bytes.first_chunk() {
        Some(eight) => u64::from_le_bytes(*eight),
        None => few(bytes),
    }
}

/// The last eight bytes, or all there are.
#[inline]
pub(super) fn last(bytes: &[u8]) -> u64 {
    match bytes.last_chunk() {
        Some(eight) => u64::from_le_bytes(*eight),
        None => few(bytes),
    }
}

#[cold]
#[inline(never)]
fn few(bytes: &[u8]) -> u64 {
    bytes.iter().fold(1, |word, byte| word << 8 | u64::from(*byte))
}
