//! Encapsulations that no public capture of the corpus shows.
//!
//! In:  an Ethernet frame.
//! Out: the same packet after a rare link-layer header or in a rare tunnel.
//! Not: the encapsulations of [`super::encapsulation`].
//!
//! Link-layer headers: the LINKTYPE_ registry of tcpdump.org.

use super::encapsulation::ETHERNET;
use super::encapsulation::Encapsulation;
use super::encapsulation::gre;
use super::encapsulation::outer;
use super::encapsulation::outer_udp;
use super::encapsulation::packet;
use super::frame::IPV4;
use super::frame::MACS;
use super::frame::ethernet;

/// All rare encapsulations.
#[rustfmt::skip]
pub const RARE_ENCAPSULATIONS: &[Encapsulation] = &[
    // IEEE 802.5: access control, frame control, addresses.
    link("token-ring", 6, |frame| packet(frame, |kind, ip| [&[0x10, 0x40][..], &MACS.concat(), &snap(kind), ip].concat())),
    // RFC 1201: source, destination, system code, split flag, sequence number.
    link("arcnet", 7, |frame| packet(frame, |kind, ip| [&[1, 2, if kind == IPV4 { 0xd4 } else { 0xc4 }, 0, 0, 1][..], ip].concat())),
    // RFC 1662 §3.1.
    link("ppp-hdlc", 50, |frame| packet(frame, |kind, ip| ppp(&[0xff, 3], kind, ip))),
    // RFC 2516 §4: version and type, code, session, length.
    link("pppoe-session", 51, |frame| packet(frame, |kind, ip| {
        let body = ppp(&[], kind, ip);
        [&[0x11, 0, 0, 42][..], &(body.len() as u16).to_be_bytes(), &body].concat()
    })),
    link("atm-llc", 100, |frame| packet(frame, |kind, ip| [&snap(kind)[..], ip].concat())),
    // RFC 2225.
    link("atm-clip", 106, |frame| packet(frame, |kind, ip| [&snap(kind)[..], ip].concat())),
    // Address family in host byte order, SPI, flags.
    link("enc", 109, |frame| packet(frame, |kind, ip| [&family(kind).to_le_bytes()[..], &[0, 0, 0x12, 0x34, 0, 0, 0, 3], ip].concat())),
    // Length without padding, address family, action, reason; names and numbers; direction.
    link("pflog", 117, |frame| packet(frame, |kind, ip| [&[61, family(kind) as u8, 0, 0][..], &[0; 56], &[1, 0, 0, 0], ip].concat())),
    // Message code and length in host byte order.
    link("prism", 119, |frame| packet(frame, |kind, ip| [&0x44_u32.to_le_bytes()[..], &144_u32.to_le_bytes(), &[0; 136], &wlan(kind, ip)].concat())),
    // RFC 2625 §3.1: network header.
    link("fibre-channel", 122, |frame| packet(frame, |kind, ip| [&[0x10; 16][..], &snap(kind), ip].concat())),
    // Flags (LLC), virtual path, virtual channel.
    link("sunatm", 123, |frame| packet(frame, |kind, ip| [&[2, 0, 0, 42][..], &snap(kind), ip].concat())),
    link("ieee1394", 138, |frame| packet(frame, |kind, ip| [&[2; 16][..], &kind.to_be_bytes(), ip].concat())),
    // Version and length.
    link("avs", 163, |frame| packet(frame, |kind, ip| [&0x8021_1001_u32.to_be_bytes()[..], &64_u32.to_be_bytes(), &[0; 56], &wlan(kind, ip)].concat())),
    // Direction in place of the HDLC address.
    link("pppd", 166, |frame| packet(frame, |kind, ip| ppp(&[1, 3], kind, ip))),
    // Time stamp, type Ethernet, flags, record length, loss counter, wire length; offset and padding.
    link("erf", 197, |frame| {
        let [record, wire] = [18 + frame.len(), frame.len()].map(|len| (len as u16).to_be_bytes());
        vec![[&[0; 8][..], &[2, 4], &record, &[0, 0], &wire, &[0, 0], frame].concat()]
    }),
    link("ppp-direction", 204, |frame| packet(frame, |kind, ip| ppp(&[1, 0xff, 3], kind, ip))),
    link("hdlc-direction", 205, |frame| packet(frame, |kind, ip| [&[1, 0x0f, 0][..], &kind.to_be_bytes(), ip].concat())),
    // RFC 2427 §4: address, control, NLPID.
    link("frame-relay-direction", 206, |frame| packet(frame, |kind, ip| [&[1, 0x18, 0x41, 3, if kind == IPV4 { 0xcc } else { 0x8e }][..], ip].concat())),
    link("netanalyzer", 240, |frame| vec![[&[0; 4], frame].concat()]),
    link("netanalyzer-transparent", 241, |frame| vec![[&[0; 4][..], &PREAMBLE, frame].concat()]),
    // IEEE 802.3br: an express mPacket.
    link("mpacket", 274, |frame| vec![[&PREAMBLE, frame].concat()]),
    link("broadcom-tag", 281, |frame| vec![[&frame[..12], &[0x20, 0, 0, 1], &frame[12..]].concat()]),
    // MikroTik: GRE version 1; the key holds the payload length and a little-endian tunnel id.
    tunnel("eoip", |frame| vec![gre(&[0x20, 1], 0x6400, &[&(frame.len() as u16).to_be_bytes()[..], &[42, 0]].concat(), frame)]),
    // RFC 3378 §3: version 3.
    tunnel("etherip", |frame| vec![outer(97, &[&[0x30, 0], frame].concat())]),
    // RFC 4023 §3.
    tunnel("mpls-in-ip", |frame| packet(frame, |_, ip| outer(137, &[&[0, 1, 1, 64], ip].concat()))),
    // RFC 7637 §3.2: 24 bits of virtual subnet, 8 of flow.
    tunnel("nvgre", |frame| vec![gre(&[0x20, 0], 0x6558, &[0, 0x13, 0x88, 1], frame)]),
    // IEEE 802.1Q §9.7: flags and service id.
    tunnel("pbb", |frame| vec![ethernet(MACS[1], MACS[0], 0x88e7, &[&[0, 0, 0, 42], frame].concat())]),
    // IEC 62439-3: path and size, sequence number, then the EtherType.
    tunnel("redundancy", |frame| vec![[&frame[..12], &[0x89, 0x2f, 0, 0x20, 0, 1], &frame[12..]].concat()]),
    // RFC 6325 §3: flags and hop count, egress and ingress nickname.
    tunnel("trill", |frame| vec![ethernet(MACS[1], MACS[0], 0x22f3, &[&[0, 20, 0, 1, 0, 2], frame].concat())]),
    // Version, type (received), encapsulation (Ethernet), end tag.
    tunnel("tzsp", |frame| vec![outer_udp(37008, &[&[1, 0, 0, 1, 1], frame].concat())]),
];

/// IEEE 802.3 §3.2: preamble and start frame delimiter.
const PREAMBLE: [u8; 8] = [0x55, 0x55, 0x55, 0x55, 0x55, 0x55, 0x55, 0xd5];

const fn link(name: &'static str, link: u32, encapsulate: fn(&[u8]) -> Vec<Vec<u8>>) -> Encapsulation {
    Encapsulation { name, link, encapsulate }
}

const fn tunnel(name: &'static str, encapsulate: fn(&[u8]) -> Vec<Vec<u8>>) -> Encapsulation {
    link(name, ETHERNET, encapsulate)
}

/// RFC 1042: LLC and SNAP with an EtherType.
fn snap(kind: u16) -> Vec<u8> {
    [&[0xaa, 0xaa, 3, 0, 0, 0][..], &kind.to_be_bytes()].concat()
}

fn ppp(header: &[u8], kind: u16, ip: &[u8]) -> Vec<u8> {
    [header, if kind == IPV4 { &[0, 0x21] } else { &[0, 0x57] }, ip].concat()
}

/// Address families of OpenBSD.
const fn family(kind: u16) -> u32 {
    if kind == IPV4 { 2 } else { 24 }
}

/// An 802.11 data frame from an access point.
fn wlan(kind: u16, ip: &[u8]) -> Vec<u8> {
    let addresses = [[2; 6], [4; 6], [6; 6]].concat();
    [&[0x08, 0x02, 0, 0][..], &addresses, &[0x10, 0], &snap(kind), ip].concat()
}
