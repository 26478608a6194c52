//! A packet that outlives its frame: one that was put together from several.

use super::packet::Encapsulation;
use super::packet::Packet;
use super::packet::TcpHeader;
use super::packet::Transport;

/// A [`Packet`] with its bytes.
#[derive(Clone, Debug)]
pub struct OwnedPacket {
    head: Packet<'static>,
    wrapping: Encapsulation,
    options: Box<[u8]>,
    payload: Box<[u8]>,
}

impl From<&Packet<'_>> for OwnedPacket {
    fn from(packet: &Packet<'_>) -> Self {
        let options: &[u8] = match packet.transport {
            Transport::Tcp(header) => header.options,
            _ => &[],
        };
        let transport = match packet.transport {
            Transport::Tcp(TcpHeader { seq, ack, flags, window, .. }) => {
                Transport::Tcp(TcpHeader { seq, ack, flags, window, options: &[] })
            }
            Transport::Udp => Transport::Udp,
            Transport::Icmp { kind, code, id, detail, quoted } => {
                Transport::Icmp { kind, code, id, detail, quoted }
            }
            Transport::Other => Transport::Other,
        };
        OwnedPacket {
            head: Packet {
                src: packet.src,
                dst: packet.dst,
                src_port: packet.src_port,
                dst_port: packet.dst_port,
                protocol: packet.protocol,
                ttl: packet.ttl,
                ip_id: packet.ip_id,
                was_fragmented: packet.was_fragmented,
                scope: packet.scope,
                wrapping: &Encapsulation::NONE,
                transport,
                payload: &[],
                payload_len: packet.payload_len,
            },
            wrapping: *packet.wrapping,
            options: options.into(),
            payload: packet.payload.into(),
        }
    }
}

impl OwnedPacket {
    /// The packet, borrowed again.
    pub fn borrow(&self) -> Packet<'_> {
        let transport = match self.head.transport {
            Transport::Tcp(header) => Transport::Tcp(TcpHeader { options: &self.options, ..header }),
            other => other,
        };
        Packet { wrapping: &self.wrapping, payload: &self.payload, transport, ..self.head }
    }
}
