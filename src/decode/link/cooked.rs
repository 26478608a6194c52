//! Reads the headers that operating systems put in place of the real one.
//!
//! In:  a frame as Linux, the BSDs, macOS or Solaris hand it to a capture.
//! Out: an ether type, IP, or the frame inside.
//! Not: which interface it was.

use crate::base::Cursor;
use crate::base::Truncated;
use crate::capture::LinkType;

use super::super::ether;
use super::super::ip;
use super::super::packet::LayerKind;
use super::super::view::Next;
use super::super::view::Stop;
use super::super::view::View;
use super::super::view::Walk;
use super::ethernet;
use super::is_ip_family;
use super::lan;
use super::serial;
use super::wlan;

/// LINKTYPE_NULL, LINKTYPE_LOOP: an address family, in the byte order of whoever captured.
pub(in crate::decode) fn null<'b>(_: &mut Walk, view: View<'b>) -> Result<Next<'b>, Stop> {
    let (family, inside) = view.read("loopback", |c| c.u32("address family"))?;
    if is_ip_family(family) || is_ip_family(family.swap_bytes()) {
        return Ok(Next::Ip(inside));
    }
    // A serial line that the capture calls loopback.
    if matches!(family >> 16, 0x0f00 | 0x8f00 | 0xff03) {
        return Ok(Next::Read(serial::ppp, view));
    }
    // Some tunnel drivers write an ether type instead.
    match (family, family.swap_bytes()) {
        (0x0800 | 0x86dd, _) | (_, 0x0800 | 0x86dd) => Ok(Next::Ip(inside)),
        _ => Err(Stop::NotIp(0)),
    }
}

/// ARPHRD_ numbers of Linux whose protocol field is no ether type.
mod hardware {
    pub(super) const FRAME_RELAY: u16 = 770;
    pub(super) const IP_GRE: u16 = 778;
    pub(super) const RADIOTAP: u16 = 803;
    pub(super) const NETLINK: u16 = 824;
}

/// LINKTYPE_LINUX_SLL: direction, ARPHRD_ type, eight bytes of address, protocol.
pub(in crate::decode) fn sll<'b>(walk: &mut Walk, view: View<'b>) -> Result<Next<'b>, Stop> {
    let ((hardware, number), inside) = view.read("linux cooked", |c| {
        c.skip(2, "direction")?;
        let hardware = c.u16("hardware type")?;
        c.skip(10, "address")?;
        Ok((hardware, c.u16("protocol")?))
    })?;
    cooked(walk, hardware, number, inside)
}

/// LINKTYPE_LINUX_SLL2: protocol, reserved, interface, ARPHRD_ type, direction, address.
pub(in crate::decode) fn sll2<'b>(walk: &mut Walk, view: View<'b>) -> Result<Next<'b>, Stop> {
    let ((hardware, number), inside) = view.read("linux cooked v2", |c| {
        let number = c.u16("protocol")?;
        c.skip(6, "interface")?;
        let hardware = c.u16("hardware type")?;
        c.skip(10, "address")?;
        Ok((hardware, number))
    })?;
    cooked(walk, hardware, number, inside)
}

/// Linux from 6.10 on names the type behind all tags, and still takes only the outer tag out: where IP should begin stands the
/// inner tag, and the same type again.
fn is_tagged(number: u16, inside: View<'_>) -> bool {
    matches!(number, ether::IPV4 | ether::IPV6)
        && !matches!(inside.nibble(), Some(4 | 6))
        && inside.peek(2) == Some(number)
}

fn cooked<'b>(walk: &mut Walk, hardware: u16, number: u16, inside: View<'b>) -> Result<Next<'b>, Stop> {
    match (hardware, number) {
        (_, ether::IPV4 | ether::IPV6) if is_tagged(number, inside) => {
            Ok(Next::EtherType(ether::VLAN, inside))
        }
        // libpcap has put the outer tag back.
        (_, ether::VLAN | ether::SERVICE_VLAN)
            if inside.peek(2).is_some_and(|inner| is_tagged(inner, inside.after(4))) =>
        {
            ether::note_vlan(walk, inside.peek(0).unwrap_or_default())?;
            Ok(Next::EtherType(ether::VLAN, inside.after(4)))
        }
        (hardware::NETLINK, _) => Err(Stop::NotIp(0)),
        (hardware::RADIOTAP, _) => wlan::radiotap(walk, inside),
        (hardware::FRAME_RELAY, _) => serial::frame_relay(walk, inside),
        // A GRE device: the protocol is GRE's, which are ether types where they are large.
        (hardware::IP_GRE, 0x0600..) | (_, 0x0600..) => Ok(Next::EtherType(number, inside)),
        // ETH_P_802_3: Novell's frames. ETH_P_802_2: LLC.
        (_, 1) => Err(Stop::NotIp(0x8137)),
        (_, 4) => Ok(Next::Read(lan::llc, inside)),
        _ => Err(Stop::NotIp(0)),
    }
}

/// LINKTYPE_ENC: family in the host's byte order, security index, flags; then IP.
pub(in crate::decode) fn enc<'b>(walk: &mut Walk, view: View<'b>) -> Result<Next<'b>, Stop> {
    let (_, inside) = view.read("enc", |c| c.skip(12, "header"))?;
    walk.tag(LayerKind::Esp, 0)?;
    Ok(Next::Ip(inside))
}

/// LINKTYPE_PFLOG: its own length, a family, what the filter did; rounded up to four bytes.
pub(in crate::decode) fn pflog<'b>(_: &mut Walk, view: View<'b>) -> Result<Next<'b>, Stop> {
    let ((len, family), _) = view.read("pflog", |c| Ok((c.u8("length")?, c.u8("address family")?)))?;
    if !is_ip_family(u32::from(family)) {
        return Err(Stop::NotIp(0));
    }
    Ok(Next::Ip(view.skip(usize::from(len).next_multiple_of(4), "pflog", "header")?))
}

/// LINKTYPE_IPNET: version, family, hook, lengths, interfaces and zones in 24 bytes.
pub(in crate::decode) fn ipnet<'b>(_: &mut Walk, view: View<'b>) -> Result<Next<'b>, Stop> {
    Ok(Next::Ip(view.skip(24, "ipnet", "header")?))
}

/// LINKTYPE_NFLOG: family, version, resource; then attributes with length and type in the host's byte order. Number 9
/// is the packet.
pub(in crate::decode) fn nflog<'b>(_: &mut Walk, view: View<'b>) -> Result<Next<'b>, Stop> {
    let (family, rest) = view.read("nflog", |c| {
        let family = c.u8("address family")?;
        c.skip(3, "version and resource")?;
        Ok(family)
    })?;
    let mut rest = rest;
    // Each round takes four bytes at least.
    while !rest.bytes.is_empty() {
        let ((len, kind), body) = rest.read("nflog", attribute)?;
        let body_len = len.saturating_sub(4);
        if kind == PAYLOAD {
            return match family {
                0 | 7 => {
                    Ok(Next::Read(if body.nibble() == Some(0) { ethernet::read } else { ip::read }, body))
                }
                family if is_ip_family(u32::from(family)) => Ok(Next::Ip(body.at_most(body_len))),
                _ => Err(Stop::NotIp(0)),
            };
        }
        rest = body.skip(body_len.next_multiple_of(4), "nflog", "attribute")?;
    }
    Err(Stop::NotIp(0))
}

/// NFULA_PAYLOAD of Linux.
const PAYLOAD: u16 = 9;

/// An attribute's length, its own header included, and type. Types are small, which tells the byte order.
fn attribute(c: &mut Cursor<'_>) -> Result<(usize, u16), Truncated> {
    let len = c.u16_le("attribute length")?;
    let kind = c.u16_le("attribute type")?;
    if kind < 256 {
        return Ok((usize::from(len), kind));
    }
    Ok((usize::from(len.swap_bytes()), kind.swap_bytes()))
}

/// LINKTYPE_PKTAP of macOS: a header that says its length and the link type behind it, all little-endian.
pub(in crate::decode) fn pktap<'b>(_: &mut Walk, view: View<'b>) -> Result<Next<'b>, Stop> {
    let ((len, link), _) = view.read("pktap", |c| {
        let len = c.u32_le("header length")?;
        c.skip(4, "record type")?;
        Ok((len, c.u32_le("link type")?))
    })?;
    let inside = view.skip((len as usize).max(12), "pktap", "header")?;
    Ok(Next::Link(LinkType(u16::try_from(link).unwrap_or(u16::MAX)), inside))
}
