//! Reads ICMP and ICMPv6, and the packets that their errors quote.
//!
//! In:  an IP header and its inside.
//! Out: a [`Packet`] whose transport is [`Transport::Icmp`].
//! Not: neighbour discovery, and what an error means for the conversation that it quotes.

use crate::base::Address;
use crate::base::Cursor;
use crate::base::Truncated;
use crate::base::proto;

use super::ip;
use super::ip::Ip;
use super::ip::IpHeader;
use super::ip::Version;
use super::packet::Packet;
use super::packet::Quoted;
use super::packet::Transport;
use super::view::Stop;
use super::view::View;

/// ICMP (RFC 792).
pub(super) fn v4<'b>(ip: IpHeader, body: View<'b>) -> Result<Packet<'b>, Stop> {
    read(ip, body, proto::ICMP)
}

/// ICMPv6 (RFC 4443 §2.1).
pub(super) fn v6<'b>(ip: IpHeader, body: View<'b>) -> Result<Packet<'b>, Stop> {
    read(ip, body, proto::ICMPV6)
}

/// Whether a message of this type asks or answers, and so has an identifier; none for all others. RFC 792: echo, timestamp,
/// information; RFC 950: mask; RFC 4443 §4: echo.
pub const fn is_request(number: u8, kind: u8) -> Option<bool> {
    match (number, kind) {
        (proto::ICMP, 8 | 13 | 15 | 17) | (proto::ICMPV6, 128) => Some(true),
        (proto::ICMP, 0 | 14 | 16 | 18) | (proto::ICMPV6, 129) => Some(false),
        _ => None,
    }
}

fn read<'b>(ip: IpHeader, body: View<'b>, number: u8) -> Result<Packet<'b>, Stop> {
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
        // Extension structures (RFC 4884, RFC 4950) follow the quoted packet and do not move it.
        quoted: if is_error { quoted(rest) } else { None },
    };
    Ok(ip.packet(number, (0, 0), transport, rest))
}

/// As much of the quoted packet as the message holds; `None` when not even its addresses are there.
fn quoted(view: View<'_>) -> Option<Quoted> {
    let (ip, total_len) = match view.nibble()? {
        4 => (quoted_v4(view).ok()?, view.peek(2)?),
        // Extension headers that are cut leave the addresses standing.
        6 => (ip::v6(view).or_else(|_| quoted_v6(view)).ok()?, view.peek(4)?.saturating_add(40)),
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
    if let Some(place) = ip.fragment.filter(|place| place.offset != 0) {
        return Some(Quoted { fragment: Some(place.id), ..quoted });
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

/// A quoted IPv4 header. Routers rewrite its length before they quote it, so the length is not believed.
fn quoted_v4(view: View<'_>) -> Result<Ip<'_>, Stop> {
    let (header_len, _) = view.read("quoted", |c| Ok(usize::from(c.u8("version and length")? & 0xf) * 4))?;
    ip::v4(view).map(|ip| Ip { body: view.after(header_len), ..ip })
}

/// A quoted IPv6 header without what follows it.
fn quoted_v6(view: View<'_>) -> Result<Ip<'_>, Stop> {
    let ((number, ttl, src, dst), body) = view.read("quoted", |c| {
        c.skip(6, "version and length")?;
        Ok((c.u8("next header")?, c.u8("hop limit")?, c.array("source")?, c.array("destination")?))
    })?;
    let header =
        IpHeader { src: Address::v6(src), dst: Address::v6(dst), ttl, ip_id: 0, version: Version::V6 };
    Ok(Ip { header, protocol: number, body, fragment: None, beyond: false })
}

/// Source and destination port of a segment that begins in `bytes`.
pub(super) fn ports(number: u8, bytes: &[u8]) -> Result<(u16, u16), Truncated> {
    let mut c = Cursor::new(bytes);
    if !has_ports(number) {
        return Ok((0, 0));
    }
    Ok((c.u16("source port")?, c.u16("destination port")?))
}

const fn has_ports(number: u8) -> bool {
    matches!(number, proto::TCP | proto::UDP | proto::SCTP | proto::DCCP | proto::UDP_LITE)
}
