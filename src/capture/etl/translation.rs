//! Finds packets whose addresses the host translates, as it does for containers and virtual machines behind its NAT.
//!
//! In:  packets as their trace numbers them, and their bytes.
//! Out: how many appear with other addresses or ports, and which of these belong together.
//! Not: UDP in traces that number appearances only, as Windows does since 2022. A SYN has a sequence number that no other
//!      connection has at that moment. Of a datagram nothing but its payload can be compared, and equal ones are usual: two
//!      clients ask for one name, or one client repeats itself.

use std::collections::HashMap;
use std::collections::VecDeque;
use std::net::IpAddr;
use std::net::SocketAddr;

use super::packets::TracedPacket;
use crate::base::Address;
use crate::base::Cursor;
use crate::base::Truncated;
use crate::base::proto;
use crate::capture::LinkType;

/// Packets whose other appearances are waited for: a packet passes its host within microseconds.
const RECENT_LIMIT: usize = 4096;

/// Two appearances of a packet are logged within this time, in 100 ns.
const NUMBERED_SPAN: u64 = 1_000_000;
/// The same where the trace does not say that they are one packet.
const SYN_SPAN: u64 = 10_000;

/// Pairs of addresses that are kept.
const PAIRS_LIMIT: usize = 64;

/// Ends that are kept with their translation, for the packets that have them.
const RELATIONS_LIMIT: usize = 1 << 14;

/// First bytes of a datagram's payload that are compared: a trace may cut the rest.
const COMPARED_LEN: usize = 16;

/// Source and destination of a TCP or UDP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct PacketEnds {
    protocol: u8,
    pub(super) source: SocketAddr,
    pub(super) destination: SocketAddr,
}

impl PacketEnds {
    const fn reversed(self) -> PacketEnds {
        PacketEnds { source: self.destination, destination: self.source, ..self }
    }
}

/// What a translation leaves as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    Tcp { seq: u32, is_syn: bool },
    Udp { len: u16, first: [u8; COMPARED_LEN] },
}

/// What says that two appearances are one packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum PacketIdentity {
    /// The trace's number.
    Numbered(u64, u16),
    /// The initial sequence number of a SYN, and where it goes.
    Syn(u32, SocketAddr),
}

/// The first appearance of a packet.
#[derive(Clone, Copy, Debug)]
struct Appearance {
    ends: PacketEnds,
    content: Content,
    time: u64,
}

/// What is known of translated packets.
#[derive(Debug, Default)]
pub(super) struct Translations {
    recent: HashMap<PacketIdentity, Appearance>,
    order: VecDeque<PacketIdentity>,
    /// Ends of packets before and after a translation, both ways.
    relations: HashMap<PacketEnds, PacketEnds>,
    relations_order: VecDeque<PacketEnds>,
    /// Appearances with other addresses than the first one.
    pub(super) packets: u64,
    /// Addresses that stand for one another, in the order of the first packet that shows it.
    pairs: Vec<(SocketAddr, SocketAddr)>,
    pub(super) more_pairs: bool,
}

impl Translations {
    /// Takes an appearance of a packet, and its bytes.
    pub(super) fn accept(&mut self, packet: &TracedPacket, bytes: &[u8]) {
        if !packet.point.is_pktmon {
            return;
        }
        let Ok(Some((ends, content))) = packet_ends(packet.point.link, bytes) else { return };
        let identity = match (packet.packet_id, content) {
            (Some((group, number)), _) => PacketIdentity::Numbered(group, number),
            (None, Content::Tcp { seq, is_syn: true }) => PacketIdentity::Syn(seq, ends.destination),
            _ => return,
        };
        let appearance = Appearance { ends, content, time: packet.time };
        let Some(first) = self.recent.get(&identity).copied() else {
            if self.order.len() >= RECENT_LIMIT
                && let Some(oldest) = self.order.pop_front()
            {
                self.recent.remove(&oldest);
            }
            self.order.push_back(identity);
            self.recent.insert(identity, appearance);
            return;
        };
        let elapsed = first.time.abs_diff(packet.time);
        let is_same = match identity {
            PacketIdentity::Numbered(..) => elapsed <= NUMBERED_SPAN && first.content == content,
            // What a host translates for others comes from a private address.
            PacketIdentity::Syn(..) => {
                elapsed <= SYN_SPAN
                    && first.ends.source.ip() != ends.source.ip()
                    && Address::from(first.ends.source.ip()).is_private()
            }
        };
        if !is_same {
            self.recent.insert(identity, appearance);
        } else if first.ends != ends && first.ends.protocol == ends.protocol {
            self.packets += 1;
            self.relate(first.ends, ends);
        }
    }

    /// The ends that a packet has before or after its translation.
    pub(super) fn other_ends(&self, link: LinkType, bytes: &[u8]) -> Option<PacketEnds> {
        if self.relations.is_empty() {
            return None;
        }
        let (ends, _) = packet_ends(link, bytes).ok()??;
        self.relations.get(&ends).copied()
    }

    fn relate(&mut self, before: PacketEnds, after: PacketEnds) {
        if self.relations.get(&before) == Some(&after) {
            return;
        }
        for (one, other) in [(before, after), (after, before)] {
            for (one, other) in [(one, other), (one.reversed(), other.reversed())] {
                if self.relations.insert(one, other).is_none() {
                    self.relations_order.push_back(one);
                }
            }
        }
        while self.relations_order.len() > RELATIONS_LIMIT {
            self.relations_order.pop_front().and_then(|oldest| self.relations.remove(&oldest));
        }
        for (before, after) in [(before.source, after.source), (before.destination, after.destination)] {
            let is_known = self.pairs.iter().any(|pair| *pair == (before, after) || *pair == (after, before));
            if before == after || is_known {
                continue;
            }
            if self.pairs.len() < PAIRS_LIMIT {
                self.pairs.push((before, after));
            } else {
                self.more_pairs = true;
            }
        }
    }

    /// `172.16.0.5:50001 is 10.1.0.4:61001`, for each pair.
    pub(super) fn pairs(&self) -> impl Iterator<Item = String> {
        self.pairs.iter().map(|(before, after)| format!("{before} is {after}"))
    }
}

/// The ends of a packet, and what a translation leaves as it is; none where it is not TCP or UDP.
fn packet_ends(link: LinkType, bytes: &[u8]) -> Result<Option<(PacketEnds, Content)>, Truncated> {
    const VLAN: u16 = 0x8100;
    const IPV4: u16 = 0x0800;
    const IPV6: u16 = 0x86dd;
    const SYN: u8 = 2;
    const ACK: u8 = 16;
    let mut c = Cursor::new(bytes);
    if link == LinkType::ETHERNET {
        c.skip(12, "addresses")?;
        let mut ether_type = c.u16("EtherType")?;
        if ether_type == VLAN {
            c.skip(2, "VLAN tag")?;
            ether_type = c.u16("EtherType")?;
        }
        if ether_type != IPV4 && ether_type != IPV6 {
            return Ok(None);
        }
    } else if link != LinkType::RAW {
        return Ok(None);
    }
    let version = c.u8("IP version")?;
    // RFC 791 §3.1 and RFC 8200 §3; a packet with extension headers is not looked into.
    let (protocol, source, destination): (u8, IpAddr, IpAddr) = match version >> 4 {
        4 => {
            c.skip(8, "IPv4 header")?;
            let protocol = c.u8("protocol")?;
            c.skip(2, "checksum")?;
            let addresses = (c.array::<4>("source")?, c.array::<4>("destination")?);
            c.skip(usize::from(version & 15).saturating_sub(5) * 4, "options")?;
            (protocol, addresses.0.into(), addresses.1.into())
        }
        6 => {
            c.skip(5, "IPv6 header")?;
            let protocol = c.u8("next header")?;
            c.skip(1, "hop limit")?;
            (protocol, c.array::<16>("source")?.into(), c.array::<16>("destination")?.into())
        }
        _ => return Ok(None),
    };
    if protocol != proto::TCP && protocol != proto::UDP {
        return Ok(None);
    }
    let (source_port, destination_port) = (c.u16("source port")?, c.u16("destination port")?);
    let content = if protocol == proto::TCP {
        let seq = c.u32("sequence number")?;
        c.skip(5, "acknowledgement and offset")?;
        Content::Tcp { seq, is_syn: c.u8("flags")? & (SYN | ACK) == SYN }
    } else {
        let len = c.u16("length")?;
        c.skip(2, "checksum")?;
        let mut first = [0; COMPARED_LEN];
        first.iter_mut().zip(c.rest()).for_each(|(to, from)| *to = *from);
        Content::Udp { len, first }
    };
    let source = SocketAddr::new(source, source_port);
    let destination = SocketAddr::new(destination, destination_port);
    Ok(Some((PacketEnds { protocol, source, destination }, content)))
}

#[cfg(test)]
mod tests {
    use super::super::packets::LogPoint;
    use super::super::packets::PacketBytes;
    use super::*;

    const CONTAINER: [u8; 4] = [172, 16, 0, 5];
    const HOST: [u8; 4] = [10, 1, 0, 4];

    fn accept(translations: &mut Translations, packet_id: Option<(u64, u16)>, time: u64, bytes: &[u8]) {
        let point = LogPoint { link: LinkType::RAW, component: 1, is_pktmon: true };
        let (drop, process, translated) = (None, None, None);
        let len = bytes.len() as u32;
        let own = PacketBytes::Own(Vec::new());
        let packet =
            TracedPacket { time, point, bytes: own, original_len: len, packet_id, drop, process, translated };
        translations.accept(&packet, bytes);
    }

    /// A packet over raw IPv4 from an address and port.
    fn packet(protocol: u8, source: [u8; 4], port: u16, rest: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0x45, 0, 0, 28, 0, 0, 0, 0, 64, protocol, 0, 0];
        bytes.extend(source);
        bytes.extend([20, 60, 40, 4]);
        bytes.extend(port.to_be_bytes());
        bytes.extend([1, 187]);
        bytes.extend(rest);
        bytes
    }

    fn datagram(source: [u8; 4], port: u16, payload: &[u8]) -> Vec<u8> {
        packet(proto::UDP, source, port, &[&[0, 8 + payload.len() as u8, 0, 0], payload].concat())
    }

    fn syn(source: [u8; 4], port: u16, seq: u8) -> Vec<u8> {
        packet(proto::TCP, source, port, &[0, 0, 0, seq, 0, 0, 0, 0, 0x50, 2, 0, 0, 0, 0, 0, 0])
    }

    /// The trace's number of a packet, its time and its bytes.
    type Logged = (Option<(u64, u16)>, u64, Vec<u8>);

    /// Appearances that have the other addresses of their first one, and the pairs.
    fn check(appearances: &[Logged], packets: u64, pairs: &[&str]) {
        let mut translations = Translations::default();
        for (id, time, bytes) in appearances {
            accept(&mut translations, *id, *time, bytes);
        }
        assert_eq!(
            (translations.packets, translations.pairs().collect::<Vec<_>>()),
            (packets, pairs.iter().map(|pair| (*pair).to_owned()).collect())
        );
        for (_, _, bytes) in appearances {
            let has_other = translations.other_ends(LinkType::RAW, bytes).is_some();
            assert!(has_other || translations.packets < appearances.len() as u64 / 2);
        }
    }

    const PAIR: &[&str] = &["172.16.0.5:50001 is 10.1.0.4:61001"];

    #[test]
    fn appearances_of_a_numbered_packet_with_other_addresses_are_related() {
        let (id, next) = (Some((1, 0)), Some((2, 0)));
        let (inside, outside) = (datagram(CONTAINER, 50001, b"x"), datagram(HOST, 61001, b"x"));
        check(&[(id, 0, inside.clone()), (id, 1, inside.clone()), (id, 2, outside.clone())], 1, PAIR);
        check(&[(id, 0, inside.clone()), (next, 1, outside.clone())], 0, &[]);
        // Numbers are used again: another payload, or much later.
        check(&[(id, 0, inside.clone()), (id, 1, datagram(HOST, 61001, b"y"))], 0, &[]);
        check(&[(id, 0, inside), (id, 2_000_000, outside)], 0, &[]);
    }

    #[test]
    fn a_syn_is_related_by_its_sequence_number_where_packets_have_none() {
        let (inside, outside) = (syn(CONTAINER, 50001, 7), syn(HOST, 61001, 7));
        check(&[(None, 0, inside.clone()), (None, 300, outside.clone())], 1, PAIR);
        check(&[(None, 0, inside.clone()), (None, 300, syn(HOST, 61001, 8))], 0, &[]);
        check(&[(None, 0, inside.clone()), (None, 20_000, outside.clone())], 0, &[]);
        // Of another port only: a client that tries again with the same number.
        check(&[(None, 0, inside), (None, 300, syn(CONTAINER, 50002, 7))], 0, &[]);
        check(&[(None, 0, syn([8, 8, 8, 8], 1, 7)), (None, 300, outside)], 0, &[]);
        let (inside, outside) = (datagram(CONTAINER, 50001, b"x"), datagram(HOST, 61001, b"x"));
        check(&[(None, 0, inside), (None, 1, outside)], 0, &[]);
    }

    #[test]
    fn both_directions_of_a_translated_flow_have_other_ends() {
        let mut translations = Translations::default();
        accept(&mut translations, None, 0, &syn(CONTAINER, 50001, 7));
        accept(&mut translations, None, 3, &syn(HOST, 61001, 7));
        let reply = |to: [u8; 4], port: u16| {
            let mut bytes = syn(to, port, 9);
            bytes[12..20].rotate_left(4);
            bytes[20..24].rotate_left(2);
            bytes
        };
        let other = |bytes: &[u8]| {
            let ends = translations.other_ends(LinkType::RAW, bytes).unwrap();
            format!("{} > {}", ends.source, ends.destination)
        };
        assert_eq!(other(&syn(CONTAINER, 50001, 8)), "10.1.0.4:61001 > 20.60.40.4:443");
        assert_eq!(other(&reply(CONTAINER, 50001)), "20.60.40.4:443 > 10.1.0.4:61001");
        assert_eq!(other(&reply(HOST, 61001)), "20.60.40.4:443 > 172.16.0.5:50001");
        assert_eq!(translations.other_ends(LinkType::RAW, &syn(CONTAINER, 50002, 7)), None);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut translations = Translations::default();
        for number in 0..10_000u16 {
            let id = Some((u64::from(number), 0));
            accept(&mut translations, id, 0, &datagram(CONTAINER, number, b""));
            accept(&mut translations, id, 0, &datagram(HOST, number, b""));
        }
        assert_eq!((translations.recent.len(), translations.order.len()), (RECENT_LIMIT, RECENT_LIMIT));
        let relations = (translations.relations.len(), translations.relations_order.len());
        assert_eq!(relations, (RELATIONS_LIMIT, RELATIONS_LIMIT));
        assert_eq!((translations.pairs.len(), translations.more_pairs), (PAIRS_LIMIT, true));
    }
}
