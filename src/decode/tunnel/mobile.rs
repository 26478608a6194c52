//! Reads GTP-U, Teredo and LISP.
//!
//! In:  the payload of a UDP packet on one of their ports.
//! Out: the IP packet inside.
//! Not: their control messages, which stay plain UDP.

use super::super::ip;
use super::super::ip::Version;
use super::super::packet::LayerKind;
use super::super::view::Next;
use super::super::view::Stop;
use super::super::view::View;
use super::super::view::Walk;

/// 3GPP TS 29.281 §5.1: version 1, protocol type 1; message 255 carries a packet.
pub(in crate::decode) fn gtp_u<'b>(walk: &mut Walk, view: View<'b>) -> Result<Next<'b>, Stop> {
    let ((flags, message, len, id), rest) = view.read("gtp-u", |c| {
        Ok((c.u8("flags")?, c.u8("message type")?, c.u16("length")?, c.u32("tunnel id")?))
    })?;
    if flags & 0xf0 != 0x30 || message != 0xff {
        return Err(Stop::Opaque);
    }
    let ((), inside) = rest.at_most(usize::from(len)).read("gtp-u", |c| {
        // Any of E, S and PN brings all three optional fields.
        if flags & 0x07 == 0 {
            return Ok(());
        }
        c.skip(3, "sequence number")?;
        let mut next = c.u8("next extension")?;
        // §5.2.1: the length counts words, itself and the next type included; a length of 0 would be no header.
        while flags & 0x04 != 0 && next != 0 {
            let words = usize::from(c.u8("extension length")?).max(1);
            c.skip(words * 4 - 2, "extension")?;
            next = c.u8("next extension")?;
        }
        Ok(())
    })?;
    walk.tunnel(LayerKind::GtpU, id)?;
    match inside.nibble() {
        Some(4 | 6) => Ok(Next::Ip(inside)),
        _ => Err(Stop::Opaque),
    }
}

/// RFC 4380 §5.1.1: authentication (0x0001) and origin (0x0000) before IPv6.
pub(in crate::decode) fn teredo<'b>(walk: &mut Walk, view: View<'b>) -> Result<Next<'b>, Stop> {
    let ((), inside) = view.read("teredo", |c| {
        if starts(c.rest(), 0x0001) {
            c.skip(2, "authentication")?;
            let id_len = usize::from(c.u8("client id length")?);
            let value_len = usize::from(c.u8("authentication length")?);
            c.skip(id_len + value_len + 9, "authentication")?;
        }
        if starts(c.rest(), 0x0000) {
            c.skip(8, "origin")?;
        }
        Ok(())
    })?;
    if inside.nibble() != Some(6) {
        return Err(Stop::Opaque);
    }
    only_ip(walk, LayerKind::Teredo, 0, inside)
}

fn starts(bytes: &[u8], number: u16) -> bool {
    bytes.first_chunk::<2>().is_some_and(|first| u16::from_be_bytes(*first) == number)
}

/// RFC 9300 §5.3: flags, nonce, instance id or locator bits.
pub(in crate::decode) fn lisp<'b>(walk: &mut Walk, view: View<'b>) -> Result<Next<'b>, Stop> {
    let ((flags, instance), inside) = view.read("lisp", |c| {
        let flags = c.u8("flags")?;
        c.skip(3, "nonce")?;
        Ok((flags, c.u32("instance id")? >> 8))
    })?;
    // I: the instance id is present.
    only_ip(walk, LayerKind::Lisp, if flags & 0x08 != 0 { instance } else { 0 }, inside)
}

/// These tunnels have next to no header that could be wrong, so that IP must be right: no longer than the tunnel, unless
/// its checksum is right or the capture was shortened without telling.
fn only_ip<'b>(walk: &mut Walk, kind: LayerKind, id: u32, inside: View<'b>) -> Result<Next<'b>, Stop> {
    let ip = ip::header(inside)?;
    if ip.beyond && !walk.beyond && !(ip.header.version == Version::V4 && ip::checksum_fits(inside)) {
        return Err(Stop::Opaque);
    }
    walk.tunnel(kind, id)?;
    Ok(Next::Ip(inside))
}
