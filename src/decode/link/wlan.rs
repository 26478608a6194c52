//! Reads 802.11 data frames, and the radio headers before them.
//!
//! In:  a frame, with radiotap, Prism, AVS or PPI before it, or without.
//! Out: LLC.
//! Not: management and control frames; encrypted payload.

use crate::base::Cursor;
use crate::base::Truncated;
use crate::capture::LinkType;

use super::super::layer::DecodeState;
use super::super::layer::LayerResult;
use super::super::layer::LayerSlice;
use super::super::layer::NextLayer;
use super::super::layer::Stop;
use super::lan;

/// Whether the adapter padded the 802.11 header to a multiple of four bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Padding {
    None,
    Header,
}

/// IEEE 802.11 §9.2.4: frame control, which determines the rest of the header.
pub(in crate::decode) fn read<'b>(state: &mut DecodeState, layer: LayerSlice<'b>) -> LayerResult<'b> {
    data(state, layer, Padding::None)
}

fn data<'b>(state: &mut DecodeState, layer: LayerSlice<'b>, padding: Padding) -> LayerResult<'b> {
    let ((control, flags), _) =
        layer.read("802.11", |c| Ok((c.u8("frame control")?, c.u8("frame control")?)))?;
    // Version 0, type 2: data. Subtypes with bit 2 have no payload.
    if control & 0x0f != 0x08 || control & 0x40 != 0 {
        return Err(Stop::NotIp(0));
    }
    let ((sequence, aggregate), mut inside) = layer.read("802.11", |c| parse_header(c, control, flags))?;
    if padding == Padding::Header {
        let read = layer.bytes.len() - inside.bytes.len();
        inside = layer.skip(read.next_multiple_of(4), "802.11", "padding")?;
    }
    // The lower four bits of the sequence control are the fragment number.
    if sequence & 0x0f00 != 0 {
        return Err(Stop::Unreadable("802.11 fragment"));
    }
    if flags & flag::PROTECTED != 0 {
        return Err(Stop::Unreadable("encrypted 802.11"));
    }
    if !aggregate {
        return Ok(NextLayer::Read(lan::llc, inside));
    }
    let (len, first) = parse_subframe(inside)?;
    state.aggregated = count_subframes(inside, len);
    Ok(NextLayer::Read(lan::llc, first.at_most(len)))
}

/// §9.3.2.2: a subframe of an aggregate: two addresses, a length, and the payload.
fn parse_subframe(layer: LayerSlice<'_>) -> Result<(usize, LayerSlice<'_>), Stop> {
    let (len, inside) = layer.read("802.11 aggregate", |c| {
        c.skip(12, "addresses")?;
        c.u16("length")
    })?;
    Ok((usize::from(len), inside))
}

/// The number of captured subframes after the first. They are counted, and not read.
fn count_subframes(mut layer: LayerSlice<'_>, mut len: usize) -> u16 {
    const HEADER: usize = 14;
    let mut more = 0;
    // Each is padded to a multiple of four bytes, so that each iteration reads some.
    while let Ok(rest) = layer.skip((HEADER + len).next_multiple_of(4), "802.11 aggregate", "frame")
        && let Ok((next, _)) = parse_subframe(rest)
    {
        (layer, len) = (rest, next);
        more += 1;
    }
    more
}

mod flag {
    pub(super) const TO_DS: u8 = 0x01;
    pub(super) const FROM_DS: u8 = 0x02;
    pub(super) const PROTECTED: u8 = 0x40;
    pub(super) const ORDER: u8 = 0x80;
}

/// Duration, addresses and controls; returns the sequence control, and whether the payload is an aggregate.
fn parse_header(c: &mut Cursor<'_>, control: u8, flags: u8) -> Result<(u16, bool), Truncated> {
    c.skip(22, "addresses")?;
    let sequence = c.u16("sequence control")?;
    if flags & (flag::TO_DS | flag::FROM_DS) == flag::TO_DS | flag::FROM_DS {
        c.skip(6, "fourth address")?;
    }
    // §9.2.4.5: QoS control; its bit 7 announces an aggregate.
    if control & 0x80 == 0 {
        return Ok((sequence, false));
    }
    let qos = c.u16("qos control")?;
    // §9.2.4.6: with QoS, the order flag announces HT control.
    if flags & flag::ORDER != 0 {
        c.skip(4, "ht control")?;
    }
    Ok((sequence, qos & 0x8000 != 0))
}

/// A frame from a wireless controller, whose frame control may have its bytes swapped.
pub(in crate::decode) fn from_controller<'b>(
    state: &mut DecodeState,
    layer: LayerSlice<'b>,
) -> LayerResult<'b> {
    match layer.peek(0) {
        Some(control) if control & 0x0f00 != 0x0800 && control & 0x000f == 0x0008 => {
            let [flags, control] = control.to_be_bytes();
            if control & 0x40 != 0 {
                return Err(Stop::NotIp(0));
            }
            let (_, inside) = layer.read("802.11", |c| parse_header(c, control, flags))?;
            Ok(NextLayer::Read(lan::llc, inside))
        }
        _ => data(state, layer, Padding::None),
    }
}

/// radiotap.org: version, length and presence words, little-endian. The flags show whether the frame is padded.
pub(in crate::decode) fn radiotap<'b>(state: &mut DecodeState, layer: LayerSlice<'b>) -> LayerResult<'b> {
    let ((len, padding), _) = layer.read("radiotap", |c| {
        c.skip(2, "version")?;
        let len = usize::from(c.u16_le("length")?);
        let first = c.u32_le("presence")?;
        let mut more = first;
        // Bit 31 announces another word; each iteration reads four bytes.
        while more >> 31 == 1 {
            more = c.u32_le("presence")?;
        }
        if first & 0b10 == 0 {
            return Ok((len, Padding::None));
        }
        // Bit 0: a timestamp of eight bytes, aligned to eight.
        if first & 0b01 != 0 {
            let at = c.at();
            c.skip(at.next_multiple_of(8) - at + 8, "timestamp")?;
        }
        let padded = c.u8("flags")? & 0x20 != 0;
        Ok((len, if padded { Padding::Header } else { Padding::None }))
    })?;
    if len < 8 {
        return Err(layer.broken("radiotap", "length"));
    }
    data(state, layer.skip(len, "radiotap", "header")?, padding)
}

/// The Prism header: message code and length in the host's byte order. AVS headers sometimes have the same link type.
pub(in crate::decode) fn prism<'b>(state: &mut DecodeState, layer: LayerSlice<'b>) -> LayerResult<'b> {
    let ((code, len), _) = layer.read("prism", |c| Ok((c.u32("message code")?, c.u32("message length")?)))?;
    if code >> 12 == 0x80211 {
        return avs(state, layer);
    }
    let len = len.min(len.swap_bytes()) as usize;
    if len < 8 {
        return Err(layer.broken("prism", "message length"));
    }
    data(state, layer.skip(len, "prism", "header")?, Padding::None)
}

/// AVS: version and length, big-endian.
pub(in crate::decode) fn avs<'b>(state: &mut DecodeState, layer: LayerSlice<'b>) -> LayerResult<'b> {
    let (len, _) = layer.read("avs", |c| {
        c.skip(4, "version")?;
        c.u32("length")
    })?;
    if len < 8 {
        return Err(layer.broken("avs", "length"));
    }
    data(state, layer.skip(len as usize, "avs", "header")?, Padding::None)
}

/// PPI: version, flags, length and link type, little-endian.
pub(in crate::decode) fn ppi<'b>(_: &mut DecodeState, layer: LayerSlice<'b>) -> LayerResult<'b> {
    let ((len, link), _) = layer.read("ppi", |c| {
        c.skip(2, "version and flags")?;
        Ok((c.u16_le("length")?, c.u32_le("link type")?))
    })?;
    if len < 8 {
        return Err(layer.broken("ppi", "length"));
    }
    let link = LinkType(u16::try_from(link).unwrap_or(u16::MAX));
    Ok(NextLayer::Link(link, layer.skip(usize::from(len), "ppi", "header")?))
}
