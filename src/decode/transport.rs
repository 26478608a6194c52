//! Reads TCP and UDP headers, and the ports of similar protocols.
//!
//! In:  an IP header and its payload.
//! Out: a [`Packet`].
//! Not: options, checksums, and which end is the client.

use etherparse::TcpSlice;
use etherparse::UdpHeaderSlice;

use crate::base::Truncated;
use crate::base::proto;

use super::ip::IpHeader;
use super::layer::LayerSlice;
use super::layer::Stop;
use super::packet::Packet;
use super::packet::TcpHeader;
use super::packet::Transport;

/// Source and destination.
pub(super) type PortPair = (u16, u16);

/// TCP (RFC 9293 §3.1).
#[inline(always)]
pub(super) fn parse_tcp<'b>(ip: IpHeader, body: LayerSlice<'b>) -> Result<Packet<'b>, Stop> {
    match parse_whole_tcp(body) {
        Some((ports, tcp, payload)) => Ok(ip.packet(proto::TCP, ports, Transport::Tcp(tcp), payload)),
        None => parse_truncated_tcp(ip, body),
    }
}

/// Ports, header and payload, if the whole header was captured.
#[inline(always)]
pub(super) fn parse_whole_tcp<'b>(body: LayerSlice<'b>) -> Option<(PortPair, TcpHeader<'b>, LayerSlice<'b>)> {
    let tcp = TcpSlice::from_slice(body.bytes).ok()?;
    let bytes = tcp.header_slice();
    let header = TcpHeader {
        seq: tcp.sequence_number(),
        ack: tcp.acknowledgment_number(),
        flags: bytes.get(13).copied().unwrap_or_default(),
        window: tcp.window_size(),
        options: bytes.get(20..).unwrap_or_default(),
    };
    Some(((tcp.source_port(), tcp.destination_port()), header, body.after(bytes.len())))
}

/// A header with truncated options is used; anything else is damage.
#[cold]
fn parse_truncated_tcp<'b>(ip: IpHeader, body: LayerSlice<'b>) -> Result<Packet<'b>, Stop> {
    let ((src_port, dst_port, seq, ack, offset, flags, window), options) = body.read("tcp", |c| {
        let fields = (
            c.u16("source port")?,
            c.u16("destination port")?,
            c.u32("sequence number")?,
            c.u32("acknowledgement number")?,
            c.u8("data offset")?,
            c.u8("flags")?,
            c.u16("window")?,
        );
        c.skip(4, "checksum and urgent pointer")?;
        Ok(fields)
    })?;
    let header_len = usize::from(offset >> 4) * 4;
    if header_len < 20 {
        return Err(body.broken("tcp", "data offset"));
    }
    if header_len > body.wire_len {
        return Err(body.ended("tcp", Truncated { wanted: "options", at: 20 }));
    }
    let transport = Transport::Tcp(TcpHeader { seq, ack, flags, window, options: options.bytes });
    Ok(ip.packet(proto::TCP, (src_port, dst_port), transport, body.after(header_len)))
}

/// UDP (RFC 768).
#[inline(always)]
pub(super) fn parse_udp<'b>(ip: IpHeader, body: LayerSlice<'b>) -> Result<Packet<'b>, Stop> {
    match parse_whole_udp(body) {
        Some((ports, payload)) => Ok(ip.packet(proto::UDP, ports, Transport::Udp, payload)),
        None => Err(body.ended("udp", Truncated { wanted: "header", at: 0 })),
    }
}

/// Ports and payload, if the whole header was captured.
#[inline(always)]
pub(super) fn parse_whole_udp(body: LayerSlice<'_>) -> Option<(PortPair, LayerSlice<'_>)> {
    let udp = UdpHeaderSlice::from_slice(body.bytes).ok()?;
    Some(((udp.source_port(), udp.destination_port()), payload(udp, body)))
}

/// A length of 0 is a jumbogram (RFC 2675 §4) or segmentation offload. A length that exceeds the IP packet is ignored.
#[inline(always)]
fn payload<'b>(udp: UdpHeaderSlice<'b>, body: LayerSlice<'b>) -> LayerSlice<'b> {
    let rest = body.after(8);
    match usize::from(udp.length()).checked_sub(8) {
        Some(len) => rest.at_most(len),
        None => rest,
    }
}

/// SCTP (RFC 9260 §3.1), DCCP (RFC 4340 §5.1) and UDP-Lite (RFC 3828 §3) start with ports, too. All their bytes count as
/// payload.
pub(super) fn parse_ports_only<'b>(
    ip: IpHeader,
    number: u8,
    body: LayerSlice<'b>,
) -> Result<Packet<'b>, Stop> {
    let ((src_port, dst_port), _) =
        body.read("ports", |c| Ok((c.u16("source port")?, c.u16("destination port")?)))?;
    Ok(ip.packet(number, (src_port, dst_port), Transport::Other, body))
}
