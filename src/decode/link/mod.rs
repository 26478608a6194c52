//! Reads frames by link type.
//!
//! In:  a link type and a whole frame.
//! Out: what follows the link header.
//! Not: IP.
//!
//! Numbers and layouts are those of the LINKTYPE_ registry of tcpdump.org. Their names are in `capture`.

pub(super) mod cooked;
pub(super) mod erf;
pub(super) mod ethernet;
pub(super) mod lan;
pub(super) mod serial;
pub(super) mod wlan;

use crate::capture::LinkType;

use super::ether;
use super::ip;
use super::layer::DecodeState;
use super::layer::LayerReader;
use super::layer::LayerResult;
use super::layer::LayerSlice;
use super::layer::Stop;

/// Sorted by number.
#[rustfmt::skip]
const LINK_TYPES: &[(u16, LayerReader)] = &[
    (0, cooked::null),
    (1, ethernet::read),
    (6, lan::token_ring),
    (7, lan::arcnet),
    (8, serial::slip),
    (9, serial::ppp),
    (10, lan::fddi),
    (12, ip::read), // DLT_RAW of most systems
    (14, ip::read), // DLT_RAW of OpenBSD
    (50, serial::ppp), // PPP_HDLC
    (51, ether::pppoe_link),
    (100, lan::llc), // ATM_RFC1483
    (101, ip::read), // RAW
    (104, serial::cisco_hdlc),
    (105, wlan::read),
    (106, lan::clip),
    (107, serial::frame_relay),
    (108, cooked::null), // LOOP
    (109, cooked::enc),
    (113, cooked::sll),
    (117, cooked::pflog),
    (119, wlan::prism),
    (122, lan::fibre_channel),
    (123, lan::sunatm),
    (127, wlan::radiotap),
    (129, lan::arcnet_linux),
    (138, lan::ieee1394),
    (163, wlan::avs),
    (166, serial::ppp_pppd),
    (178, ethernet::juniper),
    (192, wlan::ppi),
    (197, erf::read),
    (204, serial::ppp_with_direction),
    (205, serial::cisco_hdlc_with_direction),
    (206, serial::frame_relay_with_direction),
    (226, cooked::ipnet),
    (228, ip::read), // IPV4
    (229, ip::read), // IPV6
    (239, cooked::nflog),
    (240, ethernet::netanalyzer),
    (241, ethernet::netanalyzer_transparent),
    (242, lan::infiniband),
    (258, cooked::pktap),
    (274, ethernet::mpacket),
    (276, cooked::sll2),
    (281, ethernet::tag_4), // DSA_TAG_BRCM
    (282, ethernet::tag_before), // DSA_TAG_BRCM_PREPEND
    (284, ethernet::tag_4), // DSA_TAG_DSA
    (285, ethernet::tag_8), // DSA_TAG_EDSA
];

/// Whether frames of this link type are decoded.
pub fn is_decoded(link: LinkType) -> bool {
    link == LinkType::ETHERNET || LINK_TYPES.iter().any(|(number, _)| *number == link.0)
}

/// Reads a frame of this link type.
pub(super) fn read<'b>(state: &mut DecodeState, link: LinkType, layer: LayerSlice<'b>) -> LayerResult<'b> {
    if link == LinkType::ETHERNET {
        return ethernet::read(state, layer);
    }
    match LINK_TYPES
        .binary_search_by_key(&link.0, |(number, _)| *number)
        .ok()
        .and_then(|at| LINK_TYPES.get(at))
    {
        Some((_, reader)) => reader(state, layer),
        None => Err(Stop::UnknownLink(link)),
    }
}

/// Address families of IP, on all systems that write captures.
pub(super) const fn is_ip_family(family: u32) -> bool {
    // 2: all. IPv6: 10 Linux, 23 Windows, 24 NetBSD and OpenBSD, 26 Solaris, 28 FreeBSD, 30 macOS.
    matches!(family, 2 | 10 | 23 | 24 | 26 | 28 | 30)
}
