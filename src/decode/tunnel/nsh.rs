//! Reads the network service header.
//!
//! In:  what follows ether type 0x894f, or lies in VXLAN-GPE.
//! Out: the frame or packet inside.
//! Not: its metadata.

use super::super::link::ethernet;
use super::super::packet::LayerKind;
use super::super::view::Next;
use super::super::view::Stop;
use super::super::view::View;
use super::super::view::Walk;
use super::mpls;

/// RFC 8300 §2.2, §2.3: six bits count the words of the whole header; then next protocol, service path and index.
pub(in crate::decode) fn read<'b>(walk: &mut Walk, view: View<'b>) -> Result<Next<'b>, Stop> {
    let ((next, path), inside) = view.read("nsh", |c| {
        let first = c.u16("length")?;
        c.skip(1, "metadata type")?;
        let next = c.u8("next protocol")?;
        let path = c.u24("service path")?;
        c.skip(1, "service index")?;
        c.skip((usize::from(first & 0x3f) * 4).saturating_sub(8), "metadata")?;
        Ok((next, path))
    })?;
    walk.tag(LayerKind::Nsh, path)?;
    match next {
        1 => Ok(Next::Ip(inside)),
        2 => Ok(Next::Ip(inside)),
        3 => Ok(Next::Read(ethernet::read, inside)),
        4 => Ok(Next::Read(read, inside)),
        5 => Ok(Next::Read(mpls::read, inside)),
        _ => Err(Stop::NotIp(0x894f)),
    }
}
