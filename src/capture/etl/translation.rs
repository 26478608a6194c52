//! Finds packets whose addresses the host translates, as it does for containers and virtual machines behind its NAT.
//!
//! In:  packets with the number that their trace gives them over all appearances.
//! Out: how many appear with other addresses or ports, and which of these belong together.
//! Not: traces that number appearances only, since 2022: nothing in them relates two packets with different addresses.

use std::collections::HashMap;
use std::collections::VecDeque;
use std::net::IpAddr;
use std::net::SocketAddr;

use super::packets::TracedPacket;
use crate::base::Cursor;
use crate::base::Truncated;
use crate::base::proto;
use crate::capture::LinkType;

/// Packets whose other appearances are waited for: a packet passes its host within microseconds.
const RECENT_LIMIT: usize = 4096;

/// Pairs of addresses that are kept.
const PAIRS_LIMIT: usize = 64;

/// Source and destination of a TCP or UDP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct PacketEnds {
    protocol: u8,
    source: SocketAddr,
    destination: SocketAddr,
}

/// What is known of translated packets.
#[derive(Debug, Default)]
pub(super) struct Translations {
    /// The addresses of the first appearance.
    recent: HashMap<(u64, u16), PacketEnds>,
    order: VecDeque<(u64, u16)>,
    /// Appearances with other addresses than the first one.
    pub(super) packets: u64,
    /// Addresses that stand for one another, in the order of the first packet that shows it.
    pairs: Vec<(SocketAddr, SocketAddr)>,
    pub(super) more_pairs: bool,
}

impl Translations {
    /// Takes an appearance of a packet, and its bytes.
    pub(super) fn accept(&mut self, packet: &TracedPacket, bytes: &[u8]) {
        let Some(id) = packet.packet_id else { return };
        let Ok(Some(ends)) = packet_ends(packet.point.link, bytes) else { return };
        let Some(first) = self.recent.get(&id).copied() else {
            if self.order.len() >= RECENT_LIMIT
                && let Some(oldest) = self.order.pop_front()
            {
                self.recent.remove(&oldest);
            }
            self.order.push_back(id);
            self.recent.insert(id, ends);
            return;
        };
        if first == ends || first.protocol != ends.protocol {
            return;
        }
        self.packets += 1;
        for (before, after) in [(first.source, ends.source), (first.destination, ends.destination)] {
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

/// The ends of a packet; none where it is not TCP or UDP.
fn packet_ends(link: LinkType, bytes: &[u8]) -> Result<Option<PacketEnds>, Truncated> {
    const VLAN: u16 = 0x8100;
    const IPV4: u16 = 0x0800;
    const IPV6: u16 = 0x86dd;
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
    Ok(Some(PacketEnds {
        protocol,
        source: SocketAddr::new(source, source_port),
        destination: SocketAddr::new(destination, destination_port),
    }))
}

#[cfg(test)]
mod tests {
    use super::super::packets::LogPoint;
    use super::super::packets::PacketBytes;
    use super::*;

    /// A UDP packet over raw IPv4.
    fn packet(number: u64, source: [u8; 4], port: u16) -> TracedPacket {
        let mut bytes = vec![0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0];
        bytes.extend(source);
        bytes.extend([20, 60, 40, 4]);
        bytes.extend(port.to_be_bytes());
        bytes.extend([1, 187, 0, 8, 0, 0]);
        let point = LogPoint { link: LinkType::RAW, component: 1, is_pktmon: true };
        let packet_id = Some((number, 0));
        let bytes = PacketBytes::Own(bytes);
        TracedPacket { time: 0, point, bytes, original_len: 28, packet_id, drop: None, process: None }
    }

    fn accept(translations: &mut Translations, packet: TracedPacket) {
        translations.accept(&packet, packet.bytes.get(&[]));
    }

    #[test]
    fn appearances_with_other_addresses_are_related() {
        let mut translations = Translations::default();
        accept(&mut translations, packet(1, [172, 16, 0, 5], 50001));
        accept(&mut translations, packet(1, [172, 16, 0, 5], 50001));
        accept(&mut translations, packet(1, [10, 1, 0, 4], 61001));
        accept(&mut translations, packet(1, [10, 1, 0, 4], 61001));
        accept(&mut translations, packet(2, [10, 1, 0, 4], 50002));
        let pairs: Vec<String> = translations.pairs().collect();
        assert_eq!((translations.packets, pairs), (2, vec!["172.16.0.5:50001 is 10.1.0.4:61001".to_owned()]));
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut translations = Translations::default();
        for number in 0..10_000 {
            accept(&mut translations, packet(number, [172, 16, 0, 5], number as u16));
            accept(&mut translations, packet(number, [10, 1, 0, 4], number as u16));
        }
        assert_eq!((translations.recent.len(), translations.order.len()), (RECENT_LIMIT, RECENT_LIMIT));
        assert_eq!((translations.pairs.len(), translations.more_pairs), (PAIRS_LIMIT, true));
    }
}
