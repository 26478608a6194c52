//! Reads 802.11 data frames, and the headers that adapters put before them.
//!
//! In:  a frame, with radiotap, prism, AVS or PPI before it, or none.
//! Out: LLC.
//! Not: management and control frames; encrypted payload.

use crate::base::Cursor;
use crate::base::Truncated;
use crate::capture::LinkType;

use super::super::view::Next;
use super::super::view::Stop;
use super::super::view::View;
use super::super::view::Walk;
use super::lan;

/// Whether the adapter rounded the 802.11 header up to four bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Padding {
    None,
    Header,
}

/// IEEE 802.11 §9.2.4: frame control and what it says about the rest.
pub(in crate::decode) fn read<'b>(walk: &mut Walk, view: View<'b>) -> Result<Next<'b>, Stop> {
    data(walk, view, Padding::None)
}

fn data<'b>(walk: &mut Walk, view: View<'b>, padding: Padding) -> Result<Next<'b>, Stop> {
    let ((control, flags), _) =
        view.read("802.11", |c| Ok((c.u8("frame control")?, c.u8("frame control")?)))?;
    // Version 0, type 2: data. Of those, subtypes with bit 2 carry none.
    if control & 0x0f != 0x08 || control & 0x40 != 0 {
        return Err(Stop::NotIp(0));
    }
    let ((sequence, aggregate), mut inside) = view.read("802.11", |c| header(c, control, flags))?;
    if padding == Padding::Header {
        let read = view.bytes.len() - inside.bytes.len();
        inside = view.skip(read.next_multiple_of(4), "802.11", "padding")?;
    }
    // The lower four bits of the sequence control number the fragments of a frame.
    if sequence & 0x0f00 != 0 {
        return Err(Stop::Unreadable("802.11 fragment"));
    }
    if flags & flag::PROTECTED != 0 {
        return Err(Stop::Unreadable("encrypted 802.11"));
    }
    if !aggregate {
        return Ok(Next::Read(lan::llc, inside));
    }
    let (len, first) = subframe(inside)?;
    walk.aggregated = behind(inside, len);
    Ok(Next::Read(lan::llc, first.at_most(len)))
}

/// §9.3.2.2: a frame of an aggregate: two addresses and a length, and what follows. The first one stands for all.
fn subframe(view: View<'_>) -> Result<(usize, View<'_>), Stop> {
    let (len, inside) = view.read("802.11 aggregate", |c| {
        c.skip(12, "addresses")?;
        c.u16("length")
    })?;
    Ok((usize::from(len), inside))
}

/// How many more there are behind the first, as far as was captured: they are counted, and not read.
fn behind(mut view: View<'_>, mut len: usize) -> u16 {
    const HEADER: usize = 14;
    let mut more = 0;
    // Each is filled up to four bytes; an empty one would not end.
    while let Ok(rest) = view.skip((HEADER + len).next_multiple_of(4), "802.11 aggregate", "frame")
        && let Ok((next, _)) = subframe(rest)
    {
        (view, len) = (rest, next);
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

/// Duration, addresses and controls: the sequence control, and whether several frames follow.
fn header(c: &mut Cursor<'_>, control: u8, flags: u8) -> Result<(u16, bool), Truncated> {
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

/// Frames from an access controller, whose frame control may have its bytes swapped.
pub(in crate::decode) fn from_controller<'b>(walk: &mut Walk, view: View<'b>) -> Result<Next<'b>, Stop> {
    match view.peek(0) {
        Some(control) if control & 0x0f00 != 0x0800 && control & 0x000f == 0x0008 => {
            let [flags, control] = control.to_be_bytes();
            if control & 0x40 != 0 {
                return Err(Stop::NotIp(0));
            }
            let (_, inside) = view.read("802.11", |c| header(c, control, flags))?;
            Ok(Next::Read(lan::llc, inside))
        }
        _ => data(walk, view, Padding::None),
    }
}

/// radiotap.org: version, length and presence words, little-endian. The flags say whether the frame is padded.
pub(in crate::decode) fn radiotap<'b>(walk: &mut Walk, view: View<'b>) -> Result<Next<'b>, Stop> {
    let ((len, padding), _) = view.read("radiotap", |c| {
        c.skip(2, "version")?;
        let len = usize::from(c.u16_le("length")?);
        let first = c.u32_le("presence")?;
        let mut more = first;
        // Bit 31 announces another word; each round takes four bytes.
        while more >> 31 == 1 {
            more = c.u32_le("presence")?;
        }
        if first & 0b10 == 0 {
            return Ok((len, Padding::None));
        }
        // Bit 0: a time stamp of eight bytes, aligned to eight.
        if first & 0b01 != 0 {
            let at = c.at();
            c.skip(at.next_multiple_of(8) - at + 8, "time stamp")?;
        }
        let padded = c.u8("flags")? & 0x20 != 0;
        Ok((len, if padded { Padding::Header } else { Padding::None }))
    })?;
    if len < 8 {
        return Err(view.broken("radiotap", "length"));
    }
    data(walk, view.skip(len, "radiotap", "header")?, padding)
}

/// The prism header: message code and length in the byte order of the host. AVS uses the same link type at times.
pub(in crate::decode) fn prism<'b>(walk: &mut Walk, view: View<'b>) -> Result<Next<'b>, Stop> {
    let ((code, len), _) = view.read("prism", |c| Ok((c.u32("message code")?, c.u32("message length")?)))?;
    if code >> 12 == 0x80211 {
        return avs(walk, view);
    }
    let len = len.min(len.swap_bytes()) as usize;
    if len < 8 {
        return Err(view.broken("prism", "message length"));
    }
    data(walk, view.skip(len, "prism", "header")?, Padding::None)
}

/// AVS: version and length, big-endian.
pub(in crate::decode) fn avs<'b>(walk: &mut Walk, view: View<'b>) -> Result<Next<'b>, Stop> {
    let (len, _) = view.read("avs", |c| {
        c.skip(4, "version")?;
        c.u32("length")
    })?;
    if len < 8 {
        return Err(view.broken("avs", "length"));
    }
    data(walk, view.skip(len as usize, "avs", "header")?, Padding::None)
}

/// PPI: version, flags, length and link type, little-endian.
pub(in crate::decode) fn ppi<'b>(_: &mut Walk, view: View<'b>) -> Result<Next<'b>, Stop> {
    let ((len, link), _) = view.read("ppi", |c| {
        c.skip(2, "version and flags")?;
        Ok((c.u16_le("length")?, c.u32_le("link type")?))
    })?;
    if len < 8 {
        return Err(view.broken("ppi", "length"));
    }
    let link = LinkType(u16::try_from(link).unwrap_or(u16::MAX));
    Ok(Next::Link(link, view.skip(usize::from(len), "ppi", "header")?))
}
