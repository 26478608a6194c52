//! Merges scopes that show the same flows.
//!
//! In:  packets without duplicates; duplicates in another scope.
//! Out: the scope of a packet's flow.
//! Not: how duplicates are recognized.
//!
//! If duplicates are in two VLANs, each direction of a flow may be captured first in another one. The first duplicate of a flow
//! shows that two scopes are one. From then on its packets belong to the scope that was first.
//!
//! A SPAN of a single router port shows one direction in one VLAN, the other direction in another, and no duplicates. There
//! the first response shows it: a SYN-ACK or reset that ACKs a SYN of another scope, an ICMP error that quotes it, a
//! DNS response. For flows seen midstream: the ACK of a segment's last byte, an echo reply, a datagram to the port that a client
//! chose.

use hashbrown::HashMap;

use super::fingerprint;
use super::fingerprint::RecentFingerprints;
use super::fingerprint::Seeds;
use super::fingerprint::first;
use super::fingerprint::fold;
use super::fingerprint::mix;
use crate::base::Address;
use crate::base::port;
use crate::decode::Packet;
use crate::decode::TcpHeader;
use crate::decode::Transport;
use crate::decode::icmp_is_request;

/// Buckets of four requests each that wait for their responses, of each kind.
const BUCKETS: usize = 1 << 8;

/// Midstream packets that are observed before any packet has a scope: the direction without a tag may be captured first.
const UNSCOPED_LIMIT: u32 = 1 << 13;

/// The bit of a fingerprint for a request that was seen in two scopes.
const IN_TWO_SCOPES: u64 = 1;

/// Pairs of hosts with merged scopes.
const MERGED_LIMIT: usize = 1 << 16;

/// Counters of [`ScopedHosts`].
const HOSTS: usize = 1 << 12;

/// Packets without a scope after which a host that was never seen in one is taken to have none.
const UNSCOPED_HOST_LIMIT: u8 = 16;

/// Pairs of hosts with their merged scopes, and the requests whose responses may show more.
#[derive(Debug)]
pub(super) struct EncapMerge {
    /// A packet had a scope.
    pub(super) is_scoped: bool,
    /// Midstream packets that may still be observed without a scope.
    unscoped_left: u32,
    hosts: ScopedHosts,
    /// Handshakes and DNS queries.
    openings: Requests,
    /// Segments, datagrams and echoes midstream.
    exchanges: Requests,
    seeds: Seeds,
    /// Two hosts and a scope, with the scope that was first.
    merged: HashMap<(Address, Address, u64), u64, foldhash::fast::RandomState>,
}

impl EncapMerge {
    pub(super) fn new(seeds: Seeds) -> EncapMerge {
        EncapMerge {
            is_scoped: false,
            unscoped_left: UNSCOPED_LIMIT,
            hosts: ScopedHosts::default(),
            openings: Requests::default(),
            exchanges: Requests::default(),
            seeds,
            merged: HashMap::default(),
        }
    }

    /// Remembers requests. A response may show that two scopes are one.
    #[inline(always)]
    pub(super) fn observe(&mut self, packet: &Packet<'_>) {
        let may_merge = match self.is_scoped {
            true => self.hosts.may_have_scopes(packet),
            false => self.unscoped_left > 0,
        };
        if let Some((role, number)) = opening(packet) {
            self.observe_opening(packet, role, number);
        } else if may_merge {
            self.observe_exchange(packet);
        }
    }

    #[inline(never)]
    fn observe_opening(&mut self, packet: &Packet<'_>, role: Role, number: u32) {
        let request = request_of(packet, role, number, self.seeds);
        if let Some(original) = self.openings.observe(role, request, self.scope(packet)) {
            self.merge(packet, original);
        }
    }

    #[inline(never)]
    fn observe_exchange(&mut self, packet: &Packet<'_>) {
        self.unscoped_left = self.unscoped_left.saturating_sub(1);
        let Some(Exchange { response, request }) = exchange(packet) else { return };
        if let Some(number) = response {
            let request = request_of(packet, Role::Response, number, self.seeds);
            if let Some(original) = self.exchanges.observe(Role::Response, request, self.scope(packet)) {
                self.merge(packet, original);
            }
        }
        if let Some(number) = request {
            let request = request_of(packet, Role::Request, number, self.seeds);
            self.exchanges.observe(Role::Request, request, self.scope(packet));
        }
    }

    /// The scope of the packet's flow; `None` as long as no packet had one.
    fn scope(&self, packet: &Packet<'_>) -> Option<u64> {
        self.is_scoped.then(|| self.merged_scope(packet).unwrap_or(packet.scope))
    }

    /// The scope of the packet's flow, if it is not the packet's own.
    #[inline]
    pub(super) fn merged_scope(&self, packet: &Packet<'_>) -> Option<u64> {
        if self.merged.is_empty() {
            return None;
        }
        let (low, high) = hosts(packet);
        self.merged.get(&(low, high, packet.scope)).copied()
    }

    /// Merges the packet's scope into `original`, for the packet's hosts.
    #[cold]
    pub(super) fn merge(&mut self, packet: &Packet<'_>, original: u64) {
        if self.merged.len() >= MERGED_LIMIT {
            self.merged.clear();
        }
        let (low, high) = hosts(packet);
        let first = self.merged.get(&(low, high, original)).copied().unwrap_or(original);
        if first != packet.scope {
            self.merged.insert((low, high, packet.scope), first);
        }
    }
}

/// Which hosts have packets in scopes, so that those of the others need no comparison. Hosts may share a counter: then more packets
/// are compared than need be, or of a host that had none before, the segments before its first one in a scope are not.
#[derive(Debug)]
struct ScopedHosts(Box<[u8; HOSTS]>);

impl Default for ScopedHosts {
    fn default() -> ScopedHosts {
        ScopedHosts(Box::new([0; HOSTS]))
    }
}

impl ScopedHosts {
    /// The host has packets in a scope.
    const SCOPED: u8 = u8::MAX;

    /// Whether the other direction of the packet's flow may be in another scope: it is in one itself, or both of its hosts have
    /// packets in some, or one has not been seen often enough to tell.
    #[inline]
    fn may_have_scopes(&mut self, packet: &Packet<'_>) -> bool {
        let [src, dst] = [packet.src, packet.dst].map(|host| fingerprint::bucket(fold(host)) % HOSTS);
        let count = |index: usize| self.0.get(index).copied().unwrap_or_default();
        let counts = [count(src), count(dst)];
        if packet.scope != 0 {
            if counts != [ScopedHosts::SCOPED; 2] {
                self.set([(src, ScopedHosts::SCOPED), (dst, ScopedHosts::SCOPED)]);
            }
            return true;
        }
        if counts.contains(&UNSCOPED_HOST_LIMIT) {
            return false;
        }
        let next = |count: u8| if count == ScopedHosts::SCOPED { count } else { count + 1 };
        let [of_src, of_dst] = counts.map(next);
        self.set([(src, of_src), (dst, of_dst)]);
        true
    }

    fn set(&mut self, counts: [(usize, u8); 2]) {
        for (index, count) in counts {
            if let Some(known) = self.0.get_mut(index) {
                *known = count;
            }
        }
    }
}

/// Recent requests, in buckets of four.
#[derive(Debug)]
struct Requests {
    /// What the response has in common with the request; 0 for none. [`IN_TWO_SCOPES`]: the same request was seen in two
    /// scopes, which are two networks with the same addresses.
    fingerprints: Box<[RecentFingerprints; BUCKETS]>,
    /// Their scopes; not used until a packet has a scope.
    scopes: Box<[RecentFingerprints; BUCKETS]>,
}

impl Default for Requests {
    fn default() -> Requests {
        Requests { fingerprints: fingerprint::buckets(), scopes: fingerprint::buckets() }
    }
}

impl Requests {
    /// Remembers a request. For a response: returns the scope of its request, if it is another one. `scope` is `None` as long as
    /// no packet had one.
    fn observe(
        &mut self,
        role: Role,
        (bucket, fingerprint): (usize, u64),
        scope: Option<u64>,
    ) -> Option<u64> {
        let fingerprints = self.fingerprints.get_mut(bucket % BUCKETS)?;
        let scopes = self.scopes.get_mut(bucket % BUCKETS)?;
        let known = fingerprints
            .0
            .iter_mut()
            .zip(&scopes.0)
            .find(|(known, _)| **known & !IN_TWO_SCOPES == fingerprint);
        let Some((known, request_scope)) = known else {
            if role == Role::Request {
                fingerprints.push(fingerprint);
                if let Some(scope) = scope {
                    scopes.push(scope);
                }
            }
            return None;
        };
        if scope? == *request_scope {
            return None;
        }
        match role {
            Role::Request => {
                *known |= IN_TWO_SCOPES;
                None
            }
            Role::Response => (*known & IN_TWO_SCOPES == 0).then_some(*request_scope),
        }
    }
}

/// Both hosts of a packet; for an ICMP error, those of the packet that it quotes.
fn hosts(packet: &Packet<'_>) -> (Address, Address) {
    let (src, dst) = match packet.transport {
        Transport::Icmp { quoted: Some(quoted), .. } => (quoted.src, quoted.dst),
        _ => (packet.src, packet.dst),
    };
    (src.min(dst), src.max(dst))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Request,
    Response,
}

/// The role of a packet that opens a flow, or responds to one that does; and a number that both have: a handshake's sequence
/// number, or a DNS identification.
#[inline]
fn opening(packet: &Packet<'_>) -> Option<(Role, u32)> {
    const SYN_ACK: u8 = TcpHeader::SYN | TcpHeader::ACK;
    const RST_ACK: u8 = TcpHeader::RST | TcpHeader::ACK;
    match packet.transport {
        Transport::Tcp(tcp) => match tcp.flags & (TcpHeader::SYN | TcpHeader::RST | TcpHeader::ACK) {
            TcpHeader::SYN => Some((Role::Request, tcp.seq)),
            SYN_ACK | RST_ACK => Some((Role::Response, tcp.ack.wrapping_sub(1))),
            _ => None,
        },
        Transport::Udp if packet.dst_port == port::DNS => {
            Some((Role::Request, u32::from(first(packet.payload) as u16)))
        }
        Transport::Udp if packet.src_port == port::DNS => {
            Some((Role::Response, u32::from(first(packet.payload) as u16)))
        }
        Transport::Icmp { quoted: Some(quoted), .. } => Some((Role::Response, quoted.seq?)),
        _ => None,
    }
}

/// What a midstream packet responds to, and what it waits for.
struct Exchange {
    response: Option<u32>,
    request: Option<u32>,
}

/// A segment ACKs received bytes, and waits for the ACK of its own. An echo has a number. A datagram has none, but the port
/// that its client chose is nearly as good: from 32768 on, two networks with the same addresses hardly choose the same.
fn exchange(packet: &Packet<'_>) -> Option<Exchange> {
    const DYNAMIC: u16 = 32768;
    let (from, to) = (packet.src_port, packet.dst_port);
    match packet.transport {
        Transport::Tcp(tcp) if tcp.flags & (TcpHeader::SYN | TcpHeader::ACK) == TcpHeader::ACK => {
            let is_last = tcp.flags & (TcpHeader::FIN | TcpHeader::RST) != 0;
            let end = tcp.seq.wrapping_add(packet.payload_len);
            Some(Exchange {
                response: Some(tcp.ack),
                request: (packet.payload_len > 0 && !is_last).then_some(end),
            })
        }
        Transport::Udp if from.max(to) < DYNAMIC => None,
        Transport::Udp if from > to => Some(Exchange { response: None, request: Some(0) }),
        Transport::Udp if from < to => Some(Exchange { response: Some(0), request: None }),
        Transport::Icmp { kind, id, detail, .. } => {
            let number = Some(u32::from(id) << 16 | u32::from(detail as u16));
            Some(match icmp_is_request(packet.protocol, kind)? {
                true => Exchange { response: None, request: number },
                false => Exchange { response: number, request: None },
            })
        }
        _ => None,
    }
}

/// What a request and its response have in common: a bucket, which is not seeded, because what is overwritten must not depend
/// on chance; and a fingerprint, which is seeded, never 0, and leaves [`IN_TWO_SCOPES`] clear.
fn request_of(packet: &Packet<'_>, role: Role, number: u32, [one, two, three, _]: Seeds) -> (usize, u64) {
    let (client, client_port, server, server_port) = match (role, packet.transport) {
        (_, Transport::Icmp { quoted: Some(quoted), .. }) => {
            (quoted.src, quoted.src_port, quoted.dst, quoted.dst_port)
        }
        (Role::Request, _) => (packet.src, packet.src_port, packet.dst, packet.dst_port),
        (Role::Response, _) => (packet.dst, packet.dst_port, packet.src, packet.src_port),
    };
    let (client, server) = (fold(client), fold(server));
    let numbers = u64::from(number) << 32 | u64::from(client_port) << 16 | u64::from(server_port);
    let bucket = fingerprint::bucket(client ^ server.rotate_left(17) ^ numbers);
    let fingerprint = mix(mix(client ^ one, server ^ two), numbers ^ three);
    (bucket, (fingerprint | 2) & !IN_TWO_SCOPES)
}
