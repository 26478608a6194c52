//! Assigns a packet to a flow, and infers its client.
//!
//! In:  packets.
//! Out: flow keys; whether the sender of the first packet is the client.
//! Not: what later packets show.

use super::consumer::StreamConsumer;
use super::key::Endpoint;
use super::key::FlowKey;
use crate::base::proto;
use crate::decode::Packet;
use crate::decode::TcpHeader;
use crate::decode::Transport;
use crate::decode::icmp_is_request;

/// The key of a packet's flow. ICMP has no ports: the identifier of an echo is used for both, otherwise type and code.
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

/// Who sent the first packet of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FirstSender {
    pub(super) is_client: bool,
    /// The packet starts the flow: for TCP, it is a SYN.
    pub(super) from_start: bool,
}

/// Infers the client from the first packet of a flow.
pub(super) fn infer_client<L: StreamConsumer>(packet: &Packet<'_>, consumer: &L) -> FirstSender {
    match packet.transport {
        Transport::Tcp(header) if header.has(TcpHeader::SYN) => {
            let is_client = !header.has(TcpHeader::ACK);
            FirstSender { is_client, from_start: is_client }
        }
        Transport::Tcp(_) | Transport::Udp => {
            let from = Endpoint { address: packet.src, port: packet.src_port };
            let to = Endpoint { address: packet.dst, port: packet.dst_port };
            let is_client = consumer
                .sender_is_client(packet.protocol, from, to, packet.payload)
                .unwrap_or_else(|| client_by_port(packet.src_port, packet.dst_port));
            FirstSender { is_client, from_start: packet.protocol == proto::UDP }
        }
        Transport::Icmp { kind, .. } => {
            let is_client = icmp_is_request(packet.protocol, kind).unwrap_or(true);
            FirstSender { is_client, from_start: true }
        }
        Transport::Other => FirstSender { is_client: true, from_start: true },
    }
}

/// Whether the sender is the client, by port alone. A port below 1024 is the server's; otherwise the port below the dynamic
/// range (RFC 6335 §6) is, if the other is in it. Otherwise the first sender is the client.
const fn client_by_port(from: u16, to: u16) -> bool {
    const SYSTEM: u16 = 1024;
    const DYNAMIC: u16 = 32768;
    match (from < SYSTEM, to < SYSTEM) {
        (true, false) => false,
        (false, true) => true,
        _ => !(from < DYNAMIC && to >= DYNAMIC),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::FlowLimits;
    use crate::flow::test_support::CLIENT;
    use crate::flow::test_support::SERVER;
    use crate::flow::test_support::TestTable;
    use crate::flow::test_support::packet;

    const ICMP_ECHO: u8 = 8;
    const ICMP_ECHO_REPLY: u8 = 0;
    const ICMP_UNREACHABLE: u8 = 3;

    /// Whether the sender of a packet with these ports is the client; `by_payload` is what its payload shows.
    fn check(ports: (u16, u16), transport: Transport<'_>, by_payload: Option<bool>, expected: (bool, bool)) {
        let mut table = TestTable::new(FlowLimits::default());
        table.recorder.sender_is_client = by_payload;
        let protocol = match transport {
            Transport::Tcp(_) => proto::TCP,
            Transport::Udp => proto::UDP,
            Transport::Icmp { .. } => proto::ICMP,
            Transport::Other => proto::ESP,
        };
        let (from, to) = (Endpoint { port: ports.0, ..CLIENT }, Endpoint { port: ports.1, ..SERVER });
        let packet = Packet { transport, payload: b"abc", payload_len: 3, ..packet(from, to, protocol) };
        let first = infer_client(&packet, &table.recorder);
        assert_eq!((first.is_client, first.from_start), expected, "{ports:?} {transport:?}");
    }

    fn tcp(flags: u8) -> Transport<'static> {
        Transport::Tcp(TcpHeader { seq: 1, ack: 1, flags, window: 1, options: &[] })
    }

    fn icmp(kind: u8) -> Transport<'static> {
        Transport::Icmp { kind, code: 1, id: 7, detail: 0, quoted: None }
    }

    #[test]
    fn a_handshake_shows_the_client_whatever_the_ports_are() {
        check((443, 50000), tcp(TcpHeader::SYN), Some(false), (true, true));
        check((50000, 443), tcp(TcpHeader::SYN | TcpHeader::ACK), Some(true), (false, false));
    }

    #[test]
    fn payload_shows_the_client_before_ports_do() {
        check((443, 50000), tcp(TcpHeader::ACK), Some(true), (true, false));
        check((50000, 443), Transport::Udp, Some(false), (false, true));
    }

    #[test]
    fn ports_show_the_client_last() {
        // A system port is the server's.
        check((1023, 1024), tcp(TcpHeader::ACK), None, (false, false));
        check((1024, 1023), tcp(TcpHeader::ACK), None, (true, false));
        check((50000, 53), Transport::Udp, None, (true, true));
        // The dynamic port is the client's.
        check((32767, 32768), Transport::Udp, None, (false, true));
        check((32768, 32767), Transport::Udp, None, (true, true));
        // Otherwise the first sender is the client.
        check((80, 443), tcp(TcpHeader::ACK), None, (true, false));
        check((8080, 8443), Transport::Udp, None, (true, true));
        check((50000, 60000), Transport::Udp, None, (true, true));
    }

    #[test]
    fn an_icmp_response_is_the_servers() {
        check((0, 0), icmp(ICMP_ECHO), None, (true, true));
        check((0, 0), icmp(ICMP_ECHO_REPLY), None, (false, true));
        check((0, 0), icmp(ICMP_UNREACHABLE), None, (true, true));
        check((0, 0), Transport::Other, None, (true, true));
    }

    #[test]
    fn icmp_is_keyed_by_identifier_or_type_and_code() {
        let key = |kind: u8| {
            let (key, _) = flow_key(&Packet { transport: icmp(kind), ..packet(CLIENT, SERVER, proto::ICMP) });
            (key.low_port, key.high_port)
        };
        assert_eq!(key(ICMP_ECHO), (7, 7));
        assert_eq!(key(ICMP_ECHO_REPLY), (7, 7));
        assert_eq!(key(ICMP_UNREACHABLE), (0x301, 0x301));
    }
}
