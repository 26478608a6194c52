//! Reads GRE and the protocols in it: ERSPAN, NVGRE, PPTP, EoIP, WCCP and others.
//!
//! In:  the payload of an IP packet of protocol 47.
//! Out: the EtherType inside, PPP, Ethernet.
//! Not: sequence numbers.

use super::super::encap_kind::EncapKind;
use super::super::ether;
use super::super::layer::DecodeState;
use super::super::layer::LayerResult;
use super::super::layer::LayerSlice;
use super::super::layer::NextLayer;
use super::super::layer::Stop;
use super::super::link::ethernet;
use super::super::link::serial;
use super::super::link::wlan;
use super::by_ether_type;

/// RFC 2784 §2.1, RFC 2890 §2, RFC 1701 §1.
mod flag {
    pub(super) const CHECKSUM: u16 = 0x8000;
    pub(super) const ROUTING: u16 = 0x4000;
    pub(super) const KEY: u16 = 0x2000;
    pub(super) const SEQUENCE: u16 = 0x1000;
    /// RFC 2637 §4.1, only in version 1.
    pub(super) const ACKNOWLEDGEMENT: u16 = 0x0080;
}

/// Cisco's Web Cache Communication Protocol.
const WCCP: u16 = 0x883e;
/// MikroTik's Ethernet over IP uses version 1.
const EOIP: u16 = 0x6400;

/// The fields of a GRE header.
struct GreHeader {
    flags: u16,
    number: u16,
    key: Option<u32>,
}

/// GRE over IP.
pub(in crate::decode) fn read<'b>(state: &mut DecodeState, layer: LayerSlice<'b>) -> LayerResult<'b> {
    let (header, inside) = parse_header(layer)?;
    match header.flags & 7 {
        0 => version_0(state, &header, inside),
        1 if header.number == EOIP => eoip(state, &header, inside),
        1 if header.number == ether::PPP => version_1(state, &header, inside),
        // Some clouds set version 1 in GRE of version 0.
        1 => version_0(state, &header, inside),
        _ => Err(Stop::Opaque),
    }
}

/// RFC 8086 §3: the same header; here the version must be 0.
pub(in crate::decode) fn over_udp<'b>(state: &mut DecodeState, layer: LayerSlice<'b>) -> LayerResult<'b> {
    let (header, inside) = parse_header(layer)?;
    match header.flags & 7 {
        0 => version_0(state, &header, inside),
        _ => Err(Stop::Opaque),
    }
}

fn parse_header(layer: LayerSlice<'_>) -> Result<(GreHeader, LayerSlice<'_>), Stop> {
    layer.read("gre", |c| {
        let flags = c.u16("flags")?;
        let number = c.u16("protocol")?;
        let version_0 = flags & 7 == 0;
        if version_0 && flags & (flag::CHECKSUM | flag::ROUTING) != 0 {
            c.skip(4, "checksum and offset")?;
        }
        let key = if flags & flag::KEY != 0 { Some(c.u32("key")?) } else { None };
        if flags & flag::SEQUENCE != 0 {
            c.skip(4, "sequence number")?;
        }
        if !version_0 && flags & flag::ACKNOWLEDGEMENT != 0 {
            c.skip(4, "acknowledgement number")?;
        }
        if version_0 && flags & flag::ROUTING != 0 {
            // RFC 1701 §1: entries until one with family 0 and length 0; each iteration reads at least four bytes.
            loop {
                let family = c.u16("route family")?;
                c.skip(1, "route offset")?;
                let len = c.u8("route length")?;
                if family == 0 && len == 0 {
                    break;
                }
                c.skip(usize::from(len), "route")?;
            }
        }
        Ok(GreHeader { flags, number, key })
    })
}

fn version_0<'b>(state: &mut DecodeState, header: &GreHeader, inside: LayerSlice<'b>) -> LayerResult<'b> {
    let key = header.key.unwrap_or_default();
    match header.number {
        ether::ERSPAN => erspan_1_or_2(state, header, inside),
        ether::ERSPAN_3 => erspan(state, inside),
        ether::BRIDGED => {
            match header.key {
                // RFC 7637 §3.2: only the key bit is set; 24 bits of network ID, from 4096 on, and 8 of flow ID.
                Some(key) if header.flags == flag::KEY && key >> 20 != 0 => {
                    state.push_tunnel(EncapKind::Nvgre, key >> 8)?;
                }
                Some(key) => state.push_tunnel(EncapKind::GreTap, key)?,
                None => state.push_tunnel(EncapKind::GreTap, 0)?,
            }
            Ok(NextLayer::Read(ethernet::read, inside))
        }
        WCCP => {
            state.push_tunnel(EncapKind::Gre, key)?;
            // WCCP 2 has four bytes before the packet, version 1 has none; IPv4 starts with 0x45 and up.
            let packet = if inside.nibble() == Some(4) { inside } else { inside.after(4) };
            Ok(NextLayer::Ip(packet))
        }
        // Aruba access points mirror 802.11 with these.
        0x8200..=0x83ff => {
            state.push_tunnel(EncapKind::Gre, key)?;
            Ok(NextLayer::Read(wlan::from_controller, inside))
        }
        ether::METADATA => {
            state.push_tunnel(EncapKind::Gre, key)?;
            // In GRE the next type comes first.
            let (number, inside) = inside.read("metadata", |c| {
                let number = c.u16("ether type")?;
                c.skip(1, "version")?;
                let words = usize::from(c.u8("length")?);
                c.skip(words.max(1) * 4, "options")?;
                Ok(number)
            })?;
            Ok(by_ether_type(number, inside))
        }
        number if ether::name(number).is_some() => {
            state.push_tunnel(EncapKind::Gre, key)?;
            Ok(by_ether_type(number, inside))
        }
        _ => Err(Stop::Opaque),
    }
}

/// RFC 2637 §4.1: PPP. The key is payload length and call ID. Without payload it is only an acknowledgement.
fn version_1<'b>(state: &mut DecodeState, header: &GreHeader, inside: LayerSlice<'b>) -> LayerResult<'b> {
    if header.flags & flag::SEQUENCE == 0 {
        return Err(Stop::Opaque);
    }
    let key = header.key.unwrap_or_default();
    state.push_tunnel(EncapKind::Gre, key & 0xffff)?;
    Ok(NextLayer::Read(serial::ppp, inside.at_most((key >> 16) as usize)))
}

/// The key is a length and a little-endian tunnel ID.
fn eoip<'b>(state: &mut DecodeState, header: &GreHeader, inside: LayerSlice<'b>) -> LayerResult<'b> {
    let key = header.key.unwrap_or_default();
    if key >> 16 == 0 {
        return Err(Stop::Opaque);
    }
    state.push_tunnel(EncapKind::Eoip, u32::from((key as u16).swap_bytes()))?;
    Ok(NextLayer::Read(ethernet::read, inside))
}

/// Type II has a sequence number and a header; type I has neither (draft-foschiano-erspan §4).
fn erspan_1_or_2<'b>(state: &mut DecodeState, header: &GreHeader, inside: LayerSlice<'b>) -> LayerResult<'b> {
    if header.flags & flag::SEQUENCE != 0 {
        return erspan(state, inside);
    }
    state.push_tunnel(EncapKind::Erspan, 0)?;
    Ok(NextLayer::Read(ethernet::read, inside))
}

/// Types II (version 1) and III (version 2): version, VLAN, class, session, and more; type III may have a platform header of
/// eight bytes (draft-foschiano-erspan §4.2, §4.3).
pub(in crate::decode) fn erspan<'b>(state: &mut DecodeState, layer: LayerSlice<'b>) -> LayerResult<'b> {
    let ((version, session, flags), inside) = layer.read("erspan", |c| {
        let version = c.u16("version")? >> 12;
        let session = c.u16("session")? & 0x3ff;
        let mut flags = 0;
        if version == 2 {
            c.skip(4, "timestamp")?;
            c.skip(2, "group tag")?;
            flags = c.u16("flags")?;
            c.skip(if flags & 1 == 1 { 8 } else { 0 }, "platform header")?;
        } else {
            c.skip(4, "index")?;
        }
        Ok((version, session, flags))
    })?;
    state.push_tunnel(EncapKind::Erspan, u32::from(session))?;
    match (version, flags >> 10 & 0x1f) {
        // Five bits of frame type in type III: 0 Ethernet, 2 IP.
        (1, _) | (2, 0) => Ok(NextLayer::Read(ethernet::read, inside)),
        (2, 2) => Ok(NextLayer::Ip(inside)),
        _ => Err(Stop::Opaque),
    }
}
