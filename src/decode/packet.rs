//! The result of decoding: the innermost packet of a frame, and its encapsulation.
//!
//! In:  nothing.
//! Out: types for later stages.
//! Not: how they are read.

use std::fmt;
use std::fmt::Write as _;

use super::encap_kind::EncapKind;
use crate::base::Address;
use crate::base::HostReport;
use crate::base::LinkAddress;
use crate::capture::LinkType;

/// The result for a frame. The counts of these add up to the frames read.
#[derive(Clone, Copy, Debug)]
pub enum Decoded<'a> {
    /// A packet, as far as it was captured. After the last fragment: the whole datagram.
    Packet(Packet<'a>),
    /// A fragment, held until the others arrive.
    Fragment,
    /// Not IP: its EtherType, or 0 for LLC without one.
    NotIp(u16),
    /// An unknown link type.
    UnknownLink(LinkType),
    /// A known protocol that cannot be read, for example encrypted 802.11.
    Unreadable(&'static str),
    /// A header is truncated or malformed.
    Damaged(PacketDamage),
}

/// The innermost IP packet of a frame.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// Sender.
    pub src: Address,
    /// Receiver.
    pub dst: Address,
    /// Sender's port; 0 for protocols without ports.
    pub src_port: u16,
    /// Receiver's port; 0 for protocols without ports.
    pub dst_port: u16,
    /// IANA protocol number of the transport.
    pub protocol: u8,
    /// IPv4 TTL or IPv6 hop limit.
    pub ttl: u8,
    /// IPv4 identification; 0 in IPv6.
    pub ip_id: u16,
    /// It needs more than its own frame: it was joined from fragments, or quotes a fragment whose datagram is known.
    pub was_fragmented: bool,
    /// VLAN and tunnel as one number ([`Encapsulation::scope`]); 0 without either. Part of the flow's key.
    pub scope: u64,
    /// The tags and tunnels around the packet.
    pub encapsulation: &'a Encapsulation,
    /// The transport header.
    pub transport: Transport<'a>,
    /// The captured part of the transport's payload. Never more than `payload_len`: padding is not payload.
    pub payload: &'a [u8],
    /// Length of the payload on the wire; more than `payload.len()` if the frame was truncated.
    pub payload_len: u32,
    /// What the host that captured it reports of it.
    pub host_report: Option<&'a HostReport>,
    /// The adapter that sent the frame, if it is Ethernet without a tunnel: the sender's, or that of a router.
    pub adapter: Option<LinkAddress>,
}

/// A transport header.
#[derive(Clone, Copy, Debug)]
pub enum Transport<'a> {
    /// TCP (RFC 9293 §3.1).
    Tcp(TcpHeader<'a>),
    /// UDP.
    Udp,
    /// ICMP or ICMPv6, depending on the packet's protocol number.
    Icmp {
        /// The type.
        kind: u8,
        /// The code.
        code: u8,
        /// Identifier of an echo or timestamp message; otherwise 0.
        id: u16,
        /// Bytes 4 to 7: next-hop MTU, gateway, pointer.
        detail: u32,
        /// The packet that an error message quotes.
        quoted: Option<Quoted>,
    },
    /// Another protocol.
    Other,
}

/// The fields of a TCP header.
#[derive(Clone, Copy, Debug)]
pub struct TcpHeader<'a> {
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgement number, valid with [`TcpHeader::ACK`].
    pub ack: u32,
    /// FIN 1, SYN 2, RST 4, PSH 8, ACK 16, URG 32, ECE 64, CWR 128.
    pub flags: u8,
    /// Window, unscaled.
    pub window: u16,
    /// Option bytes.
    pub options: &'a [u8],
}

impl TcpHeader<'_> {
    /// No more data from the sender.
    pub const FIN: u8 = 1;
    /// Synchronize sequence numbers.
    pub const SYN: u8 = 2;
    /// Reset the connection.
    pub const RST: u8 = 4;
    /// Push.
    pub const PSH: u8 = 8;
    /// The acknowledgement number is valid.
    pub const ACK: u8 = 16;

    /// True if all of `flags` are set.
    #[inline]
    pub const fn has(&self, flags: u8) -> bool {
        self.flags & flags == flags
    }
}

/// The packet that an ICMP error quotes, as far as the message contains its headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quoted {
    /// Its sender.
    pub src: Address,
    /// Its receiver.
    pub dst: Address,
    /// Its protocol number.
    pub protocol: u8,
    /// Its sender's port; 0 if none is quoted.
    pub src_port: u16,
    /// Its receiver's port; 0 if none is quoted.
    pub dst_port: u16,
    /// Its TCP sequence number, if quoted.
    pub seq: Option<u32>,
    /// Its IP total length.
    pub total_len: u16,
    /// The identification of its datagram, if it is a later fragment, which has no ports.
    pub fragment: Option<u32>,
}

/// Why a frame could not be decoded to its transport header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketDamage {
    /// The layer that was being read, for example `"ipv4"`.
    pub layer: &'static str,
    /// The field that is missing or wrong, for example `"header length"`.
    pub wanted: &'static str,
    /// Offset in the frame.
    pub offset: u32,
    /// Truncated by the capture, or malformed.
    pub kind: DamageKind,
}

/// What caused the damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DamageKind {
    /// The capture has fewer bytes than were on the wire.
    Truncated,
    /// The bytes contradict each other.
    Broken,
}

/// The tags and tunnels around a packet, outermost first.
#[derive(Clone, Copy, Debug)]
pub struct Encapsulation {
    depth: u8,
    headers: [EncapHeader; Encapsulation::LIMIT],
}

/// One tag or tunnel header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncapHeader {
    /// Its protocol.
    pub kind: EncapKind,
    /// VLAN ID, VNI, MPLS label, session, TEID or key; 0 if there is none.
    pub id: u32,
    /// Sender of the tunnel, if it runs over IP.
    pub src: Option<Address>,
    /// Receiver of the tunnel, if it runs over IP.
    pub dst: Option<Address>,
}

impl Encapsulation {
    /// More headers than this count as damage.
    pub const LIMIT: usize = 12;

    /// No tags and tunnels.
    pub const NONE: Encapsulation = Encapsulation {
        depth: 0,
        headers: [EncapHeader { kind: EncapKind::Vlan, id: 0, src: None, dst: None }; Encapsulation::LIMIT],
    };

    /// The headers, outermost first.
    #[inline]
    pub fn headers(&self) -> &[EncapHeader] {
        self.headers.get(..usize::from(self.depth)).unwrap_or_default()
    }

    /// True without tags and tunnels.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.depth == 0
    }

    /// Removes all headers.
    #[inline]
    pub const fn clear(&mut self) {
        self.depth = 0;
    }

    /// Adds the next inner header; false if there are too many.
    pub fn push(&mut self, header: EncapHeader) -> bool {
        match self.headers.get_mut(usize::from(self.depth)) {
            Some(slot) => {
                *slot = header;
                self.depth += 1;
                true
            }
            None => false,
        }
    }

    /// Keeps the outer `depth` headers.
    pub(super) fn truncate(&mut self, depth: usize) {
        self.depth = self.depth.min(u8::try_from(depth).unwrap_or(u8::MAX));
    }

    /// The tags and tunnels as one number, the same for both directions and in every run; 0 without any.
    ///
    /// Only what both directions share counts: VLAN IDs, kinds of tunnels, network IDs. Sessions, labels and keys differ
    /// by direction or by mirror port. Tags without a shared ID, such as MPLS labels, are ignored: a router may remove them,
    /// so that only one direction of a flow has them.
    pub fn scope(&self) -> u64 {
        let mut scope = 0;
        for header in self.headers() {
            let id = match header.src {
                _ if header.kind.has_shared_id() => header.id,
                Some(_) => 0,
                None => continue,
            };
            scope = mix(scope ^ mix(header.kind.number() << 32 | u64::from(id)));
        }
        scope
    }

    /// The VLAN IDs, outermost first: `"100;200"`; empty without one.
    pub fn vlans(&self) -> String {
        let mut text = String::new();
        for tag in self.headers().iter().filter(|header| header.kind == EncapKind::Vlan) {
            let separator = if text.is_empty() { "" } else { ";" };
            // Writing into a String cannot fail.
            let _ = write!(text, "{separator}{}", tag.id);
        }
        text
    }

    /// The tunnels, outermost first: `"gre / vxlan:42(10.0.0.1>10.0.0.2)"`; empty without one.
    pub fn tunnel(&self) -> String {
        let mut text = String::new();
        for tunnel in self.headers().iter().filter(|header| header.kind != EncapKind::Vlan) {
            let separator = if text.is_empty() { "" } else { " / " };
            let _ = write!(text, "{separator}{tunnel}");
        }
        text
    }
}

/// `"erspan:5(10.0.0.1>10.0.0.2)"`; an ID of 0 and missing ends are left out.
impl fmt::Display for EncapHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.name())?;
        if self.id != 0 {
            write!(f, ":{}", self.id)?;
        }
        if let (Some(src), Some(dst)) = (self.src, self.dst) {
            write!(f, "({src}>{dst})")?;
        }
        Ok(())
    }
}

/// The finalizer of SplitMix64: every input bit affects every output bit. Never 0.
const fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    let z = z ^ z >> 31;
    if z == 0 { 1 } else { z }
}
