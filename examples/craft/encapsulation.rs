//! Encapsulates frames: VLAN tags, tunnels, IP fragments, other link types.
//!
//! In:  an Ethernet frame.
//! Out: the same packet as captured at another point of the path.
//! Not: the payload.

use std::net::IpAddr;
use std::net::Ipv4Addr;

use super::frame::IPV4;
use super::frame::IPV6;
use super::frame::MACS;
use super::frame::checksum;
use super::frame::ethernet;
use super::frame::ip;
use super::frame::udp;

/// An encapsulation: its name, the link type of its output, and the function that applies it.
pub struct Encapsulation {
    /// As in the name of its case.
    pub name: &'static str,
    /// Link type of the capture file.
    pub link: u32,
    /// Encapsulates a frame; no frame if it cannot carry this one.
    pub encapsulate: fn(&[u8]) -> Vec<Vec<u8>>,
}

/// LINKTYPE_ETHERNET.
pub const ETHERNET: u32 = 1;

/// All encapsulations.
pub const ENCAPSULATIONS: &[Encapsulation] = &[
    Encapsulation { name: "vlan", link: ETHERNET, encapsulate: |frame| vec![tag(frame, &[(0x8100, 7)])] },
    Encapsulation {
        name: "qinq",
        link: ETHERNET,
        encapsulate: |frame| vec![tag(frame, &[(0x88a8, 500), (0x8100, 7)])],
    },
    Encapsulation { name: "vxlan", link: ETHERNET, encapsulate: |frame| vec![vxlan(frame)] },
    Encapsulation { name: "geneve", link: ETHERNET, encapsulate: |frame| vec![geneve(frame)] },
    Encapsulation {
        name: "gre",
        link: ETHERNET,
        encapsulate: |frame| packet(frame, |kind, ip| gre(&[0, 0], kind, &[], ip)),
    },
    Encapsulation {
        name: "gre-ethernet",
        link: ETHERNET,
        encapsulate: |frame| vec![gre(&[0, 0], 0x6558, &[], frame)],
    },
    Encapsulation { name: "erspan", link: ETHERNET, encapsulate: |frame| vec![erspan(frame)] },
    Encapsulation { name: "mpls", link: ETHERNET, encapsulate: |frame| packet(frame, mpls) },
    Encapsulation { name: "pppoe", link: ETHERNET, encapsulate: |frame| packet(frame, pppoe) },
    Encapsulation { name: "ip-in-ip", link: ETHERNET, encapsulate: |frame| packet(frame, ip_in_ip) },
    Encapsulation { name: "gtp-u", link: ETHERNET, encapsulate: |frame| packet(frame, gtp) },
    Encapsulation {
        name: "erspan-1",
        link: ETHERNET,
        encapsulate: |frame| vec![gre(&[0, 0], 0x88be, &[], frame)],
    },
    Encapsulation { name: "erspan-3", link: ETHERNET, encapsulate: |frame| vec![erspan_3(frame)] },
    Encapsulation {
        name: "nested",
        link: ETHERNET,
        encapsulate: |frame| vec![erspan(&tag(&vxlan(&tag(frame, &[(0x8100, 7)])), &[(0x8100, 9)]))],
    },
    Encapsulation { name: "radiotap", link: 127, encapsulate: |frame| packet(frame, radiotap) },
    Encapsulation { name: "fragments", link: ETHERNET, encapsulate: fragments },
    Encapsulation { name: "sll", link: 113, encapsulate: |frame| packet(frame, sll) },
    Encapsulation { name: "sll2", link: 276, encapsulate: |frame| packet(frame, sll2) },
    Encapsulation { name: "raw", link: 101, encapsulate: |frame| packet(frame, |_, ip| ip.to_vec()) },
    Encapsulation { name: "null", link: 0, encapsulate: |frame| packet(frame, null) },
    Encapsulation { name: "loopback", link: 108, encapsulate: |frame| packet(frame, loopback) },
    Encapsulation { name: "ppp", link: 9, encapsulate: |frame| packet(frame, ppp) },
    Encapsulation { name: "hdlc", link: 104, encapsulate: |frame| packet(frame, hdlc) },
];

/// The EtherType and payload of a frame, after any VLAN tags.
pub fn ethernet_payload(frame: &[u8]) -> (u16, &[u8]) {
    let mut at = 12;
    loop {
        let kind = u16::from_be_bytes([frame[at], frame[at + 1]]);
        if !matches!(kind, 0x8100 | 0x88a8) {
            return (kind, &frame[at + 2..]);
        }
        at += 4;
    }
}

/// Encapsulates IP packets and omits all other frames.
pub fn packet(frame: &[u8], encapsulate: fn(u16, &[u8]) -> Vec<u8>) -> Vec<Vec<u8>> {
    let (kind, body) = ethernet_payload(frame);
    // Ethernet padding is not part of the packet.
    let len = match kind {
        IPV4 => usize::from(u16::from_be_bytes([body[2], body[3]])),
        IPV6 => 40 + usize::from(u16::from_be_bytes([body[4], body[5]])),
        _ => return Vec::new(),
    };
    vec![encapsulate(kind, &body[..len.min(body.len())])]
}

pub fn outer(protocol: u8, body: &[u8]) -> Vec<u8> {
    let [from, to] = [Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 0, 2, 2)].map(IpAddr::V4);
    ethernet(MACS[1], MACS[0], IPV4, &ip(from, to, protocol, 0x4242, body))
}

pub fn outer_udp(port: u16, body: &[u8]) -> Vec<u8> {
    let [from, to] = [Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 0, 2, 2)].map(IpAddr::V4);
    outer(17, &udp((from, 54321), (to, port), body))
}

/// IEEE 802.1Q §9.6.
pub fn tag(frame: &[u8], tags: &[(u16, u16)]) -> Vec<u8> {
    let mut out = frame[..12].to_vec();
    for (kind, id) in tags {
        out.extend(kind.to_be_bytes());
        out.extend(id.to_be_bytes());
    }
    out.extend(&frame[12..]);
    out
}

/// RFC 7348 §5.
fn vxlan(frame: &[u8]) -> Vec<u8> {
    outer_udp(4789, &[&[8, 0, 0, 0, 0, 0, 42, 0], frame].concat())
}

/// RFC 8926 §3.4.
fn geneve(frame: &[u8]) -> Vec<u8> {
    outer_udp(6081, &[&[0, 0, 0x65, 0x58, 0, 0, 42, 0], frame].concat())
}

/// RFC 2784 §2.1; `more` holds the optional fields that the flags announce.
pub fn gre(flags: &[u8; 2], kind: u16, more: &[u8], body: &[u8]) -> Vec<u8> {
    outer(47, &[flags, &kind.to_be_bytes()[..], more, body].concat())
}

/// ERSPAN type II: a sequence number in the GRE header, then an eight-byte ERSPAN header.
fn erspan(frame: &[u8]) -> Vec<u8> {
    gre(&[0x10, 0], 0x88be, &[0, 0, 0, 9], &[&[0x10, 7, 0, 42, 0, 0, 0, 3], frame].concat())
}

/// ERSPAN type III: version 2, VLAN, session, time stamp, group tag, and a flag for the eight-byte platform subheader.
fn erspan_3(frame: &[u8]) -> Vec<u8> {
    let head = [0x20, 7, 0, 42, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
    gre(&[0x10, 0], 0x22eb, &[0, 0, 0, 9], &[&head[..], frame].concat())
}

/// radiotap with its flags field, an 802.11 QoS data frame from an access point, LLC and SNAP.
fn radiotap(kind: u16, ip: &[u8]) -> Vec<u8> {
    let radio = [0, 0, 9, 0, 2, 0, 0, 0, 0];
    let control = [0x88, 0x02, 0, 0];
    let addresses = [[2; 6], [4; 6], [6; 6]].concat();
    let snap = [0xaa, 0xaa, 3, 0, 0, 0];
    [&radio[..], &control, &addresses, &[0x10, 0], &[0, 0], &snap, &kind.to_be_bytes(), ip].concat()
}

/// RFC 3032 §2.1: two labels, the last with the bottom bit.
fn mpls(_: u16, ip: &[u8]) -> Vec<u8> {
    ethernet(MACS[1], MACS[0], 0x8847, &[&[0, 1, 0, 64, 0, 2, 1, 64], ip].concat())
}

/// RFC 2516 §4, and PPP's protocol number.
fn pppoe(kind: u16, ip: &[u8]) -> Vec<u8> {
    let protocol: [u8; 2] = if kind == IPV4 { [0, 0x21] } else { [0, 0x57] };
    let len = (2 + ip.len()) as u16;
    let head = [&[0x11, 0, 0, 42][..], &len.to_be_bytes(), &protocol].concat();
    ethernet(MACS[1], MACS[0], 0x8864, &[&head[..], ip].concat())
}

/// RFC 2003 §3 and RFC 4213 §3.
fn ip_in_ip(kind: u16, ip: &[u8]) -> Vec<u8> {
    outer(if kind == IPV4 { 4 } else { 41 }, ip)
}

/// Linux cooked capture.
fn sll(kind: u16, ip: &[u8]) -> Vec<u8> {
    [&[0, 0, 0, 1, 0, 6, 2, 0, 10, 1, 0, 4, 0, 0][..], &kind.to_be_bytes(), ip].concat()
}

/// Linux cooked capture, version 2.
fn sll2(kind: u16, ip: &[u8]) -> Vec<u8> {
    let head = [0, 0, 0, 0, 0, 2, 0, 1, 0, 6, 2, 0, 10, 1, 0, 4, 0, 0];
    [&kind.to_be_bytes()[..], &head, ip].concat()
}

/// BSD loopback: the address family in the byte order of the machine that wrote it; 30 is what macOS calls IPv6.
fn null(kind: u16, ip: &[u8]) -> Vec<u8> {
    let family: u32 = if kind == IPV4 { 2 } else { 30 };
    [&family.to_le_bytes()[..], ip].concat()
}

/// The same as OpenBSD writes it: big-endian, and with its own number for IPv6.
fn loopback(kind: u16, ip: &[u8]) -> Vec<u8> {
    let family: u32 = if kind == IPV4 { 2 } else { 24 };
    [&family.to_be_bytes()[..], ip].concat()
}

/// RFC 1662 §3.1.
fn ppp(kind: u16, ip: &[u8]) -> Vec<u8> {
    [&[0xff, 3, 0, if kind == IPV4 { 0x21 } else { 0x57 }], ip].concat()
}

/// Cisco HDLC: unicast, then an EtherType.
fn hdlc(kind: u16, ip: &[u8]) -> Vec<u8> {
    [&[0x0f, 0][..], &kind.to_be_bytes(), ip].concat()
}

/// 3GPP TS 29.281 §5.1: a G-PDU.
fn gtp(_: u16, ip: &[u8]) -> Vec<u8> {
    let len = (ip.len() as u16).to_be_bytes();
    outer_udp(2152, &[&[0x30, 0xff, len[0], len[1], 0, 0, 0, 9], ip].concat())
}

/// Bytes of a packet's payload in each fragment: a multiple of eight.
const PIECE: usize = 400;

/// RFC 791 §3.2 and RFC 8200 §4.5: long packets in pieces.
pub fn fragments(frame: &[u8]) -> Vec<Vec<u8>> {
    let (kind, body) = ethernet_payload(frame);
    let link = &frame[..frame.len() - body.len()];
    match kind {
        IPV4 if body[6] & 0x3f == 0 && body[7] == 0 => {
            let len = usize::from(u16::from_be_bytes([body[2], body[3]])).min(body.len());
            let (head, payload) = body[..len].split_at(usize::from(body[0] & 0xf) * 4);
            if payload.len() <= PIECE {
                return vec![frame.to_vec()];
            }
            let piece = |(number, part): (usize, &[u8])| {
                let mut head = head.to_vec();
                let more = number * PIECE + part.len() < payload.len();
                let offset = (number * PIECE / 8) as u16 | if more { 0x2000 } else { 0 };
                head[2..4].copy_from_slice(&((20 + part.len()) as u16).to_be_bytes());
                head[6..8].copy_from_slice(&offset.to_be_bytes());
                head[10..12].fill(0);
                let sum = checksum(&[&head]);
                head[10..12].copy_from_slice(&sum.to_be_bytes());
                [link, &head, part].concat()
            };
            payload.chunks(PIECE).enumerate().map(piece).collect()
        }
        IPV6 => {
            let (head, payload) = body.split_at(40);
            if payload.len() <= PIECE {
                return vec![frame.to_vec()];
            }
            // The same identification in all pieces of one packet, and another in the next: its checksum will do.
            let id = u32::from(checksum(&[payload])) << 8 | payload.len() as u32 & 0xff;
            let piece = |(number, part): (usize, &[u8])| {
                let mut head = head.to_vec();
                let more = u16::from(number * PIECE + part.len() < payload.len());
                let next = std::mem::replace(&mut head[6], 44);
                head[4..6].copy_from_slice(&((8 + part.len()) as u16).to_be_bytes());
                let offset = (number * PIECE) as u16 | more;
                [link, &head, &[next, 0], &offset.to_be_bytes(), &id.to_be_bytes(), part].concat()
            };
            payload.chunks(PIECE).enumerate().map(piece).collect()
        }
        _ => vec![frame.to_vec()],
    }
}
