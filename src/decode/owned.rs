//! A packet that outlives its frame.
//!
//! In:  a [`Packet`] that was joined from several frames.
//! Out: a copy that another thread can take.
//! Not: packets of one frame; they are decoded again where they are needed.

use super::packet::Encapsulation;
use super::packet::Packet;
use super::packet::TcpHeader;
use super::packet::Transport;
use crate::base::HostReport;

/// A [`Packet`] that owns its bytes.
#[derive(Clone, Debug)]
pub struct OwnedPacket {
    /// Without options and payload.
    header: Packet<'static>,
    encapsulation: Encapsulation,
    options: Box<[u8]>,
    payload: Box<[u8]>,
    host_report: Option<HostReport>,
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
            header: Packet {
                src: packet.src,
                dst: packet.dst,
                src_port: packet.src_port,
                dst_port: packet.dst_port,
                protocol: packet.protocol,
                ttl: packet.ttl,
                ip_id: packet.ip_id,
                was_fragmented: packet.was_fragmented,
                scope: packet.scope,
                encapsulation: &Encapsulation::NONE,
                transport,
                payload: &[],
                payload_len: packet.payload_len,
                host_report: None,
                adapter: packet.adapter,
            },
            encapsulation: *packet.encapsulation,
            options: options.into(),
            payload: packet.payload.into(),
            host_report: packet.host_report.cloned(),
        }
    }
}

impl OwnedPacket {
    /// The packet.
    pub fn borrow(&self) -> Packet<'_> {
        let transport = match self.header.transport {
            Transport::Tcp(header) => Transport::Tcp(TcpHeader { options: &self.options, ..header }),
            other => other,
        };
        let host_report = self.host_report.as_ref();
        Packet {
            encapsulation: &self.encapsulation,
            payload: &self.payload,
            host_report,
            transport,
            ..self.header
        }
    }
}
