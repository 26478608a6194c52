//! Fingerprints of eight bytes, in buckets of four.
//!
//! In:  what is compared.
//! Out: a fingerprint, and a bucket for it.
//! Not: what a fingerprint means.

use crate::base::Address;

/// The bits of the golden ratio: spread similar values over a table.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// Differ in every run, so that two packets with one fingerprint cannot be crafted.
pub(super) type Seeds = [u64; 4];

/// The four most recent values of a bucket, in one cache line.
#[derive(Clone, Copy, Debug, Default)]
#[repr(align(32))]
pub(super) struct RecentFingerprints(pub(super) [u64; 4]);

impl RecentFingerprints {
    /// Adds the newest value in front; drops the oldest.
    #[inline]
    pub(super) const fn push(&mut self, newest: u64) {
        let [first, second, third, _] = self.0;
        self.0 = [newest, first, second, third];
    }
}

/// Empty buckets.
pub(super) fn buckets<const COUNT: usize>() -> Box<[RecentFingerprints; COUNT]> {
    Box::new([RecentFingerprints::default(); COUNT])
}

/// An address in half as many bits.
#[inline]
pub(super) const fn fold(address: Address) -> u64 {
    address.0 as u64 ^ ((address.0 >> 64) as u64).rotate_left(29)
}

/// A bucket, the same in every run: which values are overwritten must not depend on chance.
#[inline]
pub(super) const fn bucket(value: u64) -> usize {
    (value.wrapping_mul(SPREAD) >> 40) as usize
}

/// Both halves of a product, so that every bit counts.
#[inline]
pub(super) const fn mix(a: u64, b: u64) -> u64 {
    let product = (a as u128).wrapping_mul(b as u128);
    product as u64 ^ (product >> 64) as u64
}

/// The first eight bytes, or all if there are fewer.
#[inline]
pub(super) fn first(bytes: &[u8]) -> u64 {
    match bytes.first_chunk() {
        Some(eight) => u64::from_le_bytes(*eight),
        None => short(bytes),
    }
}

/// The last eight bytes, or all if there are fewer.
#[inline]
pub(super) fn last(bytes: &[u8]) -> u64 {
    match bytes.last_chunk() {
        Some(eight) => u64::from_le_bytes(*eight),
        None => short(bytes),
    }
}

#[cold]
#[inline(never)]
fn short(bytes: &[u8]) -> u64 {
    bytes.iter().fold(1, |word, byte| word << 8 | u64::from(*byte))
}
