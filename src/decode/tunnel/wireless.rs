//! Reads CAPWAP data and TZSP.
//!
//! In:  the payload of a UDP packet on one of their ports.
//! Out: the Ethernet or 802.11 frame inside.
//! Not: control messages and keep-alives, which stay UDP packets.

use super::super::encap_kind::EncapKind;
use super::super::layer::DecodeState;
use super::super::layer::LayerResult;
use super::super::layer::LayerSlice;
use super::super::layer::NextLayer;
use super::super::layer::Stop;
use super::super::link::ethernet;
use super::super::link::wlan;

/// RFC 5415 §4.3: a preamble of 0 (1 is DTLS); length of the header in words, binding, flags.
pub(in crate::decode) fn capwap<'b>(state: &mut DecodeState, layer: LayerSlice<'b>) -> LayerResult<'b> {
    let ((preamble, fields), _) = layer.read("capwap", |c| Ok((c.u8("preamble")?, c.u24("header")?)))?;
    let header_len = (fields >> 19) as usize * 4;
    let radio = fields >> 14 & 0x1f;
    let (fragment, keep_alive) = (fields & 0x80 != 0, fields & 0x08 != 0);
    if preamble != 0 || header_len < 8 || fragment || keep_alive {
        return Err(Stop::Opaque);
    }
    state.push_tunnel(EncapKind::Capwap, radio)?;
    let inside = layer.skip(header_len, "capwap", "header")?;
    // T: a native frame of the binding, 1 for 802.11 (RFC 5416); otherwise 802.3.
    match (fields & 0x100 != 0, fields >> 9 & 0x1f) {
        (false, _) => Ok(NextLayer::Read(ethernet::read, inside)),
        (true, 1) => Ok(NextLayer::Read(wlan::from_controller, inside)),
        _ => Err(Stop::Opaque),
    }
}

/// TZSP: version 1, type 0 (received) or 1 (to send), encapsulated protocol; tags until tag 1.
pub(in crate::decode) fn tzsp<'b>(state: &mut DecodeState, layer: LayerSlice<'b>) -> LayerResult<'b> {
    let ((version, kind, protocol), inside) = layer.read("tzsp", |c| {
        let fields = (c.u8("version")?, c.u8("type")?, c.u16("encapsulation")?);
        // Each iteration reads at least one byte. Tag 0 is padding without a length.
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
    state.push_tunnel(EncapKind::Tzsp, 0)?;
    match protocol {
        1 => Ok(NextLayer::Read(ethernet::read, inside)),
        18 => Ok(NextLayer::Read(wlan::read, inside)),
        119 => Ok(NextLayer::Read(wlan::prism, inside)),
        127 => Ok(NextLayer::Read(wlan::avs, inside)),
        _ => Err(Stop::Opaque),
    }
}
