//! Reads MPLS label stacks.
//!
//! In:  a label stack, from Ethernet, PPP, GRE, IP or UDP.
//! Out: IPv4, IPv6 or the Ethernet frame of a pseudowire.
//! Not: what a label means. A label stack does not name its payload.

use super::super::encap_kind::EncapKind;
use super::super::ether;
use super::super::ip;
use super::super::layer::DecodeState;
use super::super::layer::LayerResult;
use super::super::layer::LayerSlice;
use super::super::layer::NextLayer;
use super::super::layer::Stop;
use super::super::link::ethernet;

/// RFC 3032 §2.1: 20 bits of label, three of traffic class, the bottom-of-stack bit, eight of TTL.
pub(in crate::decode) fn read<'b>(state: &mut DecodeState, layer: LayerSlice<'b>) -> LayerResult<'b> {
    let mut rest = layer;
    // The limit of tags and tunnels bounds the loop.
    loop {
        let (entry, inside) = rest.read("mpls", |c| c.u32("label"))?;
        state.push_tag(EncapKind::Mpls, entry >> 12)?;
        rest = inside;
        if entry & 0x100 != 0 {
            return payload(rest);
        }
    }
}

/// RFC 4023 §3: MPLS in IP.
pub(in crate::decode) fn over_ip<'b>(state: &mut DecodeState, layer: LayerSlice<'b>) -> LayerResult<'b> {
    state.push_tunnel(EncapKind::MplsInIp, 0)?;
    read(state, layer)
}

/// RFC 7510 §3: MPLS in UDP. Only the port shows it, so the payload must be clear.
pub(in crate::decode) fn over_udp<'b>(state: &mut DecodeState, layer: LayerSlice<'b>) -> LayerResult<'b> {
    state.push_tunnel(EncapKind::MplsInUdp, 0)?;
    read(state, layer).map_err(|stop| {
        if matches!(stop, Stop::NotIp(ether::MPLS) | Stop::TooDeep) { Stop::Opaque } else { stop }
    })
}

/// RFC 4928 §3: the first four bits distinguish IP from other payloads. Ethernet without a control word (RFC 4448 §4.6) may start
/// with any byte; a control word (RFC 4385 §3) has four bytes.
fn payload(layer: LayerSlice<'_>) -> LayerResult<'_> {
    let is_ethernet = ethernet::is_likely(layer);
    match layer.nibble() {
        Some(4) if !is_ethernet || ip::has_correct_checksum(layer) => Ok(NextLayer::Ip(layer)),
        Some(6) if !is_ethernet || is_v6(layer) => Ok(NextLayer::Ip(layer)),
        Some(0) if ethernet::is_likely(layer.after(4)) => Ok(NextLayer::Read(ethernet::read, layer.after(4))),
        // RFC 5586 §2: the generic associated channel.
        Some(1) if !is_ethernet => Err(Stop::NotIp(ether::MPLS)),
        _ if is_ethernet => Ok(NextLayer::Read(ethernet::read, layer)),
        _ => Err(Stop::NotIp(ether::MPLS)),
    }
}

/// True if the IPv6 payload length fits into the layer.
fn is_v6(layer: LayerSlice<'_>) -> bool {
    layer.peek(4).is_some_and(|len| usize::from(len) + 40 <= layer.wire_len)
}
