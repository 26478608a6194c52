//! Recognises packets that the capture holds twice.
//!
//! In:  packets in the order of capture.
//! Out: whether a packet is a copy of one that came just before it, and in which scope its conversation takes place.
//! Not: repetitions by the sender: those come later, and with another IP identification.
//!
//! A span session that mirrors what enters and what leaves a switch shows each packet twice: within a millisecond, perhaps
//! behind another VLAN tag or in another tunnel, with other MAC addresses, and routed with a smaller TTL. So none of these
//! count here. What counts is that addresses, ports, IP identification, numbers and the ends of the payload are the same.

mod encap_merge;
mod fingerprint;

use std::hash::BuildHasher;
use std::hash::RandomState;

use super::packet::Packet;
use super::packet::Transport;
use crate::base::Time;
use encap_merge::EncapMerge;
use fingerprint::Seeds;
use fingerprint::Set;
use fingerprint::first;
use fingerprint::fold;
use fingerprint::last;
use fingerprint::mix;

/// How far apart in time copies may be where the IP identification is the same and not zero: ten milliseconds.
const APART: u64 = 10_000_000 >> TICK_BITS;

/// The same where nothing but the packet itself can be compared (IPv6, and IPv4 with identification 0, RFC 6864 §4.1): one.
const APART_UNNUMBERED: u64 = 1_000_000 >> TICK_BITS;

/// Sets of four packets each that are remembered: several thousand, more than a fast link carries in a millisecond.
const SETS: usize = 1 << 10;

/// Time is counted in ticks of so many bits of nanoseconds: 1,024 are nearly a microsecond, and need no division.
const TICK_BITS: u32 = 10;

/// Bits of a mark that are time: ticks, modulo 17 seconds.
const TIME_BITS: u32 = 24;
const TIME_MASK: u64 = (1 << TIME_BITS) - 1;

/// The packets of the last milliseconds.
#[derive(Debug)]
pub struct Dedup {
    /// What they hold and when they came.
    sets: Box<[Set; SETS]>,
    /// Their scopes; not touched until one of them has a scope.
    set_scopes: Box<[Set; SETS]>,
    seeds: Seeds,
    scopes: EncapMerge,
}

impl Default for Dedup {
    fn default() -> Dedup {
        let state = RandomState::new();
        let seeds = std::array::from_fn(|number| state.hash_one(number));
        Dedup {
            sets: fingerprint::sets(),
            set_scopes: fingerprint::sets(),
            seeds,
            scopes: EncapMerge::new(seeds),
        }
    }
}

impl Dedup {
    /// Whether the packet is a copy of an earlier one.
    #[inline(always)]
    pub fn is_copy(&mut self, packet: &Packet<'_>, time: Time) -> bool {
        let now = (time.0 >> TICK_BITS) as u64 & TIME_MASK;
        let (place, mark) = digest(packet, &self.seeds);
        let place = place % SETS;
        let Some(Set(marks)) = self.sets.get(place) else { return false };
        // Nearly always none of the four is it.
        if marks.iter().any(|known| (known ^ mark) >> TIME_BITS == 0)
            && self.is_soon(packet, place, mark, now)
        {
            return true;
        }
        let Some(set) = self.sets.get_mut(place) else { return false };
        set.push((mark & !TIME_MASK) | now);
        self.scopes.is_scoped |= packet.scope != 0;
        if self.scopes.is_scoped
            && let Some(scopes) = self.set_scopes.get_mut(place)
        {
            scopes.push(packet.scope);
        }
        self.scopes.listen(packet);
        false
    }

    /// Whether one of the set is the same packet and came just before.
    #[cold]
    fn is_soon(&mut self, packet: &Packet<'_>, place: usize, mark: u64, now: u64) -> bool {
        let Some(Set(marks)) = self.sets.get(place) else { return false };
        let way = marks.iter().position(|known| {
            let age = now.wrapping_sub(*known) & TIME_MASK;
            // Files that are read together may overlap a little: a copy may be the earlier one.
            let distance = age.min((1 << TIME_BITS) - age);
            let apart = if packet.ip_id == 0 { APART_UNNUMBERED } else { APART };
            (*known ^ mark) >> TIME_BITS == 0 && distance <= apart
        });
        let Some(way) = way else { return false };
        let original = self.set_scopes.get(place).and_then(|Set(scopes)| scopes.get(way)).copied();
        if let Some(original) = original.filter(|original| *original != packet.scope) {
            self.scopes.twin(packet, original);
        }
        true
    }

    /// The scope of the packet's conversation, where it is another than the packet's own.
    #[inline]
    pub fn moved(&self, packet: &Packet<'_>) -> Option<u64> {
        self.scopes.moved(packet)
    }
}

/// A set, which is the same in every run, and a mark, which is not.
#[inline]
fn digest(packet: &Packet<'_>, [one, two, three, four]: &Seeds) -> (usize, u64) {
    let ends = u64::from(packet.src_port) << 48 | u64::from(packet.dst_port) << 32;
    let head = ends | u64::from(packet.ip_id) << 8 | u64::from(packet.protocol);
    let len = u64::from(packet.payload_len);
    let (numbers, rest) = match packet.transport {
        Transport::Tcp(tcp) => {
            let numbers = u64::from(tcp.seq) << 32 | u64::from(tcp.ack);
            let rest = u64::from(tcp.flags) << 48 | u64::from(tcp.window) << 32 | len;
            // Time stamps stand at the end of the options, and tell repetitions apart that have no identification.
            (numbers, if packet.ip_id == 0 { rest ^ last(tcp.options) } else { rest })
        }
        Transport::Icmp { kind, code, id, detail, .. } => {
            let said = u64::from(detail) << 32 | u64::from(id);
            (said ^ last(packet.payload), u64::from(kind) << 56 | u64::from(code) << 48 | len)
        }
        Transport::Udp | Transport::Other => (first(packet.payload), len << 32 ^ last(packet.payload)),
    };
    let place = fingerprint::place(head ^ numbers.rotate_left(17));
    let ways = mix(fold(packet.src) ^ *one, fold(packet.dst) ^ *two);
    let mark = mix(ways ^ head, *three) ^ numbers;
    (place, mix(mark, rest ^ *four))
}

#[cfg(test)]
mod tests;
