//! Which conversation a packet belongs to, and who began it.
//!
//! In:  packets.
//! Out: keys; who is client and who is server.
//! Not: what a conversation has shown since.

use super::consumer::StreamConsumer;
use super::key::Endpoint;
use super::key::FlowKey;
use crate::base::proto;
use crate::decode::Packet;
use crate::decode::TcpHeader;
use crate::decode::Transport;
use crate::decode::icmp_is_request;

/// The key of a packet's conversation. ICMP has no ports: an echo's identifier stands for both, else type and code.
#[inline]
pub(super) fn flow_key(packet: &Packet<'_>) -> (FlowKey, bool) {
    let (src_port, dst_port) = match packet.transport {
        Transport::Icmp { kind, code, id, .. } => match icmp_is_request(packet.protocol, kind) {
            Some(_) => (id, id),
            None => {
                let both = u16::from_be_bytes([kind, code]);
                (both, both)
            }
        },
        _ => (packet.src_port, packet.dst_port),
    };
    let src = Endpoint { address: packet.src, port: src_port };
    let dst = Endpoint { address: packet.dst, port: dst_port };
    FlowKey::new(src, dst, packet.protocol, packet.scope)
}

/// Whether the sender of a conversation's first packet is its client, and whether this is its beginning.
pub(super) fn infer_client<L: StreamConsumer>(packet: &Packet<'_>, consumer: &L) -> (bool, bool) {
    match packet.transport {
        Transport::Tcp(header) if header.has(TcpHeader::SYN) => {
            let answers = header.has(TcpHeader::ACK);
            (!answers, !answers)
        }
        Transport::Tcp(_) | Transport::Udp => {
            let from = Endpoint { address: packet.src, port: packet.src_port };
            let to = Endpoint { address: packet.dst, port: packet.dst_port };
            let by_bytes = consumer.sender_is_client(packet.protocol, from, to, packet.payload);
            let client_sent = by_bytes.unwrap_or_else(|| client_by_port(packet.src_port, packet.dst_port));
            (client_sent, packet.protocol == proto::UDP)
        }
        Transport::Icmp { kind, .. } => (icmp_is_request(packet.protocol, kind).unwrap_or(true), true),
        Transport::Other => (true, true),
    }
}

/// By port alone: a service below 1024 answers those above; otherwise the smaller number is taken for the service's,
/// as long as the other is in the dynamic range (RFC 6335 §6); otherwise who speaks first asks.
const fn client_by_port(from: u16, to: u16) -> bool {
    const SYSTEM: u16 = 1024;
    const DYNAMIC: u16 = 32768;
    match (from < SYSTEM, to < SYSTEM) {
        (true, false) => false,
        (false, true) => true,
        _ => !(from < DYNAMIC && to >= DYNAMIC),
    }
}
