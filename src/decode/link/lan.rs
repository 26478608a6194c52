//! Reads LLC and SNAP, and the local networks that carry them: token ring, FDDI, ARCNET, ATM and more.
//!
//! In:  a frame, or what follows a length field.
//! Out: an ether type, a bridged frame or IP.
//! Not: Ethernet and 802.11, which have their own files.

use super::super::view::Next;
use super::super::view::Stop;
use super::super::view::View;
use super::super::view::Walk;
use super::ethernet;

/// IEEE 802.2 §3.2: DSAP, SSAP, control. SNAP (0xaa) goes on with an organisation and a type (RFC 1042).
pub(in crate::decode) fn llc<'b>(_: &mut Walk, view: View<'b>) -> Result<Next<'b>, Stop> {
    let ((dsap, ssap, _), inside) =
        view.read("llc", |c| Ok((c.u8("dsap")?, c.u8("ssap")?, c.u8("control")?)))?;
    match (dsap & 0xfe, ssap & 0xfe) {
        (0xaa, 0xaa) => snap(inside),
        // RFC 948: IP straight on LLC.
        (0x06, 0x06) => Ok(Next::Ip(inside)),
        (0xe0, 0xe0) => Err(Stop::NotIp(0x8137)),
        _ => Err(Stop::NotIp(0)),
    }
}

/// An organisation's code and its type.
pub(super) fn snap(view: View<'_>) -> Result<Next<'_>, Stop> {
    let ((organisation, number), inside) =
        view.read("snap", |c| Ok((c.u24("organisation")?, c.u16("type")?)))?;
    match (organisation, number) {
        // RFC 1042, IEEE 802.1H: both carry ether types. Cisco's own types are none.
        (0x00_0000 | 0x00_00f8, _) => Ok(Next::EtherType(number, inside)),
        // RFC 2684 §5.2: bridged Ethernet, with (1) and without (7) its check sum. ATM puts two bytes of padding first.
        (0x00_80c2, 1 | 7) if inside.peek(0) == Some(0) && ethernet::is_likely(inside.after(2)) => {
            Ok(Next::Read(ethernet::read, inside.after(2)))
        }
        (0x00_80c2, 1 | 7) => Ok(Next::Read(ethernet::read, inside)),
        (0x00_000c, 0x2000..) => Err(Stop::NotIp(number)),
        _ => Err(Stop::NotIp(0)),
    }
}

/// IEEE 802.5: access and frame control, addresses, an optional route, LLC.
pub(in crate::decode) fn token_ring<'b>(_: &mut Walk, view: View<'b>) -> Result<Next<'b>, Stop> {
    let ((control, source), inside) = view.read("token ring", |c| {
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
    // The group bit of the source says that a route follows; five bits of its first byte are its length.
    if source & 0x80 == 0 || inside.peek(0).is_some_and(|sap| sap & 0xfefe == 0xaaaa) {
        return Ok(Next::Read(llc, inside));
    }
    let (len, _) = inside.read("token ring", |c| c.u8("route"))?;
    Ok(Next::Read(llc, inside.skip(usize::from(len & 0x1f), "token ring", "route")?))
}

/// ISO 9314-2: frame control, addresses, LLC.
pub(in crate::decode) fn fddi<'b>(_: &mut Walk, view: View<'b>) -> Result<Next<'b>, Stop> {
    let (control, inside) = view.read("fddi", |c| {
        let control = c.u8("frame control")?;
        c.skip(12, "addresses")?;
        Ok(control)
    })?;
    // 0x50 to 0x57 asynchronous, 0xd0 synchronous LLC.
    match control & 0x70 {
        0x50 => Ok(Next::Read(llc, inside)),
        _ => Err(Stop::NotIp(0)),
    }
}

/// ARCNET as BSD hands it up: source, destination, type, and for the types of RFC 1201 flags and a sequence number.
pub(in crate::decode) fn arcnet<'b>(_: &mut Walk, view: View<'b>) -> Result<Next<'b>, Stop> {
    arcnet_type(view.skip(2, "arcnet", "addresses")?)
}

/// ARCNET as Linux hands it up: two more bytes of offset.
pub(in crate::decode) fn arcnet_linux<'b>(_: &mut Walk, view: View<'b>) -> Result<Next<'b>, Stop> {
    arcnet_type(view.skip(4, "arcnet", "addresses")?)
}

fn arcnet_type(view: View<'_>) -> Result<Next<'_>, Stop> {
    let (kind, inside) = view.read("arcnet", |c| c.u8("type"))?;
    match kind {
        // RFC 1051.
        0xf0 => Ok(Next::Ip(inside)),
        0xf1 => Err(Stop::NotIp(0x0806)),
        // RFC 1201: flags, then a sequence number; an exception packet (0xff) repeats the header.
        0xd4 | 0xc4 => {
            let (flags, _) = inside.read("arcnet", |c| c.u8("flags"))?;
            let len = if flags == 0xff { 7 } else { 3 };
            Ok(Next::Ip(inside.skip(len, "arcnet", "sequence number")?))
        }
        0xd5 => Err(Stop::NotIp(0x0806)),
        0xd6 => Err(Stop::NotIp(0x8035)),
        0xfa => Err(Stop::NotIp(0x8137)),
        _ => Err(Stop::NotIp(0)),
    }
}

/// RFC 2625 §3.1: a network header of two addresses, LLC.
pub(in crate::decode) fn fibre_channel<'b>(_: &mut Walk, view: View<'b>) -> Result<Next<'b>, Stop> {
    Ok(Next::Read(llc, view.skip(16, "fibre channel", "network header")?))
}

/// Apple's IP over IEEE 1394: two addresses of eight bytes, an ether type.
pub(in crate::decode) fn ieee1394<'b>(_: &mut Walk, view: View<'b>) -> Result<Next<'b>, Stop> {
    let (number, inside) = view.read("ieee 1394", |c| {
        c.skip(16, "addresses")?;
        c.u16("ether type")
    })?;
    Ok(Next::EtherType(number, inside))
}

/// SunATM: flags, path and channel; the flags' lower half says what follows.
pub(in crate::decode) fn sunatm<'b>(_: &mut Walk, view: View<'b>) -> Result<Next<'b>, Stop> {
    let (flags, inside) = view.read("sunatm", |c| {
        let flags = c.u8("flags")?;
        c.skip(3, "path and channel")?;
        Ok(flags)
    })?;
    match flags & 0x0f {
        // LAN emulation: two bytes of client id, then Ethernet.
        1 => Ok(Next::Read(ethernet::read, inside.skip(2, "lane", "client id")?)),
        2 => Ok(Next::Read(llc, inside)),
        _ => Err(Stop::NotIp(0)),
    }
}

/// Classical IP over ATM on Linux: with LLC (RFC 2225) or without.
pub(in crate::decode) fn clip<'b>(_: &mut Walk, view: View<'b>) -> Result<Next<'b>, Stop> {
    match view.peek(0) {
        Some(0xaaaa) => Ok(Next::Read(llc, view)),
        _ => Ok(Next::Ip(view)),
    }
}

/// RFC 4391 §6 behind the receiver's address: an ether type, two reserved bytes.
pub(in crate::decode) fn infiniband<'b>(_: &mut Walk, view: View<'b>) -> Result<Next<'b>, Stop> {
    let (number, inside) = view.read("ip over infiniband", |c| {
        c.skip(40, "addresses")?;
        let number = c.u16("ether type")?;
        c.skip(2, "reserved")?;
        Ok(number)
    })?;
    Ok(Next::EtherType(number, inside))
}
