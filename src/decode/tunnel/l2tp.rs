//! Reads L2TP data messages.
//!
//! In:  the payload of UDP port 1701, or of IP protocol 115.
//! Out: PPP or Ethernet.
//! Not: control messages, which stay packets of their carrier.

use super::super::encap_kind::EncapKind;
use super::super::layer::DecodeState;
use super::super::layer::LayerResult;
use super::super::layer::LayerSlice;
use super::super::layer::NextLayer;
use super::super::layer::Stop;
use super::super::link::ethernet;
use super::super::link::serial;

/// RFC 2661 §3.1: T control, L length, S sequence numbers, O offset; four bits of version.
pub(in crate::decode) fn over_udp<'b>(state: &mut DecodeState, layer: LayerSlice<'b>) -> LayerResult<'b> {
    let (flags, rest) = layer.read("l2tp", |c| c.u16("flags"))?;
    if flags & 0x8000 != 0 {
        return Err(Stop::Opaque);
    }
    match flags & 0xf {
        2 => version_2(state, layer, flags),
        // RFC 3931 §4.1.2.1: two reserved bytes, then as over IP.
        3 => {
            let (session, inside) = rest.read("l2tp", |c| {
                c.skip(2, "reserved")?;
                c.u32("session")
            })?;
            version_3(state, session, inside)
        }
        _ => Err(Stop::Opaque),
    }
}

fn version_2<'b>(state: &mut DecodeState, layer: LayerSlice<'b>, flags: u16) -> LayerResult<'b> {
    let ((len, session), inside) = layer.read("l2tp", |c| {
        c.skip(2, "flags")?;
        let len = if flags & 0x4000 != 0 { Some(c.u16("length")?) } else { None };
        c.skip(2, "tunnel")?;
        let session = c.u16("session")?;
        if flags & 0x0800 != 0 {
            c.skip(4, "sequence numbers")?;
        }
        if flags & 0x0200 != 0 {
            let offset = c.u16("offset size")?;
            c.skip(usize::from(offset), "offset padding")?;
        }
        Ok((len, session))
    })?;
    state.push_tunnel(EncapKind::L2tp, u32::from(session))?;
    let header = layer.wire_len - inside.wire_len;
    let inside = match len {
        Some(len) => inside.at_most(usize::from(len).saturating_sub(header)),
        None => inside,
    };
    Ok(NextLayer::Read(serial::ppp, inside))
}

/// RFC 3931 §4.1.1.1: a session ID directly in IP; session 0 is control.
pub(in crate::decode) fn over_ip<'b>(state: &mut DecodeState, layer: LayerSlice<'b>) -> LayerResult<'b> {
    let (session, inside) = layer.read("l2tp", |c| c.u32("session"))?;
    if session == 0 {
        return Err(Stop::Opaque);
    }
    version_3(state, session, inside)
}

/// The lengths of cookie (0, 4 or 8 bytes) and sublayer (0 or 4), and the payload type, were negotiated before: the first length
/// after which a valid frame or PPP starts is used.
fn version_3<'b>(state: &mut DecodeState, session: u32, inside: LayerSlice<'b>) -> LayerResult<'b> {
    state.push_tunnel(EncapKind::L2tp, session)?;
    for len in [0, 4, 8, 12] {
        let candidate = inside.after(len);
        match candidate.peek(0) {
            Some(0xff03) => return Ok(NextLayer::Read(serial::ppp, candidate)),
            _ if ethernet::is_likely(candidate) => return Ok(NextLayer::Read(ethernet::read, candidate)),
            _ => {}
        }
    }
    Err(Stop::Opaque)
}
