//! Reads VXLAN, VXLAN-GPE and GENEVE.
//!
//! In:  the payload of a UDP packet on one of their ports.
//! Out: the frame or packet inside.
//! Not: options.

use super::super::encap_kind::EncapKind;
use super::super::layer::DecodeState;
use super::super::layer::LayerResult;
use super::super::layer::LayerSlice;
use super::super::layer::NextLayer;
use super::super::layer::Stop;
use super::super::link::ethernet;
use super::by_ether_type;
use super::mpls;
use super::nsh;

/// RFC 7348 §5: flags, of which I must be set, and 24 bits of network ID. Extensions use the reserved bits.
pub(in crate::decode) fn vxlan<'b>(state: &mut DecodeState, layer: LayerSlice<'b>) -> LayerResult<'b> {
    let ((flags, vni), inside) = parse_header(layer)?;
    if flags >> 24 & 0x08 == 0 {
        return Err(Stop::Opaque);
    }
    state.push_tunnel(EncapKind::Vxlan, vni)?;
    Ok(NextLayer::Read(ethernet::read, inside))
}

/// draft-ietf-nvo3-vxlan-gpe §3: the fourth byte is the payload type. Not every sender sets the flag for it.
pub(in crate::decode) fn vxlan_gpe<'b>(state: &mut DecodeState, layer: LayerSlice<'b>) -> LayerResult<'b> {
    let ((flags, vni), inside) = parse_header(layer)?;
    // Version 0; I set.
    if flags >> 24 & 0x38 != 0x08 {
        return Err(Stop::Opaque);
    }
    state.push_tunnel(EncapKind::Vxlan, vni)?;
    match flags & 0xff {
        0 => Ok(NextLayer::Read(ethernet::read, inside)),
        1 | 2 => Ok(NextLayer::Ip(inside)),
        3 => Ok(NextLayer::Read(ethernet::read, inside)),
        4 => Ok(NextLayer::Read(nsh::read, inside)),
        5 => Ok(NextLayer::Read(mpls::read, inside)),
        _ => Err(Stop::Opaque),
    }
}

fn parse_header(layer: LayerSlice<'_>) -> Result<((u32, u32), LayerSlice<'_>), Stop> {
    layer.read("vxlan", |c| {
        let flags = c.u32("flags")?;
        let vni = c.u24("network id")?;
        c.skip(1, "reserved")?;
        Ok((flags, vni))
    })
}

/// RFC 8926 §3.4: version 0, length of the options in words, EtherType, 24 bits of network ID.
pub(in crate::decode) fn geneve<'b>(state: &mut DecodeState, layer: LayerSlice<'b>) -> LayerResult<'b> {
    let ((first, number, vni), inside) = layer.read("geneve", |c| {
        let first = c.u8("version")?;
        c.skip(1, "flags")?;
        let number = c.u16("protocol")?;
        let vni = c.u24("network id")?;
        c.skip(1, "reserved")?;
        c.skip(usize::from(first & 0x3f) * 4, "options")?;
        Ok((first, number, vni))
    })?;
    if first >> 6 != 0 {
        return Err(Stop::Opaque);
    }
    state.push_tunnel(EncapKind::Geneve, vni)?;
    Ok(by_ether_type(number, inside))
}
