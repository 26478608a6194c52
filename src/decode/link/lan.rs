//! Reads LLC and SNAP, and the networks that carry them: token ring, FDDI, ARCNET, ATM and others.
//!
//! In:  a frame, or what follows a length field.
//! Out: an EtherType, a bridged frame or IP.
//! Not: Ethernet and 802.11, which have their own files.

use super::super::ether;
use super::super::layer::DecodeState;
use super::super::layer::LayerResult;
use super::super::layer::LayerSlice;
use super::super::layer::NextLayer;
use super::super::layer::Stop;
use super::ethernet;

/// IEEE 802.2 §3.2: DSAP, SSAP, control. SNAP (0xaa) continues with an organization and a type (RFC 1042).
pub(in crate::decode) fn llc<'b>(_: &mut DecodeState, layer: LayerSlice<'b>) -> LayerResult<'b> {
    let ((dsap, ssap, _), inside) =
        layer.read("llc", |c| Ok((c.u8("dsap")?, c.u8("ssap")?, c.u8("control")?)))?;
    match (dsap & 0xfe, ssap & 0xfe) {
        (0xaa, 0xaa) => snap(inside),
        // RFC 948: IP directly after LLC.
        (0x06, 0x06) => Ok(NextLayer::Ip(inside)),
        (0xe0, 0xe0) => Err(Stop::NotIp(ether::IPX)),
        _ => Err(Stop::NotIp(0)),
    }
}

/// The code of an organization, and a type of its own.
pub(super) fn snap(layer: LayerSlice<'_>) -> LayerResult<'_> {
    let ((organization, number), inside) =
        layer.read("snap", |c| Ok((c.u24("organization")?, c.u16("type")?)))?;
    match (organization, number) {
        // RFC 1042, IEEE 802.1H: EtherTypes.
        (0x00_0000 | 0x00_00f8, _) => Ok(NextLayer::EtherType(number, inside)),
        // RFC 2684 §5.2: bridged Ethernet, with (1) and without (7) its checksum. On ATM, after two bytes of padding.
        (0x00_80c2, 1 | 7) if inside.peek(0) == Some(0) && ethernet::is_likely(inside.after(2)) => {
            Ok(NextLayer::Read(ethernet::read, inside.after(2)))
        }
        (0x00_80c2, 1 | 7) => Ok(NextLayer::Read(ethernet::read, inside)),
        // Cisco's own types.
        (0x00_000c, 0x2000..) => Err(Stop::NotIp(number)),
        _ => Err(Stop::NotIp(0)),
    }
}

/// IEEE 802.5: access and frame control, addresses, an optional route, LLC.
pub(in crate::decode) fn token_ring<'b>(_: &mut DecodeState, layer: LayerSlice<'b>) -> LayerResult<'b> {
    let ((control, source), inside) = layer.read("token ring", |c| {
        c.skip(1, "access control")?;
        let control = c.u8("frame control")?;
        c.skip(6, "destination")?;
        let source = c.u8("source")?;
        c.skip(5, "source")?;
        Ok((control, source))
    })?;
    if control & 0xc0 != 0x40 {
        return Err(Stop::NotIp(0));
    }
    // The group bit of the source announces a route; five bits of its first byte are its length.
    if source & 0x80 == 0 || inside.peek(0).is_some_and(|sap| sap & 0xfefe == 0xaaaa) {
        return Ok(NextLayer::Read(llc, inside));
    }
    let (len, _) = inside.read("token ring", |c| c.u8("route"))?;
    Ok(NextLayer::Read(llc, inside.skip(usize::from(len & 0x1f), "token ring", "route")?))
}

/// ISO 9314-2: frame control, addresses, LLC.
pub(in crate::decode) fn fddi<'b>(_: &mut DecodeState, layer: LayerSlice<'b>) -> LayerResult<'b> {
    let (control, inside) = layer.read("fddi", |c| {
        let control = c.u8("frame control")?;
        c.skip(12, "addresses")?;
        Ok(control)
    })?;
    // 0x50 to 0x57 asynchronous, 0xd0 synchronous LLC.
    match control & 0x70 {
        0x50 => Ok(NextLayer::Read(llc, inside)),
        _ => Err(Stop::NotIp(0)),
    }
}

/// ARCNET as captured on BSD: source, destination, type, and for the types of RFC 1201 flags and a sequence number.
pub(in crate::decode) fn arcnet<'b>(_: &mut DecodeState, layer: LayerSlice<'b>) -> LayerResult<'b> {
    arcnet_type(layer.skip(2, "arcnet", "addresses")?)
}

/// ARCNET as captured on Linux: two more bytes of offset.
pub(in crate::decode) fn arcnet_linux<'b>(_: &mut DecodeState, layer: LayerSlice<'b>) -> LayerResult<'b> {
    arcnet_type(layer.skip(4, "arcnet", "addresses")?)
}

fn arcnet_type(layer: LayerSlice<'_>) -> LayerResult<'_> {
    let (kind, inside) = layer.read("arcnet", |c| c.u8("type"))?;
    match kind {
        // RFC 1051.
        0xf0 => Ok(NextLayer::Ip(inside)),
        0xf1 => Err(Stop::NotIp(ether::ARP)),
        // RFC 1201: flags, then a sequence number; an exception packet (0xff) repeats the header.
        0xd4 | 0xc4 => {
            let (flags, _) = inside.read("arcnet", |c| c.u8("flags"))?;
            let len = if flags == 0xff { 7 } else { 3 };
            Ok(NextLayer::Ip(inside.skip(len, "arcnet", "sequence number")?))
        }
        0xd5 => Err(Stop::NotIp(ether::ARP)),
        0xd6 => Err(Stop::NotIp(ether::RARP)),
        0xfa => Err(Stop::NotIp(ether::IPX)),
        _ => Err(Stop::NotIp(0)),
    }
}

/// RFC 2625 §3.1: a network header of two addresses, LLC.
pub(in crate::decode) fn fibre_channel<'b>(_: &mut DecodeState, layer: LayerSlice<'b>) -> LayerResult<'b> {
    Ok(NextLayer::Read(llc, layer.skip(16, "fibre channel", "network header")?))
}

/// Apple's IP over IEEE 1394: two addresses of eight bytes, an EtherType.
pub(in crate::decode) fn ieee1394<'b>(_: &mut DecodeState, layer: LayerSlice<'b>) -> LayerResult<'b> {
    let (number, inside) = layer.read("ieee 1394", |c| {
        c.skip(16, "addresses")?;
        c.u16("ether type")
    })?;
    Ok(NextLayer::EtherType(number, inside))
}

/// SunATM: flags, path and channel; the lower half of the flags is the payload type.
pub(in crate::decode) fn sunatm<'b>(_: &mut DecodeState, layer: LayerSlice<'b>) -> LayerResult<'b> {
    let (flags, inside) = layer.read("sunatm", |c| {
        let flags = c.u8("flags")?;
        c.skip(3, "path and channel")?;
        Ok(flags)
    })?;
    match flags & 0x0f {
        // LAN emulation: two bytes of client ID, then Ethernet.
        1 => Ok(NextLayer::Read(ethernet::read, inside.skip(2, "lane", "client id")?)),
        2 => Ok(NextLayer::Read(llc, inside)),
        _ => Err(Stop::NotIp(0)),
    }
}

/// Classical IP over ATM on Linux: with LLC (RFC 2225) or without.
pub(in crate::decode) fn clip<'b>(_: &mut DecodeState, layer: LayerSlice<'b>) -> LayerResult<'b> {
    match layer.peek(0) {
        Some(0xaaaa) => Ok(NextLayer::Read(llc, layer)),
        _ => Ok(NextLayer::Ip(layer)),
    }
}

/// RFC 4391 §6, after the receiver's address: an EtherType, two reserved bytes.
pub(in crate::decode) fn infiniband<'b>(_: &mut DecodeState, layer: LayerSlice<'b>) -> LayerResult<'b> {
    let (number, inside) = layer.read("ip over infiniband", |c| {
        c.skip(40, "addresses")?;
        let number = c.u16("ether type")?;
        c.skip(2, "reserved")?;
        Ok(number)
    })?;
    Ok(NextLayer::EtherType(number, inside))
}
