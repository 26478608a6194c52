//! Reads L2TP data messages.
//!
//! In:  the payload of UDP port 1701, or the inside of IP protocol 115.
//! Out: PPP or Ethernet.
//! Not: control messages, which stay what carries them.

use super::super::link::ethernet;
use super::super::link::serial;
use super::super::packet::LayerKind;
use super::super::view::Next;
use super::super::view::Stop;
use super::super::view::View;
use super::super::view::Walk;

/// RFC 2661 §3.1: T control, L length, S sequence numbers, O offset; four bits of version.
pub(in crate::decode) fn over_udp<'b>(walk: &mut Walk, view: View<'b>) -> Result<Next<'b>, Stop> {
    let (flags, rest) = view.read("l2tp", |c| c.u16("flags"))?;
    if flags & 0x8000 != 0 {
        return Err(Stop::Opaque);
    }
    match flags & 0xf {
        2 => version_2(walk, view, flags),
        // RFC 3931 §4.1.2.1: two reserved bytes, then as over IP.
        3 => {
            let (session, inside) = rest.read("l2tp", |c| {
                c.skip(2, "reserved")?;
                c.u32("session")
            })?;
            version_3(walk, session, inside)
        }
        _ => Err(Stop::Opaque),
    }
}

fn version_2<'b>(walk: &mut Walk, view: View<'b>, flags: u16) -> Result<Next<'b>, Stop> {
    let ((len, session), inside) = view.read("l2tp", |c| {
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
    walk.tunnel(LayerKind::L2tp, u32::from(session))?;
    let header = view.wire - inside.wire;
    let inside = match len {
        Some(len) => inside.at_most(usize::from(len).saturating_sub(header)),
        None => inside,
    };
    Ok(Next::Read(serial::ppp, inside))
}

/// RFC 3931 §4.1.1.1: a session id straight in IP; session 0 is control.
pub(in crate::decode) fn over_ip<'b>(walk: &mut Walk, view: View<'b>) -> Result<Next<'b>, Stop> {
    let (session, inside) = view.read("l2tp", |c| c.u32("session"))?;
    if session == 0 {
        return Err(Stop::Opaque);
    }
    version_3(walk, session, inside)
}

/// Cookie (0, 4 or 8 bytes) and sublayer (0 or 4) were agreed on beforehand, as was what is inside: we look where a
/// frame or PPP would make sense.
fn version_3<'b>(walk: &mut Walk, session: u32, inside: View<'b>) -> Result<Next<'b>, Stop> {
    walk.tunnel(LayerKind::L2tp, session)?;
    for len in [0, 4, 8, 12] {
        let candidate = inside.after(len);
        match candidate.peek(0) {
            Some(0xff03) => return Ok(Next::Read(serial::ppp, candidate)),
            _ if ethernet::is_likely(candidate) => return Ok(Next::Read(ethernet::read, candidate)),
            _ => {}
        }
    }
    Err(Stop::Opaque)
}
