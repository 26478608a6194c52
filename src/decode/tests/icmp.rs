//! ICMP errors and the packets that they quote.

use crate::base::Address;
use crate::base::proto;
use crate::decode::Decoded;
use crate::decode::Decoder;
use crate::decode::Packet;
use crate::decode::Quoted;
use crate::decode::Transport;
use crate::decode::test_support::*;
use std::net::IpAddr;

#[test]
fn icmp_errors_quote() {
    let quoted = |ip: Vec<u8>| {
        let bytes = in_ethernet(&ip);
        match decoder().decode(&frame(1, &bytes, 1)) {
            Decoded::Packet(Packet { transport: Transport::Icmp { quoted, detail, .. }, .. }) => {
                (quoted.unwrap(), detail)
            }
            other => panic!("{other:?}"),
        }
    };
    let src = Address::v4(CLIENT);
    let dst = Address::v4(SERVER);
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
    let unreachable = |quote: &[u8]| ipv4(1, 1, 0, TUNNEL, &join(&[&hex("03 04 0000 0000 0578"), quote]));
    assert_eq!(quoted(unreachable(&ipv4_syn())), (expected, 1400));
    assert_eq!(quoted(unreachable(&ipv4_syn()[..28])), (expected, 1400));
    // MPLS labels after 128 bytes (RFC 4950) change nothing.
    let extended = join(&[&ipv4_syn(), &[0; 82], &hex("2000 0000 0008 0101 00010140")]);
    assert_eq!(quoted(unreachable(&extended)).0, expected);
    // With options: a header of 24 bytes.
    let options =
        join(&[&hex("4600 0018 0001 0000 4006 0000"), &CLIENT, &SERVER, &hex("94040000"), &tcp(b"")[..8]]);
    assert_eq!(quoted(unreachable(&options)).0, Quoted { total_len: 24, ..expected });
    // A later fragment has no ports.
    let later = ipv4(6, 1, 0x00b9, (CLIENT, SERVER), &tcp(b""));
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

/// An error about a later fragment gets the ports of its first fragment, before and after joining.
#[test]
fn a_quoted_later_fragment_has_the_ports_of_its_datagram() {
    for v6 in [false, true] {
        let datagram = udp(5000, 6000, &[1; 40]);
        let pieces = [fragment(v6, 0, &datagram[..24], true), fragment(v6, 24, &datagram[24..], false)];
        let quote = &pieces[1][14..];
        let error = if v6 {
            in_ethernet(&ipv6(58, &join(&[&hex("01 01 0000 0000 0000"), quote])))
        } else {
            in_ethernet(&ipv4(1, 1, 0, TUNNEL, &join(&[&hex("03 0d 0000 0000 0000"), quote])))
        };
        let ports = |decoder: &mut Decoder, second: u64| match decoder.decode(&frame(1, &error, second)) {
            Decoded::Packet(Packet { transport: Transport::Icmp { quoted: Some(quoted), .. }, .. }) => {
                (quoted.src_port, quoted.dst_port)
            }
            other => panic!("{other:?}"),
        };
        let mut decoder = decoder();
        assert_eq!(ports(&mut decoder, 1), (0, 0), "its first fragment was not seen");
        let _ = decoder.decode(&frame(1, &pieces[0], 2));
        assert_eq!(ports(&mut decoder, 2), (5000, 6000));
        assert!(matches!(decoder.decode(&frame(1, &pieces[1], 3)), Decoded::Packet(_)));
        assert_eq!(ports(&mut decoder, 4), (5000, 6000));
        assert_eq!(ports(&mut decoder, 60), (0, 0), "the identification may be in use again");
    }
}
