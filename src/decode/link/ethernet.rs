//! Reads Ethernet, and what switches, cards and analysers put before or into it.
//!
//! In:  a frame.
//! Out: its ether type, or LLC.
//! Not: what an ether type says.

use crate::base::Cursor;

use super::super::packet::LayerKind;
use super::super::view::Next;
use super::super::view::Stop;
use super::super::view::View;
use super::super::view::Walk;
use super::lan;

/// IEEE 802.3 §3.1.1: two addresses, then a type or a length.
pub(in crate::decode) fn read<'b>(walk: &mut Walk, view: View<'b>) -> Result<Next<'b>, Stop> {
    let ((first, number), inside) = view.read("ethernet", |c| {
        let first = c.u24("addresses")?;
        let more = c.u16("addresses")?;
        c.skip(7, "addresses")?;
        Ok(((first, more), c.u16("ether type")?))
    })?;
    if is_isl(first) {
        return isl(walk, view);
    }
    type_or_length(number, inside)
}

/// The 24 bits and the 16 bits that an ISL frame begins with: a multicast address of Cisco.
const fn is_isl((first, more): (u32, u16)) -> bool {
    matches!(first, 0x01000c | 0x03000c) && more == 0
}

/// Cisco ISL: 26 bytes before the whole frame, the VLAN in 15 bits near their end.
fn isl<'b>(walk: &mut Walk, view: View<'b>) -> Result<Next<'b>, Stop> {
    let (vlan, inside) = view.read("isl", |c| {
        c.skip(20, "addresses and length")?;
        let vlan = c.u16("vlan")? >> 1;
        c.skip(4, "index")?;
        Ok(vlan)
    })?;
    walk.tag(LayerKind::Vlan, u32::from(vlan))?;
    Ok(Next::Read(read, inside))
}

/// IEEE 802.3 §3.2.6: 1536 and more are types; up to 1500, lengths. What lies between is neither, but kernels take it for a
/// length: a full packet behind SNAP says 1508.
#[inline]
pub(in crate::decode) fn type_or_length<'b>(number: u16, inside: View<'b>) -> Result<Next<'b>, Stop> {
    match number {
        0x600.. => Ok(Next::EtherType(number, inside)),
        // Novell's own frames begin with an IPX checksum that is never set.
        0..=1500 if inside.peek(0) == Some(0xffff) => Err(Stop::NotIp(0x8137)),
        // Some cards hand frames up that were not yet cut to size, with a length of 0.
        0 => Ok(Next::Read(lan::llc, inside)),
        1..=1500 => Ok(Next::Read(lan::llc, inside.at_most(usize::from(number)))),
        _ if inside.peek(0) == Some(0xaaaa) => Ok(Next::Read(lan::llc, inside.at_most(usize::from(number)))),
        _ => Err(Stop::NotIp(number)),
    }
}

/// Whether these bytes look like an Ethernet frame: its type has a row, or its length is one.
pub(in crate::decode) fn is_likely(view: View<'_>) -> bool {
    match view.peek(12) {
        Some(0) | None => false,
        Some(len @ 1..=1500) => usize::from(len) <= view.wire.saturating_sub(14),
        Some(number) => super::super::ether::name(number).is_some(),
    }
}

/// IEEE 802.3br mPackets: seven bytes of preamble and a delimiter; only whole express frames (0xd5) can be read.
pub(in crate::decode) fn mpacket<'b>(_: &mut Walk, view: View<'b>) -> Result<Next<'b>, Stop> {
    let (delimiter, inside) = view.read("mpacket", |c| {
        // The preamble of a continuation is one byte shorter, its delimiter one byte earlier.
        c.skip(7, "preamble")?;
        c.u8("delimiter")
    })?;
    match delimiter {
        0xd5 => Ok(Next::Read(read, inside)),
        _ => Err(Stop::Unreadable("preempted frame")),
    }
}

/// netANALYZER: four bytes before the frame.
pub(in crate::decode) fn netanalyzer<'b>(_: &mut Walk, view: View<'b>) -> Result<Next<'b>, Stop> {
    Ok(Next::Read(read, view.skip(4, "netanalyzer", "header")?))
}

/// netANALYZER with the preamble: four and eight bytes.
pub(in crate::decode) fn netanalyzer_transparent<'b>(_: &mut Walk, view: View<'b>) -> Result<Next<'b>, Stop> {
    Ok(Next::Read(read, view.skip(12, "netanalyzer", "header")?))
}

/// A switch's tag of four bytes before the frame.
pub(in crate::decode) fn tag_before<'b>(_: &mut Walk, view: View<'b>) -> Result<Next<'b>, Stop> {
    Ok(Next::Read(read, view.skip(4, "switch tag", "tag")?))
}

/// A switch's tag of four bytes between the addresses and the type.
pub(in crate::decode) fn tag_4<'b>(_: &mut Walk, view: View<'b>) -> Result<Next<'b>, Stop> {
    tagged(view, 4)
}

/// A switch's tag of eight bytes between the addresses and the type.
pub(in crate::decode) fn tag_8<'b>(_: &mut Walk, view: View<'b>) -> Result<Next<'b>, Stop> {
    tagged(view, 8)
}

fn tagged(view: View<'_>, len: usize) -> Result<Next<'_>, Stop> {
    let (number, inside) = view.read("switch tag", |c: &mut Cursor<'_>| {
        c.skip(12, "addresses")?;
        c.skip(len, "tag")?;
        c.u16("ether type")
    })?;
    type_or_length(number, inside)
}

/// Juniper's cookie: magic `MGC`, flags, an optional length of extensions; then Ethernet, if bit 2 does not say that
/// the layer is missing.
pub(in crate::decode) fn juniper<'b>(_: &mut Walk, view: View<'b>) -> Result<Next<'b>, Stop> {
    let ((magic, flags), inside) = view.read("juniper", |c| {
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
        return Err(view.broken("juniper", "magic"));
    }
    if flags & 0x02 != 0 {
        return Ok(Next::Ip(inside));
    }
    Ok(Next::Read(read, inside))
}
