//! Reads IPv4 and IPv6 headers.
//!
//! In:  a view that begins with an IP header.
//! Out: addresses, protocol, and the inside without padding; a fragment's place, if it is one.
//! Not: checksums (capture often sees them before the card fills them in); the inside.

use etherparse::Ipv4HeaderSlice;
use etherparse::Ipv6HeaderSlice;

use crate::base::Address;
use crate::base::Cursor;
use crate::base::proto;

use super::fragment::Place;
use super::icmp;
use super::packet::Encapsulation;
use super::packet::Packet;
use super::packet::Transport;
use super::transport;
use super::tunnel;
use super::view::Next;
use super::view::Reader;
use super::view::Stop;
use super::view::Trust;
use super::view::View;
use super::view::Walk;

/// What later stages need of an IP header.
#[derive(Clone, Copy, Debug)]
pub(super) struct IpHeader {
    pub(super) src: Address,
    pub(super) dst: Address,
    pub(super) ttl: u8,
    /// 0 in IPv6.
    pub(super) ip_id: u16,
    /// Whether a header of type 0, 43, 60 … continues the IP header: only in IPv6.
    pub(super) version: Version,
}

/// The two versions of IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Version {
    V4,
    V6,
}

/// An IP packet: its header and what is inside.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ip<'b> {
    pub(super) header: IpHeader,
    /// Protocol of `body`; in IPv6 that of the first header in it.
    pub(super) protocol: u8,
    pub(super) body: View<'b>,
    /// Set in a fragment.
    pub(super) fragment: Option<Place>,
    /// The header claims more bytes than the frame had room for.
    pub(super) beyond: bool,
}

impl IpHeader {
    /// A packet of this header. Everything is written once: copies of half-written packets cost more than decoding.
    #[inline(always)]
    pub(super) fn packet<'b>(
        self,
        protocol: u8,
        (src_port, dst_port): (u16, u16),
        transport: Transport<'b>,
        payload: View<'b>,
    ) -> Packet<'b> {
        Packet {
            src: self.src,
            dst: self.dst,
            src_port,
            dst_port,
            protocol,
            ttl: self.ttl,
            ip_id: self.ip_id,
            was_fragmented: false,
            scope: 0,
            wrapping: &Encapsulation::NONE,
            transport,
            payload: payload.bytes,
            payload_len: u32::try_from(payload.wire).unwrap_or(u32::MAX),
        }
    }
}

/// IP of either version, as its first bits say: some senders name the wrong one before.
pub(super) fn read<'b>(_: &mut Walk, view: View<'b>) -> Result<Next<'b>, Stop> {
    Ok(Next::Ip(view))
}

/// An IP header of either version, and what continues it.
pub(super) fn header(view: View<'_>) -> Result<Ip<'_>, Stop> {
    match view.nibble() {
        Some(6) => v6(view),
        _ => v4(view),
    }
}

/// An IPv4 header (RFC 791 §3.1). A total length of 0 comes from segmentation offload: the frame's end is the packet's.
#[inline(always)]
pub(super) fn v4(view: View<'_>) -> Result<Ip<'_>, Stop> {
    let Ok(header) = Ipv4HeaderSlice::from_slice(view.bytes) else {
        return Err(v4_damage(view));
    };
    let header_len = header.slice().len();
    let total_len = usize::from(header.total_len());
    let rest = view.after(header_len);
    let body = match total_len.checked_sub(header_len) {
        Some(len) => rest.limit(len),
        None if total_len == 0 => rest,
        None => return Err(view.broken("ipv4", "total length")),
    };
    let more = header.more_fragments();
    let offset = u32::from(header.fragments_offset().value()) << 3;
    Ok(Ip {
        header: IpHeader {
            src: Address::v4(header.source()),
            dst: Address::v4(header.destination()),
            ttl: header.ttl(),
            ip_id: header.identification(),
            version: Version::V4,
        },
        protocol: header.protocol().0,
        body,
        fragment: (more || offset != 0).then(|| Place {
            id: u32::from(header.identification()),
            offset,
            more,
        }),
        beyond: total_len > view.wire,
    })
}

#[cold]
fn v4_damage(view: View<'_>) -> Stop {
    let fields = view.read("ipv4", |c| {
        let first = c.u8("version")?;
        c.skip(19, "header")?;
        c.skip((usize::from(first & 0xf) * 4).saturating_sub(20), "options")?;
        Ok(first)
    });
    match fields {
        Ok((first, _)) if first >> 4 == 4 => view.broken("ipv4", "header length"),
        Ok(_) => view.broken("ip", "version"),
        Err(_) if view.nibble().is_some_and(|version| version != 4) => view.broken("ip", "version"),
        Err(stop) => stop,
    }
}

/// Whether an IPv4 header's checksum (RFC 1071) is right: no accident, where we only guess that there is one.
pub(super) fn checksum_fits(view: View<'_>) -> bool {
    let mut c = Cursor::new(view.bytes);
    let mut sum = 0u32;
    for _ in 0..usize::from(view.bytes.first().copied().unwrap_or_default() & 0xf) * 2 {
        let Ok(word) = c.u16("header") else {
            return false;
        };
        sum += u32::from(word);
    }
    sum != 0 && sum.is_multiple_of(0xffff)
}

/// An IPv6 header (RFC 8200 §3), without what continues it. A payload length of 0 is a jumbogram (RFC 2675 §2) or segmentation offload.
#[inline(always)]
pub(super) fn v6_first(view: View<'_>) -> Result<Ip<'_>, Stop> {
    let Ok(header) = Ipv6HeaderSlice::from_slice(view.bytes) else {
        return Err(v6_damage(view));
    };
    let rest = view.after(header.slice().len());
    let payload_len = usize::from(header.payload_length());
    let protocol = header.next_header().0;
    let body = match (payload_len, protocol) {
        (0, proto::HOP_BY_HOP) => jumbo_len(rest).map_or(rest, |len| rest.limit(len)),
        (0, _) => rest,
        (len, _) => rest.limit(len),
    };
    Ok(Ip {
        header: IpHeader {
            src: Address::v6(header.source()),
            dst: Address::v6(header.destination()),
            ttl: header.hop_limit(),
            ip_id: 0,
            version: Version::V6,
        },
        protocol,
        body,
        fragment: None,
        beyond: payload_len > rest.wire,
    })
}

/// An IPv6 header and its extension headers.
pub(super) fn v6(view: View<'_>) -> Result<Ip<'_>, Stop> {
    let mut ip = v6_first(view)?;
    if continues(Version::V6, ip.protocol) {
        extensions(&mut ip)?;
    }
    Ok(ip)
}

#[cold]
fn v6_damage(view: View<'_>) -> Stop {
    if view.nibble().is_some_and(|version| version != 6) {
        return view.broken("ip", "version");
    }
    match view.read("ipv6", |c| c.skip(40, "header")) {
        Ok(_) => view.broken("ipv6", "header"),
        Err(stop) => stop,
    }
}

/// The jumbo payload length in a hop-by-hop header (RFC 2675 §2: option type 0xc2).
fn jumbo_len(view: View<'_>) -> Option<usize> {
    let mut c = Cursor::new(view.bytes);
    c.skip(1, "next header").ok()?;
    let len = usize::from(c.u8("header length").ok()?) * 8 + 6;
    let mut options = c.sub(len, "options").ok()?;
    // Each round takes a byte at least, so the header's length bounds the loop.
    while let Ok(kind) = options.u8("option type") {
        // RFC 8200 §4.2: Pad1 is one byte without a length.
        if kind == 0 {
            continue;
        }
        let len = options.u8("option length").ok()?;
        let mut data = options.sub(len, "option data").ok()?;
        if kind == 0xc2 {
            return data.u32("jumbo payload length").ok().and_then(|len| usize::try_from(len).ok());
        }
    }
    None
}

/// True for headers that belong to IP and not to what it carries.
#[inline(always)]
const fn continues(version: Version, number: u8) -> bool {
    match version {
        Version::V4 => number == proto::AH,
        Version::V6 => matches!(
            number,
            proto::HOP_BY_HOP
                | proto::ROUTING
                | proto::FRAGMENT
                | proto::AH
                | proto::DESTINATION
                | proto::MOBILITY
                | proto::HIP
                | proto::SHIM6
        ),
    }
}

/// More extension headers than this are an attack, or noise.
const EXTENSION_LIMIT: usize = 24;

/// Passes over extension headers (RFC 8200 §4) and AH (RFC 4302 §2), to the inside or to a fragment's header.
#[inline(never)]
fn extensions(ip: &mut Ip<'_>) -> Result<(), Stop> {
    for _ in 0..EXTENSION_LIMIT {
        if !continues(ip.header.version, ip.protocol) {
            return Ok(());
        }
        let ((next, len), rest) = ip
            .body
            .read("ipv6 extension", |c| Ok((c.u8("next header")?, usize::from(c.u8("header length")?))))?;
        if ip.protocol == proto::FRAGMENT {
            // RFC 8200 §4.5: offset in units of 8 bytes, two reserved bits, M.
            let ((field, id), rest) =
                rest.read("ipv6 fragment", |c| Ok((c.u16("fragment offset")?, c.u32("identification")?)))?;
            let place = Place { id, offset: u32::from(field & 0xfff8), more: field & 1 == 1 };
            ip.protocol = next;
            ip.body = rest;
            // RFC 6946 §4: an atomic fragment is a whole packet, whatever else has its identification.
            if place.offset != 0 || place.more {
                ip.fragment = Some(place);
                return Ok(());
            }
            continue;
        }
        let len = if ip.protocol == proto::AH { (len + 2) * 4 } else { (len + 1) * 8 };
        ip.body = rest.skip(len - 2, "ipv6 extension", "header data")?;
        ip.protocol = next;
    }
    Err(ip.body.broken("ipv6 extension", "end of headers"))
}

/// What is inside an IP packet that is no fragment.
pub(super) enum Inside<'b> {
    /// The end.
    Packet(Packet<'b>),
    /// What may be a tunnel.
    Tunnel(Trust, Reader, View<'b>),
}

/// Passes over what continues the header of a joined datagram, or AH in IPv4.
#[inline]
pub(super) fn complete(ip: &mut Ip<'_>) -> Result<(), Stop> {
    if ip.fragment.is_none() && continues(ip.header.version, ip.protocol) {
        return extensions(ip);
    }
    Ok(())
}

/// Looks into an IP packet.
#[inline]
pub(super) fn inside<'b>(ip: &Ip<'b>) -> Result<Inside<'b>, Stop> {
    if ip.protocol == proto::UDP {
        if let Some(((src_port, dst_port), payload)) = transport::whole_udp(ip.body)
            && let Some(reader) = tunnel::over_udp(src_port, dst_port)
        {
            return Ok(Inside::Tunnel(Trust::Guess, reader, payload));
        }
    } else if let Some(reader) = tunnel::over_ip(ip.protocol) {
        return Ok(Inside::Tunnel(Trust::Sure, reader, ip.body));
    }
    packet(ip).map(Inside::Packet)
}

/// The packet that IP carries, taken as no tunnel.
#[inline]
pub(super) fn packet<'b>(ip: &Ip<'b>) -> Result<Packet<'b>, Stop> {
    let Ip { header, protocol, body, .. } = *ip;
    match protocol {
        proto::TCP => transport::tcp(header, body),
        proto::UDP => transport::udp(header, body),
        proto::ICMP => icmp::v4(header, body),
        proto::ICMPV6 => icmp::v6(header, body),
        proto::SCTP | proto::DCCP | proto::UDP_LITE => transport::ports_only(header, protocol, body),
        _ => Ok(header.packet(protocol, (0, 0), Transport::Other, body)),
    }
}
