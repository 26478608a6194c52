//! Reads GRE and what mirrors, switches and dial-in servers put into it.
//!
//! In:  the inside of an IP packet of protocol 47.
//! Out: the ether type inside, PPP, Ethernet.
//! Not: sequence numbers and keys as such.

use super::super::ether;
use super::super::link::ethernet;
use super::super::link::serial;
use super::super::link::wlan;
use super::super::packet::LayerKind;
use super::super::view::Next;
use super::super::view::Stop;
use super::super::view::View;
use super::super::view::Walk;
use super::carried;

/// RFC 2784 §2.1, RFC 2890 §2, RFC 1701 §1.
mod flag {
    pub(super) const CHECKSUM: u16 = 0x8000;
    pub(super) const ROUTING: u16 = 0x4000;
    pub(super) const KEY: u16 = 0x2000;
    pub(super) const SEQUENCE: u16 = 0x1000;
    /// RFC 2637 §4.1, only in version 1.
    pub(super) const ACKNOWLEDGEMENT: u16 = 0x0080;
}

const PPP: u16 = 0x880b;
const BRIDGED: u16 = 0x6558;
const ERSPAN_2: u16 = 0x88be;
const ERSPAN_3: u16 = 0x22eb;
const WCCP: u16 = 0x883e;
/// Cisco's TrustSec metadata.
const METADATA: u16 = 0x8909;
/// MikroTik's Ethernet over IP borrows version 1.
const EOIP: u16 = 0x6400;

/// The fields of a GRE header.
struct Header {
    flags: u16,
    number: u16,
    key: Option<u32>,
}

/// GRE over IP.
pub(in crate::decode) fn read<'b>(walk: &mut Walk, view: View<'b>) -> Result<Next<'b>, Stop> {
    let (header, inside) = header(view)?;
    match header.flags & 7 {
        0 => version_0(walk, &header, inside),
        1 if header.number == EOIP => eoip(walk, &header, inside),
        1 if header.number == PPP => version_1(walk, &header, inside),
        // Some clouds set the version for no reason.
        1 => version_0(walk, &header, inside),
        _ => Err(Stop::Opaque),
    }
}

/// RFC 8086 §3: the same header; here the version must be right.
pub(in crate::decode) fn over_udp<'b>(walk: &mut Walk, view: View<'b>) -> Result<Next<'b>, Stop> {
    let (header, inside) = header(view)?;
    match header.flags & 7 {
        0 => version_0(walk, &header, inside),
        _ => Err(Stop::Opaque),
    }
}

fn header(view: View<'_>) -> Result<(Header, View<'_>), Stop> {
    view.read("gre", |c| {
        let flags = c.u16("flags")?;
        let number = c.u16("protocol")?;
        let version_0 = flags & 7 == 0;
        if version_0 && flags & (flag::CHECKSUM | flag::ROUTING) != 0 {
            c.skip(4, "checksum and offset")?;
        }
        let key = if flags & flag::KEY != 0 { Some(c.u32("key")?) } else { None };
        if flags & flag::SEQUENCE != 0 {
            c.skip(4, "sequence number")?;
        }
        if !version_0 && flags & flag::ACKNOWLEDGEMENT != 0 {
            c.skip(4, "acknowledgement number")?;
        }
        if version_0 && flags & flag::ROUTING != 0 {
            // RFC 1701 §1: entries until one of family 0 and length 0; each round takes four bytes.
            loop {
                let family = c.u16("route family")?;
                c.skip(1, "route offset")?;
                let len = c.u8("route length")?;
                if family == 0 && len == 0 {
                    break;
                }
                c.skip(usize::from(len), "route")?;
            }
        }
        Ok(Header { flags, number, key })
    })
}

fn version_0<'b>(walk: &mut Walk, header: &Header, inside: View<'b>) -> Result<Next<'b>, Stop> {
    let key = header.key.unwrap_or_default();
    match header.number {
        ERSPAN_2 => erspan_2(walk, header, inside),
        ERSPAN_3 => erspan(walk, inside),
        BRIDGED => {
            match header.key {
                // RFC 7637 §3.2: only the key bit is set; 24 bits of network, from 4096 on, and 8 of flow.
                Some(key) if header.flags == flag::KEY && key >> 20 != 0 => {
                    walk.tunnel(LayerKind::Nvgre, key >> 8)?;
                }
                Some(key) => walk.tunnel(LayerKind::Other("gretap"), key)?,
                None => walk.tunnel(LayerKind::Other("gretap"), 0)?,
            }
            Ok(Next::Read(ethernet::read, inside))
        }
        WCCP => {
            walk.tunnel(LayerKind::Gre, key)?;
            // WCCP 2 puts four bytes before the packet, version 1 none; IPv4 begins with 0x45 and up.
            let packet = if inside.nibble() == Some(4) { inside } else { inside.after(4) };
            Ok(Next::Ip(packet))
        }
        // Aruba's access points mirror 802.11 with these.
        0x8200..=0x83ff => {
            walk.tunnel(LayerKind::Gre, key)?;
            Ok(Next::Read(wlan::from_controller, inside))
        }
        METADATA => {
            walk.tunnel(LayerKind::Gre, key)?;
            // In GRE the next type stands first.
            let (number, inside) = inside.read("metadata", |c| {
                let number = c.u16("ether type")?;
                c.skip(1, "version")?;
                let words = usize::from(c.u8("length")?);
                c.skip(words.max(1) * 4, "options")?;
                Ok(number)
            })?;
            Ok(carried(number, inside))
        }
        number if ether::name(number).is_some() => {
            walk.tunnel(LayerKind::Gre, key)?;
            Ok(carried(number, inside))
        }
        _ => Err(Stop::Opaque),
    }
}

/// RFC 2637 §4.1: PPP. The key is payload length and call id. Without payload it only acknowledges.
fn version_1<'b>(walk: &mut Walk, header: &Header, inside: View<'b>) -> Result<Next<'b>, Stop> {
    if header.flags & flag::SEQUENCE == 0 {
        return Err(Stop::Opaque);
    }
    let key = header.key.unwrap_or_default();
    walk.tunnel(LayerKind::Gre, key & 0xffff)?;
    Ok(Next::Read(serial::ppp, inside.at_most((key >> 16) as usize)))
}

/// The key is a length and a little-endian tunnel id.
fn eoip<'b>(walk: &mut Walk, header: &Header, inside: View<'b>) -> Result<Next<'b>, Stop> {
    let key = header.key.unwrap_or_default();
    if key >> 16 == 0 {
        return Err(Stop::Opaque);
    }
    walk.tunnel(LayerKind::Other("eoip"), u32::from((key as u16).swap_bytes()))?;
    Ok(Next::Read(ethernet::read, inside))
}

/// Type II has a sequence number and a header; type I has neither (draft-foschiano-erspan §4).
fn erspan_2<'b>(walk: &mut Walk, header: &Header, inside: View<'b>) -> Result<Next<'b>, Stop> {
    if header.flags & flag::SEQUENCE != 0 {
        return erspan(walk, inside);
    }
    walk.tunnel(LayerKind::Erspan, 0)?;
    Ok(Next::Read(ethernet::read, inside))
}

/// Types II (version 1) and III (version 2): version, VLAN, class, session, and more; type III may have eight bytes
/// for its platform (draft-foschiano-erspan §4.2, §4.3).
pub(in crate::decode) fn erspan<'b>(walk: &mut Walk, view: View<'b>) -> Result<Next<'b>, Stop> {
    let ((version, session, flags), inside) = view.read("erspan", |c| {
        let version = c.u16("version")? >> 12;
        let session = c.u16("session")? & 0x3ff;
        let mut flags = 0;
        if version == 2 {
            c.skip(4, "time stamp")?;
            c.skip(2, "group tag")?;
            flags = c.u16("flags")?;
            c.skip(if flags & 1 == 1 { 8 } else { 0 }, "platform header")?;
        } else {
            c.skip(4, "index")?;
        }
        Ok((version, session, flags))
    })?;
    walk.tunnel(LayerKind::Erspan, u32::from(session))?;
    match (version, flags >> 10 & 0x1f) {
        // Five bits of frame type in type III: 0 Ethernet, 2 IP.
        (1, _) | (2, 0) => Ok(Next::Read(ethernet::read, inside)),
        (2, 2) => Ok(Next::Ip(inside)),
        _ => Err(Stop::Opaque),
    }
}
