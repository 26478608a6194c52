//! What is not a packet, and headers that are damaged or unusual.

use crate::capture::Frame;
use crate::decode::ether_type_name;
use crate::decode::test_support::*;

#[test]
fn a_frame_without_ip_has_its_protocol() {
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
fn truncated_by_the_capture_or_malformed() {
    let whole = in_ethernet(&ipv4_syn());
    let truncated_at = |len: usize| {
        let frame = Frame { wire_len: whole.len() as u32, ..frame(1, &whole[..len], 1) };
        describe(&decoder().decode(&frame))
    };
    assert_eq!(truncated_at(13), "ethernet ether type Truncated");
    assert_eq!(truncated_at(20), "ipv4 header Truncated");
    assert_eq!(truncated_at(40), "tcp sequence number Truncated");
    // Only options and payload are truncated. The payload's length is known.
    assert_eq!(truncated_at(56), "10.1.2.3:49152 > 20.60.0.4:443 tcp seq=1 flags=0x2 options=2 []/2");
    assert_eq!(truncated_at(59), "10.1.2.3:49152 > 20.60.0.4:443 tcp seq=1 flags=0x2 options=4 [104]/2");
    // The same bytes, but there were no more on the wire.
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
        &in_ethernet(&ipv4(
            6,
            1,
            0,
            (CLIENT, SERVER),
            &hex("c000 01bb 00000001 00000000 40 02 ffff 0000 0000"),
        )),
        "tcp data offset Broken",
        "",
        "",
    );
    check(1, &ethernet(0x8100, &hex("0001 8100 ").repeat(40)), "encapsulation nesting depth Broken", "", "");
}

#[test]
fn lengths_in_unusual_places() {
    // Segmentation offload: a total length of 0.
    let mut tso = ipv4_syn();
    tso[2..4].copy_from_slice(&[0, 0]);
    check(1, &in_ethernet(&tso), TCP4, "", "");
    // A jumbogram has its length in a hop-by-hop option.
    let inside = tcp(b"hi");
    let jumbo = join(&[
        &hex("60000000 0000 00 40"),
        &ipv6_syn()[8..40],
        &hex("06 00 c2 04"),
        &(8 + inside.len() as u32).to_be_bytes(),
        &inside,
        &[0; 6],
    ]);
    check(1, &in_ethernet(&jumbo), TCP6, "", "");
    // A length that exceeds the frame is used and counted.
    let mut longer = ipv4_syn();
    longer[3] += 10;
    let bytes = in_ethernet(&longer);
    let mut decoder = decoder();
    assert_eq!(describe(&decoder.decode(&frame(1, &bytes, 1))), TCP4.replace("/2", "/12"));
    assert_eq!(decoder.counts().beyond_frame, 1);
}

#[test]
fn headers_between_ip_and_transport() {
    // Hop-by-hop, routing, an atomic fragment, destination options.
    let chain = join(&[
        &hex("2b 00 0000 0000 0000  2c 00 0000 0000 0000  3c 00 0000 00000005  06 00 0000 0000 0000"),
        &tcp(b"hi"),
    ]);
    check(1, &in_ethernet(&ipv6(0, &chain)), TCP6, "", "");
    // AH of 24 bytes before TCP, in both versions.
    let ah = join(&[&hex("06 04 0000 00000001 00000001"), &[0; 12], &tcp(b"hi")]);
    check(1, &in_ethernet(&ipv4(51, 1, 0, (CLIENT, SERVER), &ah)), TCP4, "", "");
    check(1, &in_ethernet(&ipv6(51, &ah)), TCP6, "", "");
    check(
        1,
        &in_ethernet(&ipv4(50, 1, 0, (CLIENT, SERVER), &[1])),
        "10.1.2.3:0 > 20.60.0.4:0 protocol 50 [1]/1",
        "",
        "",
    );
    check(
        1,
        &in_ethernet(&ipv4(132, 1, 0, (CLIENT, SERVER), &hex("1388 0050"))),
        "10.1.2.3:5000 > 20.60.0.4:80 protocol 132 [19, 136, 0, 80]/4",
        "",
        "",
    );
}
