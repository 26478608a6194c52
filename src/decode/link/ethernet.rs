//! Reads Ethernet, and the tags and headers that switches, network cards and analysers add to it.
//!
//! In:  a frame.
//! Out: its EtherType, or LLC.
//! Not: protocols by EtherType; see `ether`.

use crate::base::Cursor;

use super::super::encap_kind::EncapKind;
use super::super::ether;
use super::super::layer::DecodeState;
use super::super::layer::LayerResult;
use super::super::layer::LayerSlice;
use super::super::layer::NextLayer;
use super::super::layer::Stop;
use super::lan;

/// IEEE 802.3 §3.1.1: two addresses, then a type or a length.
pub(in crate::decode) fn read<'b>(state: &mut DecodeState, layer: LayerSlice<'b>) -> LayerResult<'b> {
    let ((first, number), inside) = layer.read("ethernet", |c| {
        let first = c.u24("addresses")?;
        let more = c.u16("addresses")?;
        c.skip(7, "addresses")?;
        Ok(((first, more), c.u16("ether type")?))
    })?;
    if is_isl(first) {
        return isl(state, layer);
    }
    type_or_length(number, inside)
}

/// An ISL frame starts with a Cisco multicast address of 40 bits.
const fn is_isl((first, more): (u32, u16)) -> bool {
    matches!(first, 0x01000c | 0x03000c) && more == 0
}

/// Cisco ISL: 26 bytes before the frame, with 15 bits of VLAN near their end.
fn isl<'b>(state: &mut DecodeState, layer: LayerSlice<'b>) -> LayerResult<'b> {
    let (vlan, inside) = layer.read("isl", |c| {
        c.skip(20, "addresses and length")?;
        let vlan = c.u16("vlan")? >> 1;
        c.skip(4, "index")?;
        Ok(vlan)
    })?;
    state.push_tag(EncapKind::Vlan, u32::from(vlan))?;
    Ok(NextLayer::Read(read, inside))
}

/// IEEE 802.3 §3.2.6: 1536 and more are types; up to 1500 are lengths. The numbers between are neither, but kernels use them
/// as lengths: a packet of 1500 bytes after SNAP has 1508.
#[inline]
pub(in crate::decode) fn type_or_length<'b>(number: u16, inside: LayerSlice<'b>) -> LayerResult<'b> {
    match number {
        0x600.. => Ok(NextLayer::EtherType(number, inside)),
        // Novell's raw 802.3 frames start with an unused IPX checksum.
        0..=1500 if inside.peek(0) == Some(0xffff) => Err(Stop::NotIp(ether::IPX)),
        // With segmentation offload, frames are captured before they are split, with a length of 0.
        0 => Ok(NextLayer::Read(lan::llc, inside)),
        1..=1500 => Ok(NextLayer::Read(lan::llc, inside.at_most(usize::from(number)))),
        _ if inside.peek(0) == Some(0xaaaa) => {
            Ok(NextLayer::Read(lan::llc, inside.at_most(usize::from(number))))
        }
        _ => Err(Stop::NotIp(number)),
    }
}

/// Whether these bytes look like an Ethernet frame: its EtherType is known, or its length is valid.
pub(in crate::decode) fn is_likely(layer: LayerSlice<'_>) -> bool {
    match layer.peek(12) {
        Some(0) | None => false,
        Some(len @ 1..=1500) => usize::from(len) <= layer.wire_len.saturating_sub(14),
        Some(number) => ether::name(number).is_some(),
    }
}

/// IEEE 802.3br mPackets: seven bytes of preamble and a delimiter; only whole express frames (0xd5) can be read.
pub(in crate::decode) fn mpacket<'b>(_: &mut DecodeState, layer: LayerSlice<'b>) -> LayerResult<'b> {
    let (delimiter, inside) = layer.read("mpacket", |c| {
        // In a continuation the preamble is one byte shorter, and the delimiter one byte earlier.
        c.skip(7, "preamble")?;
        c.u8("delimiter")
    })?;
    match delimiter {
        0xd5 => Ok(NextLayer::Read(read, inside)),
        _ => Err(Stop::Unreadable("preempted frame")),
    }
}

/// netANALYZER: four bytes before the frame.
pub(in crate::decode) fn netanalyzer<'b>(_: &mut DecodeState, layer: LayerSlice<'b>) -> LayerResult<'b> {
    Ok(NextLayer::Read(read, layer.skip(4, "netanalyzer", "header")?))
}

/// netANALYZER with the preamble: four and eight bytes.
pub(in crate::decode) fn netanalyzer_transparent<'b>(
    _: &mut DecodeState,
    layer: LayerSlice<'b>,
) -> LayerResult<'b> {
    Ok(NextLayer::Read(read, layer.skip(12, "netanalyzer", "header")?))
}

/// A switch tag of four bytes before the frame.
pub(in crate::decode) fn tag_before<'b>(_: &mut DecodeState, layer: LayerSlice<'b>) -> LayerResult<'b> {
    Ok(NextLayer::Read(read, layer.skip(4, "switch tag", "tag")?))
}

/// A switch tag of four bytes between the addresses and the type.
pub(in crate::decode) fn tag_4<'b>(_: &mut DecodeState, layer: LayerSlice<'b>) -> LayerResult<'b> {
    tagged(layer, 4)
}

/// A switch tag of eight bytes between the addresses and the type.
pub(in crate::decode) fn tag_8<'b>(_: &mut DecodeState, layer: LayerSlice<'b>) -> LayerResult<'b> {
    tagged(layer, 8)
}

fn tagged(layer: LayerSlice<'_>, len: usize) -> LayerResult<'_> {
    let (number, inside) = layer.read("switch tag", |c: &mut Cursor<'_>| {
        c.skip(12, "addresses")?;
        c.skip(len, "tag")?;
        c.u16("ether type")
    })?;
    type_or_length(number, inside)
}

/// Juniper: magic `MGC`, flags, optional extensions with their length; then Ethernet, or IP if bit 1 of the flags is set.
pub(in crate::decode) fn juniper<'b>(_: &mut DecodeState, layer: LayerSlice<'b>) -> LayerResult<'b> {
    let ((magic, flags), inside) = layer.read("juniper", |c| {
        let magic = c.u24("magic")?;
        let flags = c.u8("flags")?;
        if flags & 0x80 != 0 {
            let len = c.u16("extension length")?;
            c.skip(usize::from(len), "extensions")?;
        }
        if flags & 0x02 != 0 {
            c.skip(4, "protocol")?;
        }
        Ok((magic, flags))
    })?;
    if magic != 0x4d_4743 {
        return Err(layer.broken("juniper", "magic"));
    }
    if flags & 0x02 != 0 {
        return Ok(NextLayer::Ip(inside));
    }
    Ok(NextLayer::Read(read, inside))
}
