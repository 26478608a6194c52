//! Reads the header that a link type puts before a frame.
//!
//! In:  a link type and a whole frame.
//! Out: what lies behind its header.
//! Not: what is in IP.
//!
//! Numbers and layouts: the LINKTYPE_ registry of tcpdump.org.

pub(super) mod cooked;
pub(super) mod erf;
pub(super) mod ethernet;
pub(super) mod lan;
pub(super) mod serial;
pub(super) mod wlan;

use crate::capture::LinkType;

use super::ether;
use super::ip;
use super::view::Next;
use super::view::Reader;
use super::view::Stop;
use super::view::View;
use super::view::Walk;

struct Link {
    number: u16,
    name: &'static str,
    reader: Reader,
}

const fn row(number: u16, name: &'static str, reader: Reader) -> Link {
    Link { number, name, reader }
}

/// Sorted by number.
#[rustfmt::skip]
const LINKS: &[Link] = &[
    row(0, "null", cooked::null),
    row(1, "ethernet", ethernet::read),
    row(6, "token ring", lan::token_ring),
    row(7, "arcnet", lan::arcnet),
    row(8, "slip", serial::slip),
    row(9, "ppp", serial::ppp),
    row(10, "fddi", lan::fddi),
    row(12, "raw ip", ip::read),
    row(14, "raw ip", ip::read),
    row(50, "ppp in hdlc", serial::ppp),
    row(51, "pppoe session", ether::pppoe_link),
    row(100, "atm llc", lan::llc),
    row(101, "raw ip", ip::read),
    row(104, "cisco hdlc", serial::cisco_hdlc),
    row(105, "802.11", wlan::read),
    row(106, "atm clip", lan::clip),
    row(107, "frame relay", serial::frame_relay),
    row(108, "loop", cooked::null),
    row(109, "enc", cooked::enc),
    row(113, "linux cooked", cooked::sll),
    row(117, "pflog", cooked::pflog),
    row(119, "prism", wlan::prism),
    row(122, "ip over fibre channel", lan::fibre_channel),
    row(123, "sunatm", lan::sunatm),
    row(127, "radiotap", wlan::radiotap),
    row(129, "arcnet linux", lan::arcnet_linux),
    row(138, "ip over ieee 1394", lan::ieee1394),
    row(163, "avs", wlan::avs),
    row(166, "pppd", serial::ppp_pppd),
    row(178, "juniper ethernet", ethernet::juniper),
    row(192, "ppi", wlan::ppi),
    row(197, "erf", erf::read),
    row(204, "ppp with direction", serial::ppp_with_direction),
    row(205, "cisco hdlc with direction", serial::cisco_hdlc_with_direction),
    row(206, "frame relay with direction", serial::frame_relay_with_direction),
    row(226, "ipnet", cooked::ipnet),
    row(228, "raw ipv4", ip::read),
    row(229, "raw ipv6", ip::read),
    row(239, "nflog", cooked::nflog),
    row(240, "netanalyzer", ethernet::netanalyzer),
    row(241, "netanalyzer with preamble", ethernet::netanalyzer_transparent),
    row(242, "ip over infiniband", lan::infiniband),
    row(258, "pktap", cooked::pktap),
    row(274, "ethernet mpacket", ethernet::mpacket),
    row(276, "linux cooked v2", cooked::sll2),
    row(281, "broadcom tag", ethernet::tag_4),
    row(282, "broadcom tag before", ethernet::tag_before),
    row(284, "dsa", ethernet::tag_4),
    row(285, "edsa", ethernet::tag_8),
];

impl LinkType {
    /// What the link type is called; `None` when we cannot read it.
    pub fn name(self) -> Option<&'static str> {
        find(self).map(|row| row.name)
    }
}

fn find(link: LinkType) -> Option<&'static Link> {
    let index = LINKS.binary_search_by_key(&link.0, |row| row.number).ok()?;
    LINKS.get(index)
}

/// Reads a frame of this link type.
pub(super) fn read<'b>(walk: &mut Walk, link: LinkType, view: View<'b>) -> Result<Next<'b>, Stop> {
    if link == LinkType::ETHERNET {
        return ethernet::read(walk, view);
    }
    match find(link) {
        Some(row) => (row.reader)(walk, view),
        None => Err(Stop::UnknownLink(link)),
    }
}

/// Address families of IP, on every system that writes captures.
pub(super) const fn is_ip_family(family: u32) -> bool {
    // 2: all. IPv6: 10 Linux, 23 Windows, 24 NetBSD and OpenBSD, 26 Solaris, 28 FreeBSD, 30 macOS.
    matches!(family, 2 | 10 | 23 | 24 | 26 | 28 | 30)
}
