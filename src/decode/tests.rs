//! What must hold for all of decode: the same packet in any wrapping, any bytes under any link type.

use std::net::IpAddr;

use proptest::collection::vec;
use proptest::prelude::any;
use proptest::prop_assert;
use proptest::prop_assert_eq;
use proptest::proptest;

use super::*;
use crate::base::Address;
use crate::base::FileId;
use crate::base::FrameRef;
use crate::base::Time;
use crate::base::proto;
use crate::capture::Frame;
use crate::capture::LinkType;

/// A frame that was captured whole.
fn frame(link: u16, bytes: &[u8], number: u64) -> Frame<'_> {
    Frame {
        frame_ref: FrameRef { file: FileId(0), number },
        time: Time::from_parts(1_000 + number as i64, 0),
        link: LinkType(link),
        wire_len: bytes.len() as u32,
        bytes,
    }
}

fn decoder() -> Decoder {
    Decoder::new(FragmentLimits::default())
}

/// What a test wants to know of an outcome, owned.
fn told(decoded: &Decoded<'_>) -> String {
    match decoded {
        Decoded::Packet(p) => {
            let kind = match p.transport {
                Transport::Tcp(tcp) => {
                    format!("tcp seq={} flags={:#x} options={}", tcp.seq, tcp.flags, tcp.options.len())
                }
                Transport::Udp => "udp".to_owned(),
                Transport::Icmp { kind, code, .. } => format!("icmp {kind}/{code}"),
                Transport::Other => format!("protocol {}", p.protocol),
            };
            format!(
                "{}:{} > {}:{} {kind} {:?}/{}",
                p.src, p.src_port, p.dst, p.dst_port, p.payload, p.payload_len
            )
        }
        Decoded::Damaged(damage) => format!("{} {} {:?}", damage.layer, damage.wanted, damage.fate),
        other => format!("{other:?}"),
    }
}

/// One frame, its outcome and its tags and tunnels.
#[track_caller]
fn check(link: u16, bytes: &[u8], expected: &str, vlans: &str, tunnel: &str) {
    let mut decoder = decoder();
    let decoded = decoder.packet(&frame(link, bytes, 1));
    assert_eq!(told(&decoded), expected, "link type {link}");
    if let Decoded::Packet(packet) = &decoded {
        assert_eq!((packet.wrapping.vlans().as_str(), packet.wrapping.tunnel().as_str()), (vlans, tunnel));
    }
    decoder.finish();
    assert!(decoder.counts().add_up());
}

fn join(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

fn be(number: usize) -> [u8; 2] {
    (number as u16).to_be_bytes()
}

/// Hexadecimal, with spaces where they help.
fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// An IPv4 header without options, its checksum right, before `inside`.
fn ipv4(protocol: u8, id: u16, fragment: u16, ends: ([u8; 4], [u8; 4]), inside: &[u8]) -> Vec<u8> {
    let (src, dst) = ends;
    let mut header = join(&[
        &[0x45, 0],
        &be(20 + inside.len()),
        &id.to_be_bytes(),
        &fragment.to_be_bytes(),
        &[64, protocol, 0, 0],
        &src,
        &dst,
    ]);
    let mut sum: u32 = header.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum();
    sum = (sum & 0xffff) + (sum >> 16);
    let sum = !(((sum & 0xffff) + (sum >> 16)) as u16);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    join(&[&header, inside])
}

const A: [u8; 4] = [10, 1, 2, 3];
const B: [u8; 4] = [20, 60, 0, 4];
/// The ends of tunnels.
const OUTER: ([u8; 4], [u8; 4]) = ([192, 0, 2, 1], [192, 0, 2, 2]);

fn ipv6(next: u8, inside: &[u8]) -> Vec<u8> {
    join(&[
        &[0x60, 0, 0, 0],
        &be(inside.len()),
        &[next, 64],
        &hex("fd00 0000 0000 0000 0000 0000 0000 0001"),
        &hex("fd00 0000 0000 0000 0000 0000 0000 0002"),
        inside,
    ])
}

/// Ports 49152 to 443, sequence 1, SYN with an MSS option, `payload`.
fn tcp(payload: &[u8]) -> Vec<u8> {
    join(&[&hex("c000 01bb 00000001 00000000 60 02 ffff 0000 0000 020405b4"), payload])
}

fn udp(src: u16, dst: u16, payload: &[u8]) -> Vec<u8> {
    join(&[&src.to_be_bytes(), &dst.to_be_bytes(), &be(8 + payload.len()), &[0, 0], payload])
}

fn ethernet(ether_type: u16, inside: &[u8]) -> Vec<u8> {
    join(&[&hex("020000000002 020000000001"), &ether_type.to_be_bytes(), inside])
}

fn plain4() -> Vec<u8> {
    ipv4(6, 7, 0x4000, (A, B), &tcp(b"hi"))
}

fn plain6() -> Vec<u8> {
    ipv6(6, &tcp(b"hi"))
}

/// IPv4 of the version of `ip`, as an ether type.
fn type_of(ip: &[u8]) -> u16 {
    if ip[0] >> 4 == 6 { 0x86dd } else { 0x0800 }
}

fn llc(ip: &[u8]) -> Vec<u8> {
    join(&[&hex("aaaa03 000000"), &type_of(ip).to_be_bytes(), ip])
}

fn ppp(ip: &[u8]) -> Vec<u8> {
    join(&[if type_of(ip) == 0x86dd { &[0, 0x57] } else { &[0, 0x21] }, ip])
}

const TCP4: &str = "10.1.2.3:49152 > 20.60.0.4:443 tcp seq=1 flags=0x2 options=4 [104, 105]/2";

/// A link type's frame around an IP packet.
type Framing = fn(&[u8]) -> Vec<u8>;

#[rustfmt::skip]
const LINK_FRAMES: &[(u16, Framing)] = &[
    // Address family 2 or, for IPv6, 30: little-endian, then big-endian.
    (0, |ip| join(&[&[if type_of(ip) == 0x86dd { 30 } else { 2 }, 0, 0, 0], ip])),
    (0, |ip| join(&[&[0, 0, 0, if type_of(ip) == 0x86dd { 24 } else { 2 }], ip])),
    (108, |ip| join(&[&[0, 0, 0, if type_of(ip) == 0x86dd { 28 } else { 2 }], ip])),
    (1, |ip| ethernet(type_of(ip), ip)),
    // A length, LLC, SNAP; then padding.
    (1, |ip| join(&[&hex("020000000002 020000000001"), &be(8 + ip.len()), &llc(ip), &[0; 9]])),
    // Padding that is no payload.
    (1, |ip| join(&[&ethernet(type_of(ip), ip), &[0; 20]])),
    (6, |ip| join(&[&hex("10 40 020000000002 020000000001"), &llc(ip)])),
    // A source with a route of four bytes.
    (6, |ip| join(&[&hex("10 40 020000000002 820000000001 0470 0011"), &llc(ip)])),
    (8, |ip| join(&[&[1; 16], ip])),
    (9, |ip| join(&[&hex("ff03"), &ppp(ip)])),
    (9, ppp),
    (9, |ip| ppp(ip)[1..].to_vec()),
    (10, |ip| join(&[&hex("50 020000000002 020000000001"), &llc(ip)])),
    (12, <[u8]>::to_vec), (14, <[u8]>::to_vec), (101, <[u8]>::to_vec),
    (50, |ip| join(&[&hex("ff03"), &ppp(ip)])),
    (51, |ip| join(&[&hex("11 00 0000"), &be(2 + ip.len()), &ppp(ip)])),
    (104, |ip| join(&[&hex("0f00"), &type_of(ip).to_be_bytes(), ip])),
    // A data frame from a station, plain; with QoS; with four addresses, QoS and HT control.
    (105, |ip| join(&[&hex("0801 0000"), &[2; 18], &hex("0000"), &llc(ip)])),
    (105, |ip| join(&[&hex("8802 0000"), &[2; 18], &hex("0000 0000"), &llc(ip)])),
    (105, |ip| join(&[&hex("8883 0000"), &[2; 18], &hex("0000"), &[2; 6], &hex("0000 00000000"), &llc(ip)])),
    // An aggregate of one.
    (105, |ip| join(&[&hex("8802 0000"), &[2; 18], &hex("0000 8000"), &[2; 12], &be(8 + ip.len()), &llc(ip)])),
    // Q.922 address, control, NLPID; Cisco's way.
    (107, |ip| join(&[&hex("1841 03"), &[if type_of(ip) == 0x86dd { 0x8e } else { 0xcc }], ip])),
    (107, |ip| join(&[&hex("1841"), &type_of(ip).to_be_bytes(), ip])),
    (107, |ip| join(&[&hex("1841 03 00 80 000000"), &type_of(ip).to_be_bytes(), ip])),
    (113, |ip| join(&[&hex("0000 0001 0006 020000000001 0000"), &type_of(ip).to_be_bytes(), ip])),
    (117, |ip| join(&[&[61, 2], &[0; 62], ip])),
    (119, |ip| join(&[&hex("44000000 90000000"), &[0; 136], &hex("0801 0000"), &[2; 18], &hex("0000"), &llc(ip)])),
    (122, |ip| join(&[&[0; 16], &llc(ip)])),
    // Presence: time stamp and flags; flags: header padded.
    (127, |ip| join(&[&hex("00 00 1100 03000000 0000000000000000 20"), &hex("8802 0000"), &[2; 18], &hex("0000 0000 0000"), &llc(ip)])),
    (127, |ip| join(&[&hex("00 00 0800 00000000"), &hex("0801 0000"), &[2; 18], &hex("0000"), &llc(ip)])),
    (129, |ip| join(&[&hex("0102 0000 d4 00 0001"), ip])),
    (138, |ip| join(&[&[0; 16], &type_of(ip).to_be_bytes(), ip])),
    (163, |ip| join(&[&hex("80211001 00000040"), &[0; 56], &hex("0801 0000"), &[2; 18], &hex("0000"), &llc(ip)])),
    (178, |ip| join(&[&hex("4d4743 80 0002 0000"), &ethernet(type_of(ip), ip)])),
    (192, |ip| join(&[&hex("00 00 0800 01000000"), &ethernet(type_of(ip), ip)])),
    (197, |ip| join(&[&[0; 8], &hex("82 04 0000 0000"), &be(14 + ip.len()), &hex("0000000000000000 0000"), &ethernet(type_of(ip), ip)])),
    (204, |ip| join(&[&[1], &hex("ff03"), &ppp(ip)])),
    (226, |ip| join(&[&[1, 2], &[0; 22], ip])),
    (228, <[u8]>::to_vec), (229, <[u8]>::to_vec),
    // An attribute of 5 bytes and its padding, then the packet; little-endian.
    (239, |ip| join(&[&[2, 0, 0, 0], &hex("0500 0a00 00 000000"), &(4 + ip.len() as u16).to_le_bytes(), &hex("0900"), ip])),
    (258, |ip| join(&[&hex("0c000000 01000000 01000000"), &ethernet(type_of(ip), ip)])),
    (274, |ip| join(&[&hex("55555555555555 d5"), &ethernet(type_of(ip), ip)])),
    (276, |ip| join(&[&type_of(ip).to_be_bytes(), &hex("0000 00000002 0001 00 06 0200000000010000"), ip])),
];

/// 1,500 bytes behind eight of SNAP: a length that the standard does not know, and kernels do.
#[test]
fn a_full_packet_behind_snap() {
    let ip = ipv4(6, 7, 0x4000, (A, B), &tcp(&[7; 1456]));
    let bytes = join(&[&hex("020000000002 020000000001"), &be(8 + ip.len()), &llc(&ip)]);
    assert_eq!(bytes.get(12..14), Some(&[0x05, 0xe4][..]));
    let mut decoder = decoder();
    let whole = frame(1, &bytes, 1);
    let Decoded::Packet(packet) = decoder.packet(&whole) else { panic!("no packet") };
    assert_eq!(packet.payload_len, 1456);
    // A number of that size alone is no length.
    let other = join(&[&hex("020000000002 020000000001 05e4 4242"), &ip]);
    assert!(matches!(decoder.packet(&frame(1, &other, 2)), Decoded::NotIp(0x05e4)));
}

#[test]
fn every_link_type_gives_the_same_packet() {
    for (link, framing) in LINK_FRAMES {
        for ip in [plain4(), plain6()] {
            let mut decoder = decoder();
            let bytes = framing(&ip);
            let told = told(&decoder.packet(&frame(*link, &bytes, 1)));
            let expected = if type_of(&ip) == 0x86dd {
                "fd00::1:49152 > fd00::2:443 tcp seq=1 flags=0x2 options=4 [104, 105]/2"
            } else {
                TCP4
            };
            assert_eq!(told, expected, "link type {link}: {bytes:02x?}");
        }
    }
}

/// What Linux leaves of tags in a cooked frame: the inner one where IP should begin, the outer one as libpcap put it back.
#[test]
fn cooked_frames_keep_their_tags() {
    for ip in [plain4(), plain6()] {
        let kind = type_of(&ip).to_be_bytes();
        let cooked =
            |number: &[u8], inside: &[u8]| join(&[&hex("0000 0001 0006 020000000001 0000"), number, inside]);
        let tagged = join(&[&hex("000a"), &kind, &ip]);
        let twice = join(&[&hex("0014"), &kind, &tagged]);
        for (bytes, vlans) in [
            (cooked(&hex("8100"), &tagged), "10"),
            (cooked(&kind, &tagged), "10"),
            (cooked(&hex("88a8"), &twice), "20;10"),
            (cooked(&hex("88a8"), &join(&[&hex("0014 8100"), &tagged])), "20;10"),
        ] {
            let mut decoder = decoder();
            let Decoded::Packet(packet) = decoder.packet(&frame(113, &bytes, 1)) else {
                panic!("{bytes:02x?}");
            };
            assert_eq!((packet.dst_port, packet.wrapping.vlans().as_str()), (443, vlans), "{bytes:02x?}");
        }
    }
}

#[test]
fn an_unknown_link_type_keeps_its_number() {
    check(227, &[1, 2, 3], "UnknownLink(LinkType(227))", "", "");
    assert_eq!(LinkType(113).name(), Some("linux cooked"));
    assert_eq!(LinkType(227).name(), None);
}

/// A wrapping around a whole Ethernet frame's type and inside: gives the outer Ethernet frame's type and inside.
struct Around {
    tunnel: &'static str,
    vlans: &'static str,
    wrap: fn(&[u8]) -> Vec<u8>,
}

fn over_udp(port: u16, inside: &[u8]) -> Vec<u8> {
    ethernet(0x0800, &ipv4(17, 1, 0, OUTER, &udp(50_000, port, inside)))
}

fn over_ip(protocol: u8, inside: &[u8]) -> Vec<u8> {
    ethernet(0x0800, &ipv4(protocol, 1, 0, OUTER, inside))
}

fn inner(ip: &[u8]) -> Vec<u8> {
    ethernet(type_of(ip), ip)
}

const fn around(tunnel: &'static str, vlans: &'static str, wrap: fn(&[u8]) -> Vec<u8>) -> Around {
    Around { tunnel, vlans, wrap }
}

#[rustfmt::skip]
const WRAPPINGS: &[Around] = &[
    around("", "10", |ip| ethernet(0x8100, &join(&[&hex("000a"), &type_of(ip).to_be_bytes(), ip]))),
    // Priority 5, DEI set: neither is part of the id.
    around("", "10", |ip| ethernet(0x8100, &join(&[&hex("b00a"), &type_of(ip).to_be_bytes(), ip]))),
    around("", "", |ip| ethernet(0x8100, &join(&[&hex("e000"), &type_of(ip).to_be_bytes(), ip]))),
    around("", "100;200", |ip| ethernet(0x88a8, &join(&[&hex("0064 8100 00c8"), &type_of(ip).to_be_bytes(), ip]))),
    around("", "1;2;3", |ip| ethernet(0x9100, &join(&[&hex("0001 8100 0002 8100 0003"), &type_of(ip).to_be_bytes(), ip]))),
    // A VLAN tag before a length.
    around("", "10", |ip| ethernet(0x8100, &join(&[&hex("000a"), &be(8 + ip.len()), &llc(ip)]))),
    around("mpls:16 / mpls:17", "", |ip| ethernet(0x8847, &join(&[&hex("00010040 00011140"), ip]))),
    around("mpls:16", "", |ip| ethernet(0x8847, &join(&[&hex("00010140 00000000"), &inner(ip)]))),
    around("mpls:16", "", |ip| ethernet(0x8847, &join(&[&hex("00010140"), &inner(ip)]))),
    around("pppoe:5", "", |ip| ethernet(0x8864, &join(&[&hex("11 00 0005"), &be(2 + ip.len()), &ppp(ip)]))),
    around("pbb:66051", "", |ip| ethernet(0x88e7, &join(&[&hex("00 010203"), &inner(ip)]))),
    around("fabricpath:1", "", |ip| ethernet(0x8903, &join(&[&hex("0060"), &inner(ip)]))),
    around("vntag", "", |ip| ethernet(0x8926, &join(&[&hex("00000000"), &type_of(ip).to_be_bytes(), ip]))),
    around("etag", "", |ip| ethernet(0x893f, &join(&[&hex("000000000000"), &type_of(ip).to_be_bytes(), ip]))),
    around("metadata", "", |ip| ethernet(0x8909, &join(&[&hex("01 01 0001 0010"), &type_of(ip).to_be_bytes(), ip]))),
    around("trill", "", |ip| ethernet(0x22f3, &join(&[&hex("0040 0000 0000 00000000"), &inner(ip)]))),
    // SC set, E and C off, a channel identifier of eight bytes; 16 bytes of check value at the end.
    around("macsec", "", |ip| ethernet(0x88e5, &join(&[&hex("20 00 00000001 0000000000000001"), &type_of(ip).to_be_bytes(), ip, &[9; 16]]))),
    around("nsh:7", "", |ip| ethernet(0x894f, &join(&[&hex("0002 02"), &[if type_of(ip) == 0x86dd { 2 } else { 1 }], &hex("000007 ff"), ip]))),
    around("nsh:7", "", |ip| ethernet(0x894f, &join(&[&hex("0004 02 03 000007 ff 0000000000000000"), &inner(ip)]))),
    around("ip-in-ip(192.0.2.1>192.0.2.2)", "", |ip| over_ip(if type_of(ip) == 0x86dd { 41 } else { 4 }, ip)),
    around("ip-in-ip(fd00::1>fd00::2)", "", |ip| ethernet(0x86dd, &ipv6(if type_of(ip) == 0x86dd { 41 } else { 4 }, ip))),
    around("etherip(192.0.2.1>192.0.2.2)", "", |ip| over_ip(97, &join(&[&hex("3000"), &inner(ip)]))),
    around("gre(192.0.2.1>192.0.2.2)", "", |ip| over_ip(47, &join(&[&hex("0000"), &type_of(ip).to_be_bytes(), ip]))),
    // Checksum, key and sequence number.
    around("gre:9(192.0.2.1>192.0.2.2)", "", |ip| over_ip(47, &join(&[&hex("b000"), &type_of(ip).to_be_bytes(), &hex("00000000 00000009 00000001"), ip]))),
    // Routing with one entry and the end.
    around("gre(192.0.2.1>192.0.2.2)", "", |ip| over_ip(47, &join(&[&hex("4000"), &type_of(ip).to_be_bytes(), &hex("00000000 0800 00 04 0a000001 0000 00 00"), ip]))),
    around("gre(192.0.2.1>192.0.2.2) / mpls:16", "", |ip| over_ip(47, &join(&[&hex("0000 8847 00010140"), ip]))),
    around("gretap(192.0.2.1>192.0.2.2)", "", |ip| over_ip(47, &join(&[&hex("0000 6558"), &inner(ip)]))),
    around("nvgre:4097(192.0.2.1>192.0.2.2)", "", |ip| over_ip(47, &join(&[&hex("2000 6558 00100155"), &inner(ip)]))),
    // PPTP: key and sequence number, the key's upper half the payload's length.
    around("gre:3(192.0.2.1>192.0.2.2)", "", |ip| over_ip(47, &join(&[&hex("3001 880b"), &be(4 + ip.len()), &hex("0003 00000001 ff03"), &ppp(ip)]))),
    around("eoip:7(192.0.2.1>192.0.2.2)", "", |ip| over_ip(47, &join(&[&hex("2001 6400"), &be(14 + ip.len()), &hex("0700"), &inner(ip)]))),
    around("erspan(192.0.2.1>192.0.2.2)", "", |ip| over_ip(47, &join(&[&hex("0000 88be"), &inner(ip)]))),
    around("erspan:5(192.0.2.1>192.0.2.2)", "", |ip| over_ip(47, &join(&[&hex("1000 88be 00000001 1000 0005 00000000"), &inner(ip)]))),
    around("erspan:5(192.0.2.1>192.0.2.2)", "", |ip| over_ip(47, &join(&[&hex("1000 22eb 00000001 2000 0005 00000000 0000 0000"), &inner(ip)]))),
    // Type III with a platform header.
    around("erspan:5(192.0.2.1>192.0.2.2)", "", |ip| over_ip(47, &join(&[&hex("1000 22eb 00000001 2000 0005 00000000 0000 0001 0000000000000000"), &inner(ip)]))),
    around("vxlan:42(192.0.2.1>192.0.2.2)", "", |ip| over_udp(4789, &join(&[&hex("08000000 00002a00"), &inner(ip)]))),
    around("vxlan:42(192.0.2.1>192.0.2.2)", "", |ip| over_udp(8472, &join(&[&hex("08000000 00002a00"), &inner(ip)]))),
    around("vxlan:42(192.0.2.1>192.0.2.2)", "7", |ip| over_udp(4789, &join(&[&hex("08000000 00002a00"), &ethernet(0x8100, &join(&[&hex("0007"), &type_of(ip).to_be_bytes(), ip]))]))),
    around("vxlan:42(192.0.2.1>192.0.2.2)", "", |ip| over_udp(4790, &join(&[&hex("0c0000"), &[if type_of(ip) == 0x86dd { 2 } else { 1 }], &hex("00002a00"), ip]))),
    around("vxlan:42(192.0.2.1>192.0.2.2) / nsh:7", "", |ip| over_udp(4790, &join(&[&hex("0c000004 00002a00 0002 02 03 000007 ff"), &inner(ip)]))),
    around("geneve:42(192.0.2.1>192.0.2.2)", "", |ip| over_udp(6081, &join(&[&hex("01 00 6558 00002a00 0000 00 00"), &inner(ip)]))),
    around("geneve:42(192.0.2.1>192.0.2.2)", "", |ip| over_udp(6081, &join(&[&hex("00 00"), &type_of(ip).to_be_bytes(), &hex("00002a00"), ip]))),
    around("mpls-in-udp(192.0.2.1>192.0.2.2) / mpls:16", "", |ip| over_udp(6635, &join(&[&hex("00010140"), ip]))),
    around("mpls-in-ip(192.0.2.1>192.0.2.2) / mpls:16", "", |ip| over_ip(137, &join(&[&hex("00010140"), ip]))),
    around("gre(192.0.2.1>192.0.2.2)", "", |ip| over_udp(4754, &join(&[&hex("0000"), &type_of(ip).to_be_bytes(), ip]))),
    around("gtp-u:1(192.0.2.1>192.0.2.2)", "", |ip| over_udp(2152, &join(&[&hex("30 ff"), &be(ip.len()), &hex("00000001"), ip]))),
    // A PDU session container (0x85) of one word.
    around("gtp-u:1(192.0.2.1>192.0.2.2)", "", |ip| over_udp(2152, &join(&[&hex("34 ff"), &be(8 + ip.len()), &hex("00000001 0000 00 85 01 0000 00"), ip]))),
    around("l2tp:2(192.0.2.1>192.0.2.2)", "", |ip| over_udp(1701, &join(&[&hex("0002 0001 0002 ff03"), &ppp(ip)]))),
    // Length, sequence numbers and two bytes of offset.
    around("l2tp:2(192.0.2.1>192.0.2.2)", "", |ip| over_udp(1701, &join(&[&hex("4a02"), &be(16 + 2 + ip.len()), &hex("0001 0002 0000 0000 0002 0000"), &ppp(ip)]))),
    around("l2tp:9(192.0.2.1>192.0.2.2)", "", |ip| over_udp(1701, &join(&[&hex("0003 0000 00000009 ff03"), &ppp(ip)]))),
    around("l2tp:9(192.0.2.1>192.0.2.2)", "", |ip| over_ip(115, &join(&[&hex("00000009 00000000"), &inner(ip)]))),
    around("capwap:1(192.0.2.1>192.0.2.2)", "", |ip| over_udp(5247, &join(&[&hex("00 104000 00000000"), &inner(ip)]))),
    around("capwap:1(192.0.2.1>192.0.2.2)", "", |ip| over_udp(5247, &join(&[&hex("00 104300 00000000 0801 0000"), &[2; 18], &hex("0000"), &llc(ip)]))),
    // Frame control with its bytes swapped.
    around("capwap:1(192.0.2.1>192.0.2.2)", "", |ip| over_udp(5247, &join(&[&hex("00 104300 00000000 0108 0000"), &[2; 18], &hex("0000"), &llc(ip)]))),
    around("lisp:3(192.0.2.1>192.0.2.2)", "", |ip| over_udp(4341, &join(&[&hex("08 000000 00000300"), ip]))),
    around("tzsp(192.0.2.1>192.0.2.2)", "", |ip| over_udp(37008, &join(&[&hex("01 00 0001 00 0a 01 ff 01"), &inner(ip)]))),
    // Five layers.
    around("mpls:16 / gre(192.0.2.1>192.0.2.2) / vxlan:42(192.0.2.1>192.0.2.2)", "10", |ip| {
        let vxlan = ipv4(17, 1, 0, OUTER, &udp(50_000, 4789, &join(&[&hex("08000000 00002a00"), &inner(ip)])));
        let gre = ipv4(47, 1, 0, OUTER, &join(&[&hex("0000 0800"), &vxlan]));
        ethernet(0x8100, &join(&[&hex("000a 8847 00010140"), &gre]))
    }),
];

#[test]
fn every_wrapping_gives_the_same_packet() {
    for around in WRAPPINGS {
        for ip in [plain4(), plain6()] {
            let bytes = (around.wrap)(&ip);
            let expected = if type_of(&ip) == 0x86dd {
                "fd00::1:49152 > fd00::2:443 tcp seq=1 flags=0x2 options=4 [104, 105]/2"
            } else {
                TCP4
            };
            check(1, &bytes, expected, around.vlans, around.tunnel);
        }
    }
    // Teredo carries IPv6 only: plain; behind authentication and origin.
    let teredo = "teredo(192.0.2.1>192.0.2.2)";
    let expected = "fd00::1:49152 > fd00::2:443 tcp seq=1 flags=0x2 options=4 [104, 105]/2";
    check(1, &over_udp(3544, &plain6()), expected, "", teredo);
    let headers = hex("0001 00 00 0000000000000000 00 0000 0bb8 f5ff fffe");
    check(1, &over_udp(3544, &join(&[&headers, &plain6()])), expected, "", teredo);
    // WCCP redirects IPv4 only.
    check(
        1,
        &over_ip(47, &join(&[&hex("0000 883e 00000000"), &plain4()])),
        TCP4,
        "",
        "gre(192.0.2.1>192.0.2.2)",
    );
    // ISL: 26 bytes before the frame.
    let isl =
        join(&[&hex("01000c0000 00 020000000001 0050 aaaa03 000000 0014 0000 0000"), &inner(&plain4())]);
    check(1, &isl, TCP4, "10", "");
}

#[test]
fn the_scope_is_what_both_directions_share() {
    let scope = |bytes: &[u8]| match decoder().packet(&frame(1, bytes, 1)) {
        Decoded::Packet(packet) => packet.scope,
        other => panic!("{other:?}"),
    };
    let vlan = |tag: &str| ethernet(0x8100, &join(&[&hex(tag), &hex("0800"), &plain4()]));
    let vxlan = |vni: &str| over_udp(4789, &join(&[&hex("08000000"), &hex(vni), &inner(&plain4())]));
    let gtp = |id: &str| over_udp(2152, &join(&[&hex("30 ff"), &be(plain4().len()), &hex(id), &plain4()]));
    assert_eq!(scope(&inner(&plain4())), 0);
    assert_eq!(scope(&vlan("e000")), 0, "a priority is no VLAN");
    assert_eq!(scope(&vlan("000a")), scope(&vlan("b00a")), "priority and DEI do not count");
    assert_ne!(scope(&vlan("000a")), scope(&vlan("000b")));
    assert_ne!(scope(&vxlan("00002a00")), scope(&vxlan("00002b00")));
    assert_eq!(scope(&gtp("00000001")), scope(&gtp("00000002")), "tunnel ids differ by direction");
    assert_ne!(scope(&gtp("00000001")), 0);
    assert_eq!(scope(&ethernet(0x8847, &join(&[&hex("00010140"), &plain4()]))), 0, "labels do not count");
    // The same on every machine and in every run.
    assert_eq!(scope(&vlan("000a")), 0xa69f_d2ea_7b90_d09d);
}

#[test]
fn a_port_is_only_a_guess() {
    let check = |port: u16, payload: &[u8]| {
        let bytes = over_udp(port, payload);
        let expected = format!("192.0.2.1:50000 > 192.0.2.2:{port} udp {payload:?}/{}", payload.len());
        super::tests::check(1, &bytes, &expected, "", "");
    };
    for port in [1701, 2152, 3544, 4341, 4754, 4789, 4790, 5247, 6081, 6635, 8472, 37008] {
        check(port, b"");
        check(port, b"not a tunnel, just text that is long enough to hold many headers of many kinds");
        check(port, &[0; 64]);
        check(port, &[0xff; 64]);
    }
    // What is inside is known, and not IP.
    let arp = join(&[&hex("08000000 00002a00"), &ethernet(0x0806, &[0; 28])]);
    super::tests::check(1, &over_udp(4789, &arp), "NotIp(2054)", "", "");
}

#[test]
fn what_is_no_ip_says_what_it_is() {
    check(1, &ethernet(0x0806, &[0; 28]), "NotIp(2054)", "", "");
    check(1, &ethernet(0x1234, &[0; 28]), "NotIp(4660)", "", "");
    check(1, &ethernet(38, &hex("424203 0000 00 00 00")), "NotIp(0)", "", "");
    check(
        1,
        &ethernet(0x88e5, &hex("2c 00 00000001 0000000000000001 1234")),
        "Unreadable(\"macsec\")",
        "",
        "",
    );
    check(
        105,
        &join(&[&hex("0841 0000"), &[2; 18], &hex("0000"), &[7; 30]]),
        "Unreadable(\"encrypted 802.11\")",
        "",
        "",
    );
    check(105, &join(&[&hex("8000 0000"), &[2; 40]]), "NotIp(0)", "", "");
    // GRE keep-alive: the packet is the outer one.
    check(1, &over_ip(47, &hex("0000 0000")), "192.0.2.1:0 > 192.0.2.2:0 protocol 47 [0, 0, 0, 0]/4", "", "");
    assert_eq!(
        (ether_type_name(0x0806), ether_type_name(0x88cc), ether_type_name(0x1234)),
        (Some("ARP"), Some("LLDP"), None)
    );
}

#[test]
fn damage_says_whose_fault_it_is() {
    let whole = inner(&plain4());
    let cut = |len: usize| {
        let frame = Frame { wire_len: whole.len() as u32, ..frame(1, &whole[..len], 1) };
        told(&decoder().packet(&frame))
    };
    assert_eq!(cut(13), "ethernet ether type Truncated");
    assert_eq!(cut(20), "ipv4 header Truncated");
    assert_eq!(cut(40), "tcp sequence number Truncated");
    // Options are cut, the rest of the header stands; the payload's length is known.
    assert_eq!(cut(56), "10.1.2.3:49152 > 20.60.0.4:443 tcp seq=1 flags=0x2 options=2 []/2");
    assert_eq!(cut(59), "10.1.2.3:49152 > 20.60.0.4:443 tcp seq=1 flags=0x2 options=4 [104]/2");
    // The same bytes, but the capture says that there were no more.
    check(1, &whole[..20], "ipv4 header Broken", "", "");
    check(
        1,
        &ethernet(0x0800, &hex("41000014 00000000 40060000 0a010203 143c0004")),
        "ipv4 header length Broken",
        "",
        "",
    );
    check(
        1,
        &ethernet(0x0800, &hex("45000013 00000000 40060000 0a010203 143c0004")),
        "ipv4 total length Broken",
        "",
        "",
    );
    check(1, &ethernet(0x0800, &[0x95; 20]), "ip version Broken", "", "");
    check(
        1,
        &inner(&ipv4(6, 1, 0, (A, B), &hex("c000 01bb 00000001 00000000 40 02 ffff 0000 0000"))),
        "tcp data offset Broken",
        "",
        "",
    );
    check(1, &ethernet(0x8100, &hex("0001 8100 ").repeat(40)), "wrapping end of nesting Broken", "", "");
}

#[test]
fn lengths_that_are_not_there() {
    // Segmentation offload: a total length of 0.
    let mut tso = plain4();
    tso[2..4].copy_from_slice(&[0, 0]);
    check(1, &inner(&tso), TCP4, "", "");
    // A jumbogram says its length in a hop-by-hop option.
    let inside = tcp(b"hi");
    let jumbo = join(&[
        &hex("60000000 0000 00 40"),
        &plain6()[8..40],
        &hex("06 00 c2 04"),
        &(8 + inside.len() as u32).to_be_bytes(),
        &inside,
        &[0; 6],
    ]);
    check(
        1,
        &inner(&jumbo),
        "fd00::1:49152 > fd00::2:443 tcp seq=1 flags=0x2 options=4 [104, 105]/2",
        "",
        "",
    );
    // More than the frame had: believed, and counted.
    let mut beyond = plain4();
    beyond[3] += 10;
    let bytes = inner(&beyond);
    let mut decoder = decoder();
    assert_eq!(told(&decoder.packet(&frame(1, &bytes, 1))), TCP4.replace("/2", "/12"));
    assert_eq!(decoder.counts().beyond_frame, 1);
}

#[test]
fn headers_between_ip_and_transport() {
    // Hop-by-hop, routing, an atomic fragment, destination options.
    let chain = join(&[
        &hex("2b 00 0000 0000 0000  2c 00 0000 0000 0000  3c 00 0000 00000005  06 00 0000 0000 0000"),
        &tcp(b"hi"),
    ]);
    check(
        1,
        &inner(&ipv6(0, &chain)),
        "fd00::1:49152 > fd00::2:443 tcp seq=1 flags=0x2 options=4 [104, 105]/2",
        "",
        "",
    );
    // AH of 24 bytes before TCP, in both versions.
    let ah = join(&[&hex("06 04 0000 00000001 00000001"), &[0; 12], &tcp(b"hi")]);
    check(1, &inner(&ipv4(51, 1, 0, (A, B), &ah)), TCP4, "", "");
    check(
        1,
        &inner(&ipv6(51, &ah)),
        "fd00::1:49152 > fd00::2:443 tcp seq=1 flags=0x2 options=4 [104, 105]/2",
        "",
        "",
    );
    check(1, &inner(&ipv4(50, 1, 0, (A, B), &[1])), "10.1.2.3:0 > 20.60.0.4:0 protocol 50 [1]/1", "", "");
    check(
        1,
        &inner(&ipv4(132, 1, 0, (A, B), &hex("1388 0050"))),
        "10.1.2.3:5000 > 20.60.0.4:80 protocol 132 [19, 136, 0, 80]/4",
        "",
        "",
    );
}

#[test]
fn icmp_errors_quote() {
    let quoted = |ip: Vec<u8>| {
        let bytes = inner(&ip);
        match decoder().packet(&frame(1, &bytes, 1)) {
            Decoded::Packet(Packet { transport: Transport::Icmp { quoted, detail, .. }, .. }) => {
                (quoted.unwrap(), detail)
            }
            other => panic!("{other:?}"),
        }
    };
    let src = Address::v4(A);
    let dst = Address::v4(B);
    let expected = Quoted {
        src,
        dst,
        protocol: proto::TCP,
        src_port: 49152,
        dst_port: 443,
        seq: Some(1),
        total_len: 46,
        fragment: None,
    };
    // Fragmentation needed, next-hop MTU 1400; the whole packet, and eight bytes of it.
    let unreachable = |quote: &[u8]| ipv4(1, 1, 0, OUTER, &join(&[&hex("03 04 0000 0000 0578"), quote]));
    assert_eq!(quoted(unreachable(&plain4())), (expected, 1400));
    assert_eq!(quoted(unreachable(&plain4()[..28])), (expected, 1400));
    // MPLS labels after 128 bytes (RFC 4950) change nothing.
    let extended = join(&[&plain4(), &[0; 82], &hex("2000 0000 0008 0101 00010140")]);
    assert_eq!(quoted(unreachable(&extended)).0, expected);
    // With options: a header of 24 bytes.
    let options = join(&[&hex("4600 0018 0001 0000 4006 0000"), &A, &B, &hex("94040000"), &tcp(b"")[..8]]);
    assert_eq!(quoted(unreachable(&options)).0, Quoted { total_len: 24, ..expected });
    // A later fragment has no ports.
    let later = ipv4(6, 1, 0x00b9, (A, B), &tcp(b""));
    assert_eq!(
        quoted(unreachable(&later)).0,
        Quoted { src_port: 0, dst_port: 0, seq: None, total_len: 44, fragment: Some(1), ..expected }
    );
    // IPv6, packet too big, with a fragment header.
    let v6 = |text: &str| Address::from(text.parse::<IpAddr>().unwrap());
    let quote = ipv6(44, &join(&[&hex("06 00 0001 00000009"), &tcp(b"")]));
    let too_big = ipv6(58, &join(&[&hex("02 00 0000 0000 0500"), &quote]));
    let expected = Quoted {
        src: v6("fd00::1"),
        dst: v6("fd00::2"),
        protocol: proto::TCP,
        src_port: 49152,
        dst_port: 443,
        seq: Some(1),
        total_len: 72,
        fragment: None,
    };
    assert_eq!(quoted(too_big), (expected, 1280));
}

proptest! {
    #[test]
    fn any_bytes_end_well(link in 0u16..300, bytes in vec(any::<u8>(), 0..200), more in 0u32..100) {
        let mut decoder = decoder();
        let frame = Frame { wire_len: bytes.len() as u32 + more, ..frame(link, &bytes, 1) };
        if let Decoded::Packet(packet) = decoder.packet(&frame) {
            prop_assert!(packet.payload.len() <= packet.payload_len as usize);
        }
        decoder.finish();
        prop_assert!(decoder.counts().add_up());
    }

    #[test]
    fn a_changed_byte_ends_well(which in 0..WRAPPINGS.len(), at in any::<usize>(), value in any::<u8>(), len in any::<usize>()) {
        let mut bytes = (WRAPPINGS[which].wrap)(&plain4());
        let at = at % bytes.len();
        bytes[at] = value;
        bytes.truncate(len % bytes.len() + 1);
        let mut decoder = decoder();
        let _ = decoder.packet(&frame(1, &bytes, 1));
        decoder.finish();
        prop_assert!(decoder.counts().add_up());
    }

    #[test]
    fn any_packet_in_any_two_wrappings_is_the_same(
        ports in any::<(u16, u16)>(),
        payload in vec(any::<u8>(), 0..64),
        outer in 0..WRAPPINGS.len(),
        link in 0..LINK_FRAMES.len(),
    ) {
        let segment = join(&[&ports.0.to_be_bytes(), &ports.1.to_be_bytes(), &hex("00000001 00000000 50 18 ffff 0000 0000"), &payload]);
        let ip = ipv4(6, 7, 0, (A, B), &segment);
        let plain = inner(&ip);
        let mut first = decoder();
        let expected = told(&first.packet(&frame(1, &plain, 1)));
        let mut second = decoder();
        let wrapped = (WRAPPINGS[outer].wrap)(&ip);
        prop_assert_eq!(told(&second.packet(&frame(1, &wrapped, 1))), expected.clone());
        let (number, framing) = LINK_FRAMES[link];
        let framed = framing(&ip);
        prop_assert_eq!(told(&second.packet(&frame(number, &framed, 2))), expected);
    }

    #[test]
    fn fragments_in_any_order_give_the_datagram(
        payload in vec(any::<u8>(), 1..300),
        cuts in vec(1usize..12, 1..8),
        order in vec(any::<u32>(), 64),
        version in any::<bool>(),
        copies in 1usize..3,
    ) {
        let datagram = udp(5000, 6000, &payload);
        let mut pieces = Vec::new();
        let (mut at, mut cut) = (0, cuts.iter().cycle());
        while at < datagram.len() {
            let end = (at + cut.next().unwrap() * 8).min(datagram.len());
            for _ in 0..copies {
                pieces.push(fragment(version, at, &datagram[at..end], end < datagram.len()));
            }
            at = end;
        }
        let mut keyed: Vec<_> = order.into_iter().cycle().zip(pieces).collect();
        keyed.sort();
        let mut decoder = decoder();
        let mut packets = Vec::new();
        for (number, (_, bytes)) in keyed.iter().enumerate() {
            let decoded = decoder.packet(&Frame { time: Time(0), ..frame(1, bytes, number as u64) });
            if let Decoded::Packet(packet) = decoded {
                packets.push((packet.src_port, packet.payload.to_vec(), packet.was_fragmented));
            }
        }
        let several = keyed.len() / copies > 1;
        prop_assert_eq!(packets.len(), if several { 1 } else { copies });
        prop_assert_eq!(packets.pop(), Some((5000, payload, several)));
        decoder.finish();
        prop_assert!(decoder.counts().add_up());
        prop_assert_eq!(decoder.counts().fragment.lost_fragments, 0);
    }
}

/// A fragment as an Ethernet frame; whole datagrams come without a fragment's marks.
fn fragment(v6: bool, at: usize, bytes: &[u8], more: bool) -> Vec<u8> {
    let offset = (at / 8) as u16;
    if !v6 {
        return inner(&ipv4(17, 77, offset | if more { 0x2000 } else { 0 }, (A, B), bytes));
    }
    let field = offset << 3 | u16::from(more);
    inner(&ipv6(44, &join(&[&[17, 0], &field.to_be_bytes(), &[0, 0, 0, 77], bytes])))
}

#[test]
fn the_first_copy_of_a_byte_wins() {
    let datagram = udp(5000, 6000, &[1; 24]);
    let mut other = datagram.clone();
    other[8..16].fill(9);
    let mut decoder = decoder();
    let frames = [
        fragment(false, 0, &datagram[..16], true),
        // Says something else about bytes 8 to 15, and brings 16 to 23.
        fragment(false, 8, &other[8..24], true),
        // Says the same about 16 to 23, and brings the end.
        fragment(false, 16, &datagram[16..], false),
    ];
    assert!(matches!(decoder.packet(&frame(1, &frames[0], 1)), Decoded::Fragment));
    assert!(matches!(decoder.packet(&frame(1, &frames[1], 2)), Decoded::Fragment));
    let told = told(&decoder.packet(&frame(1, &frames[2], 3)));
    assert_eq!(told, format!("10.1.2.3:5000 > 20.60.0.4:6000 udp {:?}/24", [1; 24]));
    let counts = decoder.counts().fragment;
    assert_eq!((counts.differing, counts.overlapping, counts.joined, counts.joined_fragments), (1, 1, 1, 3));
}

/// An error about a later fragment belongs to the conversation whose first fragment went by, before or after joining.
#[test]
fn a_quoted_later_fragment_has_the_ports_of_its_datagram() {
    for v6 in [false, true] {
        let datagram = udp(5000, 6000, &[1; 40]);
        let pieces = [fragment(v6, 0, &datagram[..24], true), fragment(v6, 24, &datagram[24..], false)];
        let quote = &pieces[1][14..];
        let error = if v6 {
            inner(&ipv6(58, &join(&[&hex("01 01 0000 0000 0000"), quote])))
        } else {
            inner(&ipv4(1, 1, 0, OUTER, &join(&[&hex("03 0d 0000 0000 0000"), quote])))
        };
        let ports = |decoder: &mut Decoder, second: u64| match decoder.packet(&frame(1, &error, second)) {
            Decoded::Packet(Packet { transport: Transport::Icmp { quoted: Some(quoted), .. }, .. }) => {
                (quoted.src_port, quoted.dst_port)
            }
            other => panic!("{other:?}"),
        };
        let mut decoder = decoder();
        assert_eq!(ports(&mut decoder, 1), (0, 0), "nothing is known of it");
        let _ = decoder.packet(&frame(1, &pieces[0], 2));
        assert_eq!(ports(&mut decoder, 2), (5000, 6000));
        assert!(matches!(decoder.packet(&frame(1, &pieces[1], 3)), Decoded::Packet(_)));
        assert_eq!(ports(&mut decoder, 4), (5000, 6000));
        assert_eq!(ports(&mut decoder, 60), (0, 0), "an identification is used again");
    }
}

/// One packet stands for its frame: what comes behind it in an aggregate is counted.
#[test]
fn an_aggregate_is_read_to_its_first_packet_and_counted() {
    let llc = join(&[&hex("aaaa03 000000 0800"), &plain4()]);
    let one = join(&[&[2; 12], &(llc.len() as u16).to_be_bytes(), &llc, &[0; 3]]);
    let one = &one[..(14 + llc.len()).next_multiple_of(4)];
    let head = hex("8801 0000 020202020202 020202020202 020202020202 0000 8000");
    let mut decoder = decoder();
    assert!(matches!(decoder.packet(&frame(105, &join(&[&head, one, one, one]), 1)), Decoded::Packet(_)));
    assert_eq!(decoder.counts().aggregated, 2);
    assert!(matches!(decoder.packet(&frame(105, &join(&[&head, one]), 2)), Decoded::Packet(_)));
    assert_eq!(decoder.counts().aggregated, 2);
    assert!(decoder.counts().add_up());
}

#[test]
fn fragments_wait_thirty_seconds_and_no_longer() {
    let datagram = udp(5000, 6000, &[1; 24]);
    let first = fragment(false, 0, &datagram[..16], true);
    let last = fragment(false, 16, &datagram[16..], false);
    let mut decoder = decoder();
    let _ = decoder.packet(&frame(1, &first, 1));
    assert!(matches!(decoder.packet(&frame(1, &last, 32)), Decoded::Fragment), "31 seconds later");
    assert_eq!(decoder.counts().fragment.timed_out, 1);
    decoder.finish();
    let counts = decoder.counts();
    assert_eq!((counts.fragment.unfinished, counts.fragment.lost_fragments), (1, 2));
    assert!(counts.add_up());
    let lost = decoder.lost_datagrams();
    assert_eq!((lost[0].place.number, lost[0].ports, lost[0].fragments), (1, Some((5000, 6000)), 1));
    assert_eq!((lost[1].place.number, lost[1].ports, lost[1].protocol), (32, None, 17));
}

#[test]
fn fragments_are_bounded() {
    let mut decoder = Decoder::new(FragmentLimits { fragment_bytes: 10_000, ..FragmentLimits::default() });
    for id in 0..1_000u16 {
        let bytes = inner(&ipv4(17, id, 0x2000, (A, B), &[0; 64]));
        assert!(matches!(decoder.packet(&Frame { time: Time(0), ..frame(1, &bytes, 1) }), Decoded::Fragment));
    }
    let counts = decoder.counts().fragment;
    assert_eq!(counts.fragments, 1_000);
    assert!(counts.evicted > 970 && counts.evicted < 990, "{counts:?}");
    // Beyond what a datagram can hold.
    let bytes = inner(&ipv4(17, 1, 0x1fff, (A, B), &[0; 64]));
    assert_eq!(told(&decoder.packet(&frame(1, &bytes, 1))), "ip fragment length Broken");
    decoder.finish();
    assert!(decoder.counts().add_up());
}

#[test]
fn copies_that_differ_do_not_grow_a_datagram() {
    let mut decoder = decoder();
    for number in 0..3_000u16 {
        let bytes = fragment(false, 0, &join(&[&number.to_be_bytes(), &[0; 6]]), true);
        assert!(matches!(decoder.packet(&Frame { time: Time(0), ..frame(1, &bytes, 1) }), Decoded::Fragment));
    }
    let counts = decoder.counts().fragment;
    assert_eq!((counts.differing, counts.refused), (1_399, 1_600));
    decoder.finish();
    assert!(decoder.counts().add_up());
}

#[test]
fn fragments_inside_tunnels_and_tunnels_in_fragments() {
    let datagram = udp(5000, 6000, &[1; 24]);
    let expected = format!("10.1.2.3:5000 > 20.60.0.4:6000 udp {:?}/24", [1; 24]);
    // Fragments of the inner packet, each in GRE.
    let gre = |at: usize, bytes: &[u8], more: bool| {
        over_ip(47, &join(&[&hex("0000 6558"), &fragment(false, at, bytes, more)]))
    };
    let mut decoder = decoder();
    let (first, last) = (gre(0, &datagram[..16], true), gre(16, &datagram[16..], false));
    assert!(matches!(decoder.packet(&frame(1, &last, 1)), Decoded::Fragment));
    assert_eq!(told(&decoder.packet(&frame(1, &first, 2))), expected);
    // The outer packet in fragments, and the inner one as well: the last frame completes both.
    let outer = |inside: &[u8], id: u16| {
        let gre = join(&[&hex("0000 6558"), inside]);
        let first = inner(&ipv4(47, id, 0x2000, OUTER, &gre[..24]));
        (first, inner(&ipv4(47, id, 3, OUTER, &gre[24..])))
    };
    let mut decoder = self::decoder();
    let (a, b) = outer(&fragment(false, 0, &datagram[..16], true), 1);
    let (c, d) = outer(&fragment(false, 16, &datagram[16..], false), 2);
    for (number, bytes) in [&a, &b, &c].into_iter().enumerate() {
        assert!(matches!(decoder.packet(&frame(1, bytes, number as u64)), Decoded::Fragment));
    }
    match decoder.packet(&frame(1, &d, 4)) {
        Decoded::Packet(packet) => {
            assert_eq!(told(&Decoded::Packet(packet)), expected);
            assert_eq!(packet.wrapping.tunnel(), "gretap(192.0.2.1>192.0.2.2)");
            assert!(packet.was_fragmented);
        }
        other => panic!("{other:?}"),
    }
    decoder.finish();
    assert!(decoder.counts().add_up());
}

#[test]
fn a_cut_fragment_gives_what_comes_before_the_cut() {
    let datagram = udp(5000, 6000, &[1; 40]);
    let first = fragment(false, 0, &datagram[..24], true);
    let last = fragment(false, 24, &datagram[24..], false);
    let mut decoder = decoder();
    // 14 + 20 + 16 bytes captured of 14 + 20 + 24.
    let cut = Frame { wire_len: first.len() as u32, ..frame(1, &first[..50], 1) };
    assert!(matches!(decoder.packet(&cut), Decoded::Fragment));
    let told = told(&decoder.packet(&frame(1, &last, 2)));
    assert_eq!(told, format!("10.1.2.3:5000 > 20.60.0.4:6000 udp {:?}/40", [1; 8]));
}
