//! Recognizes duplicate packets in the capture.
//!
//! In:  packets in capture order.
//! Out: whether a packet is a duplicate of one shortly before it; in which scope its flow is.
//! Not: retransmissions: they follow later, and have another IP identification.
//!
//! A SPAN session that mirrors ingress and egress of a switch shows each packet twice within a millisecond, perhaps with another
//! VLAN tag or in another tunnel, with other MAC addresses, and routed with a smaller TTL. So these are not compared.
//! Addresses, ports, IP identification, sequence numbers and both ends of the payload must be the same.

mod encap_merge;
mod fingerprint;

use std::hash::BuildHasher;
use std::hash::RandomState;

use super::packet::Packet;
use super::packet::Transport;
use crate::base::Time;
use encap_merge::EncapMerge;
use fingerprint::RecentFingerprints;
use fingerprint::Seeds;
use fingerprint::first;
use fingerprint::fold;
use fingerprint::last;
use fingerprint::mix;

/// Duplicates with the same nonzero IP identification are at most ten milliseconds apart.
const MAX_AGE: u64 = 10_000_000 >> TICK_BITS;

/// The same for packets without an identification (IPv6, and IPv4 with identification 0, RFC 6864 §4.1): one millisecond.
const MAX_AGE_WITHOUT_ID: u64 = 1_000_000 >> TICK_BITS;

/// Buckets of four packets each: several thousand packets, more than a fast link carries in a millisecond.
const BUCKETS: usize = 1 << 10;

/// A tick has 2^10 nanoseconds: nearly a microsecond, and no division.
const TICK_BITS: u32 = 10;

/// The lower bits of a fingerprint are its time: ticks, modulo 17 seconds.
const TIME_BITS: u32 = 24;
const TIME_MASK: u64 = (1 << TIME_BITS) - 1;

/// The packets of the last milliseconds.
#[derive(Debug)]
pub struct Dedup {
    /// Their fingerprints, with the time in the lower bits.
    fingerprints: Box<[RecentFingerprints; BUCKETS]>,
    /// Their scopes; not used until a packet has a scope.
    scopes: Box<[RecentFingerprints; BUCKETS]>,
    seeds: Seeds,
    merge: EncapMerge,
}

impl Default for Dedup {
    fn default() -> Dedup {
        let state = RandomState::new();
        let seeds = std::array::from_fn(|number| state.hash_one(number));
        Dedup {
            fingerprints: fingerprint::buckets(),
            scopes: fingerprint::buckets(),
            seeds,
            merge: EncapMerge::new(seeds),
        }
    }
}

impl Dedup {
    /// Whether the packet is a duplicate of an earlier one.
    #[inline(always)]
    pub fn is_duplicate(&mut self, packet: &Packet<'_>, time: Time) -> bool {
        let now = (time.0 >> TICK_BITS) as u64 & TIME_MASK;
        let (bucket, fingerprint) = fingerprint_of(packet, &self.seeds);
        let bucket = bucket % BUCKETS;
        let Some(RecentFingerprints(known)) = self.fingerprints.get(bucket) else { return false };
        // Nearly always none of the four is equal.
        if known.iter().any(|known| (known ^ fingerprint) >> TIME_BITS == 0)
            && self.is_recent(packet, bucket, fingerprint, now)
        {
            return true;
        }
        let Some(recent) = self.fingerprints.get_mut(bucket) else { return false };
        recent.push((fingerprint & !TIME_MASK) | now);
        self.merge.is_scoped |= packet.scope != 0;
        if self.merge.is_scoped
            && let Some(scopes) = self.scopes.get_mut(bucket)
        {
            scopes.push(packet.scope);
        }
        self.merge.observe(packet);
        false
    }

    /// Whether one of the bucket's packets is the same and recent enough. If it has another scope, both scopes are one.
    #[cold]
    fn is_recent(&mut self, packet: &Packet<'_>, bucket: usize, fingerprint: u64, now: u64) -> bool {
        let Some(RecentFingerprints(known)) = self.fingerprints.get(bucket) else { return false };
        let index = known.iter().position(|known| {
            let age = now.wrapping_sub(*known) & TIME_MASK;
            // Files that are read together may overlap a little, so the duplicate may be the earlier one.
            let distance = age.min((1 << TIME_BITS) - age);
            let max_age = if packet.ip_id == 0 { MAX_AGE_WITHOUT_ID } else { MAX_AGE };
            (*known ^ fingerprint) >> TIME_BITS == 0 && distance <= max_age
        });
        let Some(index) = index else { return false };
        let original =
            self.scopes.get(bucket).and_then(|RecentFingerprints(scopes)| scopes.get(index)).copied();
        if let Some(original) = original.filter(|original| *original != packet.scope) {
            self.merge.merge(packet, original);
        }
        true
    }

    /// The scope of the packet's flow, if it is not the packet's own.
    #[inline]
    pub fn merged_scope(&self, packet: &Packet<'_>) -> Option<u64> {
        self.merge.merged_scope(packet)
    }
}

/// The packet's bucket, which is the same in every run, and its fingerprint, which is seeded.
#[inline]
fn fingerprint_of(packet: &Packet<'_>, [one, two, three, four]: &Seeds) -> (usize, u64) {
    let ports = u64::from(packet.src_port) << 48 | u64::from(packet.dst_port) << 32;
    let head = ports | u64::from(packet.ip_id) << 8 | u64::from(packet.protocol);
    let len = u64::from(packet.payload_len);
    let (numbers, rest) = match packet.transport {
        Transport::Tcp(tcp) => {
            let numbers = u64::from(tcp.seq) << 32 | u64::from(tcp.ack);
            let rest = u64::from(tcp.flags) << 48 | u64::from(tcp.window) << 32 | len;
            // Timestamps are at the end of the options. They distinguish retransmissions without an identification.
            (numbers, if packet.ip_id == 0 { rest ^ last(tcp.options) } else { rest })
        }
        Transport::Icmp { kind, code, id, detail, .. } => {
            let numbers = u64::from(detail) << 32 | u64::from(id);
            (numbers ^ last(packet.payload), u64::from(kind) << 56 | u64::from(code) << 48 | len)
        }
        Transport::Udp | Transport::Other => (first(packet.payload), len << 32 ^ last(packet.payload)),
    };
    let bucket = fingerprint::bucket(head ^ numbers.rotate_left(17));
    let addresses = mix(fold(packet.src) ^ *one, fold(packet.dst) ^ *two);
    let fingerprint = mix(addresses ^ head, *three) ^ numbers;
    (bucket, mix(fingerprint, rest ^ *four))
}

#[cfg(test)]
mod tests;
