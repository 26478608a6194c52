//! Reads Endace records.
//!
//! In:  a record with its header (LINKTYPE_ERF).
//! Out: the Ethernet, HDLC or IP inside.
//! Not: the record's timestamp; that is for `capture`.

use super::super::layer::DecodeState;
use super::super::layer::LayerResult;
use super::super::layer::LayerSlice;
use super::super::layer::NextLayer;
use super::super::layer::Stop;
use super::ethernet;
use super::lan;
use super::serial;

/// Sixteen bytes, extension headers of eight while bit 7 announces another, then a frame of the record's type.
pub(in crate::decode) fn read<'b>(_: &mut DecodeState, layer: LayerSlice<'b>) -> LayerResult<'b> {
    let ((kind, wire), inside) = layer.read("erf", |c| {
        c.skip(8, "timestamp")?;
        let kind = c.u8("type")?;
        c.skip(5, "flags and lengths")?;
        let wire = c.u16("wire length")?;
        let mut more = kind & 0x80 != 0;
        // Each iteration reads eight bytes.
        while more {
            more = c.u8("extension header")? & 0x80 != 0;
            c.skip(7, "extension header")?;
        }
        Ok((kind & 0x7f, usize::from(wire)))
    })?;
    match kind {
        // Ethernet, plain, coloured or hashed: two bytes of offset and padding.
        2 | 11 | 16 | 20 => {
            let inside = inside.skip(2, "erf", "padding")?;
            Ok(NextLayer::Read(ethernet::read, inside.at_most(wire)))
        }
        // HDLC on SONET: Cisco HDLC or PPP.
        1 | 10 | 15 | 19 => Ok(NextLayer::Read(serial::ppp, inside.at_most(wire))),
        // AAL5: four bytes of cell header, LLC.
        4 | 18 => Ok(NextLayer::Read(lan::llc, inside.skip(4, "erf", "cell header")?)),
        22 | 23 => Ok(NextLayer::Ip(inside.at_most(wire))),
        // ATM cells, InfiniBand, metadata and others.
        _ => Err(Stop::NotIp(0)),
    }
}
