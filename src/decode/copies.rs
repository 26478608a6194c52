//! Recognises packets that the capture holds twice.
//!
//! In:  packets in the order of capture.
//! Out: whether a packet is a copy of one that came just before it, and in which scope its conversation takes place.
//! Not: repetitions by the sender: those come later, and with another IP identification.
//!
//! A span session that mirrors what enters and what leaves a switch shows each packet twice: within a millisecond, perhaps
//! behind another VLAN tag or in another tunnel, with other MAC addresses, and routed with a smaller TTL. So none of these
//! count here. What counts is that addresses, ports, IP identification, numbers and the ends of the payload are the same.
//!
//! Where copies travel in two VLANs, each direction may show first in another. The first copy of a conversation says which
//! two scopes are one; from then on its packets belong to the scope that came first.

use std::hash::BuildHasher;
use std::hash::RandomState;

use hashbrown::HashMap;

use super::packet::Packet;
use super::packet::Transport;
use crate::base::Address;
use crate::base::Time;

/// How far apart in time copies may be where the IP identification is the same and not zero. Microseconds.
const APART: u64 = 10_000;

/// The same where nothing but the packet itself can be compared (IPv6, and IPv4 with identification 0, RFC 6864 §4.1).
const APART_UNNUMBERED: u64 = 1_000;

/// Sets of four packets each that are remembered: several thousand, more than a fast link carries in a millisecond.
const SETS: usize = 1 << 10;

/// Pairs of hosts whose conversations show in two scopes.
const TWINS: usize = 1 << 16;

/// Bits of a mark that are time: microseconds, modulo 16 seconds.
const TIME_BITS: u32 = 24;
const TIME_MASK: u64 = (1 << TIME_BITS) - 1;

/// Four packets: what they hold and when they came, and in which scope.
#[derive(Clone, Copy, Debug, Default)]
struct Set {
    marks: [u64; 4],
    scopes: [u64; 4],
    /// The way that is used next.
    next: u8,
}

/// The packets of the last milliseconds.
#[derive(Debug)]
pub struct Copies {
    sets: Box<[Set]>,
    /// Differ from run to run: nobody can make two packets that pass for copies.
    seeds: [u64; 4],
    twins: HashMap<(Address, Address, u64), u64, foldhash::fast::RandomState>,
}

impl Default for Copies {
    fn default() -> Copies {
        let state = RandomState::new();
        Copies {
            sets: vec![Set::default(); SETS].into(),
            seeds: std::array::from_fn(|number| state.hash_one(number)),
            twins: HashMap::default(),
        }
    }
}

impl Copies {
    /// Whether the packet is a copy of an earlier one.
    #[inline]
    pub fn is_copy(&mut self, packet: &Packet<'_>, time: Time) -> bool {
        let micros = (time.0.div_euclid(1_000) as u64) & TIME_MASK;
        let (place, mark) = digest(packet, self.seeds);
        let Some(set) = self.sets.get_mut(place % SETS) else { return false };
        // Nearly always none of the four is it.
        if set.marks.iter().any(|known| (known ^ mark) >> TIME_BITS == 0) {
            let found = set.marks.iter().zip(set.scopes).find(|(known, _)| {
                let age = micros.wrapping_sub(**known) & TIME_MASK;
                // Files that are read together may overlap a little: a copy may be the earlier one.
                let distance = age.min((1 << TIME_BITS) - age);
                let apart = if packet.ip_id == 0 { APART_UNNUMBERED } else { APART };
                (**known ^ mark) >> TIME_BITS == 0 && distance <= apart
            });
            if let Some((_, original)) = found {
                if original != packet.scope {
                    self.twin(packet, original);
                }
                return true;
            }
        }
        let way = usize::from(set.next % 4);
        set.next = set.next.wrapping_add(1);
        if let (Some(known), Some(scope)) = (set.marks.get_mut(way), set.scopes.get_mut(way)) {
            *known = (mark & !TIME_MASK) | micros;
            *scope = packet.scope;
        }
        false
    }

    /// The scope of the packet's conversation, where it is another than the packet's own.
    #[inline]
    pub fn moved(&self, packet: &Packet<'_>) -> Option<u64> {
        if self.twins.is_empty() {
            return None;
        }
        let (low, high) = hosts(packet);
        self.twins.get(&(low, high, packet.scope)).copied()
    }

    /// Conversations between these hosts show in both scopes.
    #[cold]
    fn twin(&mut self, packet: &Packet<'_>, original: u64) {
        if self.twins.len() >= TWINS {
            self.twins.clear();
        }
        let (low, high) = hosts(packet);
        let first = self.twins.get(&(low, high, original)).copied().unwrap_or(original);
        if first != packet.scope {
            self.twins.insert((low, high, packet.scope), first);
        }
    }
}

/// Between whom: for an ICMP error, between whom the packet went that it quotes.
fn hosts(packet: &Packet<'_>) -> (Address, Address) {
    let (src, dst) = match packet.transport {
        Transport::Icmp { quoted: Some(quoted), .. } => (quoted.src, quoted.dst),
        _ => (packet.src, packet.dst),
    };
    (src.min(dst), src.max(dst))
}

/// A set, which is the same in every run, and a mark, which is not.
#[inline]
fn digest(packet: &Packet<'_>, seeds: [u64; 4]) -> (usize, u64) {
    let fold = |address: Address| address.0 as u64 ^ ((address.0 >> 64) as u64).rotate_left(29);
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
    let place = (head ^ numbers.rotate_left(17)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    let [one, two, three, four] = seeds;
    let ways = mix(fold(packet.src) ^ one, fold(packet.dst) ^ two);
    let mark = mix(ways ^ head, three) ^ numbers;
    (place as usize, mix(mark, rest ^ four))
}

/// Both halves of a product, so that every bit counts.
#[inline]
const fn mix(a: u64, b: u64) -> u64 {
    let product = (a as u128).wrapping_mul(b as u128);
    product as u64 ^ (product >> 64) as u64
}

/// The first eight bytes, or all there are.
#[inline]
fn first(bytes: &[u8]) -> u64 {
    match bytes.first_chunk() {
        Some(eight) => u64::from_le_bytes(*eight),
        None => few(bytes),
    }
}

/// The last eight bytes, or all there are.
#[inline]
fn last(bytes: &[u8]) -> u64 {
    match bytes.last_chunk() {
        Some(eight) => u64::from_le_bytes(*eight),
        None => few(bytes),
    }
}

fn few(bytes: &[u8]) -> u64 {
    bytes.iter().fold(1, |word, byte| word << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::Wrapping;

    fn packet<'a>(src: u128, dst: u128, ip_id: u16, payload: &'a [u8]) -> Packet<'a> {
        Packet {
            src: Address(src),
            dst: Address(dst),
            src_port: 53,
            dst_port: 40000,
            protocol: 17,
            ttl: 64,
            ip_id,
            was_fragmented: false,
            scope: 0,
            wrapping: &Wrapping::NONE,
            transport: Transport::Udp,
            payload,
            payload_len: payload.len() as u32,
        }
    }

    const fn at(micros: i64) -> Time {
        Time(1_700_000_000_000_000_000 + micros * 1_000)
    }

    #[test]
    fn a_copy_comes_soon_and_differs_in_nothing_but_its_way() {
        let check = |second: &Packet<'_>, after: i64, expected: bool| {
            let mut copies = Copies::default();
            assert!(!copies.is_copy(&packet(4, 5, 7, b"answer"), at(0)));
            assert_eq!(copies.is_copy(second, at(after)), expected, "{second:?} after {after}");
        };
        check(&packet(4, 5, 7, b"answer"), 0, true);
        check(&packet(4, 5, 7, b"answer"), 9_999, true);
        check(&packet(4, 5, 7, b"answer"), -9_000, true);
        check(&packet(4, 5, 7, b"answer"), 10_001, false);
        check(&Packet { ttl: 63, scope: 20, ..packet(4, 5, 7, b"answer") }, 10, true);
        check(&packet(4, 5, 8, b"answer"), 10, false);
        check(&packet(4, 5, 7, b"others"), 10, false);
        check(&packet(5, 4, 7, b"answer"), 10, false);
        // 2^24 microseconds later the clock of the marks is where it was.
        check(&packet(4, 5, 7, b"others"), 1 << 24, false);
    }

    #[test]
    fn without_an_identification_it_comes_sooner() {
        let mut copies = Copies::default();
        assert!(!copies.is_copy(&packet(4, 5, 0, b"answer"), at(0)));
        assert!(!copies.is_copy(&packet(4, 5, 0, b"answer"), at(1_001)), "a repetition");
        assert!(copies.is_copy(&packet(4, 5, 0, b"answer"), at(1_500)));
    }

    #[test]
    fn neighbours_are_no_copies_whatever_the_seeds() {
        for _ in 0..200 {
            let mut copies = Copies::default();
            for src in 0..16 {
                for dst in 0..16 {
                    assert!(!copies.is_copy(&packet(src, dst, 7, b""), at(0)), "{src} {dst}");
                }
            }
        }
    }

    #[test]
    fn a_copy_in_another_scope_says_that_both_are_one() {
        let mut copies = Copies::default();
        let first = |scope| Packet { scope, ..packet(4, 5, 7, b"question") };
        assert!(!copies.is_copy(&first(10), at(0)));
        assert_eq!(copies.moved(&first(20)), None);
        assert!(copies.is_copy(&first(20), at(50)));
        let answer = |scope| Packet { scope, ..packet(5, 4, 9, b"answer") };
        assert!(!copies.is_copy(&answer(20), at(900)));
        assert_eq!(copies.moved(&answer(20)), Some(10), "the way back shows in the other network first");
        assert!(copies.is_copy(&answer(10), at(950)));
        assert_eq!(copies.moved(&answer(10)), None);
        assert_eq!(copies.moved(&Packet { scope: 20, ..packet(4, 6, 1, b"") }), None, "other hosts");
    }
}
