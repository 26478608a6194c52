//! Reads the pseudo-headers that operating systems put before a packet.
//!
//! In:  a frame as captured on Linux, the BSDs, macOS or Solaris.
//! Out: an EtherType, IP, or the frame inside.
//! Not: which interface it was.

use crate::base::Cursor;
use crate::base::Truncated;
use crate::capture::LinkType;

use super::super::encap_kind::EncapKind;
use super::super::ether;
use super::super::ip;
use super::super::layer::DecodeState;
use super::super::layer::LayerResult;
use super::super::layer::LayerSlice;
use super::super::layer::NextLayer;
use super::super::layer::Stop;
use super::ethernet;
use super::is_ip_family;
use super::lan;
use super::serial;
use super::wlan;

/// LINKTYPE_NULL, LINKTYPE_LOOP: an address family, in the byte order of the capturing host.
pub(in crate::decode) fn null<'b>(_: &mut DecodeState, layer: LayerSlice<'b>) -> LayerResult<'b> {
    let (family, inside) = layer.read("loopback", |c| c.u32("address family"))?;
    if is_ip_family(family) || is_ip_family(family.swap_bytes()) {
        return Ok(NextLayer::Ip(inside));
    }
    // A serial line with the wrong link type.
    if matches!(family >> 16, 0x0f00 | 0x8f00 | 0xff03) {
        return Ok(NextLayer::Read(serial::ppp, layer));
    }
    // Some tunnel drivers write an EtherType instead.
    match (family, family.swap_bytes()) {
        (0x0800 | 0x86dd, _) | (_, 0x0800 | 0x86dd) => Ok(NextLayer::Ip(inside)),
        _ => Err(Stop::NotIp(0)),
    }
}

/// Linux ARPHRD_ numbers whose protocol field is not an EtherType.
mod hardware {
    pub(super) const FRAME_RELAY: u16 = 770;
    pub(super) const IP_GRE: u16 = 778;
    pub(super) const RADIOTAP: u16 = 803;
    pub(super) const NETLINK: u16 = 824;
}

/// LINKTYPE_LINUX_SLL: direction, ARPHRD_ type, eight bytes of address, protocol.
pub(in crate::decode) fn sll<'b>(state: &mut DecodeState, layer: LayerSlice<'b>) -> LayerResult<'b> {
    let ((hardware, number), inside) = layer.read("linux cooked", |c| {
        c.skip(2, "direction")?;
        let hardware = c.u16("hardware type")?;
        c.skip(10, "address")?;
        Ok((hardware, c.u16("protocol")?))
    })?;
    by_protocol(state, hardware, number, inside)
}

/// LINKTYPE_LINUX_SLL2: protocol, reserved, interface, ARPHRD_ type, direction, address.
pub(in crate::decode) fn sll2<'b>(state: &mut DecodeState, layer: LayerSlice<'b>) -> LayerResult<'b> {
    let ((hardware, number), inside) = layer.read("linux cooked v2", |c| {
        let number = c.u16("protocol")?;
        c.skip(6, "interface")?;
        let hardware = c.u16("hardware type")?;
        c.skip(10, "address")?;
        Ok((hardware, number))
    })?;
    by_protocol(state, hardware, number, inside)
}

/// Linux from 6.10 on gives the EtherType after all tags, but removes only the outer tag: where IP should start, there are the
/// inner tag and the same EtherType again.
fn is_tagged(number: u16, inside: LayerSlice<'_>) -> bool {
    matches!(number, ether::IPV4 | ether::IPV6)
        && !matches!(inside.nibble(), Some(4 | 6))
        && inside.peek(2) == Some(number)
}

fn by_protocol<'b>(
    state: &mut DecodeState,
    hardware: u16,
    number: u16,
    inside: LayerSlice<'b>,
) -> LayerResult<'b> {
    match (hardware, number) {
        (_, ether::IPV4 | ether::IPV6) if is_tagged(number, inside) => {
            Ok(NextLayer::EtherType(ether::VLAN, inside))
        }
        // libpcap has inserted the outer tag again.
        (_, ether::VLAN | ether::SERVICE_VLAN)
            if inside.peek(2).is_some_and(|inner| is_tagged(inner, inside.after(4))) =>
        {
            ether::push_vlan(state, inside.peek(0).unwrap_or_default())?;
            Ok(NextLayer::EtherType(ether::VLAN, inside.after(4)))
        }
        (hardware::NETLINK, _) => Err(Stop::NotIp(0)),
        (hardware::RADIOTAP, _) => wlan::radiotap(state, inside),
        (hardware::FRAME_RELAY, _) => serial::frame_relay(state, inside),
        // A GRE device: the protocol is that of GRE, which is an EtherType from 0x600 on.
        (hardware::IP_GRE, 0x0600..) | (_, 0x0600..) => Ok(NextLayer::EtherType(number, inside)),
        // ETH_P_802_3: Novell's raw 802.3 frames. ETH_P_802_2: LLC.
        (_, 1) => Err(Stop::NotIp(ether::IPX)),
        (_, 4) => Ok(NextLayer::Read(lan::llc, inside)),
        _ => Err(Stop::NotIp(0)),
    }
}

/// LINKTYPE_ENC: family in the host's byte order, security index, flags; then IP.
pub(in crate::decode) fn enc<'b>(state: &mut DecodeState, layer: LayerSlice<'b>) -> LayerResult<'b> {
    let (_, inside) = layer.read("enc", |c| c.skip(12, "header"))?;
    state.push_tag(EncapKind::Esp, 0)?;
    Ok(NextLayer::Ip(inside))
}

/// LINKTYPE_PFLOG: its length, a family, the filter's action; rounded up to four bytes.
pub(in crate::decode) fn pflog<'b>(_: &mut DecodeState, layer: LayerSlice<'b>) -> LayerResult<'b> {
    let ((len, family), _) = layer.read("pflog", |c| Ok((c.u8("length")?, c.u8("address family")?)))?;
    if !is_ip_family(u32::from(family)) {
        return Err(Stop::NotIp(0));
    }
    Ok(NextLayer::Ip(layer.skip(usize::from(len).next_multiple_of(4), "pflog", "header")?))
}

/// LINKTYPE_IPNET: version, family, hook, lengths, interfaces and zones in 24 bytes.
pub(in crate::decode) fn ipnet<'b>(_: &mut DecodeState, layer: LayerSlice<'b>) -> LayerResult<'b> {
    Ok(NextLayer::Ip(layer.skip(24, "ipnet", "header")?))
}

/// LINKTYPE_NFLOG: family, version, resource; then attributes with length and type in the host's byte order. Attribute 9 is
/// the packet.
pub(in crate::decode) fn nflog<'b>(_: &mut DecodeState, layer: LayerSlice<'b>) -> LayerResult<'b> {
    let (family, rest) = layer.read("nflog", |c| {
        let family = c.u8("address family")?;
        c.skip(3, "version and resource")?;
        Ok(family)
    })?;
    let mut rest = rest;
    // Each iteration reads at least four bytes.
    while !rest.bytes.is_empty() {
        let ((len, kind), body) = rest.read("nflog", parse_attribute)?;
        let body_len = len.saturating_sub(4);
        if kind == PAYLOAD {
            return match family {
                0 | 7 => Ok(NextLayer::Read(
                    if body.nibble() == Some(0) { ethernet::read } else { ip::read },
                    body,
                )),
                family if is_ip_family(u32::from(family)) => Ok(NextLayer::Ip(body.at_most(body_len))),
                _ => Err(Stop::NotIp(0)),
            };
        }
        rest = body.skip(body_len.next_multiple_of(4), "nflog", "attribute")?;
    }
    Err(Stop::NotIp(0))
}

/// NFULA_PAYLOAD of Linux.
const PAYLOAD: u16 = 9;

/// An attribute's length, header included, and type. Types are small, which shows the byte order.
fn parse_attribute(c: &mut Cursor<'_>) -> Result<(usize, u16), Truncated> {
    let len = c.u16_le("attribute length")?;
    let kind = c.u16_le("attribute type")?;
    if kind < 256 {
        return Ok((usize::from(len), kind));
    }
    Ok((usize::from(len.swap_bytes()), kind.swap_bytes()))
}

/// LINKTYPE_PKTAP of macOS: a header with its length and the inner link type, all little-endian.
pub(in crate::decode) fn pktap<'b>(_: &mut DecodeState, layer: LayerSlice<'b>) -> LayerResult<'b> {
    let ((len, link), _) = layer.read("pktap", |c| {
        let len = c.u32_le("header length")?;
        c.skip(4, "record type")?;
        Ok((len, c.u32_le("link type")?))
    })?;
    let inside = layer.skip((len as usize).max(12), "pktap", "header")?;
    Ok(NextLayer::Link(LinkType(u16::try_from(link).unwrap_or(u16::MAX)), inside))
}
