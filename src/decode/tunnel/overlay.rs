//! Reads VXLAN, VXLAN-GPE and GENEVE.
//!
//! In:  the payload of a UDP packet on one of their ports.
//! Out: the frame or packet inside.
//! Not: options.

use super::super::link::ethernet;
use super::super::packet::LayerKind;
use super::super::view::Next;
use super::super::view::Stop;
use super::super::view::View;
use super::super::view::Walk;
use super::carried;
use super::mpls;
use super::nsh;

/// RFC 7348 §5: flags, of which I must be set, and 24 bits of network id. Extensions use the reserved bits.
pub(in crate::decode) fn vxlan<'b>(walk: &mut Walk, view: View<'b>) -> Result<Next<'b>, Stop> {
    let ((flags, vni), inside) = header(view)?;
    if flags >> 24 & 0x08 == 0 {
        return Err(Stop::Opaque);
    }
    walk.tunnel(LayerKind::Vxlan, vni)?;
    Ok(Next::Read(ethernet::read, inside))
}

/// draft-ietf-nvo3-vxlan-gpe §3: the last of the first four bytes says what is inside; not every sender sets the flag that says so.
pub(in crate::decode) fn vxlan_gpe<'b>(walk: &mut Walk, view: View<'b>) -> Result<Next<'b>, Stop> {
    let ((flags, vni), inside) = header(view)?;
    // Version 0; I set.
    if flags >> 24 & 0x38 != 0x08 {
        return Err(Stop::Opaque);
    }
    walk.tunnel(LayerKind::Vxlan, vni)?;
    match flags & 0xff {
        0 => Ok(Next::Read(ethernet::read, inside)),
        1 => Ok(Next::Ip(inside)),
        2 => Ok(Next::Ip(inside)),
        3 => Ok(Next::Read(ethernet::read, inside)),
        4 => Ok(Next::Read(nsh::read, inside)),
        5 => Ok(Next::Read(mpls::read, inside)),
        _ => Err(Stop::Opaque),
    }
}

fn header(view: View<'_>) -> Result<((u32, u32), View<'_>), Stop> {
    view.read("vxlan", |c| {
        let flags = c.u32("flags")?;
        let vni = c.u24("network id")?;
        c.skip(1, "reserved")?;
        Ok((flags, vni))
    })
}

/// RFC 8926 §3.4: version 0, words of options, ether type, 24 bits of network id.
pub(in crate::decode) fn geneve<'b>(walk: &mut Walk, view: View<'b>) -> Result<Next<'b>, Stop> {
    let ((first, number, vni), inside) = view.read("geneve", |c| {
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
    walk.tunnel(LayerKind::Geneve, vni)?;
    Ok(carried(number, inside))
}
