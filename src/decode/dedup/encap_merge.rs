//! Which scopes are one.
//!
//! In:  packets, but those that are there twice.
//! Out: in which scope a packet's conversation takes place.
//! Not: how it is seen that two packets are the same.
//!
//! Where copies travel in two VLANs, each direction may show first in another. The first copy of a conversation says which
//! two scopes are one; from then on its packets belong to the scope that came first.
//!
//! A span of one port of a router shows the way there in one VLAN and the way back in another, and no copies at all. There
//! the first answer says it: a SYN-ACK or a reset that acknowledges a SYN of another scope, an ICMP error that quotes it, a
//! response to a query there; of what goes on, the acknowledgement of a segment's last byte, the echo's reply, the datagram to a
//! port that a client chose.

use hashbrown::HashMap;

use super::fingerprint;
use super::fingerprint::Seeds;
use super::fingerprint::Set;
use super::fingerprint::first;
use super::fingerprint::fold;
use super::fingerprint::mix;
use crate::base::Address;
use crate::base::port;
use crate::decode::Packet;
use crate::decode::TcpHeader;
use crate::decode::Transport;
use crate::decode::icmp_is_request;

/// Sets of four questions each that are remembered until they are answered, of each kind.
const QUESTIONS: usize = 1 << 8;

/// Packets whose exchanges are listened to before there is a scope: of two sides, the one without a tag may be the first.
const PATIENCE: u32 = 1 << 13;

/// The bit of what was asked that says: in two scopes.
const TWOFOLD: u64 = 1;

/// Pairs of hosts whose conversations show in two scopes.
const TWINS: usize = 1 << 16;

/// Pairs of hosts and the scopes that are one for them, and what may yet say so.
#[derive(Debug)]
pub(super) struct EncapMerge {
    /// A packet had a scope.
    pub(super) is_scoped: bool,
    patience: u32,
    /// Handshakes and queries.
    openings: Questions,
    /// What goes on: segments, datagrams, echoes. Not touched for long before a packet has a scope.
    exchanges: Questions,
    seeds: Seeds,
    twins: HashMap<(Address, Address, u64), u64, foldhash::fast::RandomState>,
}

impl EncapMerge {
    pub(super) fn new(seeds: Seeds) -> EncapMerge {
        EncapMerge {
            is_scoped: false,
            patience: PATIENCE,
            openings: Questions::default(),
            exchanges: Questions::default(),
            seeds,
            twins: HashMap::default(),
        }
    }

    /// Remembers what asks; what answers may show that two scopes are one.
    #[inline(always)]
    pub(super) fn listen(&mut self, packet: &Packet<'_>) {
        if let Some((way, number)) = way(packet) {
            self.hear(packet, way, number);
        } else if self.is_scoped || self.patience > 0 {
            self.overhear(packet);
        }
    }

    /// What opens a conversation.
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

    /// What goes on.
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
    pub(super) fn moved(&self, packet: &Packet<'_>) -> Option<u64> {
        if self.twins.is_empty() {
            return None;
        }
        let (low, high) = hosts(packet);
        self.twins.get(&(low, high, packet.scope)).copied()
    }

    /// Conversations between these hosts show in both scopes.
    #[cold]
    pub(super) fn twin(&mut self, packet: &Packet<'_>, original: u64) {
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
        Questions { marks: fingerprint::sets(), scopes: fingerprint::sets() }
    }
}

impl Questions {
    /// Remembers what asks. For what answers: where it was asked, if that is another scope. None has one as long as there is no
    /// scope at all.
    fn hear(&mut self, way: Way, (place, mark): (usize, u64), scope: Option<u64>) -> Option<u64> {
        let marks = self.marks.get_mut(place % QUESTIONS)?;
        let scopes = self.scopes.get_mut(place % QUESTIONS)?;
        let known = marks.0.iter_mut().zip(&scopes.0).find(|(known, _)| **known & !TWOFOLD == mark);
        let Some((known, asked_in)) = known else {
            if way == Way::Asks {
                marks.push(mark);
                if let Some(scope) = scope {
                    scopes.push(scope);
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
    const SYN_ACK: u8 = TcpHeader::SYN | TcpHeader::ACK;
    const RST_ACK: u8 = TcpHeader::RST | TcpHeader::ACK;
    match packet.transport {
        Transport::Tcp(tcp) => match tcp.flags & (TcpHeader::SYN | TcpHeader::RST | TcpHeader::ACK) {
            TcpHeader::SYN => Some((Way::Asks, tcp.seq)),
            SYN_ACK | RST_ACK => Some((Way::Answers, tcp.ack.wrapping_sub(1))),
            _ => None,
        },
        Transport::Udp if packet.dst_port == port::DNS => {
            Some((Way::Asks, u32::from(first(packet.payload) as u16)))
        }
        Transport::Udp if packet.src_port == port::DNS => {
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
            Some(match icmp_is_request(packet.protocol, kind)? {
                true => Exchange { answers: None, asks: number },
                false => Exchange { answers: number, asks: None },
            })
        }
        _ => None,
    }
}

/// What a question and its answer share: a place, which is the same in every run, because what is forgotten must not
/// depend on chance; and a mark, which is not, is never 0, and leaves [`TWOFOLD`] free.
fn turn(packet: &Packet<'_>, way: Way, number: u32, [one, two, three, _]: Seeds) -> (usize, u64) {
    let (asker, its, answerer, other) = match (way, packet.transport) {
        (_, Transport::Icmp { quoted: Some(quoted), .. }) => {
            (quoted.src, quoted.src_port, quoted.dst, quoted.dst_port)
        }
        (Way::Asks, _) => (packet.src, packet.src_port, packet.dst, packet.dst_port),
        (Way::Answers, _) => (packet.dst, packet.dst_port, packet.src, packet.src_port),
    };
    let (asker, answerer) = (fold(asker), fold(answerer));
    let ends = u64::from(number) << 32 | u64::from(its) << 16 | u64::from(other);
    let place = fingerprint::place(asker ^ answerer.rotate_left(17) ^ ends);
    let mark = mix(mix(asker ^ one, answerer ^ two), ends ^ three);
    (place, (mark | 2) & !TWOFOLD)
}
