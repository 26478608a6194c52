//! Reads MPLS label stacks.
//!
//! In:  a label stack, from Ethernet, PPP, GRE, IP or UDP.
//! Out: IPv4, IPv6 or the Ethernet frame of a pseudowire.
//! Not: what a label means; the stack does not say what is below it.

use super::super::ip;
use super::super::link::ethernet;
use super::super::packet::LayerKind;
use super::super::view::Next;
use super::super::view::Stop;
use super::super::view::View;
use super::super::view::Walk;

const MPLS: u16 = 0x8847;

/// RFC 3032 §2.1: 20 bits of label, three of class, the bottom of the stack, eight of time to live.
pub(in crate::decode) fn read<'b>(walk: &mut Walk, view: View<'b>) -> Result<Next<'b>, Stop> {
    let mut rest = view;
    // The limit of the wrapping bounds the loop.
    loop {
        let (entry, inside) = rest.read("mpls", |c| c.u32("label"))?;
        walk.tag(LayerKind::Mpls, entry >> 12)?;
        rest = inside;
        if entry & 0x100 != 0 {
            return below(rest);
        }
    }
}

/// RFC 4023 §3: MPLS in IP.
pub(in crate::decode) fn over_ip<'b>(walk: &mut Walk, view: View<'b>) -> Result<Next<'b>, Stop> {
    walk.tunnel(LayerKind::Other("mpls-in-ip"), 0)?;
    read(walk, view)
}

/// RFC 7510 §3: MPLS in UDP. A guess, so that what lies below must be plain.
pub(in crate::decode) fn over_udp<'b>(walk: &mut Walk, view: View<'b>) -> Result<Next<'b>, Stop> {
    walk.tunnel(LayerKind::Other("mpls-in-udp"), 0)?;
    read(walk, view)
        .map_err(|stop| if matches!(stop, Stop::NotIp(MPLS) | Stop::TooDeep) { Stop::Opaque } else { stop })
}

/// RFC 4928 §3: the first half byte tells IP from all else, if the sender was kind. Ethernet without a control word
/// (RFC 4448 §4.6) can begin with anything; with one (RFC 4385 §3), it is four bytes further on.
fn below(view: View<'_>) -> Result<Next<'_>, Stop> {
    let framed = ethernet::is_likely(view);
    match view.nibble() {
        Some(4) if !framed || ip::checksum_fits(view) => Ok(Next::Ip(view)),
        Some(6) if !framed || is_v6(view) => Ok(Next::Ip(view)),
        Some(0) if ethernet::is_likely(view.after(4)) => Ok(Next::Read(ethernet::read, view.after(4))),
        // RFC 5586 §2: the generic associated channel.
        Some(1) if !framed => Err(Stop::NotIp(MPLS)),
        _ if framed => Ok(Next::Read(ethernet::read, view)),
        _ => Err(Stop::NotIp(MPLS)),
    }
}

/// A payload length that fits what is there.
fn is_v6(view: View<'_>) -> bool {
    view.peek(4).is_some_and(|len| usize::from(len) + 40 <= view.wire)
}
