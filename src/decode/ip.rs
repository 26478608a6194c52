//! Reads IPv4 and IPv6 headers.
//!
//! In:  a layer that starts with an IP header.
//! Out: addresses, protocol, and the payload without padding; the offset of a fragment.
//! Not: checksums, which a capture on the sender sees before its network card has computed them; the payload.

use etherparse::Ipv4HeaderSlice;
use etherparse::Ipv6HeaderSlice;

use crate::base::Address;
use crate::base::Cursor;
use crate::base::LinkAddress;
use crate::base::proto;

use super::fragment::FragmentHeader;
use super::icmp;
use super::layer::DecodeState;
use super::layer::LayerReader;
use super::layer::LayerResult;
use super::layer::LayerSlice;
use super::layer::NextLayer;
use super::layer::Stop;
use super::layer::TunnelEvidence;
use super::packet::Encapsulation;
use super::packet::Packet;
use super::packet::Transport;
use super::transport;
use super::tunnel;

/// The fields of an IP header that later stages need.
#[derive(Clone, Copy, Debug)]
pub(super) struct IpHeader {
    pub(super) src: Address,
    pub(super) dst: Address,
    pub(super) ttl: u8,
    /// 0 in IPv6.
    pub(super) ip_id: u16,
    /// Decides whether extension headers may follow.
    pub(super) version: IpVersion,
    /// The adapter that sent the frame, as far as the link layer shows.
    pub(super) adapter: Option<LinkAddress>,
}

/// The two versions of IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum IpVersion {
    V4,
    V6,
}

/// An IP packet.
#[derive(Clone, Copy, Debug)]
pub(super) struct IpPacket<'b> {
    pub(super) header: IpHeader,
    /// Protocol of `body`; in IPv6 that of its first extension header.
    pub(super) protocol: u8,
    pub(super) body: LayerSlice<'b>,
    /// Set for a fragment.
    pub(super) fragment: Option<FragmentHeader>,
    /// The length field exceeds the frame.
    pub(super) exceeds_frame: bool,
}

impl IpHeader {
    /// A packet with this header. All fields are written once: copying partly written packets costs more than decoding.
    #[inline(always)]
    pub(super) fn packet<'b>(
        self,
        protocol: u8,
        (src_port, dst_port): (u16, u16),
        transport: Transport<'b>,
        payload: LayerSlice<'b>,
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
            encapsulation: &Encapsulation::NONE,
            transport,
            payload: payload.bytes,
            payload_len: u32::try_from(payload.wire_len).unwrap_or(u32::MAX),
            host_report: None,
            adapter: self.adapter,
        }
    }
}

/// IP of the version in its first bits: some outer headers name the wrong version.
pub(super) fn read<'b>(_: &mut DecodeState, layer: LayerSlice<'b>) -> LayerResult<'b> {
    Ok(NextLayer::Ip(layer))
}

/// An IP header of either version, and its extension headers.
pub(super) fn parse(layer: LayerSlice<'_>) -> Result<IpPacket<'_>, Stop> {
    match layer.nibble() {
        Some(6) => parse_v6(layer),
        _ => parse_v4(layer),
    }
}

/// An IPv4 header (RFC 791 §3.1). A total length of 0 comes from segmentation offload: the packet ends with the frame.
#[inline(always)]
pub(super) fn parse_v4(layer: LayerSlice<'_>) -> Result<IpPacket<'_>, Stop> {
    let Ok(header) = Ipv4HeaderSlice::from_slice(layer.bytes) else {
        return Err(v4_damage(layer));
    };
    let header_len = header.slice().len();
    let total_len = usize::from(header.total_len());
    let rest = layer.after(header_len);
    let body = match total_len.checked_sub(header_len) {
        Some(len) => rest.limit(len),
        None if total_len == 0 => rest,
        None => return Err(layer.broken("ipv4", "total length")),
    };
    let more = header.more_fragments();
    let offset = u32::from(header.fragments_offset().value()) << 3;
    Ok(IpPacket {
        header: IpHeader {
            src: Address::v4(header.source()),
            dst: Address::v4(header.destination()),
            ttl: header.ttl(),
            ip_id: header.identification(),
            version: IpVersion::V4,
            adapter: None,
        },
        protocol: header.protocol().0,
        body,
        fragment: (more || offset != 0).then(|| FragmentHeader {
            id: u32::from(header.identification()),
            offset,
            more,
        }),
        exceeds_frame: total_len > layer.wire_len,
    })
}

#[cold]
fn v4_damage(layer: LayerSlice<'_>) -> Stop {
    let fields = layer.read("ipv4", |c| {
        let first = c.u8("version")?;
        c.skip(19, "header")?;
        c.skip((usize::from(first & 0xf) * 4).saturating_sub(20), "options")?;
        Ok(first)
    });
    match fields {
        Ok((first, _)) if first >> 4 == 4 => layer.broken("ipv4", "header length"),
        Ok(_) => layer.broken("ip", "version"),
        Err(_) if layer.nibble().is_some_and(|version| version != 4) => layer.broken("ip", "version"),
        Err(stop) => stop,
    }
}

/// Whether an IPv4 header's checksum (RFC 1071) is correct. That is no coincidence where a header is only assumed.
pub(super) fn has_correct_checksum(layer: LayerSlice<'_>) -> bool {
    let mut c = Cursor::new(layer.bytes);
    let mut sum = 0u32;
    for _ in 0..usize::from(layer.bytes.first().copied().unwrap_or_default() & 0xf) * 2 {
        let Ok(word) = c.u16("header") else {
            return false;
        };
        sum += u32::from(word);
    }
    sum != 0 && sum.is_multiple_of(0xffff)
}

/// An IPv6 header (RFC 8200 §3) without its extension headers. A payload length of 0 is a jumbogram (RFC 2675 §2) or
/// segmentation offload.
#[inline(always)]
pub(super) fn parse_v6_base(layer: LayerSlice<'_>) -> Result<IpPacket<'_>, Stop> {
    let Ok(header) = Ipv6HeaderSlice::from_slice(layer.bytes) else {
        return Err(v6_damage(layer));
    };
    let rest = layer.after(header.slice().len());
    let payload_len = usize::from(header.payload_length());
    let protocol = header.next_header().0;
    let body = match (payload_len, protocol) {
        (0, proto::HOP_BY_HOP) => jumbo_len(rest).map_or(rest, |len| rest.limit(len)),
        (0, _) => rest,
        (len, _) => rest.limit(len),
    };
    Ok(IpPacket {
        header: IpHeader {
            src: Address::v6(header.source()),
            dst: Address::v6(header.destination()),
            ttl: header.hop_limit(),
            ip_id: 0,
            version: IpVersion::V6,
            adapter: None,
        },
        protocol,
        body,
        fragment: None,
        exceeds_frame: payload_len > rest.wire_len,
    })
}

/// An IPv6 header and its extension headers.
pub(super) fn parse_v6(layer: LayerSlice<'_>) -> Result<IpPacket<'_>, Stop> {
    let mut ip = parse_v6_base(layer)?;
    if is_extension(IpVersion::V6, ip.protocol) {
        skip_extensions(&mut ip)?;
    }
    Ok(ip)
}

#[cold]
fn v6_damage(layer: LayerSlice<'_>) -> Stop {
    if layer.nibble().is_some_and(|version| version != 6) {
        return layer.broken("ip", "version");
    }
    match layer.read("ipv6", |c| c.skip(40, "header")) {
        Ok(_) => layer.broken("ipv6", "header"),
        Err(stop) => stop,
    }
}

/// The jumbo payload length in a hop-by-hop header (RFC 2675 §2: option type 0xc2).
fn jumbo_len(layer: LayerSlice<'_>) -> Option<usize> {
    let mut c = Cursor::new(layer.bytes);
    c.skip(1, "next header").ok()?;
    let len = usize::from(c.u8("header length").ok()?) * 8 + 6;
    let mut options = c.sub(len, "options").ok()?;
    // Each iteration reads at least one byte of the header.
    while let Ok(kind) = options.u8("option type") {
        // RFC 8200 §4.2: Pad1 has no length.
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

/// True for extension headers, which belong to IP and not to its payload.
#[inline(always)]
const fn is_extension(version: IpVersion, number: u8) -> bool {
    match version {
        IpVersion::V4 => number == proto::AH,
        IpVersion::V6 => matches!(
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

/// More extension headers than this are an attack or noise.
const EXTENSION_LIMIT: usize = 24;

/// Skips extension headers (RFC 8200 §4) and AH (RFC 4302 §2), up to the payload or to the fragment header.
#[inline(never)]
fn skip_extensions(ip: &mut IpPacket<'_>) -> Result<(), Stop> {
    for _ in 0..EXTENSION_LIMIT {
        if !is_extension(ip.header.version, ip.protocol) {
            return Ok(());
        }
        let ((next, len), rest) = ip
            .body
            .read("ipv6 extension", |c| Ok((c.u8("next header")?, usize::from(c.u8("header length")?))))?;
        if ip.protocol == proto::FRAGMENT {
            // RFC 8200 §4.5: offset in units of 8 bytes, two reserved bits, M.
            let ((field, id), rest) =
                rest.read("ipv6 fragment", |c| Ok((c.u16("fragment offset")?, c.u32("identification")?)))?;
            let fragment = FragmentHeader { id, offset: u32::from(field & 0xfff8), more: field & 1 == 1 };
            ip.protocol = next;
            ip.body = rest;
            // RFC 6946 §4: an atomic fragment is a whole packet, even if others have the same identification.
            if fragment.offset != 0 || fragment.more {
                ip.fragment = Some(fragment);
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

/// The payload of an IP packet that is not a fragment.
pub(super) enum IpPayload<'b> {
    /// No tunnel.
    Packet(Packet<'b>),
    /// Possibly a tunnel.
    Tunnel(TunnelEvidence, LayerReader, LayerSlice<'b>),
}

/// Skips the extension headers of a joined datagram, or AH in IPv4.
#[inline]
pub(super) fn skip_remaining_extensions(ip: &mut IpPacket<'_>) -> Result<(), Stop> {
    if ip.fragment.is_none() && is_extension(ip.header.version, ip.protocol) {
        return skip_extensions(ip);
    }
    Ok(())
}

/// Classifies the payload of an IP packet.
#[inline]
pub(super) fn payload<'b>(ip: &IpPacket<'b>) -> Result<IpPayload<'b>, Stop> {
    if ip.protocol == proto::UDP {
        if let Some(((src_port, dst_port), payload)) = transport::parse_whole_udp(ip.body)
            && let Some(reader) = tunnel::over_udp(src_port, dst_port)
        {
            return Ok(IpPayload::Tunnel(TunnelEvidence::Port, reader, payload));
        }
    } else if let Some(reader) = tunnel::over_ip(ip.protocol) {
        return Ok(IpPayload::Tunnel(TunnelEvidence::ProtocolNumber, reader, ip.body));
    }
    packet(ip).map(IpPayload::Packet)
}

/// The packet, assuming that it is not a tunnel.
#[inline]
pub(super) fn packet<'b>(ip: &IpPacket<'b>) -> Result<Packet<'b>, Stop> {
    let IpPacket { header, protocol, body, .. } = *ip;
    match protocol {
        proto::TCP => transport::parse_tcp(header, body),
        proto::UDP => transport::parse_udp(header, body),
        proto::ICMP => icmp::parse_v4(header, body),
        proto::ICMPV6 => icmp::parse_v6(header, body),
        proto::SCTP | proto::DCCP | proto::UDP_LITE => transport::parse_ports_only(header, protocol, body),
        _ => Ok(header.packet(protocol, (0, 0), Transport::Other, body)),
    }
}
