//! Reads PPP, HDLC, frame relay and SLIP.
//!
//! In:  a frame of a serial line, or PPP from a tunnel.
//! Out: IP, an EtherType, or a bridged frame.
//! Not: control protocols, and compressed or encrypted PPP.

use super::super::ether;
use super::super::layer::DecodeState;
use super::super::layer::LayerResult;
use super::super::layer::LayerSlice;
use super::super::layer::NextLayer;
use super::super::layer::Stop;
use super::super::tunnel::mpls;
use super::ethernet;
use super::lan;

/// PPP (RFC 1661 §2), with or without HDLC address and control (RFC 1662 §3.1), with one or two bytes of protocol.
pub(in crate::decode) fn ppp<'b>(_: &mut DecodeState, layer: LayerSlice<'b>) -> LayerResult<'b> {
    let framed = match layer.peek(0) {
        Some(0xff03) => layer.after(2),
        // Cisco HDLC on a line with link type PPP.
        Some(0x0f00 | 0x8f00) => return cisco(layer.after(2)),
        _ => layer,
    };
    let (number, inside) = framed.read("ppp", |c| {
        let first = c.u8("protocol")?;
        // RFC 1661 §6.5: an odd first byte is the whole protocol number.
        if first & 1 == 1 {
            return Ok(u16::from(first));
        }
        Ok(u16::from(first) << 8 | u16::from(c.u8("protocol")?))
    })?;
    match number {
        0x0021 | 0x0057 => Ok(NextLayer::Ip(inside)),
        // RFC 3032 §4.
        0x0281 | 0x0283 => Ok(NextLayer::Read(mpls::read, inside)),
        // RFC 3518 §4.2: flags, MAC type 1 for Ethernet.
        0x0031 if inside.peek(0).is_some_and(|flags| flags & 0xff == 1) => {
            Ok(NextLayer::Read(ethernet::read, inside.after(2)))
        }
        0x002d | 0x002f => Err(Stop::Unreadable("compressed tcp header")),
        0x0061 | 0x2061 | 0x0003 | 0x0005 => Err(Stop::Unreadable("compressed header")),
        0x00fb | 0x00fd => Err(Stop::Unreadable("compressed or encrypted ppp")),
        0x0053 | 0x0055 => Err(Stop::Unreadable("encrypted ppp")),
        0x003d => multilink(inside),
        _ => Err(Stop::NotIp(ether::PPP)),
    }
}

/// RFC 1990 §3: a fragment with both begin and end is a whole packet. Long sequence numbers are the default.
fn multilink(layer: LayerSlice<'_>) -> LayerResult<'_> {
    let (flags, inside) = layer.read("ppp multilink", |c| c.u32("sequence number"))?;
    if flags >> 30 == 3 {
        return Ok(NextLayer::Read(ppp, inside));
    }
    Err(Stop::Unreadable("ppp multilink fragment"))
}

/// LINKTYPE_PPP_PPPD: a direction in place of the HDLC address.
pub(in crate::decode) fn ppp_pppd<'b>(state: &mut DecodeState, layer: LayerSlice<'b>) -> LayerResult<'b> {
    match layer.peek(0) {
        Some(0xff03) => ppp(state, layer),
        Some(0x0003 | 0x0103) => Ok(NextLayer::Read(ppp, layer.after(2))),
        _ => ppp_with_direction(state, layer),
    }
}

/// LINKTYPE_PPP_WITH_DIR: a byte of direction.
pub(in crate::decode) fn ppp_with_direction<'b>(
    _: &mut DecodeState,
    layer: LayerSlice<'b>,
) -> LayerResult<'b> {
    Ok(NextLayer::Read(ppp, layer.skip(1, "ppp", "direction")?))
}

/// LINKTYPE_C_HDLC: address, control, EtherType.
pub(in crate::decode) fn cisco_hdlc<'b>(_: &mut DecodeState, layer: LayerSlice<'b>) -> LayerResult<'b> {
    cisco(layer.skip(2, "cisco hdlc", "address")?)
}

fn cisco(layer: LayerSlice<'_>) -> LayerResult<'_> {
    let (number, inside) = layer.read("cisco hdlc", |c| c.u16("protocol"))?;
    match number {
        0x0600.. => Ok(NextLayer::EtherType(number, inside)),
        _ => Err(Stop::NotIp(number)),
    }
}

/// LINKTYPE_C_HDLC_WITH_DIR: a byte of direction.
pub(in crate::decode) fn cisco_hdlc_with_direction<'b>(
    _: &mut DecodeState,
    layer: LayerSlice<'b>,
) -> LayerResult<'b> {
    Ok(NextLayer::Read(cisco_hdlc, layer.skip(1, "cisco hdlc", "direction")?))
}

/// LINKTYPE_FRELAY (RFC 2427): an address of two to four bytes; then control and protocol, or Cisco's EtherType.
pub(in crate::decode) fn frame_relay<'b>(_: &mut DecodeState, layer: LayerSlice<'b>) -> LayerResult<'b> {
    let ((), inside) = layer.read("frame relay", |c| {
        // Q.922 §3.2: the last byte of an address has its lowest bit set; at most four bytes.
        for _ in 0..4 {
            if c.u8("address")? & 1 == 1 {
                break;
            }
        }
        Ok(())
    })?;
    let (control, rest) = inside.read("frame relay", |c| c.u8("control"))?;
    if control != 3 {
        return cisco(inside);
    }
    let (number, rest) = rest.read("frame relay", |c| {
        // RFC 2427 §3: a byte of padding may precede the protocol.
        match c.u8("protocol")? {
            0 => c.u8("protocol"),
            number => Ok(number),
        }
    })?;
    match number {
        0xcc | 0x8e => Ok(NextLayer::Ip(rest)),
        0x80 => lan::snap(rest),
        0xcf => Ok(NextLayer::Read(ppp, rest)),
        _ => Err(Stop::NotIp(0)),
    }
}

/// LINKTYPE_FRELAY_WITH_DIR: a byte of direction.
pub(in crate::decode) fn frame_relay_with_direction<'b>(
    _: &mut DecodeState,
    layer: LayerSlice<'b>,
) -> LayerResult<'b> {
    Ok(NextLayer::Read(frame_relay, layer.skip(1, "frame relay", "direction")?))
}

/// LINKTYPE_SLIP: a direction and fifteen bytes of a compressed header; then IP.
pub(in crate::decode) fn slip<'b>(_: &mut DecodeState, layer: LayerSlice<'b>) -> LayerResult<'b> {
    let (direction, inside) = layer.read("slip", |c| {
        let direction = c.u8("direction")?;
        c.skip(15, "header")?;
        Ok(direction)
    })?;
    if direction > 1 && matches!(layer.nibble(), Some(4 | 6)) {
        return Ok(NextLayer::Ip(layer));
    }
    // RFC 1144 §3.2.2: other upper bits in the first byte are a compressed packet.
    match inside.nibble() {
        Some(4 | 6) => Ok(NextLayer::Ip(inside)),
        _ => Err(Stop::Unreadable("compressed tcp header")),
    }
}
