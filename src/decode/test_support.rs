//! Builds frames for the tests of decode, and describes the results.
//!
//! In:  protocol fields.
//! Out: frames; results as text.
//! Not: what is expected.

use super::Decoded;
use super::Decoder;
use super::FragmentLimits;
use super::Transport;
use crate::base::FileId;
use crate::base::FrameRef;
use crate::base::Time;
use crate::capture::Frame;
use crate::capture::LinkType;

/// A whole frame; `number` is also its second.
pub(in crate::decode) fn frame(link: u16, bytes: &[u8], number: u64) -> Frame<'_> {
    Frame {
        frame_ref: FrameRef { file: FileId(0), number },
        time: Time::from_parts(1_000 + number as i64, 0),
        link: LinkType(link),
        wire_len: bytes.len() as u32,
        bytes,
    }
}

pub(in crate::decode) fn decoder() -> Decoder {
    Decoder::new(FragmentLimits::default())
}

/// A result as text.
pub(in crate::decode) fn describe(decoded: &Decoded<'_>) -> String {
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
        Decoded::Damaged(damage) => format!("{} {} {:?}", damage.layer, damage.wanted, damage.kind),
        other => format!("{other:?}"),
    }
}

/// Decodes one frame, and compares the result, VLANs and tunnels.
#[track_caller]
pub(in crate::decode) fn check(link: u16, bytes: &[u8], expected: &str, vlans: &str, tunnel: &str) {
    let mut decoder = decoder();
    let decoded = decoder.decode(&frame(link, bytes, 1));
    assert_eq!(describe(&decoded), expected, "link type {link}");
    if let Decoded::Packet(packet) = &decoded {
        assert_eq!(
            (packet.encapsulation.vlans().as_str(), packet.encapsulation.tunnel().as_str()),
            (vlans, tunnel)
        );
    }
    decoder.finish();
    assert!(decoder.counts().add_up());
}

pub(in crate::decode) fn join(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

pub(in crate::decode) fn be(number: usize) -> [u8; 2] {
    (number as u16).to_be_bytes()
}

/// Hexadecimal digits; spaces are ignored.
pub(in crate::decode) fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// IPv4 without options, with a correct checksum, and `inside`.
pub(in crate::decode) fn ipv4(
    protocol: u8,
    id: u16,
    fragment: u16,
    ends: ([u8; 4], [u8; 4]),
    inside: &[u8],
) -> Vec<u8> {
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

/// The client of every packet.
pub(in crate::decode) const CLIENT: [u8; 4] = [10, 1, 2, 3];

/// The server of every packet.
pub(in crate::decode) const SERVER: [u8; 4] = [20, 60, 0, 4];

/// Both ends of every tunnel.
pub(in crate::decode) const TUNNEL: ([u8; 4], [u8; 4]) = ([192, 0, 2, 1], [192, 0, 2, 2]);

pub(in crate::decode) fn ipv6(next: u8, inside: &[u8]) -> Vec<u8> {
    join(&[
        &[0x60, 0, 0, 0],
        &be(inside.len()),
        &[next, 64],
        &hex("fd00 0000 0000 0000 0000 0000 0000 0001"),
        &hex("fd00 0000 0000 0000 0000 0000 0000 0002"),
        inside,
    ])
}

/// A SYN with an MSS option from port 49152 to 443, and `payload`.
pub(in crate::decode) fn tcp(payload: &[u8]) -> Vec<u8> {
    join(&[&hex("c000 01bb 00000001 00000000 60 02 ffff 0000 0000 020405b4"), payload])
}

pub(in crate::decode) fn udp(src: u16, dst: u16, payload: &[u8]) -> Vec<u8> {
    join(&[&src.to_be_bytes(), &dst.to_be_bytes(), &be(8 + payload.len()), &[0, 0], payload])
}

pub(in crate::decode) fn ethernet(ether_type: u16, inside: &[u8]) -> Vec<u8> {
    join(&[&hex("020000000002 020000000001"), &ether_type.to_be_bytes(), inside])
}

pub(in crate::decode) fn ipv4_syn() -> Vec<u8> {
    ipv4(6, 7, 0x4000, (CLIENT, SERVER), &tcp(b"hi"))
}

pub(in crate::decode) fn ipv6_syn() -> Vec<u8> {
    ipv6(6, &tcp(b"hi"))
}

/// The EtherType for the IP version of `ip`.
pub(in crate::decode) fn ether_type_of(ip: &[u8]) -> u16 {
    if ip[0] >> 4 == 6 { 0x86dd } else { 0x0800 }
}

pub(in crate::decode) fn llc(ip: &[u8]) -> Vec<u8> {
    join(&[&hex("aaaa03 000000"), &ether_type_of(ip).to_be_bytes(), ip])
}

pub(in crate::decode) fn ppp(ip: &[u8]) -> Vec<u8> {
    join(&[if ether_type_of(ip) == 0x86dd { &[0, 0x57] } else { &[0, 0x21] }, ip])
}

/// [`ipv4_syn`] as text.
pub(in crate::decode) const TCP4: &str =
    "10.1.2.3:49152 > 20.60.0.4:443 tcp seq=1 flags=0x2 options=4 [104, 105]/2";
/// [`ipv6_syn`] as text.
pub(in crate::decode) const TCP6: &str =
    "fd00::1:49152 > fd00::2:443 tcp seq=1 flags=0x2 options=4 [104, 105]/2";

pub(in crate::decode) fn over_udp(port: u16, inside: &[u8]) -> Vec<u8> {
    ethernet(0x0800, &ipv4(17, 1, 0, TUNNEL, &udp(50_000, port, inside)))
}

pub(in crate::decode) fn over_ip(protocol: u8, inside: &[u8]) -> Vec<u8> {
    ethernet(0x0800, &ipv4(protocol, 1, 0, TUNNEL, inside))
}

pub(in crate::decode) fn in_ethernet(ip: &[u8]) -> Vec<u8> {
    ethernet(ether_type_of(ip), ip)
}

/// A fragment in Ethernet.
pub(in crate::decode) fn fragment(v6: bool, at: usize, bytes: &[u8], more: bool) -> Vec<u8> {
    let offset = (at / 8) as u16;
    if !v6 {
        return in_ethernet(&ipv4(17, 77, offset | if more { 0x2000 } else { 0 }, (CLIENT, SERVER), bytes));
    }
    let field = offset << 3 | u16::from(more);
    in_ethernet(&ipv6(44, &join(&[&[17, 0], &field.to_be_bytes(), &[0, 0, 0, 77], bytes])))
}
