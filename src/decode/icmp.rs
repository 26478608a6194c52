//! Reads ICMP and ICMPv6, and the packets that their errors quote.
//!
//! In:  an IP header and its payload.
//! Out: a [`Packet`] whose transport is [`Transport::Icmp`].
//! Not: neighbour discovery, and what an error means for the flow that it quotes.

use crate::base::Address;
use crate::base::Cursor;
use crate::base::Truncated;
use crate::base::proto;

use super::ip;
use super::ip::IpHeader;
use super::ip::IpPacket;
use super::ip::IpVersion;
use super::layer::LayerSlice;
use super::layer::Stop;
use super::packet::Packet;
use super::packet::Quoted;
use super::packet::Transport;

/// ICMP (RFC 792).
pub(super) fn parse_v4<'b>(ip: IpHeader, body: LayerSlice<'b>) -> Result<Packet<'b>, Stop> {
    parse(ip, body, proto::ICMP)
}

/// ICMPv6 (RFC 4443 §2.1).
pub(super) fn parse_v6<'b>(ip: IpHeader, body: LayerSlice<'b>) -> Result<Packet<'b>, Stop> {
    parse(ip, body, proto::ICMPV6)
}

/// Whether a message of this type is a request; `None` if it is neither request nor response. These types have an identifier.
/// RFC 792: echo, timestamp, information; RFC 950: mask; RFC 4443 §4: echo.
pub const fn is_request(number: u8, kind: u8) -> Option<bool> {
    match (number, kind) {
        (proto::ICMP, 8 | 13 | 15 | 17) | (proto::ICMPV6, 128) => Some(true),
        (proto::ICMP, 0 | 14 | 16 | 18) | (proto::ICMPV6, 129) => Some(false),
        _ => None,
    }
}

fn parse<'b>(ip: IpHeader, body: LayerSlice<'b>, number: u8) -> Result<Packet<'b>, Stop> {
    let ((kind, code, detail), rest) = body.read("icmp", |c| {
        let kind = c.u8("type")?;
        let code = c.u8("code")?;
        c.skip(2, "checksum")?;
        Ok((kind, code, c.u32("rest of header")?))
    })?;
    // RFC 792: unreachable, source quench, redirect, time exceeded, parameter problem. RFC 4443 §3: types 1 to 4.
    let is_error = match number {
        proto::ICMP => matches!(kind, 3 | 4 | 5 | 11 | 12),
        _ => matches!(kind, 1..=4),
    };
    let transport = Transport::Icmp {
        kind,
        code,
        id: if is_request(number, kind).is_some() { (detail >> 16) as u16 } else { 0 },
        detail,
        // Extensions (RFC 4884, RFC 4950) are after the quoted packet.
        quoted: if is_error { parse_quoted(rest) } else { None },
    };
    Ok(ip.packet(number, (0, 0), transport, rest))
}

/// The quoted packet, as far as the message contains it; `None` without its addresses.
fn parse_quoted(layer: LayerSlice<'_>) -> Option<Quoted> {
    let (ip, total_len) = match layer.nibble()? {
        4 => (parse_quoted_v4(layer).ok()?, layer.peek(2)?),
        // Truncated extension headers leave the addresses readable.
        6 => {
            (ip::parse_v6(layer).or_else(|_| parse_quoted_v6(layer)).ok()?, layer.peek(4)?.saturating_add(40))
        }
        _ => return None,
    };
    let mut quoted = Quoted {
        src: ip.header.src,
        dst: ip.header.dst,
        protocol: ip.protocol,
        src_port: 0,
        dst_port: 0,
        seq: None,
        total_len,
        fragment: None,
    };
    if let Some(fragment) = ip.fragment.filter(|fragment| fragment.offset != 0) {
        return Some(Quoted { fragment: Some(fragment.id), ..quoted });
    }
    let mut c = Cursor::new(ip.body.bytes);
    if has_ports(ip.protocol)
        && let Ok(src_port) = c.u16("source port")
        && let Ok(dst_port) = c.u16("destination port")
    {
        quoted.src_port = src_port;
        quoted.dst_port = dst_port;
        if ip.protocol == proto::TCP {
            quoted.seq = c.u32("sequence number").ok();
        }
    }
    Some(quoted)
}

/// A quoted IPv4 header. Its length is ignored, because routers rewrite it before they quote it.
fn parse_quoted_v4(layer: LayerSlice<'_>) -> Result<IpPacket<'_>, Stop> {
    let (header_len, _) = layer.read("quoted", |c| Ok(usize::from(c.u8("version and length")? & 0xf) * 4))?;
    ip::parse_v4(layer).map(|ip| IpPacket { body: layer.after(header_len), ..ip })
}

/// A quoted IPv6 header without extension headers.
fn parse_quoted_v6(layer: LayerSlice<'_>) -> Result<IpPacket<'_>, Stop> {
    let ((number, ttl, src, dst), body) = layer.read("quoted", |c| {
        c.skip(6, "version and length")?;
        Ok((c.u8("next header")?, c.u8("hop limit")?, c.array("source")?, c.array("destination")?))
    })?;
    let header = IpHeader {
        src: Address::v6(src),
        dst: Address::v6(dst),
        ttl,
        ip_id: 0,
        version: IpVersion::V6,
        adapter: None,
    };
    Ok(IpPacket { header, protocol: number, body, fragment: None, exceeds_frame: false })
}

/// Source and destination port of a transport header; 0 for protocols without ports.
pub(super) fn parse_ports(number: u8, bytes: &[u8]) -> Result<(u16, u16), Truncated> {
    let mut c = Cursor::new(bytes);
    if !has_ports(number) {
        return Ok((0, 0));
    }
    Ok((c.u16("source port")?, c.u16("destination port")?))
}

const fn has_ports(number: u8) -> bool {
    matches!(number, proto::TCP | proto::UDP | proto::SCTP | proto::DCCP | proto::UDP_LITE)
}
