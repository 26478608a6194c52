//! Reads GTP-U, Teredo and LISP.
//!
//! In:  the payload of a UDP packet on one of their ports.
//! Out: the IP packet inside.
//! Not: their control messages, which stay UDP packets.

use super::super::encap_kind::EncapKind;
use super::super::ip;
use super::super::ip::IpVersion;
use super::super::layer::DecodeState;
use super::super::layer::LayerResult;
use super::super::layer::LayerSlice;
use super::super::layer::NextLayer;
use super::super::layer::Stop;

/// 3GPP TS 29.281 §5.1: version 1, protocol type 1; message 255 carries a packet.
pub(in crate::decode) fn gtp_u<'b>(state: &mut DecodeState, layer: LayerSlice<'b>) -> LayerResult<'b> {
    let ((flags, message, len, id), rest) = layer.read("gtp-u", |c| {
        Ok((c.u8("flags")?, c.u8("message type")?, c.u16("length")?, c.u32("tunnel id")?))
    })?;
    if flags & 0xf0 != 0x30 || message != 0xff {
        return Err(Stop::Opaque);
    }
    let ((), inside) = rest.at_most(usize::from(len)).read("gtp-u", |c| {
        // If any of E, S and PN is set, all three optional fields are present.
        if flags & 0x07 == 0 {
            return Ok(());
        }
        c.skip(3, "sequence number")?;
        let mut next = c.u8("next extension")?;
        // §5.2.1: the length is in words, and includes itself and the next type; 0 is invalid.
        while flags & 0x04 != 0 && next != 0 {
            let words = usize::from(c.u8("extension length")?).max(1);
            c.skip(words * 4 - 2, "extension")?;
            next = c.u8("next extension")?;
        }
        Ok(())
    })?;
    state.push_tunnel(EncapKind::GtpU, id)?;
    match inside.nibble() {
        Some(4 | 6) => Ok(NextLayer::Ip(inside)),
        _ => Err(Stop::Opaque),
    }
}

/// RFC 4380 §5.1.1: authentication (0x0001) and origin (0x0000) before IPv6.
pub(in crate::decode) fn teredo<'b>(state: &mut DecodeState, layer: LayerSlice<'b>) -> LayerResult<'b> {
    let ((), inside) = layer.read("teredo", |c| {
        if starts_with(c.rest(), 0x0001) {
            c.skip(2, "authentication")?;
            let id_len = usize::from(c.u8("client id length")?);
            let value_len = usize::from(c.u8("authentication length")?);
            c.skip(id_len + value_len + 9, "authentication")?;
        }
        if starts_with(c.rest(), 0x0000) {
            c.skip(8, "origin")?;
        }
        Ok(())
    })?;
    if inside.nibble() != Some(6) {
        return Err(Stop::Opaque);
    }
    ip_inside(state, EncapKind::Teredo, 0, inside)
}

fn starts_with(bytes: &[u8], number: u16) -> bool {
    bytes.first_chunk::<2>().is_some_and(|first| u16::from_be_bytes(*first) == number)
}

/// RFC 9300 §5.3: flags, nonce, instance ID or locator bits.
pub(in crate::decode) fn lisp<'b>(state: &mut DecodeState, layer: LayerSlice<'b>) -> LayerResult<'b> {
    let ((flags, instance), inside) = layer.read("lisp", |c| {
        let flags = c.u8("flags")?;
        c.skip(3, "nonce")?;
        Ok((flags, c.u32("instance id")? >> 8))
    })?;
    // I: the instance ID is present.
    ip_inside(state, EncapKind::Lisp, if flags & 0x08 != 0 { instance } else { 0 }, inside)
}

/// The headers of these tunnels have hardly any field to check, so the IP packet must be valid: not longer than the tunnel, unless
/// its checksum is correct, or the capture was truncated without recording the original length.
fn ip_inside<'b>(
    state: &mut DecodeState,
    kind: EncapKind,
    id: u32,
    inside: LayerSlice<'b>,
) -> LayerResult<'b> {
    let ip = ip::parse(inside)?;
    if ip.exceeds_frame
        && !state.exceeds_frame
        && !(ip.header.version == IpVersion::V4 && ip::has_correct_checksum(inside))
    {
        return Err(Stop::Opaque);
    }
    state.push_tunnel(kind, id)?;
    Ok(NextLayer::Ip(inside))
}
