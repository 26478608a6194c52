//! Reads the network service header.
//!
//! In:  the payload of EtherType 0x894f, or of VXLAN-GPE.
//! Out: the frame or packet inside.
//! Not: its metadata.

use super::super::encap_kind::EncapKind;
use super::super::ether;
use super::super::layer::DecodeState;
use super::super::layer::LayerResult;
use super::super::layer::LayerSlice;
use super::super::layer::NextLayer;
use super::super::layer::Stop;
use super::super::link::ethernet;
use super::mpls;

/// RFC 8300 §2.2, §2.3: six bits are the length of the header in words; then next protocol, service path and index.
pub(in crate::decode) fn read<'b>(state: &mut DecodeState, layer: LayerSlice<'b>) -> LayerResult<'b> {
    let ((next, path), inside) = layer.read("nsh", |c| {
        let first = c.u16("length")?;
        c.skip(1, "metadata type")?;
        let next = c.u8("next protocol")?;
        let path = c.u24("service path")?;
        c.skip(1, "service index")?;
        c.skip((usize::from(first & 0x3f) * 4).saturating_sub(8), "metadata")?;
        Ok((next, path))
    })?;
    state.push_tag(EncapKind::Nsh, path)?;
    match next {
        1 | 2 => Ok(NextLayer::Ip(inside)),
        3 => Ok(NextLayer::Read(ethernet::read, inside)),
        4 => Ok(NextLayer::Read(read, inside)),
        5 => Ok(NextLayer::Read(mpls::read, inside)),
        _ => Err(Stop::NotIp(ether::NSH)),
    }
}
