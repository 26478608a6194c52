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
//!
//! A span of one port of a router shows the way there in one VLAN and the way back in another, and no copies at all. There
//! the first answer says it: a SYN-ACK or a reset that acknowledges a SYN of another scope, an ICMP error that quotes it, a
//! response to a query there; of what goes on, the acknowledgement of a segment's last byte, the echo's reply, the datagram to a
//! port that a client chose.

use std::hash::BuildHasher;
use std::hash::RandomState;

use hashbrown::HashMap;

use super::packet::Packet;
use super::packet::TcpHeader;
use super::packet::Transport;
use crate::base::Address;
use crate::base::Time;

/// IANA protocol numbers.
const ICMP: u8 = 1;
const ICMPV6: u8 = 58;

/// How far apart in time copies may be where the IP identification is the same and not zero: ten milliseconds.
const APART: u64 = 10_000_000 >> TICK_BITS;

/// The same where nothing but the packet itself can be compared (IPv6, and IPv4 with identification 0, RFC 6864 §4.1): one.
const APART_UNNUMBERED: u64 = 1_000_000 >> TICK_BITS;

/// Sets of four packets each that are remembered: several thousand, more than a fast link carries in a millisecond.
const SETS: usize = 1 << 10;

/// Sets of four questions each that are remembered until they are answered, of each kind.
const QUESTIONS: usize = 1 << 8;

/// Packets whose exchanges are listened to before there is a scope: of two sides, the one without a tag may be the first.
const PATIENCE: u32 = 1 << 13;

/// The bit of what was asked that says: in two scopes.
const TWOFOLD: u64 = 1;

/// Pairs of hosts whose conversations show in two scopes.
const TWINS: usize = 1 << 16;

/// Time is counted in ticks of so many bits of nanoseconds: 1,024 are nearly a microsecond, and need no division.
const TICK_BITS: u32 = 10;

/// Bits of a mark that are time: ticks, modulo 17 seconds.
const TIME_BITS: u32 = 24;
const TIME_MASK: u64 = (1 << TIME_BITS) - 1;

/// The golden ratio's bits: spreads what is alike over a table.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// Four of something, the last first, in one line of the cache. Of packets: what they hold and when they came.
#[derive(Clone, Copy, Debug, Default)]
#[repr(align(32))]
struct Set([u64; 4]);

/// The packets of the last milliseconds.
#[derive(Debug)]
pub struct Copies {
    sets: Box<[Set; SETS]>,
    /// The scopes of these packets; not touched until one of them has a scope.
    scopes: Box<[Set; SETS]>,
    is_scoped: bool,
    patience: u32,
    /// Handshakes and queries.
    openings: Questions,
    /// What goes on: segments, datagrams, echoes. Not touched for long before a packet has a scope.
    exchanges: Questions,
    /// Differ from run to run: nobody can make two packets that pass for copies.
    seeds: [u64; 4],
    twins: HashMap<(Address, Address, u64), u64, foldhash::fast::RandomState>,
}

impl Default for Copies {
    fn default() -> Copies {
        let state = RandomState::new();
        Copies {
            sets: Box::new([Set::default(); SETS]),
            scopes: Box::new([Set::default(); SETS]),
            is_scoped: false,
            patience: PATIENCE,
            openings: Questions::default(),
            exchanges: Questions::default(),
            seeds: std::array::from_fn(|number| state.hash_one(number)),
            twins: HashMap::default(),
        }
    }
}

impl Copies {
    /// Whether the packet is a copy of an earlier one.
    #[inline(always)]
    pub fn is_copy(&mut self, packet: &Packet<'_>, time: Time) -> bool {
        let now = (time.0 >> TICK_BITS) as u64 & TIME_MASK;
        let (place, mark) = digest(packet, &self.seeds);
        let place = place % SETS;
        let Some(Set(marks)) = self.sets.get_mut(place) else { return false };
        // Nearly always none of the four is it.
        if marks.iter().any(|known| (known ^ mark) >> TIME_BITS == 0)
            && self.is_soon(packet, place, mark, now)
        {
            return true;
        }
        let Some(Set(marks)) = self.sets.get_mut(place) else { return false };
        push(marks, (mark & !TIME_MASK) | now);
        self.is_scoped |= packet.scope != 0;
        if self.is_scoped
            && let Some(Set(scopes)) = self.scopes.get_mut(place)
        {
            push(scopes, packet.scope);
        }
        if let Some((way, number)) = way(packet) {
            self.hear(packet, way, number);
        } else if self.is_scoped || self.patience > 0 {
            self.overhear(packet);
        }
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
        let original = self.scopes.get(place).and_then(|Set(scopes)| scopes.get(way)).copied();
        if let Some(original) = original.filter(|original| *original != packet.scope) {
            self.twin(packet, original);
        }
        true
    }

    /// Remembers what opens a conversation; what answers may show that two scopes are one.
    #[inline(never)]
    fn hear(&mut self, packet: &Packet<'_>, way: Way, number: u32) {
        let turn = turn(packet, way, number, self.seeds);
        if let Some(original) = self.openings.hear(way, turn, self.scope(packet)) {
            self.twin(packet, original);
        }
    }

    /// The scope of the packet's conversation; none as long as there is none at all.
    fn scope(&self, packet: &Packet<'_>) -> Option<u64> {
        self.is_scoped.then(|| self.moved(packet).unwrap_or(packet.scope))
    }

    /// The same of a conversation that goes on.
    #[inline(never)]
    fn overhear(&mut self, packet: &Packet<'_>) {
        self.patience = self.patience.saturating_sub(1);
        let Some(Exchange { answers, asks }) = exchange(packet) else { return };
        if let Some(number) = answers {
            let answer = turn(packet, Way::Answers, number, self.seeds);
            if let Some(original) = self.exchanges.hear(Way::Answers, answer, self.scope(packet)) {
                self.twin(packet, original);
            }
        }
        if let Some(number) = asks {
            let question = turn(packet, Way::Asks, number, self.seeds);
            self.exchanges.hear(Way::Asks, question, self.scope(packet));
        }
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

/// What was asked lately, in sets of four, the last first.
#[derive(Debug)]
struct Questions {
    /// What its answer shows as well; 0 for none. The last bit says that the same was asked in two scopes: two networks that are
    /// alike.
    marks: Box<[Set; QUESTIONS]>,
    /// Where it was asked; not touched until a packet has a scope.
    scopes: Box<[Set; QUESTIONS]>,
}

impl Default for Questions {
    fn default() -> Questions {
        let none = || Box::new([Set::default(); QUESTIONS]);
        Questions { marks: none(), scopes: none() }
    }
}

impl Questions {
    /// Remembers what asks. For what answers: where it was asked, if that is another scope. None has one as long as there is no
    /// scope at all.
    fn hear(&mut self, way: Way, (place, mark): (usize, u64), scope: Option<u64>) -> Option<u64> {
        let Set(marks) = self.marks.get_mut(place % QUESTIONS)?;
        let Set(scopes) = self.scopes.get_mut(place % QUESTIONS)?;
        let known = marks.iter_mut().zip(scopes.iter()).find(|(known, _)| **known & !TWOFOLD == mark);
        let Some((known, asked_in)) = known else {
            if way == Way::Asks {
                push(marks, mark);
                if let Some(scope) = scope {
                    push(scopes, scope);
                }
            }
            return None;
        };
        if scope? == *asked_in {
            return None;
        }
        match way {
            Way::Asks => {
                *known |= TWOFOLD;
                None
            }
            Way::Answers => (*known & TWOFOLD == 0).then_some(*asked_in),
        }
    }
}

/// Puts the newest in front.
#[inline]
const fn push(set: &mut [u64; 4], newest: u64) {
    let [first, second, third, _] = *set;
    *set = [newest, first, second, third];
}

/// Between whom: for an ICMP error, between whom the packet went that it quotes.
fn hosts(packet: &Packet<'_>) -> (Address, Address) {
    let (src, dst) = match packet.transport {
        Transport::Icmp { quoted: Some(quoted), .. } => (quoted.src, quoted.dst),
        _ => (packet.src, packet.dst),
    };
    (src.min(dst), src.max(dst))
}

/// Whether a packet begins something or answers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Asks,
    Answers,
}

/// What asks and what answers, by a number that both have: a handshake's, or a query's identification.
#[inline]
fn way(packet: &Packet<'_>) -> Option<(Way, u32)> {
    const DNS: u16 = 53;
    const SYN_ACK: u8 = TcpHeader::SYN | TcpHeader::ACK;
    const RST_ACK: u8 = TcpHeader::RST | TcpHeader::ACK;
    match packet.transport {
        Transport::Tcp(tcp) => match tcp.flags & (TcpHeader::SYN | TcpHeader::RST | TcpHeader::ACK) {
            TcpHeader::SYN => Some((Way::Asks, tcp.seq)),
            SYN_ACK | RST_ACK => Some((Way::Answers, tcp.ack.wrapping_sub(1))),
            _ => None,
        },
        Transport::Udp if packet.dst_port == DNS => {
            Some((Way::Asks, u32::from(first(packet.payload) as u16)))
        }
        Transport::Udp if packet.src_port == DNS => {
            Some((Way::Answers, u32::from(first(packet.payload) as u16)))
        }
        Transport::Icmp { quoted: Some(quoted), .. } => Some((Way::Answers, quoted.seq?)),
        _ => None,
    }
}

/// What a packet answers and what it asks, in the middle of a conversation.
struct Exchange {
    answers: Option<u32>,
    asks: Option<u32>,
}

/// A segment acknowledges what came, and wants the same for what it brings. An echo has a number. A datagram has none, but the
/// port of a client that chose it (from 32768 on, as no two networks that are alike choose the same) is nearly as good.
fn exchange(packet: &Packet<'_>) -> Option<Exchange> {
    const CHOSEN: u16 = 32768;
    let (from, to) = (packet.src_port, packet.dst_port);
    match packet.transport {
        Transport::Tcp(tcp) if tcp.flags & (TcpHeader::SYN | TcpHeader::ACK) == TcpHeader::ACK => {
            let is_last = tcp.flags & (TcpHeader::FIN | TcpHeader::RST) != 0;
            let end = tcp.seq.wrapping_add(packet.payload_len);
            Some(Exchange {
                answers: Some(tcp.ack),
                asks: (packet.payload_len > 0 && !is_last).then_some(end),
            })
        }
        Transport::Udp if from.max(to) < CHOSEN => None,
        Transport::Udp if from > to => Some(Exchange { answers: None, asks: Some(0) }),
        Transport::Udp if from < to => Some(Exchange { answers: Some(0), asks: None }),
        Transport::Icmp { kind, id, detail, .. } => {
            let number = Some(u32::from(id) << 16 | u32::from(detail as u16));
            match (packet.protocol, kind) {
                (ICMP, 8) | (ICMPV6, 128) => Some(Exchange { answers: None, asks: number }),
                (ICMP, 0) | (ICMPV6, 129) => Some(Exchange { answers: number, asks: None }),
                _ => None,
            }
        }
        _ => None,
    }
}

/// What a question and its answer share: a place, which is the same in every run, because what is forgotten must not
/// depend on chance; and a mark, which is not, is never 0, and leaves [`TWOFOLD`] free.
fn turn(packet: &Packet<'_>, way: Way, number: u32, [one, two, three, _]: [u64; 4]) -> (usize, u64) {
    let (asker, its, answerer, other) = match (way, packet.transport) {
        (_, Transport::Icmp { quoted: Some(quoted), .. }) => {
            (quoted.src, quoted.src_port, quoted.dst, quoted.dst_port)
        }
        (Way::Asks, _) => (packet.src, packet.src_port, packet.dst, packet.dst_port),
        (Way::Answers, _) => (packet.dst, packet.dst_port, packet.src, packet.src_port),
    };
    let fold = |address: Address| address.0 as u64 ^ ((address.0 >> 64) as u64).rotate_left(29);
    let (asker, answerer) = (fold(asker), fold(answerer));
    let ends = u64::from(number) << 32 | u64::from(its) << 16 | u64::from(other);
    let place = (asker ^ answerer.rotate_left(17) ^ ends).wrapping_mul(SPREAD) >> 40;
    let mark = mix(mix(asker ^ one, answerer ^ two), ends ^ three);
    (place as usize, (mark | 2) & !TWOFOLD)
}

/// A set, which is the same in every run, and a mark, which is not.
#[inline]
fn digest(packet: &Packet<'_>, [one, two, three, four]: &[u64; 4]) -> (usize, u64) {
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
    let place = (head ^ numbers.rotate_left(17)).wrapping_mul(SPREAD) >> 40;
    let ways = mix(fold(packet.src) ^ *one, fold(packet.dst) ^ *two);
    let mark = mix(ways ^ head, *three) ^ numbers;
    (place as usize, mix(mark, rest ^ *four))
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

#[cold]
#[inline(never)]
fn few(bytes: &[u8]) -> u64 {
    bytes.iter().fold(1, |word, byte| word << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::Quoted;
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
        // 2^24 ticks later the clock of the marks is where it was.
        check(&packet(4, 5, 7, b"others"), 17_179_869, false);
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
    fn an_answer_in_another_scope_says_that_both_are_one() {
        let mut copies = Copies::default();
        let question =
            |scope| Packet { scope, src_port: 40000, dst_port: 53, ..packet(4, 5, 7, b"id question") };
        let answer = |scope, payload| Packet { scope, ..packet(5, 4, 9, payload) };
        assert!(!copies.is_copy(&question(10), at(0)));
        assert!(!copies.is_copy(&answer(20, b"other answer"), at(500)));
        assert_eq!(copies.moved(&answer(20, b"")), None, "to another question");
        assert!(!copies.is_copy(&answer(20, b"id answer"), at(900)));
        assert_eq!(copies.moved(&answer(20, b"")), Some(10));
        assert_eq!(copies.moved(&question(10)), None);
        // Two networks that are alike ask the same at the same time.
        let mut copies = Copies::default();
        for scope in [10, 20] {
            assert!(!copies.is_copy(&question(scope), at(i64::from(scope as u32) * 100_000)));
        }
        for scope in [10, 20] {
            assert!(
                !copies
                    .is_copy(&answer(scope, b"id answer"), at(5_000_000 + i64::from(scope as u32) * 100_000))
            );
            assert_eq!(copies.moved(&answer(scope, b"")), None);
        }
    }

    /// What a full table forgets is the same in every run, whatever the seeds.
    #[test]
    fn chance_forgets_nothing() {
        let remembered = || {
            let mut copies = Copies::default();
            let asked = |host: u128, scope| Packet {
                scope,
                src_port: 40000,
                dst_port: 53,
                ..packet(host, 5, 7, b"id question")
            };
            for host in 10..2_000 {
                copies.is_copy(&asked(host, 1), at(0));
            }
            for host in 10..2_000 {
                copies.is_copy(&Packet { scope: 2, ..packet(5, host, 9, b"id answer") }, at(900));
            }
            (10..2_000).filter(|host| copies.moved(&asked(*host, 2)).is_some()).collect::<Vec<u128>>()
        };
        let first = remembered();
        assert!((500..1_990).contains(&first.len()), "some are forgotten: {}", first.len());
        for _ in 0..5 {
            assert_eq!(remembered(), first);
        }
    }

    /// A connection that began before the capture, each side of it in a scope of its own.
    #[test]
    fn an_acknowledgement_in_another_scope_says_it_too() {
        let segment = |from: u128, scope, seq, ack, payload: &'static [u8]| {
            let tcp = TcpHeader { seq, ack, flags: TcpHeader::ACK, window: 100, options: &[] };
            Packet {
                scope,
                protocol: 6,
                transport: Transport::Tcp(tcp),
                ..packet(from, 9 - from, 0, payload)
            }
        };
        let data = |scope| segment(4, scope, 1000, 70, b"request");
        let back = |scope, ack| Packet { src_port: 40000, dst_port: 53, ..segment(5, scope, 70, ack, b"") };
        let mut copies = Copies::default();
        assert!(!copies.is_copy(&data(10), at(0)));
        assert!(!copies.is_copy(&back(20, 1006), at(500)));
        assert_eq!(copies.moved(&back(20, 0)), None, "of another segment");
        assert!(!copies.is_copy(&back(20, 1007), at(900)));
        assert_eq!(copies.moved(&back(20, 0)), Some(10));
        assert_eq!(copies.moved(&data(10)), None);
        // Two networks that are alike, long after each other.
        let mut copies = Copies::default();
        for scope in [10, 20] {
            assert!(!copies.is_copy(&data(scope), at(i64::from(scope as u32) * 100_000)));
        }
        assert!(!copies.is_copy(&back(20, 1007), at(5_000_000)));
        assert_eq!(copies.moved(&back(20, 0)), None);
        // Without tags nothing is looked at for long.
        let mut copies = Copies { patience: 1, ..Copies::default() };
        assert!(!copies.is_copy(&data(0), at(0)));
        assert!(!copies.is_copy(&back(20, 1007), at(100)));
        assert_eq!(copies.moved(&back(20, 1007)), Some(0), "the side without a tag was the first");
        let mut copies = Copies { patience: 0, ..Copies::default() };
        assert!(!copies.is_copy(&data(0), at(0)));
        assert!(copies.exchanges.marks.iter().all(|Set(marks)| *marks == [0; 4]));
    }

    /// What asks, in one scope, and what answers it, in another, each with what does not.
    #[test]
    fn whatever_answers_in_another_scope_says_it() {
        let tcp = |flags, seq, ack| Transport::Tcp(TcpHeader { seq, ack, flags, window: 100, options: &[] });
        let icmp = |kind, detail, quoted| Transport::Icmp { kind, code: 0, id: 7, detail, quoted };
        let quoted = |seq| Quoted {
            src: Address(4),
            dst: Address(5),
            protocol: 6,
            src_port: 40000,
            dst_port: 443,
            seq: Some(seq),
            total_len: 60,
            fragment: None,
        };
        let there = |protocol, transport| Packet {
            src_port: 40000,
            dst_port: 443,
            protocol,
            transport,
            scope: 10,
            ..packet(4, 5, 1, b"12345678")
        };
        let back = |protocol, transport, number| Packet {
            src_port: 443,
            dst_port: 40000,
            protocol,
            transport,
            scope: 20,
            ..packet(5, 4, number, b"87654321")
        };
        let check = |asks: Packet<'_>, other: Option<Packet<'_>>, answers: Packet<'_>| {
            let mut copies = Copies::default();
            assert!(!copies.is_copy(&asks, at(0)));
            if let Some(other) = other {
                assert!(!copies.is_copy(&other, at(10)));
                assert_eq!(copies.moved(&other), None, "{other:?}");
            }
            assert!(!copies.is_copy(&answers, at(20)));
            assert_eq!(copies.moved(&answers), Some(10), "{answers:?}");
        };
        let syn = there(6, tcp(TcpHeader::SYN, 100, 0));
        let reset = |ack| back(6, tcp(TcpHeader::RST | TcpHeader::ACK, 0, ack), 2);
        check(syn, Some(reset(100)), reset(101));
        let error =
            |seq: u32| Packet { src: Address(9), ..back(1, icmp(3, 0, Some(quoted(seq))), seq as u16) };
        check(syn, Some(error(99)), error(100));
        check(there(17, Transport::Udp), None, back(17, Transport::Udp, 2));
        let echo = |protocol, kind, number| Packet {
            src_port: 0,
            dst_port: 0,
            ..there(protocol, icmp(kind, number, None))
        };
        let reply = |protocol, kind, number| Packet {
            src_port: 0,
            dst_port: 0,
            ..back(protocol, icmp(kind, number, None), 2)
        };
        check(echo(1, 8, 5), Some(reply(1, 0, 4)), reply(1, 0, 5));
        check(echo(58, 128, 5), Some(reply(58, 129, 4)), reply(58, 129, 5));
        // Ports that everybody uses prove nothing.
        let mut copies = Copies::default();
        let time = |packet| Packet { src_port: 123, dst_port: 123, ..packet };
        assert!(!copies.is_copy(&time(there(17, Transport::Udp)), at(0)));
        assert!(!copies.is_copy(&time(back(17, Transport::Udp, 2)), at(10)));
        assert_eq!(copies.moved(&time(back(17, Transport::Udp, 2))), None);
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
