//! A packet is the same in frames of every link type.

use crate::decode::Decoded;
use crate::decode::test_support::*;

/// Builds a frame of a link type with an IP packet.
pub(super) type Framing = fn(&[u8]) -> Vec<u8>;

#[rustfmt::skip]
pub(super) const LINK_FRAMES: &[(u16, Framing)] = &[
    // Address family 2 or, for IPv6, 30: little-endian, then big-endian.
    (0, |ip| join(&[&[if ether_type_of(ip) == 0x86dd { 30 } else { 2 }, 0, 0, 0], ip])),
    (0, |ip| join(&[&[0, 0, 0, if ether_type_of(ip) == 0x86dd { 24 } else { 2 }], ip])),
    (108, |ip| join(&[&[0, 0, 0, if ether_type_of(ip) == 0x86dd { 28 } else { 2 }], ip])),
    (1, |ip| ethernet(ether_type_of(ip), ip)),
    // A length, LLC, SNAP; then padding.
    (1, |ip| join(&[&hex("020000000002 020000000001"), &be(8 + ip.len()), &llc(ip), &[0; 9]])),
    // Padding is not payload.
    (1, |ip| join(&[&ethernet(ether_type_of(ip), ip), &[0; 20]])),
    (6, |ip| join(&[&hex("10 40 020000000002 020000000001"), &llc(ip)])),
    // A source route of four bytes.
    (6, |ip| join(&[&hex("10 40 020000000002 820000000001 0470 0011"), &llc(ip)])),
    (8, |ip| join(&[&[1; 16], ip])),
    (9, |ip| join(&[&hex("ff03"), &ppp(ip)])),
    (9, ppp),
    (9, |ip| ppp(ip)[1..].to_vec()),
    (10, |ip| join(&[&hex("50 020000000002 020000000001"), &llc(ip)])),
    (12, <[u8]>::to_vec), (14, <[u8]>::to_vec), (101, <[u8]>::to_vec),
    (50, |ip| join(&[&hex("ff03"), &ppp(ip)])),
    (51, |ip| join(&[&hex("11 00 0000"), &be(2 + ip.len()), &ppp(ip)])),
    (104, |ip| join(&[&hex("0f00"), &ether_type_of(ip).to_be_bytes(), ip])),
    // A data frame from a station, plain; with QoS; with four addresses, QoS and HT control.
    (105, |ip| join(&[&hex("0801 0000"), &[2; 18], &hex("0000"), &llc(ip)])),
    (105, |ip| join(&[&hex("8802 0000"), &[2; 18], &hex("0000 0000"), &llc(ip)])),
    (105, |ip| join(&[&hex("8883 0000"), &[2; 18], &hex("0000"), &[2; 6], &hex("0000 00000000"), &llc(ip)])),
    // An aggregate of one.
    (105, |ip| join(&[&hex("8802 0000"), &[2; 18], &hex("0000 8000"), &[2; 12], &be(8 + ip.len()), &llc(ip)])),
    // Q.922 address, control, NLPID; Cisco's encapsulation; SNAP.
    (107, |ip| join(&[&hex("1841 03"), &[if ether_type_of(ip) == 0x86dd { 0x8e } else { 0xcc }], ip])),
    (107, |ip| join(&[&hex("1841"), &ether_type_of(ip).to_be_bytes(), ip])),
    (107, |ip| join(&[&hex("1841 03 00 80 000000"), &ether_type_of(ip).to_be_bytes(), ip])),
    (113, |ip| join(&[&hex("0000 0001 0006 020000000001 0000"), &ether_type_of(ip).to_be_bytes(), ip])),
    (117, |ip| join(&[&[61, 2], &[0; 62], ip])),
    (119, |ip| join(&[&hex("44000000 90000000"), &[0; 136], &hex("0801 0000"), &[2; 18], &hex("0000"), &llc(ip)])),
    (122, |ip| join(&[&[0; 16], &llc(ip)])),
    // Presence: timestamp and flags; flags: padded header.
    (127, |ip| join(&[&hex("00 00 1100 03000000 0000000000000000 20"), &hex("8802 0000"), &[2; 18], &hex("0000 0000 0000"), &llc(ip)])),
    (127, |ip| join(&[&hex("00 00 0800 00000000"), &hex("0801 0000"), &[2; 18], &hex("0000"), &llc(ip)])),
    (129, |ip| join(&[&hex("0102 0000 d4 00 0001"), ip])),
    (138, |ip| join(&[&[0; 16], &ether_type_of(ip).to_be_bytes(), ip])),
    (163, |ip| join(&[&hex("80211001 00000040"), &[0; 56], &hex("0801 0000"), &[2; 18], &hex("0000"), &llc(ip)])),
    (178, |ip| join(&[&hex("4d4743 80 0002 0000"), &ethernet(ether_type_of(ip), ip)])),
    (192, |ip| join(&[&hex("00 00 0800 01000000"), &ethernet(ether_type_of(ip), ip)])),
    (197, |ip| join(&[&[0; 8], &hex("82 04 0000 0000"), &be(14 + ip.len()), &hex("0000000000000000 0000"), &ethernet(ether_type_of(ip), ip)])),
    (204, |ip| join(&[&[1], &hex("ff03"), &ppp(ip)])),
    (226, |ip| join(&[&[1, 2], &[0; 22], ip])),
    (228, <[u8]>::to_vec), (229, <[u8]>::to_vec),
    // An attribute of 5 bytes and its padding, then the packet; little-endian.
    (239, |ip| join(&[&[2, 0, 0, 0], &hex("0500 0a00 00 000000"), &(4 + ip.len() as u16).to_le_bytes(), &hex("0900"), ip])),
    (258, |ip| join(&[&hex("0c000000 01000000 01000000"), &ethernet(ether_type_of(ip), ip)])),
    (274, |ip| join(&[&hex("55555555555555 d5"), &ethernet(ether_type_of(ip), ip)])),
    (276, |ip| join(&[&ether_type_of(ip).to_be_bytes(), &hex("0000 00000002 0001 00 06 0200000000010000"), ip])),
];

#[test]
fn every_link_type_gives_the_same_packet() {
    for (link, framing) in LINK_FRAMES {
        for ip in [ipv4_syn(), ipv6_syn()] {
            let mut decoder = decoder();
            let bytes = framing(&ip);
            let described = describe(&decoder.decode(&frame(*link, &bytes, 1)));
            let expected = if ether_type_of(&ip) == 0x86dd { TCP6 } else { TCP4 };
            assert_eq!(described, expected, "link type {link}: {bytes:02x?}");
        }
    }
}

/// 1,500 bytes after eight of SNAP: a length that is invalid in the standard and that kernels accept.
#[test]
fn a_full_packet_after_snap() {
    let ip = ipv4(6, 7, 0x4000, (CLIENT, SERVER), &tcp(&[7; 1456]));
    let bytes = join(&[&hex("020000000002 020000000001"), &be(8 + ip.len()), &llc(&ip)]);
    assert_eq!(bytes.get(12..14), Some(&[0x05, 0xe4][..]));
    let mut decoder = decoder();
    let whole = frame(1, &bytes, 1);
    let Decoded::Packet(packet) = decoder.decode(&whole) else { panic!("no packet") };
    assert_eq!(packet.payload_len, 1456);
    // Without SNAP the same number is not a length.
    let other = join(&[&hex("020000000002 020000000001 05e4 4242"), &ip]);
    assert!(matches!(decoder.decode(&frame(1, &other, 2)), Decoded::NotIp(0x05e4)));
}

/// Tags in cooked frames: the inner one where IP should start, the outer one as libpcap inserts it again.
#[test]
fn cooked_frames_keep_their_tags() {
    for ip in [ipv4_syn(), ipv6_syn()] {
        let kind = ether_type_of(&ip).to_be_bytes();
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
            let Decoded::Packet(packet) = decoder.decode(&frame(113, &bytes, 1)) else {
                panic!("{bytes:02x?}");
            };
            assert_eq!(
                (packet.dst_port, packet.encapsulation.vlans().as_str()),
                (443, vlans),
                "{bytes:02x?}"
            );
        }
    }
}

#[test]
fn an_unknown_link_type_is_reported_by_number() {
    check(227, &[1, 2, 3], "UnknownLink(LinkType(227))", "", "");
}

/// The first packet of an aggregate is read, and the others are counted.
#[test]
fn an_aggregate_is_read_to_its_first_packet() {
    let llc = join(&[&hex("aaaa03 000000 0800"), &ipv4_syn()]);
    let one = join(&[&[2; 12], &(llc.len() as u16).to_be_bytes(), &llc, &[0; 3]]);
    let one = &one[..(14 + llc.len()).next_multiple_of(4)];
    let head = hex("8801 0000 020202020202 020202020202 020202020202 0000 8000");
    let mut decoder = decoder();
    assert!(matches!(decoder.decode(&frame(105, &join(&[&head, one, one, one]), 1)), Decoded::Packet(_)));
    assert_eq!(decoder.counts().aggregated, 2);
    assert!(matches!(decoder.decode(&frame(105, &join(&[&head, one]), 2)), Decoded::Packet(_)));
    assert_eq!(decoder.counts().aggregated, 2);
    assert!(decoder.counts().add_up());
}
