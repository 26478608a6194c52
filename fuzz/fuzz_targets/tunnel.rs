//! Fuzzes each tunnel, tag and link type from its first byte on: no panic, no endless loop, one result per frame.
//!
//! The input is frames: a byte that chooses the headers before, a two-byte length, the bytes after those headers.
#![no_main]

use afs_audit::base::FrameRef;
use afs_audit::base::Time;
use afs_audit::capture::Frame;
use afs_audit::capture::LinkType;
use afs_audit::decode::Decoded;
use afs_audit::decode::Decoder;
use afs_audit::decode::Dedup;
use afs_audit::decode::FragmentLimits;
use libfuzzer_sys::fuzz_target;

/// The headers before the fuzzed bytes.
#[derive(Clone, Copy)]
enum Headers {
    /// None: the fuzzed bytes start with the link type's header.
    Link(u16),
    /// Ethernet with this EtherType.
    EtherType(u16),
    /// IPv4 with this protocol.
    Ip(u8),
    /// IPv6 with this next header.
    Ip6(u8),
    /// IPv4 and UDP to this port.
    Udp(u16),
    /// GRE with these flags and this protocol type, and a sequence number if the flags have its bit.
    Gre(u16, u16),
}

use Headers::EtherType;
use Headers::Gre;
use Headers::Ip;
use Headers::Ip6;
use Headers::Link;
use Headers::Udp;

const HEADERS: &[Headers] = &[
    Link(0),
    Link(9),
    Link(50),
    Link(51),
    Link(104),
    Link(105),
    Link(107),
    Link(113),
    Link(119),
    Link(127),
    Link(163),
    Link(192),
    Link(197),
    Link(276),
    EtherType(0x8100),
    EtherType(0x88a8),
    EtherType(0x8847),
    EtherType(0x8848),
    EtherType(0x8863),
    EtherType(0x8864),
    EtherType(0x88e5),
    EtherType(0x88e7),
    EtherType(0x894f),
    EtherType(0x8926),
    EtherType(0x22f3),
    EtherType(0x05dc),
    Ip(4),
    Ip(41),
    Ip(47),
    Ip(50),
    Ip(51),
    Ip(94),
    Ip(97),
    Ip(115),
    Ip(132),
    Ip(137),
    Ip(143),
    Ip6(0),
    Ip6(43),
    Ip6(44),
    Ip6(60),
    Udp(1701),
    Udp(2152),
    Udp(3544),
    Udp(4341),
    Udp(4754),
    Udp(4789),
    Udp(4790),
    Udp(5247),
    Udp(6081),
    Udp(6635),
    Udp(37008),
    // ERSPAN type I without a sequence number, types II and III with one.
    Gre(0, 0x88be),
    Gre(0x1000, 0x88be),
    Gre(0x1000, 0x22eb),
    Gre(0x2000, 0x6558),
    Gre(0x2081, 0x880b),
];

fn ipv4(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![0x45, 0];
    out.extend(((20 + payload.len()) as u16).to_be_bytes());
    out.extend([0, 7, 0, 0, 64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    out.extend(payload);
    out
}

fn frame(headers: Headers, payload: &[u8]) -> (LinkType, Vec<u8>) {
    const RAW: LinkType = LinkType(101);
    match headers {
        Link(link) => (LinkType(link), payload.to_vec()),
        EtherType(number) => (LinkType(1), [&[2; 12][..], &number.to_be_bytes(), payload].concat()),
        Ip(protocol) => (RAW, ipv4(protocol, payload)),
        Ip6(next) => {
            let mut out = vec![0x60, 0, 0, 0];
            out.extend((payload.len() as u16).to_be_bytes());
            out.extend([next, 64]);
            out.extend([0xfd; 32]);
            out.extend(payload);
            (RAW, out)
        }
        Udp(port) => {
            let mut udp = [40000u16.to_be_bytes(), port.to_be_bytes()].concat();
            udp.extend(((8 + payload.len()) as u16).to_be_bytes());
            udp.extend([0, 0]);
            udp.extend(payload);
            (RAW, ipv4(17, &udp))
        }
        Gre(flags, number) => {
            let mut gre = [flags.to_be_bytes(), number.to_be_bytes()].concat();
            if flags & 0x1000 != 0 {
                gre.extend([0, 0, 0, 1]);
            }
            gre.extend(payload);
            (RAW, ipv4(47, &gre))
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let mut decoder = Decoder::new(FragmentLimits { fragment_bytes: 20_000, ..FragmentLimits::default() });
    let mut dedup = Dedup::default();
    let (mut rest, mut number) = (data, 0);
    while let Some(([choice, high, low], more)) = rest.split_first_chunk::<3>() {
        let len = usize::from(u16::from_be_bytes([*high, *low]));
        let (payload, after) = more.split_at(len.min(more.len()).min(60_000));
        rest = after;
        number += 1;
        let (link, bytes) = frame(HEADERS[usize::from(*choice) % HEADERS.len()], payload);
        let frame = Frame {
            frame_ref: FrameRef { number, ..FrameRef::default() },
            time: Time(number as i64),
            link,
            wire_len: bytes.len() as u32,
            bytes: &bytes,
        };
        if let Decoded::Packet(packet) = decoder.decode(&frame) {
            assert!(packet.payload.len() <= packet.payload_len as usize);
            let _ = (packet.encapsulation.vlans(), packet.encapsulation.tunnel());
            let _ = (dedup.is_duplicate(&packet, frame.time), dedup.merged_scope(&packet));
        }
    }
    decoder.finish();
    let counts = decoder.counts();
    assert_eq!(counts.frames, number);
    assert!(counts.add_up(), "{counts:?}");
});
