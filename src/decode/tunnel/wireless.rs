//! Reads CAPWAP data and TZSP.
//!
//! In:  the payload of a UDP packet on one of their ports.
//! Out: the Ethernet or 802.11 frame inside.
//! Not: control messages and keep-alives, which stay plain UDP.

use crate::capture::LinkType;

use super::super::link::ethernet;
use super::super::link::wlan;
use super::super::packet::LayerKind;
use super::super::view::Next;
use super::super::view::Stop;
use super::super::view::View;
use super::super::view::Walk;

/// RFC 5415 §4.3: a preamble of 0 (1 would be DTLS); words of header, binding, flags.
pub(in crate::decode) fn capwap<'b>(walk: &mut Walk, view: View<'b>) -> Result<Next<'b>, Stop> {
    let ((preamble, fields), _) = view.read("capwap", |c| Ok((c.u8("preamble")?, c.u24("header")?)))?;
    let header_len = (fields >> 19) as usize * 4;
    let radio = fields >> 14 & 0x1f;
    let (fragment, keep_alive) = (fields & 0x80 != 0, fields & 0x08 != 0);
    if preamble != 0 || header_len < 8 || fragment || keep_alive {
        return Err(Stop::Opaque);
    }
    walk.tunnel(LayerKind::Capwap, radio)?;
    let inside = view.skip(header_len, "capwap", "header")?;
    // T: the native frame of the binding, of which 1 is 802.11 (RFC 5416); else 802.3.
    match (fields & 0x100 != 0, fields >> 9 & 0x1f) {
        (false, _) => Ok(Next::Read(ethernet::read, inside)),
        (true, 1) => Ok(Next::Read(wlan::from_controller, inside)),
        _ => Err(Stop::Opaque),
    }
}

/// TZSP: version 1, type 0 (received) or 1 (to send), what is inside; tags until tag 1.
pub(in crate::decode) fn tzsp<'b>(walk: &mut Walk, view: View<'b>) -> Result<Next<'b>, Stop> {
    let ((version, kind, inside_is), inside) = view.read("tzsp", |c| {
        let fields = (c.u8("version")?, c.u8("type")?, c.u16("encapsulation")?);
        // Each round takes a byte at least. Tag 0 is padding without a length.
        loop {
            match c.u8("tag")? {
                0 => {}
                1 => break,
                _ => {
                    let len = c.u8("tag length")?;
                    c.skip(usize::from(len), "tag")?;
                }
            }
        }
        Ok(fields)
    })?;
    if version != 1 || kind > 1 {
        return Err(Stop::Opaque);
    }
    walk.tunnel(LayerKind::Other("tzsp"), 0)?;
    match inside_is {
        1 => Ok(Next::Read(ethernet::read, inside)),
        18 => Ok(Next::Read(wlan::read, inside)),
        119 => Ok(Next::Link(LinkType(119), inside)),
        127 => Ok(Next::Link(LinkType(163), inside)),
        _ => Err(Stop::Opaque),
    }
}
