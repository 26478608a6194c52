//! A packet is the same in every tag and tunnel.

use crate::decode::Decoded;
use crate::decode::test_support::*;

/// Builds an Ethernet frame with an IP packet in tags and tunnels.
pub(super) struct Encapsulation {
    pub(super) tunnel: &'static str,
    pub(super) vlans: &'static str,
    pub(super) wrap: fn(&[u8]) -> Vec<u8>,
}

const fn encap(tunnel: &'static str, vlans: &'static str, wrap: fn(&[u8]) -> Vec<u8>) -> Encapsulation {
    Encapsulation { tunnel, vlans, wrap }
}

#[rustfmt::skip]
pub(super) const ENCAPSULATIONS: &[Encapsulation] = &[
    encap("", "10", |ip| ethernet(0x8100, &join(&[&hex("000a"), &ether_type_of(ip).to_be_bytes(), ip]))),
    // Priority 5, DEI set: neither is part of the ID.
    encap("", "10", |ip| ethernet(0x8100, &join(&[&hex("b00a"), &ether_type_of(ip).to_be_bytes(), ip]))),
    encap("", "", |ip| ethernet(0x8100, &join(&[&hex("e000"), &ether_type_of(ip).to_be_bytes(), ip]))),
    encap("", "100;200", |ip| ethernet(0x88a8, &join(&[&hex("0064 8100 00c8"), &ether_type_of(ip).to_be_bytes(), ip]))),
    encap("", "1;2;3", |ip| ethernet(0x9100, &join(&[&hex("0001 8100 0002 8100 0003"), &ether_type_of(ip).to_be_bytes(), ip]))),
    // A VLAN tag before a length.
    encap("", "10", |ip| ethernet(0x8100, &join(&[&hex("000a"), &be(8 + ip.len()), &llc(ip)]))),
    encap("mpls:16 / mpls:17", "", |ip| ethernet(0x8847, &join(&[&hex("00010040 00011140"), ip]))),
    encap("mpls:16", "", |ip| ethernet(0x8847, &join(&[&hex("00010140 00000000"), &in_ethernet(ip)]))),
    encap("mpls:16", "", |ip| ethernet(0x8847, &join(&[&hex("00010140"), &in_ethernet(ip)]))),
    encap("pppoe:5", "", |ip| ethernet(0x8864, &join(&[&hex("11 00 0005"), &be(2 + ip.len()), &ppp(ip)]))),
    encap("pbb:66051", "", |ip| ethernet(0x88e7, &join(&[&hex("00 010203"), &in_ethernet(ip)]))),
    encap("fabricpath:1", "", |ip| ethernet(0x8903, &join(&[&hex("0060"), &in_ethernet(ip)]))),
    encap("vntag", "", |ip| ethernet(0x8926, &join(&[&hex("00000000"), &ether_type_of(ip).to_be_bytes(), ip]))),
    encap("etag", "", |ip| ethernet(0x893f, &join(&[&hex("000000000000"), &ether_type_of(ip).to_be_bytes(), ip]))),
    encap("metadata", "", |ip| ethernet(0x8909, &join(&[&hex("01 01 0001 0010"), &ether_type_of(ip).to_be_bytes(), ip]))),
    encap("trill", "", |ip| ethernet(0x22f3, &join(&[&hex("0040 0000 0000 00000000"), &in_ethernet(ip)]))),
    // SC set, E and C off, a channel identifier of eight bytes; 16 bytes of check value at the end.
    encap("macsec", "", |ip| ethernet(0x88e5, &join(&[&hex("20 00 00000001 0000000000000001"), &ether_type_of(ip).to_be_bytes(), ip, &[9; 16]]))),
    encap("nsh:7", "", |ip| ethernet(0x894f, &join(&[&hex("0002 02"), &[if ether_type_of(ip) == 0x86dd { 2 } else { 1 }], &hex("000007 ff"), ip]))),
    encap("nsh:7", "", |ip| ethernet(0x894f, &join(&[&hex("0004 02 03 000007 ff 0000000000000000"), &in_ethernet(ip)]))),
    encap("ip-in-ip(192.0.2.1>192.0.2.2)", "", |ip| over_ip(if ether_type_of(ip) == 0x86dd { 41 } else { 4 }, ip)),
    encap("ip-in-ip(fd00::1>fd00::2)", "", |ip| ethernet(0x86dd, &ipv6(if ether_type_of(ip) == 0x86dd { 41 } else { 4 }, ip))),
    encap("etherip(192.0.2.1>192.0.2.2)", "", |ip| over_ip(97, &join(&[&hex("3000"), &in_ethernet(ip)]))),
    encap("gre(192.0.2.1>192.0.2.2)", "", |ip| over_ip(47, &join(&[&hex("0000"), &ether_type_of(ip).to_be_bytes(), ip]))),
    // Checksum, key and sequence number.
    encap("gre:9(192.0.2.1>192.0.2.2)", "", |ip| over_ip(47, &join(&[&hex("b000"), &ether_type_of(ip).to_be_bytes(), &hex("00000000 00000009 00000001"), ip]))),
    // Routing with one entry and the end.
    encap("gre(192.0.2.1>192.0.2.2)", "", |ip| over_ip(47, &join(&[&hex("4000"), &ether_type_of(ip).to_be_bytes(), &hex("00000000 0800 00 04 0a000001 0000 00 00"), ip]))),
    encap("gre(192.0.2.1>192.0.2.2) / mpls:16", "", |ip| over_ip(47, &join(&[&hex("0000 8847 00010140"), ip]))),
    encap("gretap(192.0.2.1>192.0.2.2)", "", |ip| over_ip(47, &join(&[&hex("0000 6558"), &in_ethernet(ip)]))),
    encap("nvgre:4097(192.0.2.1>192.0.2.2)", "", |ip| over_ip(47, &join(&[&hex("2000 6558 00100155"), &in_ethernet(ip)]))),
    // PPTP: key and sequence number. The upper half of the key is the payload's length.
    encap("gre:3(192.0.2.1>192.0.2.2)", "", |ip| over_ip(47, &join(&[&hex("3001 880b"), &be(4 + ip.len()), &hex("0003 00000001 ff03"), &ppp(ip)]))),
    encap("eoip:7(192.0.2.1>192.0.2.2)", "", |ip| over_ip(47, &join(&[&hex("2001 6400"), &be(14 + ip.len()), &hex("0700"), &in_ethernet(ip)]))),
    encap("erspan(192.0.2.1>192.0.2.2)", "", |ip| over_ip(47, &join(&[&hex("0000 88be"), &in_ethernet(ip)]))),
    encap("erspan:5(192.0.2.1>192.0.2.2)", "", |ip| over_ip(47, &join(&[&hex("1000 88be 00000001 1000 0005 00000000"), &in_ethernet(ip)]))),
    encap("erspan:5(192.0.2.1>192.0.2.2)", "", |ip| over_ip(47, &join(&[&hex("1000 22eb 00000001 2000 0005 00000000 0000 0000"), &in_ethernet(ip)]))),
    // Type III with a platform header.
    encap("erspan:5(192.0.2.1>192.0.2.2)", "", |ip| over_ip(47, &join(&[&hex("1000 22eb 00000001 2000 0005 00000000 0000 0001 0000000000000000"), &in_ethernet(ip)]))),
    encap("vxlan:42(192.0.2.1>192.0.2.2)", "", |ip| over_udp(4789, &join(&[&hex("08000000 00002a00"), &in_ethernet(ip)]))),
    encap("vxlan:42(192.0.2.1>192.0.2.2)", "", |ip| over_udp(8472, &join(&[&hex("08000000 00002a00"), &in_ethernet(ip)]))),
    encap("vxlan:42(192.0.2.1>192.0.2.2)", "7", |ip| over_udp(4789, &join(&[&hex("08000000 00002a00"), &ethernet(0x8100, &join(&[&hex("0007"), &ether_type_of(ip).to_be_bytes(), ip]))]))),
    encap("vxlan:42(192.0.2.1>192.0.2.2)", "", |ip| over_udp(4790, &join(&[&hex("0c0000"), &[if ether_type_of(ip) == 0x86dd { 2 } else { 1 }], &hex("00002a00"), ip]))),
    encap("vxlan:42(192.0.2.1>192.0.2.2) / nsh:7", "", |ip| over_udp(4790, &join(&[&hex("0c000004 00002a00 0002 02 03 000007 ff"), &in_ethernet(ip)]))),
    encap("geneve:42(192.0.2.1>192.0.2.2)", "", |ip| over_udp(6081, &join(&[&hex("01 00 6558 00002a00 0000 00 00"), &in_ethernet(ip)]))),
    encap("geneve:42(192.0.2.1>192.0.2.2)", "", |ip| over_udp(6081, &join(&[&hex("00 00"), &ether_type_of(ip).to_be_bytes(), &hex("00002a00"), ip]))),
    encap("mpls-in-udp(192.0.2.1>192.0.2.2) / mpls:16", "", |ip| over_udp(6635, &join(&[&hex("00010140"), ip]))),
    encap("mpls-in-ip(192.0.2.1>192.0.2.2) / mpls:16", "", |ip| over_ip(137, &join(&[&hex("00010140"), ip]))),
    encap("gre(192.0.2.1>192.0.2.2)", "", |ip| over_udp(4754, &join(&[&hex("0000"), &ether_type_of(ip).to_be_bytes(), ip]))),
    encap("gtp-u:1(192.0.2.1>192.0.2.2)", "", |ip| over_udp(2152, &join(&[&hex("30 ff"), &be(ip.len()), &hex("00000001"), ip]))),
    // A PDU session container (0x85) of one word.
    encap("gtp-u:1(192.0.2.1>192.0.2.2)", "", |ip| over_udp(2152, &join(&[&hex("34 ff"), &be(8 + ip.len()), &hex("00000001 0000 00 85 01 0000 00"), ip]))),
    encap("l2tp:2(192.0.2.1>192.0.2.2)", "", |ip| over_udp(1701, &join(&[&hex("0002 0001 0002 ff03"), &ppp(ip)]))),
    // Length, sequence numbers and two bytes of offset.
    encap("l2tp:2(192.0.2.1>192.0.2.2)", "", |ip| over_udp(1701, &join(&[&hex("4a02"), &be(16 + 2 + ip.len()), &hex("0001 0002 0000 0000 0002 0000"), &ppp(ip)]))),
    encap("l2tp:9(192.0.2.1>192.0.2.2)", "", |ip| over_udp(1701, &join(&[&hex("0003 0000 00000009 ff03"), &ppp(ip)]))),
    encap("l2tp:9(192.0.2.1>192.0.2.2)", "", |ip| over_ip(115, &join(&[&hex("00000009 00000000"), &in_ethernet(ip)]))),
    encap("capwap:1(192.0.2.1>192.0.2.2)", "", |ip| over_udp(5247, &join(&[&hex("00 104000 00000000"), &in_ethernet(ip)]))),
    encap("capwap:1(192.0.2.1>192.0.2.2)", "", |ip| over_udp(5247, &join(&[&hex("00 104300 00000000 0801 0000"), &[2; 18], &hex("0000"), &llc(ip)]))),
    // Frame control with its bytes swapped.
    encap("capwap:1(192.0.2.1>192.0.2.2)", "", |ip| over_udp(5247, &join(&[&hex("00 104300 00000000 0108 0000"), &[2; 18], &hex("0000"), &llc(ip)]))),
    encap("lisp:3(192.0.2.1>192.0.2.2)", "", |ip| over_udp(4341, &join(&[&hex("08 000000 00000300"), ip]))),
    encap("tzsp(192.0.2.1>192.0.2.2)", "", |ip| over_udp(37008, &join(&[&hex("01 00 0001 00 0a 01 ff 01"), &in_ethernet(ip)]))),
    // Five layers.
    encap("mpls:16 / gre(192.0.2.1>192.0.2.2) / vxlan:42(192.0.2.1>192.0.2.2)", "10", |ip| {
        let vxlan = ipv4(17, 1, 0, TUNNEL, &udp(50_000, 4789, &join(&[&hex("08000000 00002a00"), &in_ethernet(ip)])));
        let gre = ipv4(47, 1, 0, TUNNEL, &join(&[&hex("0000 0800"), &vxlan]));
        ethernet(0x8100, &join(&[&hex("000a 8847 00010140"), &gre]))
    }),
];

#[test]
fn every_encapsulation_gives_the_same_packet() {
    for encap in ENCAPSULATIONS {
        for ip in [ipv4_syn(), ipv6_syn()] {
            let bytes = (encap.wrap)(&ip);
            let expected = if ether_type_of(&ip) == 0x86dd { TCP6 } else { TCP4 };
            check(1, &bytes, expected, encap.vlans, encap.tunnel);
        }
    }
    // Teredo carries only IPv6: without headers; after authentication and origin.
    let teredo = "teredo(192.0.2.1>192.0.2.2)";
    let expected = TCP6;
    check(1, &over_udp(3544, &ipv6_syn()), expected, "", teredo);
    let headers = hex("0001 00 00 0000000000000000 00 0000 0bb8 f5ff fffe");
    check(1, &over_udp(3544, &join(&[&headers, &ipv6_syn()])), expected, "", teredo);
    // WCCP redirects only IPv4.
    check(
        1,
        &over_ip(47, &join(&[&hex("0000 883e 00000000"), &ipv4_syn()])),
        TCP4,
        "",
        "gre(192.0.2.1>192.0.2.2)",
    );
    // ISL: 26 bytes before the frame.
    let isl = join(&[
        &hex("01000c0000 00 020000000001 0050 aaaa03 000000 0014 0000 0000"),
        &in_ethernet(&ipv4_syn()),
    ]);
    check(1, &isl, TCP4, "10", "");
}

#[test]
fn the_scope_has_what_both_directions_share() {
    let scope = |bytes: &[u8]| match decoder().decode(&frame(1, bytes, 1)) {
        Decoded::Packet(packet) => packet.scope,
        other => panic!("{other:?}"),
    };
    let vlan = |tag: &str| ethernet(0x8100, &join(&[&hex(tag), &hex("0800"), &ipv4_syn()]));
    let vxlan = |vni: &str| over_udp(4789, &join(&[&hex("08000000"), &hex(vni), &in_ethernet(&ipv4_syn())]));
    let gtp =
        |id: &str| over_udp(2152, &join(&[&hex("30 ff"), &be(ipv4_syn().len()), &hex(id), &ipv4_syn()]));
    assert_eq!(scope(&in_ethernet(&ipv4_syn())), 0);
    assert_eq!(scope(&vlan("e000")), 0, "a priority is not a VLAN");
    assert_eq!(scope(&vlan("000a")), scope(&vlan("b00a")), "priority and DEI do not count");
    assert_ne!(scope(&vlan("000a")), scope(&vlan("000b")));
    assert_ne!(scope(&vxlan("00002a00")), scope(&vxlan("00002b00")));
    assert_eq!(scope(&gtp("00000001")), scope(&gtp("00000002")), "tunnel IDs differ by direction");
    assert_ne!(scope(&gtp("00000001")), 0);
    assert_eq!(scope(&ethernet(0x8847, &join(&[&hex("00010140"), &ipv4_syn()]))), 0, "labels do not count");
    // The same on every machine and in every run.
    assert_eq!(scope(&vlan("000a")), 0xa69f_d2ea_7b90_d09d);
}

#[test]
fn a_tunnel_port_alone_makes_no_tunnel() {
    let check = |port: u16, payload: &[u8]| {
        let bytes = over_udp(port, payload);
        let expected = format!("192.0.2.1:50000 > 192.0.2.2:{port} udp {payload:?}/{}", payload.len());
        crate::decode::test_support::check(1, &bytes, &expected, "", "");
    };
    for port in [1701, 2152, 3544, 4341, 4754, 4789, 4790, 5247, 6081, 6635, 8472, 10800, 10801, 37008] {
        check(port, b"");
        check(port, b"not a tunnel, just text that is long enough to hold many headers of many kinds");
        check(port, &[0; 64]);
        check(port, &[0xff; 64]);
    }
    // A known EtherType that is not IP.
    let arp = join(&[&hex("08000000 00002a00"), &ethernet(0x0806, &[0; 28])]);
    crate::decode::test_support::check(1, &over_udp(4789, &arp), "NotIp(2054)", "", "");
}
