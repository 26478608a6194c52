//! Writes frames: Ethernet, IP, TCP, UDP, with checksums.
//!
//! In:  addresses, ports, flags, payload.
//! Out: the bytes of one Ethernet frame.
//! Not: application protocols.

use std::net::IpAddr;

/// MAC addresses of client and server.
pub const MACS: [[u8; 6]; 2] = [[2, 0, 10, 1, 0, 4], [2, 0, 10, 1, 0, 1]];

/// EtherType of IPv4.
pub const IPV4: u16 = 0x0800;
/// EtherType of IPv6.
pub const IPV6: u16 = 0x86dd;

/// TCP flags: RFC 9293 §3.1.
pub const FIN: u8 = 1;
/// Synchronize.
pub const SYN: u8 = 2;
/// Reset.
pub const RST: u8 = 4;
/// Push.
pub const PSH: u8 = 8;
/// Acknowledge.
pub const ACK: u8 = 16;

/// The Internet checksum: RFC 1071.
pub fn checksum(parts: &[&[u8]]) -> u16 {
    let mut sum: u64 = 0;
    for part in parts {
        for pair in part.chunks(2) {
            sum += u64::from(pair[0]) << 8 | u64::from(pair.get(1).copied().unwrap_or(0));
        }
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// An Ethernet frame around an IP packet.
pub fn ethernet(from: [u8; 6], to: [u8; 6], ether_type: u16, body: &[u8]) -> Vec<u8> {
    [&to[..], &from, &ether_type.to_be_bytes(), body].concat()
}

/// An IP packet around a transport header and its payload.
pub fn ip(from: IpAddr, to: IpAddr, protocol: u8, id: u16, body: &[u8]) -> Vec<u8> {
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let len = (20 + body.len()) as u16;
            let mut head = [0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, protocol, 0, 0].to_vec();
            head[2..4].copy_from_slice(&len.to_be_bytes());
            head[4..6].copy_from_slice(&id.to_be_bytes());
            head.extend(from.octets());
            head.extend(to.octets());
            let sum = checksum(&[&head]);
            head[10..12].copy_from_slice(&sum.to_be_bytes());
            head.extend(body);
            head
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let mut head = [0x60, 0, 0, 0].to_vec();
            head.extend((body.len() as u16).to_be_bytes());
            head.extend([protocol, 64]);
            head.extend(from.octets());
            head.extend(to.octets());
            head.extend(body);
            head
        }
        _ => unreachable!("both addresses have the same IP version"),
    }
}

fn pseudo_header(from: IpAddr, to: IpAddr, protocol: u8, len: usize) -> Vec<u8> {
    let mut head = match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => [from.octets(), to.octets()].concat(),
        (IpAddr::V6(from), IpAddr::V6(to)) => [from.octets(), to.octets()].concat(),
        _ => unreachable!("both addresses have the same IP version"),
    };
    head.extend((len as u32).to_be_bytes());
    head.extend([0, 0, 0, protocol]);
    head
}

/// A TCP segment.
pub struct Segment<'a> {
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgement number.
    pub ack: u32,
    /// Flags.
    pub flags: u8,
    /// Payload.
    pub bytes: &'a [u8],
}

/// A TCP header with its payload.
pub fn tcp(from: (IpAddr, u16), to: (IpAddr, u16), segment: &Segment<'_>) -> Vec<u8> {
    // RFC 9293 §3.7.1: a SYN carries the maximum segment size.
    let options: &[u8] = if segment.flags & SYN != 0 { &[2, 4, 5, 0xb4] } else { &[] };
    let mut out = [from.1.to_be_bytes(), to.1.to_be_bytes()].concat();
    out.extend(segment.seq.to_be_bytes());
    out.extend(segment.ack.to_be_bytes());
    out.push(((20 + options.len()) as u8 / 4) << 4);
    out.push(segment.flags);
    let window: u16 = if segment.flags & RST != 0 { 0 } else { 64240 };
    out.extend(window.to_be_bytes());
    out.extend([0; 4]);
    out.extend(options);
    out.extend(segment.bytes);
    let sum = checksum(&[&pseudo_header(from.0, to.0, 6, out.len()), &out]);
    out[16..18].copy_from_slice(&sum.to_be_bytes());
    out
}

/// A UDP header with its payload.
pub fn udp(from: (IpAddr, u16), to: (IpAddr, u16), bytes: &[u8]) -> Vec<u8> {
    let len = (8 + bytes.len()) as u16;
    let mut out = [from.1.to_be_bytes(), to.1.to_be_bytes(), len.to_be_bytes(), [0; 2]].concat();
    out.extend(bytes);
    let sum = checksum(&[&pseudo_header(from.0, to.0, 17, out.len()), &out]);
    out[6..8].copy_from_slice(&if sum == 0 { 0xffff } else { sum }.to_be_bytes());
    out
}
