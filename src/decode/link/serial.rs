//! Reads PPP, HDLC, frame relay and SLIP.
//!
//! In:  a frame of a serial line, or PPP from a tunnel.
//! Out: IP, an ether type, or a bridged frame.
//! Not: the control protocols, and what PPP compressed or encrypted.

use super::super::ether;
use super::super::tunnel::mpls;
use super::super::view::Next;
use super::super::view::Stop;
use super::super::view::View;
use super::super::view::Walk;
use super::ethernet;
use super::lan;

/// PPP (RFC 1661 §2), with or without HDLC's address and control (RFC 1662 §3.1), its protocol in one byte or two.
pub(in crate::decode) fn ppp<'b>(_: &mut Walk, view: View<'b>) -> Result<Next<'b>, Stop> {
    let framed = match view.peek(0) {
        Some(0xff03) => view.after(2),
        // Cisco's frames on a line that the capture calls PPP.
        Some(0x0f00 | 0x8f00) => return cisco(view.after(2)),
        _ => view,
    };
    let (number, inside) = framed.read("ppp", |c| {
        let first = c.u8("protocol")?;
        // RFC 1661 §6.5: an odd first byte is the whole number.
        if first & 1 == 1 {
            return Ok(u16::from(first));
        }
        Ok(u16::from(first) << 8 | u16::from(c.u8("protocol")?))
    })?;
    match number {
        0x0021 => Ok(Next::Ip(inside)),
        0x0057 => Ok(Next::Ip(inside)),
        // RFC 3032 §4.
        0x0281 | 0x0283 => Ok(Next::Read(mpls::read, inside)),
        // RFC 3518 §4.2: flags, MAC type 1 for Ethernet.
        0x0031 if inside.peek(0).is_some_and(|flags| flags & 0xff == 1) => {
            Ok(Next::Read(ethernet::read, inside.after(2)))
        }
        0x002d | 0x002f => Err(Stop::Unreadable("compressed tcp header")),
        0x0061 | 0x2061 | 0x0003 | 0x0005 => Err(Stop::Unreadable("compressed header")),
        0x00fb | 0x00fd => Err(Stop::Unreadable("compressed or encrypted ppp")),
        0x0053 | 0x0055 => Err(Stop::Unreadable("encrypted ppp")),
        0x003d => multilink(inside),
        _ => Err(Stop::NotIp(ether::PPP)),
    }
}

/// RFC 1990 §3: a fragment that is begin and end at once is a whole packet. Long sequence numbers are the default.
fn multilink(view: View<'_>) -> Result<Next<'_>, Stop> {
    let (flags, inside) = view.read("ppp multilink", |c| c.u32("sequence number"))?;
    if flags >> 30 == 3 {
        return Ok(Next::Read(ppp, inside));
    }
    Err(Stop::Unreadable("ppp multilink fragment"))
}

/// LINKTYPE_PPP_PPPD: a direction, where HDLC's address would be.
pub(in crate::decode) fn ppp_pppd<'b>(walk: &mut Walk, view: View<'b>) -> Result<Next<'b>, Stop> {
    match view.peek(0) {
        Some(0xff03) => ppp(walk, view),
        Some(0x0003 | 0x0103) => Ok(Next::Read(ppp, view.after(2))),
        _ => ppp_with_direction(walk, view),
    }
}

/// LINKTYPE_PPP_WITH_DIR: a byte of direction.
pub(in crate::decode) fn ppp_with_direction<'b>(_: &mut Walk, view: View<'b>) -> Result<Next<'b>, Stop> {
    Ok(Next::Read(ppp, view.skip(1, "ppp", "direction")?))
}

/// LINKTYPE_C_HDLC: address, control, ether type.
pub(in crate::decode) fn cisco_hdlc<'b>(_: &mut Walk, view: View<'b>) -> Result<Next<'b>, Stop> {
    cisco(view.skip(2, "cisco hdlc", "address")?)
}

fn cisco(view: View<'_>) -> Result<Next<'_>, Stop> {
    let (number, inside) = view.read("cisco hdlc", |c| c.u16("protocol"))?;
    match number {
        0x0600.. => Ok(Next::EtherType(number, inside)),
        _ => Err(Stop::NotIp(number)),
    }
}

/// LINKTYPE_C_HDLC_WITH_DIR: a byte of direction.
pub(in crate::decode) fn cisco_hdlc_with_direction<'b>(
    _: &mut Walk,
    view: View<'b>,
) -> Result<Next<'b>, Stop> {
    Ok(Next::Read(cisco_hdlc, view.skip(1, "cisco hdlc", "direction")?))
}

/// LINKTYPE_FRELAY (RFC 2427): an address of two to four bytes; then control and protocol, or Cisco's ether type.
pub(in crate::decode) fn frame_relay<'b>(_: &mut Walk, view: View<'b>) -> Result<Next<'b>, Stop> {
    let ((), inside) = view.read("frame relay", |c| {
        // Q.922 §3.2: the lowest bit of the last byte of an address is set; four bytes are the most.
        for _ in 0..4 {
            if c.u8("address")? & 1 == 1 {
                break;
            }
        }
        Ok(())
    })?;
    let (control, behind) = inside.read("frame relay", |c| c.u8("control"))?;
    if control != 3 {
        return cisco(inside);
    }
    let ((number, _), behind) = behind.read("frame relay", |c| {
        // RFC 2427 §3: a byte of padding may stand before the protocol.
        match c.u8("protocol")? {
            0 => Ok((c.u8("protocol")?, true)),
            number => Ok((number, false)),
        }
    })?;
    match number {
        0xcc => Ok(Next::Ip(behind)),
        0x8e => Ok(Next::Ip(behind)),
        0x80 => lan::snap(behind),
        0xcf => Ok(Next::Read(ppp, behind)),
        _ => Err(Stop::NotIp(0)),
    }
}

/// LINKTYPE_FRELAY_WITH_DIR: a byte of direction.
pub(in crate::decode) fn frame_relay_with_direction<'b>(
    _: &mut Walk,
    view: View<'b>,
) -> Result<Next<'b>, Stop> {
    Ok(Next::Read(frame_relay, view.skip(1, "frame relay", "direction")?))
}

/// LINKTYPE_SLIP: a direction and fifteen bytes of what a compressed header was; then IP.
pub(in crate::decode) fn slip<'b>(_: &mut Walk, view: View<'b>) -> Result<Next<'b>, Stop> {
    let (direction, inside) = view.read("slip", |c| {
        let direction = c.u8("direction")?;
        c.skip(15, "header")?;
        Ok(direction)
    })?;
    if direction > 1 && matches!(view.nibble(), Some(4 | 6)) {
        return Ok(Next::Ip(view));
    }
    // RFC 1144 §3.2.2: a first byte with other upper bits is a compressed packet.
    match inside.nibble() {
        Some(4 | 6) => Ok(Next::Ip(inside)),
        _ => Err(Stop::Unreadable("compressed tcp header")),
    }
}
