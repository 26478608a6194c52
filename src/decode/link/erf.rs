//! Reads Endace records.
//!
//! In:  a record with its header (LINKTYPE_ERF).
//! Out: the Ethernet, HDLC or IP inside.
//! Not: the record's own time; capture gave the frame one.

use super::super::view::Next;
use super::super::view::Stop;
use super::super::view::View;
use super::super::view::Walk;
use super::ethernet;
use super::lan;
use super::serial;

/// Sixteen bytes, extension headers of eight while bit 7 announces one, then what the type says.
pub(in crate::decode) fn read<'b>(_: &mut Walk, view: View<'b>) -> Result<Next<'b>, Stop> {
    let ((kind, wire), inside) = view.read("erf", |c| {
        c.skip(8, "time stamp")?;
        let kind = c.u8("type")?;
        c.skip(5, "flags and lengths")?;
        let wire = c.u16("wire length")?;
        let mut more = kind & 0x80 != 0;
        // Each round takes eight bytes.
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
            Ok(Next::Read(ethernet::read, inside.at_most(wire)))
        }
        // HDLC on SONET: Cisco's or PPP.
        1 | 10 | 15 | 19 => Ok(Next::Read(serial::ppp, inside.at_most(wire))),
        // AAL5: four bytes of cell header, LLC.
        4 | 18 => Ok(Next::Read(lan::llc, inside.skip(4, "erf", "cell header")?)),
        22 | 23 => Ok(Next::Ip(inside.at_most(wire))),
        // ATM cells, InfiniBand, metadata and the rest.
        _ => Err(Stop::NotIp(0)),
    }
}
